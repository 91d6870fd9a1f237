//! Waiting for what should become true.

use std::{panic::Location, time::Duration};

use tokio::time::Instant;

/// How long anything may take on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(45);

/// How often to look.
const EVERY: Duration = Duration::from_millis(20);

/// Looks until there is something to see.
#[track_caller]
pub(crate) fn eventually<T>(
    what: &str,
    mut look: impl AsyncFnMut() -> Option<T>,
) -> impl Future<Output = T> {
    let place = Location::caller();
    async move {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(seen) = look().await {
                return seen;
            }
            assert!(Instant::now() < deadline, "never: {what} ({place})");
            tokio::time::sleep(EVERY).await;
        }
    }
}

/// For `eventually`: something to see if it is true.
pub(crate) fn holds(condition: bool) -> Option<()> {
    condition.then_some(())
}
