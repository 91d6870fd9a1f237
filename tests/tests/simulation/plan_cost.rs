//! What a plan costs as everything grows.

use std::{fs, sync::Arc};

use dispatch_model::{
    ContainerState, Gpu, IdleBehavior, InstanceType, Now, PoolSnapshot, QueueEntry, QueueSnapshot,
    Resources, RunnerState, RunnerView, Sizing, Time, WorkerId, WorkerState, WorkerView,
};
use dispatch_scheduler::{InstanceTypes, Limits, Recovery, plan, reconcile};
use jiff::Timestamp;

const NOW: Now = Now {
    time: Time::from_secs(1_000),
    wall: Timestamp::UNIX_EPOCH,
};

#[test]
fn a_plan_for_eight_times_as_much_does_not_cost_anything_like_its_square() {
    // Facts P2: eight times as many containers that wait, and workers that have no room for them. What looks at each
    // worker for each container costs 64 times as much; what a plan may cost is 8 times as much, and a little.
    let (small, large) = (nanos(600, 200, 160), nanos(4_800, 1_600, 20));
    let ratio = large / small;
    assert!(
        ratio < 24.0,
        "{small} ns, then {large} ns: {ratio:.1} times"
    );
}

/// The processor time of one plan and what goes with it: the average of so many, which take long enough to be measured,
/// and the least of some averages, since others use the machine too.
fn nanos(n_containers: usize, n_workers: usize, rounds: u32) -> f64 {
    let types = types();
    let (queue, pool) = situation(n_containers, n_workers, &types);
    let (limits, recovery) = (Limits::none(), Recovery::nothing());
    let costs = (0..3).map(|_| {
        let before = processor_time();
        for _ in 0..rounds {
            let plan = plan(&queue, &pool, &types, &limits, &recovery, NOW);
            assert_eq!((plan.waits.len(), plan.start.len()), (n_containers, 0));
            assert!(reconcile(&queue, &pool, &recovery, NOW).repairs.is_empty());
        }
        (processor_time() - before) / f64::from(rounds)
    });
    costs.fold(f64::INFINITY, f64::min)
}

/// What this thread has used of the processor, ns.
fn processor_time() -> f64 {
    let text = fs::read_to_string("/proc/thread-self/schedstat").expect("Linux says it");
    let first = text.split_whitespace().next().expect("three numbers");
    first.parse().expect("a number")
}

/// Types of one to four cores.
fn types() -> InstanceTypes {
    let make = |cores: u32| InstanceType {
        name: format!("type{cores}").as_str().into(),
        provider_type: format!("lab.{cores}"),
        image: None,
        vcpus: cores,
        ram_bytes: u64::from(cores) << 31,
        included_scratch_bytes: u64::from(cores) << 31,
        added_scratch_bytes: 0,
        price: 0.1 * f64::from(cores),
        preemptible: false,
        gpu: Gpu::default(),
    };
    (1..=4)
        .map(make)
        .map(|one| (one.name.clone(), Arc::new(one)))
        .collect()
}

/// Workers at MaxInstances, each with one container and no room; containers of a hundred shapes that wait.
fn situation(
    n_containers: usize,
    n_workers: usize,
    types: &InstanceTypes,
) -> (QueueSnapshot, PoolSnapshot) {
    let mut queue = QueueSnapshot {
        listed_at: Some(Time::from_secs(999)),
        ..QueueSnapshot::default()
    };
    let mut pool = PoolSnapshot {
        surveyed: true,
        instance_limit: Some(n_workers),
        ..PoolSnapshot::default()
    };
    let all_types: Vec<_> = types.values().collect();
    for number in 0..n_workers {
        let id = WorkerId(number as u64);
        let instance_type = all_types[number % all_types.len()];
        let needs = Resources {
            vcpus: instance_type.vcpus,
            ..Resources::default()
        };
        let running = entry(
            &format!("zzzzz-dz642-running{number:08}"),
            ContainerState::Running,
            needs,
            vec![instance_type.name.clone()],
        );
        let alive = RunnerView {
            worker: id,
            state: RunnerState::Alive,
        };
        pool.runners.insert(running.id.clone(), vec![alive]);
        let view = worker(id, instance_type, &running);
        pool.workers.insert(id, Arc::new(view));
        queue.entries.insert(running.id.clone(), Arc::new(running));
    }
    for number in 0..n_containers {
        let needs = Resources {
            vcpus: 1 + number as u32 % 4,
            ram_bytes: (number as u64 % 100) << 20,
            ..Resources::default()
        };
        let waiting = entry(
            &format!("zzzzz-dz642-{number:015}"),
            ContainerState::Queued,
            needs,
            types.keys().cloned().collect(),
        );
        queue.entries.insert(waiting.id.clone(), Arc::new(waiting));
    }
    (queue, pool)
}

fn entry(
    id: &str,
    state: ContainerState,
    needs: Resources,
    types: Vec<dispatch_model::InstanceTypeName>,
) -> QueueEntry {
    QueueEntry {
        id: id.into(),
        state,
        priority: 1,
        created_at: Some(Timestamp::UNIX_EPOCH),
        first_seen: Time::from_secs(100),
        first_seen_wall: Timestamp::UNIX_EPOCH,
        supervisor: false,
        sizing: Arc::new(Sizing { needs, types }),
        needs_known: true,
        locked_here: false,
        busy: false,
        as_of: Time::from_secs(999),
    }
}

fn worker(id: WorkerId, instance_type: &Arc<InstanceType>, running: &QueueEntry) -> WorkerView {
    WorkerView {
        id,
        instance: Some(format!("i-{}", id.0).into()),
        address: None,
        instance_type: Arc::clone(instance_type),
        state: WorkerState::Running,
        idle_behavior: IdleBehavior::Run,
        containers: vec![running.id.clone()],
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
