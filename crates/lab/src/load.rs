//! What runs in the lab: the instance types and the mixed load of facts §6.1.

use serde_json::{Value, json};

use crate::{luck::Luck, settings::InstanceType};

const GIB: u64 = 1 << 30;

/// Types of N cores, 1.1 N GiB of memory, N GiB of scratch, 0.123 N $/h.
pub fn instance_types() -> Vec<InstanceType> {
    [1_u32, 2, 3, 4, 6, 8, 16]
        .into_iter()
        .map(|n| InstanceType {
            name: format!("type{n}"),
            provider_type: format!("lab.{n}"),
            vcpus: n,
            ram: u64::from(n) * GIB * 11 / 10,
            scratch: u64::from(n) * GIB,
            price: 0.123 * f64::from(n),
            preemptible: false,
            gpus: 0,
        })
        .collect()
}

/// The attributes of the i-th container of the mixed load.
pub fn mixed(i: u64) -> Value {
    json!({
        "priority": (i % 20 + 1) << 50,
        "command": ["lab", i.to_string()],
        "container_image": "fa3c1a9cb6783f85f2ecda037e07b8c3+167",
        "runtime_constraints": {
            "API": false,
            "ram": (i % 3 + 1) * GIB,
            "vcpus": i % 8 + 1,
            "keep_cache_ram": 0,
            "keep_cache_disk": 0,
            "gpu": {"stack": "", "driver_version": "", "hardware_target": [], "device_count": 0, "vram": 0},
        },
        "scheduling_parameters": {"partitions": [], "preemptible": false, "max_run_time": 0, "supervisor": false},
        "mounts": {"/tmp": {"kind": "tmp", "capacity": 64 << 20}},
    })
}

/// Makes a container one that fits no type.
pub fn make_impossible(attributes: &mut Value) {
    attributes["runtime_constraints"]["vcpus"] = json!(1000);
}

/// What a malformed row shows: an attribute, and a value of another kind than it should have.
pub fn poison(luck: &mut Luck) -> (&'static str, Value) {
    match luck.below(4) {
        0 => ("runtime_constraints", json!({"vcpus": "many", "ram": [1]})),
        1 => ("scheduling_parameters", json!("none")),
        2 => ("priority", json!("high")),
        _ => ("created_at", json!(17)),
    }
}
