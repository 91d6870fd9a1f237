//! The daemon with `Driver: azure`, as a process of its own, on the lab's Azure API, whose VMs have SSH servers and
//! whose calls go wrong on demand. Nothing sleeps: `eventually` looks until it sees.

mod support;

use dispatch_lab_net::world::Span;

use crate::support::{Rig, container, eventually};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_containers_of_mixed_sizes_run_to_the_end_while_azure_misbehaves() {
    let rig = Rig::start(|lab, azure| {
        lab.settings.runner.run_ms = Span::between(200, 2_000);
        azure.lost_rate = 0.1;
        azure.page = 5;
        azure.odd_rows = true;
        azure.capitals = true;
        azure.unknown_ms = 100;
        azure.create_ms = 300;
        azure.bucket_speed = Some(1.0);
        // What a refused create keeps for minutes would be collected after ten.
        azure.reserved_ms = 0;
    })
    .await;
    let uuids: Vec<String> = (0_u64..100)
        .map(|n| {
            let vcpus = u32::try_from(1 << (n % 3)).expect("small");
            rig.submit(&container(vcpus, 200 + 17 * n))
        })
        .collect();
    rig.all_in_state(&uuids, "Complete").await;
    let report = rig.all_is_done().await;
    assert_eq!(report.submitted, 100);
    rig.nothing_is_left().await;
    let requests = rig.azure.requests().into_iter();
    let mut puts: Vec<String> = requests
        .filter(|request| request.method == "PUT" && request.path.contains("virtualMachines"))
        .map(|request| request.headers["if-none-match"].clone())
        .collect();
    puts.dedup();
    assert_eq!(puts, ["*"], "no PUT ever updates a VM");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_and_started_again_the_daemon_finds_its_vms_by_their_tags_and_names() {
    let mut rig = Rig::start(|_, _| ()).await;
    let uuids: Vec<String> = (0..3).map(|_| rig.submit(&container(2, 6_000))).collect();
    rig.all_in_state(&uuids, "Running").await;
    let before = rig.azure.vms();
    rig.kill_and_start_again().await;
    rig.all_in_state(&uuids, "Complete").await;
    assert_eq!(rig.azure.calls()["PUT vm"].0 as usize, before.len());
    rig.all_is_done().await;
    rig.nothing_is_left().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_size_that_is_sold_out_does_not_keep_the_others_from_being_made() {
    let rig = Rig::start(|lab, azure| {
        azure.reserved_ms = 0;
        let smallest = lab.settings.instance_types[0].provider_type.clone();
        azure.sold_out.insert(smallest);
    })
    .await;
    let uuid = rig.submit(&container(1, 300));
    eventually("it ran on a larger one", || rig.state(&uuid) == "Complete").await;
    rig.all_is_done().await;
    rig.nothing_is_left().await;
}
