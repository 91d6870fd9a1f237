//! A lab with the latencies under which the Go dispatcher was measured, and a dispatcher on it.

use std::{collections::BTreeSet, time::Duration};

use anyhow::{Context, bail};
use dispatch_lab::{
    Settings, Span, World,
    settings::InstanceType,
    world::{Entry, Moment, Submission},
};
use dispatch_lab_net::{Lab, LabHandle, free_address};
use serde_json::json;
use tempfile::TempDir;
use tokio::time::Instant;

use crate::{daemon::Daemon, experiments::Bench};

const GIB: u64 = 1 << 30;
/// How often the lab is looked at while something is waited for.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// List calls closer together than this belong to one poll.
const POLL_GAP_MS: u64 = 2_000;

/// What one experiment needs.
pub(crate) struct Setup {
    /// Cores of the only instance type.
    pub(crate) vcpus: u32,
    /// What differs from the default configuration under `CloudVMs`, beside what the lab needs.
    pub(crate) cloud_vms: Vec<(&'static str, String)>,
    /// Time from an order until SSH answers.
    pub(crate) boot_ms: u64,
}

/// The lab, and the dispatcher on it.
pub(crate) struct Stage {
    pub(crate) daemon: Daemon,
    lab: LabHandle,
    began: Instant,
    _folder: TempDir,
}

impl Stage {
    /// Opens the lab, lets `prepare` have a look at it, and starts the dispatcher.
    pub(crate) async fn open(
        bench: &Bench,
        setup: Setup,
        prepare: impl FnOnce(&LabHandle) -> anyhow::Result<()>,
    ) -> anyhow::Result<Stage> {
        let mut folder = tempfile::Builder::new();
        folder.prefix("arvados-dispatch-bench-");
        let folder = match &bench.logs {
            Some(place) => {
                std::fs::create_dir_all(place)
                    .with_context(|| format!("make {}", place.display()))?;
                folder.disable_cleanup(true).tempdir_in(place)?
            }
            None => folder.tempdir()?,
        };
        let mut lab = Lab::new(1, settings(&setup));
        lab.config.management_address = free_address()?;
        let line = |(key, value): &(&str, String)| ((*key).to_owned(), value.clone());
        lab.config.cloud_vms = setup.cloud_vms.iter().map(line).collect();
        let lab = lab.start().await?;
        lab.world(|world, _| world.keep_journal());
        prepare(&lab)?;
        let config = folder.path().join("config.yml");
        let mut text = lab.config_yaml().to_owned();
        if let Some(level) = &bench.log_level {
            text.push_str(&format!("    SystemLogs:\n      LogLevel: {level}\n"));
        }
        std::fs::write(&config, text).with_context(|| format!("write {}", config.display()))?;
        let log = folder.path().join("dispatcher.log");
        let daemon = Daemon::start(bench.program.clone(), config, log)?;
        Ok(Stage {
            daemon,
            lab,
            began: Instant::now(),
            _folder: folder,
        })
    }

    pub(crate) fn world<R>(&self, act: impl FnOnce(&mut World, u64) -> R) -> R {
        self.lab.world(|world, now| act(world, now.ms))
    }

    /// Submits `n` containers of so many cores that run for so long; their UUIDs.
    pub(crate) fn submit(&self, n: usize, vcpus: u32, run_ms: u64) -> anyhow::Result<Vec<String>> {
        submit(&self.lab, n, vcpus, run_ms)
    }

    /// Lets the machines of these instances come up, spread evenly over so long, after so long.
    pub(crate) fn boot_evenly(&self, instances: &[String], after_ms: u64, over_ms: u64) {
        let n = instances.len().max(1) as u64;
        self.lab.world(|world, now| {
            for (i, instance) in (0..).zip(instances) {
                world.boot_after(instance, after_ms + i * over_ms / n, now);
            }
        });
    }

    pub(crate) fn instances(&self) -> Vec<String> {
        self.world(|world, _| world.vms().keys().cloned().collect())
    }

    /// The dispatcher is about to be killed: what happens from here on is written into a new journal.
    pub(crate) fn begin_again(&self) -> u64 {
        self.lab.world(|world, now| {
            world.dispatcher_restarted();
            world.keep_journal();
            now.ms
        })
    }

    /// What the lab has written down.
    pub(crate) fn journal(&self) -> Journal {
        Journal(self.world(|world, _| world.journal().to_vec()))
    }

    /// Waits until the lab shows this.
    pub(crate) async fn until(
        &mut self,
        what: &str,
        within: Duration,
        mut shows: impl FnMut(&World) -> bool,
    ) -> anyhow::Result<()> {
        let by = Instant::now() + within;
        while !self.world(|world, _| shows(world)) {
            self.daemon.check()?;
            if Instant::now() > by {
                bail!("{what} is not so after {} s", within.as_secs());
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok(())
    }

    /// Waits until these containers have a final state and their runners are gone.
    pub(crate) async fn until_done(
        &mut self,
        uuids: &[String],
        within: Duration,
    ) -> anyhow::Result<()> {
        self.until("the end of all containers", within, |world| {
            let containers = world.containers().containers();
            uuids
                .iter()
                .all(|uuid| containers.get(uuid).is_some_and(|one| one.state.is_final()))
                && world.vms().values().all(|vm| vm.runners().is_empty())
        })
        .await
    }

    /// Waits, and sees that the dispatcher lives.
    pub(crate) async fn pause(&mut self, time: Duration) -> anyhow::Result<()> {
        tokio::time::sleep(time).await;
        self.daemon.check()
    }

    /// What the lab judges, and what the dispatcher has cost so far.
    pub(crate) fn remark(&self) -> anyhow::Result<String> {
        let report = self.lab.world(|world, now| world.report(now));
        if let Some(breach) = report.breaches.first() {
            bail!("the lab saw a rule broken: {breach}");
        }
        if report.run_twice > 0 {
            bail!("{} containers ran twice", report.run_twice);
        }
        Ok(format!(
            "the dispatcher used {:.2} s of a processor in {:.0} s",
            self.daemon.cpu()?.as_secs_f64(),
            self.began.elapsed().as_secs_f64(),
        ))
    }
}

/// Submits to a lab.
pub(crate) fn submit(
    lab: &LabHandle,
    n: usize,
    vcpus: u32,
    run_ms: u64,
) -> anyhow::Result<Vec<String>> {
    let mut submission = Submission {
        run_ms: Some(run_ms),
        ..Submission::default()
    };
    submission.attributes.insert(
        "runtime_constraints".into(),
        json!({"API": false, "ram": 256 << 20, "vcpus": vcpus, "keep_cache_ram": 0, "keep_cache_disk": 0}),
    );
    lab.world(|world, now| {
        (0..n)
            .map(|_| world.submit(&submission, now))
            .collect::<Result<Vec<String>, String>>()
    })
    .map_err(|message| anyhow::anyhow!("the lab refuses a container: {message}"))
}

fn settings(setup: &Setup) -> Settings {
    let instance_type = InstanceType {
        name: format!("type{}", setup.vcpus),
        provider_type: format!("lab.{}", setup.vcpus),
        vcpus: setup.vcpus,
        ram: u64::from(setup.vcpus) * 4 * GIB,
        scratch: u64::from(setup.vcpus) * 16 * GIB,
        price: 0.1 * f64::from(setup.vcpus),
        preemptible: false,
        gpus: 0,
    };
    let mut settings = Settings {
        instance_types: vec![instance_type],
        ..Settings::default()
    };
    settings.api.latency_ms = Span::exactly(20);
    settings.cloud.create_latency_ms = Span::exactly(300);
    settings.cloud.list_latency_ms = Span::exactly(200);
    settings.cloud.tags_latency_ms = Span::exactly(200);
    settings.cloud.destroy_latency_ms = Span::exactly(200);
    settings.cloud.address_ms = Span::exactly(0);
    settings.vm.port = 0;
    settings.vm.boot_ms = Span::exactly(setup.boot_ms);
    settings.vm.boot_probe_fails_ms = Span::exactly(0);
    // `--list` answers after 10 ms, `--detach` after 30 ms, Running follows 100 ms later.
    settings.vm.exec_ms = Span::exactly(10);
    settings.runner.detach_ms = Span::exactly(20);
    settings.runner.start_ms = Span::exactly(120);
    settings.runner.exit_lag_ms = Span::exactly(10);
    settings
}

/// What the lab has written down.
pub(crate) struct Journal(Vec<Entry>);

impl Journal {
    pub(crate) fn entries(&self) -> &[Entry] {
        &self.0
    }

    /// When something of this kind happened, ms.
    pub(crate) fn times(&self, is: impl Fn(&Moment) -> bool) -> Vec<u64> {
        let entries = self.0.iter();
        entries
            .filter(|entry| is(&entry.moment))
            .map(|entry| entry.ms)
            .collect()
    }

    /// What `pick` finds, with its time, in the order of time.
    pub(crate) fn pick<'a, T>(
        &'a self,
        pick: impl Fn(&'a Moment) -> Option<T>,
    ) -> impl Iterator<Item = (u64, T)> {
        self.0
            .iter()
            .filter_map(move |entry| Some((entry.ms, pick(&entry.moment)?)))
    }

    /// When these containers' start commands arrived.
    pub(crate) fn starts_of(&self, uuids: &[String]) -> Vec<u64> {
        let wanted: BTreeSet<&String> = uuids.iter().collect();
        self.times(|moment| matches!(moment, Moment::Began { uuid, .. } if wanted.contains(uuid)))
    }

    /// When the last poll before `end` began, of those that began after `begin`; a list call is all that is seen of it.
    pub(crate) fn poll_between(&self, begin: u64, end: u64) -> Option<u64> {
        let lists = self.times(|moment| {
            matches!(moment, Moment::Asked { path, .. } if path.trim_end_matches('/').ends_with("/containers"))
        });
        let mut began: Option<u64> = None;
        let mut last = 0;
        for at in lists.into_iter().filter(|at| (begin..=end).contains(at)) {
            if began.is_none() || at - last > POLL_GAP_MS {
                began = Some(at);
            }
            last = at;
        }
        began
    }
}
