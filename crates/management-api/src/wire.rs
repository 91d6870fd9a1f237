//! The JSON of the management API: what the server writes and the admin's tool reads (facts §2.6).

use dispatch_model::{Gpu, IdleBehavior, InstanceType, Resources, WorkerState};
use serde::{Deserialize, Serialize};

/// The answer to a list: `{"items": […]}`, never null.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Items<T> {
    /// The rows.
    pub items: Vec<T>,
}

/// A refusal: `{"errors": ["…"]}`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Errors {
    /// What is wrong.
    pub errors: Vec<String>,
}

/// One instance, or one creation under way.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Instance {
    /// The cloud's name for it; "" while it is being created.
    pub instance: String,
    /// Its address; "" while it has none.
    pub address: String,
    /// Dollars an hour.
    pub price: f64,
    /// The key of its entry in `InstanceTypes`.
    pub arvados_instance_type: String,
    /// The cloud's name of its type.
    pub provider_instance_type: String,
    /// The last container on it; "" if none was.
    pub last_container_uuid: String,
    /// When it last had something to do, RFC 3339.
    pub last_busy: String,
    /// The containers on it, sorted, those being started included; null for a creation under way.
    pub running_container_uuids: Option<Vec<String>>,
    /// Where it is in its life.
    pub worker_state: WorkerState,
    /// What the operators want of it.
    pub idle_behavior: IdleBehavior,
    /// What is wrong with it or why it takes no work, for people; absent if there is nothing to say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remark: Option<String>,
    /// The name of its image in `AllowedImages`; absent for the cluster's image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
}

/// One container of the queue.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Container {
    /// The container record, every field of the API present.
    pub container: serde_json::Map<String, serde_json::Value>,
    /// What the dispatcher reserves for it.
    pub instance_resources: ContainerResources,
    /// The types that can run it, best first.
    pub instance_types: Vec<TypeRecord>,
    /// The first of them, as older clients expect; null if there is none.
    pub instance_type: Option<TypeRecord>,
    /// When the dispatcher first saw it, RFC 3339.
    pub first_seen_at: String,
    /// Why it waits, in one line; "" once it runs.
    pub scheduling_status: String,
    /// For operators: what keeps an instance for it from being created, in the cloud's own words if it is the cloud,
    /// with reach and remedy; absent if nothing does.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub held_by: Vec<String>,
}

/// What is reserved for a container.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[expect(
    missing_docs,
    reason = "the fields are those of `Resources`, in the API's spelling"
)]
pub struct ContainerResources {
    #[serde(rename = "VCPUs")]
    pub vcpus: u32,
    #[serde(rename = "RAM")]
    pub ram_bytes: u64,
    #[serde(rename = "Scratch")]
    pub scratch_bytes: u64,
    #[serde(rename = "GPUs")]
    pub gpus: u32,
    #[serde(rename = "GPUVRAM")]
    pub gpu_vram_bytes: u64,
}

impl From<Resources> for ContainerResources {
    fn from(needs: Resources) -> Self {
        let Resources {
            vcpus,
            ram_bytes,
            scratch_bytes,
            gpus,
            gpu_vram_bytes,
        } = needs;
        ContainerResources {
            vcpus,
            ram_bytes,
            scratch_bytes,
            gpus,
            gpu_vram_bytes,
        }
    }
}

/// An instance type in the API's spelling.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[expect(
    missing_docs,
    reason = "the fields are those of `InstanceType`, in the API's spelling"
)]
pub struct TypeRecord {
    /// "" in the answers of a Go dispatcher, which leaves it out (facts K32).
    #[serde(default)]
    pub name: String,
    pub provider_type: String,
    #[serde(rename = "VCPUs")]
    pub vcpus: u32,
    #[serde(rename = "RAM")]
    pub ram: u64,
    pub included_scratch: u64,
    pub added_scratch: u64,
    pub price: f64,
    pub preemptible: bool,
    #[serde(rename = "GPU")]
    pub gpu: GpuRecord,
}

/// The GPUs of an instance type in the API's spelling.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[expect(
    missing_docs,
    reason = "the fields are those of `Gpu`, in the API's spelling"
)]
pub struct GpuRecord {
    pub stack: String,
    pub driver_version: String,
    pub hardware_target: String,
    pub device_count: u32,
    #[serde(rename = "VRAM")]
    pub vram: u64,
}

impl From<&InstanceType> for TypeRecord {
    fn from(it: &InstanceType) -> Self {
        TypeRecord {
            name: it.name.to_string(),
            provider_type: it.provider_type.clone(),
            vcpus: it.vcpus,
            ram: it.ram_bytes,
            included_scratch: it.included_scratch_bytes,
            added_scratch: it.added_scratch_bytes,
            price: it.price,
            preemptible: it.preemptible,
            gpu: GpuRecord::from(&it.gpu),
        }
    }
}

impl From<&Gpu> for GpuRecord {
    fn from(gpu: &Gpu) -> Self {
        GpuRecord {
            stack: gpu.stack.clone(),
            driver_version: gpu.driver_version.clone(),
            hardware_target: gpu.hardware_target.clone(),
            device_count: gpu.device_count,
            vram: gpu.vram_bytes,
        }
    }
}

/// The answer of `/_health/ping`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Health {
    /// "OK" or "ERROR".
    pub health: String,
    /// What is wrong, if something is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// What it waits for, if it is not in command. Not in Arvados' own answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub standby: Option<String>,
}

/// A request under way, as `/_inspect/requests` lists it.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct RequestUnderWay {
    /// The request's id.
    #[serde(rename = "RequestID")]
    pub request_id: String,
    /// Its verb.
    pub method: String,
    /// Its path, without parameters.
    pub path: String,
    /// How long it has been under way, in seconds.
    pub elapsed: f64,
}
