//! How a runner is told to end: SIGTERM at once and again each TimeoutSignal, until it is gone or TimeoutTERM is over;
//! SIGKILL only where the operator asked for it; then it is given up (facts R4–R7, W19).

use dispatch_model::{ContainerId, Time, WorkerState};

use crate::{
    Action, CallId, HowEnded, SignalKind, SignalOutcome, WorkerNews,
    desk::{Desk, OpenCall},
    runners::Stage,
    worker::Worker,
};

/// One runner's way to its end.
#[derive(Debug)]
pub(crate) struct Kill {
    /// The first signal: TimeoutTERM counts from here.
    first_at: Option<Time>,
    /// When SIGTERM is sent again.
    next_at: Time,
    open: Option<OpenCall>,
    sigkill_at: Option<Time>,
    pub(crate) given_up: bool,
}

/// What a kill does next, and when.
enum Next {
    Term(Time),
    Kill(Time),
    GiveUp(Time),
    /// The command that is under way counts as failed.
    Overdue(Time, CallId),
}

impl Kill {
    fn new(now: Time) -> Kill {
        Kill {
            first_at: None,
            next_at: now,
            open: None,
            sigkill_at: None,
            given_up: false,
        }
    }

    /// Decided by the clock: a command that hangs puts nothing off (facts K9).
    fn next(&self, desk: &Desk) -> Option<Next> {
        if self.given_up {
            return self
                .open
                .map(|open| Next::Overdue(open.overdue_at, open.call));
        }
        let Some(first_at) = self.first_at else {
            return Some(Next::Term(self.next_at));
        };
        let term_over = first_at + desk.settings.term_timeout;
        let fate = match (desk.settings.kill_after_term, self.sigkill_at) {
            (None, _) => Next::GiveUp(term_over),
            (Some(_), None) => Next::Kill(term_over),
            (Some(grace), Some(sigkill_at)) => Next::GiveUp(sigkill_at + grace),
        };
        let step = match self.open {
            Some(open) => Some(Next::Overdue(open.overdue_at, open.call)),
            None if self.sigkill_at.is_none() => Some(Next::Term(self.next_at)),
            None => None,
        };
        Some(match step {
            Some(step) if step.at() < fate.at() => step,
            Some(_) | None => fate,
        })
    }
}

impl Next {
    fn at(&self) -> Time {
        match self {
            Next::Term(at) | Next::Kill(at) | Next::GiveUp(at) | Next::Overdue(at, _) => *at,
        }
    }
}

impl Worker {
    /// It is to end. Asking again changes nothing (facts R6); an exit that has not been dealt with is forgotten.
    pub(crate) fn kill(&mut self, container: &ContainerId, reason: String, desk: &mut Desk) {
        let now = desk.time();
        let Some(runner) = self.runners.by_container.get_mut(container) else {
            return;
        };
        match &runner.stage {
            Stage::Exited { .. } => self.forget(container, desk),
            Stage::Tagging { .. } => {
                self.exit(container, HowEnded::NeverSent, desk);
                self.settle_in_service(desk);
            }
            Stage::Sent { .. } | Stage::Unconfirmed { .. } | Stage::Alive => {
                if runner.kill.is_none() {
                    runner.kill = Some(Kill::new(now));
                    let container = container.clone();
                    self.tell(WorkerNews::KillBegan { container, reason }, desk);
                }
            }
        }
    }

    /// Sends the signals that are due, and gives up those who withstood them.
    pub(crate) fn advance_kills(&mut self, desk: &mut Desk) {
        if self.state == WorkerState::Shutdown {
            return;
        }
        while let Some((container, next)) = self.next_kill(desk) {
            match next {
                Next::Term(_) => self.signal(&container, SignalKind::Term, desk),
                Next::Kill(_) => self.signal(&container, SignalKind::Kill, desk),
                Next::GiveUp(_) => self.give_up_kill(&container, desk),
                Next::Overdue(_, call) => {
                    let outcome = SignalOutcome::Failed("no answer".to_owned());
                    self.signalled(call, &container, outcome, desk);
                }
            }
        }
    }

    fn next_kill(&self, desk: &Desk) -> Option<(ContainerId, Next)> {
        let now = desk.time();
        self.kills(desk).find(|(_, next)| next.at() <= now)
    }

    pub(crate) fn kills_due(&self, desk: &Desk) -> Option<Time> {
        if self.state == WorkerState::Shutdown {
            return None;
        }
        self.kills(desk).map(|(_, next)| next.at()).min()
    }

    fn kills<'a>(&'a self, desk: &'a Desk) -> impl Iterator<Item = (ContainerId, Next)> + 'a {
        let runners = self.runners.by_container.iter();
        // Nothing is sent while its start is or may be under way, since "gone" would prove nothing.
        runners
            .filter(|(_, runner)| runner.would_show(desk.time()))
            .filter_map(|(container, runner)| {
                let next = runner.kill.as_ref()?.next(desk)?;
                Some((container.clone(), next))
            })
    }

    fn signal(&mut self, container: &ContainerId, signal: SignalKind, desk: &mut Desk) {
        let now = desk.time();
        let within = desk.settings.timing.command;
        let open = desk.open(within);
        let runner = self.runners.by_container.get_mut(container);
        let Some(kill) = runner.and_then(|runner| runner.kill.as_mut()) else {
            return;
        };
        kill.open = Some(open);
        kill.first_at.get_or_insert(now);
        kill.next_at = now + desk.settings.signal_interval;
        if signal == SignalKind::Kill {
            kill.sigkill_at = Some(now);
        }
        desk.order(Action::Signal {
            call: open.call,
            worker: self.id,
            container: container.clone(),
            signal,
            within,
        });
    }

    /// A kill command has ended. "Gone" is believed at once (facts R7).
    pub(crate) fn signalled(
        &mut self,
        call: CallId,
        container: &ContainerId,
        outcome: SignalOutcome,
        desk: &mut Desk,
    ) {
        let runner = self.runners.by_container.get_mut(container);
        let Some(kill) = runner.and_then(|runner| runner.kill.as_mut()) else {
            return;
        };
        if kill.open.take_if(|open| open.call == call).is_none() {
            return;
        }
        match outcome {
            SignalOutcome::Gone => {
                self.exit(container, HowEnded::Killed, desk);
                self.settle_in_service(desk);
            }
            SignalOutcome::StillThere => {}
            SignalOutcome::Failed(message) => {
                let container = container.clone();
                self.tell(WorkerNews::KillFailed { container, message }, desk);
            }
        }
    }

    /// It cannot be killed: the worker takes no more work (facts W19).
    fn give_up_kill(&mut self, container: &ContainerId, desk: &mut Desk) {
        let runner = self.runners.by_container.get_mut(container);
        let Some(kill) = runner.and_then(|runner| runner.kill.as_mut()) else {
            return;
        };
        kill.given_up = true;
        let news = WorkerNews::KillGivenUp {
            container: container.clone(),
        };
        self.tell(news, desk);
        self.set_broken(format!("the runner of {container} cannot be killed"), desk);
    }
}
