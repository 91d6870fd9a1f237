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
pub(crate) struct Switch(Mutex<Option<OfProcess>>);

impl Switch {
    /// The process ends when the boot clock says so, unless this is put off or disarmed before.
    pub(crate) fn arm(&self, at: Duration) -> io::Result<()> {
        let signal = Signal::SIGKILL;
        let event = SigEvent::new(SigevNotify::SigevSignal {
            signal,
            si_value: 0,
        });
        let mut timer = OfProcess(Timer::new(ClockId::CLOCK_BOOTTIME, event)?);
        timer.set(at)?;
        *self.timer() = Some(timer);
        Ok(())
    }

    /// If it is armed: the process ends then, not before.
    pub(crate) fn put_off(&self, at: Duration) -> io::Result<()> {
        self.timer().as_mut().map_or(Ok(()), |timer| timer.set(at))
    }

    pub(crate) fn disarm(&self) {
        *self.timer() = None;
    }

    fn timer(&self) -> MutexGuard<'_, Option<OfProcess>> {
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
        let switch = Switch::default();
        switch.put_off(Duration::ZERO).expect("nothing to put off");
        switch.arm(now() + Duration::from_secs(60)).expect("armed");
        let soon = now() + Duration::from_millis(30);
        switch.put_off(soon).expect("put off");
        switch
            .put_off(now() + Duration::from_secs(60))
            .expect("put off");
        while now() < soon + Duration::from_millis(20) {
            std::thread::yield_now();
        }
        let soon = now() + Duration::from_millis(30);
        switch.put_off(soon).expect("put off");
        switch.disarm();
        while now() < soon + Duration::from_millis(20) {
            std::thread::yield_now();
        }
    }
}
