//! The planner: one pass over the waiting containers, in the order of [`order::Rank`].
//!
//! Each container gets, in this order of preference, room on a worker that is ready, on one that is coming, or on an
//! instance to be created. Room given to one is gone for all that follow, whether or not anything is done about it
//! now (facts S21, S22). What cannot be placed is passed over, and lower containers that fit elsewhere go ahead
//! (facts K17); see [`keeping`] for why the big ones do not starve.

mod creation;
mod keeping;
mod order;
mod pass;
mod places;
mod room;
mod shapes;
mod shedding;
mod standing;

use std::{collections::BTreeMap, sync::Arc};

use dispatch_model::{InstanceType, InstanceTypeName, Now, PoolSnapshot, QueueSnapshot};

use crate::{Limits, Plan, Recovery};

/// The instance types that may be created, by name.
pub type InstanceTypes = BTreeMap<InstanceTypeName, Arc<InstanceType>>;

/// Says what to do now, and why each container that waits does. Same input, same plan.
///
/// To be called whenever queue, pool or limits have changed or [`Plan::again_at`] has come, after what
/// [`reconcile`](crate::reconcile()) says for the same snapshots has been done to queue and pool.
///
/// - **Order.** Locked containers go before Queued ones; within each, higher priority first, then what was seen
///   earlier, then the id.
/// - **Locks** are taken ahead of time: as soon as there is room on a worker that is there or will be. Once the lock
///   is answered, the next plan starts the container or creates the instance.
/// - **Packing.** Among the workers with room for every resource, one that is ready comes first, then the fullest,
///   then the cheapest.
/// - **At quota** whatever fits on the workers there are goes on running. Locked containers without room are given
///   back, but for the first; if there is not one instance, that too (facts S10). Idle workers that no waiting
///   container can use are shut down to make room for others.
/// - **Nobody starves.** A container that waits for an instance lets lower ones pass for as long as
///   [`Limits::patience`], counted from when it was first seen. After that, the worker nearest to having room for it
///   is kept for it, and it is locked: the worker takes nothing that comes after it, so each end of a container there
///   brings it nearer. If no worker is of a type that it can use, the one nearest to being empty is kept, so that its
///   instance makes way. At most one worker in four is kept (and at most 64), and at least one.
pub fn plan(
    queue: &QueueSnapshot,
    pool: &PoolSnapshot,
    types: &InstanceTypes,
    limits: &Limits,
    recovery: &Recovery,
    now: Now,
) -> Plan {
    pass::run(queue, pool, types, limits, recovery, now)
}

#[cfg(test)]
mod tests;
