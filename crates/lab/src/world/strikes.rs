//! Faults that look for a busy machine: silence, broken reports, reclaims; and the dispatcher's own end.

use super::{Event, Happening, World};
use crate::{
    api::ContainerState,
    faults::{Fault, Level},
    time::{Now, Span},
    vm::{Ailment, Phase},
};

/// When they strike after the first submission, ms.
const STRIKE_MS: Span = Span::between(2500, 15_000);
/// How long to wait where there is no victim, ms.
const LOOK_AGAIN_MS: u64 = 150;

impl World {
    /// Plans them, once, when there is something to strike at.
    pub(super) fn plan_strikes(&mut self, now: Now) {
        if self.strikes_planned {
            return;
        }
        self.strikes_planned = true;
        let planned: &[Fault] = match self.faults.level() {
            Level::None => &[],
            Level::Some => &[Fault::SpotReclaim, Fault::ReportsBroken],
            Level::Many => &[
                Fault::GoesSilent,
                Fault::GoesSilent,
                Fault::GoesSilent,
                Fault::FallsSilentBriefly,
                Fault::FallsSilentBriefly,
                Fault::ReportsBroken,
                Fault::ReportsBroken,
                Fault::ReportsBroken,
                Fault::SpotReclaim,
                Fault::SpotReclaim,
                Fault::DispatcherRestart,
            ],
        };
        for fault in planned {
            let after = STRIKE_MS.draw(&mut self.luck);
            self.later(after, Happening::Strike(*fault), now);
        }
    }

    pub(super) fn strike(&mut self, fault: Fault, now: Now) {
        let open = self
            .api
            .containers()
            .values()
            .any(|container| !container.state.is_final());
        if !open {
            return;
        }
        let struck = match fault {
            Fault::DispatcherRestart => {
                self.tell(Event::RestartDispatcher);
                true
            }
            _ => match self.victim() {
                Some(instance) => {
                    self.strike_at(fault, &instance, now);
                    true
                }
                None => false,
            },
        };
        if struck {
            self.faults.count_one(fault);
        } else {
            self.later(LOOK_AGAIN_MS, Happening::Strike(fault), now);
        }
    }

    fn strike_at(&mut self, fault: Fault, instance: &str, now: Now) {
        match fault {
            Fault::GoesSilent => self.silence(instance, None, now),
            Fault::FallsSilentBriefly => {
                self.silence(instance, Some(self.settings.timeout_probe_ms / 3), now)
            }
            Fault::ReportsBroken => self.report_broken(instance),
            _ => self.reclaim(instance, now),
        }
    }

    /// A healthy machine on which something runs.
    fn victim(&mut self) -> Option<String> {
        let busy: Vec<&String> = self
            .vms
            .iter()
            .filter(|(_, vm)| {
                vm.up
                    && vm.silent.is_none()
                    && !vm.broken
                    && matches!(vm.ailment, Ailment::None | Ailment::SlowHandshake(_))
            })
            .filter(|(_, vm)| {
                vm.runners()
                    .values()
                    .any(|runner| runner.phase == Phase::Running)
            })
            .map(|(instance, _)| instance)
            .collect();
        self.luck.pick(&busy).map(|instance| (*instance).clone())
    }

    /// Cuts a machine off, for so long or for good.
    pub fn silence(&mut self, instance: &str, for_ms: Option<u64>, now: Now) {
        if self.vms.contains_key(instance) {
            if for_ms.is_none_or(|ms| ms >= self.settings.timeout_probe_ms) {
                self.doom_all_on(instance, "its instance fell silent");
            }
            if let Some(vm) = self.vms.get_mut(instance) {
                vm.fall_silent(for_ms.map_or(u64::MAX, |ms| now.ms + ms), now);
            }
            if let Some(ms) = for_ms {
                self.later(ms, Happening::Speak(instance.into()), now);
            }
            self.tell(Event::Silence {
                instance: instance.into(),
                silent: true,
            });
        }
    }

    /// Something is wrong with a machine from here on.
    pub fn afflict(&mut self, instance: &str, ailment: Ailment) {
        if let Some(vm) = self.vms.get_mut(instance) {
            vm.ailment = ailment;
        }
    }

    /// A machine reports itself broken from here on.
    pub fn report_broken(&mut self, instance: &str) {
        if let Some(vm) = self.vms.get_mut(instance) {
            vm.broken = true;
            self.tell(Event::Broken {
                instance: instance.into(),
            });
        }
    }

    /// The cloud takes an instance away.
    pub fn reclaim(&mut self, instance: &str, now: Now) {
        self.doom_all_on(instance, "its instance was taken away");
        self.end_instance(instance, now);
    }

    fn doom_all_on(&mut self, instance: &str, why: &'static str) {
        let Some(vm) = self.vms.get(instance) else {
            return;
        };
        let running = vm.runners().keys().filter(|uuid| {
            self.api
                .containers()
                .get(*uuid)
                .is_some_and(|container| container.state == ContainerState::Running)
        });
        for uuid in running {
            self.judge.doom(uuid, why);
        }
    }
}
