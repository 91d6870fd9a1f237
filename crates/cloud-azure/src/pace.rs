//! How fast to call, for each kind of call apart: after a throttled one, none is sent before the time that Azure named.
//! So a throttled create never delays a destroy. Pure.

use std::time::Duration;

use dispatch_model::Time;

/// How long to wait where Azure does not say (facts A5).
const UNSAID: Duration = Duration::from_secs(20);

/// The pace of one kind of call.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub(crate) struct Pace {
    not_before: Time,
}

impl Pace {
    /// Whether a call may be sent now; if not, when.
    pub(crate) fn turn(&self, now: Time) -> Result<(), Time> {
        if now < self.not_before {
            return Err(self.not_before);
        }
        Ok(())
    }

    /// A call was throttled: no other before the time that is returned. `scale`: how much faster than in life the clock
    /// runs; 1 but in tests.
    pub(crate) fn throttled(&mut self, asked_for: Option<Duration>, scale: u32, now: Time) -> Time {
        let wait = asked_for.unwrap_or(UNSAID) / scale.max(1);
        // What Azure says last counts, and "at once" is not believed.
        self.not_before = self
            .not_before
            .max(now + wait.max(Duration::from_millis(100)));
        self.not_before
    }

    /// Until when none is sent.
    pub(crate) fn not_before(&self) -> Time {
        self.not_before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a5_k27_nothing_is_sent_before_the_time_that_was_named_or_for_20_seconds() {
        let mut pace = Pace::default();
        let at = Time::from_secs;
        assert_eq!(pace.turn(at(0)), Ok(()));
        assert_eq!(
            pace.throttled(Some(Duration::from_secs(7)), 1, at(10)),
            at(17)
        );
        assert_eq!(pace.turn(at(16)), Err(at(17)));
        assert_eq!(pace.turn(at(17)), Ok(()));
        // An earlier answer that arrives late does not shorten it.
        assert_eq!(pace.throttled(None, 1, at(20)), at(40));
        assert_eq!(pace.throttled(Some(Duration::ZERO), 1, at(21)), at(40));
        let mut hasty = Pace::default();
        assert_eq!(
            hasty.throttled(Some(Duration::ZERO), 1, at(1)),
            Time::from_millis(1100)
        );
    }
}
