//! What to do about the lock, and what it allows, at any moment. No clock, no socket: the keeper asks and obeys.
//!
//! The database says that we hold the lock, at the latest, when it answers; so an answer is good from the moment at which
//! the question was *sent*. Whoever gets the lock after us got it after our last answered question, and does nothing
//! before we must have stopped:
//!
//! ```text
//! we:    question sent ── answered ─────── valid ends (sent + 3 s): everything is cut off
//! they:                  └─ lock taken, at the earliest ─ surveys from + 3 s ─ acts from + 4 s
//! ```
//!
//! Should we be stopped, and so not cut anything off, the kernel ends us at sent + 3.85 s.

use std::time::Duration;

use dispatch_model::Time;

/// How long everything takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Timing {
    /// From one attempt to take the lock to the next.
    pub try_every: Duration,
    /// From one question whether it is still held to the next.
    pub ask_every: Duration,
    /// For so long after an answered question was sent we may act.
    pub valid: Duration,
    /// For so long a new holder does nothing: another may still be acting.
    pub quiet: Duration,
    /// For so long a new holder changes nothing.
    pub survey: Duration,
    /// So long after an answered question was sent the kernel ends this process if what the term allowed has not ended by
    /// then: it may be stopped, and act when it goes on. `None`: never.
    pub kill: Option<Duration>,
}

impl Timing {
    /// As the operator's guide says.
    pub const USUAL: Timing = Timing {
        try_every: Duration::from_secs(1),
        ask_every: Duration::from_secs(1),
        valid: Duration::from_secs(3),
        quiet: Duration::from_secs(3),
        survey: Duration::from_secs(4),
        kill: Some(Duration::from_millis(3_850)),
    };
}

/// Where we stand.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stage {
    /// We do not hold the lock.
    Waiting,
    /// We hold it, and another may still be acting.
    Quiet,
    /// We hold it, and only look.
    Surveying,
    /// We may act.
    InCommand,
}

/// What the keeper is to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Due {
    /// Try to take the lock.
    Try,
    /// Ask whether we still hold it.
    Ask,
    /// Nothing before this moment.
    Nothing {
        /// When to look again.
        until: Time,
    },
}

/// Where we stand, and what follows.
#[derive(Clone, Debug)]
pub struct Machine {
    timing: Timing,
    state: State,
}

#[derive(Clone, Debug)]
enum State {
    Waiting {
        try_at: Time,
    },
    Held {
        taken_at: Time,
        ask_at: Time,
        valid_until: Time,
    },
}

impl Machine {
    /// Nothing is held; the first attempt is due.
    pub fn new(timing: Timing, now: Time) -> Machine {
        Machine {
            timing,
            state: State::Waiting { try_at: now },
        }
    }

    /// What is to be done. Whoever does it reports one of the following.
    pub fn due(&self, now: Time) -> Due {
        match self.state {
            State::Waiting { try_at } if now >= try_at => Due::Try,
            State::Waiting { try_at } => Due::Nothing { until: try_at },
            State::Held { ask_at, .. } if now >= ask_at => Due::Ask,
            State::Held {
                ask_at,
                valid_until,
                ..
            } => Due::Nothing {
                until: ask_at.min(valid_until),
            },
        }
    }

    /// An attempt that began then found that another holds the lock, or failed.
    pub fn not_taken(&mut self, began: Time, now: Time) {
        let try_at = (began + self.timing.try_every).max(now);
        self.state = State::Waiting { try_at };
    }

    /// We have the lock; it was asked for at `sent`. `false` if the answer came so late that it is worth nothing: then the
    /// session must be closed.
    pub fn taken(&mut self, sent: Time, now: Time) -> bool {
        let valid_until = sent + self.timing.valid;
        if now >= valid_until {
            self.not_taken(sent, now);
            return false;
        }
        self.state = State::Held {
            taken_at: now,
            ask_at: sent + self.timing.ask_every,
            valid_until,
        };
        true
    }

    /// We still hold it: so says the answer to the question that was sent then. `false` if it came too late: what was
    /// held counts as lost.
    pub fn confirmed(&mut self, sent: Time, now: Time) -> bool {
        match &mut self.state {
            State::Held {
                ask_at,
                valid_until,
                ..
            } if now < *valid_until => {
                *valid_until = (*valid_until).max(sent + self.timing.valid);
                *ask_at = sent + self.timing.ask_every;
                true
            }
            State::Held { .. } => {
                self.lost(now);
                false
            }
            State::Waiting { .. } => false,
        }
    }

    /// The connection is gone, or the database says that the lock is not ours.
    pub fn lost(&mut self, now: Time) {
        let try_at = now + self.timing.try_every;
        self.state = State::Waiting { try_at };
    }

    /// Where we stand.
    pub fn stage(&self, now: Time) -> Stage {
        match self.state {
            State::Held {
                taken_at,
                valid_until,
                ..
            } if now < valid_until => {
                if now >= taken_at + self.timing.survey {
                    Stage::InCommand
                } else if now >= taken_at + self.timing.quiet {
                    Stage::Surveying
                } else {
                    Stage::Quiet
                }
            }
            State::Held { .. } | State::Waiting { .. } => Stage::Waiting,
        }
    }

    /// Until when what is allowed now stays allowed unless the lock is confirmed again; `None` if we do not hold it.
    pub fn valid_until(&self) -> Option<Time> {
        match self.state {
            State::Held { valid_until, .. } => Some(valid_until),
            State::Waiting { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests;
