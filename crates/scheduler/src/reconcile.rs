//! Where queue and pool contradict each other, and how to set it right (facts §8.4).

use std::fmt;

use dispatch_model::{ContainerId, Now, PoolSnapshot, QueueSnapshot, Time, WorkerId};

use crate::{Recovery, UnlockReason};

/// What [`reconcile`] found.
#[must_use]
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Repairs {
    /// What to do, in order of container.
    pub repairs: Vec<Repair>,
    /// When to look again even if nothing happens.
    pub again_at: Option<Time>,
}

/// One thing to set right. Containers that are `busy` are never among them, but for `DropExited`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Repair {
    /// Cancel the container in the API: it can never end by itself.
    Cancel {
        /// Which one.
        container: ContainerId,
        /// Why; `Display` is fit for `runtime_status.error`.
        reason: CancelReason,
    },
    /// Give the lock back.
    Unlock {
        /// Which container.
        container: ContainerId,
        /// Why.
        reason: UnlockReason,
    },
    /// End the runner on this worker.
    Kill {
        /// Whose runner.
        container: ContainerId,
        /// Where.
        worker: WorkerId,
        /// Why.
        reason: KillReason,
    },
    /// The queue need not keep the container any longer.
    Forget {
        /// Which one.
        container: ContainerId,
    },
    /// The pool need not remember any longer that runners of this container have exited.
    DropExited {
        /// Which one.
        container: ContainerId,
    },
}

/// Why a container is cancelled. `Display` is a sentence for its owner.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum CancelReason {
    /// Its runner is gone, and the API, asked later, still says that it runs.
    RunnerEnded,
    /// The API says that it runs, but no instance knows of it.
    NotFound,
}

/// Why a runner is ended.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum KillReason {
    /// The container's priority is 0.
    PriorityZero,
    /// The container has ended.
    Ended,
    /// The container is Queued again: this is a leftover of an earlier attempt (facts S4).
    PreviousAttempt,
    /// The queue does not know the container (facts Q21).
    NotInQueue,
    /// Another runner of the same container was seen earlier.
    SecondRunner,
}

impl fmt::Display for CancelReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            CancelReason::RunnerEnded => {
                "the process that ran the container ended, or its instance died, before the container was finished"
            }
            CancelReason::NotFound => {
                "the container was running, but no process and no instance that runs it could be found"
            }
        })
    }
}

impl fmt::Display for KillReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            KillReason::PriorityZero => "the container's priority is 0",
            KillReason::Ended => "the container has ended",
            KillReason::PreviousAttempt => "the container is queued again",
            KillReason::NotInQueue => "the container is not in the queue",
            KillReason::SecondRunner => "another runner of the container was there first",
        })
    }
}

/// Says where queue and pool contradict each other. Same input, same answer.
///
/// The order of a container's `RunnerView`s matters: the first was seen first.
pub fn reconcile(
    queue: &QueueSnapshot,
    pool: &PoolSnapshot,
    recovery: &Recovery,
    now: Now,
) -> Repairs {
    let _ = (queue, pool, recovery, now);
    Repairs::default()
}
