//! The configuration as the rest of the dispatcher uses it: parsed once, into types that cannot be wrong.
//!
//! Zero means "no limit" in many keys of Arvados; here that is `None`. Sizes are in bytes.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use dispatch_model::{InstanceType, InstanceTypeName, UserName};
use serde_json::Value;

use crate::{Address, Secret};

/// What the dispatcher reads of a cluster's configuration (facts §3.2).
#[derive(Clone, Debug)]
pub struct ClusterConfig {
    /// The cluster's id, five characters.
    pub cluster_id: String,
    /// `SystemRootToken`: our token for the API, and the key that signs gateway secrets.
    pub system_root_token: Secret,
    /// `ManagementToken`; `None` closes the management API.
    pub management_token: Option<Secret>,
    /// What marks our instances in the cloud (facts §2.3).
    pub instance_set_id: String,
    /// `Services.Controller.ExternalURL`: where the API is.
    pub controller: Address,
    /// `Services.DispatchCloud.InternalURLs`: where to listen, in order of trial.
    pub listen: Vec<ListenCandidate>,
    /// `API`.
    pub api: Api,
    /// `TLS`.
    pub tls: Tls,
    /// `SystemLogs`.
    pub system_logs: SystemLogs,
    /// `PostgreSQL`.
    pub postgresql: PostgreSql,
    /// `Containers`, except CloudVMs.
    pub containers: Containers,
    /// `Containers.CloudVMs`.
    pub cloud_vms: CloudVms,
    /// `InstanceTypes`, with the automatic spot variants (facts §3.4) and the loopback type (facts §3.5).
    pub instance_types: BTreeMap<InstanceTypeName, InstanceType>,
}

/// One entry of `Services.DispatchCloud.InternalURLs`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ListenCandidate {
    /// The entry's key: how others reach us, and what `$ARVADOS_SERVICE_INTERNAL_URL` selects.
    pub internal_url: String,
    /// The same, taken apart.
    pub internal: Address,
    /// Where to listen: ListenURL if it is set, else the key.
    pub listen: Address,
}

/// The part of `API` that we read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Api {
    /// Requests that the management API serves at a time; a quarter of it caps our own calls (facts M9).
    pub max_concurrent_requests: Option<u32>,
    /// Requests that may wait for that.
    pub max_queued_requests: u32,
    /// How long a request to the management API may take.
    pub request_timeout: Duration,
}

/// `TLS`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Tls {
    /// The server's certificate.
    pub certificate: Option<PathBuf>,
    /// Its private key.
    pub key: Option<PathBuf>,
    /// Do not verify the API's certificate.
    pub insecure: bool,
    /// Set: other services fetch their certificates there; we read only files.
    pub acme_server: Option<String>,
}

/// `SystemLogs`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SystemLogs {
    /// How much to log.
    pub level: LogLevel,
    /// In which form.
    pub format: LogFormat,
}

/// How much to log; the two levels above `error` that Arvados has are `Error` here.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum LogLevel {
    /// Only what keeps us from going on.
    Error,
    /// And what somebody should look at.
    Warn,
    /// And every change of state.
    Info,
    /// And what is off the usual path.
    Debug,
    /// And everything else.
    Trace,
}

/// The form of a log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}

/// `PostgreSQL`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PostgreSql {
    /// libpq's keywords in lower case, without empty values. Any of them may be a secret.
    pub connection: BTreeMap<String, Secret>,
    /// Most connections.
    pub connection_pool: u32,
}

/// `Containers`, except CloudVMs.
#[derive(Clone, PartialEq, Debug)]
pub struct Containers {
    /// The SSH key's text, read from its file if it was given as one. `None` only with driver loopback.
    pub dispatch_private_key: Option<Secret>,
    /// After a start: how long instances found may take to tell what they run.
    pub stale_lock_timeout: Duration,
    /// The runner on the instances, where none is deployed.
    pub crunch_run_command: String,
    /// Further arguments for the runner.
    pub crunch_run_arguments: Vec<String>,
    /// "docker" or "singularity".
    pub runtime_engine: String,
    /// Added to each container's need of memory.
    pub reserve_extra_ram_bytes: u64,
    /// Keepstore buffers for each processor of a container; 0: no keepstore, no configuration for the runner.
    pub local_keep_blob_buffers_per_vcpu: u32,
    /// At least 1.
    pub maximum_price_factor: f64,
    /// Above 0: each type has a spot variant at this share of its price.
    pub preemptible_price_factor: f64,
    /// How often the API lets a container be locked.
    pub max_dispatch_attempts: u32,
}

/// `Containers.CloudVMs`. Durations are never zero.
#[derive(Clone, Debug)]
pub struct CloudVms {
    /// Whether the cluster means to use cloud instances; only the loopback type depends on it (facts §3.2).
    pub enable: bool,
    /// "ec2", "azure", "loopback", …
    pub driver: String,
    /// The driver parses and checks them. Secrets are among them.
    pub driver_parameters: Secret<Value>,
    /// The image of the instances.
    pub image_id: String,
    /// Shell commands for an instance's first boot.
    pub instance_init_command: Secret,
    /// Port of SSH where an address has none.
    pub ssh_port: u16,
    /// Succeeds on an instance that is ready. Never empty.
    pub boot_probe_command: String,
    /// The runner's program; `None`: none is deployed.
    pub deploy_runner_binary: Option<String>,
    /// Where to on the instance.
    pub deploy_runner_directory: String,
    /// Whether the cloud puts our public key onto instances.
    pub deploy_public_key: bool,
    /// Further tags.
    pub resource_tags: BTreeMap<String, String>,
    /// Prefix of our own tags.
    pub tag_key_prefix: String,
    /// How often the queue is fetched.
    pub poll_interval: Duration,
    /// How often each instance is asked what it runs.
    pub probe_interval: Duration,
    /// Most such questions a second, at least 1.
    pub max_probes_per_second: u32,
    /// How often the cloud's list is fetched.
    pub sync_interval: Duration,
    /// How long an instance may be idle.
    pub timeout_idle: Duration,
    /// How long an instance may take to come up.
    pub timeout_booting: Duration,
    /// How long an instance may be silent.
    pub timeout_probe: Duration,
    /// How soon a destruction without effect is repeated.
    pub timeout_shutdown: Duration,
    /// How often SIGTERM is repeated.
    pub timeout_signal: Duration,
    /// How long a runner's lock may outlive it.
    pub timeout_stale_run_lock: Duration,
    /// How long SIGTERM is repeated before a container is given up.
    pub timeout_term: Duration,
    /// Our own: after SIGTERM in vain, SIGKILL once, and this long for it to work; `None`: never.
    pub timeout_kill: Option<Duration>,
    /// Our own: how long a call to the API may take, a list with all its pages counting as one (facts K14).
    pub timeout_api: Duration,
    /// Most calls to the cloud a second; `None`: no limit.
    pub max_cloud_ops_per_second: Option<u32>,
    /// Most creations at a time; `None`: no limit.
    pub max_concurrent_instance_create_ops: Option<u32>,
    /// Most instances; `None`: no limit.
    pub max_instances: Option<u32>,
    /// Most containers on an instance; `None`: as many as fit.
    pub max_running_containers_per_instance: Option<u32>,
    /// How many instances to try at first; `None`: `max_instances`.
    pub initial_quota_estimate: Option<u32>,
    /// Largest share of supervisors; `None`: no limit.
    pub supervisor_fraction: Option<f64>,
    /// Our own: when on-demand instances take the place of spot instances; `None`: never.
    pub spot_fallback: Option<SpotFallback>,
    /// Our own: what all instances together may cost, dollars an hour; `None`: no limit.
    pub max_price_per_hour: Option<f64>,
    /// Our own: set ids of instances that are ours as well (facts K21). The present one is not among them.
    pub former_instance_set_ids: Vec<String>,
    /// Our own: whom runners run as on new instances; `None`: root.
    pub runner_user: Option<UserName>,
    /// Our own: images that containers may ask for, by the operator's names.
    pub allowed_images: BTreeMap<String, String>,
    /// Our own: how much output of a command is kept.
    pub max_command_output_bytes: u64,
}

/// When on-demand instances take the place of spot instances.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct SpotFallback {
    /// They may cost this many times what the spot type does. Above 0.
    pub price_factor: f64,
    /// After so many interruptions of a type, at least 1, …
    pub interruptions: u32,
    /// … within this time, and for as long.
    pub window: Duration,
}
