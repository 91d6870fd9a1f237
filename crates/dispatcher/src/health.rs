//! Whether the dispatcher does its work (facts K31): polls and lists come in, the loop turns, nothing was set aside.

use std::{
    fmt,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use dispatch_brain::Snapshot;
use dispatch_model::Time;

use crate::clock::Clock;

/// The loop turns at least this often while all is well, if only to show that it does.
pub(crate) const HEARTBEAT: Duration = Duration::from_secs(5);
/// Without a turn for this long the loop is stuck.
const STUCK_AFTER: Duration = Duration::from_secs(30);
/// So many intervals in which nothing succeeded are a fault: one lost answer is none.
const INTERVALS: u32 = 3;
/// A list of instances that is not answered for so long is a fault. Clouds answer within seconds.
const LIST_ANSWERED_WITHIN: Duration = Duration::from_secs(120);

/// When things last went well; written by the calls, read by the management API.
#[derive(Debug)]
pub(crate) struct Health {
    clock: Clock,
    polls: Attempts,
    lists: Attempts,
    turned_at: AtomicU64,
    aside: Mutex<Option<Aside>>,
}

/// The dispatcher is not in command: polls and lists are not expected.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Aside {
    /// What it waits for.
    pub(crate) why: String,
    /// Whether that is as it should be.
    pub(crate) well: bool,
}

impl Health {
    /// Nothing is wrong yet. Whoever asks the API waits for `timeout_api` at most.
    pub(crate) fn new(
        clock: Clock,
        poll_interval: Duration,
        timeout_api: Duration,
        sync_interval: Duration,
    ) -> Health {
        let now = clock.time();
        Health {
            clock,
            polls: Attempts::new(poll_interval, timeout_api * INTERVALS, now),
            lists: Attempts::new(sync_interval, LIST_ANSWERED_WITHIN, now),
            turned_at: AtomicU64::new(now.millis()),
            aside: Mutex::default(),
        }
    }

    /// The dispatcher is not in command.
    pub(crate) fn stand_aside(&self, aside: Aside) {
        *self.aside() = Some(aside);
    }

    /// It is, from now on: what was long ago counts no more.
    pub(crate) fn take_command(&self) {
        let now = self.clock.time();
        self.polls.begin(now);
        self.lists.begin(now);
        self.turned();
        *self.aside() = None;
    }

    /// What it waits for, if it is not in command.
    pub(crate) fn waits_for(&self) -> Option<String> {
        self.aside().as_ref().map(|aside| aside.why.clone())
    }

    fn verdict_aside(&self) -> Option<Result<(), String>> {
        self.aside().as_ref().map(|aside| match aside.well {
            true => Ok(()),
            false => Err(aside.why.clone()),
        })
    }

    fn aside(&self) -> MutexGuard<'_, Option<Aside>> {
        self.aside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A poll of the container queue was answered, or failed.
    pub(crate) fn polled<T, E: fmt::Display>(&self, result: &Result<T, E>) {
        self.polls.note(result, self.clock.time());
    }

    /// A list of the instances was answered, or failed.
    pub(crate) fn listed<T, E: fmt::Display>(&self, result: &Result<T, E>) {
        self.lists.note(result, self.clock.time());
    }

    /// The loop turned.
    pub(crate) fn turned(&self) {
        self.turned_at
            .store(self.clock.time().millis(), Ordering::Relaxed);
    }

    /// What is wrong, if something is.
    pub(crate) fn check(&self, snapshot: &Snapshot) -> Result<(), String> {
        if let Some(verdict) = self.verdict_aside() {
            return verdict;
        }
        let mut faults = self.overdue();
        if let Some(hold) = &snapshot.pool.hold
            && hold.cause == dispatch_model::HoldCause::RunnerUnreadable
        {
            faults.push(format!(
                "the runner's program cannot be read: {}",
                hold.detail
            ));
        }
        if snapshot.violations > 0 {
            faults.push(format!(
                "{} commands were withheld because they would have broken a rule; see the log for `invariant`",
                snapshot.violations
            ));
        }
        if faults.is_empty() {
            Ok(())
        } else {
            Err(faults.join("; "))
        }
    }

    /// What fails at present, also if that is not for long enough to be a fault: for people who look on.
    pub(crate) fn troubles(&self) -> Vec<String> {
        let polls = self.polls.trouble("the container queue cannot be read");
        let lists = self.lists.trouble("the cloud does not list the instances");
        [polls, lists].into_iter().flatten().collect()
    }

    /// What should have happened and has not.
    fn overdue(&self) -> Vec<String> {
        let now = self.clock.time();
        let turned = now.since(Time::from_millis(self.turned_at.load(Ordering::Relaxed)));
        let stuck = (turned > STUCK_AFTER).then(|| {
            let secs = turned.as_secs();
            format!("the dispatcher's loop has been stuck for {secs} s")
        });
        let polls = self
            .polls
            .fault("the container queue has not been read", now);
        let lists = self
            .lists
            .fault("the cloud has not listed the instances", now);
        [stuck, polls, lists].into_iter().flatten().collect()
    }
}

/// What is attempted again and again, and must succeed from time to time.
#[derive(Debug)]
struct Attempts {
    /// With failures alone for so long, something is wrong.
    failing_max: Duration,
    /// Without a success for so long, something is wrong even if nothing has failed.
    silent_max: Duration,
    last: Mutex<Last>,
}

#[derive(Debug)]
struct Last {
    success_at: Time,
    /// Why the latest attempt failed, if it did.
    failure: Option<String>,
}

impl Attempts {
    fn new(interval: Duration, answered_within: Duration, now: Time) -> Attempts {
        let failing_max = interval * INTERVALS;
        Attempts {
            failing_max,
            silent_max: failing_max + answered_within,
            last: Mutex::new(Last {
                success_at: now,
                failure: None,
            }),
        }
    }

    fn begin(&self, now: Time) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.success_at = now;
        last.failure = None;
    }

    fn note<T, E: fmt::Display>(&self, result: &Result<T, E>, now: Time) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        match result {
            Ok(_) => {
                last.success_at = now;
                last.failure = None;
            }
            Err(error) => last.failure = Some(error.to_string()),
        }
    }

    fn trouble(&self, what: &str) -> Option<String> {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let failure = last.failure.as_ref()?;
        Some(format!("{what}: {failure}"))
    }

    fn fault(&self, what: &str, now: Time) -> Option<String> {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let age = now.since(last.success_at);
        let (limit, reason) = match &last.failure {
            Some(failure) => (self.failing_max, failure.as_str()),
            None => (self.silent_max, "no answer"),
        };
        (age > limit).then(|| format!("{what} for {} s: {reason}", age.as_secs()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_secs(10);
    const TIMEOUT_API: Duration = Duration::from_secs(60);

    async fn after(secs: u64) {
        tokio::time::advance(Duration::from_secs(secs)).await;
    }

    fn health() -> Health {
        Health::new(Clock::start(), INTERVAL, TIMEOUT_API, 6 * INTERVAL)
    }

    #[tokio::test(start_paused = true)]
    async fn polls_that_fail_for_three_intervals_are_a_fault_until_one_succeeds() {
        let health = health();
        after(25).await;
        health.turned();
        health.polled(&Err::<(), _>("connection refused"));
        assert_eq!(health.overdue(), Vec::<String>::new());
        // Who looks on sees it at once.
        let seen = "the container queue cannot be read: connection refused";
        assert_eq!(health.troubles(), [seen]);
        after(6).await;
        assert_eq!(
            health.overdue(),
            ["the container queue has not been read for 31 s: connection refused"]
        );
        health.polled(&Ok::<_, String>(()));
        assert_eq!(health.overdue(), Vec::<String>::new());
        assert_eq!(health.troubles(), Vec::<String>::new());
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_api_is_no_fault_and_a_silent_one_is() {
        let health = health();
        for _ in 0..5 {
            after(110).await;
            health.turned();
            health.listed(&Ok::<_, String>(()));
            assert_eq!(health.overdue(), Vec::<String>::new());
            health.polled(&Ok::<_, String>(()));
        }
        after(211).await;
        health.turned();
        health.listed(&Ok::<_, String>(()));
        assert_eq!(
            health.overdue(),
            ["the container queue has not been read for 211 s: no answer"]
        );
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_not_in_command_is_not_asked_for_polls_and_starts_afresh_when_it_is() {
        let health = health();
        let aside = |well| Aside {
            why: "waits for another".to_owned(),
            well,
        };
        health.stand_aside(aside(true));
        after(1000).await;
        assert_eq!(health.verdict_aside(), Some(Ok(())));
        assert_eq!(health.waits_for().as_deref(), Some("waits for another"));
        health.stand_aside(aside(false));
        let verdict = health.verdict_aside();
        assert_eq!(verdict, Some(Err("waits for another".to_owned())));
        health.take_command();
        assert_eq!(health.verdict_aside(), None);
        assert_eq!(health.overdue(), Vec::<String>::new());
        after(1000).await;
        assert_eq!(health.overdue().len(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn a_cloud_that_does_not_list_and_a_loop_that_does_not_turn_are_faults() {
        let health = health();
        after(181).await;
        health.polled(&Ok::<_, String>(()));
        health.listed(&Err::<(), _>("quota service is down"));
        assert_eq!(
            health.overdue(),
            [
                "the dispatcher's loop has been stuck for 181 s",
                "the cloud has not listed the instances for 181 s: quota service is down",
            ]
        );
        health.turned();
        health.listed(&Ok::<_, String>(()));
        assert_eq!(health.overdue(), Vec::<String>::new());
    }
}
