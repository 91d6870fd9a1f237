//! The planner.

use std::{collections::BTreeMap, sync::Arc};

use dispatch_model::{InstanceType, InstanceTypeName, Now, PoolSnapshot, QueueSnapshot};

use crate::{Limits, Plan, Recovery};

/// The instance types that may be created, by name.
pub type InstanceTypes = BTreeMap<InstanceTypeName, Arc<InstanceType>>;

/// Says what to do now. Same input, same plan.
pub fn plan(
    queue: &QueueSnapshot,
    pool: &PoolSnapshot,
    types: &InstanceTypes,
    limits: &Limits,
    recovery: &Recovery,
    now: Now,
) -> Plan {
    let _ = (queue, pool, types, limits, recovery, now);
    Plan::default()
}
