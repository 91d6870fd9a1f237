//! Whether the other side still lives.
//!
//! The kernel tells how long ago the last data came; reads of our own would not show it, since nothing reads while no
//! channel is open. After `keepalive` of silence the server is asked for a sign of life, and silence until `dead_after`
//! means that it is dead. Silence counts only from a question on: a daemon that was itself stopped for a while asks
//! first.

use std::time::Duration;

use tokio::time::Instant;

/// A connection on which nothing runs may be silent for so many times as long: whoever uses it next will see whether
/// it lives, and hundreds of idle ones cost more for their signs of life than for all they do.
const PATIENCE_WITH_IDLE: f64 = 2.5;

/// What follows from a look at the connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Verdict {
    /// Look again then.
    Fine {
        /// When.
        again_at: Instant,
    },
    /// Ask for a sign of life, and look again then.
    Ask {
        /// When.
        again_at: Instant,
    },
    /// Nothing came since we asked.
    Dead,
}

/// Remembers when we asked.
#[derive(Debug)]
pub(crate) struct Pulse {
    keepalive: Duration,
    patience: Duration,
    asked_at: Option<Instant>,
}

impl Pulse {
    /// `dead_after` is at least half as long again as `keepalive`, so that an answer has time to come.
    pub(crate) fn new(keepalive: Duration, dead_after: Duration) -> Self {
        let patience = dead_after.saturating_sub(keepalive).max(keepalive / 2);
        Self {
            keepalive,
            patience,
            asked_at: None,
        }
    }

    /// When to look at the latest, now that something is to run.
    pub(crate) fn look_by(&self, now: Instant) -> Instant {
        now + self.keepalive
    }

    /// `silence`: for how long nothing came; `idle`: nothing runs.
    pub(crate) fn look(&mut self, silence: Duration, idle: bool, now: Instant) -> Verdict {
        let keepalive = if idle {
            self.keepalive.mul_f64(PATIENCE_WITH_IDLE)
        } else {
            self.keepalive
        };
        // The kernel counts in ticks of some milliseconds, so an answer seems to have come before the question. Nothing
        // else can have: there was silence for `keepalive` when we asked.
        let answered = |asked_at| silence < now - asked_at + self.keepalive / 2;
        if self.asked_at.is_some_and(answered) {
            self.asked_at = None;
        }
        match self.asked_at {
            Some(asked_at) if now >= asked_at + self.patience => Verdict::Dead,
            Some(asked_at) => Verdict::Fine {
                again_at: (now + self.keepalive).min(asked_at + self.patience),
            },
            None if silence >= keepalive => {
                self.asked_at = Some(now);
                Verdict::Ask {
                    again_at: now + self.keepalive.min(self.patience),
                }
            }
            None => Verdict::Fine {
                again_at: now + keepalive - silence,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn an_answer_keeps_it_alive_and_silence_kills_it() {
        let start = Instant::now();
        let mut pulse = Pulse::new(15 * SECOND, 45 * SECOND);
        assert_eq!(
            pulse.look(2 * SECOND, false, start),
            Verdict::Fine {
                again_at: start + 13 * SECOND
            }
        );
        let asked = start + 13 * SECOND;
        assert_eq!(
            pulse.look(15 * SECOND, false, asked),
            Verdict::Ask {
                again_at: asked + 15 * SECOND
            }
        );
        // The answer came at once.
        let later = asked + 15 * SECOND;
        assert_eq!(
            pulse.look(15 * SECOND - SECOND / 100, false, later),
            Verdict::Fine {
                again_at: later + SECOND / 100
            }
        );
        let asked = later + SECOND;
        assert_eq!(
            pulse.look(16 * SECOND, false, asked),
            Verdict::Ask {
                again_at: asked + 15 * SECOND
            }
        );
        assert_eq!(
            pulse.look(31 * SECOND, false, asked + 15 * SECOND),
            Verdict::Fine {
                again_at: asked + 30 * SECOND
            }
        );
        assert_eq!(
            pulse.look(46 * SECOND, false, asked + 30 * SECOND),
            Verdict::Dead
        );
    }

    #[test]
    fn an_answer_within_the_kernels_tick_counts() {
        let start = Instant::now();
        let mut pulse = Pulse::new(15 * SECOND, 45 * SECOND);
        assert!(matches!(
            pulse.look(15 * SECOND, false, start),
            Verdict::Ask { .. }
        ));
        let later = start + 15 * SECOND;
        let seems = 15 * SECOND + Duration::from_millis(4);
        assert!(
            matches!(pulse.look(seems, false, later), Verdict::Ask { .. }),
            "the next question, not the wait for an answer"
        );
    }

    #[test]
    fn a_daemon_that_slept_asks_before_it_gives_up() {
        let start = Instant::now();
        let mut pulse = Pulse::new(15 * SECOND, 45 * SECOND);
        assert_eq!(
            pulse.look(900 * SECOND, false, start),
            Verdict::Ask {
                again_at: start + 15 * SECOND
            }
        );
    }

    #[test]
    fn an_idle_connection_may_be_silent_for_longer() {
        let start = Instant::now();
        let mut pulse = Pulse::new(16 * SECOND, 48 * SECOND);
        assert_eq!(
            pulse.look(20 * SECOND, true, start),
            Verdict::Fine {
                again_at: start + 20 * SECOND
            }
        );
        assert_eq!(pulse.look_by(start), start + 16 * SECOND);
        let ask = |again_at| Verdict::Ask { again_at };
        let again_at = start + 16 * SECOND;
        assert_eq!(pulse.look(40 * SECOND, true, start), ask(again_at));
    }
}
