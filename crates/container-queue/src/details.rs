//! What readers may want to know of a container beyond what the planner needs.

use dispatch_model::QueueEntry;
use serde_json::{Value, json};

use crate::{Constraints, Parameters};

/// The rest of a container's record, for the management API (facts §2.6).
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Details {
    /// What it asks for.
    pub constraints: Constraints,
    /// How it wants to be run.
    pub parameters: Parameters,
    /// Portable data hash of its image.
    pub container_image: String,
    /// Whose lock it is under: the UUID of a token.
    pub locked_by: Option<String>,
    /// Why it cannot be started though nothing is known to be missing, in words for its owner: its record cannot be
    /// read, or there are no instance types at all.
    pub problem: Option<String>,
    /// It asks for an image that is not allowed, and gets the cluster's: that, in words for its owner.
    pub image_remark: Option<String>,
}

impl Details {
    /// The container as the Go dispatcher answers it: every field there is, with the zero value for what a
    /// dispatcher does not know.
    pub fn container_json(&self, entry: &QueueEntry) -> Value {
        let gpu = &self.constraints.gpu;
        let mut record = json!({
            "uuid": entry.id.as_str(),
            "state": entry.state,
            "priority": entry.priority,
            "created_at": entry.created_at.map_or_else(|| ZERO_TIME.to_owned(), |at| at.to_string()),
            "container_image": self.container_image,
            "locked_by_uuid": self.locked_by.as_deref().unwrap_or_default(),
            "runtime_constraints": {
                "API": self.constraints.api,
                "vcpus": self.constraints.vcpus,
                "ram": self.constraints.ram_bytes,
                "keep_cache_ram": self.constraints.keep_cache_ram_bytes,
                "keep_cache_disk": self.constraints.keep_cache_disk_bytes,
                "gpu": {
                    "stack": gpu.stack,
                    "driver_version": gpu.driver_version,
                    "hardware_target": gpu.hardware_targets,
                    "device_count": gpu.device_count,
                    "vram": gpu.vram_bytes,
                },
            },
            "scheduling_parameters": {
                "partitions": self.parameters.partitions,
                "preemptible": self.parameters.preemptible,
                "max_run_time": self.parameters.max_run_secs,
                "supervisor": self.parameters.supervisor,
            },
            "auth_uuid": "",
            "command": null,
            "cost": 0,
            "cwd": "",
            "environment": null,
            "etag": "",
            "exit_code": 0,
            "finished_at": null,
            "gateway_address": "",
            "interactive_session_started": false,
            "lock_count": 0,
            "log": "",
            "modified_at": ZERO_TIME,
            "modified_by_user_uuid": "",
            "mounts": null,
            "output": "",
            "output_glob": null,
            "output_path": "",
            "output_storage_classes": null,
            "published_ports": null,
            "runtime_auth_scopes": null,
            "runtime_status": null,
            "runtime_token": "",
            "runtime_user_uuid": "",
            "service": false,
            "started_at": null,
            "subrequests_cost": 0,
        });
        if let Some(image) = &self.constraints.vm_image {
            record["runtime_constraints"]["vm_image"] = json!(image);
        }
        record
    }
}

/// How a time that is not known is written.
const ZERO_TIME: &str = "0001-01-01T00:00:00Z";

#[cfg(test)]
mod tests {
    use dispatch_model::Time;

    use super::*;
    use crate::row;

    /// What the Go dispatcher answered for a container that its own list shows like this.
    #[test]
    fn a_container_is_answered_like_the_recorded_ones() {
        let recorded = include_str!("../../../tests/transcripts/management.jsonl");
        let mut compared = 0;
        for line in recorded.lines() {
            let line: Value = serde_json::from_str(line).expect("a line of JSON");
            for item in line["items"].as_array().into_iter().flatten() {
                let container = &item["container"];
                if container.is_null() {
                    continue;
                }
                let row = row::read_row(&crate::json(container)).expect("a row");
                let request = row.request.expect("a request");
                let details = Details {
                    constraints: request.constraints,
                    parameters: request.parameters,
                    container_image: request.container_image,
                    locked_by: row.locked_by,
                    problem: None,
                    image_remark: None,
                };
                let entry = QueueEntry {
                    id: row.id,
                    state: row.state,
                    priority: row.priority,
                    created_at: request.created_at,
                    first_seen: Time::ZERO,
                    first_seen_wall: jiff::Timestamp::UNIX_EPOCH,
                    supervisor: details.parameters.supervisor,
                    sizing: Default::default(),
                    needs_known: true,
                    locked_here: false,
                    busy: false,
                    as_of: Time::ZERO,
                };
                assert_eq!(details.container_json(&entry), *container);
                compared += 1;
            }
        }
        assert!(compared > 2, "only {compared} recorded containers");
    }
}
