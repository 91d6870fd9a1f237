//! The limits of the shell's clients, as the world feels them: how many API calls at a time, how many cloud calls a
//! second.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
};

use super::tasks::{Bell, Clock};

/// Calls to the API side by side (facts M9, §2.1.3).
#[derive(Debug)]
pub(super) struct ApiGate {
    clock: Rc<Clock>,
    state: RefCell<ApiState>,
    ended: Bell,
}

#[derive(Debug)]
struct ApiState {
    limit: usize,
    running: usize,
    waiting: usize,
    quiet_until_ms: u64,
}

/// A quarter of API.MaxConcurrentRequests' default.
const API_CALLS_MAX: usize = 16;
/// No call starts for so long after a 503.
const QUIET_MS: u64 = 1000;

impl ApiGate {
    pub(super) fn new(clock: Rc<Clock>) -> ApiGate {
        let state = ApiState {
            limit: 8,
            running: 0,
            waiting: 0,
            quiet_until_ms: 0,
        };
        ApiGate {
            clock,
            state: RefCell::new(state),
            ended: Bell::default(),
        }
    }

    /// Waits until a call may start.
    pub(super) async fn enter(&self) -> ApiPass<'_> {
        let _waits = Waits::new(self);
        loop {
            let quiet_until_ms = self.state.borrow().quiet_until_ms;
            if self.clock.now_ms() < quiet_until_ms {
                self.clock.sleep_until(quiet_until_ms).await;
                continue;
            }
            {
                let mut state = self.state.borrow_mut();
                if state.running < state.limit {
                    state.running += 1;
                    return ApiPass { gate: self };
                }
            }
            self.ended.wait(&self.clock).await;
        }
    }

    /// A call was answered.
    pub(super) fn answered(&self, status: u16) {
        let now_ms = self.clock.now_ms();
        let state = &mut *self.state.borrow_mut();
        if status == 503 {
            if state.quiet_until_ms <= now_ms {
                state.limit = state.limit.div_ceil(2).max(1);
                state.quiet_until_ms = now_ms + QUIET_MS;
            }
        } else if status < 400 {
            let most = (2 * (state.running + state.waiting).max(1)).min(API_CALLS_MAX);
            state.limit = (state.limit + (state.limit / 10).max(1)).min(most);
        }
    }
}

/// The right to have one call under way.
pub(super) struct ApiPass<'a> {
    gate: &'a ApiGate,
}

impl Drop for ApiPass<'_> {
    fn drop(&mut self) {
        self.gate.state.borrow_mut().running -= 1;
        self.gate.ended.ring(&self.gate.clock);
    }
}

struct Waits<'a>(&'a ApiGate);

impl<'a> Waits<'a> {
    fn new(gate: &'a ApiGate) -> Waits<'a> {
        gate.state.borrow_mut().waiting += 1;
        Waits(gate)
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.state.borrow_mut().waiting -= 1;
    }
}

/// Who goes first to the cloud: lists in one turn of two; then the others, the last of which let so many turns pass.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Urgency {
    List,
    Destroy,
    SetTags,
    Create,
}

const PATIENCE: [(Urgency, u32); 2] = [(Urgency::Create, 8), (Urgency::SetTags, 4)];

/// `MaxCloudOpsPerSecond`, with bursts of a second's worth.
#[derive(Debug)]
pub(super) struct CloudGate {
    clock: Rc<Clock>,
    per_second: Option<u32>,
    state: RefCell<CloudState>,
}

#[derive(Debug)]
struct CloudState {
    tokens: f64,
    filled_at_ms: u64,
    waiting: BTreeSet<(Urgency, u64)>,
    arrived: u64,
    after_list: bool,
    passed: BTreeMap<Urgency, u32>,
}

impl CloudState {
    /// Whose turn is next.
    fn next(&self) -> Option<(Urgency, u64)> {
        let list = self.first(Urgency::List);
        if list.is_some() && !self.after_list {
            return list;
        }
        let is_due =
            |(urgency, patience): &&(Urgency, u32)| self.passed.get(urgency) >= Some(patience);
        let mut due = PATIENCE.iter().filter(is_due);
        let others = [Urgency::Destroy, Urgency::SetTags, Urgency::Create];
        due.find_map(|(urgency, _)| self.first(*urgency))
            .or_else(|| others.iter().find_map(|urgency| self.first(*urgency)))
            .or(list)
    }

    fn first(&self, urgency: Urgency) -> Option<(Urgency, u64)> {
        let mut those = self.waiting.range((urgency, 0)..=(urgency, u64::MAX));
        those.next().copied()
    }

    /// This one has its turn.
    fn goes(&mut self, key: (Urgency, u64)) {
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

/// A place in the queue; who drops it gives it up.
struct Place<'a> {
    gate: &'a CloudGate,
    key: (Urgency, u64),
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.gate.state.borrow_mut().waiting.remove(&self.key);
    }
}

impl CloudGate {
    pub(super) fn new(per_second: Option<u32>, clock: Rc<Clock>) -> CloudGate {
        let state = CloudState {
            tokens: f64::from(per_second.unwrap_or(0)),
            filled_at_ms: clock.now_ms(),
            waiting: BTreeSet::new(),
            arrived: 0,
            after_list: false,
            passed: BTreeMap::new(),
        };
        CloudGate {
            clock,
            per_second,
            state: RefCell::new(state),
        }
    }

    /// Waits for the caller's turn.
    pub(super) async fn turn(&self, urgency: Urgency) {
        let Some(per_second) = self.per_second else {
            return;
        };
        let per_ms = f64::from(per_second) / 1000.0;
        let place = {
            let state = &mut *self.state.borrow_mut();
            state.arrived += 1;
            let key = (urgency, state.arrived);
            state.waiting.insert(key);
            Place { gate: self, key }
        };
        loop {
            let wait_ms = {
                let state = &mut *self.state.borrow_mut();
                let now_ms = self.clock.now_ms();
                let earned = (now_ms - state.filled_at_ms) as f64 * per_ms;
                state.tokens = (state.tokens + earned).min(f64::from(per_second));
                state.filled_at_ms = now_ms;
                if state.next() == Some(place.key) && state.tokens >= 1.0 {
                    state.tokens -= 1.0;
                    state.goes(place.key);
                    break;
                }
                ((1.0 - state.tokens) / per_ms).ceil().max(1.0) as u64
            };
            self.clock.sleep(wait_ms).await;
        }
    }
}
