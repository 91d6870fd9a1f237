//! A cluster's day on EC2.

use dispatch_lab_net::{
    Bad, Injection,
    world::{
        Span,
        faults::{Fault, Level},
        world::Submission,
    },
};

use crate::support::{Rig, container, eventually};

/// They strike in time whatever the seed.
const FOR_SURE: [Fault; 6] = [
    Fault::ListError,
    Fault::ListOmitsFresh,
    Fault::DestroyError,
    Fault::SlowHandshake,
    Fault::RunnerCrashEarly,
    Fault::RunnerCrashRunning,
];

/// Holds an instance while EC2 does not know it by its id, and releases it when the tag has come through.
async fn hold_one_that_is_not_known_yet(rig: &Rig) {
    let n_unknown = || rig.ec2.struck().get("InvalidInstanceID.NotFound").copied();
    let behave = |behavior: &str, id: &str| {
        let path = format!("/arvados/v1/dispatch/instances/{behavior}?instance_id={id}");
        rig.management("POST", &path)
    };
    eventually("there is an instance", || !rig.instances().is_empty()).await;
    rig.ec2.set(|s| s.unknown_ms = 3_600_000);
    eventually("EC2 does not know one", || {
        for one in rig.instances() {
            behave("hold", one["instance"].as_str().unwrap_or_default());
        }
        n_unknown().is_some()
    })
    .await;
    rig.ec2.set(|s| s.unknown_ms = 300);
    eventually("all are released", || {
        let mut held = rig.instances();
        held.retain(|one| one["idle_behavior"] == "hold");
        for one in &held {
            behave("run", one["instance"].as_str().unwrap_or_default());
        }
        held.is_empty()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_containers_of_mixed_sizes_run_to_the_end_while_ec2_and_the_instances_misbehave()
{
    let rig = Rig::start(|order| {
        order.lab.seed = 7;
        order.lab.settings.faults = Level::Some;
        order.lab.settings.runner.run_ms = Span::between(200, 2_000);
        order.ec2.lost_rate = 0.1;
        order.ec2.late_rate = 0.1;
        order.ec2.failed_rate = 0.1;
        order.ec2.unknown_ms = 300;
        order.ec2.omitted_rate = 0.1;
        // By luck some may stay away: each strikes once for certain.
        let create = |bad| Injection::next("RunInstances", bad).after(1);
        let unknown = "InvalidInstanceID.NotFound";
        let unknown = Bad::Refused(400, unknown.to_owned(), "it does not exist".to_owned());
        order.ec2.injections = vec![
            create(Bad::Lost),
            create(Bad::Late(50)),
            create(Bad::CarriedOutBut(500, "InternalError".to_owned())),
            Injection::next("TerminateInstances", unknown).times(2),
        ];
        order.ec2.page = 5;
        order.ec2.empty_tokens = true;
        order.ec2.reserved_tags = true;
        order.ec2.bucket_speed = Some(1.0);
        order.ec2.taken_by_others = 0.5;
        // Where creates go until one is refused there, and most of the types: it strikes, whatever is created when.
        let sold_out = |name: &str| (name.to_owned(), "lab-1a".to_owned());
        order.ec2.sold_out = ["lab.1", "lab.2", "lab.3", "lab.4"].map(sold_out).into();
        // Disk that is added counts as volumes.
        order.edit = Box::new(|text| text.replace("IncludedScratch:", "AddedScratch:"));
    })
    .await;
    rig.lab.world(|world, _| world.insist_on(&FOR_SURE));
    for _ in 0..100 {
        rig.submit(&Submission::default());
    }
    hold_one_that_is_not_known_yet(&rig).await;
    let report = rig.all_is_done().await;
    assert_eq!(report.submitted, 100);
    // All but those that the faults have doomed, which the lab knows.
    let expected = report.submitted - (report.doomed - report.doomed_but_complete);
    assert_eq!(report.complete, expected, "{report:?}");
    let struck = rig.ec2.struck();
    for fault in [
        "lost",
        "late",
        "carried out but",
        "refused",
        "InvalidInstanceID.NotFound",
        "omitted",
        "InsufficientInstanceCapacity",
        "RequestLimitExceeded",
        "another page",
        "empty token",
    ] {
        assert!(struck.contains_key(fault), "no {fault}: {struck:?}");
    }
    let faults = &report.kinds_of_faults;
    for fault in FOR_SURE {
        assert!(faults.contains_key(fault.name()), "{fault:?}: {faults:?}");
    }
    assert!(rig.living().is_empty());
    // One from the image and one of added scratch for each instance.
    assert_eq!(rig.ec2.volumes(), [], "no volume is left");
    let made = rig.ec2.n_volumes_made();
    assert_eq!(made, 2 * report.instances_created as usize, "{report:?}");
    let key_pairs = rig.ec2.key_pairs();
    assert_eq!(key_pairs.len(), 1, "one, kept for next time: {key_pairs:?}");
    let calls = rig.ec2.calls();
    assert_eq!(calls["ImportKeyPair"].0, 1);
    assert!(calls["DescribeKeyPairs"].0 <= 2, "{calls:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_next_daemon_uses_the_key_pair_of_the_last_and_the_instances_it_finds() {
    let mut rig = Rig::start(|_| ()).await;
    let uuids = rig.submit_many(3, &container(2, 6_000));
    rig.all_in_state(&uuids, "Running").await;
    let before = rig.living();
    rig.kill_and_start_again().await;
    rig.all_in_state(&uuids, "Complete").await;
    let one_more = rig.submit(&container(8, 100));
    eventually("the new one is Complete", || {
        rig.state(&one_more) == "Complete"
    })
    .await;
    let report = rig.all_is_done().await;
    assert_eq!(report.instances_created as usize, before.len() + 1);
    assert_eq!(rig.ec2.key_pairs().len(), 1);
    assert_eq!(rig.ec2.calls()["ImportKeyPair"].0, 1);
}
