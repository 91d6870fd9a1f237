//! How long to leave an instance alone after it could not be connected.

use std::time::Duration;

use dispatch_cloud::exec::ExecError;
use tokio::time::Instant;

/// The growing pause between attempts that commands ask for. An explicit `connect` does not wait for it: whoever asks
/// for a connection paces itself, as the dispatcher does while an instance boots, every 0.1 to 0.5 s.
#[derive(Default, Debug)]
pub(crate) struct Pause {
    failures: u32,
    until: Option<Instant>,
    last: Option<ExecError>,
}

impl Pause {
    /// After a failed attempt: the next pause is twice as long, up to `max`. `luck` in 0..1 spreads instances that
    /// failed together over its second half.
    pub(crate) fn failed(
        &mut self,
        error: ExecError,
        min: Duration,
        max: Duration,
        luck: f64,
        now: Instant,
    ) {
        let whole = min.saturating_mul(1 << self.failures.min(16)).min(max);
        self.failures = self.failures.saturating_add(1);
        self.until = Some(now + whole.mul_f64(0.5 + luck / 2.0));
        self.last = Some(error);
    }

    /// After a successful one, or when the instance has moved.
    pub(crate) fn over(&mut self) {
        *self = Self::default();
    }

    /// Until when to wait, and why the last attempt failed.
    pub(crate) fn current(&self, now: Instant) -> Option<(Instant, &ExecError)> {
        let until = self.until.filter(|until| *until > now)?;
        Some((until, self.last.as_ref()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pause_doubles_up_to_its_limit_and_success_ends_it() {
        let start = Instant::now();
        let mut pause = Pause::default();
        assert!(pause.current(start).is_none());
        let mut pauses = Vec::new();
        for _ in 0..8 {
            pause.failed(
                ExecError::NoAddress,
                Duration::from_millis(200),
                Duration::from_secs(10),
                1.0,
                start,
            );
            pauses.push((pause.current(start).expect("a pause").0 - start).as_millis());
        }
        assert_eq!(pauses, [200, 400, 800, 1600, 3200, 6400, 10_000, 10_000]);
        assert!(
            pause.current(start + Duration::from_secs(10)).is_none(),
            "it passes"
        );
        pause.over();
        assert!(pause.current(start).is_none());
    }

    #[test]
    fn luck_spreads_the_second_half() {
        let start = Instant::now();
        let mut pause = Pause::default();
        pause.failed(
            ExecError::NoAddress,
            Duration::from_millis(200),
            Duration::from_secs(10),
            0.0,
            start,
        );
        assert_eq!(
            pause.current(start).expect("a pause").0 - start,
            Duration::from_millis(100)
        );
    }
}
