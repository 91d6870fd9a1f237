//! When the cloud is asked for a list: each SyncInterval, and sooner while a list should bring something.

use std::{collections::BTreeSet, time::Duration};

use dispatch_model::{CloudErrorClass, Time, WorkerId};

use crate::{
    CallId, Failure,
    desk::{OpenCall, growing_pause},
};

/// How soon a list follows something that it should show.
const SOON: Duration = Duration::from_secs(1);

/// The pace of lists. One is under way at a time.
#[derive(Debug)]
pub(crate) struct Lists {
    sync_interval: Duration,
    open: Option<OpenCall>,
    next_at: Time,
    /// The pause while something is awaited; doubles from list to list.
    pause: Duration,
    /// Workers of which a list should bring news: without an address, told to go, or perhaps created.
    awaited: BTreeSet<WorkerId>,
    failures: u32,
}

impl Lists {
    pub(crate) fn new(sync_interval: Duration) -> Lists {
        Lists {
            sync_interval,
            open: None,
            next_at: Time::ZERO,
            pause: sync_interval,
            awaited: BTreeSet::new(),
            failures: 0,
        }
    }

    /// A list should, or need not, bring news of this worker.
    pub(crate) fn await_news(&mut self, worker: WorkerId, awaited: bool, now: Time) {
        if !awaited {
            self.awaited.remove(&worker);
        } else if self.awaited.insert(worker) {
            self.pause = SOON.min(self.sync_interval);
            self.next_at = self.next_at.min(now + self.pause);
        }
    }

    /// A list must not be later than this.
    pub(crate) fn no_later_than(&mut self, at: Time) {
        self.next_at = self.next_at.min(at);
    }

    /// Whether a call is due, with an overdue one given up.
    pub(crate) fn is_due(&mut self, now: Time) -> bool {
        if self.open.take_if(|open| open.overdue_at <= now).is_some() {
            self.next_at = now;
        }
        self.open.is_none() && self.next_at <= now
    }

    /// A call has been sent.
    pub(crate) fn sent(&mut self, open: OpenCall) {
        self.open = Some(open);
    }

    /// A call was answered; when it was asked, if it is the one that is under way.
    pub(crate) fn answered(
        &mut self,
        call: CallId,
        failure: Option<&Failure>,
        now: Time,
    ) -> Option<Time> {
        let open = self.open.take_if(|open| open.call == call)?;
        let Some(failure) = failure else {
            self.failures = 0;
            let pause = if self.awaited.is_empty() {
                self.sync_interval
            } else {
                self.pause = (self.pause * 2).min(self.sync_interval);
                self.pause
            };
            self.next_at = now.max(open.asked_at + pause);
            return Some(open.asked_at);
        };
        self.failures += 1;
        self.next_at = now + growing_pause(SOON, self.failures, self.sync_interval);
        if let CloudErrorClass::RateLimited(until) = failure.class {
            self.next_at = self.next_at.max(until.min(now + self.sync_interval));
        }
        Some(open.asked_at)
    }

    pub(crate) fn deadline(&self) -> Time {
        self.open.map_or(self.next_at, |open| open.overdue_at)
    }
}
