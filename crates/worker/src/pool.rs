//! The pool: every worker, and what keeps new ones from being created.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use dispatch_model::{
    ContainerId, Hold, HoldCause, InstanceId, InstanceType, InstanceTypeName, Now, PoolSnapshot,
    RunnerState, RunnerView, Time, WorkerId, WorkerState,
};

use crate::{
    BootOutcome, Effects, Event, PoolNews, Settings,
    creates::Creates,
    desk::Desk,
    fallback::Fallbacks,
    holds::Holds,
    lists::Lists,
    lost::Lost,
    probation::Probation,
    survey::typical_boot,
    view::matters,
    worker::{Worker, WorkerEvent},
};

/// Every instance we have, as we know it.
///
/// Workers decide for themselves (`worker.rs`). The pool hands events to them, keeps the tickets (`creates.rs`), reads
/// the cloud's lists (`survey.rs`, `lists.rs`), knows what holds creation back (`holds.rs`), and keeps the snapshot up
/// to date at the cost of each change, not of the whole.
#[derive(Debug)]
pub struct Pool {
    pub(crate) types: BTreeMap<InstanceTypeName, Arc<InstanceType>>,
    pub(crate) desk: Desk,
    pub(crate) workers: BTreeMap<WorkerId, Worker>,
    pub(crate) by_instance: BTreeMap<InstanceId, WorkerId>,
    pub(crate) creates: Creates,
    pub(crate) holds: Holds,
    pub(crate) probation: Probation,
    pub(crate) lists: Lists,
    /// Instances that are not ours and have been mentioned.
    pub(crate) ignored: BTreeSet<InstanceId>,
    /// Instances that are gone because somebody ended them, and since when: stale lists may still show them.
    pub(crate) departed: BTreeMap<InstanceId, Time>,
    /// Instances that are gone although nobody here ended them, and the cloud has not said why.
    pub(crate) lost: BTreeMap<InstanceId, Lost>,
    /// How long instances of a type take to boot.
    pub(crate) typical_boots: BTreeMap<InstanceTypeName, std::time::Duration>,
    /// Of containers whose instance is gone: how it went, in words for their owners, until that has been dealt with.
    pub(crate) deaths: BTreeMap<ContainerId, String>,
    pub(crate) snapshot: PoolSnapshot,
    pub(crate) revision: u64,
    /// Changes of the snapshot that no planner cares about.
    n_asides: u64,
    /// The cause of the hold on any type that has been told and has not ended.
    told_hold: Option<HoldCause>,
    /// The refusal for quota that has been told: as instances come and go, it holds creation again and again, which is
    /// no news.
    told_refusal: Option<Time>,
    /// The deadlines of workers, and which of them is in `deadlines`.
    timers: BTreeSet<(Time, WorkerId)>,
    deadlines: BTreeMap<WorkerId, Time>,
    /// Each worker's runners as they are in the snapshot.
    published: BTreeMap<WorkerId, BTreeMap<ContainerId, RunnerState>>,
    last_worker: u64,
}

impl Pool {
    /// An empty pool, which begins with asking for a list.
    pub fn new(settings: Settings, types: BTreeMap<InstanceTypeName, Arc<InstanceType>>) -> Pool {
        let fallbacks = Fallbacks::new(settings.spot_fallback, &types);
        let mut holds = Holds::new(settings.max_instances, settings.boot_timeout, fallbacks);
        for (name, group) in &settings.quota_groups {
            holds.set_group(name.clone(), group.clone());
        }
        Pool {
            types,
            lists: Lists::new(settings.sync_interval),
            snapshot: PoolSnapshot {
                instance_limit: settings.max_instances,
                price_limit: settings.max_price_per_hour,
                ..PoolSnapshot::default()
            },
            desk: Desk::new(settings),
            workers: BTreeMap::new(),
            by_instance: BTreeMap::new(),
            creates: Creates::default(),
            holds,
            probation: Probation::new(),
            ignored: BTreeSet::new(),
            departed: BTreeMap::new(),
            lost: BTreeMap::new(),
            typical_boots: BTreeMap::new(),
            deaths: BTreeMap::new(),
            revision: 0,
            n_asides: 0,
            told_hold: None,
            told_refusal: None,
            timers: BTreeSet::new(),
            deadlines: BTreeMap::new(),
            published: BTreeMap::new(),
            last_worker: 0,
        }
    }

    /// Takes one event in and fires the deadlines that are due.
    pub fn handle(&mut self, event: Event, now: Now) -> Effects {
        let time = now.time.max(self.desk.now.time);
        self.desk.now = Now { time, ..now };
        self.holds.expire(time);
        self.route(event);
        self.fire_timers();
        self.call_those_in_line();
        self.learn_from_boots();
        self.advance_creates();
        self.advance_lists();
        self.publish_holds();
        std::mem::take(&mut self.desk.effects)
    }

    /// When to send `Event::Tick` if nothing else happens first.
    pub fn deadline(&self) -> Option<Time> {
        let worker = self.timers.first().map(|(at, _)| *at);
        let others = [
            self.creates.deadline(self.desk.time()),
            self.holds.deadline(),
            worker,
        ];
        let first = others.into_iter().flatten().min();
        Some(first.map_or(self.lists.deadline(), |at| at.min(self.lists.deadline())))
    }

    /// The pool as it is, kept up to date with each event. Cloning it for readers is cheap: views are shared.
    pub fn snapshot(&self) -> &PoolSnapshot {
        &self.snapshot
    }

    /// Grows with each change of the snapshot that a planner could care about: plan again when it has.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// Grows with each change of the snapshot.
    pub fn shown(&self) -> u64 {
        self.revision + self.n_asides
    }

    /// The worker that is our view of this instance.
    pub fn worker_of(&self, instance: &InstanceId) -> Option<WorkerId> {
        self.by_instance.get(instance).copied()
    }

    /// How the instance went that this container's runner was on, in words for its owner: by the cloud's own word, or
    /// why it was shut down here; `None` if its instance is not gone.
    pub fn death_of(&self, container: &ContainerId) -> Option<&str> {
        self.deaths.get(container).map(String::as_str)
    }

    fn route(&mut self, event: Event) {
        match event {
            Event::Create {
                instance_type,
                secret,
            } => self.order(instance_type, secret),
            Event::ShutDown { worker, reason } => match self.workers.get(&worker) {
                Some(found) if found.is_droppable_order() => self.abandon(worker, reason),
                Some(_) | None => self.with_worker(worker, WorkerEvent::ShutDown(reason)),
            },
            Event::Start {
                worker,
                container,
                sizing,
            } => self.start(worker, container, sizing),
            Event::Kill {
                container,
                worker: Some(worker),
                reason,
            } => self.with_worker(worker, WorkerEvent::Kill(container, reason)),
            Event::Kill {
                container,
                worker: None,
                reason,
            } => {
                for worker in self.workers_of(&container) {
                    let event = WorkerEvent::Kill(container.clone(), reason.clone());
                    self.with_worker(worker, event);
                }
                self.forget_orphaned_exits(&container);
            }
            Event::Forget { container } => {
                for worker in self.workers_of(&container) {
                    self.with_worker(worker, WorkerEvent::Forget(container.clone()));
                }
                self.forget_orphaned_exits(&container);
            }
            Event::SetIdleBehavior { worker, behavior } => {
                self.with_worker(worker, WorkerEvent::SetIdleBehavior(behavior));
            }
            Event::KillInstance { worker, reason } => match self.workers.get(&worker) {
                Some(found) if found.instance.is_none() => self.abandon(worker, reason),
                Some(_) | None => self.with_worker(worker, WorkerEvent::KillInstance(reason)),
            },
            Event::Listed { call, result } => self.listed(call, result),
            Event::Created {
                call,
                worker: _,
                result,
            } => self.created(call, result),
            Event::Destroyed {
                call,
                worker,
                result,
            } => self.with_worker(worker, WorkerEvent::Destroyed(call, result)),
            Event::Tagged {
                call,
                worker,
                result,
            } => self.with_worker(worker, WorkerEvent::Tagged(call, result)),
            Event::Probed {
                call,
                worker,
                report,
            } => self.with_worker(worker, WorkerEvent::Probed(call, report)),
            Event::Started {
                call,
                worker,
                container,
                result,
            } => self.with_worker(worker, WorkerEvent::Started(call, container, result)),
            Event::Signalled {
                call,
                worker,
                container,
                outcome,
            } => self.with_worker(worker, WorkerEvent::Signalled(call, container, outcome)),
            Event::Ended { worker, container } => {
                self.with_worker(worker, WorkerEvent::Ended(container));
            }
            Event::WatchLost { worker } => self.with_worker(worker, WorkerEvent::WatchLost),
            Event::Died(end) => self.died(end),
            Event::QuotaGroups(groups) => self.learn_groups(groups),
            Event::RunnerBinary(result) => self.holds.runner_unreadable = result.err(),
            Event::Stopping => {
                self.holds.stopping = true;
                self.desk.stopping = true;
            }
            Event::Tick => {}
        }
    }

    fn learn_groups(&mut self, groups: BTreeMap<String, String>) {
        // Clouds do not care for the case of their types' names.
        let groups: BTreeMap<String, String> = groups
            .into_iter()
            .map(|(name, group)| (name.to_ascii_lowercase(), group))
            .collect();
        for (name, instance_type) in &self.types {
            if let Some(group) = groups.get(&instance_type.provider_type.to_ascii_lowercase()) {
                self.holds.set_group(name.clone(), group.clone());
            }
        }
    }

    /// A container runs on one worker at a time, and not again before its last exit has been dealt with.
    fn start(
        &mut self,
        worker: WorkerId,
        container: ContainerId,
        sizing: Arc<dispatch_model::Sizing>,
    ) {
        if self.snapshot.runners.contains_key(&container) {
            if let Some(found) = self.workers.get(&worker) {
                let reason = "a runner of it is in the books".to_owned();
                let news = crate::WorkerNews::StartRefused { container, reason };
                found.tell(news, &mut self.desk);
            }
            return;
        }
        self.with_worker(worker, WorkerEvent::Start(container, sizing));
    }

    fn workers_of(&self, container: &ContainerId) -> Vec<WorkerId> {
        let views = self.snapshot.runners.get(container);
        views.map_or_else(Vec::new, |views| {
            views.iter().map(|view| view.worker).collect()
        })
    }

    pub(crate) fn next_worker_id(&mut self) -> WorkerId {
        self.last_worker += 1;
        WorkerId(self.last_worker)
    }

    /// Puts a new worker in the books; its first event brings it into the snapshot.
    pub(crate) fn insert(&mut self, worker: Worker) {
        self.workers.insert(worker.id, worker);
        self.desk.sweep.n_workers = self.workers.len();
    }

    /// Hands an event to a worker; to one that is gone it means nothing any more.
    pub(crate) fn with_worker(&mut self, id: WorkerId, event: WorkerEvent) {
        if let Some(worker) = self.workers.get_mut(&id) {
            worker.handle(event, &mut self.desk);
            self.refresh(id);
        }
    }

    /// Brings snapshot and timers up to date with one worker.
    pub(crate) fn refresh(&mut self, id: WorkerId) {
        let Some(worker) = self.workers.get(&id) else {
            return;
        };
        let view = worker.view();
        let old = self.snapshot.workers.get(&id);
        if old.is_none_or(|old| **old != view) {
            let news = old.is_none_or(|old| matters(old, &view));
            *(if news {
                &mut self.revision
            } else {
                &mut self.n_asides
            }) += 1;
            self.snapshot.workers.insert(id, Arc::new(view));
        }
        let awaited = match worker.state {
            _ if worker.instance.is_none() => self.creates.is_unsure(id),
            WorkerState::Unknown | WorkerState::Booting => worker.address.is_none(),
            WorkerState::Shutdown => {
                let ending = worker.ending.as_ref();
                ending.is_some_and(|ending| ending.accepted)
            }
            WorkerState::Idle | WorkerState::Running => false,
        };
        self.lists.await_news(id, awaited, self.desk.time());
        let deadline = worker.deadline(&self.desk);
        let runners = worker.runner_states();
        self.set_timer(id, deadline);
        self.publish_runners(id, runners);
    }

    fn set_timer(&mut self, id: WorkerId, deadline: Option<Time>) {
        let now = self.desk.time();
        debug_assert!(
            deadline.is_none_or(|at| at > now),
            "{id} is due at {deadline:?} and has been dealt with at {now}"
        );
        // Never again within the same millisecond, lest a mistake here keeps the whole daemon busy.
        let soonest = Time::from_millis(now.millis() + 1);
        let deadline = deadline.map(|at| at.max(soonest));
        if let Some(old) = self.deadlines.remove(&id) {
            self.timers.remove(&(old, id));
        }
        if let Some(at) = deadline {
            self.deadlines.insert(id, at);
            self.timers.insert((at, id));
        }
    }

    fn fire_timers(&mut self) {
        while let Some((at, id)) = self.timers.first().copied()
            && at <= self.desk.time()
        {
            self.with_worker(id, WorkerEvent::Tick);
        }
    }

    /// Lets those destroy whose turn has come.
    fn call_those_in_line(&mut self) {
        while !self.desk.stopping
            && let Some(id) = self.desk.destroys.next()
        {
            self.with_worker(id, WorkerEvent::Tick);
            if self.desk.destroys.next() == Some(id) {
                // Whatever keeps it from calling keeps nobody else.
                debug_assert!(false, "{id} stands in line and does not call");
                self.desk.destroys.leave(id);
            }
        }
    }

    pub(crate) fn publish_runners(
        &mut self,
        id: WorkerId,
        new: BTreeMap<ContainerId, RunnerState>,
    ) {
        let old = self.published.get(&id);
        if old.map_or(new.is_empty(), |old| *old == new) {
            return;
        }
        self.revision += 1;
        let old = self.published.remove(&id).unwrap_or_default();
        for container in old.keys().filter(|container| !new.contains_key(*container)) {
            if let Some(views) = self.snapshot.runners.get_mut(container) {
                views.retain(|view| view.worker != id);
                if views.is_empty() {
                    self.snapshot.runners.remove(container);
                }
            }
        }
        for (container, state) in &new {
            let views = self.snapshot.runners.entry(container.clone()).or_default();
            match views.iter_mut().find(|view| view.worker == id) {
                Some(view) => view.state = *state,
                None => views.push(RunnerView {
                    worker: id,
                    state: *state,
                }),
            }
        }
        if !new.is_empty() {
            self.published.insert(id, new);
        }
    }

    /// Takes a worker out. Exits on it stay in the snapshot until they have been dealt with.
    pub(crate) fn remove(&mut self, id: WorkerId) {
        if let Some(worker) = self.workers.remove(&id) {
            self.holds.trial_over(&worker.instance_type.name, id);
            self.snapshot.workers.remove(&id);
            self.published.remove(&id);
            self.lists.await_news(id, false, self.desk.time());
            self.desk.destroys.leave(id);
            self.set_timer(id, None);
            self.desk.sweep.n_workers = self.workers.len();
            self.revision += 1;
        }
    }

    fn learn_from_boots(&mut self) {
        let now = self.desk.time();
        for boot in std::mem::take(&mut self.desk.boots) {
            if !boot.created {
                continue;
            }
            self.holds.booted(&boot, now);
            if boot.outcome == BootOutcome::Success {
                let before = self.typical_boots.get(&boot.instance_type).copied();
                let typical = typical_boot(before, boot.took);
                self.typical_boots.insert(boot.instance_type, typical);
            }
        }
    }

    /// Brings the holds in the snapshot up to date, and tells of those that began or ended.
    fn publish_holds(&mut self) {
        let any = self.holds.any(self.workers.len());
        let cheapest = (self.types.values().map(|one| one.price)).min_by(f64::total_cmp);
        let any = any.or_else(|| self.spending_hold(cheapest?));
        self.tell_hold(any.as_ref());
        self.snapshot.hold = any;
        let mut held = BTreeMap::new();
        if self.holds.any_type() || self.snapshot.price_limit.is_some() {
            let types = self.types.values();
            held = types
                .filter_map(|one| Some((one.name.clone(), self.hold_of_type(one)?)))
                .collect();
        }
        let old = std::mem::take(&mut self.snapshot.type_holds);
        for name in self.types.keys() {
            if !old.is_empty() || !held.is_empty() {
                let (old, new) = (old.get(name), held.get(name));
                self.revision += u64::from(old != new);
                let old = old.map(|hold| hold.cause);
                tell_hold(&mut self.desk, Some(name), old, new);
            }
        }
        let now = self.desk.time();
        if !held.is_empty() || !self.snapshot.substitutes.is_empty() || self.holds.shares_any() {
            let substitutes = self.holds.substitutes(&held, now);
            self.revision += u64::from(substitutes != self.snapshot.substitutes);
            self.snapshot.substitutes = substitutes;
        }
        self.snapshot.type_holds = held;
        let limit = self.holds.limit();
        self.revision += u64::from(limit != self.snapshot.instance_limit);
        self.snapshot.instance_limit = limit;
        let at_once = Some(self.probation.at_once() + self.creates.slow(now));
        self.revision += u64::from(at_once != self.snapshot.orders_at_once);
        self.snapshot.orders_at_once = at_once;
    }

    /// What keeps instances of this type from being created, whatever there is of others.
    pub(crate) fn hold_of_type(&self, instance_type: &InstanceType) -> Option<Hold> {
        let price = instance_type.price;
        if let Some(limit) = self.snapshot.price_limit
            && self.snapshot.is_too_dear(price)
        {
            return Some(Hold {
                cause: HoldCause::TooDear,
                until: None,
                detail: format!("one costs ${price:.3} an hour; MaxPricePerHour is {limit}"),
            });
        }
        self.holds.of_type(instance_type, None)
    }

    /// What keeps an instance of this price from being created.
    pub(crate) fn spending_hold(&self, price: f64) -> Option<Hold> {
        let limit = self.snapshot.price_limit?;
        let prices = (self.workers.values()).map(|worker| worker.instance_type.price);
        let spent = prices.fold(0.0, |sum, price| sum + price);
        (!self.snapshot.affords(spent, price)).then(|| Hold {
            cause: HoldCause::SpendingLimit,
            until: None,
            detail: format!("all instances cost ${spent:.3} an hour; MaxPricePerHour is {limit}"),
        })
    }

    /// Tells of a hold on any type. One for quota is told once for each time the cloud has refused.
    fn tell_hold(&mut self, new: Option<&Hold>) {
        self.revision += u64::from(self.snapshot.hold.as_ref() != new);
        let refusal = self.holds.quota_refused_at();
        let is_quota = new.is_some_and(|hold| hold.cause == HoldCause::Quota);
        let goes_on = self.told_hold == Some(HoldCause::Quota);
        let is_known = is_quota && !goes_on && refusal == self.told_refusal;
        let told = new.filter(|_| !is_known);
        if is_quota {
            self.told_refusal = refusal;
        }
        tell_hold(&mut self.desk, None, self.told_hold, told);
        self.told_hold = told.map(|hold| hold.cause);
    }
}

/// Tells of a hold that began or ended. One that only lasts longer is no news.
fn tell_hold(
    desk: &mut Desk,
    name: Option<&InstanceTypeName>,
    old_cause: Option<HoldCause>,
    new: Option<&Hold>,
) {
    if old_cause == new.map(|hold| hold.cause) {
        return;
    }
    if let Some(cause) = old_cause {
        desk.tell(PoolNews::HoldEnded {
            instance_type: name.cloned(),
            cause,
        });
    }
    if let Some(hold) = new {
        desk.tell(PoolNews::HoldBegan {
            instance_type: name.cloned(),
            hold: hold.clone(),
        });
    }
}
