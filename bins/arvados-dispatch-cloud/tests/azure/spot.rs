//! Spot VMs that Azure takes back (facts K34): with the eviction policy Delete they disappear without a word.

use std::time::Duration;

use tokio::time::Instant;

use crate::support::{Rig, eventually, preemptible};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_presumed_eviction_is_told_to_the_owner_in_the_request_that_cancels() {
    let rig = Rig::start(super::support::Order::with_spot).await;
    rig.lab.overhear();
    let uuid = rig.submit(&preemptible(60_000));
    eventually("it runs on spot", || rig.state(&uuid) == "Running").await;
    let vm = rig.azure.spot_vms().remove(0);
    rig.azure.take_back(&vm);
    eventually("it is cancelled", || rig.state(&uuid) == "Cancelled").await;
    one_request_cancels_and_says_why(&rig, &uuid, &vm);
    eventually("it is counted", || {
        let line = r#"arvados_dispatchcloud_instances_died{instance_type="spot4",cause="spot interruption"} 1"#;
        rig.management("GET", "/metrics").contains(line)
    })
    .await;
    assert!(rig.log().contains("presumably evicted"));
    rig.all_is_done().await;
    rig.nothing_is_left().await;
}

/// The owner is told of the eviction in the request that cancels, of which there is one.
fn one_request_cancels_and_says_why(rig: &Rig, uuid: &str, vm: &str) {
    let cancels: Vec<String> = (rig.lab.heard().into_iter())
        .filter_map(|heard| match heard {
            dispatch_lab_net::Heard::Api(request) => Some(request),
            _ => None,
        })
        .filter(|request| request.path.contains(uuid))
        .map(|request| String::from_utf8_lossy(&request.body).into_owned())
        .filter(|body| body.contains("Cancelled"))
        .collect();
    let [cancel] = cancels.as_slice() else {
        panic!("one request cancels: {cancels:?}");
    };
    for words in ["runtime_status", "presumably evicted", vm] {
        // The body may be a form.
        let body = cancel.replace('+', " ").replace("%20", " ");
        assert!(body.contains(words), "{words} in {body}");
    }
}

/// For longer than this after an instance is new to it, the pool believes a list that lacks it.
const NEW_FOR: Duration = Duration::from_secs(60);

/// Facts K15, K34: neither is it lost when a list omits it, nor is the reason when it is gone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_vm_that_is_no_new_one_may_be_omitted_and_its_eviction_is_told_all_the_same() {
    let rig = Rig::start(super::support::Order::with_spot).await;
    rig.lab.overhear();
    let uuid = rig.submit(&preemptible(600_000));
    eventually("it runs on spot", || rig.state(&uuid) == "Running").await;
    let began = Instant::now();
    let vm = rig.azure.spot_vms().remove(0);
    while began.elapsed() <= NEW_FOR {
        assert_eq!(rig.state(&uuid), "Running");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    for _ in 0..2 {
        rig.azure.set(|settings| {
            settings.omits.insert(vm.clone());
        });
        three_lists(&rig).await;
        assert_eq!(rig.state(&uuid), "Running", "a list omits it");
        rig.azure.set(|settings| settings.omits.clear());
        three_lists(&rig).await;
        assert_eq!(rig.state(&uuid), "Running", "a list shows it again");
    }
    // No list shows that it is being deleted.
    rig.azure.set(|settings| {
        settings.omits.insert(vm.clone());
    });
    rig.azure.take_back(&vm);
    eventually("it is cancelled", || rig.state(&uuid) == "Cancelled").await;
    one_request_cancels_and_says_why(&rig, &uuid, &vm);
    rig.all_is_done().await;
    rig.nothing_is_left().await;
}

/// So many have been answered, and one more was asked for.
async fn three_lists(rig: &Rig) {
    let before = rig.calls("GET vms");
    eventually("it is listed", || rig.calls("GET vms") > before + 3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn azure_is_asked_how_a_vm_is_that_has_stopped_answering() {
    let mut rig = Rig::start(super::support::Order::with_spot).await;
    let uuid = rig.submit(&preemptible(60_000));
    eventually("it runs on spot", || rig.state(&uuid) == "Running").await;
    // The next daemon lists once, when it starts; and to it the VM is no fresh one.
    rig.edit_config(|text| text.replace("SyncInterval: 1s", "SyncInterval: 1h"));
    rig.kill_and_start_again().await;
    eventually("the VM answers the next daemon", || {
        let metrics = rig.management("GET", "/metrics");
        metrics.contains(r#"arvados_dispatchcloud_instances_total{category="inuse"} 1"#)
            || metrics.lines().any(|line| {
                line.starts_with("arvados_dispatchcloud_containers_running") && line.ends_with(" 1")
            })
    })
    .await;
    let vm = rig.azure.spot_vms().remove(0);
    assert_eq!(rig.calls("GET instanceView"), 0);
    rig.azure.take_back(&vm);
    eventually("Azure is asked", || rig.calls("GET instanceView") > 0).await;
    eventually("it is said", || {
        rig.log().contains("presumably evicted") || rig.log().contains("has stopped answering")
    })
    .await;
}
