//! What a runner is told on standard input when it starts (facts §2.2.2).

use std::{collections::BTreeMap, fmt, sync::Arc};

use dispatch_model::{ContainerId, InstanceType};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::{gateway_address, gateway_secret, instance_type_record};

/// What all starts have in common.
#[derive(Clone)]
pub struct StartSettings {
    /// The API's host, with its port if it has one, without scheme.
    pub api_host: String,
    /// SystemRootToken: the runner's token for the API, and the key of the gateways' secrets.
    pub system_root_token: String,
    /// TLS.Insecure.
    pub insecure: bool,
    /// LocalKeepBlobBuffersPerVCPU: 0 means no keepstore on the instances.
    pub keep_buffers_per_vcpu: u32,
    /// The whole cluster configuration with its secrets, as JSON text, written once for all starts (facts P9). Sent
    /// only if `keep_buffers_per_vcpu` is not 0.
    pub cluster: Arc<RawValue>,
    /// Whether the driver is "ec2".
    pub on_ec2: bool,
}

impl fmt::Debug for StartSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StartSettings")
            .field("api_host", &self.api_host)
            .field("insecure", &self.insecure)
            .field("keep_buffers_per_vcpu", &self.keep_buffers_per_vcpu)
            .field("on_ec2", &self.on_ec2)
            .finish_non_exhaustive()
    }
}

/// One start.
#[derive(Clone, Debug)]
pub struct Start<'a> {
    /// Which container.
    pub container: &'a ContainerId,
    /// The container's own VCPUs (facts K5: not the instance's).
    pub container_vcpus: u32,
    /// The type of the instance it starts on.
    pub instance_type: &'a InstanceType,
    /// That instance's address.
    pub instance_address: &'a str,
    /// The numbers of the GPU devices that are the container's (facts K6).
    pub gpu_devices: &'a [u32],
}

/// Standard input of a start. Holds secrets, so it does not print.
#[derive(Clone, PartialEq, Eq)]
pub struct StartDocument(Vec<u8>);

impl StartDocument {
    /// The document, for standard input and nothing else.
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

impl fmt::Debug for StartDocument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StartDocument({} bytes)", self.0.len())
    }
}

impl StartSettings {
    /// The document of this start.
    pub fn document(&self, start: &Start<'_>) -> StartDocument {
        let keep = self.keep_buffers_per_vcpu > 0;
        let document = Document {
            env: self.env(start),
            keep_buffers: u64::from(self.keep_buffers_per_vcpu) * u64::from(start.container_vcpus),
            spot_check: self.on_ec2 && start.instance_type.preemptible,
            cluster: keep.then_some(&*self.cluster),
        };
        StartDocument(serde_json::to_vec(&document).expect("writing JSON to memory"))
    }

    fn env(&self, start: &Start<'_>) -> BTreeMap<&'static str, String> {
        let mut env = BTreeMap::from([
            ("ARVADOS_API_HOST", self.api_host.clone()),
            ("ARVADOS_API_TOKEN", self.system_root_token.clone()),
            ("InstanceType", instance_type_record(start.instance_type)),
            ("GatewayAddress", gateway_address(start.instance_address)),
            (
                "GatewayAuthSecret",
                gateway_secret(&self.system_root_token, start.container),
            ),
        ]);
        if self.insecure {
            env.insert("ARVADOS_API_HOST_INSECURE", "1".to_owned());
        }
        if let Some((name, devices)) = visible_devices(start) {
            env.insert(name, devices);
        }
        env
    }
}

#[derive(Serialize)]
struct Document<'a> {
    #[serde(rename = "Env")]
    env: BTreeMap<&'static str, String>,
    #[serde(rename = "KeepBuffers")]
    keep_buffers: u64,
    #[serde(rename = "EC2SpotCheck")]
    spot_check: bool,
    #[serde(rename = "Cluster")]
    cluster: Option<&'a RawValue>,
}

/// The variable that pins a container to its devices, by the instance's stack.
fn visible_devices(start: &Start<'_>) -> Option<(&'static str, String)> {
    if start.gpu_devices.is_empty() {
        return None;
    }
    let name = match start.instance_type.gpu.stack.as_str() {
        "cuda" => "CUDA_VISIBLE_DEVICES",
        "rocm" => "AMD_VISIBLE_DEVICES",
        _ => return None,
    };
    let devices: Vec<String> = start.gpu_devices.iter().map(u32::to_string).collect();
    Some((name, devices.join(",")))
}

#[cfg(test)]
mod tests;
