//! The pace of probes: eager while an instance is expected to come up, then a limited sweep.

use std::time::Duration;

use dispatch_model::{Time, WorkerId};

/// The first pause between two attempts to reach a new instance.
const FIRST_GAP: Duration = Duration::from_millis(100);
/// The longest pause while it is expected to come up.
const EAGER_GAP: Duration = Duration::from_millis(500);
/// A new instance is expected to come up for at least this long, however fast its like usually is.
const EAGER_AT_LEAST: Duration = Duration::from_secs(60);
/// And for at most this long, also where nothing is known of its type.
const EAGER_AT_MOST: Duration = Duration::from_secs(300);

/// The pace of attempts to reach one instance that is not in service yet.
#[derive(Debug)]
pub(crate) struct Attempts {
    gap: Duration,
    eager_for: Duration,
}

impl Attempts {
    /// For an instance whose like usually takes this long to boot.
    pub(crate) fn new(typical_boot: Option<Duration>) -> Attempts {
        Attempts {
            gap: FIRST_GAP,
            eager_for: typical_boot.map_or(EAGER_AT_MOST, |typical| {
                (typical * 2).clamp(EAGER_AT_LEAST, EAGER_AT_MOST)
            }),
        }
    }

    /// How long after the last attempt the next one is made. `age`: since it has had an address; `slowly`: there is
    /// no point in haste, because the step that failed is costly.
    pub(crate) fn next_gap(
        &mut self,
        age: Duration,
        slowly: bool,
        probe_interval: Duration,
    ) -> Duration {
        let longest = if age < self.eager_for && !slowly {
            EAGER_GAP.min(probe_interval)
        } else {
            probe_interval
        };
        let gap = self.gap.min(longest);
        self.gap = (self.gap + self.gap / 2).min(longest.max(FIRST_GAP));
        gap
    }
}

/// The sweep over ready instances: at most so many probes a second (`MaxProbesPerSecond`), but never so few that an
/// instance would be visited less than three times within TimeoutProbe, lest one lost answer destroys it.
#[derive(Debug)]
pub(crate) struct Sweep {
    gap_micros: u64,
    probe_timeout_micros: u64,
    free_at_micros: u64,
    /// How many instances share the sweep.
    pub(crate) n_workers: usize,
}

impl Sweep {
    pub(crate) fn new(max_per_second: u32, probe_timeout: Duration) -> Sweep {
        Sweep {
            gap_micros: 1_000_000 / u64::from(max_per_second.max(1)),
            probe_timeout_micros: u64::try_from(probe_timeout.as_micros()).unwrap_or(u64::MAX),
            free_at_micros: 0,
            n_workers: 0,
        }
    }

    /// Reserves the next turn, which is now or later.
    pub(crate) fn reserve(&mut self, now: Time) -> Time {
        let visits = 3 * u64::try_from(self.n_workers.max(1)).unwrap_or(u64::MAX / 3);
        let gap = self.gap_micros.min(self.probe_timeout_micros / visits);
        let turn = self.free_at_micros.max(now.millis() * 1000);
        self.free_at_micros = turn + gap;
        Time::from_millis(turn.div_ceil(1000))
    }
}

/// A pause of up to a 23rd of the probe interval, different for each worker and each time, so that probes and lists do
/// not march in step (facts W33).
pub(crate) fn jitter(worker: WorkerId, n_probes: u64, probe_interval: Duration) -> Duration {
    let range = u64::try_from(probe_interval.as_millis() / 23).unwrap_or(0);
    if range == 0 {
        return Duration::ZERO;
    }
    Duration::from_millis(scramble(worker.0 ^ n_probes.rotate_left(32)) % range)
}

/// Spreads numbers that lie close together (the finalizer of SplitMix64).
fn scramble(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_are_eager_for_as_long_as_the_type_usually_takes_and_then_slow_down() {
        let interval = Duration::from_secs(10);
        let mut attempts = Attempts::new(Some(Duration::from_secs(40)));
        let mut at = Duration::ZERO;
        let mut early = 0;
        let mut gaps = Vec::new();
        while at < Duration::from_secs(300) {
            let gap = attempts.next_gap(at, false, interval);
            at += gap;
            early += u32::from(at < Duration::from_secs(80));
            gaps.push(gap.as_millis());
        }
        assert_eq!(gaps[..6], [100, 150, 225, 337, 500, 500]);
        assert!((160..170).contains(&early), "{early}");
        assert_eq!(*gaps.last().unwrap(), 10_000);
    }

    #[test]
    fn the_sweep_keeps_its_rate_unless_that_would_starve_somebody() {
        let turns = |n_workers, n_turns| {
            let mut sweep = Sweep::new(10, Duration::from_secs(600));
            sweep.n_workers = n_workers;
            (0..n_turns)
                .map(|_| sweep.reserve(Time::ZERO).millis())
                .last()
        };
        assert_eq!(turns(100, 100), Some(9_900));
        // 10,000 workers at 10 a second would take 1,000 s; TimeoutProbe is 600 s.
        assert_eq!(turns(10_000, 10_000), Some(199_980));
    }

    #[test]
    fn jitter_is_small_and_differs() {
        let interval = Duration::from_secs(10);
        let jitters: std::collections::BTreeSet<_> =
            (0..100).map(|n| jitter(WorkerId(n), 0, interval)).collect();
        assert!(jitters.len() > 50);
        assert!(*jitters.last().unwrap() < interval / 23);
        assert_eq!(
            jitter(WorkerId(1), 1, Duration::from_millis(5)),
            Duration::ZERO
        );
    }
}
