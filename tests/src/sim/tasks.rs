//! Calls in virtual time: futures that wait for the clock or for each other, run by hand on one thread.

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, BTreeSet, VecDeque},
    future::Future,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker},
};

pub(super) type TaskId = u64;

/// The virtual clock, and who waits for it.
#[derive(Debug, Default)]
pub(super) struct Clock {
    now_ms: Cell<u64>,
    /// The task that is being polled.
    current: Cell<TaskId>,
    timers: RefCell<BTreeMap<(u64, u64), TaskId>>,
    n_timers: Cell<u64>,
}

impl Clock {
    /// Milliseconds since the world began.
    pub(super) fn now_ms(&self) -> u64 {
        self.now_ms.get()
    }

    /// Time goes on, and never back.
    pub(super) fn advance_to(&self, ms: u64) {
        assert!(ms >= self.now_ms.get(), "time goes back");
        self.now_ms.set(ms);
    }

    pub(super) fn current(&self) -> TaskId {
        self.current.get()
    }

    /// When the first timer is due.
    pub(super) fn next_at(&self) -> Option<u64> {
        let timers = self.timers.borrow();
        timers.keys().next().map(|(at, _)| *at)
    }

    /// Waits until so many milliseconds have passed.
    pub(super) fn sleep(self: &Rc<Self>, ms: u64) -> Sleep {
        self.sleep_until(self.now_ms().saturating_add(ms))
    }

    pub(super) fn sleep_until(self: &Rc<Self>, until_ms: u64) -> Sleep {
        let clock = Rc::clone(self);
        Sleep {
            clock,
            until_ms,
            timer: None,
        }
    }

    /// What comes of a future within so many milliseconds; `None`: nothing did, and it is dropped.
    pub(super) async fn within<T>(
        self: &Rc<Self>,
        ms: u64,
        future: impl Future<Output = T>,
    ) -> Option<T> {
        let mut future = Box::pin(future);
        let mut sleep = self.sleep(ms);
        std::future::poll_fn(move |context| {
            if let Poll::Ready(value) = future.as_mut().poll(context) {
                return Poll::Ready(Some(value));
            }
            Pin::new(&mut sleep).poll(context).map(|()| None)
        })
        .await
    }

    fn set_timer(&self, at: u64, task: TaskId) -> (u64, u64) {
        self.n_timers.set(self.n_timers.get() + 1);
        let key = (at, self.n_timers.get());
        self.timers.borrow_mut().insert(key, task);
        key
    }

    fn take_due(&self) -> Option<TaskId> {
        let mut timers = self.timers.borrow_mut();
        let entry = timers.first_entry()?;
        (entry.key().0 <= self.now_ms.get()).then(|| entry.remove())
    }
}

/// Waits for a time.
pub(super) struct Sleep {
    clock: Rc<Clock>,
    until_ms: u64,
    timer: Option<(u64, u64)>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        if self.clock.now_ms() >= self.until_ms {
            return Poll::Ready(());
        }
        if self.timer.is_none() && self.until_ms < u64::MAX {
            let task = self.clock.current();
            self.timer = Some(self.clock.set_timer(self.until_ms, task));
        }
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(timer) = self.timer {
            self.clock.timers.borrow_mut().remove(&timer);
        }
    }
}

/// Wakes those who wait for it.
#[derive(Debug, Default)]
pub(super) struct Bell {
    waiting: RefCell<BTreeSet<TaskId>>,
}

impl Bell {
    /// Waits until it rings once.
    pub(super) async fn wait(&self, clock: &Clock) {
        let mut waits = false;
        std::future::poll_fn(|_| {
            if waits {
                return Poll::Ready(());
            }
            waits = true;
            self.waiting.borrow_mut().insert(clock.current());
            Poll::Pending
        })
        .await
    }

    /// Wakes all who wait now.
    pub(super) fn ring(&self, clock: &Clock) {
        for task in std::mem::take(&mut *self.waiting.borrow_mut()) {
            clock.set_timer(clock.now_ms(), task);
        }
    }
}

/// All calls under way.
#[derive(Default)]
pub(super) struct Tasks {
    clock: Rc<Clock>,
    tasks: BTreeMap<TaskId, Pin<Box<dyn Future<Output = ()>>>>,
    new: VecDeque<TaskId>,
    spawned: u64,
}

impl Tasks {
    pub(super) fn new(clock: Rc<Clock>) -> Tasks {
        Tasks {
            clock,
            ..Tasks::default()
        }
    }

    pub(super) fn spawn(&mut self, future: impl Future<Output = ()> + 'static) {
        self.spawned += 1;
        self.tasks.insert(self.spawned, Box::pin(future));
        self.new.push_back(self.spawned);
    }

    /// Lets all go on that can; whether any could.
    pub(super) fn run(&mut self) -> bool {
        let mut ran = false;
        while let Some(task) = self.new.pop_front().or_else(|| self.clock.take_due()) {
            ran |= self.poll(task);
        }
        ran
    }

    /// Ends all but these.
    pub(super) fn keep(&mut self, keep: impl Fn(TaskId) -> bool) {
        self.new.retain(|task| keep(*task));
        self.tasks.retain(|task, _| keep(*task));
    }

    fn poll(&mut self, task: TaskId) -> bool {
        let Some(mut future) = self.tasks.remove(&task) else {
            return false;
        };
        self.clock.current.set(task);
        let mut context = Context::from_waker(Waker::noop());
        if future.as_mut().poll(&mut context).is_pending() {
            self.tasks.insert(task, future);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_run_side_by_side_and_come_back_in_the_order_of_time() {
        let clock = Rc::new(Clock::default());
        let mut tasks = Tasks::new(Rc::clone(&clock));
        let log: Rc<RefCell<Vec<(u64, &str)>>> = Rc::default();
        for (name, ms) in [("slow", 50), ("fast", 10), ("at once", 0)] {
            let (clock, log) = (Rc::clone(&clock), Rc::clone(&log));
            tasks.spawn(async move {
                let in_time = clock.within(30, clock.sleep(ms)).await.is_some();
                let name = if in_time { name } else { "out of time" };
                log.borrow_mut().push((clock.now_ms(), name));
            });
        }
        tasks.run();
        while let Some(at) = clock.next_at() {
            clock.advance_to(at);
            tasks.run();
        }
        let expected = [(0, "at once"), (10, "fast"), (30, "out of time")];
        assert_eq!(*log.borrow(), expected);
        assert!(tasks.tasks.is_empty());
    }

    #[test]
    fn a_bell_wakes_all_who_wait() {
        let clock = Rc::new(Clock::default());
        let mut tasks = Tasks::new(Rc::clone(&clock));
        let (bell, woken): (Rc<Bell>, Rc<Cell<u32>>) = Default::default();
        for _ in 0..3 {
            let (clock, bell, woken) = (Rc::clone(&clock), Rc::clone(&bell), Rc::clone(&woken));
            tasks.spawn(async move {
                bell.wait(&clock).await;
                woken.set(woken.get() + 1);
            });
        }
        tasks.run();
        assert_eq!(woken.get(), 0);
        bell.ring(&clock);
        tasks.run();
        assert_eq!(woken.get(), 3);
    }
}
