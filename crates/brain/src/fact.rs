//! What became known, for the log and the counters: things that no snapshot shows.

use std::time::Duration;

use dispatch_container_queue as queue;
use dispatch_model::{ContainerId, WorkerId};
use dispatch_scheduler::{KillReason, UnlockReason};
use dispatch_worker as pool;

/// Something that became known.
#[derive(Clone, PartialEq, Debug)]
pub enum Fact {
    /// About a container.
    Queue(queue::Fact),
    /// About an instance or the cloud.
    Pool(pool::Fact),
    /// About a decision.
    Brain(BrainNews),
}

/// A decision, or a change of what limits decisions.
#[derive(Clone, PartialEq, Debug)]
pub enum BrainNews {
    /// As many containers may run from now on; `None`: as many as there is room for.
    ContainerLimit {
        /// Before.
        from: Option<usize>,
        /// After.
        to: Option<usize>,
    },
    /// Everything that was found at the start has been dealt with.
    Recovered {
        /// Since the start.
        after: Duration,
        /// Instances that never answered.
        silent: usize,
    },
    /// A lock is given back.
    Unlocking {
        /// Which container.
        container: ContainerId,
        /// Why.
        reason: UnlockReason,
    },
    /// A container is cancelled because it can never end by itself.
    Cancelling {
        /// Which container.
        container: ContainerId,
        /// Why, in the words that its owner reads.
        reason: String,
    },
    /// A runner is ended.
    Killing {
        /// Whose.
        container: ContainerId,
        /// Where.
        worker: WorkerId,
        /// Why.
        reason: KillReason,
    },
    /// A command was about to break an invariant. It was not sent, and what it concerns is set aside.
    Violation {
        /// The container that is started no more until the daemon restarts, if it is about one.
        container: Option<ContainerId>,
        /// The rule and how it would have been broken.
        message: String,
    },
}
