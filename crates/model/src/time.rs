//! The two clocks: our own monotonic one for timers, and the wall clock for what others have dated.

use std::{
    fmt,
    ops::{Add, AddAssign},
    time::Duration,
};

/// Milliseconds since the daemon (or the simulation) started. Never goes back.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Time(u64);

impl Time {
    /// The moment the daemon started.
    pub const ZERO: Time = Time(0);

    /// `millis` milliseconds after the start.
    pub const fn from_millis(millis: u64) -> Time {
        Time(millis)
    }

    /// `secs` seconds after the start.
    pub const fn from_secs(secs: u64) -> Time {
        Time(secs * 1000)
    }

    /// Milliseconds since the start.
    pub const fn millis(self) -> u64 {
        self.0
    }

    /// How long after `earlier` this is; zero if it is not after it.
    pub const fn since(self, earlier: Time) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Time {
    type Output = Time;

    /// Rounds up to the next millisecond, so that a timer never fires early, and saturates.
    fn add(self, duration: Duration) -> Time {
        let millis = duration.as_nanos().div_ceil(1_000_000);
        Time(
            self.0
                .saturating_add(u64::try_from(millis).unwrap_or(u64::MAX)),
        )
    }
}

impl AddAssign<Duration> for Time {
    fn add_assign(&mut self, duration: Duration) {
        *self = *self + duration;
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:03}s", self.0 / 1000, self.0 % 1000)
    }
}

impl fmt::Debug for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The present moment on both clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// For our own timers.
    pub time: Time,
    /// For what the API and the cloud have dated.
    pub wall: jiff::Timestamp,
}
