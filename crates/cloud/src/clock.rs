//! The daemon's own clock, for drivers that must say until when.

use std::{fmt, sync::Arc};

use dispatch_model::Time;

/// Reads the clock that the one who holds the driver counts by.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> Time + Send + Sync>);

impl Clock {
    /// A clock that is read by this function.
    pub fn new(read: impl Fn() -> Time + Send + Sync + 'static) -> Clock {
        Clock(Arc::new(read))
    }

    /// A clock of its own that starts now, for those who have none to share.
    pub fn start() -> Clock {
        let began = tokio::time::Instant::now();
        Clock::new(move || Time::ZERO + began.elapsed())
    }

    /// The present moment.
    pub fn now(&self) -> Time {
        (self.0)()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Clock({})", self.now())
    }
}
