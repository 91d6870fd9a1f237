//! The brain: takes in what has happened, lets the four that decide do so, and says what to do.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use dispatch_container_queue as queue;
use dispatch_model::{ContainerId, Now, Time};
use dispatch_scheduler::{InstanceTypes, Limits, Plan, Recovery};
use dispatch_worker as pool;

use crate::{
    BrainNews, Command, Fact, Input, NotFound, Snapshot, SupervisorShare, Wish,
    limits::ContainerLimit, secrets::Secrets,
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
    pub(crate) settings: Settings,
    pub(crate) queue: queue::View,
    pub(crate) pool: pool::Pool,
    pub(crate) recovery: Recovery,
    pub(crate) container_limit: ContainerLimit,
    pub(crate) secrets: Secrets,
    stopping: bool,
    pub(crate) recovered: bool,
    pub(crate) set_aside: BTreeSet<ContainerId>,
    violations: u64,
    /// What has come up since the last step.
    pending: Step,
    pub(crate) plan: Arc<Plan>,
    /// The limits that the last plan was made with.
    pub(crate) limits: Limits,
    pub(crate) plan_again_at: Option<Time>,
    /// The last plan holds while this is the pool's revision; `None`: it does not.
    pub(crate) plan_holds_at: Option<u64>,
    pub(crate) n_plans: u64,
    /// Something has come in since the last step.
    heard: bool,
    /// Grows with what readers see of all but the pool.
    pub(crate) shown: u64,
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
            plan_holds_at: None,
            n_plans: 0,
            heard: true,
            shown: 0,
            settings,
        }
    }

    /// Takes in one thing that happened.
    pub fn take(&mut self, input: Input, now: Now) {
        self.heard = true;
        match input {
            Input::Queue(event) => self.tell_queue(event, now),
            Input::Pool(event) => self.tell_pool(event, now),
            Input::ApiOverloaded => {
                let running = self.plan.figures.running;
                self.container_limit.overloaded(now.time, running);
                self.plan_holds_at = None;
            }
            Input::Stop => {
                self.stopping = true;
                self.tell_pool(pool::Event::Stopping, now);
            }
        }
    }

    /// Takes in an operator's wish; what it leads to comes with the next step.
    pub fn wish(&mut self, wish: Wish, now: Now) -> Result<(), NotFound> {
        self.heard = true;
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

    /// Fires the deadlines that are due, plans once if the last plan may not hold any more, and says what to do.
    pub fn step(&mut self, now: Now) -> Step {
        if self.queue.deadline().is_some_and(|at| at <= now.time) {
            self.tell_queue(queue::Event::Tick, now);
            self.heard = true;
        }
        if self.pool.deadline().is_some_and(|at| at <= now.time) {
            self.tell_pool(pool::Event::Tick, now);
            self.heard = true;
        }
        self.heard |= self.plan_again_at.is_some_and(|at| at <= now.time);
        if std::mem::take(&mut self.heard) && !self.stopping {
            self.plan_if_due(now);
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

    /// Grows when readers would see something new in a snapshot: most answers of idle instances are no news.
    pub fn revision(&self) -> u64 {
        self.shown + self.pool.shown()
    }

    /// How many plans have been made.
    pub fn n_plans(&self) -> u64 {
        self.n_plans
    }

    /// The dispatcher as it is, for readers.
    pub fn snapshot(&self) -> Snapshot {
        let queue = self.queue.snapshot().clone();
        let details = queue
            .entries
            .keys()
            .filter_map(|id| Some((id.clone(), Arc::clone(self.queue.details(id)?))))
            .collect();
        Snapshot {
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

    /// Whatever the queue hears, the last plan may not hold any more.
    pub(crate) fn tell_queue(&mut self, event: queue::Event, now: Now) {
        self.plan_holds_at = None;
        self.shown += 1;
        self.let_queue_hear(event, now);
    }

    /// For what changes no container.
    pub(crate) fn let_queue_hear(&mut self, event: queue::Event, now: Now) {
        let queue::Effects { requests, facts } = self.queue.handle(event, now);
        self.pending
            .commands
            .extend(requests.into_iter().map(Command::Api));
        self.pending
            .facts
            .extend(facts.into_iter().map(Fact::Queue));
    }

    pub(crate) fn tell_pool(&mut self, event: pool::Event, now: Now) {
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

    pub(crate) fn violation(&mut self, container: Option<ContainerId>, message: String) {
        assert!(!self.settings.strict, "invariant: {message}");
        self.violations += 1;
        self.set_aside.extend(container.clone());
        self.note(BrainNews::Violation { container, message });
    }

    pub(crate) fn note(&mut self, news: BrainNews) {
        self.pending.facts.push(Fact::Brain(news));
    }
}
