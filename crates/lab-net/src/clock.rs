//! The one reader of the clock: real time for the world.

use dispatch_lab::Now;
use tokio::time::Instant;

/// A world's clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    began: Instant,
    wall: jiff::Timestamp,
}

impl Clock {
    /// A clock that begins now.
    pub(crate) fn start() -> Clock {
        Clock {
            began: Instant::now(),
            wall: jiff::Timestamp::now(),
        }
    }

    /// The present.
    pub(crate) fn now(&self) -> Now {
        let elapsed = self.began.elapsed();
        let ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
        let wall = jiff::SignedDuration::try_from(elapsed)
            .ok()
            .and_then(|elapsed| self.wall.checked_add(elapsed).ok());
        Now {
            ms,
            wall: wall.unwrap_or(self.wall),
        }
    }

    /// When the world's millisecond `ms` is.
    pub(crate) fn instant(&self, ms: u64) -> Instant {
        self.began + std::time::Duration::from_millis(ms)
    }
}
