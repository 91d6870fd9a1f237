//! In which order containers are served.

use std::cmp::Reverse;

use dispatch_model::{ContainerState, QueueEntry, Time};

/// A waiting container's place in the order. The order of the fields is the policy, and the last one is as good as an
/// id, so that nothing is ever left to luck (facts Q22, S13).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Rank {
    /// Locked containers go first, whatever their priorities: an instance may have been created or kept for them, and
    /// a lock that is given back is an attempt wasted (facts S13).
    pub(super) queued: bool,
    priority: Reverse<i64>,
    pub(super) first_seen: Time,
    /// Its index in the queue snapshot, which is in the order of ids.
    pub(super) index: usize,
}

impl Rank {
    pub(super) fn of(entry: &QueueEntry, index: usize) -> Rank {
        Rank {
            queued: entry.state != ContainerState::Locked,
            priority: Reverse(entry.priority),
            first_seen: entry.first_seen,
            index,
        }
    }
}
