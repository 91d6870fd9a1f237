//! The world: its parts joined, and its agenda of what happens later.

mod api_face;
mod cloud_face;
mod control;
mod duties;
mod journal;
mod outside;
mod runners;
mod strikes;
mod vm_face;

use std::collections::{BTreeMap, BTreeSet};

pub use api_face::ApiReply;
pub use cloud_face::CloudReply;
pub use control::{Status, Submission};
pub use journal::{Entry, Moment};
pub use outside::Destiny;

use crate::{
    api::{Api, ContainerState},
    cloud::{Cloud, Order},
    faults::{Fault, Faults},
    judge::Judge,
    luck::Luck,
    settings::Settings,
    time::Now,
    vm::Vm,
};

/// Things that whoever carries the world's answers may want to know at once.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// A machine has booted.
    Up {
        /// The instance.
        instance: String,
        /// Its address.
        address: String,
    },
    /// A machine is gone: its connections break.
    Gone {
        /// The instance.
        instance: String,
        /// Its address.
        address: String,
    },
    /// A machine stops or begins to speak.
    Silence {
        /// The instance.
        instance: String,
        /// Whether it is silent.
        silent: bool,
    },
    /// A machine that is a real process elsewhere reports itself broken from here on.
    Broken {
        /// The instance.
        instance: String,
    },
    /// A container changed its state.
    Changed {
        /// The container.
        uuid: String,
        /// Its state.
        state: ContainerState,
    },
    /// An exit watch prints a line.
    WatchLine {
        /// Which watch.
        watch: u64,
        /// The line, without its end.
        line: String,
    },
    /// The lab wants the dispatcher killed and started again.
    RestartDispatcher,
}

/// What will happen.
#[derive(Clone, Debug)]
pub(crate) enum Happening {
    /// A machine comes up.
    Boot(String),
    /// A machine is heard again.
    Speak(String),
    /// A late order arrives.
    LateOrder(Order),
    /// A late command arrives: address, user, command line, standard input.
    LateCommand(String, String, String, Vec<u8>),
    /// A runner takes its next step.
    Runner(runners::Step, runners::Key),
    /// A malformed row heals.
    Heal(String),
    /// A fault looks for its victim.
    Strike(Fault),
}

/// What a container does once it runs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Script {
    /// For how long, ms.
    pub(crate) run_ms: u64,
    /// With which exit code it ends.
    pub(crate) exit_code: i64,
}

/// A whole simulated cluster.
pub struct World {
    settings: Settings,
    api: Api,
    cloud: Cloud,
    vms: BTreeMap<String, Vm>,
    by_address: BTreeMap<String, String>,
    scripts: BTreeMap<String, Script>,
    faults: Faults,
    judge: Judge,
    luck: Luck,
    journal: journal::Journal,
    agenda: BTreeMap<(u64, u64), Happening>,
    noted: u64,
    events: Vec<Event>,
    watches: BTreeMap<u64, vm_face::Watch>,
    watches_opened: u64,
    /// Types that do not boot, and until when, ms.
    dead_types: BTreeMap<String, u64>,
    submitted: u64,
    /// How many of them have become final.
    finals: u64,
    strikes_planned: bool,
    /// Types and groups that have run short already.
    sold_out: BTreeSet<String>,
    /// What the dispatcher has learnt of its instances.
    duties: BTreeMap<String, duties::Duty>,
    /// Whether any boot probe has succeeded: dispatchers may have none.
    boot_probes_seen: bool,
    /// When the dispatcher was started, ms.
    dispatcher_from_ms: u64,
    /// When the API began to be overloaded, ms.
    overloaded_ms: Option<u64>,
    /// Since when nothing waits or runs, ms.
    queue_empty_ms: Option<u64>,
    seed: u64,
}

impl World {
    /// A new world.
    pub fn new(seed: u64, settings: Settings) -> World {
        let luck = |stream| Luck::new(seed, stream);
        let mut world = World {
            api: Api::new(
                &settings.cluster_id,
                &settings.system_root_token,
                settings.tokens.clone(),
                luck("uuids"),
            ),
            cloud: Cloud::new(settings.vm.net, settings.vm.port, luck("instances")),
            vms: BTreeMap::new(),
            by_address: BTreeMap::new(),
            scripts: BTreeMap::new(),
            faults: Faults::new(settings.faults, luck("faults")),
            judge: Judge::default(),
            luck: luck("world"),
            journal: journal::Journal::default(),
            agenda: BTreeMap::new(),
            noted: 0,
            events: Vec::new(),
            watches: BTreeMap::new(),
            watches_opened: 0,
            dead_types: BTreeMap::new(),
            submitted: 0,
            finals: 0,
            strikes_planned: false,
            sold_out: BTreeSet::new(),
            duties: BTreeMap::new(),
            boot_probes_seen: false,
            dispatcher_from_ms: 0,
            overloaded_ms: None,
            queue_empty_ms: None,
            seed,
            settings,
        };
        world.make_bystanders();
        world
    }

    /// The settings as they are.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The containers and the rules of the API.
    pub fn containers(&self) -> &Api {
        &self.api
    }

    /// The instances.
    pub fn instances(&self) -> &Cloud {
        &self.cloud
    }

    /// The machine of a living instance.
    pub fn vm(&self, instance: &str) -> Option<&Vm> {
        self.vms.get(instance)
    }

    /// All machines, by instance.
    pub fn vms(&self) -> &BTreeMap<String, Vm> {
        &self.vms
    }

    /// The machine at an address.
    pub fn vm_at(&self, address: &str) -> Option<&Vm> {
        self.vms.get(self.by_address.get(address)?)
    }

    /// What the judge has seen.
    pub fn judge(&self) -> &Judge {
        &self.judge
    }

    /// The faults that have struck.
    pub fn faults(&self) -> &Faults {
        &self.faults
    }

    /// When something happens by itself next, ms after the world began; `None` if nothing ever does.
    pub fn next_event_at(&self) -> Option<u64> {
        self.agenda.keys().next().map(|(ms, _)| *ms)
    }

    /// Lets everything happen that is due, each thing at its own time.
    pub fn advance(&mut self, now: Now) {
        self.journal.present_ms = now.ms;
        while let Some(entry) = self.agenda.first_entry() {
            let (due, _) = *entry.key();
            if due > now.ms {
                break;
            }
            let happening = entry.remove();
            // What was due a while ago happens as of then, or its consequences would come late as well.
            let back = i64::try_from(now.ms - due).unwrap_or(i64::MAX);
            let then = Now {
                ms: due,
                wall: now
                    .wall
                    .saturating_sub(jiff::SignedDuration::from_millis(back))
                    .unwrap_or(now.wall),
            };
            self.happen(happening, then);
        }
    }

    /// What has happened since this was asked last.
    pub fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    fn happen(&mut self, happening: Happening, now: Now) {
        match happening {
            Happening::Boot(instance) => self.boot(&instance, now),
            Happening::Speak(instance) => self.speak(&instance),
            Happening::LateOrder(order) => self.late_order(&order, now),
            Happening::LateCommand(address, user, command, stdin) => {
                self.late_command(&address, &user, &command, &stdin, now)
            }
            Happening::Runner(step, key) => self.runner_step(step, key, now),
            Happening::Heal(uuid) => self.heal(&uuid),
            Happening::Strike(fault) => self.strike(fault, now),
        }
    }

    /// Puts something on the agenda.
    pub(crate) fn later(&mut self, after_ms: u64, happening: Happening, now: Now) {
        self.noted += 1;
        self.agenda
            .insert((now.ms + after_ms, self.noted), happening);
    }

    pub(crate) fn tell(&mut self, event: Event) {
        self.events.push(event);
    }
}

#[cfg(test)]
mod tests;
