//! The rate of calls to a cloud: bursts are allowed, what matters most goes first, and nobody is passed over for ever.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{sync::Notify, time::Instant};

/// Who goes first when several wait. Without a list nothing is known, not even that an instance is gone; those that are
/// to go cost money and may hold secrets; creates come in numbers and can wait longest.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Urgency {
    /// One turn in two at most while others wait: with short intervals, lists alone could use up a low rate.
    List,
    Destroy,
    SetTags,
    Create,
}

/// So many turns of others, lists left aside, these let pass: then one of them goes first. So of the turns that lists
/// leave, one in five goes to tags and one in nine to creates, if they want it, and the rest to destroys, however many
/// wait: a third of all turns at least.
const PATIENCE: [(Urgency, u32); 2] = [(Urgency::Create, 8), (Urgency::SetTags, 4)];

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
    waiting: BTreeMap<Key, Arc<Notify>>,
    next_number: u64,
    /// The last turn was a list's.
    after_list: bool,
    /// How many turns those of `PATIENCE` have let pass.
    passed: BTreeMap<Urgency, u32>,
}

/// The urgency, and a number in the order of arrival.
type Key = (Urgency, u64);

impl State {
    /// Whose turn is next.
    fn next(&self) -> Option<Key> {
        let list = self.first(Urgency::List);
        if list.is_some() && !self.after_list {
            return list;
        }
        let is_due = |(urgency, patience): &&(Urgency, u32)| {
            self.passed.get(urgency).is_some_and(|n| n >= patience)
        };
        let mut due = PATIENCE.iter().filter(is_due);
        due.find_map(|(urgency, _)| self.first(*urgency))
            .or_else(|| self.first(Urgency::Destroy))
            .or_else(|| self.first(Urgency::SetTags))
            .or_else(|| self.first(Urgency::Create))
            .or(list)
    }

    /// Who came first of this urgency.
    fn first(&self, urgency: Urgency) -> Option<Key> {
        let mut those = self.waiting.range((urgency, 0)..=(urgency, u64::MAX));
        those.next().map(|(key, _)| *key)
    }

    /// This one has its turn.
    fn goes(&mut self, key: Key) {
        self.waiting.remove(&key);
        let (urgency, _) = key;
        self.after_list = urgency == Urgency::List;
        if self.after_list {
            return;
        }
        for (other, _) in PATIENCE {
            if other == urgency || self.first(other).is_none() {
                self.passed.remove(&other);
            } else {
                *self.passed.entry(other).or_default() += 1;
            }
        }
    }
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
                after_list: false,
                passed: BTreeMap::new(),
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
        if state.next() != Some(place.key) {
            return Turn::WaitBehindOthers;
        }
        let now = Instant::now();
        let earned = now.duration_since(state.filled_at).as_secs_f64() * per_second;
        state.tokens = (state.tokens + earned).min(per_second);
        state.filled_at = now;
        if state.tokens >= 1.0 {
            state.tokens -= 1.0;
            state.goes(place.key);
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
    key: Key,
    called: Arc<Notify>,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut state = self.limiter.state();
        state.waiting.remove(&self.key);
        if let Some(next) = state.next().and_then(|key| state.waiting.get(&key)) {
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
    async fn a_list_goes_first_then_destroys_and_creates_last() {
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
                500 List
                1000 Destroy
                1500 Destroy
                2000 SetTags
                2500 Create
                3000 Create
            "#]],
        )
        .await;
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_is_passed_over_for_ever() {
        use Urgency::{Create, Destroy, List, SetTags};
        let limiter = Arc::new(Limiter::new(Some(1)));
        limiter.turn(Create).await;
        let mut waiting = JoinSet::new();
        for urgency in [List, Destroy, SetTags, Create] {
            for _ in 0..200 {
                let limiter = Arc::clone(&limiter);
                waiting.spawn(async move {
                    limiter.turn(urgency).await;
                    urgency
                });
            }
        }
        let mut went = Vec::new();
        while went.len() < 90 {
            went.push(waiting.join_next().await.expect("one").expect("no panic"));
        }
        let of = |wanted: Urgency| went.iter().filter(|one| **one == wanted).count();
        let shares = [List, Destroy, SetTags, Create].map(of);
        assert_eq!(shares, [45, 32, 8, 5], "{went:?}");
        assert_eq!(went[..3], [List, Destroy, List]);
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
