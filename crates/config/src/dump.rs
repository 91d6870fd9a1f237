//! The effective configuration, with secrets masked.

use serde_json::{Map, Value, json};

use crate::{Format, Loaded, duration, keys, keys::Kind, mask, path::KeyPath, schema};

/// The configuration as the dispatcher uses it: the operator's values, the defaults, keys of our own, time-outs that
/// fell back to their defaults, all instance types. Secrets are masked.
pub fn dump(loaded: &Loaded, format: Format) -> String {
    let mut cluster = Value::Object(loaded.merged.clone());
    for key in keys::all().filter(|key| key.kind == Kind::Duration) {
        let pointer = format!("/{}", key.path.replace('.', "/"));
        let value = cluster.pointer_mut(&pointer);
        if let (Some(value), Some(default)) = (value, schema::default_at(key.path)) {
            let nanos = value.as_str().and_then(|text| duration::parse(text).ok());
            if nanos.is_some_and(|nanos| nanos <= 0) {
                *value = default.clone();
            }
        }
    }
    cluster["InstanceTypes"] = instance_types(loaded);
    // A section of empty values would say that a database was meant.
    if let Some(Value::Object(connection)) = cluster.pointer_mut("/PostgreSQL/Connection")
        && connection.values().all(|value| value == "")
    {
        connection.clear();
    }
    let cluster = mask::masked_tree(&KeyPath::default(), &cluster);
    let mut clusters = Map::new();
    clusters.insert(loaded.config.cluster_id.clone(), cluster);
    let whole = json!({ "Clusters": clusters });
    match format {
        Format::Yaml => {
            serde_saphyr::to_string(&whole).expect("every JSON value can be written in YAML")
        }
        Format::Toml => toml::to_string(&whole).expect("no null is left after the merge"),
    }
}

fn instance_types(loaded: &Loaded) -> Value {
    let record = |t: &dispatch_model::InstanceType| {
        json!({
            "ProviderType": t.provider_type,
            "VCPUs": t.vcpus,
            "RAM": t.ram_bytes,
            "IncludedScratch": t.included_scratch_bytes,
            "AddedScratch": t.added_scratch_bytes,
            "Price": t.price,
            "Preemptible": t.preemptible,
            "GPU": {
                "Stack": t.gpu.stack,
                "DriverVersion": t.gpu.driver_version,
                "HardwareTarget": t.gpu.hardware_target,
                "DeviceCount": t.gpu.device_count,
                "VRAM": t.gpu.vram_bytes,
            },
        })
    };
    let types = &loaded.config.instance_types;
    Value::Object(
        types
            .values()
            .map(|t| (t.name.to_string(), record(t)))
            .collect(),
    )
}

#[cfg(test)]
mod tests;
