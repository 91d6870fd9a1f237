//! What holds for every plan, whatever the situation.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    sync::Arc,
};

use dispatch_model::{
    ContainerId, ContainerState, IdleBehavior, QueueEntry, Resources, RunnerState, WorkerId,
    WorkerState, WorkerView,
};
use proptest::{prelude::*, sample::select};

use super::super::room::Room;
use crate::{Plan, Repair, Wait, reconcile, testing::Situation};

const TYPES: [&str; 6] = ["type1", "type2", "type4", "type8", "gpu1", "gpu2"];

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_plan_keeps_its_promises(text in situation()) {
        let situation = Situation::read(&text);
        let plan = situation.plan();
        same_input_same_plan(&situation, &plan);
        orders_are_allowed(&situation, &plan);
        nothing_is_overcommitted(&situation, &plan);
        limits_hold(&situation, &plan);
        no_room_is_lost_to_a_lower_one(&situation, &plan);
        everyone_who_waits_is_told_why(&situation, &plan);
        repairs_and_orders_do_not_meet(&situation, &plan);
    }
}

fn situation() -> impl Strategy<Value = String> {
    let worker = (
        select(&TYPES[..]),
        select(&["unknown", "booting", "idle", "running", "shutdown"][..]),
        select(
            &[
                "", "", "", "", "hold", "drain", "broken", "creating", "silent", "gpus=0", "gpus=1",
            ][..],
        ),
    );
    let container = (
        select(
            &[
                "queued", "queued", "locked", "locked", "running", "complete",
            ][..],
        ),
        0..4_u8,
        0..6_u8,
        proptest::sample::subsequence(&TYPES[..], 0..4),
        select(
            &[
                "",
                "",
                "",
                "",
                "busy",
                "supervisor",
                "found",
                "found as_of=40",
                "gpus=1 vram=8",
                "gpus=2",
                "seen=1",
            ][..],
        ),
        proptest::option::weighted(
            0.3,
            (
                0..6_usize,
                select(
                    &[
                        "starting",
                        "alive",
                        "alive",
                        "killing",
                        "given-up",
                        "exited=50",
                    ][..],
                ),
            ),
        ),
    );
    let around = select(
        &[
            "",
            "",
            "",
            "hold quota",
            "hold rate-limit until=900",
            "typehold type2 capacity until=900",
            "limit containers=3",
            "limit supervisors=1",
            "limit per_instance=2",
            "now 500",
        ][..],
    );
    (
        proptest::collection::vec(worker, 0..6),
        proptest::collection::vec(container, 0..14),
        proptest::option::of(0..8_usize),
        proptest::collection::vec(around, 0..3),
    )
        .prop_map(|(workers, containers, max, around)| {
            let mut text = String::new();
            for (number, (kind, state, flag)) in workers.iter().enumerate() {
                writeln!(text, "worker {number} {kind} {state} {flag}").unwrap();
            }
            for (number, (state, priority, cpu, types, flags, runner)) in
                containers.iter().enumerate()
            {
                let on = if types.is_empty() {
                    "none".into()
                } else {
                    types.join(",")
                };
                writeln!(
                    text,
                    "{state} c{number} p{priority} cpu={cpu} on={on} {flags}"
                )
                .unwrap();
                if let Some((worker, state)) = runner
                    && *worker < workers.len()
                {
                    writeln!(text, "runner c{number} {worker} {state}").unwrap();
                }
            }
            if let Some(max) = max {
                writeln!(text, "instances max={}", max + workers.len() / 2).unwrap();
            }
            text + &around.join("\n")
        })
}

fn same_input_same_plan(situation: &Situation, plan: &Plan) {
    let mut elsewhere = situation.clone();
    // The same values at other addresses.
    for entry in elsewhere.queue.entries.values_mut() {
        let mut copy = QueueEntry::clone(entry);
        copy.sizing = Arc::new(copy.sizing.as_ref().clone());
        *entry = Arc::new(copy);
    }
    assert_eq!(*plan, elsewhere.plan());
}

fn orders_are_allowed(situation: &Situation, plan: &Plan) {
    let mut ordered = BTreeSet::new();
    let entry = |id: &ContainerId| &situation.queue.entries[id];
    let once = |ordered: &mut BTreeSet<ContainerId>, id: &ContainerId| {
        assert!(ordered.insert(id.clone()), "two orders for {id}");
        assert!(!entry(id).busy, "{id} is busy");
        assert!(
            !situation.pool.runners.contains_key(id),
            "{id} has a runner"
        );
        assert!(entry(id).priority > 0, "{id} is not wanted");
    };
    for id in &plan.lock {
        once(&mut ordered, id);
        assert_eq!(entry(id).state, ContainerState::Queued);
    }
    for (id, _) in &plan.unlock {
        once(&mut ordered, id);
        assert_eq!(entry(id).state, ContainerState::Locked);
    }
    for create in &plan.create {
        once(&mut ordered, &create.container);
        assert_eq!(entry(&create.container).state, ContainerState::Locked);
        assert!(
            entry(&create.container)
                .sizing
                .types
                .contains(&create.instance_type)
        );
        assert!(situation.pool.hold.is_none());
        assert!(
            !situation
                .pool
                .type_holds
                .contains_key(&create.instance_type)
        );
    }
    for (id, worker) in &plan.start {
        once(&mut ordered, id);
        assert_eq!(entry(id).state, ContainerState::Locked);
        let worker = &situation.pool.workers[worker];
        assert!(worker.takes_work && worker.idle_behavior == IdleBehavior::Run);
        assert!(matches!(
            worker.state,
            WorkerState::Idle | WorkerState::Running
        ));
        assert!(entry(id).sizing.types.contains(&worker.instance_type.name));
    }
    for worker in &plan.shut_down {
        let worker = &situation.pool.workers[worker];
        assert!(worker.containers.is_empty() && worker.idle_behavior == IdleBehavior::Run);
        assert!(matches!(
            worker.state,
            WorkerState::Idle | WorkerState::Booting
        ));
        assert!(
            plan.waits
                .values()
                .any(|wait| matches!(wait, Wait::NoMoreInstances { .. }))
        );
        assert!(!mapped(plan).values().any(|mapped| *mapped == worker.id));
    }
}

/// Which worker each container has been given room on.
fn mapped(plan: &Plan) -> BTreeMap<&ContainerId, WorkerId> {
    (plan.waits.iter())
        .filter_map(|(id, wait)| match wait {
            Wait::AboutToStart { worker }
            | Wait::Boot {
                worker: Some(worker),
                ..
            } => Some((id, *worker)),
            _ => None,
        })
        .collect()
}

fn live_on<'a>(
    situation: &'a Situation,
    worker: &'a WorkerView,
) -> impl Iterator<Item = &'a ContainerId> {
    (situation.pool.runners.iter())
        .filter(|(_, runners)| {
            (runners.iter()).any(|runner| {
                runner.worker == worker.id && !matches!(runner.state, RunnerState::Exited { .. })
            })
        })
        .map(|(id, _)| id)
}

fn nothing_is_overcommitted(situation: &Situation, plan: &Plan) {
    for worker in situation.pool.workers.values() {
        let given: Vec<&QueueEntry> = (mapped(plan).into_iter())
            .filter(|(_, on)| *on == worker.id)
            .map(|(id, _)| situation.queue.entries[id].as_ref())
            .collect();
        if given.is_empty() {
            continue;
        }
        let there: Vec<&QueueEntry> = live_on(situation, worker)
            .map(|id| situation.queue.entries[id].as_ref())
            .collect();
        let all = || (given.iter().chain(&there)).map(|entry| entry.sizing.needs);
        let shared = u32::from(all().any(|needs| needs.vcpus == 0));
        let has = worker.instance_type.resources();
        assert!(all().map(|needs| needs.vcpus).sum::<u32>() + shared <= has.vcpus);
        assert!(all().map(|needs| needs.ram_bytes).sum::<u64>() <= has.ram_bytes);
        assert!(all().map(|needs| needs.scratch_bytes).sum::<u64>() <= has.scratch_bytes);
        let gpus_given: u32 = given.iter().map(|entry| entry.sizing.needs.gpus).sum();
        assert!(gpus_given <= worker.free_gpus.unwrap_or(0));
        assert!((given.iter()).all(|entry| entry.sizing.needs.gpus == 0
            || entry.sizing.needs.gpu_vram_bytes <= has.gpu_vram_bytes));
        let limit = situation.limits.containers_per_instance;
        assert!(limit.is_none_or(|limit| given.len() + there.len() <= limit));
    }
}

fn limits_hold(situation: &Situation, plan: &Plan) {
    let n_instances = situation.pool.workers.len() + plan.create.len();
    let limit = situation.pool.instance_limit;
    assert!(plan.create.is_empty() || limit.is_none_or(|limit| n_instances <= limit));
    let given_room = |id: &ContainerId| {
        matches!(
            plan.waits[id],
            Wait::AboutToStart { .. } | Wait::Boot { .. } | Wait::Recovering
        )
    };
    let placed = plan.waits.keys().filter(|id| given_room(id)).count();
    let limit = situation.limits.containers;
    assert!(placed == 0 || limit.is_none_or(|limit| plan.figures.running + placed <= limit));
    if !situation.pool.workers.is_empty() {
        // The next in line at quota keeps its lock (facts S10).
        let first = (plan.waits.iter())
            .find(|(_, wait)| matches!(wait, Wait::NoMoreInstances { position: 1, .. }));
        if let Some((first, _)) = first {
            assert!(plan.unlock.iter().all(|(id, _)| id != first));
        }
    }
}

/// Whoever has been given room on a worker, nobody who goes before him could have used it.
fn no_room_is_lost_to_a_lower_one(situation: &Situation, plan: &Plan) {
    let rank = |entry: &QueueEntry| {
        let queued = entry.state != ContainerState::Locked;
        (
            queued,
            std::cmp::Reverse(entry.priority),
            entry.first_seen,
            entry.id.clone(),
        )
    };
    let mapped = mapped(plan);
    for (id, wait) in &plan.waits {
        if !matches!(wait, Wait::NoMoreInstances { .. } | Wait::TypesHeld { .. }) {
            continue;
        }
        let without = situation.queue.entries[id].as_ref();
        for worker in situation.pool.workers.values() {
            let here = |lower: bool| -> Vec<&QueueEntry> {
                (mapped.iter())
                    .filter(|(_, on)| **on == worker.id)
                    .map(|(id, _)| situation.queue.entries[*id].as_ref())
                    .filter(|other| (rank(other) > rank(without)) == lower)
                    .collect()
            };
            if here(true).is_empty() || !without.sizing.types.contains(&worker.instance_type.name) {
                continue;
            }
            let higher = here(false);
            let there: Vec<&QueueEntry> = live_on(situation, worker)
                .map(|id| situation.queue.entries[id].as_ref())
                .collect();
            let mut room = Room::empty(&worker.instance_type);
            room.limit_gpus(worker.free_gpus.unwrap_or(0));
            for entry in &there {
                room.take(&Resources {
                    gpus: 0,
                    ..entry.sizing.needs
                });
            }
            for entry in &higher {
                room.take(&entry.sizing.needs);
            }
            let limit = situation
                .limits
                .containers_per_instance
                .unwrap_or(usize::MAX);
            assert!(
                !room.fits(&without.sizing.needs) || there.len() + higher.len() >= limit,
                "{id} could have had the room of {:?} on {}",
                here(true).iter().map(|entry| &entry.id).collect::<Vec<_>>(),
                worker.id,
            );
        }
    }
}

fn everyone_who_waits_is_told_why(situation: &Situation, plan: &Plan) {
    let waiting: BTreeSet<&ContainerId> = (situation.queue.entries.values())
        .filter(|entry| matches!(entry.state, ContainerState::Queued | ContainerState::Locked))
        .map(|entry| &entry.id)
        .collect();
    assert_eq!(plan.waits.keys().collect::<BTreeSet<_>>(), waiting);
    assert!(plan.again_at.is_none_or(|at| at > situation.now.time));
    let mut positions: Vec<usize> = (plan.waits.values())
        .filter_map(|wait| match wait {
            Wait::ContainerLimit { position, .. }
            | Wait::TypesHeld { position, .. }
            | Wait::NoMoreInstances { position, .. } => Some(*position),
            _ => None,
        })
        .collect();
    positions.sort_unstable();
    assert!(positions.iter().copied().eq(1..=positions.len()));
}

fn repairs_and_orders_do_not_meet(situation: &Situation, plan: &Plan) {
    let repairs = reconcile(
        &situation.queue,
        &situation.pool,
        &situation.recovery,
        situation.now,
    );
    let ordered: BTreeSet<&ContainerId> = (plan.lock.iter())
        .chain(plan.unlock.iter().map(|(id, _)| id))
        .chain(plan.start.iter().map(|(id, _)| id))
        .chain(plan.create.iter().map(|create| &create.container))
        .collect();
    for repair in &repairs.repairs {
        let (Repair::Cancel { container, .. }
        | Repair::Unlock { container, .. }
        | Repair::Kill { container, .. }
        | Repair::Forget { container }
        | Repair::DropExited { container }) = repair;
        assert!(!ordered.contains(container), "{repair:?} and an order");
        let busy = situation
            .queue
            .entries
            .get(container)
            .is_some_and(|entry| entry.busy);
        assert!(!busy, "{repair:?} although it is busy");
    }
}
