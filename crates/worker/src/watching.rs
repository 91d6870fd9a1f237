//! The exit watch: which runners the instance was told to watch, so that their end is noticed at once.

use std::time::Duration;

use dispatch_model::{ContainerId, Time, WorkerState};

use crate::{Action, desk::Desk, runners::Runner, worker::Worker};

/// The first pause before a lost watch is set up again.
const FIRST_WATCH_PAUSE: Duration = Duration::from_secs(1);

/// What the instance was told to watch.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    /// What it was told last; empty also when it was never told, or has been lost.
    told: Vec<ContainerId>,
    told_at: Time,
    /// Not before this, after it was lost.
    not_before: Time,
    pause: Duration,
}

impl Worker {
    /// Tells the instance which runners to watch, if that has changed.
    pub(crate) fn advance_watch(&mut self, desk: &mut Desk) {
        let now = desk.time();
        if self.address.is_none()
            || self.state == WorkerState::Shutdown
            || now < self.watch.not_before
        {
            return;
        }
        let wanted = self.watchable();
        if !wanted.iter().copied().eq(&self.watch.told) {
            let containers: Vec<ContainerId> = wanted.into_iter().cloned().collect();
            self.watch.told.clone_from(&containers);
            self.watch.told_at = now;
            desk.order(Action::Watch {
                worker: self.id,
                containers,
            });
        }
    }

    fn watchable(&self) -> Vec<&ContainerId> {
        let runners = self.runners.by_container.iter();
        runners
            .filter(|(_, runner)| runner.is_watchable())
            .map(|(container, _)| container)
            .collect()
    }

    pub(crate) fn watch_due(&self) -> Option<Time> {
        let idle = self.state == WorkerState::Shutdown
            || self.address.is_none()
            || self.watch.told_at >= self.watch.not_before
            || self.watchable().is_empty();
        (!idle).then_some(self.watch.not_before)
    }

    /// The watch saw a runner end. Only a list decides, but it is asked for at once.
    pub(crate) fn ended(&mut self, container: &ContainerId, desk: &Desk) {
        let runner = self.runners.by_container.get(container);
        if runner.is_some_and(Runner::is_live) {
            self.watch.pause = Duration::ZERO;
            self.probe_within(Duration::ZERO, desk);
        }
    }

    /// The watch has ended by itself. It is set up again after a pause that grows if it never lasts, as on an instance
    /// without `flock`; what it may have missed shows in a list.
    pub(crate) fn watch_lost(&mut self, desk: &Desk) {
        let now = desk.time();
        if self.watch.told.is_empty() {
            return;
        }
        let lasted = now.since(self.watch.told_at) >= desk.settings.probe_interval;
        if lasted || self.watch.pause.is_zero() {
            self.watch.pause = FIRST_WATCH_PAUSE.min(desk.settings.probe_interval);
            self.probe_within(Duration::ZERO, desk);
        } else {
            self.watch.pause = (self.watch.pause * 2).min(desk.settings.probe_interval);
        }
        self.watch.told.clear();
        self.watch.not_before = now + self.watch.pause;
    }
}
