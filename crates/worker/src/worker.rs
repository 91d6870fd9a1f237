//! One worker: our view of one instance, from the decision to create it until the cloud no longer lists it.
//!
//! ```text
//!  create ──► (ordered) ──created──► Booting ──probed──► Idle ◄──────► Running
//!                │                     │                  │  started,     │
//!  found ────────┼───────► Unknown ────┼──probed──────────┘  ended        │
//!                │            │        │                  │               │
//!     failed, dropped         └────────┴───► Shutdown ◄───┴───────────────┘
//!                │                              │       idle, drained, silent,
//!                └─────────► (gone) ◄───────────┘       killed, not wanted
//!                                     not listed any more, from any state
//! ```
//!
//! An ordered worker shows as Booting; its ticket is the pool's affair (`creates.rs`). Everything else an instance
//! goes through is here and in the files that open with `impl Worker`: how it is looked after (`probing.rs`), what
//! runs on it (`runners.rs`, `starts.rs`, `killing.rs`, `watching.rs`), what is written on it (`tagging.rs`), how it ends (`ending.rs`).

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use dispatch_model::{
    ContainerId, IdleBehavior, InstanceId, InstanceSecret, InstanceType, Sizing, Time, UserName,
    WorkerId, WorkerState,
};

use crate::{
    About, Action, BootOutcome, CallId, Fact, Failure, ListedInstance, ProbeReport, SignalOutcome,
    WorkerNews,
    desk::{Boot, Desk},
    ending::Ending,
    gpus,
    probing::Probing,
    runners::Runners,
    tagging::Tagging,
    tags::{self, Tag},
    watching::Watch,
};

/// Our view of one instance.
#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) id: WorkerId,
    pub(crate) instance_type: Arc<InstanceType>,
    /// The type is configured; otherwise `instance_type` is what little is known of it (facts W15).
    pub(crate) type_known: bool,
    pub(crate) secret: Option<InstanceSecret>,
    /// Whom runners on it run as, for all its life; `None`: root.
    pub(crate) runner_user: Option<UserName>,
    /// This daemon has ordered it; otherwise it was found in a list.
    pub(crate) created: bool,
    /// The cloud's name; `None` while it is only ordered.
    pub(crate) instance: Option<InstanceId>,
    pub(crate) address: Option<String>,
    /// When the cloud first told us of it.
    pub(crate) appeared_at: Time,
    pub(crate) state: WorkerState,
    pub(crate) state_since: Time,
    pub(crate) idle_behavior: IdleBehavior,
    pub(crate) behavior_since: Time,
    /// Why it takes no more work, although nobody has asked for that.
    pub(crate) broken: Option<String>,
    /// Why it was shut down, once it has been.
    pub(crate) shut_down_for: Option<String>,
    pub(crate) boot_outcome: Option<BootOutcome>,
    pub(crate) last_busy: jiff::Timestamp,
    pub(crate) last_container: Option<ContainerId>,
    pub(crate) probing: Probing,
    pub(crate) runners: Runners,
    pub(crate) watch: Watch,
    pub(crate) tagging: Tagging,
    pub(crate) ending: Option<Ending>,
}

/// What happens to a worker that has an instance, or concerns it alone.
#[derive(Debug)]
pub(crate) enum WorkerEvent {
    Listed {
        listed: ListedInstance,
        asked_at: Time,
    },
    ShutDown(String),
    KillInstance(String),
    SetIdleBehavior(IdleBehavior),
    Start(ContainerId, Arc<Sizing>),
    Kill(ContainerId, String),
    Forget(ContainerId),
    Probed(CallId, ProbeReport),
    Started(CallId, ContainerId, Result<(), String>),
    Signalled(CallId, ContainerId, SignalOutcome),
    Tagged(CallId, Result<(), Failure>),
    Destroyed(CallId, Result<(), Failure>),
    Ended(ContainerId),
    WatchLost,
    Tick,
}

impl Worker {
    /// A worker that is to be created.
    pub(crate) fn ordered(
        id: WorkerId,
        instance_type: Arc<InstanceType>,
        secret: InstanceSecret,
        desk: &Desk,
    ) -> Worker {
        Worker {
            id,
            instance_type,
            type_known: true,
            secret: Some(secret),
            runner_user: desk.settings.runner_user.clone(),
            created: true,
            instance: None,
            address: None,
            appeared_at: desk.time(),
            state: WorkerState::Booting,
            state_since: desk.time(),
            idle_behavior: IdleBehavior::Run,
            behavior_since: desk.time(),
            broken: None,
            shut_down_for: None,
            boot_outcome: None,
            last_busy: desk.now.wall,
            last_container: None,
            probing: Probing::new(None, desk.time()),
            runners: Runners::default(),
            watch: Watch::default(),
            tagging: Tagging::default(),
            ending: None,
        }
    }

    /// An instance that was found. Its tags may be blank or odd: that concerns this one alone. If its type is not
    /// configured, what it is likely to cost.
    pub(crate) fn adopted(
        id: WorkerId,
        listed: &ListedInstance,
        instance_type: Result<Arc<InstanceType>, Option<f64>>,
        desk: &mut Desk,
    ) -> Worker {
        let settings = &desk.settings;
        let type_tag = Tag::InstanceType.read(&listed.tags, settings);
        let behavior_tag = Tag::IdleBehavior.read(&listed.tags, settings);
        let behavior = behavior_tag.and_then(IdleBehavior::parse);
        let secret = tags::secret(&listed.tags, settings);
        let image_tag = Tag::Image.read(&listed.tags, settings);
        let user_tag = Tag::RunnerUser.read(&listed.tags, settings);
        let runner_user = user_tag.and_then(UserName::parse);
        let type_known = instance_type.is_ok();
        let idle_behavior = match (behavior, type_known) {
            (Some(IdleBehavior::Hold), _) => IdleBehavior::Hold,
            (_, false) => IdleBehavior::Drain,
            (behavior, true) => behavior.unwrap_or_default(),
        };
        let counts_as = |likely_price: &Option<f64>| match likely_price {
            Some(price) => format!("counts ${price:.3} an hour"),
            None => "what it costs is not known".to_owned(),
        };
        let remark = match (&instance_type, type_tag, behavior_tag) {
            (Err(likely_price), None, _) => Some(format!(
                "it has no tag that names its type; {}",
                counts_as(likely_price)
            )),
            (Err(likely_price), Some(name), _) => {
                let image = image_tag.map(|image| format!(" with the image {image}"));
                let keys = image_tag.map_or("", |_| " (InstanceTypes, AllowedImages)");
                Some(format!(
                    "its type {name}{} is no longer configured{keys}; {}",
                    image.unwrap_or_default(),
                    counts_as(likely_price)
                ))
            }
            (_, _, Some(text)) if behavior.is_none() => Some(format!(
                "its idle behavior {text:?} is none of run, hold, drain"
            )),
            _ if user_tag.is_some() && runner_user.is_none() => Some(
                "its tag RunnerUser is no user's name: its runners are taken for root's".to_owned(),
            ),
            _ => None,
        };
        let instance_type = instance_type.unwrap_or_else(|likely_price| {
            Arc::new(unconfigured(
                type_tag.unwrap_or_default(),
                image_tag,
                &listed.provider_type,
                likely_price.unwrap_or_default(),
            ))
        });
        let mut worker = Worker {
            type_known,
            created: false,
            state: WorkerState::Unknown,
            idle_behavior,
            secret: None,
            ..Worker::ordered(id, instance_type, InstanceSecret::new(""), desk)
        };
        worker.secret = secret;
        worker.runner_user = runner_user.filter(|user| !user.is_root());
        worker.instance = Some(listed.id.clone());
        worker.tell(
            WorkerNews::Adopted {
                idle_behavior,
                remark,
            },
            desk,
        );
        worker
    }

    /// The cloud has told us of the instance that was ordered.
    pub(crate) fn arrive(
        &mut self,
        listed: ListedInstance,
        took: Duration,
        typical_boot: Option<Duration>,
        desk: &mut Desk,
    ) {
        self.instance = Some(listed.id.clone());
        self.appeared_at = desk.time();
        self.probing = Probing::new(typical_boot, desk.time());
        self.tell(WorkerNews::Created { took }, desk);
        self.set_address(&listed.address, desk);
        if self.idle_behavior != IdleBehavior::Run {
            self.want_tag(Tag::IdleBehavior, self.idle_behavior.to_string(), desk);
        }
        if self.state == WorkerState::Shutdown {
            // It was not wanted any more while its creation was under way.
            self.end_boot(BootOutcome::Aborted, desk);
            self.begin_ending(desk);
        }
    }

    /// Takes one event in, and does what time has made due.
    pub(crate) fn handle(&mut self, event: WorkerEvent, desk: &mut Desk) {
        match event {
            WorkerEvent::Listed { listed, asked_at } => self.listed(listed, asked_at, desk),
            WorkerEvent::ShutDown(reason) => self.shut_down_if_free(reason, desk),
            WorkerEvent::KillInstance(reason) => self.shut_down(reason, desk),
            // Nothing can keep one that is on its way out.
            WorkerEvent::SetIdleBehavior(_) if self.state == WorkerState::Shutdown => {}
            WorkerEvent::SetIdleBehavior(behavior) => {
                if behavior == IdleBehavior::Run {
                    self.broken = None;
                }
                self.set_idle_behavior(behavior, "asked for".to_owned(), desk);
            }
            WorkerEvent::Start(container, sizing) => self.start(container, sizing, desk),
            WorkerEvent::Kill(container, reason) => self.kill(&container, reason, desk),
            WorkerEvent::Forget(container) => self.forget(&container, desk),
            WorkerEvent::Probed(call, report) => self.probed(call, report, desk),
            WorkerEvent::Started(call, container, result) => {
                self.started(call, &container, result, desk);
            }
            WorkerEvent::Signalled(call, container, outcome) => {
                self.signalled(call, &container, outcome, desk);
            }
            WorkerEvent::Tagged(call, result) => self.tagged(call, result, desk),
            WorkerEvent::Destroyed(call, result) => self.destroyed(call, result, desk),
            WorkerEvent::Ended(container) => self.ended(&container, desk),
            WorkerEvent::WatchLost => self.watch_lost(desk),
            WorkerEvent::Tick => {}
        }
        if self.instance.is_some() {
            self.advance_starts(desk);
            self.advance_kills(desk);
            self.end_if_due(desk);
            self.advance_probe(desk);
            self.advance_destroy(desk);
            self.advance_tags(desk);
            self.advance_watch(desk);
        }
    }

    /// When something becomes due although nothing happens.
    pub(crate) fn deadline(&self, desk: &Desk) -> Option<Time> {
        self.instance.as_ref()?;
        [
            self.starts_due(),
            self.kills_due(desk),
            self.probe_due(),
            self.end_due(desk),
            self.destroy_due(desk),
            self.tags_due(),
            self.watch_due(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Whether it is only ordered, and nobody holds it.
    pub(crate) fn is_droppable_order(&self) -> bool {
        self.instance.is_none() && self.idle_behavior != IdleBehavior::Hold
    }

    /// Whether a container may be started on it now: it passed its probes, the latest included.
    pub(crate) fn takes_work(&self) -> bool {
        self.is_in_service() && self.probing.n_failures == 0 && self.has_room_in_tag()
    }

    /// Whether it will take work once it is known to be ready. One that has been ready and failed a probe counts as
    /// ready again soon, but not if the next probe fails too: then nobody should wait for it.
    pub(crate) fn will_take_work(&self) -> bool {
        match self.state {
            WorkerState::Booting | WorkerState::Unknown => self.is_wanted(),
            WorkerState::Idle | WorkerState::Running => {
                self.is_in_service() && self.probing.n_failures == 1 && self.has_room_in_tag()
            }
            WorkerState::Shutdown => false,
        }
    }

    /// Ready as far as is known, and wanted.
    pub(crate) fn is_in_service(&self) -> bool {
        matches!(self.state, WorkerState::Idle | WorkerState::Running) && self.is_wanted()
    }

    /// Whether one more container can be written into the tag of GPU devices, whatever it needs (facts K6).
    fn has_room_in_tag(&self) -> bool {
        let n_devices = self.instance_type.gpu.device_count;
        n_devices == 0 || gpus::has_room(n_devices, &gpu_assignments(&self.runners.by_container))
    }

    fn is_wanted(&self) -> bool {
        self.idle_behavior == IdleBehavior::Run
            && self.type_known
            && self.broken.is_none()
            && !self.runners.any_given_up()
    }

    /// Changes the state and says so.
    pub(crate) fn enter(&mut self, to: WorkerState, reason: impl Into<String>, desk: &mut Desk) {
        let from = self.state;
        if from == to {
            return;
        }
        self.state = to;
        self.state_since = desk.time();
        let reason = reason.into();
        self.tell(WorkerNews::State { from, to, reason }, desk);
    }

    /// Idle or Running, whichever it is by what runs on it.
    pub(crate) fn settle_in_service(&mut self, desk: &mut Desk) {
        match (self.state, self.runners.n_live()) {
            (WorkerState::Idle, 1..) => self.enter(WorkerState::Running, "has containers", desk),
            (WorkerState::Running, 0) => {
                self.last_busy = desk.now.wall;
                self.enter(WorkerState::Idle, "its last container has ended", desk);
            }
            (
                WorkerState::Unknown
                | WorkerState::Booting
                | WorkerState::Idle
                | WorkerState::Running
                | WorkerState::Shutdown,
                _,
            ) => {}
        }
    }

    /// It is broken: takes no more work, and goes when the last container has ended, unless it is held (facts W11).
    pub(crate) fn set_broken(&mut self, reason: String, desk: &mut Desk) {
        if self.state == WorkerState::Shutdown || self.broken.is_some() {
            return;
        }
        self.tell(
            WorkerNews::Broken {
                reason: reason.clone(),
            },
            desk,
        );
        if self.idle_behavior == IdleBehavior::Run {
            self.set_idle_behavior(IdleBehavior::Drain, reason.clone(), desk);
        }
        self.broken = Some(reason);
        self.end_boot(BootOutcome::Failure, desk);
    }

    pub(crate) fn set_idle_behavior(&mut self, to: IdleBehavior, reason: String, desk: &mut Desk) {
        let from = self.idle_behavior;
        if from == to {
            return;
        }
        self.idle_behavior = to;
        self.behavior_since = desk.time();
        self.tell(WorkerNews::IdleBehavior { from, to, reason }, desk);
        self.want_tag(Tag::IdleBehavior, to.to_string(), desk);
    }

    /// Says how booting ended, once; an order that never became an instance has not booted.
    pub(crate) fn end_boot(&mut self, outcome: BootOutcome, desk: &mut Desk) {
        if self.boot_outcome.is_some() || self.instance.is_none() {
            return;
        }
        self.boot_outcome = Some(outcome);
        self.tell(WorkerNews::BootEnded(outcome), desk);
        desk.boots.push(Boot {
            worker: self.id,
            instance_type: self.instance_type.name.clone(),
            outcome,
            took: desk.time().since(self.appeared_at),
            created: self.created,
        });
    }

    /// Notes its address, and connects to it.
    fn set_address(&mut self, address: &str, desk: &mut Desk) {
        if address.is_empty() || self.address.as_deref() == Some(address) {
            return;
        }
        self.address = Some(address.to_owned());
        let address = address.to_owned();
        self.tell(WorkerNews::Address { address }, desk);
        self.attach(desk);
        self.probing.found(desk.time());
    }

    fn attach(&mut self, desk: &mut Desk) {
        if let (Some(instance), Some(address)) = (&self.instance, &self.address) {
            desk.order(Action::Attach {
                worker: self.id,
                instance: instance.clone(),
                address: address.clone(),
                secret: self.secret.clone(),
                runner_user: self.runner_user.clone(),
            });
        }
    }

    /// A list shows it, perhaps a stale one.
    fn listed(&mut self, listed: ListedInstance, asked_at: Time, desk: &mut Desk) {
        if self.secret.is_none() {
            self.secret = tags::secret(&listed.tags, &desk.settings);
            if self.secret.is_some() && self.address.as_deref() == Some(listed.address.as_str()) {
                self.attach(desk);
            }
        }
        self.learn_runner_user(&listed, desk);
        if self.state != WorkerState::Shutdown {
            self.set_address(&listed.address, desk);
            self.compare_tags(&listed.tags, asked_at, desk);
        }
        self.still_listed(asked_at, desk);
    }

    /// A tag that was missing when it was found may have come since.
    fn learn_runner_user(&mut self, listed: &ListedInstance, desk: &mut Desk) {
        if self.created || self.runner_user.is_some() {
            return;
        }
        let tag = Tag::RunnerUser.read(&listed.tags, &desk.settings);
        let user = tag.and_then(UserName::parse);
        self.runner_user = user.filter(|user| !user.is_root());
        if self.runner_user.is_some() && self.address.as_deref() == Some(listed.address.as_str()) {
            self.attach(desk);
        }
    }

    /// Tells what happened to it.
    pub(crate) fn tell(&self, news: WorkerNews, desk: &mut Desk) {
        let about = self.about();
        desk.effects.facts.push(Fact::Worker { about, news });
    }

    /// Its names in a log.
    pub(crate) fn about(&self) -> About {
        About {
            worker: self.id,
            instance: self.instance.clone(),
            instance_type: self.instance_type.name.clone(),
            address: self.address.clone(),
        }
    }
}

/// All that is known of a type that is no longer configured: it has room for nothing.
fn unconfigured(name: &str, image: Option<&str>, provider_type: &str, price: f64) -> InstanceType {
    let without_image = InstanceType {
        name: name.into(),
        provider_type: provider_type.to_owned(),
        image: None,
        vcpus: 0,
        ram_bytes: 0,
        included_scratch_bytes: 0,
        added_scratch_bytes: 0,
        price,
        preemptible: false,
        gpu: Default::default(),
    };
    match image {
        Some(image) => without_image.with_image(image, ""),
        None => without_image,
    }
}

/// The GPU devices of the live containers that have or may have some.
pub(crate) fn gpu_assignments(
    runners: &BTreeMap<ContainerId, crate::runners::Runner>,
) -> crate::gpus::Assignments<'_> {
    runners
        .iter()
        .filter(|(_, runner)| runner.is_live())
        .map(|(container, runner)| (container, runner.gpus.as_deref()))
        .collect()
}
