//! What the judge looks at in the world beside single calls: where runners are started (invariant 2), and whether
//! instances go once nobody needs them (invariant 9).
//!
//! A dispatcher knows the world only from answers, so a breach is what it must have known: what was true for longer
//! than any answer takes, or what its own calls have brought about.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{CloudReply, World};
use crate::{
    api::{Container, ContainerState},
    cloud::CloudAnswer,
    settings::InstanceType,
    time::{Now, When},
    vm::{Execution, Exit, Phase, Reach, Runner, SECRET_FILE},
};

/// What a dispatcher has been told counts against it after so long, ms: a command may have been on its way.
const ON_ITS_WAY_MS: u64 = 5_000;
/// A container that was locked once and is not any more may be started for so long, ms: others change it too, and lists
/// of containers come rarely.
const LISTED_WITHIN_MS: i128 = 30_000;
/// For so long after the end of a dispatcher the starts that it had sent may arrive, ms.
pub(super) const FROM_THE_DEAD_MS: u64 = 10_000;
/// How much longer than the idle time an instance may stay, ms: a probe may be under way, and calls wait their turn.
const GONE_WITHIN_MS: u64 = 10_000;

/// What the dispatcher of the present has learnt of an instance, and what becomes of that.
#[derive(Clone, Debug, Default)]
pub(crate) struct Duty {
    /// Since when it may know that the instance exists, ms.
    told_ms: Option<u64>,
    /// Whether its boot probe has succeeded.
    booted: bool,
    /// Whether its runners have been listed.
    listed: bool,
    /// When it was first told that the instance is broken, ms.
    broken_ms: Option<u64>,
    /// Since when its tag has said that it takes no more work, ms.
    closed_ms: Option<u64>,
    /// When somebody last needed it, ms.
    needed_ms: u64,
    /// Whether its end was asked for.
    destroy_asked: bool,
    /// Whether it was found to stay too long; said once.
    stays: bool,
}

/// How the lab hears of a runner's start.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Heard {
    /// By its command, which may have been on its way for long.
    Here {
        /// Whether it was.
        late: bool,
    },
    /// From the runner, on a machine that is a real process: what else it was told is not known.
    Elsewhere,
}

/// What containers need at least. A dispatcher adds reserves, so less would do for none.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Need {
    vcpus: u64,
    ram: u64,
    scratch: u64,
    gpus: u64,
}

impl Need {
    fn of(container: &Container) -> Need {
        let constraints = container.attribute("runtime_constraints");
        let number = |value: &Value| value.as_u64().unwrap_or(0);
        let mounts = container.attribute("mounts").as_object();
        let capacity = |mount: &Value| match mount["kind"].as_str() {
            Some("tmp") => number(&mount["capacity"]),
            _ => 0,
        };
        Need {
            vcpus: number(&constraints["vcpus"]),
            ram: number(&constraints["ram"]) + number(&constraints["keep_cache_ram"]),
            scratch: mounts.map_or(0, |mounts| mounts.values().map(capacity).sum()),
            gpus: number(&constraints["gpu"]["device_count"]),
        }
    }

    fn plus(self, other: Need) -> Need {
        Need {
            vcpus: self.vcpus + other.vcpus,
            ram: self.ram + other.ram,
            scratch: self.scratch + other.scratch,
            gpus: self.gpus + other.gpus,
        }
    }

    /// What there is too little of, in words.
    fn beyond(self, has: &InstanceType) -> Option<String> {
        let rows = [
            ("VCPUs", self.vcpus, u64::from(has.vcpus)),
            ("bytes of memory", self.ram, has.ram),
            ("bytes of scratch", self.scratch, has.scratch),
            ("GPUs", self.gpus, u64::from(has.gpus)),
        ];
        rows.into_iter()
            .find(|(_, needed, there)| needed > there)
            .map(|(what, needed, there)| format!("{needed} of {there} {what}"))
    }
}

impl World {
    fn duty(&mut self, instance: &str) -> &mut Duty {
        self.duties.entry(instance.to_owned()).or_default()
    }

    /// A new dispatcher knows nothing of what the last one was told.
    pub(super) fn forget_duties(&mut self) {
        self.dispatcher_from_ms = self.journal.present_ms;
        for duty in self.duties.values_mut() {
            *duty = Duty {
                closed_ms: duty.closed_ms,
                needed_ms: self.dispatcher_from_ms,
                stays: duty.stays,
                ..Duty::default()
            };
        }
    }

    /// An answer of the cloud that arrives tells of instances.
    pub(super) fn note_told(&mut self, reply: &CloudReply, now: Now) {
        let When::After(latency) = reply.when else {
            return;
        };
        let rows = match &reply.answer {
            CloudAnswer::Created(row) => std::slice::from_ref(row),
            CloudAnswer::Listed(rows) => rows,
            CloudAnswer::Done | CloudAnswer::Refused(_) => return,
        };
        for row in rows {
            if self.vms.contains_key(&row.id) {
                let told = now.ms + latency;
                self.duty(&row.id).told_ms.get_or_insert(told);
            }
        }
    }

    /// Tags were set: whether the instance takes work.
    pub(super) fn note_tags(&mut self, instance: &str, tags: &BTreeMap<String, String>, now: Now) {
        let Some((_, behaviour)) = tags.iter().find(|(key, _)| key.ends_with("IdleBehavior"))
        else {
            return;
        };
        let duty = self.duty(instance);
        duty.closed_ms = match behaviour.as_str() {
            "run" => None,
            _ => duty.closed_ms.or(Some(now.ms)),
        };
        duty.needed_ms = now.ms;
    }

    /// An instance could not be reached for a while.
    pub(super) fn needed_again(&mut self, instance: &str) {
        let present_ms = self.journal.present_ms;
        self.duty(instance).needed_ms = present_ms;
    }

    pub(super) fn destroy_asked(&mut self, instance: &str) {
        self.duty(instance).destroy_asked = true;
    }

    /// A command has been answered.
    pub(super) fn note_answer(
        &mut self,
        instance: &str,
        command: &str,
        execution: &Execution,
        now: Now,
    ) {
        let succeeded = execution.exit == Exit::Status(0) && execution.when != When::Never;
        if !succeeded {
            return;
        }
        let has = |word: &str| command.contains(word);
        let duty = self.duty(instance);
        if has(" --list") {
            duty.listed = true;
            if execution.stdout.starts_with(b"broken\n") {
                duty.broken_ms.get_or_insert(now.ms);
            }
        } else if !has(" --detach ")
            && !has(" --kill ")
            && !has(": arvados-dispatch ")
            && !has(SECRET_FILE)
        {
            duty.booted = true;
            self.boot_probes_seen = true;
        }
    }

    /// A runner process begins: was that allowed (invariants 1 and 2)?
    pub(super) fn judge_start(
        &mut self,
        instance: &str,
        uuid: &str,
        pid: u32,
        heard: Heard,
        now: Now,
    ) {
        self.duty(instance).needed_ms = now.ms;
        let late =
            heard == (Heard::Here { late: true }) || self.judge.may_be_from_the_dead(uuid, now.ms);
        // Who has waited long enough for a machine that does not say what it runs gives it up (facts S5).
        let restarted_ms = Some(self.dispatcher_from_ms).filter(|from_ms| *from_ms > 0);
        let wait_ms = self.settings.stale_lock_timeout_ms.unwrap_or(0);
        let has_waited = restarted_ms.is_some_and(|from_ms| now.ms >= from_ms + wait_ms);
        let listed = |other: &str| self.duties.get(other).is_some_and(|duty| duty.listed);
        let given_up = |other: &str| has_waited && !listed(other);
        self.judge.runner_began(uuid, instance, pid, late, given_up);
        if late {
            return;
        }
        // The one before may not be quite dead yet, and what that was told is forgotten.
        let settled = restarted_ms.is_none_or(|from_ms| now.ms >= from_ms + FROM_THE_DEAD_MS);
        let reasons = [
            self.not_locked(uuid, now),
            settled
                .then(|| self.not_ready(instance, heard, now))
                .flatten(),
            self.no_room(instance, uuid),
        ];
        for reason in reasons.into_iter().flatten() {
            self.judge
                .breach(format!("{instance} was told to start {uuid}: {reason}"));
        }
    }

    fn not_locked(&self, uuid: &str, now: Now) -> Option<String> {
        let Some(container) = self.api.containers().get(uuid) else {
            return Some("there is no such container".to_owned());
        };
        let root = self.api.root_token_uuid();
        let by_another = container
            .locked_by_uuid
            .as_ref()
            .is_some_and(|by| *by != root);
        let for_ms = now.wall.duration_since(container.modified_at).as_millis();
        let known = container.lock_count == 0 || for_ms >= LISTED_WITHIN_MS;
        match container.state {
            ContainerState::Locked if by_another => Some("it is another's".to_owned()),
            ContainerState::Locked | ContainerState::Running => None,
            state if known => Some(format!("it is {}", state.name())),
            _ => None,
        }
    }

    fn not_ready(&self, instance: &str, heard: Heard, now: Now) -> Option<String> {
        let duty = self.duties.get(instance)?;
        let long_ago = |at: Option<u64>| at.is_some_and(|at| now.ms >= at + ON_ITS_WAY_MS);
        let unprobed = self.boot_probes_seen && !duty.booted || !duty.listed;
        if heard != Heard::Elsewhere && unprobed {
            Some("it has not passed its probes".to_owned())
        } else if long_ago(duty.broken_ms) {
            Some("it has reported itself broken".to_owned())
        } else if long_ago(duty.closed_ms) {
            Some("it is on hold or drains".to_owned())
        } else {
            None
        }
    }

    /// What runs there, and the new one. What arrived late is nothing that anybody reckons with.
    fn no_room(&self, instance: &str, uuid: &str) -> Option<String> {
        let vm = self.vms.get(instance)?;
        let late = |runner: &Runner| {
            let story = self.judge.story(&runner.uuid);
            story.is_some_and(|story| story.is_late(instance, runner.pid))
        };
        let runs = vm.runners().values().filter(|runner| {
            matches!(runner.phase, Phase::Starting | Phase::Running)
                && runner.uuid != uuid
                && !late(runner)
        });
        let all = runs.map(|runner| runner.uuid.as_str()).chain([uuid]);
        let needs = all.filter_map(|uuid| Some(Need::of(self.api.containers().get(uuid)?)));
        let short = needs
            .fold(Need::default(), Need::plus)
            .beyond(&vm.instance_type)?;
        Some(format!(
            "with what runs there it needs {short} of a {}",
            vm.instance_type.name
        ))
    }

    /// Whether instances that nobody needs have been asked to go in time (invariant 9). Only those that have always
    /// worked and that the dispatcher knows of: with others it may have to wait for longer.
    pub(super) fn judge_idle(&mut self, now: Now) {
        let Some(idle_ms) = self.settings.timeout_idle_ms else {
            return;
        };
        let open = self.submitted > self.finals;
        if open {
            self.queue_empty_ms = None;
            return;
        }
        let empty_ms = *self.queue_empty_ms.get_or_insert(now.ms);
        for (instance, vm) in &self.vms {
            if let Some(duty) = self.duties.get_mut(instance)
                && !vm.runners().is_empty()
            {
                duty.needed_ms = now.ms;
            }
        }
        let mut stay = Vec::new();
        for (instance, vm) in &self.vms {
            let Some(duty) = self.duties.get(instance) else {
                continue;
            };
            let (Some(told_ms), None, false, false) = (
                duty.told_ms,
                duty.closed_ms,
                duty.destroy_asked,
                duty.stays || !vm.runners().is_empty(),
            ) else {
                continue;
            };
            let since = [told_ms, duty.needed_ms, empty_ms, self.dispatcher_from_ms];
            let since = since.into_iter().max().unwrap_or(now.ms);
            let works = duty.listed
                && vm.up
                && vm.silent.is_none()
                && matches!(vm.reach(now), Reach::Speaks(_));
            if works && now.ms > since + idle_ms + GONE_WITHIN_MS {
                stay.push((instance.clone(), now.ms - since));
            }
        }
        for (instance, for_ms) in stay {
            self.duty(&instance).stays = true;
            self.judge.breach(format!(
                "{instance} stays although nobody has needed it for {for_ms} ms"
            ));
        }
    }

    /// Nothing of an instance is remembered once it is gone.
    pub(super) fn end_duty(&mut self, instance: &str) {
        self.duties.remove(instance);
    }
}
