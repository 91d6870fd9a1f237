//! What holds over many plans: nobody starves, and nobody is unlocked for nothing.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use dispatch_model::{
    ContainerId, ContainerState, IdleBehavior, InstanceTypeName, QueueEntry, RunnerState,
    RunnerView, Time, WorkerId, WorkerState, WorkerView,
};

use crate::testing::{Situation, at, wall};

/// A world that does what the plans say: locks are answered at once, instances boot in `BOOT` seconds and vanish in
/// as many, containers run for as long as they were submitted with.
struct World {
    situation: Situation,
    secs: u64,
    next_worker: u64,
    run_secs: BTreeMap<ContainerId, u64>,
    ends_at: BTreeMap<ContainerId, u64>,
    ready_at: BTreeMap<WorkerId, u64>,
    gone_at: BTreeMap<WorkerId, u64>,
    started_at: BTreeMap<ContainerId, u64>,
    unlocks: BTreeMap<ContainerId, usize>,
}

const BOOT: u64 = 30;

impl World {
    fn new(text: &str) -> World {
        World {
            situation: Situation::read(text),
            secs: 0,
            next_worker: 100,
            run_secs: BTreeMap::new(),
            ends_at: BTreeMap::new(),
            ready_at: BTreeMap::new(),
            gone_at: BTreeMap::new(),
            started_at: BTreeMap::new(),
            unlocks: BTreeMap::new(),
        }
    }

    /// Adds a container, described as in a situation, that runs for so long.
    fn submit(&mut self, words: &str, run_secs: u64) {
        let read = Situation::read(&format!("queued {words} seen={}", self.secs));
        for (id, entry) in read.queue.entries {
            self.run_secs.insert(id.clone(), run_secs);
            self.situation.queue.entries.insert(id, entry);
        }
    }

    /// One second: what is due happens, then a plan is made and followed.
    fn step(&mut self) {
        self.secs += 1;
        let now = at(self.secs);
        self.situation.now = now;
        self.situation.queue.listed_at = Some(now.time);
        for (id, _) in self
            .ends_at
            .extract_if(.., |_, end| *end <= now.time.millis() / 1000)
        {
            self.situation.queue.entries.remove(&id);
            self.situation.pool.runners.remove(&id);
            for worker in self.situation.pool.workers.values_mut() {
                if worker.containers.contains(&id) {
                    let worker = Arc::make_mut(worker);
                    worker.containers.retain(|other| *other != id);
                    if worker.containers.is_empty() {
                        worker.state = WorkerState::Idle;
                    }
                }
            }
        }
        for (id, _) in (self.ready_at).extract_if(.., |_, ready| *ready <= self.secs) {
            let worker = Arc::make_mut(self.situation.pool.workers.get_mut(&id).expect("it boots"));
            worker.state = WorkerState::Idle;
            worker.takes_work = true;
            worker.will_take_work = false;
        }
        for (id, _) in (self.gone_at).extract_if(.., |_, gone| *gone <= self.secs) {
            self.situation.pool.workers.remove(&id);
        }
        self.follow();
    }

    fn follow(&mut self) {
        let plan = self.situation.plan();
        for id in &plan.lock {
            self.change(id, |entry| {
                assert_eq!(entry.state, ContainerState::Queued);
                entry.state = ContainerState::Locked;
                entry.locked_here = true;
            });
        }
        for (id, _) in &plan.unlock {
            *self.unlocks.entry(id.clone()).or_default() += 1;
            self.change(id, |entry| {
                assert_eq!(entry.state, ContainerState::Locked);
                entry.state = ContainerState::Queued;
                entry.locked_here = false;
            });
        }
        for (id, worker_id) in &plan.start {
            self.change(id, |entry| {
                assert_eq!(entry.state, ContainerState::Locked);
                entry.state = ContainerState::Running;
            });
            self.ends_at
                .insert(id.clone(), self.secs + self.run_secs[id]);
            self.started_at.insert(id.clone(), self.secs);
            let runner = RunnerView {
                worker: *worker_id,
                state: RunnerState::Alive,
            };
            self.situation.pool.runners.insert(id.clone(), vec![runner]);
            let worker = self
                .situation
                .pool
                .workers
                .get_mut(worker_id)
                .expect("it is there");
            assert!(worker.takes_work);
            let worker = Arc::make_mut(worker);
            worker.containers.push(id.clone());
            worker.state = WorkerState::Running;
        }
        for create in &plan.create {
            self.create(&create.instance_type);
        }
        for id in &plan.shut_down {
            let worker = self
                .situation
                .pool
                .workers
                .get_mut(id)
                .expect("it is there");
            assert!(worker.containers.is_empty());
            Arc::make_mut(worker).state = WorkerState::Shutdown;
            self.ready_at.remove(id);
            self.gone_at.insert(*id, self.secs + BOOT);
        }
        let n_workers = self.situation.pool.workers.len();
        assert!(
            self.situation
                .pool
                .instance_limit
                .is_none_or(|limit| n_workers <= limit)
        );
    }

    fn create(&mut self, type_name: &InstanceTypeName) {
        let id = WorkerId(self.next_worker);
        self.next_worker += 1;
        let view = WorkerView {
            id,
            instance: Some(format!("i-{}", id.0).into()),
            address: None,
            instance_type: Arc::clone(&self.situation.types[type_name]),
            state: WorkerState::Booting,
            idle_behavior: IdleBehavior::Run,
            containers: Vec::new(),
            takes_work: false,
            will_take_work: true,
            runners_known: true,
            free_gpus: Some(0),
            state_since: Time::from_secs(self.secs),
            last_busy: wall(self.secs),
            last_container: None,
            remark: None,
        };
        self.situation.pool.workers.insert(id, Arc::new(view));
        self.ready_at.insert(id, self.secs + BOOT);
    }

    fn change(&mut self, id: &ContainerId, change: impl FnOnce(&mut QueueEntry)) {
        let entry = self
            .situation
            .queue
            .entries
            .get_mut(id)
            .expect("it is in the queue");
        change(Arc::make_mut(entry));
    }

    fn has_started(&self, id: &str) -> bool {
        self.started_at.contains_key(id)
    }
}

/// At most two workers of `type_name`, both full of small containers, and more of them coming for ever, faster than they end.
/// Then a big one of higher priority arrives. Says when it started.
fn big_among_a_stream_of_small_ones(
    type_name: &str,
    big: &str,
    until: u64,
) -> (World, Option<u64>) {
    let mut world = World::new("instances max=2\nlimit patience=300");
    let mut next = 0;
    for secs in 0..until {
        if secs % 6 == 0 {
            next += 1;
            world.submit(
                &format!("small{next} p1 on={type_name}"),
                40 + (next * 7) % 45,
            );
        }
        if secs == 200 {
            world.submit(big, 60);
        }
        world.step();
    }
    let started = world.started_at.get("big").copied();
    (world, started)
}

#[test]
fn a_steady_stream_of_small_containers_does_not_starve_a_big_one_of_the_same_type() {
    let (world, started) = big_among_a_stream_of_small_ones("type4", "big p9 cpu=4", 1500);
    let started = started.expect("the big one must have started");
    // It lets others pass for 300 s; then at most the longest small one (84 s) has to end.
    assert!((500..=600).contains(&started), "started at {started}");
    assert!(!world.unlocks.contains_key("big"), "{:?}", world.unlocks);
    let meanwhile = (world.started_at.values())
        .filter(|at| (200..started).contains(*at))
        .count();
    assert!(meanwhile > 30, "others went past it meanwhile: {meanwhile}");
}

#[test]
fn a_steady_stream_of_small_containers_does_not_starve_one_that_needs_another_type() {
    let (world, started) = big_among_a_stream_of_small_ones("type4", "big p9 cpu=8", 1500);
    let started = started.expect("the big one must have started");
    // Besides, an instance has to vanish and another to boot.
    assert!((500..=700).contains(&started), "started at {started}");
    assert!(!world.unlocks.contains_key("big"), "{:?}", world.unlocks);
}

#[test]
fn a_whole_backlog_is_worked_off_however_sizes_and_priorities_mix() {
    let mut world = World::new("instances max=4\nlimit patience=60");
    let mut ids = BTreeSet::new();
    for number in 0..120_u64 {
        let cpu = [1, 2, 4, 8][(number % 4) as usize];
        let id = format!("c{number}");
        let on = if number % 3 == 0 {
            "type8"
        } else {
            "type8,type16"
        };
        world.submit(
            &format!("{id} p{} cpu={cpu} on={on}", number % 7 + 1),
            20 + number % 50,
        );
        ids.insert(id);
    }
    for _ in 0..4000 {
        world.step();
        if world.situation.queue.entries.is_empty() {
            break;
        }
    }
    let left: Vec<&String> = ids.iter().filter(|id| !world.has_started(id)).collect();
    assert!(left.is_empty(), "never started: {left:?}");
    assert!(
        world.unlocks.values().all(|n| *n <= 1),
        "{:?}",
        world.unlocks
    );
}

#[test]
fn with_equal_priorities_at_quota_nobody_is_unlocked_more_than_once() {
    // Facts §6.2, 17: eight containers, quota 2. All were locked before the quota was known.
    let mut world = World::new("instances max=2");
    for number in 0..8 {
        world.submit(&format!("c{number} p5 on=type1"), 100);
        world.change(&format!("c{number}").into(), |entry| {
            entry.state = ContainerState::Locked;
            entry.locked_here = true;
        });
    }
    for _ in 0..30 {
        world.step();
    }
    assert_eq!(world.situation.pool.workers.len(), 2);
    assert!(
        world.unlocks.values().all(|n| *n == 1),
        "{:?}",
        world.unlocks
    );
    assert_eq!(
        world.unlocks.len(),
        5,
        "all but the two with an instance and the next in line"
    );
    for _ in 0..1000 {
        world.step();
    }
    assert_eq!(world.started_at.len(), 8);
    assert!(
        world.unlocks.values().all(|n| *n == 1),
        "{:?}",
        world.unlocks
    );
}

#[test]
fn a_lock_leads_to_a_start_in_the_next_plan() {
    let mut world = World::new("worker 1 type8 idle");
    for number in 0..8 {
        world.submit(&format!("c{number} on=type8"), 100);
    }
    world.step();
    assert!(world.started_at.is_empty());
    world.step();
    assert_eq!(world.started_at.len(), 8);
}

#[test]
fn instances_are_created_once_for_each_that_needs_one() {
    let mut world = World::new("");
    for number in 0..50 {
        world.submit(&format!("c{number} cpu=2 on=type4"), 100);
    }
    for _ in 0..BOOT + 5 {
        world.step();
    }
    assert_eq!(world.next_worker, 125, "two fit on each");
    assert_eq!(world.started_at.len(), 50);
}
