//! Calls about one container: one at a time for each (facts S2), and a bounded number in all.
//!
//! What a failed call has changed is not guessed: after a pause the container is read again, and the planner decides
//! anew from what is found. Pauses grow, so that no container makes a hot loop.

use std::{collections::VecDeque, time::Duration};

use dispatch_model::{ContainerId, ContainerState, Now, Time};
use serde_json::{Map, Value};

use crate::{
    ApiFailure, Deed, Effects, Fact, FailureKind, Json, Leaving, Request,
    row::{self, Reply},
    view::{View, entry::Entry},
};

/// Calls that may be under way together. Others wait here for their turn, rather than in the client's limiter, where
/// their deadlines would run out.
const CALLS_MAX: usize = 64;

/// After this long without a failure, the next one is the first again.
const FAILURES_FORGOTTEN_AFTER: Duration = Duration::from_secs(120);

/// What is being done to a container.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Doing {
    pub(super) what: What,
    /// When it was sent; `None`: it waits for its turn.
    pub(super) sent_at: Option<Time>,
}

#[derive(Clone, PartialEq, Debug)]
pub(super) enum What {
    Lock,
    Unlock,
    /// Cancel, with this as the new `runtime_status`.
    Cancel(Option<Value>),
    Read,
    /// Read, and if the state is still this one, cancel for this reason. The runner may have ended it meanwhile, and
    /// what it has written into `runtime_status` is kept.
    ReadThenCancel {
        state: ContainerState,
        reason: String,
    },
}

impl What {
    fn deed(&self) -> Deed {
        match self {
            What::Lock => Deed::Lock,
            What::Unlock => Deed::Unlock,
            What::Cancel(_) => Deed::Cancel,
            What::Read | What::ReadThenCancel { .. } => Deed::Read,
        }
    }
}

/// Who waits for a turn, and how many calls are under way.
#[derive(Debug, Default)]
pub(super) struct Deeds {
    waiting: VecDeque<ContainerId>,
    calls: usize,
}

/// The pause after so many failures in a row: 1 s, doubled each time, at most a minute.
pub(super) fn pause_after(failures: u32) -> Duration {
    Duration::from_secs((1 << failures.saturating_sub(1).min(6)).min(60))
}

impl View {
    pub(super) fn wish_lock(&mut self, id: &ContainerId) {
        self.wish(id, &[ContainerState::Queued], |_| What::Lock);
    }

    pub(super) fn wish_unlock(&mut self, id: &ContainerId) {
        self.wish(id, &[ContainerState::Locked], |_| What::Unlock);
    }

    pub(super) fn wish_cancel(&mut self, id: &ContainerId, reason: String) {
        use ContainerState::{Locked, Queued, Running};
        self.wish(id, &[Queued, Locked, Running], |entry| {
            entry.cancellation(reason)
        });
    }

    /// The planner's wish is granted if its reason still holds, and nothing else is being done.
    fn wish(
        &mut self,
        id: &ContainerId,
        states: &[ContainerState],
        what: impl FnOnce(&Entry) -> What,
    ) {
        if let Some(entry) = self.entries.get(id)
            && !entry.is_busy()
            && states.contains(&entry.state)
        {
            let what = what(entry);
            self.begin(id, what);
        }
    }

    pub(super) fn wish_refresh(&mut self, id: &ContainerId) {
        if let Some(entry) = self.entries.get_mut(id)
            && !entry.state.is_final()
        {
            entry.read_wanted = Some(self.step);
            self.go_on_with(id);
        }
    }

    pub(super) fn pause_is_over(&mut self, id: &ContainerId) {
        if let Some(entry) = self.entries.get_mut(id) {
            entry.paused_until = None;
            self.go_on_with(id);
        }
    }

    /// Does what is next for a container by itself, if it is free, and shows what became of it.
    pub(super) fn go_on_with(&mut self, id: &ContainerId) {
        if let Some(entry) = self.entries.get_mut(id)
            && entry.doing.is_none()
            && entry.paused_until.is_none()
        {
            if entry.read_wanted.take().is_some() {
                self.begin(id, What::Read);
            } else if entry.must_be_cancelled() {
                let reason = entry.impossible.clone().unwrap_or_default();
                let what = entry.cancellation(reason);
                self.begin(id, what);
            }
        }
        self.publish(id);
    }

    fn begin(&mut self, id: &ContainerId, what: What) {
        if let Some(entry) = self.entries.get_mut(id) {
            entry.doing = Some(Doing {
                what,
                sent_at: None,
            });
            self.deeds.waiting.push_back(id.clone());
            self.publish(id);
        }
    }

    /// Sends what waits, as far as there is room.
    pub(super) fn send_deeds(&mut self, now: Now, out: &mut Effects) {
        while self.deeds.calls < CALLS_MAX
            && let Some(id) = self.deeds.waiting.pop_front()
        {
            let Some(doing) = self
                .entries
                .get_mut(&id)
                .and_then(|entry| entry.doing.as_mut())
                .filter(|doing| doing.sent_at.is_none())
            else {
                continue;
            };
            doing.sent_at = Some(now.time);
            self.deeds.calls += 1;
            out.requests.push(match &doing.what {
                What::Lock => Request::Lock { id },
                What::Unlock => Request::Unlock { id },
                What::Cancel(runtime_status) => Request::Cancel {
                    runtime_status: runtime_status.clone(),
                    id,
                },
                What::Read | What::ReadThenCancel { .. } => Request::Read { id },
            });
        }
    }

    pub(super) fn lock_answered(
        &mut self,
        id: &ContainerId,
        result: Result<Json, ApiFailure>,
        now: Now,
        out: &mut Effects,
    ) {
        self.deed_answered(id, |what| *what == What::Lock, result, now, out);
    }

    pub(super) fn unlock_answered(
        &mut self,
        id: &ContainerId,
        result: Result<Json, ApiFailure>,
        now: Now,
        out: &mut Effects,
    ) {
        self.deed_answered(id, |what| *what == What::Unlock, result, now, out);
    }

    pub(super) fn cancel_answered(
        &mut self,
        id: &ContainerId,
        result: Result<Json, ApiFailure>,
        now: Now,
        out: &mut Effects,
    ) {
        let is_cancel = |what: &What| matches!(what, What::Cancel(_));
        self.deed_answered(id, is_cancel, result, now, out);
    }

    pub(super) fn read_answered(
        &mut self,
        id: &ContainerId,
        result: Result<Json, ApiFailure>,
        now: Now,
        out: &mut Effects,
    ) {
        let is_read = |what: &What| matches!(what, What::Read | What::ReadThenCancel { .. });
        self.deed_answered(id, is_read, result, now, out);
    }

    /// Takes the answer to a call in. An answer that nobody waits for changes nothing and, above all, never makes an
    /// entry (facts Q4, Q5).
    fn deed_answered(
        &mut self,
        id: &ContainerId,
        expected: impl FnOnce(&What) -> bool,
        result: Result<Json, ApiFailure>,
        now: Now,
        out: &mut Effects,
    ) {
        let Some(entry) = self.entries.get_mut(id) else {
            return;
        };
        let Some(Doing {
            what,
            sent_at: Some(sent_at),
        }) = entry
            .doing
            .take_if(|doing| doing.sent_at.is_some() && expected(&doing.what))
        else {
            return;
        };
        self.deeds.calls -= 1;
        entry.told_at = self.step;
        let reply = result.and_then(|raw| {
            row::read_reply(&raw).map_err(|problem| ApiFailure {
                kind: FailureKind::Undecodable,
                message: format!("the API's answer cannot be used: {problem}"),
            })
        });
        match reply {
            Ok(reply) => self.deed_done(id, what, reply, sent_at, out),
            Err(failure) => self.deed_failed(id, what, failure, now, out),
        }
    }

    fn deed_done(
        &mut self,
        id: &ContainerId,
        what: What,
        reply: Reply,
        sent_at: Time,
        out: &mut Effects,
    ) {
        if let Some(stranger) = self.stranger(reply.state, reply.locked_by.as_deref()) {
            return self.remove(id, Leaving::LockedBy(stranger), out);
        }
        let Some(entry) = self.entries.get_mut(id) else {
            return;
        };
        if what.deed() != Deed::Read {
            entry.failures = 0;
        }
        // The state is what the API says, not what was asked for (facts Q23).
        let before = entry.update(reply.state, reply.priority, reply.locked_by, sent_at);
        if let What::ReadThenCancel { state, reason } = what
            && state == reply.state
        {
            let status = entry.status_for(&reason, reply.runtime_status);
            self.begin(id, What::Cancel(status));
        }
        self.after_update(id, before, out);
    }

    fn deed_failed(
        &mut self,
        id: &ContainerId,
        what: What,
        failure: ApiFailure,
        now: Now,
        out: &mut Effects,
    ) {
        let Some(entry) = self.entries.get_mut(id) else {
            return;
        };
        if now.time.since(entry.last_failed_at) > FAILURES_FORGOTTEN_AFTER {
            entry.failures = 0;
        }
        entry.failures += 1;
        entry.last_failed_at = now.time;
        let until = now.time + pause_after(entry.failures);
        entry.paused_until = Some(until);
        self.wakes.set(id, until);
        match failure.kind {
            // It was not done, so there is nothing to find out, except what was to be found out by it.
            FailureKind::NotSent | FailureKind::Status(503) => {
                if what == What::Read {
                    entry.read_wanted = Some(self.step);
                }
            }
            // Deleted, perhaps: the next poll proves it. A proxy in trouble says the same.
            FailureKind::Status(404) => self.pace.poke(now.time),
            FailureKind::Status(_)
            | FailureKind::Unreachable
            | FailureKind::TimedOut
            | FailureKind::Undecodable => entry.read_wanted = Some(self.step),
        }
        match what {
            What::Cancel(status) if failure.kind == FailureKind::Status(422) => {
                entry.cancel_without_reason |= status.is_some();
                entry.cancel_refused = Some(failure);
            }
            what => out.facts.push(Fact::DeedFailed {
                id: id.clone(),
                deed: what.deed(),
                failure,
            }),
        }
        self.publish(id);
    }
}

impl Entry {
    /// How to cancel it for this reason. A Queued container takes one call: nobody has written anything into its
    /// status. Others are read first, since their runner may have changed their state and their status meanwhile.
    fn cancellation(&self, reason: String) -> What {
        match self.state {
            ContainerState::Queued => What::Cancel(self.status_for(&reason, None)),
            state => What::ReadThenCancel { state, reason },
        }
    }

    fn status_for(&self, reason: &str, existing: Option<Map<String, Value>>) -> Option<Value> {
        (!self.cancel_without_reason).then(|| status(reason, existing))
    }
}

/// A `runtime_status` with this as its error. An update replaces the whole object (facts §5.3), so what others have
/// written is kept; an earlier error becomes detail.
fn status(reason: &str, existing: Option<Map<String, Value>>) -> Value {
    let mut status = existing.unwrap_or_default();
    let earlier = status.insert("error".to_owned(), Value::from(reason));
    if let Some(earlier) = earlier.as_ref().and_then(Value::as_str)
        && !earlier.is_empty()
        && earlier != reason
    {
        let mut detail = format!("Before that: {earlier}");
        if let Some(more) = status.get("errorDetail").and_then(Value::as_str) {
            detail = format!("{detail}\n{more}");
        }
        status.insert("errorDetail".to_owned(), Value::from(detail));
    }
    Value::Object(status)
}
