//! What a simulation is made of: the world's knobs, the brain's settings, the wires between them.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use dispatch_brain::{Settings as BrainSettings, SupervisorShare};
use dispatch_container_queue as queue;
use dispatch_lab::{Settings as LabSettings, Span, settings as lab};
use dispatch_model::{Gpu, InstanceType, InstanceTypeName};
use dispatch_scheduler::Limits;
use dispatch_worker::{self as pool, Timing};

use super::checks::Bounds;

/// How the wires between daemon and world behave.
#[derive(Clone, Debug)]
pub struct Wire {
    /// How long a call is on its way before the world sees it, ms.
    pub travel_ms: Span,
    /// How long an SSH handshake takes, ms.
    pub handshake_ms: Span,
    /// Share of the calls on their way that still arrive when the daemon is killed.
    pub late_rate: f64,
    /// By how much those are late, ms.
    pub late_ms: Span,
    /// After so long a silent instance's connection counts as broken, ms.
    pub keep_alive_ms: u64,
    /// Whether instances can watch their runners.
    pub exit_watch: bool,
    /// TimeoutAPI.
    pub api_timeout: Duration,
    /// MaxCloudOpsPerSecond.
    pub cloud_ops_per_second: Option<u32>,
    /// The user to log in as.
    pub user: String,
    /// From the daemon's death to its next start, ms.
    pub restart_ms: Span,
    /// BootProbeCommand.
    pub boot_probe_command: String,
    /// The program that is deployed; none: the image's is used.
    pub deploy: Option<Vec<u8>>,
}

/// One simulation.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Decides everything.
    pub seed: u64,
    /// The world.
    pub lab: LabSettings,
    /// The brain.
    pub brain: BrainSettings,
    /// Between them.
    pub wire: Wire,
    /// What counts as a failure.
    pub bounds: Bounds,
    /// Whether every line of the trace is written.
    pub trace: bool,
}

impl Setup {
    /// The defaults of the configuration (facts §3.2), a cloud whose instances boot within a second.
    pub fn usual(seed: u64) -> Setup {
        let secs = Duration::from_secs;
        let lab = LabSettings {
            timeout_probe_ms: 600_000,
            ..LabSettings::default()
        };
        let types = types_of(&lab);
        let pool = pool::Settings {
            boot_timeout: secs(600),
            probe_timeout: secs(600),
            idle_timeout: secs(60),
            shutdown_timeout: secs(10),
            signal_interval: secs(5),
            term_timeout: secs(120),
            stale_lock_timeout: secs(5),
            probe_interval: secs(10),
            sync_interval: secs(60),
            max_probes_per_second: 10,
            max_cloud_ops_per_second: Some(10),
            max_concurrent_creates: Some(1),
            max_instances: Some(64),
            kill_after_term: None,
            deploy_runner: false,
            tag_key_prefix: "Arvados".to_owned(),
            resource_tags: BTreeMap::new(),
            max_price_per_hour: None,
            runner_user: None,
            instance_set_id: "0123456789abcdef0123456789abcdef".to_owned(),
            cluster_id: lab.cluster_id.clone(),
            quota_groups: BTreeMap::new(),
            spot_fallback: None,
            timing: Timing::USUAL,
        };
        let brain = BrainSettings {
            queue: queue::Settings {
                poll_interval: secs(10),
                types: types.clone(),
                sizing: queue::SizingSettings {
                    reserve_extra_ram_bytes: 256 << 20,
                    keep_blob_buffers_per_vcpu: 0,
                },
                maximum_price_factor: 1.5,
            },
            pool,
            types,
            containers_per_instance: None,
            supervisors: SupervisorShare {
                fraction: 0.5,
                expected_containers: Some(64),
            },
            stale_lock_timeout: secs(60),
            patience: Limits::PATIENCE,
            seed: seed_bytes(seed, 0),
            strict: true,
        };
        let wire = Wire {
            travel_ms: Span::between(0, 2),
            handshake_ms: Span::between(5, 20),
            late_rate: 0.5,
            late_ms: Span::between(100, 5000),
            keep_alive_ms: 60_000,
            exit_watch: true,
            api_timeout: secs(60),
            cloud_ops_per_second: Some(10),
            user: "crunch".to_owned(),
            restart_ms: Span::between(500, 3000),
            boot_probe_command: "systemctl is-system-running".to_owned(),
            deploy: None,
        };
        Setup {
            seed,
            lab,
            brain,
            wire,
            bounds: Bounds::default(),
            trace: true,
        }
    }

    /// The time-outs of the demo: seconds, so that a whole life with many faults takes a minute or two.
    pub fn brisk(seed: u64) -> Setup {
        let secs = Duration::from_secs;
        let mut setup = Setup::usual(seed);
        setup.lab.timeout_probe_ms = 8000;
        setup.lab.dead_type_ms = 16_000;
        setup.lab.runner.run_ms = Span::between(500, 2500);
        setup.lab.cloud.bystanders = 1;
        let pool = &mut setup.brain.pool;
        pool.boot_timeout = secs(8);
        pool.probe_timeout = secs(8);
        pool.idle_timeout = secs(3);
        pool.shutdown_timeout = secs(2);
        pool.signal_interval = secs(1);
        pool.term_timeout = secs(6);
        pool.stale_lock_timeout = secs(2);
        pool.probe_interval = secs(2);
        pool.sync_interval = secs(2);
        pool.max_probes_per_second = 50;
        pool.max_concurrent_creates = Some(4);
        // As the shell sets them: never so long that one hung call uses up TimeoutProbe.
        pool.timing.connect = secs(4);
        pool.timing.command = secs(4);
        setup.brain.queue.poll_interval = secs(1);
        setup.brain.stale_lock_timeout = secs(10);
        setup.wire.cloud_ops_per_second = Some(40);
        setup.wire.keep_alive_ms = 15_000;
        setup
    }

    /// The same with another world's types; the brain's follow.
    pub fn with_types(mut self, types: Vec<lab::InstanceType>) -> Setup {
        self.lab.instance_types = types;
        self.adopt_types();
        self
    }

    /// Gives the brain the types that the world has.
    pub fn adopt_types(&mut self) {
        let types = types_of(&self.lab);
        self.brain.queue.types = types.clone();
        self.brain.types = types;
    }
}

/// Secrets differ from life to life.
pub(super) fn seed_bytes(seed: u64, life: u64) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    bytes[8..16].copy_from_slice(&life.to_le_bytes());
    bytes
}

fn types_of(settings: &LabSettings) -> BTreeMap<InstanceTypeName, Arc<InstanceType>> {
    let of = |one: &lab::InstanceType| InstanceType {
        name: one.name.as_str().into(),
        provider_type: one.provider_type.clone(),
        image: None,
        vcpus: one.vcpus,
        ram_bytes: one.ram,
        included_scratch_bytes: one.scratch,
        added_scratch_bytes: 0,
        price: one.price,
        preemptible: one.preemptible,
        gpu: if one.gpus == 0 {
            Gpu::default()
        } else {
            gpus(one.gpus)
        },
    };
    settings
        .instance_types
        .iter()
        .map(|one| (one.name.as_str().into(), Arc::new(of(one))))
        .collect()
}

fn gpus(n: u32) -> Gpu {
    Gpu {
        stack: "cuda".to_owned(),
        driver_version: "11.10".to_owned(),
        hardware_target: "8.6".to_owned(),
        device_count: n,
        vram_bytes: 8 << 30,
    }
}
