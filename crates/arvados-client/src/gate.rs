//! Waits for the limiter's word, first come first served.

use std::sync::{
    Mutex, MutexGuard, PoisonError,
    atomic::{AtomicUsize, Ordering},
};

use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};

use crate::limiter::{Limiter, Outcome, Turn};

/// A limiter that many tasks share.
#[derive(Debug)]
pub(crate) struct Gate {
    limiter: Mutex<Limiter>,
    /// Held by whoever is first in line; tokio's mutex is fair. So only one task at a time waits for `ended`.
    first_in_line: tokio::sync::Mutex<()>,
    ended: Notify,
    waiting: AtomicUsize,
}

impl Gate {
    pub(crate) fn new(limiter: Limiter) -> Gate {
        Gate {
            limiter: Mutex::new(limiter),
            first_in_line: tokio::sync::Mutex::new(()),
            ended: Notify::new(),
            waiting: AtomicUsize::new(0),
        }
    }

    /// Waits until a call may start. May be dropped at any time.
    pub(crate) async fn enter(&self) -> Pass<'_> {
        let _waiting = Waiting::new(&self.waiting);
        let _first = self.first_in_line.lock().await;
        loop {
            // Bound first: the guard must not live across an await.
            let turn = self.limiter().start(Instant::now());
            match turn {
                Turn::Go => {
                    return Pass {
                        gate: self,
                        outcome: Outcome::Other,
                    };
                }
                Turn::WhenOneEnds => self.ended.notified().await,
                Turn::At(time) => sleep_until(time).await,
            }
        }
    }

    fn limiter(&self) -> MutexGuard<'_, Limiter> {
        // The limiter is whole after each of its steps, so a panic elsewhere does not spoil it.
        self.limiter.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The right to have one call under way, given back on drop.
#[derive(Debug)]
pub(crate) struct Pass<'a> {
    gate: &'a Gate,
    outcome: Outcome,
}

impl Pass<'_> {
    /// Gives the pass back and says how the call went.
    pub(crate) fn finish(mut self, outcome: Outcome) {
        self.outcome = outcome;
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        let waiting = self.gate.waiting.load(Ordering::Relaxed);
        self.gate
            .limiter()
            .finished(self.outcome, waiting, Instant::now());
        self.gate.ended.notify_one();
    }
}

/// Counts somebody who waits, also if they give up.
struct Waiting<'a>(&'a AtomicUsize);

impl Waiting<'_> {
    fn new(count: &AtomicUsize) -> Waiting<'_> {
        count.fetch_add(1, Ordering::Relaxed);
        Waiting(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use futures_util::future::join_all;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn calls_wait_for_each_other_and_all_get_through() {
        let gate = Arc::new(Gate::new(Limiter::new(40)));
        let most = Arc::new(Mutex::new((0, 0)));
        let calls = (0..100).map(|_| {
            let (gate, most) = (gate.clone(), most.clone());
            async move {
                let pass = gate.enter().await;
                {
                    let mut most = most.lock().expect("no panic");
                    most.0 += 1;
                    most.1 = most.1.max(most.0);
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
                most.lock().expect("no panic").0 -= 1;
                pass.finish(Outcome::Served);
            }
        });
        join_all(calls).await;
        assert_eq!(*most.lock().expect("no panic"), (0, 10));
    }

    #[tokio::test(start_paused = true)]
    async fn after_a_503_the_next_call_waits_a_second() {
        let gate = Gate::new(Limiter::new(0));
        gate.enter().await.finish(Outcome::Overloaded);
        let asked = Instant::now();
        let _pass = gate.enter().await;
        assert_eq!(asked.elapsed(), Duration::from_secs(1));
    }

    #[tokio::test(start_paused = true)]
    async fn who_gives_up_waiting_holds_nobody_up() {
        let gate = Gate::new(Limiter::new(4));
        let first = gate.enter().await;
        let given_up = tokio::time::timeout(Duration::from_secs(1), gate.enter()).await;
        assert!(given_up.is_err());
        drop(first);
        gate.enter().await.finish(Outcome::Served);
    }
}
