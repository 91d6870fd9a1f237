//! A render farm that plans with this crate: its jobs are frames of a film, and nothing here is about Arvados.
//!
//! The farm is simulated: virtual machines boot in a minute, frames take minutes, and the clock is a number. What is
//! real is the loop: change the two snapshots as the world changes, ask for a plan, follow it.

#![expect(
    clippy::print_stdout,
    reason = "it is an example that shows what it does"
)]

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use dispatch_model::{
    ContainerId, ContainerState, Gpu, IdleBehavior, InstanceType, Now, PoolSnapshot, QueueEntry,
    QueueSnapshot, Resources, RunnerState, RunnerView, Sizing, Time, WorkerId, WorkerState,
    WorkerView, units::GIB,
};
use dispatch_scheduler::{InstanceTypes, Limits, Plan, Recovery, Wait, plan};

fn main() {
    let mut farm = Farm::new();
    for frame in 1..=12 {
        farm.submit(&format!("frame-{frame:03}"), 10, 4);
    }
    farm.submit("trailer", 90, 16);
    while !farm.queue.entries.is_empty() {
        farm.minute();
    }
    println!(
        "{:>3} min  all rendered with {} machines",
        farm.minutes, farm.machines_made
    );
}

/// A frame takes this long, whatever it shows.
const FRAME_MINUTES: u64 = 5;

struct Farm {
    minutes: u64,
    queue: QueueSnapshot,
    pool: PoolSnapshot,
    types: InstanceTypes,
    done_at: BTreeMap<ContainerId, u64>,
    machines_made: u64,
}

impl Farm {
    fn new() -> Farm {
        let types = [machine("medium", 8, 0.40), machine("large", 16, 0.75)];
        Farm {
            minutes: 0,
            queue: QueueSnapshot::default(),
            pool: PoolSnapshot {
                surveyed: true,
                // The studio pays for three machines at a time.
                instance_limit: Some(3),
                ..PoolSnapshot::default()
            },
            types: (types.into_iter())
                .map(|machine| (machine.name.clone(), Arc::new(machine)))
                .collect(),
            done_at: BTreeMap::new(),
            machines_made: 0,
        }
    }

    fn now(&self) -> Now {
        let wall = jiff::Timestamp::UNIX_EPOCH + Duration::from_secs(self.minutes * 60);
        Now {
            time: Time::from_secs(self.minutes * 60),
            wall,
        }
    }

    fn submit(&mut self, name: &str, priority: i64, cores: u32) {
        let needs = Resources {
            vcpus: cores,
            ram_bytes: u64::from(cores) * 2 * GIB,
            ..Resources::default()
        };
        // Best first: the cheapest type that fits. A dearer one is used if it happens to have room.
        let types = (self.types.values())
            .filter(|machine| machine.vcpus >= cores)
            .map(|machine| machine.name.clone());
        let mut types: Vec<_> = types.collect();
        types.sort_by(|a, b| self.types[a].price.total_cmp(&self.types[b].price));
        let entry = QueueEntry {
            id: name.into(),
            state: ContainerState::Queued,
            priority,
            created_at: Some(self.now().wall),
            first_seen: self.now().time,
            first_seen_wall: self.now().wall,
            supervisor: false,
            sizing: Arc::new(Sizing { needs, types }),
            needs_known: true,
            locked_here: false,
            busy: false,
            as_of: self.now().time,
        };
        self.queue.entries.insert(entry.id.clone(), Arc::new(entry));
    }

    /// What happens in one minute.
    fn minute(&mut self) {
        self.minutes += 1;
        self.queue.listed_at = Some(self.now().time);
        for (frame, _) in (self.done_at).extract_if(.., |_, done_at| *done_at <= self.minutes) {
            println!("{:>3} min  {frame} is rendered", self.minutes);
            self.queue.entries.remove(&frame);
            for runner in self.pool.runners.remove(&frame).unwrap_or_default() {
                let worker = worker(&mut self.pool, runner.worker);
                worker.containers.retain(|other| *other != frame);
                if worker.containers.is_empty() {
                    worker.state = WorkerState::Idle;
                }
            }
        }
        for worker in self.pool.workers.values_mut() {
            if worker.state == WorkerState::Booting {
                let worker = Arc::make_mut(worker);
                (worker.state, worker.takes_work) = (WorkerState::Idle, true);
            }
        }
        // Locking is at once here, so a second plan starts what the first one locked.
        self.plan_once();
        let waits = self.plan_once();
        if let Some((frame, wait)) = waits.iter().next() {
            println!("{:>3} min    {frame}: {wait}", self.minutes);
        }
    }

    fn plan_once(&mut self) -> BTreeMap<ContainerId, Wait> {
        let plan = plan(
            &self.queue,
            &self.pool,
            &self.types,
            &Limits::none(),
            &Recovery::nothing(),
            self.now(),
        );
        let waits = plan.waits.clone();
        self.follow(plan);
        waits
    }

    fn follow(&mut self, plan: Plan) {
        for frame in &plan.lock {
            let entry = Arc::make_mut(self.queue.entries.get_mut(frame).expect("a plan's frame"));
            (entry.state, entry.locked_here) = (ContainerState::Locked, true);
        }
        for (frame, _) in &plan.unlock {
            let entry = Arc::make_mut(self.queue.entries.get_mut(frame).expect("a plan's frame"));
            (entry.state, entry.locked_here) = (ContainerState::Queued, false);
        }
        for (frame, on) in plan.start {
            println!("{:>3} min  {frame} starts on {on}", self.minutes);
            let entry = Arc::make_mut(self.queue.entries.get_mut(&frame).expect("a plan's frame"));
            entry.state = ContainerState::Running;
            let worker = worker(&mut self.pool, on);
            worker.containers.push(frame.clone());
            worker.state = WorkerState::Running;
            let runner = RunnerView {
                worker: on,
                state: RunnerState::Alive,
            };
            self.pool.runners.insert(frame.clone(), vec![runner]);
            self.done_at.insert(frame, self.minutes + FRAME_MINUTES);
        }
        for on in plan.shut_down {
            println!("{:>3} min  {on} makes way", self.minutes);
            self.pool.workers.remove(&on);
        }
        for create in plan.create {
            self.machines_made += 1;
            let id = WorkerId(self.machines_made);
            println!(
                "{:>3} min  {id}, a {} machine, boots for {}",
                self.minutes, create.instance_type, create.container
            );
            let worker = booting(id, &self.types[&create.instance_type], self.now());
            self.pool.workers.insert(id, Arc::new(worker));
        }
    }
}

fn machine(name: &str, cores: u32, price: f64) -> InstanceType {
    InstanceType {
        name: name.into(),
        provider_type: name.into(),
        image: None,
        vcpus: cores,
        ram_bytes: u64::from(cores) * 2 * GIB,
        included_scratch_bytes: 100 * GIB,
        added_scratch_bytes: 0,
        price,
        preemptible: false,
        gpu: Gpu::default(),
    }
}

fn booting(id: WorkerId, instance_type: &Arc<InstanceType>, now: Now) -> WorkerView {
    WorkerView {
        id,
        instance: Some(format!("vm-{}", id.0).into()),
        address: None,
        instance_type: Arc::clone(instance_type),
        state: WorkerState::Booting,
        idle_behavior: IdleBehavior::Run,
        containers: Vec::new(),
        takes_work: false,
        will_take_work: true,
        runners_known: true,
        free_gpus: Some(0),
        state_since: now.time,
        last_busy: now.wall,
        last_container: None,
        remark: None,
    }
}

fn worker(pool: &mut PoolSnapshot, id: WorkerId) -> &mut WorkerView {
    Arc::make_mut(pool.workers.get_mut(&id).expect("a plan's worker"))
}
