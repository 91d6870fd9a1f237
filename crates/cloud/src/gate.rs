//! When what changes the world may be done: for what drivers do by themselves, in the background.

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use tokio::time::{Instant, sleep_until};

/// Opens when something may be changed, and closes for good when nothing may be changed any more (facts M6, K8).
///
/// Whatever a driver sends that changes something goes through it: also what nobody has asked it for, such as deleting
/// what a dead daemon left behind, while the caller only lists.
#[derive(Clone)]
pub struct Gate {
    opens_at: Option<Instant>,
    may_act: Arc<dyn Fn() -> bool + Send + Sync>,
}

impl Gate {
    /// For those whom nobody can send away: tests, and tools that are alone.
    pub fn open() -> Gate {
        Gate {
            opens_at: None,
            may_act: Arc::new(|| true),
        }
    }

    /// Opens then, and stays open for as long as this function, which is asked before every step, says so.
    pub fn new(opens_at: Instant, may_act: impl Fn() -> bool + Send + Sync + 'static) -> Gate {
        Gate {
            opens_at: Some(opens_at),
            may_act: Arc::new(may_act),
        }
    }

    /// Whether something may be changed at this moment.
    pub fn may_act(&self) -> bool {
        self.opens_at.is_none_or(|at| Instant::now() >= at) && (self.may_act)()
    }

    /// Does this, which changes something, as soon as and as long as it is allowed. Once the gate has closed nothing more
    /// of it is done, and there is no answer: whoever waits for it has a deadline, or ends with the driver.
    pub async fn acting<F: Future>(&self, act: F) -> F::Output {
        if let Some(at) = self.opens_at {
            sleep_until(at).await;
        }
        Guarded {
            gate: self,
            act: Box::pin(act),
        }
        .await
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Gate({})", if self.may_act() { "open" } else { "shut" })
    }
}

/// Looks before each step.
struct Guarded<'a, F> {
    gate: &'a Gate,
    act: Pin<Box<F>>,
}

impl<F: Future> Future for Guarded<'_, F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        if self.gate.may_act() {
            self.act.as_mut().poll(context)
        } else {
            // Nobody wakes it again: it ends with the driver.
            Poll::Pending
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicBool, Ordering},
        time::Duration,
    };

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn what_changes_something_waits_until_the_gate_opens() {
        let began = Instant::now();
        let gate = Gate::new(began + 4 * SECOND, || true);
        assert!(!gate.may_act());
        gate.acting(async {}).await;
        assert_eq!(began.elapsed(), 4 * SECOND);
        assert!(gate.may_act());
    }

    #[tokio::test(start_paused = true)]
    async fn a_gate_that_has_closed_lets_nothing_more_be_done_of_what_has_begun() {
        let closes_at = Instant::now() + 2 * SECOND;
        let gate = Gate::new(Instant::now(), move || Instant::now() < closes_at);
        let went_on = AtomicBool::new(false);
        let act = gate.acting(async {
            tokio::time::sleep(3 * SECOND).await;
            went_on.store(true, Ordering::Relaxed);
        });
        assert!(tokio::time::timeout(60 * SECOND, act).await.is_err());
        assert!(!went_on.load(Ordering::Relaxed));
    }
}
