//! `POST containers/<uuid>/lock` and `/unlock` (facts §5.4).

use serde_json::{Value, json};

use super::{Api, Caller, ContainerState, Refusal, refuse};
use crate::{settings::ApiKnobs, time::Now};

impl Api {
    pub(super) fn lock(&mut self, uuid: &str, caller: &Caller, now: Now) -> Result<Value, Refusal> {
        let Some(container) = self.containers.get(uuid) else {
            return refuse(404, "Path not found");
        };
        if container.state != ContainerState::Queued {
            let state = container.state;
            return refuse(
                422,
                format!("#<ArvadosModel::LockFailedError: cannot lock when {state}>"),
            );
        }
        if container.priority <= 0 {
            return refuse(
                422,
                "#<ArvadosModel::LockFailedError: cannot lock when priority<=0>",
            );
        }
        self.enter(
            uuid,
            ContainerState::Locked,
            caller,
            &ApiKnobs::default(),
            now,
        );
        self.note(
            uuid,
            Some(ContainerState::Queued),
            ContainerState::Locked,
            &caller.uuid,
            None,
        );
        self.brief(uuid)
    }

    pub(super) fn unlock(
        &mut self,
        uuid: &str,
        caller: &Caller,
        knobs: &ApiKnobs,
        now: Now,
    ) -> Result<Value, Refusal> {
        let Some(container) = self.containers.get(uuid) else {
            return refuse(404, "Path not found");
        };
        if container.state != ContainerState::Locked {
            let state = container.state;
            return refuse(
                422,
                format!("#<ArvadosModel::InvalidStateTransitionError: cannot unlock when {state}>"),
            );
        }
        if container.locked_by_uuid.as_ref() != Some(&caller.uuid) {
            return refuse(
                403,
                "#<ArvadosModel::PermissionDeniedError: locked by another token>",
            );
        }
        self.enter(uuid, ContainerState::Queued, caller, knobs, now);
        let to = self
            .containers
            .get(uuid)
            .map_or(ContainerState::Queued, |container| container.state);
        self.note(uuid, Some(ContainerState::Locked), to, &caller.uuid, None);
        self.brief(uuid)
    }

    /// The answer to both has these keys and no others.
    fn brief(&self, uuid: &str) -> Result<Value, Refusal> {
        match self.containers.get(uuid) {
            Some(container) => Ok(json!({
                "kind": "arvados#container",
                "uuid": container.uuid,
                "state": container.state.name(),
                "priority": container.priority,
                "auth_uuid": container.auth_uuid,
                "locked_by_uuid": container.locked_by_uuid,
            })),
            None => refuse(404, "Path not found"),
        }
    }
}
