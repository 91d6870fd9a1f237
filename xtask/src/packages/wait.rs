//! Waiting for something to come true, for a time that has an end.

use std::time::{Duration, Instant};

use anyhow::Result;

/// How often to look.
const EVERY: Duration = Duration::from_millis(20);

/// Looks until there is something, or the time is up: then `None`.
pub(super) fn until<T>(
    limit: Duration,
    mut look: impl FnMut() -> Result<Option<T>>,
) -> Result<Option<T>> {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(found) = look()? {
            return Ok(Some(found));
        }
        if Instant::now() > deadline {
            return Ok(None);
        }
        pause();
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "looks again until a predicate holds, with a deadline"
)]
fn pause() {
    std::thread::sleep(EVERY);
}
