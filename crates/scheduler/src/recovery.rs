//! What is not known yet after a restart, and until when to wait for it (facts S5, S6, K2; "After a restart").

use std::{collections::BTreeSet, time::Duration};

use dispatch_model::{
    PoolSnapshot, QueueEntry, QueueSnapshot, Time, WorkerId, WorkerState, WorkerView,
};

/// Adopted workers answer within a moment. Those behind a lock found at the start wait so long for the sake of its turn.
const USUAL: Duration = Duration::from_secs(5);

/// Keeps account of the adopted workers that have not said yet what runs on them.
///
/// Locks found at the start are neither used nor given back, and containers of which no runner has been seen are not
/// taken for lost, on queue data that was asked for before the last such answer. Which containers these are is worked
/// out anew each time, never remembered: one that has been found alive meanwhile must not be touched (facts K2).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Recovery {
    /// Until then what was found keeps its turn.
    usual_until: Time,
    give_up_at: Time,
    unknown_patience: Duration,
    /// Until when a start that an earlier daemon has sent may still show, if any instance of its was found.
    late_starts_until: Time,
    found_any: bool,
    surveyed: bool,
    silent: BTreeSet<WorkerId>,
    /// When something last became known about an adopted worker: it answered, came or went.
    news_at: Option<Time>,
}

impl Recovery {
    /// A daemon that starts at `now`. It waits for silent workers for `stale_lock_timeout` (`StaleLockTimeout`) before
    /// it gives back the locks it has found, and takes a worker in state unknown for dead, as far as lost containers
    /// are concerned, after `unknown_patience` (`TimeoutBooting`; held workers are never shut down, so their silence
    /// must not count for ever).
    pub fn new(stale_lock_timeout: Duration, unknown_patience: Duration, now: Time) -> Recovery {
        Recovery {
            usual_until: now + USUAL,
            give_up_at: now + stale_lock_timeout,
            unknown_patience,
            late_starts_until: now + stale_lock_timeout + stale_lock_timeout / 4,
            found_any: false,
            surveyed: false,
            silent: BTreeSet::new(),
            news_at: None,
        }
    }

    /// For those who have no past: whatever is found may be used at once.
    pub fn nothing() -> Recovery {
        Recovery {
            usual_until: Time::ZERO,
            give_up_at: Time::ZERO,
            unknown_patience: Duration::ZERO,
            late_starts_until: Time::ZERO,
            found_any: false,
            surveyed: true,
            silent: BTreeSet::new(),
            news_at: None,
        }
    }

    /// Looks at the pool. To be called with every new snapshot, before planning and reconciling with it.
    pub fn note(&mut self, pool: &PoolSnapshot, now: Time) {
        if !pool.surveyed {
            return;
        }
        let silent: BTreeSet<WorkerId> = (pool.workers.values())
            .filter(|worker| is_silent(worker))
            .map(|worker| worker.id)
            .collect();
        self.found_any |= !silent.is_empty();
        if !self.surveyed || silent != self.silent {
            self.surveyed = true;
            self.silent = silent;
            self.news_at = Some(now);
        }
    }

    /// Since when nothing more is waited for before locks found at the start are dealt with; `None`: it still is.
    pub fn over_since(&self, now: Time) -> Option<Time> {
        if !self.surveyed {
            return None;
        }
        let news_at = self.news_at.unwrap_or(Time::ZERO);
        if self.silent.is_empty() {
            Some(news_at)
        } else if now >= self.give_up_at {
            Some(news_at.max(self.give_up_at))
        } else {
            None
        }
    }

    /// When waiting for silent workers comes to its next step, if any still are waited for.
    pub fn deadline(&self, now: Time) -> Option<Time> {
        let usual = self.usual_until(now).unwrap_or(self.give_up_at);
        (self.over_since(now).is_none() && self.surveyed).then_some(usual.min(self.give_up_at))
    }

    /// Whether the queue must be listed anew before everything that was found at the start can be dealt with.
    pub fn wants_list(&self, queue: &QueueSnapshot, now: Time) -> bool {
        let stale = |over| queue.listed_at.is_none_or(|listed| listed < over);
        self.news_at.is_some() && self.over_since(now).is_some_and(stale)
    }

    /// Workers that have not said what runs on them.
    pub fn silent(&self) -> &BTreeSet<WorkerId> {
        &self.silent
    }

    /// Whether what the API says of this container was asked for after all that could be known was known.
    pub(crate) fn trusts(&self, entry: &QueueEntry, now: Time) -> bool {
        match (self.over_since(now), self.news_at) {
            (Some(_), None) => true,
            // What was asked for in the same moment was asked after it: whoever was asked answers later still.
            (Some(over), Some(_)) => entry.as_of >= over,
            (None, _) => false,
        }
    }

    /// Whether a lock found at the start is as good as a new one: no runner of an earlier daemon hides behind it.
    pub(crate) fn may_use(&self, entry: &QueueEntry, now: Time) -> bool {
        self.silent.is_empty() && self.trusts(entry, now)
    }

    /// Until when a lock found at the start that may not be used yet keeps its turn; `None`: it has had time enough.
    pub(crate) fn usual_until(&self, now: Time) -> Option<Time> {
        (now < self.usual_until).then_some(self.usual_until)
    }

    /// Whether this worker may still turn out to run a container of which nothing is known, and until when.
    pub(crate) fn may_hide_a_runner(&self, worker: &WorkerView, now: Time) -> Option<Time> {
        let until = worker.state_since + self.unknown_patience;
        (is_silent(worker) && now < until).then_some(until)
    }

    /// Until when a Running container without a runner may have one after all: the last start of a dead daemon may
    /// have arrived on an instance after that was asked what runs on it. Until then each is asked again.
    pub(crate) fn late_starts_until(&self, now: Time) -> Option<Time> {
        (self.found_any && now < self.late_starts_until).then_some(self.late_starts_until)
    }

    /// When something last became known about an adopted worker.
    pub(crate) fn news_at(&self) -> Option<Time> {
        self.news_at
    }
}

/// Found by us rather than created, and it has not answered what runs on it.
fn is_silent(worker: &WorkerView) -> bool {
    worker.state == WorkerState::Unknown && !worker.runners_known
}
