//! When to look at which container again.

use std::collections::{BTreeMap, BTreeSet};

use dispatch_model::{ContainerId, Time};

/// One alarm per container at most.
#[derive(Debug, Default)]
pub(super) struct Wakes {
    by_time: BTreeSet<(Time, ContainerId)>,
    by_id: BTreeMap<ContainerId, Time>,
}

impl Wakes {
    /// Sets the alarm of a container, instead of the one it had.
    pub(super) fn set(&mut self, id: &ContainerId, at: Time) {
        self.forget(id);
        self.by_time.insert((at, id.clone()));
        self.by_id.insert(id.clone(), at);
    }

    pub(super) fn forget(&mut self, id: &ContainerId) {
        if let Some(at) = self.by_id.remove(id) {
            self.by_time.remove(&(at, id.clone()));
        }
    }

    /// A container whose time has come; it has no alarm any more.
    pub(super) fn next_due(&mut self, now: Time) -> Option<ContainerId> {
        self.by_time.first().filter(|(at, _)| *at <= now)?;
        let (_, id) = self.by_time.pop_first()?;
        self.by_id.remove(&id);
        Some(id)
    }

    pub(super) fn deadline(&self) -> Option<Time> {
        self.by_time.first().map(|(at, _)| *at)
    }
}
