//! One uninterrupted time of holding the lock.

use std::{
    fmt,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

/// One uninterrupted time of holding the lock. Clones speak of the same.
#[derive(Clone)]
pub struct Term {
    number: u64,
    began: Instant,
    surveys_at: Instant,
    acts_at: Instant,
    /// Milliseconds after `began`; 0 when it is over.
    valid_ms: Arc<AtomicU64>,
    /// Why it is over, once it is.
    over: watch::Receiver<Option<Arc<str>>>,
}

/// Ends a term, or prolongs it.
pub(crate) struct TermHandle {
    began: Instant,
    valid_ms: Arc<AtomicU64>,
    over: watch::Sender<Option<Arc<str>>>,
}

impl Term {
    /// A term that never ends, for a cluster where no lock is to be taken. The handle keeps it.
    pub fn without_lock() -> Term {
        let (term, handle) = Term::begin(1, Duration::ZERO, Duration::ZERO);
        handle.valid_ms.store(u64::MAX, Ordering::Release);
        term
    }

    pub(crate) fn begin(number: u64, quiet: Duration, survey: Duration) -> (Term, TermHandle) {
        let began = Instant::now();
        let valid_ms = Arc::new(AtomicU64::new(0));
        let (sender, over) = watch::channel(None);
        let term = Term {
            number,
            began,
            surveys_at: began + quiet,
            acts_at: began + survey,
            valid_ms: Arc::clone(&valid_ms),
            over,
        };
        let handle = TermHandle {
            began,
            valid_ms,
            over: sender,
        };
        (term, handle)
    }

    /// The first is 1.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// From when one may look.
    pub fn surveys_at(&self) -> Instant {
        self.surveys_at
    }

    /// From when one may change something.
    pub fn acts_at(&self) -> Instant {
        self.acts_at
    }

    /// Whether something may be changed at this moment. Right even when nobody has had time to end the term.
    pub fn allows_acting(&self) -> bool {
        let now = Instant::now();
        now >= self.acts_at && self.is_valid(now)
    }

    fn is_valid(&self, now: Instant) -> bool {
        let valid = Duration::from_millis(self.valid_ms.load(Ordering::Acquire));
        now.saturating_duration_since(self.began) < valid
    }

    /// Waits for the end: why. For ever, if no lock was taken.
    pub async fn over(&self) -> Arc<str> {
        let mut over = self.over.clone();
        let told = (over.wait_for(Option::is_some).await).map(|why| why.clone());
        match told {
            Ok(why) => why.unwrap_or_else(|| Arc::from("it is over")),
            Err(_) if self.valid_ms.load(Ordering::Acquire) == u64::MAX => {
                std::future::pending().await
            }
            Err(_) => Arc::from("nobody keeps the lock any more"),
        }
    }

    /// Does this, which changes something, as soon as and as long as it is allowed. Once the term is over nothing more of
    /// it is done, and there is no answer: whoever waits for it must end with the term.
    pub async fn acting<F: Future>(&self, act: F) -> F::Output {
        sleep_until(self.acts_at).await;
        Guarded {
            term: self,
            act: Box::pin(act),
        }
        .await
    }
}

impl fmt::Debug for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Term")
            .field("number", &self.number)
            .finish_non_exhaustive()
    }
}

impl TermHandle {
    /// It lasts until then, unless it is prolonged again.
    pub(crate) fn valid_until(&self, at: Instant) {
        let valid = at.saturating_duration_since(self.began).as_millis();
        let valid = u64::try_from(valid).unwrap_or(u64::MAX - 1);
        self.valid_ms.store(valid, Ordering::Release);
    }

    pub(crate) fn end(self, why: &str) {
        self.valid_ms.store(0, Ordering::Release);
        self.over.send_replace(Some(Arc::from(why)));
    }
}

/// Looks before each step.
struct Guarded<'a, F> {
    term: &'a Term,
    act: Pin<Box<F>>,
}

impl<F: Future> Future for Guarded<'_, F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        if self.term.is_valid(Instant::now()) {
            self.act.as_mut().poll(context)
        } else {
            // Nobody wakes it again: it ends with the term.
            Poll::Pending
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn term() -> (Term, TermHandle) {
        let (term, handle) = Term::begin(1, 3 * SECOND, 4 * SECOND);
        handle.valid_until(Instant::now() + 10 * SECOND);
        (term, handle)
    }

    #[tokio::test(start_paused = true)]
    async fn what_changes_something_waits_for_the_end_of_the_survey() {
        let (term, _handle) = term();
        let began = Instant::now();
        term.acting(async {}).await;
        assert_eq!(began.elapsed(), 4 * SECOND);
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_begun_or_continued_after_the_end_although_nobody_said_so() {
        let (term, handle) = term();
        handle.valid_until(Instant::now() + 5 * SECOND);
        let went_on = AtomicBool::new(false);
        let act = term.acting(async {
            // As long as a process may be stopped.
            tokio::time::sleep(3 * SECOND).await;
            went_on.store(true, Ordering::Relaxed);
        });
        assert!(tokio::time::timeout(60 * SECOND, act).await.is_err());
        assert!(!went_on.load(Ordering::Relaxed));
        assert!(!term.allows_acting());
    }

    #[tokio::test(start_paused = true)]
    async fn the_end_is_told_with_its_reason_and_ends_all_clones() {
        let (term, handle) = term();
        tokio::time::advance(5 * SECOND).await;
        let clone = term.clone();
        assert!(clone.allows_acting());
        handle.end("the test");
        assert_eq!(&*clone.over().await, "the test");
        assert!(!clone.allows_acting());
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_lock_everything_is_allowed_for_ever() {
        let term = Term::without_lock();
        assert!(term.allows_acting());
        term.acting(async {}).await;
        let year = Duration::from_secs(365 * 86_400);
        assert!(tokio::time::timeout(year, term.over()).await.is_err());
        assert!(term.allows_acting());
    }
}
