//! When a worker must go, and how it is made to.

use std::time::Duration;

use dispatch_model::{CloudErrorClass, IdleBehavior, Time, WorkerState};

use crate::{
    Action, BootOutcome, CallId, Failure, WorkerNews,
    desk::{Desk, OpenCall, growing_pause},
    worker::Worker,
};

/// After this many failures in a row the pauses between destroy calls begin to grow.
const PATIENT_FAILURES: u32 = 3;
/// The longest pause between destroy calls, unless TimeoutShutdown is longer.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// The last act: destroy calls until the cloud no longer lists the instance.
#[derive(Debug)]
pub(crate) struct Ending {
    /// The first call, from which the latency of the shutdown counts (facts K26).
    pub(crate) first_sent: Option<Time>,
    /// The cloud has accepted a call.
    pub(crate) accepted: bool,
    open: Option<OpenCall>,
    /// When to send the next call; `None`: when a list asked for after `answered_at` plus TimeoutShutdown shows it.
    next_at: Option<Time>,
    last_sent: Time,
    answered_at: Time,
    failures: u32,
}

impl Worker {
    /// The planner needs it no more: only if nothing is on it and nobody holds it (facts §8.3).
    pub(crate) fn shut_down_if_free(&mut self, reason: String, desk: &mut Desk) {
        let free = matches!(self.state, WorkerState::Booting | WorkerState::Idle)
            && self.runners.n_live() == 0
            && self.idle_behavior != IdleBehavior::Hold;
        if free {
            self.shut_down(reason, desk);
        }
    }

    /// Enters Shutdown, whatever runs on it. What is on it stays in the books until the instance is gone.
    pub(crate) fn shut_down(&mut self, reason: String, desk: &mut Desk) {
        if self.state == WorkerState::Shutdown || (desk.stopping && self.instance.is_some()) {
            return;
        }
        self.end_boot(BootOutcome::Aborted, desk);
        self.drop_unsent_starts(desk);
        self.shut_down_for = Some(reason.clone());
        self.enter(WorkerState::Shutdown, reason, desk);
        self.begin_ending(desk);
    }

    /// The first destroy call is due at once; an order that has no instance yet is the pool's affair.
    pub(crate) fn begin_ending(&mut self, desk: &mut Desk) {
        if self.instance.is_none() || self.ending.is_some() {
            return;
        }
        self.ending = Some(Ending {
            first_sent: None,
            accepted: false,
            open: None,
            next_at: Some(desk.time()),
            last_sent: desk.time(),
            answered_at: desk.time(),
            failures: 0,
        });
    }

    /// Shuts it down if it has been idle for long, is drained, or could not be reached in time at all.
    pub(crate) fn end_if_due(&mut self, desk: &mut Desk) {
        if let Some((at, reason)) = self.end(desk)
            && at <= desk.time()
        {
            if self.boot_outcome.is_none() && self.address.is_none() {
                self.give_up_boot(desk);
            } else if self.wants_last_look(at) {
                // One that does not answer is asked again at the pace of all that fail, until it does or is silent.
                if self.probing.n_failures == 0 {
                    self.probe_within(Duration::ZERO, desk);
                }
            } else {
                self.shut_down(reason, desk);
            }
        }
    }

    /// When `end_if_due` will have something to do.
    pub(crate) fn end_due(&self, desk: &Desk) -> Option<Time> {
        let (at, _) = self.end(desk)?;
        // The last look is under way: its answer decides.
        let looking = at <= desk.time() && self.wants_last_look(at);
        (!looking).then_some(at)
    }

    /// Before an instance goes that seems to have been idle for long, it is asked once more: the last start of a dead
    /// daemon may have arrived meanwhile (invariant 1).
    fn wants_last_look(&self, idle_until: Time) -> bool {
        self.state == WorkerState::Idle
            && self.idle_behavior == IdleBehavior::Run
            && self.probing.good_asked_at < idle_until
    }

    /// When and why it goes if nothing happens to it any more. Silence is not among the reasons: that shows in failed
    /// probes.
    fn end(&self, desk: &Desk) -> Option<(Time, String)> {
        if desk.stopping || self.idle_behavior == IdleBehavior::Hold {
            return None;
        }
        let draining = self.idle_behavior == IdleBehavior::Drain;
        let drained = |what: &str| Some((Time::ZERO, format!("{what} and draining")));
        match self.state {
            // Its last containers cannot be killed and no others live on it (facts W19). That it has never passed its
            // probes since a restart makes it no better.
            WorkerState::Unknown | WorkerState::Booting | WorkerState::Running
                if self.runners.all_given_up() =>
            {
                let reason = "its last runners cannot be killed".to_owned();
                Some((Time::ZERO, reason))
            }
            WorkerState::Booting if draining => drained("booting"),
            WorkerState::Booting | WorkerState::Unknown if self.address.is_none() => {
                let at = self.appeared_at + self.boot_patience(desk);
                Some((at, "it got no address".to_owned()))
            }
            WorkerState::Booting | WorkerState::Unknown => None,
            WorkerState::Idle if draining => drained("idle"),
            WorkerState::Idle => {
                let since = self.state_since.max(self.behavior_since);
                let at = since + desk.settings.idle_timeout;
                Some((at, "idle for TimeoutIdle".to_owned()))
            }
            WorkerState::Running | WorkerState::Shutdown => None,
        }
    }

    /// Sends the destroy call that is due, when its turn has come.
    pub(crate) fn advance_destroy(&mut self, desk: &mut Desk) {
        let (Some(ending), Some(instance)) = (&mut self.ending, &self.instance) else {
            return;
        };
        let now = desk.time();
        let overdue = ending.open.take_if(|open| open.overdue_at <= now);
        if overdue.is_some() {
            desk.destroys.leave(self.id);
            // If the cloud has agreed already, a list decides whether to ask again.
            ending.next_at = (!ending.accepted).then_some(now);
        }
        let due = ending.next_at.is_some_and(|at| at <= now);
        if !due || ending.open.is_some() || desk.stopping || !desk.destroys.enter(self.id) {
            return;
        }
        let within = desk.settings.timing.repeatable_call();
        let open = desk.open(within);
        ending.open = Some(open);
        ending.next_at = None;
        ending.last_sent = now;
        ending.first_sent.get_or_insert(now);
        desk.order(Action::Destroy {
            call: open.call,
            worker: self.id,
            instance: instance.clone(),
            within,
        });
        self.tell(WorkerNews::Destroying, desk);
    }

    pub(crate) fn destroy_due(&self, desk: &Desk) -> Option<Time> {
        let ending = self.ending.as_ref()?;
        match (ending.open, ending.next_at) {
            (Some(open), _) => Some(open.overdue_at),
            // The pool calls those whose turn has come.
            (None, _) if desk.stopping || desk.destroys.waits(self.id) => None,
            (None, next_at) => next_at,
        }
    }

    /// The cloud has answered a destroy call. A refused one is repeated after TimeoutShutdown, not only when a list
    /// comes by (facts K26). That it was accepted counts however late it is said; that an earlier call failed says
    /// nothing.
    pub(crate) fn destroyed(&mut self, call: CallId, result: Result<(), Failure>, desk: &mut Desk) {
        let now = desk.time();
        let Some(ending) = &mut self.ending else {
            return;
        };
        let is_open = ending.open.take_if(|open| open.call == call).is_some();
        if !is_open && (result.is_err() || ending.accepted) {
            return;
        }
        if ending.open.is_none() {
            desk.destroys.leave(self.id);
        }
        ending.answered_at = now;
        let Err(failure) = result else {
            ending.accepted = true;
            ending.failures = 0;
            ending.next_at = None;
            return;
        };
        // Who was told to wait knows for how long: that does not add up.
        if !matches!(failure.class, CloudErrorClass::RateLimited(_)) {
            ending.failures += 1;
        }
        let usual = desk.settings.shutdown_timeout;
        let pause = growing_pause(
            usual,
            (ending.failures + 1)
                .saturating_sub(PATIENT_FAILURES)
                .max(1),
            LONGEST_PAUSE.max(usual),
        );
        let mut next_at = now.max(ending.last_sent + pause);
        if let CloudErrorClass::RateLimited(until) = failure.class {
            next_at = next_at.max(until.min(now + LONGEST_PAUSE));
        }
        ending.next_at = Some(next_at);
        self.tell(WorkerNews::DestroyFailed(failure), desk);
    }

    /// A list still shows it: if that was asked for TimeoutShutdown after the last answer, the call was lost (facts W1).
    pub(crate) fn still_listed(&mut self, asked_at: Time, desk: &Desk) {
        if let Some(ending) = &mut self.ending
            && ending.open.is_none()
            && ending.next_at.is_none()
            && asked_at >= ending.answered_at + desk.settings.shutdown_timeout
        {
            ending.next_at = Some(desk.time());
        }
    }

    /// Whether its absence from a list that was asked for at that time means that it is gone. A fresh instance may be
    /// missing from lists for a while, even if an earlier one has shown it (facts K15), unless the cloud has agreed to
    /// destroy it. One that was found is at least as old as our knowledge of it. Where the cloud says by itself that
    /// one has ended (`Pool::died`), nobody waits.
    pub(crate) fn vanishes_by(&self, asked_at: Time, desk: &Desk) -> bool {
        match self.ending.as_ref().filter(|ending| ending.accepted) {
            Some(ending) => asked_at >= ending.answered_at,
            None => asked_at > self.appeared_at + desk.settings.timing.fresh_grace,
        }
    }
}
