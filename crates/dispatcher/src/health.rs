//! Whether the dispatcher does its work (facts K31): polls and lists come in, the loop turns, nothing was set aside.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use dispatch_brain::Snapshot;
use dispatch_model::Time;

use crate::clock::Clock;

/// When things last went well; written by the calls, read by the management API.
#[derive(Debug)]
pub(crate) struct Health {
    clock: Clock,
    poll_stale_after: Duration,
    list_stale_after: Duration,
    polled_at: AtomicU64,
    listed_at: AtomicU64,
    turned_at: AtomicU64,
}

/// The loop turns at least this often while all is well, if only to show that it does.
pub(crate) const HEARTBEAT: Duration = Duration::from_secs(5);
/// Without a turn for this long the loop is stuck.
const STUCK_AFTER: Duration = Duration::from_secs(30);

impl Health {
    /// A poll or a list that is overdue by several intervals is a fault.
    pub(crate) fn new(clock: Clock, poll_interval: Duration, sync_interval: Duration) -> Health {
        let now = clock.time().millis();
        Health {
            clock,
            poll_stale_after: (poll_interval * 3).max(Duration::from_secs(90)),
            list_stale_after: (sync_interval * 3).max(Duration::from_secs(180)),
            polled_at: AtomicU64::new(now),
            listed_at: AtomicU64::new(now),
            turned_at: AtomicU64::new(now),
        }
    }

    /// A poll of the container queue was answered.
    pub(crate) fn polled(&self, ok: bool) {
        self.note(&self.polled_at, ok);
    }

    /// A list of the instances was answered.
    pub(crate) fn listed(&self, ok: bool) {
        self.note(&self.listed_at, ok);
    }

    /// The loop turned.
    pub(crate) fn turned(&self) {
        self.note(&self.turned_at, true);
    }

    /// What is wrong, if something is.
    pub(crate) fn check(&self, snapshot: &Snapshot) -> Result<(), String> {
        let now = self.clock.time();
        let age = |at: &AtomicU64| now.since(Time::from_millis(at.load(Ordering::Relaxed)));
        let mut faults = Vec::new();
        if age(&self.turned_at) > STUCK_AFTER {
            faults.push(format!(
                "the dispatcher's loop has been stuck for {} s",
                age(&self.turned_at).as_secs()
            ));
        }
        if age(&self.polled_at) > self.poll_stale_after {
            faults.push(format!(
                "the container queue has not been read for {} s",
                age(&self.polled_at).as_secs()
            ));
        }
        if age(&self.listed_at) > self.list_stale_after {
            faults.push(format!(
                "the cloud has not listed the instances for {} s",
                age(&self.listed_at).as_secs()
            ));
        }
        if let Some(hold) = &snapshot.pool.hold
            && hold.cause == dispatch_model::HoldCause::RunnerUnreadable
        {
            faults.push(format!(
                "the runner's program cannot be read: {}",
                hold.detail
            ));
        }
        if snapshot.violations > 0 {
            faults.push(format!(
                "{} commands were withheld because they would have broken a rule; see the log for `invariant`",
                snapshot.violations
            ));
        }
        if faults.is_empty() {
            Ok(())
        } else {
            Err(faults.join("; "))
        }
    }

    fn note(&self, at: &AtomicU64, ok: bool) {
        if ok {
            at.store(self.clock.time().millis(), Ordering::Relaxed);
        }
    }
}
