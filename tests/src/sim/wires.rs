//! What all calls of one daemon share: the way to the world, and the way back to its brain.

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, BTreeSet, VecDeque},
    rc::Rc,
    time::Duration,
};

use dispatch_brain::Input;
use dispatch_lab::{Now as LabNow, Span, World, luck::Luck};
use dispatch_model::{Time, WorkerId};

use super::{
    setup::Wire,
    tasks::{Clock, TaskId},
};

/// Something that reaches the daemon.
pub(super) enum Arrival {
    /// For the brain.
    Input(Input),
    /// An exit watch is open (its number), or could not be opened.
    Watch(WorkerId, Option<u64>),
    /// An instance has been silent for so long that its connection counts as broken, if it still is silent.
    KeepAlive(String),
}

/// The world, the clock and the luck; one for the whole simulation.
pub(super) struct Ground {
    pub(super) clock: Rc<Clock>,
    pub(super) world: RefCell<World>,
    pub(super) wire: RefCell<Wire>,
    pub(super) luck: RefCell<Luck>,
    /// Which daemon lives; calls of others are late ones.
    pub(super) life: Cell<u64>,
    pub(super) arrivals: RefCell<VecDeque<Arrival>>,
    /// Calls that have been sent and have not reached the world.
    travelling: RefCell<BTreeSet<TaskId>>,
    /// How often each kind of call was made, for budgets.
    pub(super) calls: RefCell<BTreeMap<&'static str, u64>>,
}

impl Ground {
    pub(super) fn new(seed: u64, world: World, wire: Wire) -> Ground {
        Ground {
            clock: Rc::default(),
            world: RefCell::new(world),
            wire: RefCell::new(wire),
            luck: RefCell::new(Luck::new(seed, "wires")),
            life: Cell::new(0),
            arrivals: RefCell::default(),
            travelling: RefCell::default(),
            calls: RefCell::default(),
        }
    }

    pub(super) fn lab_now(&self) -> LabNow {
        LabNow::at(self.clock.now_ms())
    }

    pub(super) fn draw(&self, span: Span) -> u64 {
        span.draw(&mut self.luck.borrow_mut())
    }

    /// Of the calls that are on their way to the world, those that arrive although their sender is dead.
    pub(super) fn late_ones(&self) -> BTreeSet<TaskId> {
        let rate = self.wire.borrow().late_rate;
        let mut luck = self.luck.borrow_mut();
        let travelling = self.travelling.borrow();
        travelling
            .iter()
            .copied()
            .filter(|_| luck.chance(rate))
            .collect()
    }
}

/// One daemon's end of the wires.
#[derive(Clone)]
pub(super) struct Wires {
    pub(super) ground: Rc<Ground>,
    /// When this daemon was started, ms.
    pub(super) born_ms: u64,
    pub(super) life: u64,
}

impl Wires {
    /// The daemon's own time.
    pub(super) fn time(&self) -> Time {
        Time::from_millis(self.ground.clock.now_ms() - self.born_ms)
    }

    pub(super) async fn sleep(&self, ms: u64) {
        self.ground.clock.sleep(ms).await;
    }

    /// What comes of a call within its deadline.
    pub(super) async fn within<T>(
        &self,
        deadline: Duration,
        call: impl Future<Output = T>,
    ) -> Option<T> {
        self.ground.clock.within(millis(deadline), call).await
    }

    /// One call reaches the world: `act` is its effect, which is seen here only if this daemon still lives.
    pub(super) async fn reach_world<T>(
        &self,
        kind: &'static str,
        act: impl FnOnce(&mut World, LabNow) -> T,
    ) -> T {
        let travel_ms = self.wire(|wire| wire.travel_ms);
        {
            let _on_the_way = OnTheWay::new(&self.ground);
            self.sleep(self.ground.draw(travel_ms)).await;
            if !self.is_alive() {
                let late_ms = self.wire(|wire| wire.late_ms);
                self.sleep(self.ground.draw(late_ms)).await;
            }
        }
        *self.ground.calls.borrow_mut().entry(kind).or_default() += 1;
        let answer = act(&mut self.ground.world.borrow_mut(), self.ground.lab_now());
        if !self.is_alive() {
            std::future::pending::<()>().await;
        }
        answer
    }

    /// An answer reaches the brain that waits for it.
    pub(super) fn answer(&self, input: Input) {
        self.arrive(Arrival::Input(input));
    }

    pub(super) fn arrive(&self, arrival: Arrival) {
        if self.is_alive() {
            self.ground.arrivals.borrow_mut().push_back(arrival);
        }
    }

    pub(super) fn is_alive(&self) -> bool {
        self.ground.life.get() == self.life
    }

    pub(super) fn wire<T>(&self, look: impl FnOnce(&Wire) -> T) -> T {
        look(&self.ground.wire.borrow())
    }
}

/// Marks the current task as on its way to the world.
struct OnTheWay<'a> {
    ground: &'a Ground,
    task: TaskId,
}

impl<'a> OnTheWay<'a> {
    fn new(ground: &'a Ground) -> OnTheWay<'a> {
        let task = ground.clock.current();
        ground.travelling.borrow_mut().insert(task);
        OnTheWay { ground, task }
    }
}

impl Drop for OnTheWay<'_> {
    fn drop(&mut self) {
        self.ground.travelling.borrow_mut().remove(&self.task);
    }
}

/// A duration in milliseconds, rounded up.
pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}
