//! The simulation: the loop of the shell, in virtual time.

use std::{
    cell::{Ref, RefMut},
    rc::Rc,
    sync::Arc,
};

use dispatch_brain::{Brain, Command, Fact, Input, NotFound, Wish};
use dispatch_lab::{World, world::Event as LabEvent, world::Submission};
use dispatch_model::{Now, Time};
use dispatch_runner::{
    BinaryHash, DeployPath, Login, RunnerCommand, RunnerCommands, StartSettings,
};
use dispatch_worker::Action;
use serde_json::Value;

use super::{
    api::Api,
    checks::Checks,
    cloud::Cloud,
    gate::{ApiGate, CloudGate},
    machine_calls::{OnMachine, overloaded},
    machines::Machines,
    setup::{Setup, seed_bytes},
    tasks::Tasks,
    trace::Trace,
    wires::{Arrival, Ground, Wires},
};

/// A world, a daemon (or none), and their time.
pub struct Sim {
    setup: Setup,
    pub(super) ground: Rc<Ground>,
    pub(super) tasks: Tasks,
    pub(super) daemon: Option<Daemon>,
    start_at_ms: Option<u64>,
    /// An operator has wished for something.
    wished: bool,
    pub(super) news: Vec<LabEvent>,
    facts: Vec<(u64, Fact)>,
    pub(super) checks: Checks,
    pub(super) trace: Trace,
}

/// One life of the daemon.
pub(super) struct Daemon {
    brain: Brain,
    pub(super) wires: Wires,
    api: Rc<Api>,
    cloud: Rc<Cloud>,
    pub(super) machines: Rc<Machines>,
    on_machine: Rc<OnMachine>,
}

impl Sim {
    /// A fresh world, and a daemon that starts in it.
    pub fn new(setup: Setup) -> Sim {
        let mut lab = setup.lab.clone();
        let stale_lock_timeout = setup.brain.stale_lock_timeout.as_millis();
        lab.stale_lock_timeout_ms = u64::try_from(stale_lock_timeout).ok();
        let world = World::new(setup.seed, lab);
        let ground = Rc::new(Ground::new(setup.seed, world, setup.wire.clone()));
        let mut sim = Sim {
            tasks: Tasks::new(Rc::clone(&ground.clock)),
            ground,
            daemon: None,
            start_at_ms: None,
            wished: false,
            news: Vec::new(),
            facts: Vec::new(),
            checks: Checks::new(setup.bounds.clone()),
            trace: Trace::new(setup.trace),
            setup,
        };
        sim.start_daemon();
        sim
    }

    /// Milliseconds since the world began.
    pub fn now_ms(&self) -> u64 {
        self.ground.clock.now_ms()
    }

    /// The world, to look at.
    pub fn world(&self) -> Ref<'_, World> {
        self.ground.world.borrow()
    }

    /// The world, to change by hand.
    pub fn world_mut(&mut self) -> RefMut<'_, World> {
        self.ground.world.borrow_mut()
    }

    /// The wires, to change.
    pub fn wire_mut(&mut self) -> RefMut<'_, super::Wire> {
        self.ground.wire.borrow_mut()
    }

    /// The settings that the next daemon starts with.
    pub fn setup_mut(&mut self) -> &mut Setup {
        &mut self.setup
    }

    /// The brain of the daemon that lives.
    ///
    /// # Panics
    ///
    /// If none does.
    pub fn brain(&self) -> &Brain {
        &self.daemon.as_ref().expect("a daemon lives").brain
    }

    /// Whether a daemon lives.
    pub fn has_daemon(&self) -> bool {
        self.daemon.is_some()
    }

    /// What has become known, and when (ms), over all lives.
    pub fn facts(&self) -> &[(u64, Fact)] {
        &self.facts
    }

    /// How many facts are like this.
    pub fn count_facts(&self, is_one: impl Fn(&Fact) -> bool) -> usize {
        self.facts.iter().filter(|(_, fact)| is_one(fact)).count()
    }

    /// How often this kind of call was made.
    pub fn count_calls(&self, kind: &str) -> u64 {
        self.ground.calls.borrow().get(kind).copied().unwrap_or(0)
    }

    /// How often the brain has thought, and how often although nobody had told it anything.
    pub fn count_steps(&self) -> (u64, u64) {
        (self.checks.n_steps, self.checks.n_idle_steps)
    }

    /// What has happened in the world since this was asked last.
    pub fn take_events(&mut self) -> Vec<LabEvent> {
        std::mem::take(&mut self.news)
    }

    /// Everything that happened, in one number; 0 without trace.
    pub fn digest(&self) -> u64 {
        self.trace.digest()
    }

    /// The last lines of the trace.
    pub fn trace_tail(&self) -> String {
        self.trace.tail()
    }

    /// Submits a container; attributes that are not given are those of the mixed load.
    ///
    /// # Panics
    ///
    /// If the API would refuse it.
    pub fn submit(&mut self, attributes: &Value, run_ms: u64) -> String {
        let submission = Submission {
            attributes: attributes.as_object().cloned().unwrap_or_default(),
            run_ms: Some(run_ms),
            exit_code: 0,
        };
        let now = self.ground.lab_now();
        self.checks.patience_from(now.ms);
        let submitted = self.world_mut().submit(&submission, now);
        submitted.expect("attributes that the API takes")
    }

    /// Submits so many of the mixed load.
    pub fn submit_mixed(&mut self, n: usize) -> Vec<String> {
        let now = self.ground.lab_now();
        self.checks.patience_from(now.ms);
        self.world_mut().submit_mixed(n, now)
    }

    /// Sets a container's priority, as the API does when its requests change.
    pub fn set_priority(&mut self, uuid: &str, priority: i64) {
        let now = self.ground.lab_now();
        assert!(
            self.world_mut().set_priority(uuid, priority, now),
            "{uuid} can still change"
        );
    }

    /// An operator's wish.
    pub fn wish(&mut self, wish: Wish) -> Result<(), NotFound> {
        let now = self.daemon_now();
        let daemon = self.daemon.as_mut().ok_or(NotFound)?;
        self.wished = true;
        daemon.brain.wish(wish, now)
    }

    /// Something that no call of the daemon's has brought, such as the cloud's word for an instance's end.
    pub fn hear(&mut self, input: Input) {
        let now = self.daemon_now();
        if let Some(daemon) = &mut self.daemon {
            self.wished = true;
            daemon.brain.take(input, now);
        }
    }

    /// The daemon is killed: calls that have reached the world keep their effects, and some that are on their way
    /// arrive late.
    pub fn kill_daemon(&mut self) {
        let Some(daemon) = self.daemon.take() else {
            return;
        };
        self.trace.note(self.ground.clock.now_ms(), || {
            "the daemon is killed".to_owned()
        });
        let late = self.ground.late_ones();
        self.ground.life.set(self.ground.life.get() + 1);
        self.tasks.keep(|task| late.contains(&task));
        self.ground.arrivals.borrow_mut().clear();
        daemon.machines.die();
        self.ground.world.borrow_mut().dispatcher_restarted();
    }

    /// Kills the daemon, and starts another after the usual time.
    pub fn restart_daemon(&mut self) {
        self.kill_daemon();
        let after = self.ground.draw(self.setup.wire.restart_ms);
        self.start_at_ms = Some(self.now_ms() + after);
    }

    /// Starts a daemon that knows nothing.
    pub fn start_daemon(&mut self) {
        self.start_at_ms = None;
        let life = self.ground.life.get();
        let wires = Wires {
            ground: Rc::clone(&self.ground),
            born_ms: self.now_ms(),
            life,
        };
        let mut settings = self.setup.brain.clone();
        settings.seed = seed_bytes(self.setup.seed, life);
        settings.pool.max_cloud_ops_per_second = self.setup.wire.cloud_ops_per_second;
        let now = now_of(&wires);
        self.trace.note(self.ground.clock.now_ms(), || {
            format!("daemon {life} starts")
        });
        self.daemon = Some(Daemon::new(Brain::new(settings, now), wires, &self.setup));
    }

    /// Goes on for so long, ms.
    pub fn pass(&mut self, ms: u64) {
        let until = self.now_ms() + ms;
        while self.go_on(until) {}
    }

    /// Goes on until this is so.
    ///
    /// # Panics
    ///
    /// If it is not within so long, ms.
    #[track_caller]
    pub fn until(&mut self, what: &str, within_ms: u64, mut is_so: impl FnMut(&mut Sim) -> bool) {
        let until = self.now_ms() + within_ms;
        self.settle_instant();
        while !is_so(self) {
            assert!(self.go_on(until), "not within {within_ms} ms: {what}");
        }
    }

    /// Goes on to the next moment at which something happens; `false` at the end of the time given.
    pub fn go_on(&mut self, until_ms: u64) -> bool {
        self.settle_instant();
        let now_ms = self.now_ms();
        let next = self.next_at().unwrap_or(until_ms).max(now_ms + 1);
        if next > until_ms {
            self.ground.clock.advance_to(until_ms.max(now_ms));
            self.settle_instant();
            return false;
        }
        self.ground.clock.advance_to(next);
        self.settle_instant();
        true
    }

    fn next_at(&self) -> Option<u64> {
        let brain = self.daemon.as_ref().and_then(|daemon| {
            let deadline = daemon.brain.deadline()?;
            Some(daemon.wires.born_ms + deadline.millis())
        });
        let world = self.ground.world.borrow().next_event_at();
        [brain, world, self.ground.clock.next_at(), self.start_at_ms]
            .into_iter()
            .flatten()
            .min()
    }

    /// Lets everything happen that happens now.
    fn settle_instant(&mut self) {
        if self.start_at_ms.is_some_and(|at| at <= self.now_ms()) {
            self.start_daemon();
        }
        loop {
            let news = self.take_news();
            let ran = self.tasks.run();
            let thought = self.think();
            if !news && !ran && !thought {
                break;
            }
        }
        let now_ms = self.now_ms();
        let why = || match &self.daemon {
            Some(daemon) => standstill(&daemon.brain, now_of(&daemon.wires)),
            None => "no daemon lives".to_owned(),
        };
        self.checks.look(&self.ground.world.borrow(), why, now_ms);
    }

    /// Takes what has arrived, thinks once, obeys; whether there was any reason to.
    fn think(&mut self) -> bool {
        let arrivals = std::mem::take(&mut *self.ground.arrivals.borrow_mut());
        let n_arrivals = arrivals.len();
        let mut inputs = Vec::new();
        for arrival in arrivals {
            match arrival {
                Arrival::Input(input) => inputs.push(input),
                Arrival::Watch(worker, channel) => {
                    let daemon = self.daemon.as_ref();
                    inputs.extend(daemon.and_then(|it| it.machines.watch_opened(worker, channel)));
                }
                Arrival::KeepAlive(instance) => self.keep_alive_failed(&instance),
            }
        }
        let now_ms = self.ground.clock.now_ms();
        let Some(daemon) = &mut self.daemon else {
            return n_arrivals > 0;
        };
        let now = now_of(&daemon.wires);
        let idle = inputs.is_empty() && !std::mem::take(&mut self.wished);
        if idle && daemon.brain.deadline().is_none_or(|at| at > now.time) {
            return n_arrivals > 0;
        }
        for input in inputs {
            self.trace.input(now_ms, &input);
            daemon.brain.take(input, now);
        }
        let step = daemon.brain.step(now);
        let deadline = daemon.brain.deadline();
        assert!(
            deadline.is_none_or(|at| at > now.time),
            "busy loop: at {now:?} the brain wants to think again at {deadline:?}"
        );
        self.checks.stepped(idle, now_ms);
        for fact in step.facts {
            self.trace.note(now_ms, || format!("{fact:?}"));
            self.facts.push((now_ms, fact));
        }
        // As the shell does: destroys go first.
        let is_destroy = |one: &Command| matches!(one, Command::Pool(Action::Destroy { .. }));
        let (destroys, others): (Vec<_>, Vec<_>) = step.commands.into_iter().partition(is_destroy);
        for command in destroys.into_iter().chain(others) {
            self.trace.command(now_ms, &command);
            self.obey(command);
        }
        true
    }

    fn obey(&mut self, command: Command) {
        let Some(daemon) = &self.daemon else {
            return;
        };
        let action = match command {
            Command::Api(request) => return self.tasks.spawn(Rc::clone(&daemon.api).call(request)),
            Command::Pool(action) => action,
        };
        let (cloud, on_machine) = (Rc::clone(&daemon.cloud), Rc::clone(&daemon.on_machine));
        match action {
            Action::List { call, within } => self.tasks.spawn(cloud.list(call, within)),
            Action::Create {
                call,
                worker,
                instance_type,
                tags,
                secret,
                within,
            } => {
                self.tasks
                    .spawn(cloud.create(call, worker, instance_type, tags, secret, within));
            }
            Action::Destroy {
                call,
                worker,
                instance,
                within,
            } => {
                self.tasks
                    .spawn(cloud.destroy(call, worker, instance, within));
            }
            Action::SetTags {
                call,
                worker,
                instance,
                tags,
                within,
            } => {
                self.tasks
                    .spawn(cloud.set_tags(call, worker, instance, tags, within));
            }
            Action::Attach {
                worker,
                address,
                secret,
                ..
            } => {
                daemon.machines.attach(worker, address, secret);
            }
            Action::Detach { worker } => daemon.machines.detach(worker),
            Action::Probe {
                call,
                worker,
                order,
            } => {
                self.tasks.spawn(on_machine.probe(call, worker, order));
            }
            Action::Start {
                call,
                worker,
                container,
                sizing,
                gpus,
                instance_type,
                within,
            } => {
                self.check_room(worker, container.as_str());
                let start =
                    on_machine.start(call, worker, container, sizing, gpus, instance_type, within);
                self.tasks.spawn(start);
            }
            Action::Signal {
                call,
                worker,
                container,
                signal,
                within,
            } => {
                self.tasks
                    .spawn(on_machine.signal(call, worker, container, signal, within));
            }
            Action::Watch { worker, containers } => {
                if daemon.machines.watch(worker, containers) {
                    self.tasks
                        .spawn(Rc::clone(&daemon.machines).open_watch(worker));
                }
            }
        }
    }

    /// Invariant 2, on the world: there is room for what is told to start.
    fn check_room(&self, worker: dispatch_model::WorkerId, container: &str) {
        let Some(daemon) = &self.daemon else {
            return;
        };
        let known = |uuid: &str| daemon.brain.pool().snapshot().runners.contains_key(uuid);
        let world = self.ground.world.borrow();
        if let Ok(address) = daemon.machines.address(worker)
            && let Some(complaint) = overloaded(&world, &address, container, known)
        {
            panic!("no room: {complaint}");
        }
    }

    fn daemon_now(&self) -> Now {
        self.daemon.as_ref().map_or(
            Now {
                time: Time::ZERO,
                wall: self.ground.lab_now().wall,
            },
            |daemon| now_of(&daemon.wires),
        )
    }
}

impl Drop for Sim {
    /// A failed test shows how it came to that.
    #[expect(
        clippy::print_stderr,
        reason = "for the one who reads a failed test's output"
    )]
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!(
                "{}seed {} at {} ms",
                self.trace.tail(),
                self.setup.seed,
                self.now_ms()
            );
        }
    }
}

impl Daemon {
    fn new(brain: Brain, wires: Wires, setup: &Setup) -> Daemon {
        let clock = &wires.ground.clock;
        let (wire, pool) = (&setup.wire, &setup.brain.pool);
        let login = Login::new(wire.user.clone());
        let prefix = &pool.tag_key_prefix;
        let binary = wire.deploy.clone().map(|content| {
            let mut hash = BinaryHash::default();
            hash.update(&content);
            (
                DeployPath::new("/tmp/arvados-crunch-run", &hash.finish()),
                content,
            )
        });
        let runner = match &binary {
            Some((path, _)) => RunnerCommand::Deployed(path.clone()),
            None => RunnerCommand::Installed("crunch-run".to_owned()),
        };
        let arguments = ["--foo".to_owned(), "--extra='args'".to_owned()];
        let machines = Rc::new(Machines {
            wires: wires.clone(),
            login: login.clone(),
            user: wire.user.clone(),
            lines: Default::default(),
        });
        let cluster = serde_json::value::to_raw_value(&serde_json::json!({}));
        let on_machine = OnMachine {
            machines: Rc::clone(&machines),
            commands: RunnerCommands::new(&runner, &login, "docker", &arguments),
            boot_probe_command: wire.boot_probe_command.clone(),
            start: StartSettings {
                api_host: "api.example:443".to_owned(),
                system_root_token: setup.lab.system_root_token.clone(),
                insecure: false,
                keep_buffers_per_vcpu: setup.brain.queue.sizing.keep_blob_buffers_per_vcpu,
                cluster: Arc::from(cluster.expect("JSON")),
                on_ec2: false,
            },
            binary,
        };
        Daemon {
            api: Rc::new(Api {
                wires: wires.clone(),
                gate: ApiGate::new(Rc::clone(clock)),
                token: setup.lab.system_root_token.clone(),
            }),
            cloud: Rc::new(Cloud {
                wires: wires.clone(),
                gate: CloudGate::new(wire.cloud_ops_per_second, Rc::clone(clock)),
                ours: [(
                    format!("{prefix}InstanceSetID"),
                    pool.instance_set_id.clone(),
                )]
                .into(),
                secret_tag: format!("{prefix}InstanceSecret"),
                resource_tags: pool.resource_tags.clone(),
            }),
            on_machine: Rc::new(on_machine),
            brain,
            wires,
            machines,
        }
    }
}

/// Why nothing happens, as far as the brain knows.
fn standstill(brain: &Brain, now: Now) -> String {
    let snapshot = brain.snapshot();
    let waits: Vec<String> = snapshot
        .plan
        .waits
        .iter()
        .take(20)
        .map(|(id, wait)| format!("{id}: {wait}"))
        .collect();
    let pool = &snapshot.pool;
    format!(
        "{}\nat {now:?}, holds: {:?} {:?}, {} workers, runners {:?}",
        waits.join("\n"),
        pool.hold,
        pool.type_holds,
        pool.workers.len(),
        pool.runners
    )
}

fn now_of(wires: &Wires) -> Now {
    Now {
        time: wires.time(),
        wall: wires.ground.lab_now().wall,
    }
}
