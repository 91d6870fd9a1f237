//! Time that this host has not lived through: a suspended machine, or one whose VM was paused, goes on as if nothing had
//! been, and the clock by which everything else counts stood still meanwhile.

use std::{sync::Arc, time::Duration};

use rustix::time::{ClockId, clock_gettime};

/// What the host's clocks say at one moment, each from a beginning of its own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Reading {
    /// Stands still while the host is suspended or its VM is paused.
    pub(crate) monotonic: Duration,
    /// Goes on while the host is suspended.
    pub(crate) boot: Duration,
    /// Is set right, sooner or later, after whatever was.
    pub(crate) wall: Duration,
}

impl Reading {
    /// How much time has passed in the world since the earlier reading that the monotonic clock has not counted. A wall
    /// clock that was set forward looks the same, and is taken for it: a term that ends needlessly harms nobody.
    pub(crate) fn missed_since(&self, earlier: &Reading) -> Duration {
        let counted = self.monotonic.saturating_sub(earlier.monotonic);
        let by = |now: Duration, then: Duration| now.saturating_sub(then).saturating_sub(counted);
        by(self.boot, earlier.boot).max(by(self.wall, earlier.wall))
    }
}

/// Reads the clocks.
#[derive(Clone)]
pub(crate) struct Clocks(Arc<dyn Fn() -> Reading + Send + Sync>);

impl Clocks {
    /// This host's.
    pub(crate) fn of_this_host() -> Clocks {
        Clocks(Arc::new(|| Reading {
            monotonic: read(ClockId::Monotonic),
            boot: read(ClockId::Boottime),
            wall: read(ClockId::Realtime),
        }))
    }

    /// Clocks that a test sets.
    #[cfg(test)]
    pub(crate) fn reading(read: impl Fn() -> Reading + Send + Sync + 'static) -> Clocks {
        Clocks(Arc::new(read))
    }

    pub(crate) fn read(&self) -> Reading {
        (self.0)()
    }
}

fn read(clock: ClockId) -> Duration {
    let time = clock_gettime(clock);
    Duration::new(
        u64::try_from(time.tv_sec).unwrap_or_default(),
        u32::try_from(time.tv_nsec).unwrap_or_default(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(monotonic: u64, boot: u64, wall: u64) -> Reading {
        Reading {
            monotonic: Duration::from_millis(monotonic),
            boot: Duration::from_millis(boot),
            wall: Duration::from_millis(wall),
        }
    }

    #[test]
    fn what_the_monotonic_clock_did_not_count_is_found_by_the_others() {
        let earlier = at(1_000, 5_000, 9_000);
        for (what, later, missed) in [
            ("nothing", at(2_000, 6_000, 10_000), 0),
            ("suspended for 7 s", at(2_000, 13_000, 17_000), 7_000),
            ("suspended, wall not set", at(2_000, 13_000, 10_000), 7_000),
            ("paused VM, wall set right", at(2_000, 6_000, 17_000), 7_000),
            ("wall set back", at(2_000, 6_000, 3_000), 0),
        ] {
            assert_eq!(
                later.missed_since(&earlier),
                Duration::from_millis(missed),
                "{what}"
            );
        }
    }

    #[test]
    fn this_hosts_clocks_agree_while_it_runs() {
        let clocks = Clocks::of_this_host();
        let earlier = clocks.read();
        assert!(earlier.boot >= earlier.monotonic && earlier.wall > earlier.boot);
        assert!(clocks.read().monotonic >= earlier.monotonic);
    }
}
