//! Bounds the requests that are under way and those that wait for their turn (facts §2.6, service wrapper).

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::wire::RequestUnderWay;

/// How busy the server is.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Load {
    /// Requests under way.
    pub concurrent: usize,
    /// Requests that wait for their turn.
    pub queued: usize,
    /// How many may be under way.
    pub max_concurrent: usize,
    /// How many may wait.
    pub max_queued: usize,
    /// Age of the oldest request under way.
    pub oldest: Duration,
}

/// Lets at most so many requests in, and so many wait.
pub(crate) struct Limiter {
    turns: Arc<Semaphore>,
    max_concurrent: usize,
    max_queued: usize,
    queued: AtomicUsize,
    next: AtomicUsize,
    under_way: Mutex<BTreeMap<usize, (RequestUnderWay, Instant)>>,
}

/// A request's turn; ends when dropped.
pub(crate) struct Turn {
    limiter: Arc<Limiter>,
    key: usize,
    _permit: OwnedSemaphorePermit,
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.limiter
            .under_way
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&self.key);
    }
}

/// Counts a waiting request for as long as it waits, also if its client hangs up.
struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Limiter {
    /// `max_concurrent` 0 means 1.
    pub(crate) fn new(max_concurrent: usize, max_queued: usize) -> Arc<Limiter> {
        let max_concurrent = max_concurrent.max(1);
        Arc::new(Limiter {
            turns: Arc::new(Semaphore::new(max_concurrent)),
            max_concurrent,
            max_queued,
            queued: AtomicUsize::new(0),
            next: AtomicUsize::new(0),
            under_way: Mutex::new(BTreeMap::new()),
        })
    }

    /// Waits for a turn; `None` if too many wait already. The caller bounds the wait.
    pub(crate) async fn turn(
        self: &Arc<Self>,
        request: RequestUnderWay,
        since: Instant,
    ) -> Option<Turn> {
        let permit = match Arc::clone(&self.turns).try_acquire_owned() {
            Ok(permit) => permit,
            Err(_) => {
                let waiting = self.queued.fetch_add(1, Ordering::Relaxed);
                let _waiting = Waiting(&self.queued);
                if waiting >= self.max_queued {
                    return None;
                }
                Arc::clone(&self.turns).acquire_owned().await.ok()?
            }
        };
        let key = self.next.fetch_add(1, Ordering::Relaxed);
        self.under_way
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(key, (request, since));
        Some(Turn {
            limiter: Arc::clone(self),
            key,
            _permit: permit,
        })
    }

    /// The requests under way, oldest first, as of `now`.
    pub(crate) fn under_way(&self, now: Instant) -> Vec<RequestUnderWay> {
        let under_way = self
            .under_way
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        under_way
            .values()
            .map(|(request, since)| {
                let elapsed = now.saturating_duration_since(*since).as_secs_f64();
                RequestUnderWay {
                    elapsed,
                    ..request.clone()
                }
            })
            .collect()
    }

    /// How busy we are as of `now`.
    pub(crate) fn load(&self, now: Instant) -> Load {
        let under_way = self
            .under_way
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        Load {
            concurrent: under_way.len(),
            queued: self.queued.load(Ordering::Relaxed),
            max_concurrent: self.max_concurrent,
            max_queued: self.max_queued,
            oldest: under_way
                .values()
                .map(|(_, since)| now.saturating_duration_since(*since))
                .max()
                .unwrap_or_default(),
        }
    }
}
