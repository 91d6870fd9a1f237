//! Spot instances that EC2 takes back (facts K34).

use std::collections::{BTreeMap, BTreeSet};

use dispatch_lab_net::{
    Heard, Subnet,
    world::{settings::InstanceType, world::Submission},
};
use serde_json::{Value, json};

use crate::support::{Order, Rig, container, eventually, policy};

/// Beside the types of the lab, a spot type of four cores; all in one zone, where one interruption after the other
/// strikes.
fn with_spot(order: &mut Order) {
    order.ec2.subnets = vec![Subnet::new("subnet-a", "lab-1a")];
    order.parameter("SubnetID", "subnet-a");
    let types = &mut order.lab.settings.instance_types;
    let twin = types.iter().find(|one| one.name == "type4").cloned();
    let twin = twin.expect("the lab has it");
    types.push(InstanceType {
        name: "spot4".to_owned(),
        price: twin.price * 0.4,
        preemptible: true,
        ..twin
    });
}

/// What a runner writes when it sees that its instance will be taken back.
const NOTICE: &str = "Cloud provider indicates that this instance will be taken back";

fn preemptible(run_ms: u64) -> Submission {
    let mut submission = container(4, run_ms);
    let parameters =
        json!({"partitions": [], "preemptible": true, "max_run_time": 0, "supervisor": false});
    (submission.attributes).insert("scheduling_parameters".to_owned(), parameters);
    submission
}

/// Lets one run, and takes its instance back.
async fn run_and_take_back(rig: &Rig) -> (String, String) {
    let uuid = rig.submit(&preemptible(60_000));
    eventually("it runs on spot", || rig.state(&uuid) == "Running").await;
    // Runners see it coming, and say so.
    eventually("the runner's notice is taken", || {
        let notice = json!({"runtime_status": {"preemptionNotice": NOTICE, "warning": "w"}});
        rig.lab
            .world(|world, now| world.runner_writes(&uuid, notice, now))
    })
    .await;
    let living = rig.living();
    let instance = living.iter().find(|(_, (_, spot))| *spot);
    let instance = instance.expect("a spot instance").0.clone();
    rig.ec2.take_back(&instance);
    eventually("it is cancelled", || rig.state(&uuid) == "Cancelled").await;
    (uuid, instance)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn interruptions_are_told_to_owners_and_switch_a_type_to_its_twin_and_back() {
    let rig = Rig::start(|order| {
        with_spot(order);
        order.vms("SpotFallbackPriceFactor", "3");
        order.vms("SpotFallbackInterruptions", "2");
        order.vms("SpotFallbackWindow", "20s");
    })
    .await;
    for _ in 0..2 {
        let (uuid, instance) = run_and_take_back(&rig).await;
        let status = rig.lab.world(|world, _| {
            let container = &world.containers().containers()[&uuid];
            container.attribute("runtime_status").clone()
        });
        // Merged with what the runner has said.
        assert_eq!(status["preemptionNotice"], NOTICE, "{status}");
        assert_eq!(status["warning"], "w", "{status}");
        let status = status["error"].to_string();
        assert!(status.contains(&instance), "{status}");
        assert!(status.contains("took it back"), "{status}");
        assert!(
            status.contains("Server.SpotInstanceTermination"),
            "{status}"
        );
    }
    let metrics = rig.management("GET", "/metrics");
    for line in [
        r#"arvados_dispatchcloud_instances_died{instance_type="spot4",cause="spot interruption"} 2"#,
        r#"arvados_dispatchcloud_create_holds{instance_type="spot4",cause="spot-interrupted"} 1"#,
        r#"arvados_dispatchcloud_spot_substitutes{instance_type="spot4",substitute="type4"} 1"#,
    ] {
        assert!(metrics.contains(line), "{line} in {metrics}");
    }
    let on_the_twin = rig.submit(&preemptible(300));
    eventually("it runs on demand", || {
        rig.living().values().any(|(_, spot)| !*spot)
    })
    .await;
    eventually("it ran", || rig.state(&on_the_twin) == "Complete").await;
    eventually("the window is over", || {
        let metrics = rig.management("GET", "/metrics");
        metrics.contains(r#"create_holds{instance_type="spot4",cause="spot-interrupted"} 0"#)
            && rig.living().is_empty()
    })
    .await;
    let on_spot = rig.submit(&preemptible(300));
    eventually("it runs on spot again", || {
        rig.living().values().any(|(_, spot)| *spot)
    })
    .await;
    eventually("it ran", || rig.state(&on_spot) == "Complete").await;
    assert!(rig.log().contains("type4 is used in its place"));
}

/// EC2 shows that it is going before it shows why: the request that cancels waits for that, since a final container
/// takes no words.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn owners_are_told_of_an_interruption_whose_reason_ec2_shows_a_moment_later() {
    let rig = Rig::start(with_spot).await;
    let uuid = rig.submit(&preemptible(60_000));
    eventually("it runs on spot", || rig.state(&uuid) == "Running").await;
    let instance = rig.living().into_keys().next().expect("an instance");
    rig.ec2.end_in_silence(&instance);
    eventually("the daemon asks why", || {
        let forms = rig.ec2.forms();
        let by_id = |form: &BTreeMap<_, _>| form.get("InstanceId.1") == Some(&instance);
        forms
            .iter()
            .any(|form| form["Action"] == "DescribeInstances" && by_id(form))
    })
    .await;
    rig.ec2.take_back(&instance);
    eventually("it is cancelled", || rig.state(&uuid) == "Cancelled").await;
    let status = rig.lab.world(|world, _| {
        let container = &world.containers().containers()[&uuid];
        container.attribute("runtime_status").clone()
    });
    let status = status["error"].to_string();
    assert!(status.contains("took it back"), "{status}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_policy_spot_containers_run_on_spot_however_often_it_is_taken_back() {
    let rig = Rig::start(with_spot).await;
    for _ in 0..4 {
        run_and_take_back(&rig).await;
    }
    let uuid = rig.submit(&preemptible(100));
    eventually("it ran", || rig.state(&uuid) == "Complete").await;
    let story = rig.lab.world(|world, _| {
        let instances = world.instances().instances().values();
        instances
            .filter(|one| !one.bystander)
            .all(|one| one.instance_type.preemptible)
    });
    assert!(story, "nothing else was ever created");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn runners_on_spot_instances_are_told_what_they_cost() {
    let rig = Rig::start(|order| {
        with_spot(order);
        order.parameter("SpotPriceUpdateInterval", "1h");
    })
    .await;
    rig.lab.overhear();
    let uuid = rig.submit(&preemptible(4_000));
    eventually("a price was told with a list", || {
        let heard = rig.lab.heard();
        heard.iter().any(|one| match one {
            Heard::Command { line, stdin, .. } if line.contains("--stdin-prices") => {
                let told: Value = serde_json::from_slice(stdin).expect("JSON");
                told[0]["Price"].is_number() && told[0]["StartTime"].is_string()
            }
            _ => false,
        })
    })
    .await;
    let heard = rig.lab.heard();
    let lists = heard.iter().filter_map(|one| match one {
        Heard::Command { line, stdin, .. } if line.contains("--list") => Some((line, stdin)),
        _ => None,
    });
    for (line, stdin) in lists {
        let told = line.contains("--stdin-prices");
        assert_eq!(told, !stdin.is_empty(), "the flag comes with data: {line}");
    }
    eventually("it ran", || rig.state(&uuid) == "Complete").await;
}

/// With all actions of the documented policy, of which every rig here grants no more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_daemon_calls_exactly_the_actions_of_the_policy() {
    let rig = Rig::start(with_spot).await;
    let uuid = rig.submit(&preemptible(2_000));
    eventually("it runs", || rig.state(&uuid) == "Running").await;
    let instance = rig.living().into_keys().next().expect("an instance");
    for behavior in ["hold", "run"] {
        let n_tagged = || rig.ec2.calls().get("CreateTags").map_or(0, |calls| calls.0);
        let before = n_tagged();
        let path = format!("/arvados/v1/dispatch/instances/{behavior}?instance_id={instance}");
        rig.management("POST", &path);
        eventually("it is tagged", || n_tagged() > before).await;
    }
    rig.all_is_done().await;
    let called: BTreeSet<String> = rig.ec2.calls().into_keys().collect();
    assert_eq!(called, policy());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_permission_to_read_prices_all_goes_on_and_it_is_said_once() {
    let rig = Rig::start(|order| {
        with_spot(order);
        order.ec2.forbidden = ["DescribeSpotPriceHistory".to_owned()].into();
    })
    .await;
    let uuid = rig.submit(&preemptible(3_000));
    eventually("it ran", || rig.state(&uuid) == "Complete").await;
    rig.all_is_done().await;
    let log = rig.log();
    let told = log.matches("does not say what spot instances cost").count();
    let warned = (log.lines()).filter(|line| {
        line.contains("does not say what spot instances cost") && line.contains("warning")
    });
    assert_eq!(warned.count(), 1, "{told} lines in all");
    assert!(log.contains("DescribeSpotPriceHistory"), "which permission");
}
