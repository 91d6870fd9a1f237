//! A cluster's day on Azure, and what goes wrong on it.

use std::collections::BTreeSet;

use dispatch_lab_net::{
    AzureBad,
    world::{Span, settings::InstanceType},
};

use crate::support::{MINUTE_MS, Rig, SCALE, container, eventually, preemptible};

/// So many looks at most lasts a storm of refusals.
const STORM_LOOKS: usize = 100;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_containers_of_mixed_sizes_run_to_the_end_while_azure_misbehaves() {
    let rig = Rig::start(|order| {
        order.with_spot();
        order.lab.settings.runner.run_ms = Span::between(200, 2_000);
        let azure = &mut order.azure;
        azure.lost_rate = 0.1;
        azure.late_rate = 0.05;
        // Carried out, and answered with 500.
        azure.mistaken_rate = 0.05;
        // Accepted, and failed for want of capacity a minute later.
        azure.fail_rate = 0.1;
        azure.create_ms = MINUTE_MS;
        azure.page = 5;
        azure.odd_rows = true;
        azure.capitals = true;
        azure.unknown_ms = 100;
        // Shown, missing, shown, however old the VM is: lists are consistent in the end alone.
        azure.flickers = Some((0.2, 3_600_000));
        // Whatever luck the others have: these strike.
        azure.fail_next = 2;
        let broken = AzureBad::Mistaken(500, "InternalServerError".to_owned(), String::new());
        for bad in [AzureBad::Lost, broken, AzureBad::Late(50)] {
            order.bad("PUT", "virtualMachines/", 1, bad);
        }
        let azure = &mut order.azure;
        // The documented buckets, in the driver's time.
        azure.bucket_speed = Some(SCALE as f64);
    })
    .await;
    let uuids: Vec<String> = (0_u64..100)
        .map(|n| {
            let vcpus = u32::try_from(1 << (n % 3)).expect("small");
            let run_ms = 200 + 17 * n;
            let on_spot = n % 10 == 9;
            rig.submit(&if on_spot {
                preemptible(run_ms)
            } else {
                container(vcpus, run_ms)
            })
        })
        .collect();
    let n_final = || {
        let states = uuids.iter().map(|uuid| rig.state(uuid));
        states
            .filter(|state| matches!(*state, "Complete" | "Cancelled"))
            .count()
    };
    // Storms come and go with the work that is done, and so do evictions.
    let mut evicted = BTreeSet::new();
    let mut storms = 0;
    eventually("all are final", || {
        let done = n_final();
        // No storm lasts for ever, also if nothing is done meanwhile.
        let storm = (10..20).contains(&(done % 40)) && storms < (1 + done / 40) * STORM_LOOKS;
        storms += usize::from(storm);
        rig.azure.set(|settings| {
            settings.throttle_rate = if storm { 0.8 } else { 0.0 };
        });
        let on_spot = uuids.iter().skip(9).step_by(10);
        let runs = |uuid: &String| rig.state(uuid) == "Running";
        if evicted.len() < 3
            && on_spot.into_iter().any(runs)
            && let Some(vm) = rig.azure.spot_vms().first()
        {
            rig.azure.take_back(vm);
            evicted.insert(vm.clone());
        }
        done == uuids.len()
    })
    .await;
    rig.azure.set(|settings| settings.throttle_rate = 0.0);
    let report = rig.all_is_done().await;
    assert_eq!(report.submitted, 100);
    // Nobody's but those that ran on a VM when it was evicted.
    assert_eq!(report.cancelled, report.doomed, "{report:?}");
    assert_eq!(report.complete, 100 - report.doomed, "{report:?}");
    assert!(report.doomed <= evicted.len(), "{report:?}");
    let struck = rig.azure.struck();
    for fault in ["evicted", "failed", "omitted", "throttled", "unknown"] {
        assert!(
            struck.contains_key(fault),
            "{fault} never struck: {struck:?}"
        );
    }
    let injections = rig.azure.settings().injections;
    assert!(
        injections.iter().all(|injection| injection.times == 0),
        "{injections:?}"
    );
    assert!(storms > 0 && !evicted.is_empty(), "{evicted:?}");
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
    let mut rig = Rig::start(|_| ()).await;
    let uuids: Vec<String> = (0..3).map(|_| rig.submit(&container(2, 6_000))).collect();
    rig.all_in_state(&uuids, "Running").await;
    let before = rig.azure.vms();
    rig.kill_and_start_again().await;
    rig.all_in_state(&uuids, "Complete").await;
    assert_eq!(rig.calls("PUT vm") as usize, before.len());
    rig.all_is_done().await;
    rig.nothing_is_left().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_size_that_is_sold_out_does_not_keep_the_others_from_being_made() {
    let rig = Rig::start(|order| {
        // What these containers would get, and a twin that costs little more.
        let types = &mut order.lab.settings.instance_types;
        let usual = types.iter().find(|one| one.name == "type2").cloned();
        let usual = usual.expect("the lab has it");
        types.push(InstanceType {
            name: "twin".to_owned(),
            provider_type: "lab.twin".to_owned(),
            price: usual.price * 1.1,
            ..usual.clone()
        });
        order.azure.sold_out.insert(usual.provider_type);
    })
    .await;
    let uuid = rig.submit(&container(1, 300));
    eventually("it ran on another", || rig.state(&uuid) == "Complete").await;
    assert_eq!(rig.calls("PUT vm"), 2, "one was refused");
    rig.all_is_done().await;
    rig.nothing_is_left().await;
}

/// Facts A8: at configuration time, not when a VM is created.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn added_scratch_keeps_the_daemon_from_starting_and_is_named_with_its_remedy() {
    let mut rig = Rig::start_unchecked(|order| {
        order.edit = Box::new(|text| text.replace("IncludedScratch:", "AddedScratch:"));
    })
    .await;
    let status = rig.ends().await;
    assert_eq!(status.code(), Some(1));
    let log = rig.log();
    assert!(log.contains("AddedScratch"), "{log}");
    assert!(log.contains("IncludedScratch"), "the remedy: {log}");
    assert_eq!(rig.azure.requests(), [], "nothing is asked of Azure");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn secrets_are_in_no_log_even_where_everything_is_logged() {
    let rig = Rig::start(|order| {
        order.edit = Box::new(|text| {
            let logs = "    SystemLogs:\n        LogLevel: trace\n    Containers:\n";
            text.replacen("    Containers:\n", logs, 1)
        });
    })
    .await;
    let uuid = rig.submit(&container(1, 200));
    eventually("it ran", || rig.state(&uuid) == "Complete").await;
    rig.all_is_done().await;
    let requests = rig.azure.requests();
    let vm = requests
        .iter()
        .find(|request| request.method == "PUT" && request.path.contains("virtualMachines"));
    let vm = vm.expect("a VM was made");
    let tags = vm.body["tags"].as_object().expect("tags");
    let secret = tags["ArvadosInstanceSecret"].as_str().expect("a secret");
    let data = vm.body["properties"]["osProfile"]["customData"].as_str();
    let token = vm.headers["authorization"].trim_start_matches("Bearer ");
    let log = rig.log();
    assert!(log.contains(r#""level":"trace""#) || log.contains(r#""level":"debug""#));
    for hidden in [secret, data.expect("data"), token, "lab-client-secret"] {
        assert!(!hidden.is_empty() && !log.contains(hidden), "{hidden}");
    }
}
