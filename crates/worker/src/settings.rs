//! What the operator has set, and the deadlines of the calls that the pool orders.

use std::{collections::BTreeMap, time::Duration};

use dispatch_model::{InstanceTypeName, UserName};

/// What the pool needs of the configuration (facts §3.2). Every duration is positive: the loader has put the default
/// where the operator wrote zero or less.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `TimeoutBooting`.
    pub boot_timeout: Duration,
    /// `TimeoutProbe`.
    pub probe_timeout: Duration,
    /// `TimeoutIdle`.
    pub idle_timeout: Duration,
    /// `TimeoutShutdown`.
    pub shutdown_timeout: Duration,
    /// `TimeoutSignal`.
    pub signal_interval: Duration,
    /// `TimeoutTERM`.
    pub term_timeout: Duration,
    /// `TimeoutStaleRunLock`.
    pub stale_lock_timeout: Duration,
    /// `ProbeInterval`.
    pub probe_interval: Duration,
    /// `SyncInterval`.
    pub sync_interval: Duration,
    /// `MaxProbesPerSecond`: limits the periodic sweep of ready instances, nothing else.
    pub max_probes_per_second: u32,
    /// `MaxCloudOpsPerSecond`, which all calls to the cloud share; `None` or 0: no limit.
    pub max_cloud_ops_per_second: Option<u32>,
    /// `MaxConcurrentInstanceCreateOps`; `None`: no limit.
    pub max_concurrent_creates: Option<usize>,
    /// `MaxInstances`; `None`: no limit.
    pub max_instances: Option<usize>,
    /// `MaxPricePerHour`, dollars; `None`: no limit.
    pub max_price_per_hour: Option<f64>,
    /// After `TimeoutTERM` send SIGKILL once and wait this long before giving the runner up; `None`: never (facts R4).
    pub kill_after_term: Option<Duration>,
    /// Whether the runner is deployed (`DeployRunnerBinary` is not empty).
    pub deploy_runner: bool,
    /// `RunnerUser`: whom containers' runners run as on new instances; `None`: root.
    pub runner_user: Option<UserName>,
    /// `TagKeyPrefix`.
    pub tag_key_prefix: String,
    /// `ResourceTags`.
    pub resource_tags: BTreeMap<String, String>,
    /// The value of `<TagKeyPrefix>InstanceSetID`.
    pub instance_set_id: String,
    /// What our containers' ids begin with, the cluster's id; others' are left alone (facts W14).
    pub cluster_id: String,
    /// Which group the driver names when it refuses a type for want of a group's quota, as far as it can be known
    /// before. Other types are learnt from refusals.
    pub quota_groups: BTreeMap<InstanceTypeName, String>,
    /// When on-demand instances take the place of spot instances; `None`: never.
    pub spot_fallback: Option<SpotFallback>,
    /// Deadlines of calls, which the configuration does not name.
    pub timing: Timing,
}

/// When on-demand instances take the place of spot instances (facts K34).
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct SpotFallback {
    /// `SpotFallbackPriceFactor`: the on-demand twin may cost this many times what the spot type does.
    pub price_factor: f64,
    /// `SpotFallbackInterruptions`: so many instances of a type must have been taken back, at least 1, …
    pub interruptions: u32,
    /// `SpotFallbackWindow`: … within this time; for as long the twin is used then.
    pub window: Duration,
}

impl Settings {
    /// How long a list may take: no longer than until the next is wanted, within reason. New instances have no address
    /// before they are listed, so waiting a minute for one that never comes costs whoever wants lists every few seconds
    /// all of that minute.
    pub(crate) fn list_call(&self) -> Duration {
        const AT_LEAST: Duration = Duration::from_secs(5);
        let longest = self.timing.repeatable_call();
        self.sync_interval.max(AT_LEAST).min(longest)
    }

    /// How many destroy calls may be under way at once; the others stand in line here, where their turn is not lost.
    /// What is ordered waits for the rate limit first, half of its time at most. Of the turns there at least a third is
    /// for destroys, so these many are sent in time; and calls that take up to eight seconds still use the whole rate.
    pub(crate) fn destroys_at_once(&self) -> usize {
        const SECONDS_WORTH: usize = 8;
        let rate = self.max_cloud_ops_per_second.filter(|&rate| rate > 0);
        rate.map_or(usize::MAX, |rate| {
            (rate as usize).saturating_mul(SECONDS_WORTH)
        })
    }
}

/// How long calls may take. The actions carry these; a call that has not been answered a little after its deadline
/// counts as failed, so that a hung command never decides anything (facts K9).
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// To connect and verify, waiting for a free handshake included.
    pub connect: Duration,
    /// For one command on an instance.
    pub command: Duration,
    /// To upload and check the runner.
    pub deploy: Duration,
    /// For one call to the cloud, waiting for the rate limiter included.
    pub cloud_call: Duration,
    /// How long a new instance may be missing from the cloud's lists before it counts as vanished, and a creation of
    /// unknown outcome before it counts as failed (facts K15).
    pub fresh_grace: Duration,
}

impl Timing {
    /// How long a call to the cloud may take that can simply be made again: lists, destroys, tags. Only a creation is
    /// given as long as a cloud may need; without lists nothing is known of anything (facts K14).
    pub(crate) fn repeatable_call(&self) -> Duration {
        const AT_MOST: Duration = Duration::from_secs(60);
        self.cloud_call.min(AT_MOST)
    }

    /// What suits today's clouds: Azure answers a creation after minutes.
    pub const USUAL: Timing = Timing {
        connect: Duration::from_secs(10),
        command: Duration::from_secs(30),
        deploy: Duration::from_secs(300),
        cloud_call: Duration::from_secs(600),
        fresh_grace: Duration::from_secs(60),
    };
}
