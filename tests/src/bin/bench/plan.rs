//! How long the planner takes, in this process: the daemon's other work does not blur it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use dispatch_model::{
    ContainerId, ContainerState, Gpu, IdleBehavior, InstanceType, Now, PoolSnapshot, QueueEntry,
    QueueSnapshot, Resources, RunnerState, RunnerView, Sizing, Time, WorkerId, WorkerState,
    WorkerView, units::GIB,
};
use dispatch_scheduler::{InstanceTypes, Limits, Recovery, plan};
use jiff::Timestamp;

const NOW: Now = Now {
    time: Time::from_secs(1_000),
    wall: Timestamp::UNIX_EPOCH,
};

/// How many of a worker's four cores are taken.
const LOADS: [u32; 3] = [0, 1, 4];

/// The best of many plans for each load, ms.
pub(crate) fn measure(quick: bool) -> Vec<f64> {
    let (n_containers, n_workers, times) = if quick {
        (1_000, 100, 20)
    } else {
        (10_000, 1_000, 200)
    };
    LOADS
        .iter()
        .map(|taken| {
            let types = types();
            let (queue, pool) = situation(n_containers, n_workers, *taken, &types);
            let (limits, recovery) = (Limits::none(), Recovery::nothing());
            let best = (0..times)
                .map(|_| {
                    let began = Instant::now();
                    let plan = plan(&queue, &pool, &types, &limits, &recovery, NOW);
                    std::hint::black_box(&plan);
                    began.elapsed()
                })
                .min();
            best.unwrap_or(Duration::MAX).as_secs_f64() * 1000.0
        })
        .collect()
}

/// Twenty types of different sizes and prices.
fn types() -> InstanceTypes {
    (1..=20_u32)
        .map(|size| {
            let name = format!("type{:02}", size * 4);
            let instance_type = InstanceType {
                name: name.as_str().into(),
                provider_type: name.clone(),
                image: None,
                vcpus: size * 4,
                ram_bytes: u64::from(size) * 16 * GIB,
                included_scratch_bytes: 200 * GIB,
                added_scratch_bytes: 0,
                price: 0.1 * f64::from(size),
                preemptible: size % 4 == 0,
                gpu: Gpu::default(),
            };
            (name.as_str().into(), Arc::new(instance_type))
        })
        .collect()
}

/// Containers of a hundred shapes, a tenth of them locked; workers of which each has so many cores taken.
fn situation(
    n_containers: usize,
    n_workers: usize,
    taken: u32,
    types: &InstanceTypes,
) -> (QueueSnapshot, PoolSnapshot) {
    let shapes: Vec<Arc<Sizing>> = (0..100_u32)
        .map(|i| {
            let vcpus = 1 + i % 8;
            let fits = types.values().filter(|one| one.vcpus >= vcpus);
            Arc::new(Sizing {
                needs: Resources {
                    vcpus,
                    ram_bytes: (1 + u64::from(i) % 13) * GIB,
                    scratch_bytes: u64::from(i) % 20 * GIB,
                    ..Resources::default()
                },
                types: fits
                    .skip(i as usize % 3)
                    .map(|one| one.name.clone())
                    .collect(),
            })
        })
        .collect();
    let mut queue = QueueSnapshot {
        listed_at: Some(NOW.time),
        ..QueueSnapshot::default()
    };
    let mut pool = PoolSnapshot {
        surveyed: true,
        instance_limit: Some(n_workers),
        ..PoolSnapshot::default()
    };
    let kinds: Vec<&Arc<InstanceType>> = types.values().collect();
    for (number, kind) in (0..n_workers as u64).zip(kinds.iter().cycle()) {
        let id = WorkerId(number);
        let container: ContainerId = format!("zzzzz-dz642-running{number:08}").into();
        let busy = taken > 0;
        if busy {
            let mut entry = entry(container.clone(), ContainerState::Running, &shapes[0], 1);
            entry.sizing = Arc::new(Sizing {
                needs: Resources {
                    vcpus: if taken == 4 { kind.vcpus } else { taken },
                    ram_bytes: GIB,
                    ..Resources::default()
                },
                types: vec![kind.name.clone()],
            });
            queue.entries.insert(container.clone(), Arc::new(entry));
            let runner = RunnerView {
                worker: id,
                state: RunnerState::Alive,
            };
            pool.runners.insert(container.clone(), vec![runner]);
        }
        let containers = if busy { vec![container] } else { Vec::new() };
        pool.workers
            .insert(id, Arc::new(worker(id, kind, containers)));
    }
    for number in 0..n_containers {
        let id: ContainerId = format!("zzzzz-dz642-{number:015}").into();
        let state = if number % 10 == 0 {
            ContainerState::Locked
        } else {
            ContainerState::Queued
        };
        // Neighbours in the queue differ in shape and in priority.
        let shape = &shapes[number * 37 % shapes.len()];
        let entry = entry(id.clone(), state, shape, 1 + (number * 17 % 50) as i64);
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

fn worker(id: WorkerId, kind: &Arc<InstanceType>, containers: Vec<ContainerId>) -> WorkerView {
    WorkerView {
        id,
        instance: Some(format!("i-{}", id.0).into()),
        address: None,
        instance_type: Arc::clone(kind),
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
