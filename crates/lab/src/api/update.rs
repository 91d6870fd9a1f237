//! `PUT containers/<uuid>` (facts §5.2 to §5.4).

use serde_json::{Map, Value, json};

use super::{Api, Caller, Container, ContainerState, Refusal, refuse, rules};
use crate::{settings::ApiKnobs, time::Now};

impl Api {
    pub(super) fn update(
        &mut self,
        uuid: &str,
        attributes: &Map<String, Value>,
        caller: &Caller,
        runner: Option<String>,
        knobs: &ApiKnobs,
        now: Now,
    ) -> Result<(), Refusal> {
        let Some(container) = self.containers.get(uuid) else {
            return refuse(404, "Path not found");
        };
        let from = container.state;
        let to = wanted_state(container, attributes)?;
        let changed = changed_attributes(container, attributes)?;
        check_caller(container, caller, &changed)?;
        if from != to && !rules::allowed(from, to) {
            return refuse(422, format!("State cannot change from {from} to {to}"));
        }
        let foreign_lock = container
            .locked_by_uuid
            .as_ref()
            .is_some_and(|locker| *locker != caller.uuid);
        for name in &changed {
            let stolen = foreign_lock && caller.admin && rules::PROGRESS.contains(&name.as_str());
            if stolen || !rules::writable(name, from, to) {
                return refuse(
                    422,
                    format!(
                        "{name} cannot be modified in state '{to}' ({} -> {})",
                        container.value(name),
                        attributes.get(name).unwrap_or(&Value::Null)
                    ),
                );
            }
        }
        if let Some(status) = attributes.get("runtime_status") {
            check_runtime_status(status)?;
        }
        self.write(uuid, attributes, &changed, now);
        if from != to {
            self.enter(uuid, to, caller, knobs, now);
        }
        if attributes.contains_key("state") {
            // `enter` may have ended elsewhere: the last attempt is over.
            let to = self
                .containers
                .get(uuid)
                .map_or(to, |container| container.state);
            self.note(uuid, Some(from), to, &caller.uuid, runner);
        }
        Ok(())
    }

    fn write(&mut self, uuid: &str, attributes: &Map<String, Value>, changed: &[String], now: Now) {
        let Some(container) = self.containers.get_mut(uuid) else {
            return;
        };
        for name in changed {
            let value = attributes.get(name).cloned().unwrap_or(Value::Null);
            match (name.as_str(), container.plain.get_mut(name.as_str())) {
                ("priority", _) => container.priority = value.as_i64().unwrap_or(0),
                (_, Some(attribute)) => *attribute = value,
                _ => {}
            }
        }
        container.modified_at = now.wall;
    }

    /// What a change of state brings with it (facts §5.4).
    pub(super) fn enter(
        &mut self,
        uuid: &str,
        to: ContainerState,
        caller: &Caller,
        knobs: &ApiKnobs,
        now: Now,
    ) {
        let token = format!("{}-gj3su-{}", self.cluster_id, self.luck.base36(15));
        let Some(container) = self.containers.get_mut(uuid) else {
            return;
        };
        let mut to = to;
        let was = container.state;
        if was == ContainerState::Locked && to == ContainerState::Queued {
            if container.lock_count >= knobs.max_dispatch_attempts {
                to = ContainerState::Cancelled;
                let message = format!(
                    "Failed to start: lock_count ({}) has reached Containers.MaxDispatchAttempts ({}).",
                    container.lock_count, knobs.max_dispatch_attempts
                );
                container
                    .plain
                    .insert("runtime_status", json!({ "error": message }));
            } else {
                container.plain.insert("runtime_status", json!({}));
            }
        }
        match to {
            ContainerState::Locked => {
                container.lock_count += 1;
                container.locked_by_uuid = Some(caller.uuid.clone());
                container.auth_uuid = Some(token);
            }
            ContainerState::Running => container.started_at = Some(now.wall),
            ContainerState::Queued => {
                container.locked_by_uuid = None;
                container.auth_uuid = None;
            }
            ContainerState::Complete | ContainerState::Cancelled => {
                container.finished_at.get_or_insert(now.wall);
                container.locked_by_uuid = None;
                container.auth_uuid = None;
            }
        }
        container.state = to;
        container.modified_at = now.wall;
    }
}

fn wanted_state(
    container: &Container,
    attributes: &Map<String, Value>,
) -> Result<ContainerState, Refusal> {
    match attributes.get("state") {
        None => Ok(container.state),
        Some(value) => match value.as_str().and_then(ContainerState::from_name) {
            Some(state) => Ok(state),
            None => refuse(422, format!("State {value} is not recognized")),
        },
    }
}

/// The attributes whose values differ. Changes between null, [] and {} do not count (facts §5.3).
fn changed_attributes(
    container: &Container,
    attributes: &Map<String, Value>,
) -> Result<Vec<String>, Refusal> {
    let empty = |value: &Value| {
        value.is_null()
            || value.as_array().is_some_and(Vec::is_empty)
            || value.as_object().is_some_and(Map::is_empty)
    };
    let mut changed = Vec::new();
    for (name, value) in attributes {
        if !super::record::is_attribute(name) {
            return refuse(422, format!("unknown attribute '{name}' for Container."));
        }
        if name == "priority" && value.as_i64().is_none_or(|priority| priority < 0) {
            return refuse(422, "Priority must be an integer of at least 0");
        }
        let old = container.value(name);
        if old != *value && !(empty(&old) && empty(value)) {
            changed.push(name.clone());
        }
    }
    Ok(changed)
}

/// Administrators may, and a Running container's own token for its progress (facts §5.3).
fn check_caller(container: &Container, caller: &Caller, changed: &[String]) -> Result<(), Refusal> {
    let own = container.auth_uuid.as_ref() == Some(&caller.uuid)
        && container.state == ContainerState::Running;
    let forbidden = changed
        .iter()
        .any(|name| matches!(name.as_str(), "priority" | "log"));
    if caller.admin || own && !forbidden {
        Ok(())
    } else {
        refuse(403, "Forbidden")
    }
}

fn check_runtime_status(status: &Value) -> Result<(), Refusal> {
    let Some(status) = status.as_object() else {
        return refuse(422, "Runtime status must be an object");
    };
    for name in rules::STATUS_TEXTS {
        if status.get(*name).is_some_and(|value| !value.is_string()) {
            return refuse(
                422,
                format!("Runtime status '{name}' value must be a string"),
            );
        }
    }
    Ok(())
}
