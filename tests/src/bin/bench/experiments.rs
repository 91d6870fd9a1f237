//! The experiments: each sets a scene, lets it happen, and reads the rows' figures from the lab's journal.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    time::Duration,
};

use anyhow::Context;
use dispatch_lab::{
    World,
    world::{Entry, Moment},
};

use crate::{
    figures::Figures,
    plan,
    stage::{Setup, Stage, submit},
};

/// TimeoutIdle where instances must stay.
const STAY: &str = "10m";
/// A machine that comes up when the experiment says so.
const NOT_BY_ITSELF_MS: u64 = 3_600_000;
/// Long enough for anything that works at all.
const PATIENCE: Duration = Duration::from_secs(180);

/// What is measured, and how.
pub(crate) struct Bench {
    pub(crate) program: PathBuf,
    pub(crate) quick: bool,
    /// Where to keep what the dispatchers leave behind; nowhere if not given.
    pub(crate) logs: Option<PathBuf>,
    /// Theirs, if it is not to be the default.
    pub(crate) log_level: Option<String>,
}

/// One experiment. It measures one row or several.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Experiment {
    /// Containers arrive one by one where there is room.
    Arrivals,
    /// Containers follow each other on few small instances.
    Succession,
    /// 64 instances come up.
    Boot64,
    /// 300 instances come up, and are idle then.
    Boot300,
    /// 64 instances are wanted.
    CreateOneAtATime,
    /// The same, as fast as it may be.
    CreateUnlimited,
    /// A thousand containers appear.
    Batch,
    /// Instances have nothing to do any more.
    Idleness,
    /// The dispatcher is killed.
    Restart,
    /// The planner alone.
    Plan,
}

/// What an experiment found.
pub(crate) struct Found {
    pub(crate) rows: BTreeMap<&'static str, Figures>,
    /// What else is worth knowing.
    pub(crate) remark: String,
}

impl Found {
    fn new(
        rows: impl IntoIterator<Item = (&'static str, Vec<f64>)>,
        remark: String,
    ) -> anyhow::Result<Found> {
        let rows = rows.into_iter().map(|(name, samples)| {
            let figures = Figures::new(samples).with_context(|| format!("nothing seen for {name}"));
            Ok((name, figures?))
        });
        Ok(Found {
            rows: rows.collect::<anyhow::Result<_>>()?,
            remark,
        })
    }
}

impl Experiment {
    pub(crate) const ALL: &[Experiment] = &[
        Experiment::Plan,
        Experiment::Arrivals,
        Experiment::Succession,
        Experiment::Boot64,
        Experiment::Boot300,
        Experiment::CreateOneAtATime,
        Experiment::CreateUnlimited,
        Experiment::Batch,
        Experiment::Idleness,
        Experiment::Restart,
    ];

    pub(crate) async fn run(self, bench: &Bench) -> anyhow::Result<Found> {
        match self {
            Experiment::Arrivals => bench.arrivals().await,
            Experiment::Succession => bench.succession().await,
            Experiment::Boot64 => bench.boot("boot-64", 64, &[]).await,
            Experiment::Boot300 => bench.boot("boot-300", 300, &UNLIMITED).await,
            Experiment::CreateOneAtATime => bench.creates("create-64", &[]).await,
            Experiment::CreateUnlimited => {
                bench.creates("create-64-unlimited", &UNLIMITED[..1]).await
            }
            Experiment::Batch => bench.batch().await,
            Experiment::Idleness => bench.idleness().await,
            Experiment::Restart => bench.restart().await,
            Experiment::Plan => {
                let samples = plan::measure(bench.quick);
                let remark = format!("{} loads", samples.len());
                Found::new([("plan", samples)], remark)
            }
        }
    }
}

/// The first is enough where only the number of calls at a time is meant.
const UNLIMITED: [(&str, &str); 2] = [
    ("MaxConcurrentInstanceCreateOps", "0"),
    ("MaxCloudOpsPerSecond", "0"),
];

fn config(lines: &[(&'static str, &str)]) -> Vec<(&'static str, String)> {
    lines
        .iter()
        .map(|(key, value)| (*key, (*value).to_owned()))
        .collect()
}

fn since(begin: u64, at: u64) -> f64 {
    at as f64 - begin as f64
}

impl Bench {
    fn n(&self, full: usize) -> usize {
        if self.quick { full / 8 } else { full }
    }

    async fn arrivals(&self) -> anyhow::Result<Found> {
        let setup = Setup {
            vcpus: 16,
            cloud_vms: config(&[("MaxInstances", "1"), ("TimeoutIdle", STAY)]),
            boot_ms: 500,
        };
        let mut stage = self.open_with_first(setup, 1, 16).await?;
        let n = self.n(16).max(3) - 1;
        let mut uuids = Vec::new();
        for _ in 0..n {
            uuids.extend(stage.submit(1, 1, 1_000)?);
            // Two poll intervals and a bit over all, so that every moment of an interval has its turn.
            stage.pause(Duration::from_millis(1_370)).await?;
        }
        stage.until_done(&uuids, PATIENCE).await?;
        let journal = stage.journal();
        let (mut queued, mut listed) = (Vec::new(), Vec::new());
        for uuid in &uuids {
            let submitted = journal
                .times(|moment| matches!(moment, Moment::Submitted { uuid: one } if one == uuid));
            let began = journal.starts_of(std::slice::from_ref(uuid));
            let (submitted, began) = (submitted[0], *began.first().context("it never began")?);
            queued.push(since(submitted, began));
            listed.extend(
                journal
                    .poll_between(submitted, began)
                    .map(|poll| since(poll, began)),
            );
        }
        let rows = [("queued-to-start", queued), ("listed-to-start", listed)];
        Found::new(rows, stage.remark()?)
    }

    async fn succession(&self) -> anyhow::Result<Found> {
        let setup = Setup {
            vcpus: 1,
            cloud_vms: config(&[("MaxInstances", "4")]),
            boot_ms: 500,
        };
        let mut uuids = Vec::new();
        let mut stage = Stage::open(self, setup, |lab| {
            uuids = submit(lab, self.n(40).max(8), 1, 2_000)?;
            Ok(())
        })
        .await?;
        stage.until_done(&uuids, PATIENCE).await?;
        let mut ended: BTreeMap<String, u64> = BTreeMap::new();
        let mut samples = Vec::new();
        let journal = stage.journal();
        let happened = journal.pick(|moment| match moment {
            Moment::Began { instance, .. } => Some((instance, true)),
            Moment::Ended { instance, .. } => Some((instance, false)),
            Moment::Submitted { .. }
            | Moment::Asked { .. }
            | Moment::CreateAsked
            | Moment::Up { .. }
            | Moment::Listed { .. }
            | Moment::DestroyAsked { .. } => None,
        });
        for (at, (instance, began)) in happened {
            if !began {
                ended.insert(instance.clone(), at);
            } else if let Some(before) = ended.remove(instance) {
                samples.push(since(before, at));
            }
        }
        Found::new([("exit-to-start", samples)], stage.remark()?)
    }

    async fn boot(
        &self,
        row: &'static str,
        full: usize,
        extra: &[(&'static str, &str)],
    ) -> anyhow::Result<Found> {
        let n = self.n(full);
        let max_instances = n.to_string();
        let mut lines = vec![
            ("MaxInstances", max_instances.as_str()),
            ("TimeoutIdle", STAY),
        ];
        lines.extend(extra);
        let setup = Setup {
            vcpus: 1,
            cloud_vms: config(&lines),
            boot_ms: NOT_BY_ITSELF_MS,
        };
        let mut uuids = Vec::new();
        let mut stage = Stage::open(self, setup, |lab| {
            uuids = submit(lab, n, 1, 3_000)?;
            Ok(())
        })
        .await?;
        stage
            .until("every instance wanted", PATIENCE, |world| {
                world.vms().len() == n
            })
            .await?;
        let instances = stage.instances();
        // By then the dispatcher tries each of them twice a second, as it does while real ones boot.
        stage.boot_evenly(&instances, 5_000, 2_000);
        stage.until_done(&uuids, PATIENCE).await?;
        let journal = stage.journal();
        let up: BTreeMap<&String, u64> = journal
            .pick(|moment| match moment {
                Moment::Up { instance } => Some(instance),
                _ => None,
            })
            .map(|(at, instance)| (instance, at))
            .collect();
        let mut first: BTreeMap<&String, u64> = BTreeMap::new();
        for (at, instance) in journal.pick(|moment| match moment {
            Moment::Began { instance, .. } => Some(instance),
            _ => None,
        }) {
            first.entry(instance).or_insert(at);
        }
        let samples = first
            .iter()
            .filter_map(|(instance, at)| Some(since(*up.get(instance)?, *at)))
            .collect();
        let mut rows = vec![(row, samples)];
        if row == "boot-300" {
            let (cpu, memory) = self.idle_cost(&mut stage).await?;
            rows.extend([
                ("idle-300-cpu", vec![cpu]),
                ("idle-300-memory", vec![memory]),
            ]);
        }
        Found::new(rows, stage.remark()?)
    }

    /// Percent of a core, and resident memory in MiB at its worst, while nothing happens.
    async fn idle_cost(&self, stage: &mut Stage) -> anyhow::Result<(f64, f64)> {
        stage.pause(Duration::from_secs(5)).await?;
        let seconds: u32 = if self.quick { 10 } else { 40 };
        let before = stage.daemon.cpu()?;
        let mut worst: f64 = 0.0;
        let began = tokio::time::Instant::now();
        for _ in 0..seconds {
            stage.pause(Duration::from_secs(1)).await?;
            worst = worst.max(stage.daemon.resident_mib()?);
        }
        let used = stage.daemon.cpu()? - before;
        let share = used.as_secs_f64() / began.elapsed().as_secs_f64();
        Ok((share * 100.0, worst))
    }

    async fn creates(
        &self,
        row: &'static str,
        extra: &[(&'static str, &str)],
    ) -> anyhow::Result<Found> {
        let n = self.n(64);
        let max_instances = n.to_string();
        let mut lines = vec![("MaxInstances", max_instances.as_str())];
        lines.extend(extra);
        let setup = Setup {
            vcpus: 1,
            cloud_vms: config(&lines),
            boot_ms: 2_500,
        };
        let mut uuids = Vec::new();
        let mut stage = Stage::open(self, setup, |lab| {
            uuids = submit(lab, n, 1, 30_000)?;
            Ok(())
        })
        .await?;
        stage
            .until("every instance wanted", PATIENCE, |world| {
                world.vms().len() == n
            })
            .await?;
        let journal = stage.journal();
        let asked = journal.times(|moment| *moment == Moment::CreateAsked);
        let (first, last) = asked.first().zip(asked.last()).context("no create")?;
        let poll = journal
            .poll_between(0, *first)
            .context("no poll before the first create")?;
        Found::new([(row, vec![since(poll, *last)])], stage.remark()?)
    }

    async fn batch(&self) -> anyhow::Result<Found> {
        let n_instances = self.n(16);
        let max_instances = n_instances.to_string();
        let setup = Setup {
            vcpus: 64,
            // Room for them all comes up at once: that is not what is measured.
            cloud_vms: config(&[
                ("MaxInstances", max_instances.as_str()),
                ("TimeoutIdle", STAY),
            ]),
            boot_ms: 500,
        };
        let mut stage = self.open_with_first(setup, n_instances, 64).await?;
        let submitted = stage.world(|_, now| now);
        let uuids = stage.submit(self.n(1_000), 1, 20_000)?;
        stage
            .until("the start of all containers", PATIENCE, |world| {
                let stories = uuids.iter().filter_map(|uuid| world.judge().story(uuid));
                stories.filter(|story| story.running_ms.is_some()).count() == uuids.len()
            })
            .await?;
        let journal = stage.journal();
        let starts = journal.starts_of(&uuids);
        let locked_first = journal
            .times(|moment| matches!(moment, Moment::Asked { path, .. } if path.ends_with("/lock")))
            .into_iter()
            .find(|at| *at > submitted);
        let poll = locked_first
            .and_then(|lock| journal.poll_between(submitted, lock))
            .context("no poll before the first lock")?;
        let samples = starts.iter().map(|at| since(poll, *at)).collect();
        Found::new([("batch-1000", samples)], stage.remark()?)
    }

    async fn idleness(&self) -> anyhow::Result<Found> {
        const TIMEOUT_IDLE_MS: u64 = 10_000;
        let setup = Setup {
            vcpus: 1,
            cloud_vms: config(&[("MaxInstances", "8"), ("TimeoutIdle", "10s")]),
            boot_ms: 500,
        };
        let mut stage = Stage::open(self, setup, |lab| {
            for i in 0..8 {
                submit(lab, 1, 1, 4_000 + 370 * i)?;
            }
            Ok(())
        })
        .await?;
        let destroyed = |world: &World| {
            let moments = world.journal().iter().map(|entry| &entry.moment);
            let gone: BTreeSet<&String> = moments
                .filter_map(|moment| match moment {
                    Moment::DestroyAsked { instance } => Some(instance),
                    _ => None,
                })
                .collect();
            gone.len() == 8
        };
        stage
            .until("the end of all instances", PATIENCE, destroyed)
            .await?;
        let journal = stage.journal();
        let mut ended: BTreeMap<&String, u64> = BTreeMap::new();
        let mut samples = Vec::new();
        for (at, (instance, destroyed)) in journal.pick(|moment| match moment {
            Moment::Ended { instance, .. } => Some((instance, false)),
            Moment::DestroyAsked { instance } => Some((instance, true)),
            _ => None,
        }) {
            if !destroyed {
                ended.insert(instance, at);
            } else if let Some(before) = ended.remove(instance) {
                samples.push(since(before + TIMEOUT_IDLE_MS, at));
            }
        }
        Found::new([("idle-to-destroy", samples)], stage.remark()?)
    }

    async fn restart(&self) -> anyhow::Result<Found> {
        const LIST_ANSWER_MS: f64 = 10.0;
        let n = self.n(100);
        let max_instances = n.to_string();
        let mut lines = vec![("MaxInstances", max_instances.as_str())];
        lines.extend(UNLIMITED);
        let setup = Setup {
            vcpus: 1,
            cloud_vms: config(&lines),
            boot_ms: 500,
        };
        let mut stage =
            Stage::open(self, setup, |lab| submit(lab, n, 1, 600_000).map(drop)).await?;
        stage
            .until("every instance busy", PATIENCE, |world| {
                world.status().containers["Running"] == n
            })
            .await?;
        stage.pause(Duration::from_secs(2)).await?;
        let begin = stage.begin_again();
        stage.daemon.kill_and_start_again().await?;
        stage
            .until("every runner listed", PATIENCE, |world| {
                listed(world.journal()).len() == n
            })
            .await?;
        let samples = listed(stage.journal().entries())
            .into_values()
            .map(|at| since(begin, at) + LIST_ANSWER_MS)
            .collect();
        // Nothing may come of it: no runner is started or ended, no instance destroyed.
        stage.pause(Duration::from_secs(5)).await?;
        let harm = stage.journal().times(|moment| {
            matches!(
                moment,
                Moment::Began { .. }
                    | Moment::Ended { .. }
                    | Moment::CreateAsked
                    | Moment::DestroyAsked { .. }
            )
        });
        anyhow::ensure!(harm.is_empty(), "the restart changed something");
        Found::new([("restart-100", samples)], stage.remark()?)
    }

    /// A stage on which `n` instances have had one container of all their cores each, and are idle.
    async fn open_with_first(&self, setup: Setup, n: usize, vcpus: u32) -> anyhow::Result<Stage> {
        let mut first = Vec::new();
        let mut stage = Stage::open(self, setup, |lab| {
            // So long that none ends before the last has begun.
            first = submit(lab, n, vcpus, 500 * n as u64 + 2_000)?;
            Ok(())
        })
        .await?;
        stage.until_done(&first, PATIENCE).await?;
        stage.pause(Duration::from_secs(2)).await?;
        Ok(stage)
    }
}

/// When each instance's runners were listed first.
fn listed(entries: &[Entry]) -> BTreeMap<String, u64> {
    let mut first = BTreeMap::new();
    for entry in entries {
        if let Moment::Listed { instance } = &entry.moment {
            first.entry(instance.clone()).or_insert(entry.ms);
        }
    }
    first
}
