//! The pool: every worker, and what keeps new ones from being created.

use std::{collections::BTreeMap, sync::Arc};

use dispatch_model::{
    InstanceId, InstanceType, InstanceTypeName, Now, PoolSnapshot, Time, WorkerId,
};

use crate::{Effects, Event, Settings};

/// Every instance we have, as we know it.
#[derive(Debug)]
pub struct Pool {
    settings: Settings,
    types: BTreeMap<InstanceTypeName, Arc<InstanceType>>,
    snapshot: PoolSnapshot,
    revision: u64,
}

impl Pool {
    /// An empty pool, which begins with asking for a list.
    pub fn new(settings: Settings, types: BTreeMap<InstanceTypeName, Arc<InstanceType>>) -> Pool {
        Pool {
            settings,
            types,
            snapshot: PoolSnapshot::default(),
            revision: 0,
        }
    }

    /// Takes one event in and fires the deadlines that are due.
    pub fn handle(&mut self, event: Event, now: Now) -> Effects {
        let _ = (event, now, &self.settings, &self.types);
        Effects::default()
    }

    /// When to send `Event::Tick` if nothing else happens first.
    pub fn deadline(&self) -> Option<Time> {
        None
    }

    /// The pool as it is, kept up to date with each event. Cloning it for readers is cheap: views are shared.
    pub fn snapshot(&self) -> &PoolSnapshot {
        &self.snapshot
    }

    /// Grows with each change of the snapshot that a planner could care about: plan again when it has.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// The worker that is our view of this instance.
    pub fn worker_of(&self, instance: &InstanceId) -> Option<WorkerId> {
        let _ = instance;
        None
    }
}
