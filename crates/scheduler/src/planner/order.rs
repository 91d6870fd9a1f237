//! In which order containers are served.

use std::cmp::Reverse;

use dispatch_model::{ContainerState, QueueEntry, Time};

use crate::Limits;

/// A waiting container's place in the order. The order of the fields is the policy, and the last one is as good as an
/// id, so that nothing is ever left to luck (facts Q22, S13).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Rank {
    class: Class,
    priority: Reverse<i64>,
    first_seen: Time,
    /// Its index in the queue snapshot, which is in the order of ids.
    pub(super) index: usize,
}

/// Locked containers go before Queued ones, whatever their priorities, since an instance may have been created for
/// them (facts S13). A Queued one that has waited for longer than the patience counts like a Locked one: else those
/// that were locked for some other room could take what is being kept for it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Class {
    LockedOrLongWaiting,
    Queued,
}

impl Rank {
    pub(super) fn of(entry: &QueueEntry, index: usize, limits: &Limits, now: Time) -> Rank {
        let long_waiting = now.since(entry.first_seen) >= limits.patience;
        Rank {
            class: if entry.state == ContainerState::Locked || long_waiting {
                Class::LockedOrLongWaiting
            } else {
                Class::Queued
            },
            priority: Reverse(entry.priority),
            first_seen: entry.first_seen,
            index,
        }
    }
}
