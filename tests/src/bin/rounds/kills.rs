//! A daemon that is killed without warning at random moments, while containers run on real sshd machines, and started
//! again: no container is lost or run twice, and no instance is left over.

use std::{fs, os::unix::fs::PermissionsExt, time::Duration};

use dispatch_lab_net::{Lab, Scheme, VmKind, free_address};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use tokio::time::sleep;

use crate::{Common, daemon::Daemon, load, say};

/// A daemon that is killed at random moments.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    common: Common,
}

/// How long everything may take to come to rest at the end.
const REST: Duration = Duration::from_secs(90);

pub(crate) async fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let Common {
        programs,
        rounds,
        seed,
    } = &arguments.common;
    say(&format!("seed {seed}"));
    let mut luck = StdRng::seed_from_u64(*seed);
    // Machines have a /tmp of their own, and log in as users who may not read what is private to this one.
    let folder = tempfile::tempdir_in("/var/tmp")?;
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755))?;
    let runner = folder.path().join("crunch-run");
    fs::copy(programs.join("lab-crunch-run"), &runner)?;
    let mut lab = Lab::new(*seed, load::settings());
    lab.scheme = Scheme::Http;
    lab.vms = VmKind::Sshd(folder.path().join("machines"));
    lab.config.management_address = free_address()?;
    lab.config.cloud_vms = load::cloud_vms();
    let booted = ("BootProbeCommand", "test -e /run/lab-booted");
    (lab.config.cloud_vms).push((booted.0.to_owned(), booted.1.to_owned()));
    lab.config.deploy_runner_binary = runner.display().to_string();
    let lab = lab.start().await?;
    let mut daemon = Daemon::start(programs, folder.path(), "daemon", lab.config_yaml())?;
    for round in 1..=*rounds {
        for _ in 0..luck.random_range(2..=4) {
            load::submit(&lab, &mut luck)?;
        }
        // Anywhere between its first look at the world and well under way.
        sleep(Duration::from_millis(luck.random_range(50..8000))).await;
        daemon.check()?;
        daemon.kill().await?;
        lab.world(|world, _| world.dispatcher_restarted());
        let (complete, submitted, left) = lab.world(|world, now| {
            let report = world.report(now);
            (report.complete, report.submitted, report.instances_left)
        });
        say(&format!(
            "round {round}: killed with {complete} of {submitted} containers complete and {left} instances"
        ));
        // What it has sent goes on arriving for a while.
        sleep(Duration::from_millis(luck.random_range(0..500))).await;
        daemon.start_again()?;
    }
    match load::settle(&lab, REST, || daemon.check()).await {
        Ok(words) => {
            say(&format!("{rounds} kills: {words}"));
            Ok(())
        }
        Err(error) => {
            say(&format!("the daemon's log:\n{}", daemon.last()));
            Err(error)
        }
    }
}
