//! Start documents, compared with what the Go dispatcher was recorded to send.

use dispatch_model::Gpu;
use serde_json::{Value, json};

use super::*;

fn settings(keep_buffers_per_vcpu: u32) -> StartSettings {
    StartSettings {
        api_host: "127.0.0.1:19000".to_owned(),
        system_root_token: "the-root-token".to_owned(),
        insecure: true,
        keep_buffers_per_vcpu,
        cluster: RawValue::from_string(
            r#"{"Collections":{"BlobSigning":true},"Price":0.10}"#.to_owned(),
        )
        .expect("JSON")
        .into(),
        on_ec2: true,
    }
}

fn small(preemptible: bool, stack: &str) -> InstanceType {
    InstanceType {
        name: "small".into(),
        provider_type: "m5.small".to_owned(),
        image: None,
        vcpus: 8,
        ram_bytes: 2 << 30,
        included_scratch_bytes: 100_000_000_000,
        added_scratch_bytes: 50_000_000_000,
        price: 0.1,
        preemptible,
        gpu: Gpu {
            stack: stack.to_owned(),
            device_count: 4 * u32::from(!stack.is_empty()),
            ..Gpu::default()
        },
    }
}

fn document(settings: &StartSettings, instance_type: &InstanceType, gpu_devices: &[u32]) -> Value {
    let start = Start {
        container: &"zzzzz-dz642-000000000000001".into(),
        container_vcpus: 3,
        instance_type,
        instance_address: "127.10.1.3:4022",
        gpu_devices,
    };
    serde_json::from_slice(&settings.document(&start).into_bytes()).expect("JSON")
}

/// The recording's own document (facts §2.2.2), except for the token and what is made from it.
#[test]
fn the_document_has_the_recorded_keys_and_values() {
    let mut instance_type = small(false, "");
    instance_type.vcpus = 1;
    let seen = document(&settings(0), &instance_type, &[]);
    assert_eq!(
        seen,
        json!({
            "Env": {
                "ARVADOS_API_HOST": "127.0.0.1:19000",
                "ARVADOS_API_HOST_INSECURE": "1",
                "ARVADOS_API_TOKEN": "the-root-token",
                "GatewayAddress": "127.10.1.3:0",
                "GatewayAuthSecret": gateway_secret("the-root-token", &"zzzzz-dz642-000000000000001".into()),
                "InstanceType": "{\n    \"ProviderType\": \"m5.small\",\n    \"VCPUs\": 1,\n    \"RAM\": 2147483648,\n    \"IncludedScratch\": 100000000000,\n    \"AddedScratch\": 50000000000,\n    \"Price\": 0.1,\n    \"Preemptible\": false,\n    \"GPU\": {\n        \"Stack\": \"\",\n        \"DriverVersion\": \"\",\n        \"HardwareTarget\": \"\",\n        \"DeviceCount\": 0,\n        \"VRAM\": 0\n    }\n}\n",
            },
            "KeepBuffers": 0,
            "EC2SpotCheck": false,
            "Cluster": null,
        })
    );
    let keys: Vec<&String> = seen.as_object().expect("an object").keys().collect();
    assert_eq!(keys, ["Env", "KeepBuffers", "EC2SpotCheck", "Cluster"]);
}

#[test]
fn keepstore_gets_buffers_for_the_container_and_not_for_the_instance() {
    let seen = document(&settings(2), &small(false, ""), &[]);
    assert_eq!(seen["KeepBuffers"], json!(6));
    assert_eq!(seen["Cluster"]["Collections"]["BlobSigning"], json!(true));
}

#[test]
fn the_cluster_is_passed_on_as_it_was_written() {
    let start = Start {
        container: &"c1".into(),
        container_vcpus: 1,
        instance_type: &small(false, ""),
        instance_address: "h",
        gpu_devices: &[],
    };
    let text = String::from_utf8(settings(1).document(&start).into_bytes()).expect("text");
    assert!(
        text.ends_with(r#""Cluster":{"Collections":{"BlobSigning":true},"Price":0.10}}"#),
        "{text}"
    );
}

#[test]
fn interruptions_are_watched_for_on_spot_instances_of_ec2_only() {
    let spot = small(true, "");
    assert_eq!(
        document(&settings(0), &spot, &[])["EC2SpotCheck"],
        json!(true)
    );
    let elsewhere = StartSettings {
        on_ec2: false,
        ..settings(0)
    };
    assert_eq!(
        document(&elsewhere, &spot, &[])["EC2SpotCheck"],
        json!(false)
    );
}

#[test]
fn gpu_devices_are_named_in_the_variable_of_their_stack() {
    let env = |stack: &str, devices: &[u32]| {
        document(&settings(0), &small(false, stack), devices)["Env"].clone()
    };
    assert_eq!(env("cuda", &[0, 2])["CUDA_VISIBLE_DEVICES"], json!("0,2"));
    assert_eq!(env("rocm", &[3])["AMD_VISIBLE_DEVICES"], json!("3"));
    for env in [env("cuda", &[]), env("rocm", &[]), env("", &[0])] {
        assert!(
            env.get("CUDA_VISIBLE_DEVICES").is_none() && env.get("AMD_VISIBLE_DEVICES").is_none()
        );
    }
}

#[test]
fn a_secure_cluster_has_no_insecure_variable() {
    let secure = StartSettings {
        insecure: false,
        ..settings(0)
    };
    let env = document(&secure, &small(false, ""), &[])["Env"].clone();
    assert!(env.get("ARVADOS_API_HOST_INSECURE").is_none());
}

#[test]
fn secrets_do_not_print() {
    let settings = settings(1);
    let start = Start {
        container: &"c1".into(),
        container_vcpus: 1,
        instance_type: &small(false, ""),
        instance_address: "h",
        gpu_devices: &[],
    };
    let printed = format!("{settings:?} {:?}", settings.document(&start));
    assert!(
        !printed.contains("the-root-token") && !printed.contains("BlobSigning"),
        "{printed}"
    );
}
