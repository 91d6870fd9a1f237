//! One uninterrupted time of holding the lock.

use std::{
    fmt, io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

use crate::{
    Timing,
    clocks::{Clocks, Reading},
    deadman::Switch,
};

/// One uninterrupted time of holding the lock. Clones speak of the same.
#[derive(Clone)]
pub struct Term {
    number: u64,
    surveys_at: Instant,
    acts_at: Instant,
    validity: Validity,
    /// Why it is over, once it is.
    over: watch::Receiver<Option<Arc<str>>>,
}

/// For terms that no kernel watches over.
const UNWATCHED: Timing = Timing {
    kill: None,
    ..Timing::USUAL
};

/// Ends a term, or prolongs it.
pub(crate) struct TermHandle {
    validity: Validity,
    over: watch::Sender<Option<Arc<str>>>,
}

impl Term {
    /// A term that never ends, for a cluster where no lock is to be taken. The handle keeps it.
    pub fn without_lock() -> Term {
        let clocks = Clocks::of_this_host();
        let timing = Timing {
            quiet: Duration::ZERO,
            survey: Duration::ZERO,
            ..UNWATCHED
        };
        let (term, _) = Term::begin(1, timing, Lasts::ForEver, clocks);
        term
    }

    /// A term that nobody prolongs, for tests of what acts: it surveys for so long, and is over after so long.
    pub fn lasting(survey: Duration, valid: Duration) -> Term {
        let clocks = Clocks::of_this_host();
        let lasts = Lasts::Until(Instant::now() + valid, clocks.read());
        let timing = Timing {
            quiet: Duration::ZERO,
            survey,
            ..UNWATCHED
        };
        let (term, _) = Term::begin(1, timing, lasts, clocks);
        term
    }

    pub(crate) fn begin(
        number: u64,
        timing: Timing,
        lasts: Lasts,
        clocks: Clocks,
    ) -> (Term, TermHandle) {
        let began = Instant::now();
        let validity = Validity {
            lasts: Arc::new(Mutex::new(lasts)),
            clocks,
            kill: timing.kill,
            switch: Arc::default(),
        };
        let (sender, over) = watch::channel(None);
        let term = Term {
            number,
            surveys_at: began + timing.quiet,
            acts_at: began + timing.survey,
            validity: validity.clone(),
            over,
        };
        let handle = TermHandle {
            validity,
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
        Instant::now() >= self.acts_at && self.validity.holds()
    }

    /// Something may act from here on, and whoever calls this calls `nothing_acts` when it has ended. If that is not in
    /// time, the kernel ends this process (`Timing::kill`).
    pub fn something_acts(&self) {
        self.validity.switch.in_use();
    }

    /// Nothing is left that could act, and the lock is lost or given back.
    pub fn nothing_acts(&self) {
        self.validity.switch.disarm();
    }

    /// Waits for the end: why. For ever, if no lock was taken.
    pub async fn over(&self) -> Arc<str> {
        let mut over = self.over.clone();
        let told = (over.wait_for(Option::is_some).await).map(|why| why.clone());
        match told {
            Ok(why) => why.unwrap_or_else(|| Arc::from("it is over")),
            Err(_) if matches!(*self.validity.lasts(), Lasts::ForEver) => {
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
    /// Lets the kernel end this process if the term is neither prolonged nor ended in time.
    pub(crate) fn arm(&self) -> io::Result<()> {
        let read = match *self.validity.lasts() {
            Lasts::Until(_, read) => read,
            Lasts::ForEver | Lasts::Over => return Ok(()),
        };
        match self.validity.kill {
            Some(after) => self.validity.switch.arm(read.boot + after),
            None => Ok(()),
        }
    }

    /// It lasts until then, unless it is prolonged again; the clocks were read so when the question was sent whose answer
    /// says so. `false` if it is over already: then nothing begins it again.
    #[must_use]
    pub(crate) fn valid_until(&self, at: Instant, read: Reading) -> bool {
        let holds = self.validity.holds();
        if holds {
            *self.validity.lasts() = Lasts::Until(at, read);
            let after = self.validity.kill.unwrap_or_default();
            if let Err(error) = self.validity.switch.put_off(read.boot + after) {
                tracing::error!("this process is about to be ended by its own timer: {error}");
            }
        }
        holds
    }

    /// Whether it lasts, by all clocks.
    pub(crate) fn holds(&self) -> bool {
        self.validity.holds()
    }

    pub(crate) fn end(&self, why: &str) {
        *self.validity.lasts() = Lasts::Over;
        self.validity.switch.disarm_unused();
        self.over.send_replace(Some(Arc::from(why)));
    }
}

/// How long a term lasts.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Lasts {
    /// No lock was taken.
    ForEver,
    /// So the clocks said when the last question was sent that was answered. Time that this host has missed since then
    /// counts as well.
    Until(Instant, Reading),
    /// For good.
    Over,
}

#[derive(Clone)]
struct Validity {
    lasts: Arc<Mutex<Lasts>>,
    clocks: Clocks,
    kill: Option<Duration>,
    switch: Arc<Switch>,
}

impl Validity {
    fn lasts(&self) -> MutexGuard<'_, Lasts> {
        self.lasts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it lasts. Once it does not, it never does again: what was under way has been left where it was.
    fn holds(&self) -> bool {
        let mut lasts = self.lasts();
        let holds = match *lasts {
            Lasts::ForEver => true,
            Lasts::Over => false,
            Lasts::Until(at, read) => {
                let missed = self.clocks.read().missed_since(&read);
                Instant::now() + missed < at
            }
        };
        if !holds {
            *lasts = Lasts::Over;
        }
        holds
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
        if self.term.validity.holds() {
            self.act.as_mut().poll(context)
        } else {
            // Nobody wakes it again: it ends with the term.
            Poll::Pending
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn still() -> Reading {
        Reading {
            monotonic: SECOND,
            boot: SECOND,
            wall: SECOND,
        }
    }

    fn lasting(clocks: Clocks) -> (Term, TermHandle) {
        let lasts = Lasts::Until(Instant::now() + 10 * SECOND, clocks.read());
        Term::begin(1, UNWATCHED, lasts, clocks)
    }

    fn term() -> (Term, TermHandle) {
        lasting(Clocks::reading(still))
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
        assert!(handle.valid_until(Instant::now() + 5 * SECOND, still()));
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
    async fn a_host_that_was_suspended_counts_the_time_that_it_slept_and_never_goes_on() {
        let slept_s = Arc::new(AtomicU64::new(0));
        let clocks = {
            let slept_s = Arc::clone(&slept_s);
            Clocks::reading(move || Reading {
                boot: SECOND + Duration::from_secs(slept_s.load(Ordering::Relaxed)),
                ..still()
            })
        };
        let (term, handle) = lasting(clocks);
        tokio::time::advance(5 * SECOND).await;
        slept_s.store(4, Ordering::Relaxed);
        assert!(term.allows_acting(), "9 s of 10 have passed");
        slept_s.store(6, Ordering::Relaxed);
        assert!(!handle.holds(), "11 s of 10 have passed");
        assert!(!term.allows_acting());
        // An answer that says otherwise comes too late: what was under way has been stopped halfway.
        let read = Reading {
            boot: 7 * SECOND,
            ..still()
        };
        assert!(!handle.valid_until(Instant::now() + 3 * SECOND, read));
        assert!(!term.allows_acting());
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
