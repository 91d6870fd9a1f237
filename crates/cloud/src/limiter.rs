//! The rate of calls to a cloud: bursts are allowed, and what matters most goes first.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{sync::Notify, time::Instant};

/// Who goes first when several wait. Instances that are to go cost money and may hold secrets; without a list nothing
/// is known; creates come in numbers and can wait longest.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Urgency {
    Destroy,
    List,
    SetTags,
    Create,
}

/// Lets calls through, so many a second and at most a second's worth at once (facts P10).
#[derive(Debug)]
pub(crate) struct Limiter {
    /// `None`: no limit.
    per_second: Option<f64>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Calls that may go at once, at `filled_at`.
    tokens: f64,
    filled_at: Instant,
    /// Those who wait, by urgency, then in the order of arrival. Only the first watches the clock.
    waiting: BTreeMap<(Urgency, u64), Arc<Notify>>,
    next_number: u64,
}

/// What one who waits must do next.
enum Turn {
    Go,
    WaitUntil(Instant),
    WaitBehindOthers,
}

impl Limiter {
    /// `per_second`: `None` or 0 means no limit.
    pub(crate) fn new(per_second: Option<u32>) -> Limiter {
        let per_second = per_second.filter(|&n| n > 0).map(f64::from);
        Limiter {
            per_second,
            state: Mutex::new(State {
                tokens: per_second.unwrap_or(0.0),
                filled_at: Instant::now(),
                waiting: BTreeMap::new(),
                next_number: 0,
            }),
        }
    }

    /// Waits for the caller's turn. Dropping the future gives the place up.
    pub(crate) async fn turn(&self, urgency: Urgency) {
        let Some(per_second) = self.per_second else {
            return;
        };
        let place = self.enter(urgency);
        loop {
            match self.try_go(&place, per_second) {
                Turn::Go => return,
                Turn::WaitUntil(at) => tokio::time::sleep_until(at).await,
                Turn::WaitBehindOthers => place.called.notified().await,
            }
        }
    }

    fn enter(&self, urgency: Urgency) -> Place<'_> {
        let mut state = self.state();
        let key = (urgency, state.next_number);
        state.next_number += 1;
        let called = Arc::new(Notify::new());
        state.waiting.insert(key, Arc::clone(&called));
        Place {
            limiter: self,
            key,
            called,
        }
    }

    fn try_go(&self, place: &Place<'_>, per_second: f64) -> Turn {
        let mut state = self.state();
        if state.waiting.keys().next() != Some(&place.key) {
            return Turn::WaitBehindOthers;
        }
        let now = Instant::now();
        let earned = now.duration_since(state.filled_at).as_secs_f64() * per_second;
        state.tokens = (state.tokens + earned).min(per_second);
        state.filled_at = now;
        if state.tokens >= 1.0 {
            state.tokens -= 1.0;
            return Turn::Go;
        }
        let missing = Duration::from_secs_f64((1.0 - state.tokens) / per_second);
        Turn::WaitUntil(now + missing.max(Duration::from_millis(1)))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place in the queue; leaving it calls the next.
struct Place<'a> {
    limiter: &'a Limiter,
    key: (Urgency, u64),
    called: Arc<Notify>,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut state = self.limiter.state();
        state.waiting.remove(&self.key);
        if let Some(next) = state.waiting.values().next() {
            next.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use expect_test::{Expect, expect};
    use tokio::task::JoinSet;

    use super::*;

    /// Lets these wait, in this order, and says who went when.
    async fn check(per_second: Option<u32>, calls: &[(Urgency, usize)], expected: Expect) {
        let limiter = Arc::new(Limiter::new(per_second));
        let began = Instant::now();
        let mut waiting = JoinSet::new();
        for &(urgency, count) in calls {
            for _ in 0..count {
                let limiter = Arc::clone(&limiter);
                waiting.spawn(async move {
                    limiter.turn(urgency).await;
                    (began.elapsed(), urgency)
                });
                tokio::task::yield_now().await;
            }
        }
        let mut seen: Vec<(u128, Urgency)> = Vec::new();
        while let Some(result) = waiting.join_next().await {
            let (at, urgency) = result.expect("no panic");
            seen.push((at.as_millis(), urgency));
        }
        let lines: Vec<String> = seen
            .iter()
            .map(|(at, who)| format!("{at} {who:?}\n"))
            .collect();
        expected.assert_eq(&lines.concat());
    }

    #[tokio::test(start_paused = true)]
    async fn a_seconds_worth_goes_at_once_and_the_rest_at_the_rate() {
        check(
            Some(4),
            &[(Urgency::Create, 7)],
            expect![[r#"
                0 Create
                0 Create
                0 Create
                0 Create
                250 Create
                500 Create
                750 Create
            "#]],
        )
        .await;
    }

    #[tokio::test(start_paused = true)]
    async fn destroys_are_never_delayed_behind_creates() {
        check(
            Some(2),
            &[
                (Urgency::Create, 4),
                (Urgency::SetTags, 1),
                (Urgency::List, 1),
                (Urgency::Destroy, 2),
            ],
            expect![[r#"
                0 Create
                0 Create
                500 Destroy
                1000 Destroy
                1500 List
                2000 SetTags
                2500 Create
                3000 Create
            "#]],
        )
        .await;
    }

    #[tokio::test(start_paused = true)]
    async fn zero_means_no_limit() {
        check(
            Some(0),
            &[(Urgency::Create, 2)],
            expect![[r#"
            0 Create
            0 Create
        "#]],
        )
        .await;
        check(
            None,
            &[(Urgency::Destroy, 1)],
            expect![[r#"
            0 Destroy
        "#]],
        )
        .await;
    }

    #[tokio::test(start_paused = true)]
    async fn who_gives_up_makes_room_for_the_next() {
        let limiter = Limiter::new(Some(1));
        limiter.turn(Urgency::Create).await;
        let began = Instant::now();
        let (gave_up, ()) = tokio::join!(
            tokio::time::timeout(Duration::from_millis(10), limiter.turn(Urgency::Destroy)),
            limiter.turn(Urgency::Create),
        );
        assert!(gave_up.is_err());
        assert_eq!(began.elapsed().as_millis(), 1000);
    }
}
