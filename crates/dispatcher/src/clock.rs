//! The one reader of both clocks.

use dispatch_model::{Now, Time};
use tokio::time::Instant;

/// Reads the clocks; time began when it was made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    began: Instant,
}

impl Clock {
    /// Time begins now.
    pub(crate) fn start() -> Clock {
        Clock {
            began: Instant::now(),
        }
    }

    /// The present moment.
    #[expect(clippy::disallowed_methods, reason = "the shell's clock")]
    pub(crate) fn now(&self) -> Now {
        Now {
            time: self.time(),
            wall: jiff::Timestamp::now(),
        }
    }

    /// The present moment on our own clock.
    pub(crate) fn time(&self) -> Time {
        Time::ZERO + self.whole_millis(Instant::now())
    }

    /// Waits until `at` has come; for ever if there is nothing to wait for.
    pub(crate) async fn reach(&self, at: Option<Time>) {
        match at {
            Some(at) => tokio::time::sleep_until(self.began + at.since(Time::ZERO)).await,
            None => std::future::pending().await,
        }
    }

    /// Whole milliseconds, rounded down: a deadline never looks due before it is.
    fn whole_millis(&self, at: Instant) -> std::time::Duration {
        let elapsed = at.saturating_duration_since(self.began);
        std::time::Duration::from_millis(u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX))
    }
}
