//! A dead man's switch: the kernel ends this process if nobody says in time that it still may act.
//!
//! A process that is stopped (SIGSTOP, a debugger, a frozen control group) looks at no clock. When it goes on, whatever
//! had been handed to a connection may leave before anything here has found out that the lock is another's by now; and
//! for as long as it is stopped, its kernel answers for its connection, so that the database keeps the lock for it. The
//! kernel's own timer goes on meanwhile, and SIGKILL needs nobody's help.

use std::{
    io,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use nix::{
    sys::{
        signal::{SigEvent, SigevNotify, Signal},
        time::TimeSpec,
        timer::{Expiration, Timer, TimerSetTimeFlags},
    },
    time::ClockId,
};

/// Armed or not. Not armed at first.
#[derive(Default)]
pub(crate) struct Switch(Mutex<State>);

#[derive(Default)]
struct State {
    timer: Option<OfProcess>,
    /// Something may act.
    in_use: bool,
}

impl Switch {
    /// The process ends when the boot clock says so, unless this is put off or disarmed before.
    pub(crate) fn arm(&self, at: Duration) -> io::Result<()> {
        let event = SigEvent::new(SigevNotify::SigevSignal {
            signal: Signal::SIGKILL,
            si_value: 0,
        });
        let mut timer = OfProcess(Timer::new(ClockId::CLOCK_BOOTTIME, event)?);
        timer.set(at)?;
        self.state().timer = Some(timer);
        Ok(())
    }

    /// If it is armed: the process ends then, not before.
    pub(crate) fn put_off(&self, at: Duration) -> io::Result<()> {
        let mut state = self.state();
        state.timer.as_mut().map_or(Ok(()), |timer| timer.set(at))
    }

    /// Something may act from here on: only `disarm` disarms.
    pub(crate) fn in_use(&self) {
        self.state().in_use = true;
    }

    /// Disarms if nothing has ever begun to act.
    pub(crate) fn disarm_unused(&self) {
        let mut state = self.state();
        if !state.in_use {
            state.timer = None;
        }
    }

    /// Nothing is left that could act.
    pub(crate) fn disarm(&self) {
        self.state().timer = None;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct OfProcess(Timer);

#[expect(
    unsafe_code,
    reason = "the kernel's name of a timer is a pointer for the compiler, and bound to a thread for that"
)]
// SAFETY: timer_create(2) gives a number that all threads of the process may use; nobody reads what it points to.
unsafe impl Send for OfProcess {}

impl OfProcess {
    /// A moment that has passed already ends the process at once.
    fn set(&mut self, at: Duration) -> io::Result<()> {
        let at = Expiration::OneShot(TimeSpec::from_duration(at));
        Ok(self.0.set(at, TimerSetTimeFlags::TFD_TIMER_ABSTIME)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clocks::Clocks;

    /// That it ends a process that is stopped is shown with a daemon, in `tests/`.
    #[test]
    fn a_switch_that_is_put_off_or_disarmed_ends_nobody() {
        let now = || Clocks::of_this_host().read().boot;
        let soon = || now() + Duration::from_millis(30);
        let late = || now() + Duration::from_secs(60);
        let wait = || {
            let until = soon() + Duration::from_millis(20);
            while now() < until {
                std::thread::yield_now();
            }
        };
        let switch = Switch::default();
        switch.put_off(Duration::ZERO).expect("nothing to put off");
        switch.arm(soon()).expect("armed");
        switch.put_off(late()).expect("put off");
        wait();
        switch.put_off(soon()).expect("put off");
        switch.disarm_unused();
        wait();
        switch.in_use();
        switch.arm(soon()).expect("armed");
        switch.disarm_unused();
        assert!(switch.state().timer.is_some(), "something may still act");
        switch.disarm();
        wait();
    }
}
