//! Storms: random wishes in a faulty world, with the invariants checked after every event.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use dispatch_model::{ContainerId, IdleBehavior, RunnerState, Time, WorkerId, WorkerState};

use super::{
    script::{self, sizing},
    show,
    world::{World, secret},
};
use crate::{Action, CallId, Effects, Event, Fact, Pool, PoolNews, WorkerNews};

const MAX_INSTANCES: usize = 8;
const MAX_CREATES: usize = 2;

/// One storm: a pool, a world, and what must hold between them.
struct Storm {
    pool: Pool,
    world: World,
    now: Time,
    n_secrets: u64,
    n_containers: u64,
    stormy_until: Time,
    killed: BTreeSet<WorkerId>,
    /// Creations that have not been answered, and when they count as unanswerable.
    open_creates: BTreeMap<CallId, Time>,
    open_probes: BTreeMap<WorkerId, (CallId, Time)>,
    /// When the pool last heard what runs on a worker.
    heard: BTreeMap<WorkerId, Time>,
    boots_ended: BTreeMap<WorkerId, u32>,
    arrived: BTreeSet<WorkerId>,
    n_ticks: u64,
    /// The last that happened.
    trace: VecDeque<(Time, Event, Effects)>,
}

impl Storm {
    fn new(seed: u64) -> Storm {
        let mut settings = script::settings();
        settings.max_instances = Some(MAX_INSTANCES);
        settings.max_concurrent_creates = Some(MAX_CREATES);
        settings.deploy_runner = seed.is_multiple_of(2);
        let mut world = World::new(seed);
        for n in 0..world.luck.below(4) {
            let container = world
                .luck
                .percent(50)
                .then(|| ContainerId::from(format!("c-old-{n}")));
            world.leave_behind(n, container);
        }
        Storm {
            pool: Pool::new(settings, script::types()),
            world,
            now: Time::ZERO,
            n_secrets: 0,
            n_containers: 0,
            stormy_until: Time::from_secs(900),
            killed: BTreeSet::new(),
            open_creates: BTreeMap::new(),
            open_probes: BTreeMap::new(),
            heard: BTreeMap::new(),
            boots_ended: BTreeMap::new(),
            arrived: BTreeSet::new(),
            n_ticks: 0,
            trace: VecDeque::new(),
        }
    }

    fn run(&mut self) {
        self.handle(Event::Tick);
        let mut next_wish = Time::ZERO;
        let end = Time::from_secs(3 * 3600);
        while self.now < end {
            self.world.calm = self.now >= self.stormy_until;
            let deadline = self.pool.deadline().expect("lists go on");
            let answer = self.world.next().unwrap_or(deadline);
            let next = deadline.min(answer).min(next_wish).max(self.now);
            self.now = next;
            if let Some(event) = self.world.take(next) {
                self.handle(event);
            } else if deadline <= next {
                self.n_ticks += 1;
                self.handle(Event::Tick);
            } else {
                next_wish =
                    next + std::time::Duration::from_millis(200 + self.world.luck.below(2000));
                self.wish();
            }
        }
        self.check_end();
    }

    fn wish(&mut self) {
        self.deal_with_exits();
        if self.world.calm {
            self.world.end_runners(5);
            self.calm_wish();
            return;
        }
        self.world.end_runners(3);
        let workers: Vec<WorkerId> = self.pool.snapshot().workers.keys().copied().collect();
        let runners: Vec<ContainerId> = self.pool.snapshot().runners.keys().cloned().collect();
        let worker = self.world.luck.pick(&workers);
        let container = self.world.luck.pick(&runners);
        let reason = || "storm".to_owned();
        let event = match (self.world.luck.below(20), worker, container) {
            (0..5, _, _) => {
                self.n_secrets += 1;
                let types: Vec<&str> = vec!["small", "big", "gpu4", "spot"];
                Event::Create {
                    instance_type: self.world.luck.pick(&types).expect("not empty").into(),
                    secret: secret(self.n_secrets),
                }
            }
            (5..12, Some(worker), _) => {
                self.n_containers += 1;
                let gpu = self.pool.snapshot().workers[&worker]
                    .instance_type
                    .gpu
                    .device_count;
                let gpus = if gpu > 0 {
                    self.world.luck.below(3) as u32
                } else {
                    0
                };
                Event::Start {
                    worker,
                    container: format!("c-{}", self.n_containers).into(),
                    sizing: sizing(gpus),
                }
            }
            // A planner that has not understood that it runs already.
            (12, Some(worker), Some(container)) => Event::Start {
                worker,
                container,
                sizing: sizing(0),
            },
            (13, worker, Some(container)) => Event::Kill {
                container,
                worker: worker.filter(|worker| worker.0 % 2 == 0),
                reason: reason(),
            },
            (14, Some(worker), _) => Event::ShutDown {
                worker,
                reason: reason(),
            },
            (15, Some(worker), _) => Event::SetIdleBehavior {
                worker,
                behavior: self
                    .world
                    .luck
                    .pick(&[IdleBehavior::Hold, IdleBehavior::Drain, IdleBehavior::Run])
                    .expect("not empty"),
            },
            (16, Some(worker), _) if self.world.luck.percent(20) => {
                self.killed.insert(worker);
                Event::KillInstance {
                    worker,
                    reason: reason(),
                }
            }
            (17, Some(worker), Some(container)) => Event::Ended { worker, container },
            (18, Some(worker), _) => Event::WatchLost { worker },
            _ => Event::Tick,
        };
        self.handle(event);
    }

    /// What a planner does: it deals with every exit, now and then a little late.
    fn deal_with_exits(&mut self) {
        let exited: Vec<ContainerId> = self
            .pool
            .snapshot()
            .runners
            .iter()
            .filter(|(_, views)| {
                views
                    .iter()
                    .all(|view| matches!(view.state, RunnerState::Exited { .. }))
            })
            .map(|(container, _)| container.clone())
            .collect();
        for container in exited {
            if self.world.luck.percent(70) {
                self.handle(Event::Forget { container });
            }
        }
    }

    /// In the end everybody is let go.
    fn calm_wish(&mut self) {
        let snapshot = self.pool.snapshot();
        let held: Vec<WorkerId> = snapshot
            .workers
            .values()
            .filter(|view| view.idle_behavior == IdleBehavior::Hold)
            .map(|view| view.id)
            .collect();
        let runners: Vec<ContainerId> = snapshot.runners.keys().cloned().collect();
        for worker in held {
            let behavior = IdleBehavior::Run;
            self.handle(Event::SetIdleBehavior { worker, behavior });
        }
        for container in runners {
            let reason = "the end".to_owned();
            self.handle(Event::Kill {
                container,
                worker: None,
                reason,
            });
        }
    }

    fn handle(&mut self, event: Event) {
        if let Event::Created { call, .. } = &event {
            self.open_creates.remove(call);
        }
        if let Event::Probed {
            call,
            worker,
            report,
        } = &event
            && self
                .open_probes
                .get(worker)
                .is_some_and(|(open, _)| open == call)
        {
            self.open_probes.remove(worker);
            if matches!(report.list, Some(Ok(_))) {
                self.heard.insert(*worker, self.now);
            }
        }
        let effects = self.pool.handle(event.clone(), script::wall(self.now));
        self.trace.push_back((self.now, event, effects.clone()));
        if self.trace.len() > 40 {
            self.trace.pop_front();
        }
        self.check_facts(&effects);
        for action in effects.actions {
            self.check_action(&action);
            self.world.obey(action, self.now);
        }
        self.check_snapshot();
    }

    #[track_caller]
    fn must(&self, holds: bool, what: &str) {
        if !holds {
            let mut shown = String::new();
            for (at, event, effects) in &self.trace {
                shown.push_str(&format!("{at} {event:?}\n"));
                for fact in effects.facts.iter().filter_map(show::fact) {
                    shown.push_str(&format!("    {fact}\n"));
                }
                for action in &effects.actions {
                    shown.push_str(&format!("  > {}\n", show::action(action)));
                }
            }
            panic!("{shown}this must hold: {what}");
        }
    }

    fn check_facts(&mut self, effects: &Effects) {
        for fact in &effects.facts {
            match fact {
                Fact::Pool(PoolNews::Violation { message }) => self.must(false, message),
                Fact::Pool(_) => {}
                Fact::Worker { about, news } => match news {
                    WorkerNews::BootEnded(_) => {
                        *self.boots_ended.entry(about.worker).or_default() += 1;
                    }
                    WorkerNews::Created { .. } | WorkerNews::Adopted { .. } => {
                        self.arrived.insert(about.worker);
                    }
                    WorkerNews::Gone { .. } => {
                        self.must(
                            self.boots_ended.get(&about.worker) == Some(&1),
                            "a worker that is gone has exactly one boot outcome",
                        );
                    }
                    _ => {}
                },
            }
        }
    }

    fn check_action(&mut self, action: &Action) {
        match action {
            Action::Create { call, within, .. } => {
                let n_workers = self.pool.snapshot().workers.len();
                self.must(n_workers <= MAX_INSTANCES, "no more instances than allowed");
                let overdue = self.now + *within + std::time::Duration::from_secs(5);
                let now = self.now;
                self.open_creates.retain(|_, overdue| *overdue > now);
                self.open_creates.insert(*call, overdue);
                self.must(
                    self.open_creates.len() <= MAX_CREATES,
                    "no more creations side by side than allowed",
                );
            }
            Action::Destroy {
                worker, instance, ..
            } => self.check_destroy(*worker, instance),
            Action::Probe {
                call,
                worker,
                order,
            } => {
                let overdue = self.now + order.within() + std::time::Duration::from_secs(5);
                let now = self.now;
                self.open_probes.retain(|_, (_, overdue)| *overdue > now);
                let before = self.open_probes.insert(*worker, (*call, overdue));
                self.must(before.is_none(), "one probe of a worker at a time");
            }
            Action::Start {
                worker,
                container,
                gpus,
                ..
            } => {
                let view = &self.pool.snapshot().workers[worker];
                // It took work when the start was admitted; since then only its answers may have failed, or its
                // tag may have become full.
                let in_service = matches!(view.state, WorkerState::Idle | WorkerState::Running)
                    && view.idle_behavior == IdleBehavior::Run;
                self.must(in_service, "a start goes only where work is wanted");
                let views = &self.pool.snapshot().runners[container];
                self.must(views.len() == 1, "a container is started on one worker");
                self.check_gpus(*worker, container, gpus);
            }
            _ => {}
        }
    }

    fn check_destroy(&self, worker: WorkerId, instance: &dispatch_model::InstanceId) {
        let view = &self.pool.snapshot().workers[&worker];
        self.must(
            view.state == WorkerState::Shutdown,
            "destroyed in Shutdown only",
        );
        let killed = self.killed.contains(&worker);
        let held = view.idle_behavior == IdleBehavior::Hold;
        self.must(
            killed || !held,
            "held instances are destroyed by the kill call only",
        );
        let Some(real) = self.world.instances.get(instance) else {
            return;
        };
        // Its runners may be known to nobody: a start that was called a failure and worked after all.
        let live = real.runners.iter().any(|(container, runner)| {
            let known = self
                .pool
                .snapshot()
                .runners
                .get(container)
                .is_some_and(|views| {
                    views.iter().any(|view| {
                        let live = !matches!(
                            view.state,
                            RunnerState::Exited { .. } | RunnerState::GivenUp
                        );
                        view.worker == worker && live
                    })
                });
            known && !runner.unkillable
        });
        let heard = self.heard.get(&worker).copied().unwrap_or_default();
        let silent = self.now.since(heard).as_secs() >= 60;
        self.must(
            killed || silent || !live,
            "an instance with live containers is destroyed only when it was silent, or killed",
        );
    }

    fn check_gpus(&self, worker: WorkerId, container: &ContainerId, gpus: &[u32]) {
        let instance = self.pool.snapshot().workers[&worker].instance.clone();
        let Some(real) = instance.and_then(|instance| self.world.instances.get(&instance)) else {
            return;
        };
        for (other, runner) in &real.runners {
            // What the pool believes to have ended may still run, if its start was called a failure.
            let known = self.pool.snapshot().workers[&worker]
                .containers
                .contains(other);
            let shares = runner.gpus.iter().any(|device| gpus.contains(device));
            self.must(
                other == container || !known || !shares,
                "no two containers have one GPU device",
            );
        }
        let tag = real.tags.get("PGPUs").map_or("", String::as_str);
        let on_gpus = self.pool.snapshot().workers[&worker]
            .instance_type
            .gpu
            .device_count
            > 0;
        self.must(
            !on_gpus || tag.contains(&format!("{container}=")),
            "GPU devices are written down before the start",
        );
    }

    fn check_snapshot(&self) {
        let deadline = self.pool.deadline().expect("lists go on");
        self.must(deadline > self.now, "what is due has been done");
        let snapshot = self.pool.snapshot();
        self.must(
            snapshot.workers.len() == self.pool.workers.len(),
            "the snapshot has every worker",
        );
        for (id, worker) in &self.pool.workers {
            self.must(
                *snapshot.workers[id] == worker.view(),
                "the snapshot is up to date",
            );
            for (container, state) in worker.runner_states() {
                let views = snapshot.runners.get(&container);
                let shown = views.is_some_and(|views| {
                    views
                        .iter()
                        .any(|view| view.worker == *id && view.state == state)
                });
                self.must(shown, "the snapshot has every runner");
            }
        }
        for (container, views) in &snapshot.runners {
            self.must(!views.is_empty(), "no empty entries");
            for view in views {
                let exited = matches!(view.state, RunnerState::Exited { .. });
                let known = self
                    .pool
                    .workers
                    .get(&view.worker)
                    .is_some_and(|worker| worker.runners.by_container.contains_key(container));
                self.must(known || exited, "only exits outlive their worker");
            }
        }
    }

    fn check_end(&self) {
        let snapshot = self.pool.snapshot();
        self.must(
            snapshot.workers.is_empty(),
            "in the end there are no workers",
        );
        self.must(snapshot.runners.is_empty(), "nor runners");
        self.must(self.world.instances.is_empty(), "nor instances");
        self.must(self.world.running().is_empty(), "nor anything that runs");
        let ended: BTreeSet<WorkerId> = self.boots_ended.keys().copied().collect();
        self.must(ended == self.arrived, "every instance has a boot outcome");
        self.must(!self.arrived.is_empty(), "something has happened");
        self.must(self.n_ticks < 60_000, "deadlines are few");
    }
}

#[test]
fn storms_break_no_invariant_and_leave_nothing_behind() {
    for seed in 0..40 {
        let mut storm = Storm::new(seed);
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| storm.run()));
        assert!(outcome.is_ok(), "seed {seed}");
    }
}
