//! Planning: when a plan is due, and how what repairs and plan say reaches queue and pool.
//!
//! A plan follows from queue, pool, limits, what is not known yet after a start, and time. One that ordered nothing
//! therefore holds until the queue hears something, the pool's revision grows, or the time comes at which it said to
//! plan again. With hundreds of idle instances, whose probes are answered all day, that is nearly always.

use std::{collections::BTreeSet, sync::Arc};

use dispatch_container_queue as queue;
use dispatch_model::{ContainerId, InstanceTypeName, Now, Time, WorkerId};
use dispatch_scheduler::{Limits, Plan, Repair, plan, reconcile};
use dispatch_worker as pool;

use crate::{Brain, BrainNews, guard, limits};

/// More queued rows than this are never asked for: what a poll brings must fit into memory and time.
const MOST_ROWS: usize = 20_000;

impl Brain {
    /// Plans, unless the last plan still holds.
    pub(crate) fn plan_if_due(&mut self, now: Now) {
        let due = self.plan_again_at.is_some_and(|at| at <= now.time);
        let holds = self.plan_holds_at == Some(self.pool.revision());
        if due || !holds {
            self.plan_anew(now);
        } else if self.settings.strict {
            self.assert_nothing_is_missed(now);
        }
    }

    fn plan_anew(&mut self, now: Now) {
        let revision = self.pool.revision();
        self.n_plans += 1;
        self.shown += 1;
        self.plan_again_at = None;
        // Unless something comes of it: then what comes of that must be looked at.
        self.plan_holds_at = Some(revision);
        self.recover(now);
        self.repair(now);
        self.follow_new_plan(now);
    }

    /// What the last plan was made of has not changed: then repairs and plan must come out as they did.
    fn assert_nothing_is_missed(&self, now: Now) {
        let (queue, pool) = (self.queue.snapshot(), self.pool.snapshot());
        let mut recovery = self.recovery.clone();
        recovery.note(pool, now.time);
        assert_eq!(
            recovery, self.recovery,
            "news of an adopted worker was missed"
        );
        let over = recovery.over_since(now.time).is_some();
        assert!(
            self.recovered || !over,
            "the end of the recovery was missed"
        );
        let mut container_limit = self.container_limit;
        let containers = container_limit.current(self.plan.figures.running, now.time);
        let limits = self.limits_with(containers);
        assert_eq!(limits, self.limits, "a change of the limits was missed");
        let repairs = reconcile(queue, pool, &recovery, now);
        assert_eq!(repairs.repairs, [], "a repair was missed");
        let new = plan(queue, pool, &self.settings.types, &limits, &recovery, now);
        let dues = [
            repairs.again_at,
            new.again_at,
            recovery.deadline(now.time),
            container_limit.changes_at(now.time),
        ];
        for due in dues.into_iter().flatten() {
            let known = self.plan_again_at.is_some_and(|at| at <= due);
            assert!(known, "that a plan is due at {due:?} was missed");
        }
        let again_at = self.plan.again_at;
        assert_eq!(Plan { again_at, ..new }, *self.plan, "a plan was missed");
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
        if !repairs.repairs.is_empty() {
            self.plan_holds_at = None;
        }
        for repair in repairs.repairs {
            match repair {
                Repair::Cancel { container, reason } => {
                    // How its instance went says more than that its runner is gone.
                    let death = self.pool.death_of(&container).map(str::to_owned);
                    let reason = death.unwrap_or_else(|| reason.to_string());
                    self.note(BrainNews::Cancelling {
                        container: container.clone(),
                        reason: reason.clone(),
                    });
                    let id = container;
                    self.tell_queue(queue::Event::Cancel { id, reason }, now);
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
        let mut begun = BTreeSet::new();
        for (container, worker) in &plan.start {
            if begun.contains(worker) && self.is_full(*worker) {
                continue;
            }
            self.start(container, *worker, now);
            begun.insert(*worker);
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
        let wanted = queue::Event::WantedRows(self.rows_wanted());
        self.let_queue_hear(wanted, now);
        if !plan.orders_nothing() || plan.figures.running != self.plan.figures.running {
            self.plan_holds_at = None;
        }
        self.plan = Arc::new(plan);
    }

    /// What this plan has begun on a worker may have filled its tag of GPU devices, whose length the planner does not
    /// know (facts K6): it takes no more, and the next plan finds those that are left another place.
    fn is_full(&self, worker: WorkerId) -> bool {
        let view = self.pool.snapshot().workers.get(&worker);
        view.is_some_and(|view| !view.takes_work)
    }

    fn start(&mut self, container: &ContainerId, worker: WorkerId, now: Now) {
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
        let price = (self.settings.types.get(instance_type)).map_or(0.0, |one| one.price);
        match guard::may_create(self.pool.snapshot(), price) {
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
        self.limits_with(containers)
    }

    /// What limits the next plan, given how many containers the API bears.
    fn limits_with(&self, containers: Option<usize>) -> Limits {
        let running = self.plan.figures.running;
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

    fn again_at(&mut self, at: Option<Time>) {
        self.plan_again_at = [self.plan_again_at, at].into_iter().flatten().min();
    }
}
