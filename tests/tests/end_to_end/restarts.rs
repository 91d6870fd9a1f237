//! Killed without warning at any instant, and started again (facts S6, S7; invariant 10).

use std::collections::BTreeMap;

use dispatch_management_api::wire::Instance;
use dispatch_model::IdleBehavior;

use crate::support::{PATIENCE, Rig, container, eventually, holds};

/// What must be known again: which containers are where, and what the operators want.
fn known(instances: &[Instance]) -> BTreeMap<String, (Vec<String>, IdleBehavior)> {
    instances
        .iter()
        .map(|instance| {
            let containers = instance.running_container_uuids.clone();
            let what = (containers.unwrap_or_default(), instance.idle_behavior);
            (instance.instance.clone(), what)
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_while_containers_run_it_knows_all_again_and_repeats_nothing() {
    let mut rig = Rig::start(|_| {}).await;
    let uuids = rig.submit_many(5, &container(1, 7_000));
    rig.all_in_state(&uuids, "Running").await;

    let ids: Vec<String> = rig.living_instances().into_iter().collect();
    let (held, drained) = (ids[0].as_str(), ids[1].as_str());
    for command in [["hold", held], ["drain", drained]] {
        let ran = rig.ctl(&command).await;
        assert_eq!(ran.code, Some(0), "{ran:?}");
    }
    eventually("the wishes are on the instances", async || {
        let tag = |id| rig.tag(id, "ArvadosIdleBehavior");
        holds(tag(held) == "hold" && tag(drained) == "drain")
    })
    .await;
    let before = known(&rig.management.instances().await);
    assert_eq!(before.len(), 5);
    let runners = rig.runners();
    assert_eq!(runners.len(), 5);

    rig.daemon.kill_without_warning().await;
    rig.start_again(|launch| launch).await;
    eventually(&format!("all is known again: {before:#?}"), async || {
        holds(known(&rig.management.instances().await) == before)
    })
    .await;
    assert_eq!(rig.runners(), runners, "the same processes still run");

    rig.all_in_state(&uuids, "Complete").await;
    eventually("only the instance on hold is left", async || {
        holds(rig.living_instances().iter().eq([held]))
    })
    .await;
    let report = rig.judge();
    assert_eq!(
        report.instances_created, 5,
        "nothing was made a second time"
    );
    for uuid in &uuids {
        let ran_by = rig
            .lab
            .world(|world, _| world.judge().story(uuid).map(|story| story.ran_by.len()));
        assert_eq!(ran_by, Some(1), "{uuid}");
    }

    let ran = rig.ctl(&["run", held]).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    rig.everything_completes().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_awkward_moments_it_loses_nothing_and_leaves_nothing_behind() {
    let mut rig = Rig::start(|_| {}).await;
    type Moment = fn(&Rig) -> bool;
    let moments: [(&str, Moment); 4] = [
        ("an instance was ordered", |rig| {
            !rig.living_instances().is_empty()
        }),
        ("a machine has booted", |rig| {
            rig.lab
                .world(|world, _| world.vms().values().any(|vm| vm.up))
        }),
        ("a runner has begun", |rig| !rig.runners().is_empty()),
        ("one is Complete", |rig| {
            rig.lab.world(|world, now| world.report(now).complete > 0)
        }),
    ];
    for (what, moment) in moments {
        rig.submit_many(4, &container(2, 1_500));
        eventually(what, async || holds(moment(&rig))).await;
        rig.daemon.kill_without_warning().await;
        // What the dead daemon sent may still be on its way.
        rig.lab.world(|world, _| world.dispatcher_restarted());
        rig.start_again(|launch| launch).await;
    }
    rig.everything_completes().await;
    assert_eq!(rig.judge().submitted, 16);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn instances_of_a_former_set_are_used_and_destroyed_like_our_own() {
    // Facts K21.
    const FORMER: &str = "0123456789abcdef0123456789abcdef";
    let mut rig =
        Rig::start(|order| order.vms("FormerInstanceSetIDs", &format!("[\"{FORMER}\"]"))).await;
    let uuids = rig.submit_many(2, &container(1, 4_000));
    rig.all_in_state(&uuids, "Running").await;
    rig.daemon.kill_without_warning().await;
    rig.lab.world(|world, _| world.dispatcher_restarted());
    // As if the token had been another one until now.
    let before = rig.living_instances();
    for id in &before {
        let url = format!("{}/instances/{id}/tags", rig.lab.cloud_url());
        let tags = serde_json::json!({"tags": {"ArvadosInstanceSetID": FORMER}});
        let client = reqwest::Client::builder().timeout(PATIENCE).build();
        let answer = client.expect("a client").post(url).json(&tags).send().await;
        let status = answer.expect("an answer").status();
        assert!(status.is_success(), "{status}");
        assert_eq!(rig.tag(id, "ArvadosInstanceSetID"), FORMER);
    }
    rig.start_again(|launch| launch).await;
    eventually("both are known again", async || {
        holds(known(&rig.management.instances().await).len() == 2)
    })
    .await;
    rig.all_in_state(&uuids, "Complete").await;
    rig.everything_completes().await;
    assert_eq!(rig.judge().instances_created, 2);
}
