//! Prints how long a plan takes for queues and pools of various sizes. Run it with `--release`.

#![expect(
    clippy::print_stdout,
    reason = "it is an example that shows what it does"
)]

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use dispatch_model::{
    ContainerId, ContainerState, Gpu, IdleBehavior, InstanceType, Now, PoolSnapshot, QueueEntry,
    QueueSnapshot, Resources, RunnerState, RunnerView, Sizing, Time, WorkerId, WorkerState,
    WorkerView, units::GIB,
};
use dispatch_scheduler::{InstanceTypes, Limits, Recovery, plan, reconcile};
use jiff::Timestamp;

fn main() {
    let sizes = [
        (1_000, 100),
        (10_000, 1_000),
        (100_000, 1_000),
        (100_000, 10_000),
    ];
    for load in [Load::Empty, Load::Half, Load::Full] {
        for (n_containers, n_workers) in sizes {
            measure(n_containers, n_workers, load);
        }
    }
}

/// How full the workers are before the plan.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Load {
    /// Everything is idle: as many containers as fit are placed.
    Empty,
    /// Each worker has one container, and room for more.
    Half,
    /// Nothing fits: the whole queue waits at quota, and has for long.
    Full,
}

const NOW: Now = Now {
    time: Time::from_secs(1_000),
    wall: Timestamp::UNIX_EPOCH,
};

fn measure(n_containers: usize, n_workers: usize, load: Load) {
    let types = types();
    let (queue, pool) = situation(n_containers, n_workers, load, &types);
    let (limits, recovery) = (Limits::none(), Recovery::nothing());
    let times = (2_000_000 / n_containers).clamp(10, 200);
    let mut outcome = String::new();
    let planning = take(times, || {
        let plan = plan(&queue, &pool, &types, &limits, &recovery, NOW);
        outcome = format!(
            "{} locked, {} started, {} wait",
            plan.lock.len(),
            plan.start.len(),
            plan.waits.len()
        );
    });
    let reconciling = take(times, || {
        assert!(reconcile(&queue, &pool, &recovery, NOW).repairs.is_empty());
    });
    println!(
        "{n_containers:>7} containers x {n_workers:>6} workers, {load:<5?}: plan {planning}, reconcile {reconciling}; {outcome}"
    );
}

/// The shortest of so many tries, and the processor time of an average one where the system tells it: on a busy
/// machine that says more.
struct Took {
    best: Duration,
    cpu: Option<Duration>,
}

impl fmt::Display for Took {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.cpu {
            Some(cpu) => write!(f, "{:.1?} (processor {cpu:.1?})", self.best),
            None => write!(f, "{:.1?}", self.best),
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "this measures real time; nothing is decided by it"
)]
fn take(times: usize, mut work: impl FnMut()) -> Took {
    let cpu_before = cpu_time();
    let best = (0..times)
        .map(|_| {
            let start = Instant::now();
            work();
            start.elapsed()
        })
        .min()
        .unwrap_or_default();
    let cpu = cpu_before.zip(cpu_time());
    Took {
        best,
        cpu: cpu.map(|(before, after)| (after - before) / times as u32),
    }
}

/// What this thread has used of the processor, from Linux.
#[expect(
    clippy::disallowed_methods,
    reason = "this measures real time; nothing is decided by it"
)]
fn cpu_time() -> Option<Duration> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    let nanos = text.split_whitespace().next()?.parse().ok()?;
    Some(Duration::from_nanos(nanos))
}

/// Forty types of ten sizes.
fn types() -> InstanceTypes {
    let mut types = InstanceTypes::new();
    for size in 1..=10_u32 {
        for kind in ["cheap", "fast", "wide", "spot"] {
            let name = format!("{kind}-{}", size * 4);
            let instance_type = InstanceType {
                name: name.as_str().into(),
                provider_type: name.clone(),
                image: None,
                vcpus: size * 4,
                ram_bytes: u64::from(size) * 16 * GIB,
                included_scratch_bytes: 200 * GIB,
                added_scratch_bytes: 0,
                price: 0.1 * f64::from(size) + 0.001 * kind.len() as f64,
                preemptible: kind == "spot",
                gpu: Gpu::default(),
            };
            types.insert(name.into(), Arc::new(instance_type));
        }
    }
    types
}

/// Numbers that look like luck and are the same in each run.
fn dice(state: &mut u64, sides: u64) -> u64 {
    *state = state
        .wrapping_mul(6_364_136_223_846_793_005)
        .wrapping_add(1_442_695_040_888_963_407);
    (*state >> 33) % sides
}

fn situation(
    n_containers: usize,
    n_workers: usize,
    load: Load,
    types: &InstanceTypes,
) -> (QueueSnapshot, PoolSnapshot) {
    let mut luck = 7;
    let names: Vec<_> = types.keys().cloned().collect();
    // A hundred shapes, each eligible for a few types.
    let shapes: Vec<Arc<Sizing>> = (0..100)
        .map(|_| {
            let vcpus = 1 + dice(&mut luck, 8) as u32;
            Arc::new(Sizing {
                needs: Resources {
                    vcpus,
                    ram_bytes: (1 + dice(&mut luck, 24)) * GIB,
                    scratch_bytes: dice(&mut luck, 20) * GIB,
                    ..Resources::default()
                },
                types: (names.iter())
                    .filter(|name| {
                        types[*name].vcpus >= vcpus && types[*name].ram_bytes >= 24 * GIB
                    })
                    .skip(dice(&mut luck, 4) as usize)
                    .step_by(3)
                    .cloned()
                    .collect(),
            })
        })
        .collect();
    let mut queue = QueueSnapshot {
        listed_at: Some(Time::from_secs(999)),
        ..QueueSnapshot::default()
    };
    let mut pool = PoolSnapshot {
        surveyed: true,
        instance_limit: Some(n_workers),
        ..PoolSnapshot::default()
    };
    for number in 0..n_workers as u64 {
        let id = WorkerId(number);
        let instance_type = &types[&names[dice(&mut luck, names.len() as u64) as usize]];
        let containers: Vec<ContainerId> = match load {
            Load::Empty => Vec::new(),
            Load::Half | Load::Full => vec![format!("zzzzz-dz642-running{number:08}").into()],
        };
        for container in &containers {
            let mut entry = entry(container.clone(), ContainerState::Running, &shapes[0], 1);
            entry.sizing = Arc::new(Sizing {
                needs: Resources {
                    vcpus: if load == Load::Full {
                        instance_type.vcpus
                    } else {
                        2
                    },
                    ram_bytes: GIB,
                    ..Resources::default()
                },
                types: vec![instance_type.name.clone()],
            });
            queue.entries.insert(container.clone(), Arc::new(entry));
            let runner = RunnerView {
                worker: id,
                state: RunnerState::Alive,
            };
            pool.runners.insert(container.clone(), vec![runner]);
        }
        let worker = worker(id, instance_type, containers);
        pool.workers.insert(id, Arc::new(worker));
    }
    for number in 0..n_containers {
        let id: ContainerId = format!("zzzzz-dz642-{number:015}").into();
        let state = if dice(&mut luck, 10) == 0 {
            ContainerState::Locked
        } else {
            ContainerState::Queued
        };
        let shape = &shapes[dice(&mut luck, 100) as usize];
        let entry = entry(id.clone(), state, shape, 1 + dice(&mut luck, 50) as i64);
        queue.entries.insert(id, Arc::new(entry));
    }
    (queue, pool)
}

fn entry(id: ContainerId, state: ContainerState, shape: &Arc<Sizing>, priority: i64) -> QueueEntry {
    QueueEntry {
        id,
        state,
        priority,
        created_at: Some(Timestamp::UNIX_EPOCH),
        first_seen: Time::from_secs(100),
        first_seen_wall: Timestamp::UNIX_EPOCH,
        supervisor: false,
        sizing: Arc::clone(shape),
        needs_known: true,
        locked_here: state == ContainerState::Locked,
        busy: false,
        as_of: Time::from_secs(999),
    }
}

fn worker(
    id: WorkerId,
    instance_type: &Arc<InstanceType>,
    containers: Vec<ContainerId>,
) -> WorkerView {
    WorkerView {
        id,
        instance: Some(format!("i-{}", id.0).into()),
        address: None,
        instance_type: Arc::clone(instance_type),
        state: if containers.is_empty() {
            WorkerState::Idle
        } else {
            WorkerState::Running
        },
        idle_behavior: IdleBehavior::Run,
        containers,
        takes_work: true,
        will_take_work: false,
        runners_known: true,
        free_gpus: Some(0),
        state_since: Time::ZERO,
        last_busy: Timestamp::UNIX_EPOCH,
        last_container: None,
        remark: None,
    }
}
