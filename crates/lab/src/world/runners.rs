//! The life of a runner: it looks at its container, sets it Running, then Complete, and ends; through the same API as
//! everybody, with the token that it was given (facts §2.2.1).

use serde_json::{Value, json};

use super::{Happening, Moment, Script, World};
use crate::{
    api::{ApiAnswer, ApiRequest, ContainerState},
    time::Now,
    vm::{Crash, Phase},
};

/// How long a runner waits before it tries again to reach an API that it cannot reach, ms.
const RETRY_MS: u64 = 300;

/// What a runner does next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Step {
    /// Loads the image, looks whether its container is still Locked, and sets it Running.
    Look,
    /// Reports the container's end.
    Finish,
    /// Ends.
    End,
    /// Dies.
    Crash,
    /// Obeys SIGTERM.
    Obey,
}

/// Which process.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Key {
    instance: String,
    uuid: String,
    pid: u32,
}

impl Key {
    pub(crate) fn new(instance: &str, uuid: &str, pid: u32) -> Key {
        Key {
            instance: instance.into(),
            uuid: uuid.into(),
            pid,
        }
    }
}

impl World {
    pub(super) fn runner_step(&mut self, step: Step, key: Key, now: Now) {
        let Some(vm) = self.vms.get(&key.instance) else {
            return;
        };
        let Some(runner) = vm
            .runners
            .get(&key.uuid)
            .filter(|runner| runner.pid == key.pid && runner.alive())
        else {
            return;
        };
        if runner.terminating && matches!(step, Step::Look | Step::Finish) {
            return;
        }
        // A machine that is cut off does not reach the API either.
        if vm.is_silent(now) && !matches!(step, Step::Crash) {
            self.later(RETRY_MS, Happening::Runner(step, key), now);
            return;
        }
        match step {
            Step::Look => self.runner_looks(&key, now),
            Step::Finish => self.runner_finishes(&key, now),
            Step::End => self.runner_ends(&key),
            Step::Crash => self.runner_crashes(&key),
            Step::Obey => self.runner_obeys(&key, now),
        }
        let gone = self
            .vms
            .get(&key.instance)
            .is_some_and(|vm| !vm.runners.contains_key(&key.uuid));
        if gone {
            self.journal.write(|| Moment::Ended {
                instance: key.instance,
                uuid: key.uuid,
            });
        }
    }

    fn runner_looks(&mut self, key: &Key, now: Now) {
        let Some((fate, gateway)) = self
            .vms
            .get(&key.instance)
            .and_then(|vm| vm.runners.get(&key.uuid))
            .map(|r| (r.fate, r.gateway_address.clone()))
        else {
            return;
        };
        if fate.crash == Crash::Early {
            return self.runner_crashes(key);
        }
        let seen = self.ask(key, "GET", &[], now);
        if seen.status != 200 || seen.json()["state"] != "Locked" {
            return self.runner_ends(key);
        }
        self.judge.runner_passed(&key.uuid, &key.instance, key.pid);
        let answer = self.put(
            key,
            json!({"state": "Running", "gateway_address": gateway}),
            now,
        );
        if answer.status != 200 {
            return self.runner_ends(key);
        }
        self.set_phase(key, Phase::Running);
        let script = self.script(&key.uuid);
        let (step, after) = match fate.crash {
            Crash::Running => (Step::Crash, script.run_ms / 2),
            _ => (Step::Finish, script.run_ms),
        };
        self.later(after, Happening::Runner(step, key.clone()), now);
    }

    fn runner_finishes(&mut self, key: &Key, now: Now) {
        let script = self.script(&key.uuid);
        let output = "d41d8cd98f00b204e9800998ecf8427e+0";
        let report = json!({"state": "Complete", "exit_code": script.exit_code, "output": output, "log": output, "cost": 0.001});
        self.put(key, report, now);
        self.set_phase(key, Phase::Ending);
        let lag = self.settings.runner.exit_lag_ms.draw(&mut self.luck);
        self.later(lag, Happening::Runner(Step::End, key.clone()), now);
    }

    /// The process ends in an orderly way; its children may keep the lock.
    fn runner_ends(&mut self, key: &Key) {
        let Some(vm) = self.vms.get_mut(&key.instance) else {
            return;
        };
        let deadlock = vm
            .runners
            .get(&key.uuid)
            .is_some_and(|runner| runner.fate.deadlock && runner.phase == Phase::Ending);
        self.judge.runner_ended(&key.uuid, &key.instance, key.pid);
        if deadlock {
            return self.set_phase(key, Phase::Stale);
        }
        vm.runners.remove(&key.uuid);
        self.lock_released(&key.instance, &key.uuid);
    }

    fn runner_crashes(&mut self, key: &Key) {
        let running = self
            .api
            .containers()
            .get(&key.uuid)
            .is_some_and(|c| c.state == ContainerState::Running);
        if running {
            self.judge.doom(&key.uuid, "its runner crashed");
        }
        if let Some(vm) = self.vms.get_mut(&key.instance) {
            vm.runners.remove(&key.uuid);
        }
        self.judge.runner_ended(&key.uuid, &key.instance, key.pid);
        self.lock_released(&key.instance, &key.uuid);
    }

    /// Puts its container back if it was not Running yet, gives it up otherwise (facts §2.2.1).
    fn runner_obeys(&mut self, key: &Key, now: Now) {
        let phase = self
            .vms
            .get(&key.instance)
            .and_then(|vm| vm.runners.get(&key.uuid))
            .map(|runner| runner.phase);
        match phase {
            Some(Phase::Starting) => {
                self.put(key, json!({"state": "Queued"}), now);
            }
            Some(Phase::Running) => {
                self.put(key, json!({"state": "Cancelled"}), now);
            }
            _ => {}
        }
        self.runner_ends(key);
    }

    fn set_phase(&mut self, key: &Key, phase: Phase) {
        if let Some(runner) = self
            .vms
            .get_mut(&key.instance)
            .and_then(|vm| vm.runners.get_mut(&key.uuid))
        {
            runner.phase = phase;
        }
    }

    pub(super) fn script(&mut self, uuid: &str) -> Script {
        let run_ms = self.settings.runner.run_ms.draw(&mut self.luck);
        *self.scripts.entry(uuid.into()).or_insert(Script {
            run_ms,
            exit_code: 0,
        })
    }

    /// The runner of this container writes this about it, as it does of its own accord; whether there is one and the API
    /// took it.
    pub fn runner_writes(&mut self, uuid: &str, attributes: Value, now: Now) -> bool {
        self.advance(now);
        let key = self.vms.iter().find_map(|(instance, vm)| {
            let runner = vm.runners.get(uuid)?;
            Some(Key {
                instance: instance.clone(),
                uuid: uuid.to_owned(),
                pid: runner.pid,
            })
        });
        key.is_some_and(|key| self.put(&key, attributes, now).status == 200)
    }

    fn put(&mut self, key: &Key, attributes: Value, now: Now) -> ApiAnswer {
        let attributes = attributes.to_string();
        self.ask(key, "PUT", &[("container", &attributes)], now)
    }

    fn ask(&mut self, key: &Key, method: &str, params: &[(&str, &str)], now: Now) -> ApiAnswer {
        let token = self
            .vms
            .get(&key.instance)
            .and_then(|vm| vm.runners.get(&key.uuid))
            .map(|runner| runner.token.clone());
        let mut request = ApiRequest::new(
            method,
            &format!("/arvados/v1/containers/{}", key.uuid),
            &token.unwrap_or_default(),
            params,
        );
        request.headers.insert(
            "x-lab-runner".into(),
            format!("{}/{}", key.instance, key.pid),
        );
        self.api_now(&request, now)
    }
}
