//! Snapshots in the words of the management API (facts §2.6).

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use dispatch_brain::{ContainerView, Snapshot};
use dispatch_management_api::wire;
use dispatch_model::{
    ContainerState, Hold, InstanceType, InstanceTypeName, PoolSnapshot, WorkerView,
};
use dispatch_scheduler::Wait;

/// One container.
pub(crate) fn container(
    view: &ContainerView<'_>,
    types: &BTreeMap<InstanceTypeName, Arc<InstanceType>>,
    pool: &PoolSnapshot,
) -> wire::Container {
    let entry = view.entry;
    let record = view.details.map(|details| details.container_json(entry));
    let instance_types: Vec<wire::TypeRecord> = entry
        .sizing
        .types
        .iter()
        .filter_map(|name| types.get(name))
        .map(|it| wire::TypeRecord::from(&**it))
        .collect();
    let problem = view.details.and_then(|details| details.problem.clone());
    let scheduling_status = match (entry.state, problem, view.wait) {
        (ContainerState::Running | ContainerState::Complete | ContainerState::Cancelled, _, _) => {
            String::new()
        }
        (ContainerState::Queued | ContainerState::Locked, Some(problem), _) => problem,
        (ContainerState::Queued | ContainerState::Locked, None, Some(wait)) => wait.to_string(),
        (ContainerState::Queued | ContainerState::Locked, None, None) => {
            "Waiting to be looked at.".to_owned()
        }
    };
    let image_remark = view
        .details
        .and_then(|details| details.image_remark.clone());
    let scheduling_status = match image_remark {
        Some(remark) if !scheduling_status.is_empty() => format!("{scheduling_status} {remark}"),
        _ => scheduling_status,
    };
    wire::Container {
        container: match record {
            Some(serde_json::Value::Object(record)) => record,
            _ => serde_json::Map::new(),
        },
        instance_resources: entry.sizing.needs.into(),
        instance_type: instance_types.first().cloned(),
        instance_types,
        first_seen_at: entry.first_seen_wall.to_string(),
        scheduling_status,
        held_by: view.wait.map_or_else(Vec::new, |wait| held_by(wait, pool)),
    }
}

/// What the operators must know of a wait for an instance, each thing once.
fn held_by(wait: &Wait, pool: &PoolSnapshot) -> Vec<String> {
    let holds: Vec<&Hold> = match wait {
        Wait::NoMoreInstances { .. } => pool.hold.iter().collect(),
        Wait::TypesHeld { types, .. } => {
            let held = types.iter();
            held.filter_map(|held| pool.type_holds.get(&held.name))
                .collect()
        }
        _ => Vec::new(),
    };
    let details = holds.into_iter().map(|hold| hold.detail.clone());
    let details: BTreeSet<String> = details.filter(|detail| !detail.is_empty()).collect();
    details.into_iter().collect()
}

/// All instances and creations under way, by instance id, then type.
pub(crate) fn instances(snapshot: &Snapshot) -> Vec<wire::Instance> {
    let mut rows: Vec<wire::Instance> = snapshot
        .pool
        .workers
        .values()
        .map(|worker| instance(worker))
        .collect();
    rows.sort_by(|a, b| {
        (&a.instance, &a.arvados_instance_type).cmp(&(&b.instance, &b.arvados_instance_type))
    });
    rows
}

fn instance(worker: &WorkerView) -> wire::Instance {
    let text = |id: Option<String>| id.unwrap_or_default();
    wire::Instance {
        instance: text(worker.instance.as_ref().map(ToString::to_string)),
        address: text(worker.address.clone()),
        price: worker.instance_type.price,
        arvados_instance_type: worker.instance_type.configured_name().to_string(),
        image: (worker.instance_type.image_name()).map(str::to_owned),
        provider_instance_type: worker.instance_type.provider_type.clone(),
        last_container_uuid: text(worker.last_container.as_ref().map(ToString::to_string)),
        last_busy: worker.last_busy.to_string(),
        running_container_uuids: worker
            .instance
            .as_ref()
            .map(|_| worker.containers.iter().map(ToString::to_string).collect()),
        worker_state: worker.state,
        idle_behavior: worker.idle_behavior,
        remark: worker.remark.clone(),
    }
}
