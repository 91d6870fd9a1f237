//! The documents that the runner reads from its standard input, checked strictly (facts §2.2.2, §2.2.3).

use std::collections::BTreeMap;

use hmac::{Hmac, KeyInit, Mac};
use serde::Deserialize;
use serde_json::Value;
use sha2::Sha256;

/// What the start document says, as far as the lab's runner needs it.
#[derive(Debug)]
pub(crate) struct Start {
    pub(crate) token: String,
    pub(crate) gateway_address: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct StartText {
    env: BTreeMap<String, String>,
    keep_buffers: u32,
    #[serde(rename = "EC2SpotCheck")]
    _ec2_spot_check: bool,
    cluster: Option<serde_json::Map<String, Value>>,
}

/// The instance type as the runner gets it; all keys, and no others.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
#[expect(
    dead_code,
    reason = "read to see that all keys are there and of the right kind"
)]
struct TypeText {
    provider_type: String,
    #[serde(rename = "VCPUs")]
    vcpus: u32,
    #[serde(rename = "RAM")]
    ram: u64,
    included_scratch: u64,
    added_scratch: u64,
    price: f64,
    preemptible: bool,
    #[serde(rename = "GPU")]
    gpu: GpuText,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
#[expect(
    dead_code,
    reason = "read to see that all keys are there and of the right kind"
)]
struct GpuText {
    stack: String,
    driver_version: String,
    hardware_target: String,
    device_count: u32,
    #[serde(rename = "VRAM")]
    vram: u64,
}

impl Start {
    pub(crate) fn read(stdin: &[u8], uuid: &str, root_token: &str) -> Result<Start, String> {
        let text: StartText = serde_json::from_slice(stdin).map_err(|error| error.to_string())?;
        let env = |name: &str| {
            text.env
                .get(name)
                .cloned()
                .ok_or(format!("Env.{name} is missing"))
        };
        let host = env("ARVADOS_API_HOST")?;
        if host.is_empty() || host.contains('/') {
            return Err(format!("Env.ARVADOS_API_HOST {host:?} is not host[:port]"));
        }
        if text
            .env
            .get("ARVADOS_API_HOST_INSECURE")
            .is_some_and(|value| value != "1")
        {
            return Err("Env.ARVADOS_API_HOST_INSECURE must be \"1\" or absent".into());
        }
        let gateway_address = env("GatewayAddress")?;
        let gateway_host = gateway_address
            .strip_suffix(":0")
            .ok_or("Env.GatewayAddress must end with :0")?;
        if gateway_host.is_empty() || gateway_host.contains(':') && !gateway_host.starts_with('[') {
            return Err(format!(
                "Env.GatewayAddress {gateway_address:?} is not host:0"
            ));
        }
        if env("GatewayAuthSecret")? != gateway_secret(root_token, uuid) {
            return Err("Env.GatewayAuthSecret is not the HMAC of the container's UUID".into());
        }
        let instance_type = env("InstanceType")?;
        if !instance_type.ends_with("}\n") {
            return Err("Env.InstanceType must end with a newline".into());
        }
        serde_json::from_str::<TypeText>(&instance_type)
            .map_err(|error| format!("Env.InstanceType: {error}"))?;
        match (&text.cluster, text.keep_buffers) {
            (None, 1..) => return Err("KeepBuffers needs a Cluster".into()),
            (Some(cluster), _) if cluster.contains_key("ClusterID") => {
                return Err("Cluster has no key ClusterID".into());
            }
            _ => {}
        }
        Ok(Start {
            token: env("ARVADOS_API_TOKEN")?,
            gateway_address,
        })
    }
}

/// A start document as a dispatcher would send it, for those who play one.
pub fn example_start_document(uuid: &str, root_token: &str) -> String {
    let instance_type = serde_json::json!({
        "ProviderType": "lab.8", "VCPUs": 8, "RAM": 9_448_928_051_u64, "IncludedScratch": 8_589_934_592_u64,
        "AddedScratch": 0, "Price": 0.984, "Preemptible": false,
        "GPU": {"Stack": "", "DriverVersion": "", "HardwareTarget": "", "DeviceCount": 0, "VRAM": 0},
    });
    let document = serde_json::json!({
        "Env": {
            "ARVADOS_API_HOST": "127.0.0.1:1",
            "ARVADOS_API_TOKEN": root_token,
            "GatewayAddress": "127.0.0.1:0",
            "GatewayAuthSecret": gateway_secret(root_token, uuid),
            "InstanceType": format!("{instance_type:#}\n"),
        },
        "KeepBuffers": 0, "EC2SpotCheck": false, "Cluster": null,
    });
    document.to_string()
}

fn gateway_secret(root_token: &str, uuid: &str) -> String {
    match Hmac::<Sha256>::new_from_slice(root_token.as_bytes()) {
        Ok(mut mac) => {
            mac.update(uuid.as_bytes());
            hex::encode(mac.finalize().into_bytes())
        }
        Err(_) => String::new(),
    }
}

/// Checks a price document.
pub(crate) fn check_prices(stdin: &[u8]) -> Result<(), String> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase", deny_unknown_fields)]
    struct Price {
        start_time: jiff::Timestamp,
        price: f64,
    }
    let prices: Vec<Price> = serde_json::from_slice(stdin).map_err(|error| error.to_string())?;
    for pair in prices.windows(2) {
        let [newer, older] = pair else { continue };
        if newer.start_time < older.start_time {
            return Err("prices must come newest first".into());
        }
        if newer.price == older.price {
            return Err("equal prices must be collapsed".into());
        }
    }
    Ok(())
}
