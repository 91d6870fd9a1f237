//! The lab that `serve` and `demo` start: small but real latencies, time-outs that suit SSH on a busy machine.

use std::path::{Path, PathBuf};

use anyhow::Context;
use dispatch_lab::{Settings, Span, faults::Level};
use dispatch_lab_net::{ClusterConfig, Lab};
use tempfile::TempDir;

/// TimeoutProbe of the demo's configuration, ms.
const TIMEOUT_PROBE_MS: u64 = 8000;
/// TimeoutBooting of the demo's configuration, ms.
const TIMEOUT_BOOTING_MS: u64 = 8000;
/// For so long EC2 lists what has ended, about, ms.
const ENDED_LISTED_MS: u64 = 3_600_000;
/// StaleLockTimeout of the demo's configuration, ms.
const STALE_LOCK_TIMEOUT_MS: u64 = 10_000;
/// TimeoutIdle of the demo's configuration, ms.
const TIMEOUT_IDLE_MS: u64 = 3000;

/// A lab with this much trouble in it.
pub(crate) fn lab(seed: u64, faults: Level) -> Lab {
    let mut settings = Settings {
        faults,
        timeout_probe_ms: TIMEOUT_PROBE_MS,
        timeout_idle_ms: Some(TIMEOUT_IDLE_MS),
        stale_lock_timeout_ms: Some(STALE_LOCK_TIMEOUT_MS),
        dead_type_ms: 2 * TIMEOUT_BOOTING_MS,
        ..Settings::default()
    };
    settings.vm.port = 0;
    settings.cloud.bystanders = 1;
    settings.runner.run_ms = Span::between(500, 2500);
    // Three quota groups, so that a lack of capacity in one leaves others.
    for one in &mut settings.instance_types {
        match one.vcpus {
            6..=8 => one.provider_type = format!("big.{}", one.vcpus),
            9.. => one.provider_type = format!("huge.{}", one.vcpus),
            _ => {}
        }
    }
    if faults == Level::Many {
        // As in facts §6.1: one type is never to be had, and the account is small.
        settings.cloud.never_capacity.insert("big.6".into());
        settings.cloud.quota_max_instances = Some(24);
        settings.cloud.min_ms_between_creates = 1;
    }
    Lab::new(seed, settings)
}

/// The configuration that goes with it.
pub(crate) fn config(
    management_address: String,
    runner: Option<&Path>,
    real: bool,
) -> ClusterConfig {
    let line = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    let secs = |ms: u64| format!("{}s", ms / 1000);
    ClusterConfig {
        management_address,
        deploy_runner_binary: runner
            .map(|path| path.display().to_string())
            .unwrap_or_default(),
        // Some of the lab's creations are never answered; clouds' drivers give up theirs by themselves as well.
        driver_parameters: vec![line("CreateWithinSeconds", "10")],
        cloud_vms: vec![
            line("MaxInstances", if real { "16" } else { "64" }),
            // A machine of the lab that is a real sshd has no systemd.
            line(
                "BootProbeCommand",
                if real {
                    "test -e /run/lab-booted"
                } else {
                    "systemctl is-system-running"
                },
            ),
            line("PollInterval", "1s"),
            line("SyncInterval", "2s"),
            line("ProbeInterval", "2s"),
            line("MaxProbesPerSecond", "50"),
            line("MaxCloudOpsPerSecond", "40"),
            line("MaxConcurrentInstanceCreateOps", "4"),
            line("TimeoutIdle", &secs(TIMEOUT_IDLE_MS)),
            line("TimeoutBooting", &secs(TIMEOUT_BOOTING_MS)),
            line("TimeoutProbe", &secs(TIMEOUT_PROBE_MS)),
            line("TimeoutShutdown", "2s"),
            line("TimeoutSignal", "1s"),
            line("TimeoutTERM", "6s"),
            line("TimeoutStaleRunLock", "2s"),
            // The lab's API answers at once, or never.
            line("TimeoutAPI", "8s"),
        ],
        containers: vec![
            line("StaleLockTimeout", &secs(STALE_LOCK_TIMEOUT_MS)),
            line("MaxDispatchAttempts", "10"),
            // The next size but one may take the place of what is not to be had.
            line("MaximumPriceFactor", "2.1"),
        ],
        ..ClusterConfig::default()
    }
}

/// Changes its configuration to what finds the lab's EC2 API, given the environment that `serve` writes, and its cloud
/// to one that goes on listing what has ended, as EC2 does: an instance that lists merely omit is waited for.
pub(crate) fn as_ec2(lab: &mut Lab) {
    lab.settings.cloud.gone_listed_ms = Span::exactly(ENDED_LISTED_MS);
    let config = &mut lab.config;
    let line = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    config.driver = "ec2".into();
    config.driver_parameters = vec![
        line("Region", "us-east-1"),
        line("AccessKeyID", "AKIALABLABLABLABLABL"),
        line("SecretAccessKey", "the-lab-takes-any"),
        line("SecurityGroupIDs", "[sg-1]"),
    ];
}

/// What in-process machines get as the runner's binary: they play it, so any bytes will do, and these are few.
pub(crate) fn play_runner(directory: &Path) -> anyhow::Result<PathBuf> {
    const BYTES: usize = 256 * 1024;
    let path = directory.join("crunch-run");
    let content: Vec<u8> = b"#!/bin/sh\necho 'the lab plays this program'\n"
        .iter()
        .copied()
        .cycle()
        .take(BYTES)
        .collect();
    write(&path, &content)?;
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    Ok(path)
}

/// A new directory for the files of machines that are real `sshd` processes: these have a /tmp of their own. It goes
/// when it is dropped, which must be after its lab has ended.
pub(crate) fn machines_directory() -> anyhow::Result<TempDir> {
    let made = tempfile::Builder::new()
        .prefix("arvados-dispatch-lab-")
        .tempdir_in("/var/tmp");
    made.context(
        "the machines' files need a directory in /var/tmp; see to it that it can be written to",
    )
}

/// The demo's own directory for its configuration and log, which stays.
pub(crate) fn demo_directory(named: Option<&Path>) -> anyhow::Result<PathBuf> {
    let Some(directory) = named else {
        let made = tempfile::Builder::new()
            .prefix("arvados-dispatch-demo-")
            .tempdir();
        return Ok(made
            .with_context(|| {
                format!(
                    "cannot make a directory for configuration and log in {}; set TMPDIR to a directory that can be \
                     written to, or name one with --directory",
                    std::env::temp_dir().display()
                )
            })?
            .keep());
    };
    std::fs::create_dir_all(directory).with_context(|| {
        format!(
            "cannot make {}; name a directory that can be written to with --directory",
            directory.display()
        )
    })?;
    Ok(directory.to_owned())
}

/// Writes one of the demo's files.
pub(crate) fn write(path: &Path, content: &[u8]) -> anyhow::Result<()> {
    std::fs::write(path, content).with_context(|| {
        format!(
            "cannot write {}; make room there, or name another directory with --directory",
            path.display()
        )
    })
}

/// As many containers as the lab holds in memory at ease.
const CONTAINERS_MAX: usize = 100_000;

/// A number of containers.
pub(crate) fn parse_containers(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(n) if n <= CONTAINERS_MAX => Ok(n),
        _ => Err(format!("a number from 0 to {CONTAINERS_MAX} is needed")),
    }
}

/// A program that was built beside this one. `option` names another instead.
pub(crate) fn sibling(name: &str, option: &str) -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe().context("find this program's own path")?;
    let path = own.with_file_name(name);
    anyhow::ensure!(
        path.is_file(),
        "{} is missing: build it with `cargo build --workspace --bins`, or name one with {option}",
        path.display()
    );
    Ok(path)
}
