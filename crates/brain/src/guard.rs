//! The last look at a command before it leaves: what may never be broken, checked at the cost of that one command.
//!
//! The planner, the pool and the queue each keep these rules by themselves. This is the second pair of eyes: in tests
//! and simulations a violation panics, in service the command is not sent, what it concerns is set aside, and somebody
//! is told.

use dispatch_model::{
    ContainerId, ContainerState, IdleBehavior, PoolSnapshot, QueueSnapshot, Resources, RunnerState,
    WorkerId, WorkerState, WorkerView,
};
use dispatch_scheduler::InstanceTypes;

/// Whether a container may be started on a worker, as far as the snapshots tell (invariants 1 and 2).
pub(crate) fn may_start(
    queue: &QueueSnapshot,
    pool: &PoolSnapshot,
    types: &InstanceTypes,
    container: &ContainerId,
    worker: WorkerId,
) -> Result<(), String> {
    let entry = queue
        .entries
        .get(container)
        .ok_or("the container is not in the queue")?;
    if entry.state != ContainerState::Locked {
        return Err(format!("the container is {}", entry.state));
    }
    if let Some(runner) = pool.runners.get(container).and_then(|runners| {
        runners
            .iter()
            .find(|runner| !matches!(runner.state, RunnerState::Exited { .. }))
    }) {
        return Err(format!("a runner of it is already on {}", runner.worker));
    }
    let view = pool.workers.get(&worker).ok_or("there is no such worker")?;
    if !view.takes_work || view.idle_behavior != IdleBehavior::Run {
        return Err(format!(
            "the worker takes no work ({}, {})",
            view.state, view.idle_behavior
        ));
    }
    let spare = spare(queue, view).ok_or("something unknown runs on the worker")?;
    let needs = entry.sizing.needs;
    if needs.vcpus > spare.vcpus
        || needs.ram_bytes > spare.ram_bytes
        || needs.scratch_bytes > spare.scratch_bytes
        || needs.gpus > 0
            && (view.free_gpus.is_none_or(|free| needs.gpus > free)
                || needs.gpu_vram_bytes > spare.gpu_vram_bytes)
    {
        return Err(format!(
            "the worker has no room for it: needs {needs:?}, there is {spare:?}"
        ));
    }
    if !types.contains_key(&view.instance_type.name) {
        return Err(format!(
            "the worker's type {} is not configured any more",
            view.instance_type.name
        ));
    }
    Ok(())
}

/// Whether one more instance may be ordered (invariant 8).
pub(crate) fn may_create(pool: &PoolSnapshot, price: f64) -> Result<(), String> {
    let spent = pool.price_per_hour();
    if !pool.affords(spent, price) {
        return Err(format!(
            "all instances cost {spent:.3} an hour, and one for {price:.3} would exceed the spending limit"
        ));
    }
    match pool.instance_limit {
        Some(limit) if pool.workers.len() >= limit => Err(format!(
            "there are {} instances and open orders, and {limit} may be",
            pool.workers.len()
        )),
        _ => Ok(()),
    }
}

/// Whether a worker may be shut down by the planner (invariant 5).
pub(crate) fn may_shut_down(pool: &PoolSnapshot, worker: WorkerId) -> Result<(), String> {
    let view = pool.workers.get(&worker).ok_or("there is no such worker")?;
    if view.idle_behavior == IdleBehavior::Hold {
        Err("it is held".to_owned())
    } else if !view.containers.is_empty() {
        Err(format!("{} containers are on it", view.containers.len()))
    } else if view.state == WorkerState::Unknown && !view.runners_known {
        Err("nobody knows what runs on it".to_owned())
    } else {
        Ok(())
    }
}

/// What is left of a worker's resources; `None` if something on it is of unknown size (facts S35).
fn spare(queue: &QueueSnapshot, view: &WorkerView) -> Option<Resources> {
    let mut spare = view.instance_type.resources();
    for id in &view.containers {
        let entry = (queue.entries.get(id)).filter(|entry| entry.needs_known)?;
        let needs = entry.sizing.needs;
        spare.vcpus = spare.vcpus.saturating_sub(needs.vcpus);
        spare.ram_bytes = spare.ram_bytes.saturating_sub(needs.ram_bytes);
        spare.scratch_bytes = spare.scratch_bytes.saturating_sub(needs.scratch_bytes);
    }
    Some(spare)
}
