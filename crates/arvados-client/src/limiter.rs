//! How many calls may be under way at a time: fewer after the API said 503, more as it answers (facts M9, §2.1.3).

use std::time::Duration;

use tokio::time::Instant;

/// Decides; [`crate::Client`] waits. Time is an argument.
#[derive(Debug)]
pub struct Limiter {
    limit: usize,
    limit_max: Option<usize>,
    running: usize,
    quiet_until: Option<Instant>,
}

/// Whether a call may start.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Turn {
    /// It counts as running now, until [`Limiter::finished`].
    Go,
    /// Not before one that runs has finished.
    WhenOneEnds,
    /// Not before this time.
    At(Instant),
}

/// How a call ended, as far as the limiter cares.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// The API did it (2xx or 3xx).
    Served,
    /// The API has too much to do (503).
    Overloaded,
    /// Any other answer, or none.
    Other,
}

impl Limiter {
    /// Where the limit starts.
    const LIMIT_AT_START: usize = 8;

    /// How long no call starts after a 503.
    const QUIET: Duration = Duration::from_secs(1);

    /// A limiter for a server that takes this many calls at a time from everybody together; 0: it does not say.
    pub fn new(server_max_concurrent_requests: usize) -> Limiter {
        let limit_max = match server_max_concurrent_requests {
            0 => None,
            // A quarter, but never nothing.
            n => Some((n / 4).max(1)),
        };
        Limiter {
            limit: Self::LIMIT_AT_START.min(limit_max.unwrap_or(usize::MAX)),
            limit_max,
            running: 0,
            quiet_until: None,
        }
    }

    /// Asks for one more call.
    pub fn start(&mut self, now: Instant) -> Turn {
        if let Some(until) = self.quiet_until.filter(|until| now < *until) {
            return Turn::At(until);
        }
        self.quiet_until = None;
        if self.running >= self.limit {
            return Turn::WhenOneEnds;
        }
        self.running += 1;
        Turn::Go
    }

    /// A call that was let go has ended, while this many others wait for their turn.
    ///
    /// The limit stays within twice the calls that are under way or wait: those that wait count, since otherwise calls
    /// that all end at the same moment would pull it down to nothing just when it is needed.
    pub fn finished(&mut self, outcome: Outcome, waiting: usize, now: Instant) {
        match outcome {
            Outcome::Served => {
                self.limit += (self.limit / 10).max(1);
                self.limit = self
                    .limit
                    .min(2 * (self.running + waiting).max(1))
                    .min(self.limit_max.unwrap_or(usize::MAX));
            }
            Outcome::Overloaded => {
                if self.quiet_until.is_none_or(|until| until <= now) {
                    self.limit = self.limit.div_ceil(2).max(1);
                    self.quiet_until = Some(now + Self::QUIET);
                }
            }
            Outcome::Other => {}
        }
        self.running = self.running.saturating_sub(1);
    }

    /// How many calls may be under way now.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// How many calls are under way.
    pub fn running(&self) -> usize {
        self.running
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start_many(limiter: &mut Limiter, n: usize, now: Instant) -> usize {
        (0..n).filter(|_| limiter.start(now) == Turn::Go).count()
    }

    #[test]
    fn eight_calls_may_start_at_first_and_a_quarter_of_the_servers_limit_at_most() {
        for (server_max, expected) in [(0, 8), (64, 8), (20, 5), (3, 1)] {
            let mut limiter = Limiter::new(server_max);
            assert_eq!(start_many(&mut limiter, 100, Instant::now()), expected);
        }
    }

    #[test]
    fn calls_that_end_together_do_not_pull_the_limit_down_while_others_wait() {
        let now = Instant::now();
        let mut limiter = Limiter::new(0);
        start_many(&mut limiter, 8, now);
        for _ in 0..8 {
            limiter.finished(Outcome::Served, 100, now);
        }
        assert_eq!((limiter.limit(), limiter.running()), (16, 0));
    }

    #[test]
    fn under_load_the_limit_grows_to_the_cap() {
        let now = Instant::now();
        let mut limiter = Limiter::new(64);
        start_many(&mut limiter, 100, now);
        for _ in 0..50 {
            limiter.finished(Outcome::Served, 0, now);
            start_many(&mut limiter, 100, now);
        }
        assert_eq!(limiter.running(), 16);
    }

    #[test]
    fn without_load_the_limit_is_no_more_than_twice_what_runs() {
        let now = Instant::now();
        let mut limiter = Limiter::new(64);
        assert_eq!(limiter.start(now), Turn::Go);
        limiter.finished(Outcome::Served, 0, now);
        assert_eq!(limiter.limit(), 2);
    }

    #[test]
    fn a_503_halves_the_limit_once_and_is_followed_by_a_second_of_quiet() {
        let now = Instant::now();
        let mut limiter = Limiter::new(64);
        start_many(&mut limiter, 3, now);
        limiter.finished(Outcome::Overloaded, 0, now);
        limiter.finished(Outcome::Overloaded, 0, now);
        assert_eq!(limiter.limit(), 4);
        assert_eq!(limiter.start(now), Turn::At(now + Duration::from_secs(1)));
        let later = now + Duration::from_secs(1);
        assert_eq!(limiter.start(later), Turn::Go);
        limiter.finished(Outcome::Overloaded, 0, later);
        assert_eq!(limiter.limit(), 2);
    }

    #[test]
    fn the_limit_never_falls_below_one() {
        let mut now = Instant::now();
        let mut limiter = Limiter::new(0);
        for _ in 0..10 {
            assert_eq!(limiter.start(now), Turn::Go);
            limiter.finished(Outcome::Overloaded, 0, now);
            now += Duration::from_secs(2);
        }
        assert_eq!((limiter.limit(), limiter.running()), (1, 0));
    }

    #[test]
    fn refusals_and_silence_do_not_move_the_limit() {
        let now = Instant::now();
        let mut limiter = Limiter::new(0);
        start_many(&mut limiter, 1, now);
        limiter.finished(Outcome::Other, 0, now);
        assert_eq!((limiter.limit(), limiter.running()), (8, 0));
    }
}
