//! From the configuration to what each part needs to know.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use dispatch_arvados_client::{CaRoots, ClientSettings, Token};
use dispatch_brain::SupervisorShare;
use dispatch_cloud::Driver;
use dispatch_config::ClusterConfig;
use dispatch_model::InstanceTypeName;
use dispatch_scheduler::Limits;
use dispatch_worker::Timing;

/// The instance types, shared.
pub(crate) type Types = BTreeMap<InstanceTypeName, Arc<dispatch_model::InstanceType>>;

/// The configured instance types, each with the cluster's image and with each that containers may ask for.
pub(crate) fn types(config: &ClusterConfig) -> Types {
    let images = &config.cloud_vms.allowed_images;
    let with_images = config.instance_types.values().flat_map(|it| {
        let others = images.iter().map(|(name, id)| it.with_image(name, id));
        std::iter::once(it.clone()).chain(others)
    });
    with_images
        .map(|it| (it.name.clone(), Arc::new(it)))
        .collect()
}

/// What is wrong with a use of the driver: the cluster's image, and those that containers may ask for.
pub fn problems_of_use(config: &ClusterConfig, driver: &dyn Driver) -> Vec<String> {
    let vms = &config.cloud_vms;
    let types: Vec<_> = config.instance_types.values().collect();
    let mut problems = driver.check_types(vms.driver_parameters.reveal(), &types);
    problems.extend(driver.check_use(&vms.image_id, &types));
    for (name, id) in &vms.allowed_images {
        for problem in driver.check_use(id, &types) {
            // What is wrong with the types has been said.
            if !problems.contains(&problem) {
                problems.push(format!("AllowedImages.{name}: {problem}"));
            }
        }
    }
    problems
}

/// What the brain needs. `seed` is fresh entropy.
pub(crate) fn brain(
    config: &ClusterConfig,
    types: &Types,
    seed: [u8; 32],
) -> dispatch_brain::Settings {
    let vms = &config.cloud_vms;
    let count = |n: Option<u32>| n.map(|n| n as usize);
    dispatch_brain::Settings {
        queue: dispatch_container_queue::Settings {
            poll_interval: vms.poll_interval,
            types: types.clone(),
            sizing: dispatch_container_queue::SizingSettings {
                reserve_extra_ram_bytes: config.containers.reserve_extra_ram_bytes,
                keep_blob_buffers_per_vcpu: config.containers.local_keep_blob_buffers_per_vcpu,
            },
            maximum_price_factor: config.containers.maximum_price_factor,
        },
        pool: dispatch_worker::Settings {
            boot_timeout: vms.timeout_booting,
            probe_timeout: vms.timeout_probe,
            idle_timeout: vms.timeout_idle,
            shutdown_timeout: vms.timeout_shutdown,
            signal_interval: vms.timeout_signal,
            term_timeout: vms.timeout_term,
            stale_lock_timeout: vms.timeout_stale_run_lock,
            probe_interval: vms.probe_interval,
            sync_interval: vms.sync_interval,
            max_probes_per_second: vms.max_probes_per_second,
            max_cloud_ops_per_second: vms.max_cloud_ops_per_second,
            max_concurrent_creates: count(vms.max_concurrent_instance_create_ops),
            max_instances: count(vms.max_instances),
            max_price_per_hour: vms.max_price_per_hour,
            kill_after_term: vms.timeout_kill,
            deploy_runner: vms.deploy_runner_binary.is_some(),
            runner_user: vms.runner_user.clone(),
            tag_key_prefix: vms.tag_key_prefix.clone(),
            resource_tags: vms.resource_tags.clone(),
            instance_set_id: config.instance_set_id.clone(),
            cluster_id: config.cluster_id.clone(),
            // A driver that has quota groups tells of them with lists, or when it refuses (facts §2.8.4).
            quota_groups: BTreeMap::new(),
            spot_fallback: vms
                .spot_fallback
                .map(|fallback| dispatch_worker::SpotFallback {
                    price_factor: fallback.price_factor,
                    interruptions: fallback.interruptions,
                    window: fallback.window,
                }),
            timing: timing(config),
        },
        types: types.clone(),
        containers_per_instance: count(vms.max_running_containers_per_instance),
        supervisors: SupervisorShare {
            fraction: vms.supervisor_fraction.unwrap_or(0.0),
            expected_containers: count(vms.initial_quota_estimate.or(vms.max_instances)),
        },
        stale_lock_timeout: config.containers.stale_lock_timeout,
        patience: Limits::PATIENCE,
        seed,
        strict: false,
    }
}

/// Deadlines of calls: what suits today's clouds, but never so long that one hung call uses up the time after which an
/// instance is given up (facts K9).
fn timing(config: &ClusterConfig) -> Timing {
    let patience = config
        .cloud_vms
        .timeout_booting
        .min(config.cloud_vms.timeout_probe);
    let at_most = |usual: Duration| usual.min(patience / 2).max(Duration::from_millis(500));
    Timing {
        connect: at_most(Timing::USUAL.connect),
        command: at_most(Timing::USUAL.command),
        ..Timing::USUAL
    }
}

/// How to reach the API.
pub(crate) fn client(
    config: &ClusterConfig,
    dial_instead: Option<String>,
    roots: CaRoots,
) -> Result<ClientSettings, url::ParseError> {
    Ok(ClientSettings {
        cluster_id: config.cluster_id.clone(),
        controller: url::Url::parse(&config.controller.to_string())?,
        token: Token::new(config.system_root_token.reveal().to_owned()),
        insecure: config.tls.insecure,
        roots,
        environment_proxies: dial_instead.is_none(),
        dial_instead,
        server_max_concurrent_requests: config.api.max_concurrent_requests.unwrap_or(0) as usize,
    })
}
