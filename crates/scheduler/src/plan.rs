//! What a plan consists of.

use std::{collections::BTreeMap, fmt, time::Duration};

use dispatch_model::{ContainerId, InstanceTypeName, Time, WorkerId};
use jiff::Timestamp;

use crate::Wait;

/// What to do now. Complete: whoever follows it has nothing left to choose.
///
/// All lists are in the order in which they matter: the most important first. No container is in two of `lock`,
/// `unlock`, `start` and `create`, and none of them is in what [`reconcile`](crate::reconcile()) says for the same
/// snapshots, except that `reconcile` may forget or kill what this plan leaves alone.
#[must_use]
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Plan {
    /// Queued containers to lock: each has room on a worker that is there or will be.
    pub lock: Vec<ContainerId>,
    /// Locked containers to give back.
    pub unlock: Vec<(ContainerId, UnlockReason)>,
    /// Locked containers to start, each on a worker that takes work and has room for it.
    pub start: Vec<(ContainerId, WorkerId)>,
    /// Instances to create.
    pub create: Vec<Create>,
    /// Workers to shut down, because they are in the way of an instance that is wanted more (facts S17). None of them
    /// has a container or is held.
    pub shut_down: Vec<WorkerId>,
    /// Why each container that does not run yet does not; none for those in state Running or final.
    pub waits: BTreeMap<ContainerId, Wait>,
    /// What the metrics say of this plan.
    pub figures: Figures,
    /// When to plan again even if nothing happens: a hold ends, or somebody's patience does (facts S26).
    pub again_at: Option<Time>,
}

impl Plan {
    /// Whether there is nothing to do: the same snapshots and limits give the same plan again until
    /// [`Plan::again_at`].
    pub fn orders_nothing(&self) -> bool {
        self.lock.is_empty()
            && self.unlock.is_empty()
            && self.start.is_empty()
            && self.create.is_empty()
            && self.shut_down.is_empty()
    }
}

/// An instance to create.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Create {
    /// Of which type.
    pub instance_type: InstanceTypeName,
    /// The Locked container that needs it. Others may have been counted on it too.
    pub container: ContainerId,
}

/// Why a Locked container is given back.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum UnlockReason {
    /// The cloud allows no instance for it, and it is not the next in line (facts S10).
    AtQuota,
    /// The cloud allows not even one instance: others may have better luck (facts S10).
    NoInstances,
    /// It is a supervisor beyond the limit (facts S16).
    SupervisorLimit,
    /// Its runner ended without having said that the container runs (facts §8.4).
    RunnerEnded,
    /// It was locked before this daemon started and may be on an instance that does not answer (facts S6, K2).
    StaleLock,
    /// Its priority is 0 (facts S32).
    PriorityZero,
}

impl fmt::Display for UnlockReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            UnlockReason::AtQuota => "no instance may be created for it now",
            UnlockReason::NoInstances => "the cloud allows not even one instance",
            UnlockReason::SupervisorLimit => "too many supervisors are running",
            UnlockReason::RunnerEnded => "its runner ended before the container ran",
            UnlockReason::StaleLock => {
                "an earlier dispatcher locked it and its runner was not found"
            }
            UnlockReason::PriorityZero => "its priority is 0",
        })
    }
}

/// What the metrics say of a plan (facts §4).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Figures {
    /// Containers that wait for a worker which is booting, unknown, or to be created.
    pub allocated_not_started: usize,
    /// Containers for which the cloud allows no instance now, and supervisors beyond the limit.
    pub not_allocated_over_quota: usize,
    /// A limit of the account or of the configuration keeps a container from getting an instance.
    pub at_quota: bool,
    /// Containers with a runner, or Running as far as the API knows.
    pub running: usize,
    /// When the oldest container was made that is wanted, is Queued or Locked, and is on no worker (facts S39).
    pub oldest_waiting: Option<Timestamp>,
}

impl Figures {
    /// How long that container has waited; zero if there is none or if it is dated in the future.
    pub fn longest_wait(&self, wall: Timestamp) -> Duration {
        self.oldest_waiting
            .and_then(|oldest| Duration::try_from(wall.duration_since(oldest)).ok())
            .unwrap_or_default()
    }
}
