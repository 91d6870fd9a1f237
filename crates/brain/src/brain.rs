//! The brain: takes in what has happened, lets the four that decide do so, and says what to do.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use dispatch_container_queue as queue;
use dispatch_model::{ContainerId, InstanceTypeName, Now, Time};
use dispatch_scheduler::{InstanceTypes, Limits, Plan, Recovery, Repair, plan, reconcile};
use dispatch_worker as pool;

use crate::{
    BrainNews, Command, Fact, Input, NotFound, Snapshot, SupervisorShare, Wish, guard,
    limits::{self, ContainerLimit},
    secrets::Secrets,
};

/// What the brain needs of the configuration.
#[derive(Clone, Debug)]
pub struct Settings {
    /// For the container queue.
    pub queue: queue::Settings,
    /// For the worker pool.
    pub pool: pool::Settings,
    /// The instance types, automatic spot variants included.
    pub types: InstanceTypes,
    /// `MaxRunningContainersPerInstance`; `None`: as many as there is room for.
    pub containers_per_instance: Option<usize>,
    /// How many of the containers may be supervisors.
    pub supervisors: SupervisorShare,
    /// `StaleLockTimeout`.
    pub stale_lock_timeout: Duration,
    /// For how long a container that waits for an instance lets lower ones pass before a worker is kept for it.
    pub patience: Duration,
    /// Seeds the secrets of instances.
    pub seed: [u8; 32],
    /// Panic when an invariant is about to be broken (tests, simulations) instead of setting aside what it concerns.
    pub strict: bool,
}

/// What one step came to.
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct Step {
    /// What to do, in this order where two concern one worker or one container.
    pub commands: Vec<Command>,
    /// What became known.
    pub facts: Vec<Fact>,
}

/// Decides. See the crate's description.
#[derive(Debug)]
pub struct Brain {
    settings: Settings,
    queue: queue::View,
    pool: pool::Pool,
    recovery: Recovery,
    container_limit: ContainerLimit,
    secrets: Secrets,
    stopping: bool,
    recovered: bool,
    set_aside: BTreeSet<ContainerId>,
    violations: u64,
    /// What has come up since the last step.
    pending: Step,
    plan: Arc<Plan>,
    /// The limits that the last plan was made with.
    limits: Limits,
    plan_again_at: Option<Time>,
    must_plan: bool,
}

impl Brain {
    /// A daemon that starts at `now` and knows nothing yet.
    pub fn new(settings: Settings, now: Now) -> Brain {
        Brain {
            queue: queue::View::new(settings.queue.clone()),
            pool: pool::Pool::new(settings.pool.clone(), settings.types.clone()),
            recovery: Recovery::new(
                settings.stale_lock_timeout,
                settings.pool.boot_timeout,
                now.time,
            ),
            container_limit: ContainerLimit::default(),
            secrets: Secrets::new(settings.seed),
            stopping: false,
            recovered: false,
            set_aside: BTreeSet::new(),
            violations: 0,
            pending: Step::default(),
            plan: Arc::new(Plan::default()),
            limits: Limits::none(),
            plan_again_at: None,
            must_plan: true,
            settings,
        }
    }

    /// Takes in one thing that happened.
    pub fn take(&mut self, input: Input, now: Now) {
        self.must_plan = true;
        match input {
            Input::Queue(event) => self.tell_queue(event, now),
            Input::Pool(event) => self.tell_pool(event, now),
            Input::ApiOverloaded => self
                .container_limit
                .overloaded(now.time, self.plan.figures.running),
            Input::Stop => {
                self.stopping = true;
                self.tell_pool(pool::Event::Stopping, now);
            }
        }
    }

    /// Takes in an operator's wish; what it leads to comes with the next step.
    pub fn wish(&mut self, wish: Wish, now: Now) -> Result<(), NotFound> {
        self.must_plan = true;
        match wish {
            Wish::SetIdleBehavior { instance, behavior } => {
                let worker = self.pool.worker_of(&instance).ok_or(NotFound)?;
                self.tell_pool(pool::Event::SetIdleBehavior { worker, behavior }, now);
            }
            Wish::KillInstance { instance, reason } => {
                let worker = self.pool.worker_of(&instance).ok_or(NotFound)?;
                self.tell_pool(pool::Event::KillInstance { worker, reason }, now);
            }
            Wish::KillContainer { container, reason } => {
                if !self.pool.snapshot().runners.contains_key(&container) {
                    return Err(NotFound);
                }
                let kill = pool::Event::Kill {
                    container,
                    worker: None,
                    reason,
                };
                self.tell_pool(kill, now);
            }
        }
        Ok(())
    }

    /// Fires the deadlines that are due, plans once if anything may have changed, and says what to do.
    pub fn step(&mut self, now: Now) -> Step {
        if self.queue.deadline().is_some_and(|at| at <= now.time) {
            self.tell_queue(queue::Event::Tick, now);
            self.must_plan = true;
        }
        if self.pool.deadline().is_some_and(|at| at <= now.time) {
            self.tell_pool(pool::Event::Tick, now);
            self.must_plan = true;
        }
        if self.plan_again_at.is_some_and(|at| at <= now.time) {
            self.must_plan = true;
        }
        if self.must_plan && !self.stopping {
            self.must_plan = false;
            self.plan_again_at = None;
            self.recover(now);
            self.repair(now);
            self.follow_new_plan(now);
        }
        std::mem::take(&mut self.pending)
    }

    /// When to step again if nothing happens first.
    pub fn deadline(&self) -> Option<Time> {
        let plan_again_at = if self.stopping {
            None
        } else {
            self.plan_again_at
        };
        [self.queue.deadline(), self.pool.deadline(), plan_again_at]
            .into_iter()
            .flatten()
            .min()
    }

    /// The dispatcher as it is, for readers.
    pub fn snapshot(&self, now: Now) -> Snapshot {
        let queue = self.queue.snapshot().clone();
        let details = queue
            .entries
            .keys()
            .filter_map(|id| Some((id.clone(), Arc::clone(self.queue.details(id)?))))
            .collect();
        Snapshot {
            at: now,
            queue,
            details,
            pool: self.pool.snapshot().clone(),
            plan: Arc::clone(&self.plan),
            limits: self.limits,
            last_503: self.container_limit.last_503(),
            recovered: self.recovered,
            violations: self.violations,
        }
    }

    /// The container queue as it is, for judges in tests and simulations.
    pub fn queue(&self) -> &queue::View {
        &self.queue
    }

    /// The worker pool as it is, for judges in tests and simulations.
    pub fn pool(&self) -> &pool::Pool {
        &self.pool
    }

    /// Keeps account of what is not known yet after a start.
    fn recover(&mut self, now: Now) {
        self.recovery.note(self.pool.snapshot(), now.time);
        if self.recovery.wants_list(self.queue.snapshot(), now.time) {
            self.tell_queue(queue::Event::Poke, now);
        } else if !self.recovered && self.recovery.over_since(now.time).is_some() {
            self.recovered = true;
            let silent = self.recovery.silent().len();
            self.note(BrainNews::Recovered {
                after: now.time.since(Time::ZERO),
                silent,
            });
        }
        self.again_at(self.recovery.deadline(now.time));
    }

    /// Sets right what queue and pool disagree about.
    fn repair(&mut self, now: Now) {
        let repairs = reconcile(
            self.queue.snapshot(),
            self.pool.snapshot(),
            &self.recovery,
            now,
        );
        self.again_at(repairs.again_at);
        for repair in repairs.repairs {
            match repair {
                Repair::Cancel { container, reason } => {
                    self.note(BrainNews::Cancelling {
                        container: container.clone(),
                        reason,
                    });
                    self.tell_queue(
                        queue::Event::Cancel {
                            id: container,
                            reason: reason.to_string(),
                        },
                        now,
                    );
                }
                Repair::Unlock { container, reason } => {
                    self.note(BrainNews::Unlocking {
                        container: container.clone(),
                        reason,
                    });
                    self.tell_queue(queue::Event::Unlock(container), now);
                }
                Repair::Kill {
                    container,
                    worker,
                    reason,
                } => {
                    self.note(BrainNews::Killing {
                        container: container.clone(),
                        worker,
                        reason,
                    });
                    let kill = pool::Event::Kill {
                        container,
                        worker: Some(worker),
                        reason: reason.to_string(),
                    };
                    self.tell_pool(kill, now);
                }
                Repair::Forget { container } => {
                    self.tell_queue(queue::Event::Forget(container), now)
                }
                Repair::DropExited { container } => {
                    self.tell_pool(pool::Event::Forget { container }, now)
                }
            }
        }
    }

    fn follow_new_plan(&mut self, now: Now) {
        self.limits = self.limits_now(now);
        let plan = plan(
            self.queue.snapshot(),
            self.pool.snapshot(),
            &self.settings.types,
            &self.limits,
            &self.recovery,
            now,
        );
        self.again_at(plan.again_at);
        self.again_at(self.container_limit.changes_at(now.time));
        for (container, reason) in &plan.unlock {
            self.note(BrainNews::Unlocking {
                container: container.clone(),
                reason: *reason,
            });
            self.tell_queue(queue::Event::Unlock(container.clone()), now);
        }
        for (container, worker) in &plan.start {
            self.start(container, *worker, now);
        }
        for container in &plan.lock {
            self.tell_queue(queue::Event::Lock(container.clone()), now);
        }
        for worker in &plan.shut_down {
            match guard::may_shut_down(self.pool.snapshot(), *worker) {
                Ok(()) => {
                    let reason = "an instance of another type is wanted more".to_owned();
                    self.tell_pool(
                        pool::Event::ShutDown {
                            worker: *worker,
                            reason,
                        },
                        now,
                    );
                }
                Err(reason) => self.violation(None, format!("shut down {worker}: {reason}")),
            }
        }
        for create in &plan.create {
            self.create(&create.instance_type, now);
        }
        self.tell_queue(queue::Event::WantedRows(self.rows_wanted()), now);
        self.plan = Arc::new(plan);
    }

    fn start(&mut self, container: &ContainerId, worker: dispatch_model::WorkerId, now: Now) {
        if self.set_aside.contains(container) {
            return;
        }
        let (queue, pool) = (self.queue.snapshot(), self.pool.snapshot());
        match guard::may_start(queue, pool, &self.settings.types, container, worker) {
            Ok(()) => {
                let sizing = Arc::clone(&queue.entries[container].sizing);
                self.tell_pool(
                    pool::Event::Start {
                        worker,
                        container: container.clone(),
                        sizing,
                    },
                    now,
                );
            }
            Err(reason) => {
                self.violation(
                    Some(container.clone()),
                    format!("start {container} on {worker}: {reason}"),
                );
            }
        }
    }

    fn create(&mut self, instance_type: &InstanceTypeName, now: Now) {
        match guard::may_create(self.pool.snapshot()) {
            Ok(()) => {
                let secret = self.secrets.fresh();
                let instance_type = instance_type.clone();
                self.tell_pool(
                    pool::Event::Create {
                        instance_type,
                        secret,
                    },
                    now,
                );
            }
            Err(reason) => self.violation(None, format!("create a {instance_type}: {reason}")),
        }
    }

    fn limits_now(&mut self, now: Now) -> Limits {
        let running = self.plan.figures.running;
        let from = self.limits.containers;
        let containers = self.container_limit.current(running, now.time);
        if containers != from {
            self.note(BrainNews::ContainerLimit {
                from,
                to: containers,
            });
        }
        Limits {
            containers,
            supervisors: limits::supervisors(self.settings.supervisors, containers, running),
            containers_per_instance: self.settings.containers_per_instance,
            patience: self.settings.patience,
        }
    }

    /// As many queued containers as could be started now: one for each free processor of the workers that are or will
    /// be there, and for each of the largest instance that may yet be created.
    fn rows_wanted(&self) -> usize {
        let pool = self.pool.snapshot();
        let entries = &self.queue.snapshot().entries;
        let free: usize = pool
            .workers
            .values()
            .filter(|worker| worker.takes_work || worker.will_take_work)
            .map(|worker| {
                let used: u32 = worker
                    .containers
                    .iter()
                    .filter_map(|id| entries.get(id))
                    .map(|entry| entry.sizing.needs.vcpus)
                    .sum();
                worker.instance_type.vcpus.saturating_sub(used) as usize
            })
            .sum();
        let largest = self
            .settings
            .types
            .values()
            .map(|it| it.vcpus as usize)
            .max()
            .unwrap_or(0);
        let creatable = match (&pool.hold, pool.instance_limit) {
            (Some(_), _) => 0,
            (None, Some(limit)) => limit.saturating_sub(pool.workers.len()),
            (None, None) => MOST_ROWS,
        };
        free.saturating_add(creatable.saturating_mul(largest))
            .min(MOST_ROWS)
    }

    fn tell_queue(&mut self, event: queue::Event, now: Now) {
        let queue::Effects { requests, facts } = self.queue.handle(event, now);
        self.pending
            .commands
            .extend(requests.into_iter().map(Command::Api));
        self.pending
            .facts
            .extend(facts.into_iter().map(Fact::Queue));
    }

    fn tell_pool(&mut self, event: pool::Event, now: Now) {
        let pool::Effects { actions, facts } = self.pool.handle(event, now);
        self.pending
            .commands
            .extend(actions.into_iter().map(Command::Pool));
        for fact in facts {
            let ended = match &fact {
                pool::Fact::Worker {
                    news: pool::WorkerNews::RunnerEnded { container, .. },
                    ..
                } => Some(container.clone()),
                _ => None,
            };
            self.pending.facts.push(Fact::Pool(fact));
            // How it ended is the API's to say: ask now instead of at the next poll.
            if let Some(container) = ended {
                self.tell_queue(queue::Event::Refresh(container), now);
            }
        }
    }

    fn violation(&mut self, container: Option<ContainerId>, message: String) {
        assert!(!self.settings.strict, "invariant: {message}");
        self.violations += 1;
        self.set_aside.extend(container.clone());
        self.note(BrainNews::Violation { container, message });
    }

    fn note(&mut self, news: BrainNews) {
        self.pending.facts.push(Fact::Brain(news));
    }

    fn again_at(&mut self, at: Option<Time>) {
        self.plan_again_at = [self.plan_again_at, at].into_iter().flatten().min();
    }
}

/// More queued rows than this are never asked for: what a poll brings must fit into memory and time.
const MOST_ROWS: usize = 20_000;
