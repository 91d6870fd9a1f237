//! The kinds of instances: the operator's, their automatic spot variants (facts §3.4), the loopback type (facts §3.5).

use std::collections::BTreeMap;

use dispatch_model::{Gpu, InstanceType, InstanceTypeName};
use serde_json::{Map, Value};

use crate::{HostFacts, path::KeyPath, reader::Reader};

type Types = BTreeMap<InstanceTypeName, InstanceType>;

pub(crate) fn read(reader: &mut Reader<'_>, host: &HostFacts) -> Types {
    let section = KeyPath::dotted("InstanceTypes");
    let loopback = reader.text("Containers.CloudVMs.Driver") == "loopback";
    let mut types = Types::new();
    for (name, entry) in reader.section("InstanceTypes") {
        let path = section.child(name);
        if name.trim().is_empty() {
            reader
                .report
                .error(&path, None, "has no name", "give the type a name");
            continue;
        }
        let entry = entry
            .as_object()
            .expect("the merge lets only a section stand here");
        types.insert(name.as_str().into(), one(name, entry, &path, reader));
    }
    if loopback && reader.flag("Containers.CloudVMs.Enable") {
        if types.is_empty() {
            types.insert("localhost".into(), localhost(host));
        } else if types.len() > 1 {
            let message = format!(
                "has {} entries, but the loopback driver offers one host",
                types.len()
            );
            reader.report.error(
                &section,
                None,
                message,
                "keep one, or none for a type of this host's size",
            );
        }
    }
    if types.is_empty() {
        let remedy =
            "add at least one, as in `InstanceTypes: {small: {VCPUs: 2, RAM: 4GiB, Price: 0.1}}`";
        reader
            .report
            .warning(&section, None, "is empty, so no container can run", remedy);
    }
    add_spot_variants(&mut types, reader);
    types
}

fn one(
    name: &str,
    entry: &Map<String, Value>,
    path: &KeyPath,
    reader: &mut Reader<'_>,
) -> InstanceType {
    let gpu = entry
        .get("GPU")
        .and_then(Value::as_object)
        .cloned()
        .unwrap_or_default();
    let provider_type = text(entry, "ProviderType");
    let instance_type = InstanceType {
        name: name.into(),
        provider_type: if provider_type.is_empty() {
            name.to_owned()
        } else {
            provider_type
        },
        image: None,
        vcpus: count(entry, "VCPUs"),
        ram_bytes: bytes(entry, "RAM"),
        included_scratch_bytes: bytes(entry, "IncludedScratch"),
        added_scratch_bytes: bytes(entry, "AddedScratch"),
        price: entry.get("Price").and_then(Value::as_f64).unwrap_or(0.0),
        preemptible: entry
            .get("Preemptible")
            .and_then(Value::as_bool)
            .unwrap_or(false),
        gpu: Gpu {
            stack: text(&gpu, "Stack"),
            driver_version: text(&gpu, "DriverVersion"),
            hardware_target: text(&gpu, "HardwareTarget"),
            device_count: count(&gpu, "DeviceCount"),
            vram_bytes: bytes(&gpu, "VRAM"),
        },
    };
    for (key, is_zero, example) in [
        ("VCPUs", instance_type.vcpus == 0, "4"),
        ("RAM", instance_type.ram_bytes == 0, "8GiB"),
    ] {
        let path = path.child(key);
        // What was given and is not there was of the wrong kind, which has been told.
        if is_zero && (entry.contains_key(key) || !reader.report.was_given(&path)) {
            let value = entry.get(key).map(Value::to_string);
            let message = if value.is_some() {
                "must not be zero"
            } else {
                "is missing"
            };
            reader.report.error(
                &path,
                value,
                message,
                format!("write how much the type has, as in {key}: {example}"),
            );
        }
    }
    let price = instance_type.price;
    let price_path = path.child("Price");
    if price < 0.0 {
        reader.report.error(
            &price_path,
            Some(price.to_string()),
            "is negative",
            "write dollars an hour",
        );
    } else if price == 0.0 && (entry.contains_key("Price") || !reader.report.was_given(&price_path))
    {
        let message = "is zero, so every dearer type counts as infinitely dear beside this one";
        reader
            .report
            .warning(&price_path, None, message, "write dollars an hour");
    }
    check_gpu(&instance_type.gpu, &path.child("GPU"), reader);
    instance_type
}

fn check_gpu(gpu: &Gpu, path: &KeyPath, reader: &mut Reader<'_>) {
    let quoted = |text: &str| Some(crate::mask::quoted(text));
    let report = &mut *reader.report;
    if gpu.device_count == 0 {
        if !gpu.stack.is_empty()
            || report.was_given(&path.child("DeviceCount")) && gpu.vram_bytes > 0
        {
            let message = "is zero, so the type counts as one without GPU";
            report.warning(
                &path.child("DeviceCount"),
                None,
                message,
                "write how many devices it has",
            );
        }
        return;
    }
    let stack_is_known = matches!(gpu.stack.as_str(), "cuda" | "rocm");
    if !stack_is_known {
        report.error(
            &path.child("Stack"),
            quoted(&gpu.stack),
            "is not a GPU stack",
            "write cuda or rocm",
        );
    }
    if !is_version(&gpu.driver_version) {
        let remedy = "write the driver's version, as in \"12.4\"";
        report.error(
            &path.child("DriverVersion"),
            quoted(&gpu.driver_version),
            "is not a version",
            remedy,
        );
    }
    let target = path.child("HardwareTarget");
    if gpu.stack == "cuda" && !is_version(&gpu.hardware_target) {
        let remedy = "write the devices' CUDA capability, as in \"9.0\"";
        report.error(
            &target,
            quoted(&gpu.hardware_target),
            "is not a CUDA capability",
            remedy,
        );
    } else if gpu.stack == "rocm" && gpu.hardware_target.is_empty() {
        report.error(
            &target,
            None,
            "is missing",
            "write the devices' target, as in gfx90a",
        );
    }
    if gpu.vram_bytes == 0 && !report.was_given(&path.child("VRAM")) {
        let message = "is missing, so no container that needs GPU memory fits";
        report.warning(
            &path.child("VRAM"),
            None,
            message,
            "write the memory of each device, as in 40GiB",
        );
    }
}

/// Numbers with dots between them.
fn is_version(text: &str) -> bool {
    text.split('.')
        .all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()))
}

fn localhost(host: &HostFacts) -> InstanceType {
    InstanceType {
        name: "localhost".into(),
        provider_type: "localhost".to_owned(),
        image: None,
        vcpus: host.cpus,
        ram_bytes: host.ram_bytes,
        included_scratch_bytes: host.tmp_bytes,
        added_scratch_bytes: 0,
        price: 1.0,
        preemptible: false,
        gpu: Gpu::default(),
    }
}

/// One that the operator wrote under the same name stays (C4).
fn add_spot_variants(types: &mut Types, reader: &mut Reader<'_>) {
    let factor = reader.number("Containers.PreemptiblePriceFactor");
    if factor <= 0.0 {
        return;
    }
    let variants: Vec<InstanceType> = types
        .values()
        .filter(|instance_type| !instance_type.preemptible)
        .map(|instance_type| InstanceType {
            name: format!("{}.preemptible", instance_type.name).into(),
            price: instance_type.price * factor,
            preemptible: true,
            ..instance_type.clone()
        })
        .collect();
    for variant in variants {
        match types.get(&variant.name) {
            Some(written) if *written != variant => {
                let path = KeyPath::dotted("InstanceTypes").child(variant.name.as_str());
                let message = "differs from the spot variant that PreemptiblePriceFactor would make under this name";
                reader.report.warning(
                    &path,
                    None,
                    message,
                    "rename it if both are wanted; this one is used",
                );
            }
            // A name that ends like this and is not preemptible gets no variant of its own from its base type.
            Some(_) => {}
            None => {
                types.insert(variant.name.clone(), variant);
            }
        }
    }
}

fn text(entry: &Map<String, Value>, key: &str) -> String {
    entry
        .get(key)
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned()
}

fn count(entry: &Map<String, Value>, key: &str) -> u32 {
    entry
        .get(key)
        .and_then(Value::as_u64)
        .and_then(|count| u32::try_from(count).ok())
        .unwrap_or(0)
}

fn bytes(entry: &Map<String, Value>, key: &str) -> u64 {
    entry.get(key).and_then(Value::as_u64).unwrap_or(0)
}

#[cfg(test)]
mod tests;
