//! What the people of the lab do: submit containers, turn knobs, look.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Event, Moment, Script, World, duties::FROM_THE_DEAD_MS};
use crate::{
    api::ContainerState,
    faults::Fault,
    judge::Report,
    load,
    settings::Settings,
    time::{Now, Span},
};

/// After how long a malformed row heals (the issue allows 20 s), ms.
const HEALS_MS: Span = Span::between(3000, 10_000);

/// A container to submit.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Submission {
    /// Attributes of the container; those of the mixed load for what is not there.
    pub attributes: serde_json::Map<String, Value>,
    /// How long it runs, ms; by luck if not said.
    pub run_ms: Option<u64>,
    /// Its exit code.
    pub exit_code: i64,
}

/// The world at a glance.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Status {
    /// Containers by state.
    pub containers: BTreeMap<&'static str, usize>,
    /// Containers that are not final.
    pub open: usize,
    /// Instances that cost money.
    pub instances: usize,
    /// Of these, those that have booted.
    pub up: usize,
    /// Of these, those with a runner.
    pub busy: usize,
    /// Instances made so far.
    pub created: u64,
    /// How often each kind of fault struck.
    pub kinds_of_faults: BTreeMap<&'static str, u64>,
}

impl World {
    /// Submits one container; its UUID. An error says what is wrong with its attributes.
    pub fn submit(&mut self, submission: &Submission, now: Now) -> Result<String, String> {
        self.advance(now);
        let i = self.submitted;
        let mut attributes = load::mixed(i);
        for (name, value) in &submission.attributes {
            attributes[name] = value.clone();
        }
        let impossible = self.faults.strikes(Fault::Impossible);
        if impossible {
            load::make_impossible(&mut attributes);
        }
        let uuid = self.api.create(&attributes, now)?;
        self.submitted += 1;
        self.judge.submitted(&uuid, now.ms);
        self.journal
            .write(|| Moment::Submitted { uuid: uuid.clone() });
        self.note_changes(now);
        if impossible {
            self.judge.doom(&uuid, "no instance type fits it");
        } else if self.faults.strikes(Fault::MalformedRow) {
            let (attribute, value) = load::poison(&mut self.luck);
            let heals = HEALS_MS.draw(&mut self.luck);
            self.poison(&uuid, attribute, value, Some(heals), now);
        }
        let drawn = self.settings.runner.run_ms.draw(&mut self.luck);
        let script = Script {
            run_ms: submission.run_ms.unwrap_or(drawn),
            exit_code: submission.exit_code,
        };
        self.scripts.insert(uuid.clone(), script);
        self.plan_strikes(now);
        Ok(uuid)
    }

    /// Submits so many containers of the mixed load.
    pub fn submit_mixed(&mut self, n: usize, now: Now) -> Vec<String> {
        (0..n)
            .filter_map(|_| self.submit(&Submission::default(), now).ok())
            .collect()
    }

    /// Somebody says that this container cannot be expected to complete.
    pub fn doom(&mut self, uuid: &str, why: &'static str) {
        self.judge.doom(uuid, why);
    }

    /// Sets a container's priority, as the API does when its requests change.
    pub fn set_priority(&mut self, uuid: &str, priority: i64, now: Now) -> bool {
        self.advance(now);
        match self.api.container_mut(uuid) {
            Some(container) if !container.state.is_final() => {
                container.priority = priority;
                container.modified_at = now.wall;
                true
            }
            _ => false,
        }
    }

    /// Changes settings; the patch has their shape and only what changes.
    pub fn set(&mut self, patch: &Value) -> Result<&Settings, String> {
        self.settings = self.settings.patched(patch)?;
        self.faults.set_level(self.settings.faults);
        Ok(&self.settings)
    }

    /// These kinds of faults strike early, at whatever level but `none`.
    pub fn insist_on(&mut self, kinds: &[Fault]) {
        self.faults.insist_on(kinds);
    }

    /// The operator will have this instance killed by the management API.
    pub fn announce_kill(&mut self, instance: &str) {
        self.judge.kill_announced(instance);
    }

    /// The dispatcher was killed and started again.
    pub fn dispatcher_restarted(&mut self) {
        self.forget_duties();
        let containers = self.api.containers().iter();
        let locked = containers
            .filter(|(_, container)| container.state == ContainerState::Locked)
            .map(|(uuid, _)| uuid.as_str());
        let until_ms = self.dispatcher_from_ms + FROM_THE_DEAD_MS;
        self.judge.restarted(locked, until_ms);
    }

    /// The cluster has another SystemRootToken from now on; the former one is no good any more.
    pub fn replace_root_token(&mut self, token: &str) {
        self.settings.system_root_token = token.to_owned();
        self.api.replace_root_token(token);
    }

    /// Asks whoever runs the dispatcher to kill it and start it again.
    pub fn restart_dispatcher(&mut self) {
        self.tell(Event::RestartDispatcher);
    }

    /// The world at a glance.
    pub fn status(&self) -> Status {
        let mut containers: BTreeMap<&'static str, usize> = ContainerState::ALL
            .iter()
            .map(|state| (state.name(), 0))
            .collect();
        for container in self.api.containers().values() {
            *containers.entry(container.state.name()).or_insert(0) += 1;
        }
        Status {
            open: self
                .api
                .containers()
                .values()
                .filter(|container| !container.state.is_final())
                .count(),
            containers,
            instances: self.cloud.count(),
            up: self.vms.values().filter(|vm| vm.up).count(),
            busy: self
                .vms
                .values()
                .filter(|vm| !vm.runners().is_empty())
                .count(),
            created: self
                .cloud
                .instances()
                .values()
                .filter(|instance| !instance.bystander)
                .count() as u64,
            kinds_of_faults: self.faults.counts(),
        }
    }

    /// The judgement so far.
    pub fn report(&self, now: Now) -> Report {
        let states = self
            .api
            .containers()
            .iter()
            .map(|(uuid, container)| (uuid.clone(), container.state))
            .collect();
        let living = self
            .cloud
            .instances()
            .values()
            .filter(|instance| instance.alive() && !instance.bystander)
            .map(|instance| {
                instance.instance_type.price * now.ms.saturating_sub(instance.created_ms) as f64
                    / 3_600_000.0
            })
            .sum();
        self.judge
            .report(&states, &self.faults, self.cloud.count(), living)
    }
}
