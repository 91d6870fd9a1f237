//! What the daemons have to do, and how they are to do it: a quick lab, containers without end, a final judgement.

use std::{collections::BTreeMap, time::Duration};

use anyhow::bail;
use dispatch_lab::{Settings, Span, world::Submission};
use dispatch_lab_net::LabHandle;
use rand::{RngExt, rngs::StdRng};
use serde_json::json;
use tokio::time::Instant;

/// A lab whose machines are quick.
pub(crate) fn settings() -> Settings {
    let mut settings = Settings::default();
    settings.vm.port = 0;
    settings.vm.boot_ms = Span::between(50, 150);
    settings.vm.boot_probe_fails_ms = Span::between(0, 100);
    settings.cloud.create_latency_ms = Span::between(20, 60);
    settings.cloud.address_ms = Span::between(20, 60);
    settings.timeout_probe_ms = 20_000;
    settings
}

/// A dispatcher in a hurry, under `Containers.CloudVMs`.
pub(crate) fn cloud_vms() -> Vec<(String, String)> {
    [
        ("MaxInstances", "8"),
        ("PollInterval", "500ms"),
        ("SyncInterval", "1s"),
        ("ProbeInterval", "1s"),
        ("MaxProbesPerSecond", "100"),
        ("MaxCloudOpsPerSecond", "100"),
        ("MaxConcurrentInstanceCreateOps", "0"),
        ("TimeoutIdle", "1s"),
        ("TimeoutBooting", "60s"),
        ("TimeoutProbe", "60s"),
        ("TimeoutShutdown", "2s"),
        ("TimeoutSignal", "1s"),
        ("TimeoutTERM", "10s"),
        ("TimeoutStaleRunLock", "5s"),
    ]
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .into()
}

/// Submits one that takes a moment.
pub(crate) fn submit(lab: &LabHandle, luck: &mut StdRng) -> anyhow::Result<String> {
    let vcpus = luck.random_range(1..=2);
    let constraints = json!({"API": false, "ram": 256 << 20, "vcpus": vcpus, "keep_cache_ram": 0, "keep_cache_disk": 0});
    let submission = Submission {
        attributes: BTreeMap::from([("runtime_constraints".to_owned(), constraints)])
            .into_iter()
            .collect(),
        run_ms: Some(luck.random_range(300..2500)),
        exit_code: 0,
    };
    lab.world(|world, now| world.submit(&submission, now))
        .map_err(|error| anyhow::anyhow!("{error:?}"))
}

/// Its request is withdrawn: it is not to run any more.
pub(crate) fn withdraw(lab: &LabHandle, uuid: &str) {
    lab.world(|world, now| {
        world.doom(uuid, "its request was withdrawn");
        world.set_priority(uuid, 0, now);
    });
}

/// Waits until all is done and paid; nothing may have been lost, nothing have run twice, nothing be left.
pub(crate) async fn settle(
    lab: &LabHandle,
    within: Duration,
    mut check: impl FnMut() -> anyhow::Result<()>,
) -> anyhow::Result<String> {
    let by = Instant::now() + within;
    loop {
        check()?;
        let report = lab.world(|world, now| world.report(now));
        if !report.breaches.is_empty() || report.run_twice > 0 {
            bail!(
                "{} containers ran twice; {}",
                report.run_twice,
                report.breaches.join("; ")
            );
        }
        let withdrawn = report.doomed - report.doomed_but_complete;
        let unasked = report.cancelled_without_cause.is_empty();
        if report.complete + withdrawn == report.submitted && report.instances_left == 0 && unasked
        {
            return Ok(format!(
                "{} containers, all complete but {withdrawn} that were withdrawn, none run twice; {} instances made, \
                 none left",
                report.submitted, report.instances_created
            ));
        }
        if Instant::now() > by {
            bail!(
                "after {} s of rest: {} of {} containers complete, {} cancelled ({:?}), {} lost, {} instances left",
                within.as_secs(),
                report.complete,
                report.submitted,
                report.cancelled,
                report.cancelled_without_cause,
                report.lost,
                report.instances_left
            );
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
