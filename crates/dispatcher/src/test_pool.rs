//! A worker pool for tests of what obeys it: one type, usual settings.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use dispatch_model::{Gpu, InstanceType, Now, Time};
use dispatch_worker::{Pool, Settings, Timing};
use tokio::time::Instant;

/// `SyncInterval`.
pub(crate) const SYNC_INTERVAL: Duration = Duration::from_secs(60);

/// A pool for a cloud that takes so many calls a second.
pub(crate) fn pool(ops_per_second: Option<u32>) -> Pool {
    let secs = Duration::from_secs;
    let settings = Settings {
        boot_timeout: secs(600),
        probe_timeout: secs(600),
        idle_timeout: secs(60),
        shutdown_timeout: secs(10),
        signal_interval: secs(5),
        term_timeout: secs(120),
        stale_lock_timeout: secs(5),
        probe_interval: secs(10),
        sync_interval: SYNC_INTERVAL,
        max_probes_per_second: 10,
        max_cloud_ops_per_second: ops_per_second,
        max_concurrent_creates: Some(1),
        max_instances: None,
        max_price_per_hour: None,
        kill_after_term: None,
        deploy_runner: false,
        runner_user: None,
        tag_key_prefix: String::new(),
        resource_tags: BTreeMap::new(),
        instance_set_id: "set".to_owned(),
        cluster_id: "zzzzz".to_owned(),
        quota_groups: BTreeMap::new(),
        spot_fallback: None,
        timing: Timing::USUAL,
    };
    let small = InstanceType {
        name: "small".into(),
        provider_type: "m.small".to_owned(),
        image: None,
        vcpus: 4,
        ram_bytes: 8 << 30,
        included_scratch_bytes: 1 << 40,
        added_scratch_bytes: 0,
        price: 0.1,
        preemptible: false,
        gpu: Gpu::default(),
    };
    Pool::new(
        settings,
        BTreeMap::from([("small".into(), Arc::new(small))]),
    )
}

/// The tags of an instance of ours.
pub(crate) fn tags(secret: Option<&str>) -> BTreeMap<String, String> {
    let usual = [
        ("InstanceSetID", "set"),
        ("InstanceType", "small"),
        ("IdleBehavior", "run"),
    ];
    let secret = secret.map(|secret| ("InstanceSecret", secret));
    (usual.into_iter().chain(secret))
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
}

/// The time since then, as the pool counts it.
pub(crate) fn since(began: Instant) -> Now {
    let millis = began.elapsed().as_millis();
    Now {
        time: Time::from_millis(u64::try_from(millis).expect("a short test")),
        wall: jiff::Timestamp::UNIX_EPOCH,
    }
}
