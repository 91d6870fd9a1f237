//! What runs on a worker: each container's runner from the start to the moment when its exit has been dealt with.
//!
//! ```text
//!  start ──► Tagging ──tag written──► Sent ──answered──► Unconfirmed ──listed──► Alive ──not listed──► Exited
//!            (GPUs only)                                      └──────not listed───────────────────────►
//! ```
//!
//! Only a list that was asked for after the last change of a runner says anything about it (facts W6, W9); what it
//! says about the others on the same worker still counts (facts K19).

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use dispatch_model::{ContainerId, RunnerReport, RunnerState, Sizing, Time};

use crate::{
    CallId, HowEnded, WorkerNews,
    desk::{Desk, OpenCall},
    killing::Kill,
    worker::Worker,
};

/// All runners of one worker.
#[derive(Debug, Default)]
pub(crate) struct Runners {
    pub(crate) by_container: BTreeMap<ContainerId, Runner>,
    /// When each container was taken out of the books, as long as a list that was asked for earlier may still come.
    removed: BTreeMap<ContainerId, u64>,
    /// What the GPU tag says of containers that we have not started.
    noted_gpus: BTreeMap<ContainerId, Vec<u32>>,
    /// Other clusters' containers that have been mentioned already.
    foreign: BTreeSet<ContainerId>,
    /// Since when the lock of a dead runner has been held (facts W12).
    stale_since: BTreeMap<ContainerId, Time>,
}

/// One runner.
#[derive(Debug)]
pub(crate) struct Runner {
    pub(crate) stage: Stage,
    /// The mark of its last change: lists that were asked for earlier say nothing about it.
    pub(crate) changed: u64,
    /// Its devices; `None` if nobody knows.
    pub(crate) gpus: Option<Vec<u32>>,
    pub(crate) kill: Option<Kill>,
}

/// How far a runner has come.
#[derive(Debug)]
pub(crate) enum Stage {
    /// Its GPU devices are being written down.
    Tagging {
        sizing: Arc<Sizing>,
        /// The call that carries them.
        carried_by: Option<CallId>,
        failures: u32,
    },
    /// The start command is under way.
    Sent { open: OpenCall },
    /// The start command has ended; it may have worked.
    Unconfirmed {
        watch: bool,
        /// The command brought no answer in time: it may be on its way, or slow, for about as long again, so that a
        /// list asked for before this, on which the runner is missing, proves nothing.
        may_come_until: Option<Time>,
    },
    /// A list has shown it.
    Alive,
    /// It is no more.
    Exited { at: Time },
}

impl Runner {
    /// It is or may be on the instance.
    pub(crate) fn is_live(&self) -> bool {
        !matches!(self.stage, Stage::Exited { .. })
    }

    /// Whether a list asked for then, or a kill command sent then, that does not find it, proves that it is not there.
    pub(crate) fn would_show(&self, asked_at: Time) -> bool {
        match &self.stage {
            Stage::Alive => true,
            Stage::Unconfirmed { may_come_until, .. } => {
                may_come_until.is_none_or(|until| asked_at >= until)
            }
            Stage::Tagging { .. } | Stage::Sent { .. } | Stage::Exited { .. } => false,
        }
    }

    fn is_given_up(&self) -> bool {
        self.is_live() && self.kill.as_ref().is_some_and(|kill| kill.given_up)
    }

    pub(crate) fn is_watchable(&self) -> bool {
        matches!(
            self.stage,
            Stage::Alive | Stage::Unconfirmed { watch: true, .. }
        )
    }

    /// As the planner sees it.
    pub(crate) fn state(&self) -> RunnerState {
        match (&self.stage, &self.kill) {
            (Stage::Exited { at }, _) => RunnerState::Exited { at: *at },
            (_, Some(kill)) if kill.given_up => RunnerState::GivenUp,
            (_, Some(_)) => RunnerState::Killing,
            (Stage::Alive, None) => RunnerState::Alive,
            (Stage::Tagging { .. } | Stage::Sent { .. } | Stage::Unconfirmed { .. }, None) => {
                RunnerState::Starting
            }
        }
    }
}

impl Runners {
    pub(crate) fn n_live(&self) -> usize {
        self.live().count()
    }

    pub(crate) fn live(&self) -> impl Iterator<Item = &ContainerId> {
        let live = self
            .by_container
            .iter()
            .filter(|(_, runner)| runner.is_live());
        live.map(|(container, _)| container)
    }

    pub(crate) fn any_given_up(&self) -> bool {
        self.by_container.values().any(Runner::is_given_up)
    }

    /// All that live are given up, and some do.
    pub(crate) fn all_given_up(&self) -> bool {
        let mut live = self.by_container.values().filter(|runner| runner.is_live());
        self.any_given_up() && live.all(Runner::is_given_up)
    }

    /// A start command has not been answered yet.
    pub(crate) fn any_starting(&self) -> bool {
        let mut runners = self.by_container.values();
        runners.any(|runner| matches!(runner.stage, Stage::Sent { .. }))
    }

    /// When the first start that was not answered in time will be known to have failed, if no list shows it.
    pub(crate) fn unsure_due(&self) -> Option<Time> {
        let runners = self.by_container.values();
        runners
            .filter_map(|runner| match &runner.stage {
                Stage::Unconfirmed { may_come_until, .. } => *may_come_until,
                Stage::Tagging { .. }
                | Stage::Sent { .. }
                | Stage::Alive
                | Stage::Exited { .. } => None,
            })
            .min()
    }

    /// When a lock of a dead runner will have been held for this long.
    pub(crate) fn stale_due(&self, timeout: Duration) -> Option<Time> {
        self.stale_since
            .values()
            .min()
            .map(|since| *since + timeout)
    }

    /// The tag names devices of containers that we have not started.
    pub(crate) fn learn_gpus(&mut self, devices: BTreeMap<ContainerId, Vec<u32>>) {
        for (container, runner) in &mut self.by_container {
            if runner.gpus.is_none() {
                runner.gpus = devices.get(container).cloned();
            }
        }
        self.noted_gpus = devices;
    }

    /// This call carries the devices of all that wait for it.
    pub(crate) fn tag_sent(&mut self, call: CallId) {
        for runner in self.by_container.values_mut() {
            if let Stage::Tagging { carried_by, .. } = &mut runner.stage {
                *carried_by = Some(call);
            }
        }
    }

    /// No list that was asked for earlier can come any more.
    pub(crate) fn forget_removed(&mut self) {
        self.removed.clear();
    }

    fn remove(&mut self, container: &ContainerId, mark: u64) {
        self.by_container.remove(container);
        self.removed.insert(container.clone(), mark);
    }
}

impl Worker {
    /// What the instance said about its runners when it was asked, at this mark and this time.
    pub(crate) fn apply_list(
        &mut self,
        report: &RunnerReport,
        asked: u64,
        asked_at: Time,
        desk: &mut Desk,
    ) {
        let alive: BTreeSet<&ContainerId> = report.alive.iter().collect();
        for container in &alive {
            self.seen_alive(container, asked, desk);
        }
        let runners = self.runners.by_container.iter();
        let ended: Vec<ContainerId> = runners
            .filter(|(container, runner)| {
                runner.would_show(asked_at) && runner.changed < asked && !alive.contains(container)
            })
            .map(|(container, _)| container.clone())
            .collect();
        for container in ended {
            self.exit(&container, HowEnded::Unlisted, desk);
        }
        if self.runners.n_live() > 0 {
            self.last_busy = desk.now.wall;
        }
        self.note_stale(report, desk);
        if report.broken {
            self.set_broken("it reports that it is broken".to_owned(), desk);
        }
    }

    fn seen_alive(&mut self, container: &ContainerId, asked: u64, desk: &mut Desk) {
        if !container.as_str().starts_with(&desk.settings.cluster_id) {
            if self.runners.foreign.insert(container.clone()) {
                let container = container.clone();
                self.tell(WorkerNews::ForeignRunner { container }, desk);
            }
            return;
        }
        let is_old_news = |changed: u64| changed >= asked;
        if self
            .runners
            .removed
            .get(container)
            .is_some_and(|mark| is_old_news(*mark))
        {
            return;
        }
        let found = match self.runners.by_container.get_mut(container) {
            Some(runner) if is_old_news(runner.changed) => return,
            Some(runner) => match &runner.stage {
                // The list was asked for while the start was under way: it proves nothing (facts W7).
                Stage::Tagging { .. } | Stage::Sent { .. } | Stage::Alive => return,
                Stage::Unconfirmed { .. } => {
                    runner.stage = Stage::Alive;
                    false
                }
                Stage::Exited { .. } => {
                    runner.stage = Stage::Alive;
                    runner.kill = None;
                    true
                }
            },
            None => {
                let runner = Runner {
                    stage: Stage::Alive,
                    changed: 0,
                    gpus: self.runners.noted_gpus.get(container).cloned(),
                    kill: None,
                };
                self.runners.by_container.insert(container.clone(), runner);
                self.last_container.get_or_insert_with(|| container.clone());
                true
            }
        };
        let container = container.clone();
        self.tell(WorkerNews::RunnerSeen { container, found }, desk);
    }

    /// The lock of a dead runner that stays held for TimeoutStaleRunLock spoils the instance (facts W12).
    fn note_stale(&mut self, report: &RunnerReport, desk: &mut Desk) {
        let now = desk.time();
        let stale_since = &mut self.runners.stale_since;
        if self.broken.is_some() {
            stale_since.clear();
            return;
        }
        stale_since.retain(|container, _| report.stale.contains(container));
        for container in &report.stale {
            if container.as_str().starts_with(&desk.settings.cluster_id) {
                stale_since.entry(container.clone()).or_insert(now);
            }
        }
        let timeout = desk.settings.stale_lock_timeout;
        let overdue = stale_since
            .iter()
            .find(|(_, since)| now.since(**since) >= timeout)
            .map(|(container, _)| container.clone());
        if let Some(container) = overdue {
            self.runners.stale_since.clear();
            let reason = format!("the lock of {container} is held although its runner has ended");
            self.set_broken(reason, desk);
        }
    }

    /// This runner is no more; that stays in the books until the planner has dealt with it (facts W10). Whoever calls
    /// this settles the worker's state.
    pub(crate) fn exit(&mut self, container: &ContainerId, how: HowEnded, desk: &mut Desk) {
        let at = desk.time();
        let mark = desk.mark();
        let Some(runner) = self.runners.by_container.get_mut(container) else {
            return;
        };
        if !runner.is_live() {
            return;
        }
        runner.stage = Stage::Exited { at };
        runner.changed = mark;
        runner.kill = None;
        self.last_busy = desk.now.wall;
        let container = container.clone();
        self.tell(WorkerNews::RunnerEnded { container, how }, desk);
    }

    /// Its exit has been dealt with.
    pub(crate) fn forget(&mut self, container: &ContainerId, desk: &mut Desk) {
        let runner = self.runners.by_container.get(container);
        if runner.is_some_and(|runner| !runner.is_live()) {
            let mark = desk.mark();
            self.runners.remove(container, mark);
        }
    }
}
