//! What readers see: the management API, the metrics, health. A value of its own, so that nobody waits for the brain.

use std::{collections::BTreeMap, sync::Arc};

use dispatch_container_queue::Details;
use dispatch_model::{ContainerId, PoolSnapshot, QueueSnapshot, Time};
use dispatch_scheduler::{Limits, Plan, Wait};

/// The dispatcher at one moment.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The container queue.
    pub queue: QueueSnapshot,
    /// The containers' records, by id.
    pub details: BTreeMap<ContainerId, Arc<Details>>,
    /// The worker pool.
    pub pool: PoolSnapshot,
    /// The last plan: why each container waits, and what the metrics say.
    pub plan: Arc<Plan>,
    /// The limits of the last plan.
    pub limits: Limits,
    /// When the API last answered 503.
    pub last_503: Option<Time>,
    /// What was found at the start has been dealt with.
    pub recovered: bool,
    /// Commands that were about to break an invariant and were not sent.
    pub violations: u64,
}

/// One container for readers.
#[derive(Clone, Copy, Debug)]
pub struct ContainerView<'a> {
    /// What the planner knows of it.
    pub entry: &'a dispatch_model::QueueEntry,
    /// Its record.
    pub details: Option<&'a Arc<Details>>,
    /// Why it waits.
    pub wait: Option<&'a Wait>,
}

impl Snapshot {
    /// One container.
    pub fn container(&self, id: &ContainerId) -> Option<ContainerView<'_>> {
        let entry = self.queue.entries.get(id)?;
        Some(ContainerView {
            entry,
            details: self.details.get(id),
            wait: self.plan.waits.get(id),
        })
    }

    /// All containers in the order in which they are served: with a runner first, then Locked, then by priority, then
    /// by when they were first seen (facts S13, Q22).
    pub fn containers(&self) -> Vec<ContainerView<'_>> {
        let mut views: Vec<_> = self
            .queue
            .entries
            .keys()
            .filter_map(|id| self.container(id))
            .collect();
        views.sort_by_key(|view| {
            let entry = view.entry;
            (
                !self.pool.runners.contains_key(&entry.id),
                entry.state == dispatch_model::ContainerState::Queued,
                std::cmp::Reverse(entry.priority),
                entry.first_seen,
                entry.id.clone(),
            )
        });
        views
    }
}
