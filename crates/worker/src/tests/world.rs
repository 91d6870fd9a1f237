//! A small world for storms: a cloud, instances and runners, whose answers come late, in any order, twice, or never.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use dispatch_model::{
    CapacityScope, CloudErrorClass, ContainerId, InstanceId, InstanceSecret, RefusalScope,
    RunnerReport, Time, WorkerId,
};

use super::script::failure;
use crate::{
    Action, Event, ListWhen, ListedInstance, ProbeFailure, ProbeOrder, ProbeReport, SignalOutcome,
};

/// Luck from one seed.
pub(crate) struct Luck(u64);

impl Luck {
    pub(crate) fn new(seed: u64) -> Luck {
        Luck(seed)
    }

    pub(crate) fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % n
    }

    pub(crate) fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    pub(crate) fn pick<T: Clone>(&mut self, of: &[T]) -> Option<T> {
        let n = u64::try_from(of.len()).ok().filter(|n| *n > 0)?;
        of.get(usize::try_from(self.below(n)).ok()?).cloned()
    }
}

/// What is really there.
pub(crate) struct Instance {
    pub(crate) tags: BTreeMap<String, String>,
    pub(crate) born: Time,
    /// Silent from here on.
    pub(crate) dead_from: Option<Time>,
    pub(crate) broken: bool,
    pub(crate) never_boots: bool,
    pub(crate) runners: BTreeMap<ContainerId, Runner>,
}

/// A runner that is really there.
pub(crate) struct Runner {
    pub(crate) gpus: Vec<u32>,
    pub(crate) unkillable: bool,
}

/// The cloud and all that runs in it.
pub(crate) struct World {
    pub(crate) luck: Luck,
    pub(crate) instances: BTreeMap<InstanceId, Instance>,
    by_worker: BTreeMap<WorkerId, InstanceId>,
    /// The weather: no more faults when it is calm.
    pub(crate) calm: bool,
    due: BTreeMap<(Time, u64), Event>,
    n_events: u64,
    n_instances: u64,
}

impl World {
    pub(crate) fn new(seed: u64) -> World {
        World {
            luck: Luck::new(seed),
            instances: BTreeMap::new(),
            by_worker: BTreeMap::new(),
            calm: false,
            due: BTreeMap::new(),
            n_events: 0,
            n_instances: 0,
        }
    }

    fn fault(&mut self, percent: u64) -> bool {
        !self.calm && self.luck.percent(percent)
    }

    /// When the next answer comes.
    pub(crate) fn next(&self) -> Option<Time> {
        self.due.keys().next().map(|(at, _)| *at)
    }

    pub(crate) fn take(&mut self, now: Time) -> Option<Event> {
        let entry = self
            .due
            .first_entry()
            .filter(|entry| entry.key().0 <= now)?;
        Some(entry.remove())
    }

    fn answer(&mut self, event: Event, now: Time) {
        if self.fault(3) {
            return;
        }
        let late = if self.fault(5) { 60_000 } else { 1_500 };
        let copies = if self.fault(5) { 2 } else { 1 };
        for _ in 0..copies {
            let delay = Duration::from_millis(1 + self.luck.below(late));
            self.n_events += 1;
            self.due.insert((now + delay, self.n_events), event.clone());
        }
    }

    /// What the instance of this worker is, if it answers.
    fn reachable(&mut self, worker: WorkerId, now: Time) -> Option<&mut Instance> {
        let id = self.by_worker.get(&worker)?;
        let instance = self.instances.get_mut(id)?;
        let dead = instance.dead_from.is_some_and(|at| at <= now);
        (!dead && now.since(instance.born) > Duration::from_secs(3)).then_some(instance)
    }

    /// Obeys one action: what it does happens at once or not at all, its answer comes when it comes.
    pub(crate) fn obey(&mut self, action: Action, now: Time) {
        match action {
            Action::List { call, .. } => {
                let result = if self.fault(10) {
                    Err(failure(CloudErrorClass::Transient, "list"))
                } else {
                    Ok(self.listing(now))
                };
                self.answer(Event::Listed { call, result }, now);
            }
            Action::Create {
                call,
                worker,
                instance_type,
                mut tags,
                secret,
                ..
            } => {
                let class = match self.luck.below(if self.calm { 1 } else { 15 }) {
                    1 => Some(CloudErrorClass::Transient),
                    2 => Some(CloudErrorClass::Quota),
                    3 => Some(CloudErrorClass::Capacity(CapacityScope::Type)),
                    4 => Some(CloudErrorClass::RateLimited(now + Duration::from_secs(2))),
                    5 => Some(CloudErrorClass::Refused),
                    8 => Some(CloudErrorClass::RefusedWidely(RefusalScope::Everything)),
                    6 | 7 => Some(CloudErrorClass::OutcomeUnknown),
                    _ => None,
                };
                let made = match class {
                    None => true,
                    Some(CloudErrorClass::OutcomeUnknown) => self.luck.percent(50),
                    Some(_) => false,
                };
                let mut listed = None;
                if made {
                    tags.insert("PInstanceSecret".to_owned(), secret.reveal().to_owned());
                    let id = self.add(tags, now);
                    listed = Some(self.describe(&id, now));
                }
                let result = match class {
                    None => Ok(listed.expect("it was made")),
                    Some(class) => Err(failure(class, "create")),
                };
                let answer = Event::Created {
                    call,
                    worker,
                    result,
                };
                self.answer(answer, now);
                let _ = instance_type;
            }
            Action::Destroy {
                call,
                worker,
                instance,
                ..
            } => {
                let result = if self.fault(20) {
                    Err(failure(CloudErrorClass::Transient, "destroy"))
                } else {
                    // Sometimes it is said to be done and is not.
                    if !self.fault(10) {
                        self.instances.remove(&instance);
                    }
                    Ok(())
                };
                let answer = Event::Destroyed {
                    call,
                    worker,
                    result,
                };
                self.answer(answer, now);
            }
            Action::SetTags {
                call,
                worker,
                instance,
                tags,
                ..
            } => {
                let result = if self.fault(10) {
                    Err(failure(CloudErrorClass::Transient, "tags"))
                } else {
                    if let Some(instance) = self.instances.get_mut(&instance) {
                        instance.tags.extend(tags);
                    }
                    Ok(())
                };
                let answer = Event::Tagged {
                    call,
                    worker,
                    result,
                };
                self.answer(answer, now);
            }
            Action::Attach {
                worker, instance, ..
            } => {
                self.by_worker.insert(worker, instance);
            }
            Action::Detach { worker } => {
                self.by_worker.remove(&worker);
            }
            Action::Probe {
                call,
                worker,
                order,
            } => {
                let report = self.probe(worker, &order, now);
                let answer = Event::Probed {
                    call,
                    worker,
                    report,
                };
                self.answer(answer, now);
            }
            Action::Start {
                call,
                worker,
                container,
                gpus,
                ..
            } => {
                let fails = self.fault(10);
                let works = !fails || self.luck.percent(50);
                let unkillable = self.fault(10);
                let runner = Runner { gpus, unkillable };
                if let Some(instance) = self.reachable(worker, now)
                    && works
                {
                    instance.runners.insert(container.clone(), runner);
                }
                let answer = Event::Started {
                    call,
                    worker,
                    container,
                    result: if fails {
                        Err("broken pipe".to_owned())
                    } else {
                        Ok(())
                    },
                };
                self.answer(answer, now);
            }
            Action::Signal {
                call,
                worker,
                container,
                ..
            } => {
                let fails = self.fault(20);
                let outcome = match self.reachable(worker, now) {
                    _ if fails => SignalOutcome::Failed("broken pipe".to_owned()),
                    None => SignalOutcome::Failed("connection refused".to_owned()),
                    Some(instance) => match instance.runners.get(&container) {
                        Some(runner) if runner.unkillable => SignalOutcome::StillThere,
                        Some(_) | None => {
                            instance.runners.remove(&container);
                            SignalOutcome::Gone
                        }
                    },
                };
                let answer = Event::Signalled {
                    call,
                    worker,
                    container,
                    outcome,
                };
                self.answer(answer, now);
            }
            Action::Watch { .. } => {}
        }
    }

    /// Puts an instance there.
    pub(crate) fn add(&mut self, tags: BTreeMap<String, String>, now: Time) -> InstanceId {
        self.n_instances += 1;
        let id = InstanceId::from(format!("i-{}", self.n_instances));
        let never_boots = self.fault(10);
        let instance = Instance {
            tags,
            born: now,
            dead_from: self.fault(15).then(|| now + Duration::from_secs(60)),
            broken: self.fault(5),
            never_boots,
            runners: BTreeMap::new(),
        };
        self.instances.insert(id.clone(), instance);
        id
    }

    /// An instance that another daemon left behind, with a runner on it.
    pub(crate) fn leave_behind(&mut self, n: u64, container: Option<ContainerId>) {
        let tags = [
            ("PInstanceSetID", "set".to_owned()),
            (
                "PInstanceType",
                if n.is_multiple_of(3) { "gone" } else { "small" }.to_owned(),
            ),
            (
                "PIdleBehavior",
                if n.is_multiple_of(4) { "hold" } else { "run" }.to_owned(),
            ),
            ("PInstanceSecret", format!("old-{n}")),
        ];
        let tags = tags.map(|(key, value)| (key.to_owned(), value)).into();
        let id = self.add(tags, Time::ZERO);
        if let (Some(instance), Some(container)) = (self.instances.get_mut(&id), container) {
            let runner = Runner {
                gpus: Vec::new(),
                unkillable: false,
            };
            instance.runners.insert(container, runner);
        }
    }

    fn describe(&self, id: &InstanceId, now: Time) -> ListedInstance {
        let instance = &self.instances[id];
        let has_address = now.since(instance.born) > Duration::from_secs(1);
        ListedInstance {
            id: id.clone(),
            address: if has_address {
                format!("host-{id}")
            } else {
                String::new()
            },
            provider_type: "m.small".to_owned(),
            tags: instance.tags.clone(),
        }
    }

    fn listing(&mut self, now: Time) -> Vec<ListedInstance> {
        let ids: Vec<InstanceId> = self.instances.keys().cloned().collect();
        let mut listing = Vec::new();
        for id in ids {
            let fresh = now.since(self.instances[&id].born) < Duration::from_secs(10);
            if !(fresh && self.fault(30)) {
                listing.push(self.describe(&id, now));
            }
        }
        listing
    }

    fn probe(&mut self, worker: WorkerId, order: &ProbeOrder, now: Time) -> ProbeReport {
        let failed = |message: &str| ProbeFailure {
            expected_while_booting: true,
            message: message.to_owned(),
            stderr: String::new(),
        };
        let mut report = ProbeReport {
            connected_at: None,
            connect: Err(failed("connection refused")),
            boot: None,
            deploy: None,
            list: None,
            list_took: None,
        };
        let deploy_fails = self.fault(3) && order.deploy;
        let list_fails = self.fault(3);
        let Some(instance) = self.reachable(worker, now) else {
            return report;
        };
        report.connected_at = Some(now);
        report.connect = Ok(());
        let boot_fails = instance.never_boots && order.boot;
        report.boot = Some(if boot_fails {
            Err(failed("degraded"))
        } else {
            Ok(())
        });
        if boot_fails && order.list == ListWhen::IfBooted {
            return report;
        }
        report.deploy = Some(if deploy_fails {
            Err(failed("no space"))
        } else {
            Ok(())
        });
        if deploy_fails {
            return report;
        }
        report.list = Some(if list_fails {
            Err(failed("exit 1"))
        } else {
            Ok(RunnerReport {
                broken: instance.broken,
                alive: instance.runners.keys().cloned().collect(),
                stale: Vec::new(),
            })
        });
        report.list_took = Some(Duration::from_millis(5));
        report
    }

    /// Some runners end by themselves.
    pub(crate) fn end_runners(&mut self, percent: u64) {
        for instance in self.instances.values_mut() {
            let luck = &mut self.luck;
            let ends = |unkillable: bool| !unkillable && luck.percent(percent);
            let mut ends = ends;
            instance
                .runners
                .retain(|_, runner| !ends(runner.unkillable));
        }
    }

    /// Every container that really runs somewhere, and where.
    pub(crate) fn running(&self) -> BTreeMap<ContainerId, BTreeSet<InstanceId>> {
        let mut running: BTreeMap<ContainerId, BTreeSet<InstanceId>> = BTreeMap::new();
        for (id, instance) in &self.instances {
            for container in instance.runners.keys() {
                running
                    .entry(container.clone())
                    .or_default()
                    .insert(id.clone());
            }
        }
        running
    }
}

/// A secret that nobody has had.
pub(crate) fn secret(n: u64) -> InstanceSecret {
    InstanceSecret::new(format!("secret-{n}"))
}
