//! For machines that are real processes outside this world: they ask what becomes of a runner, and tell what happened.

use serde::Serialize;

use super::{World, duties::Heard};
use crate::{
    api::ContainerState,
    time::Now,
    vm::{Crash, Phase, Runner},
};

/// What becomes of a runner, in the words of the stand-in program.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Destiny {
    /// From its start to Running, ms.
    pub start_ms: u64,
    /// From Running to its end, ms.
    pub run_ms: u64,
    /// The container's exit code.
    pub exit_code: i64,
    /// "never", "early" or "running".
    pub crash: &'static str,
    /// Whether a child keeps the lock.
    pub deadlock: bool,
    /// Whether it ignores SIGTERM.
    pub ignores_term: bool,
}

impl World {
    /// A runner process begins on an instance: what becomes of it.
    pub fn outside_runner_began(
        &mut self,
        instance: &str,
        uuid: &str,
        pid: u32,
        now: Now,
    ) -> Destiny {
        self.advance(now);
        let fate = self.draw_fate();
        let script = self.script(uuid);
        self.judge_start(instance, uuid, pid, Heard::Elsewhere, now);
        if let Some(vm) = self.vms.get_mut(instance) {
            let runner = Runner {
                uuid: uuid.into(),
                pid,
                phase: Phase::Starting,
                fate,
                terminating: false,
                listed_from: now.ms,
                token: String::new(),
                gateway_address: String::new(),
            };
            vm.runners.insert(uuid.into(), runner);
        }
        Destiny {
            start_ms: self.settings.runner.start_ms.draw(&mut self.luck),
            run_ms: script.run_ms,
            exit_code: script.exit_code,
            crash: match fate.crash {
                Crash::Never => "never",
                Crash::Early => "early",
                Crash::Running => "running",
            },
            deadlock: fate.deadlock,
            ignores_term: fate.ignores_term,
        }
    }

    /// A runner process is about to set its container Running.
    pub fn outside_runner_passed(&mut self, instance: &str, uuid: &str, pid: u32) {
        self.judge.runner_passed(uuid, instance, pid);
        if let Some(runner) = self
            .vms
            .get_mut(instance)
            .and_then(|vm| vm.runners.get_mut(uuid))
        {
            runner.phase = Phase::Running;
        }
    }

    /// A runner process is gone; `crashed` if it did not want to.
    pub fn outside_runner_ended(&mut self, instance: &str, uuid: &str, pid: u32, crashed: bool) {
        let running = self
            .api
            .containers()
            .get(uuid)
            .is_some_and(|container| container.state == ContainerState::Running);
        if crashed && running {
            self.judge.doom(uuid, "its runner crashed");
        }
        self.judge.runner_ended(uuid, instance, pid);
        if let Some(vm) = self.vms.get_mut(instance) {
            vm.runners.remove(uuid);
        }
    }
}
