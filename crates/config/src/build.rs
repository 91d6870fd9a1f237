//! The merged configuration into its typed form.

use std::collections::BTreeMap;

use md5::{Digest, Md5};
use serde_json::{Map, Value};

use crate::{
    Api, CloudVms, ClusterConfig, Containers, Context, LogFormat, LogLevel, PostgreSql, Secret,
    SpotFallback, SystemLogs, Tls, checks, images, instance_types, path::KeyPath, reader::Reader,
    report::Report,
};

/// `None` if something that cannot do without a value has none; then there is an error in the report as well.
pub(crate) fn build(
    cluster_id: &str,
    tree: &Map<String, Value>,
    context: &Context<'_>,
    report: &mut Report,
) -> Option<ClusterConfig> {
    let reader = &mut Reader::new(tree, report);
    let system_root_token = reader.text("SystemRootToken");
    let management_token = reader.some_text("ManagementToken");
    checks::tokens(reader);
    let listen = checks::listen_candidates(reader);
    let controller = checks::controller(reader);
    let tls = Tls {
        certificate: checks::file_path(reader, "TLS.Certificate"),
        key: checks::file_path(reader, "TLS.Key"),
        insecure: reader.flag("TLS.Insecure"),
        acme_server: reader.some_text("TLS.ACME.Server"),
    };
    checks::server_tls(reader, &tls, &listen);
    let instance_types = instance_types::read(reader, &context.host);
    checks::volumes(reader);
    checks::connection(reader);
    let cloud_vms = cloud_vms(reader, context, &instance_set_id(system_root_token));
    if let Some(fallback) = &cloud_vms.spot_fallback {
        checks::spot_fallback(reader, fallback, &instance_types);
    }
    images::check_names(reader, &cloud_vms.allowed_images, &instance_types);
    if let Some(limit) = cloud_vms.max_price_per_hour {
        checks::price_limit(reader, limit, &instance_types);
    }
    Some(ClusterConfig {
        cluster_id: cluster_id.to_owned(),
        system_root_token: system_root_token.into(),
        management_token: management_token.map(Secret::new),
        instance_set_id: instance_set_id(system_root_token),
        listen,
        api: Api {
            max_concurrent_requests: reader.limit("API.MaxConcurrentRequests"),
            max_queued_requests: reader.count("API.MaxQueuedRequests"),
            request_timeout: reader.duration("API.RequestTimeout"),
        },
        tls,
        system_logs: system_logs(reader),
        postgresql: PostgreSql {
            connection: connection(reader.section("PostgreSQL.Connection")),
            connection_pool: reader.count("PostgreSQL.ConnectionPool"),
        },
        containers: containers(reader),
        cloud_vms,
        instance_types,
        controller: controller?,
    })
}

/// What marks our instances: the lowercase hex MD5 of the token, or the UUID within a token that has one (facts §2.3).
pub fn instance_set_id(system_root_token: &str) -> String {
    let mut parts = system_root_token.split('/');
    match (parts.next(), parts.next(), parts.next()) {
        (Some("v2"), Some(uuid), Some(_)) if !uuid.is_empty() => uuid.to_owned(),
        _ => hex::encode(Md5::digest(system_root_token)),
    }
}

fn connection(section: &Map<String, Value>) -> BTreeMap<String, Secret> {
    section
        .iter()
        .filter_map(|(key, value)| {
            Some((
                key.to_lowercase(),
                value.as_str().filter(|text| !text.is_empty())?,
            ))
        })
        .map(|(key, text)| (key, Secret::from(text)))
        .collect()
}

fn system_logs(reader: &mut Reader<'_>) -> SystemLogs {
    let level = match reader
        .text("SystemLogs.LogLevel")
        .to_ascii_lowercase()
        .as_str()
    {
        "panic" | "fatal" | "error" => Some(LogLevel::Error),
        "warn" | "warning" => Some(LogLevel::Warn),
        "info" => Some(LogLevel::Info),
        "debug" => Some(LogLevel::Debug),
        "trace" => Some(LogLevel::Trace),
        _ => None,
    };
    let format = match reader.text("SystemLogs.Format") {
        "json" => Some(LogFormat::Json),
        "text" => Some(LogFormat::Text),
        _ => None,
    };
    if level.is_none() {
        checks::not_one_of(
            reader,
            "SystemLogs.LogLevel",
            &["panic", "fatal", "error", "warn", "info", "debug", "trace"],
        );
    }
    if format.is_none() {
        checks::not_one_of(reader, "SystemLogs.Format", &["json", "text"]);
    }
    checks::not_honoured(reader);
    SystemLogs {
        level: level.unwrap_or(LogLevel::Info),
        format: format.unwrap_or(LogFormat::Json),
    }
}

fn containers(reader: &mut Reader<'_>) -> Containers {
    const LOGS: &str = "Containers.LocalKeepLogsToContainerLog";
    const ENGINES: [&str; 2] = ["docker", "singularity"];
    if !["none", "all", "errors"].contains(&reader.text(LOGS)) {
        checks::not_one_of(reader, LOGS, &["none", "all", "errors"]);
    }
    let runtime_engine = reader.text("Containers.RuntimeEngine");
    if !ENGINES.contains(&runtime_engine) {
        let path = KeyPath::dotted("Containers.RuntimeEngine");
        let value = Some(crate::mask::quoted(runtime_engine));
        reader.report.warning(
            &path,
            value,
            "is not a runtime that Arvados documents",
            "write docker or singularity",
        );
    }
    let deploys = !reader
        .text("Containers.CloudVMs.DeployRunnerBinary")
        .is_empty();
    let crunch_run_command = reader.text("Containers.CrunchRunCommand").to_owned();
    if crunch_run_command.is_empty() && !deploys {
        let path = KeyPath::dotted("Containers.CrunchRunCommand");
        reader.report.error(
            &path,
            None,
            "is empty, and no runner is deployed either",
            "write crunch-run",
        );
    }
    Containers {
        dispatch_private_key: checks::private_key(reader),
        stale_lock_timeout: reader.duration("Containers.StaleLockTimeout"),
        crunch_run_command,
        crunch_run_arguments: reader.texts("Containers.CrunchRunArgumentsList"),
        runtime_engine: runtime_engine.to_owned(),
        reserve_extra_ram_bytes: reader.bytes("Containers.ReserveExtraRAM"),
        local_keep_blob_buffers_per_vcpu: reader.count("Containers.LocalKeepBlobBuffersPerVCPU"),
        maximum_price_factor: reader.number("Containers.MaximumPriceFactor").max(1.0),
        preemptible_price_factor: reader
            .value("Containers.PreemptiblePriceFactor")
            .as_f64()
            .unwrap_or(0.0),
        max_dispatch_attempts: reader.count("Containers.MaxDispatchAttempts"),
    }
}

fn cloud_vms(reader: &mut Reader<'_>, context: &Context<'_>, set_id: &str) -> CloudVms {
    macro_rules! read {
        ($method:ident, $key:literal) => {
            reader.$method(concat!("Containers.CloudVMs.", $key))
        };
    }
    let driver = read!(text, "Driver").to_owned();
    if !context.known_drivers.is_empty() && !context.known_drivers.contains(&driver.as_str()) {
        checks::unknown_driver(reader, context.known_drivers);
    }
    let supervisor_fraction = checks::supervisor_fraction(reader);
    let tag_key_prefix = checks::tag_key_prefix(reader);
    let resource_tags = checks::resource_tags(reader, &tag_key_prefix);
    CloudVms {
        enable: read!(flag, "Enable"),
        driver,
        driver_parameters: Secret::new(read!(value, "DriverParameters").clone()),
        image_id: read!(text, "ImageID").to_owned(),
        instance_init_command: read!(text, "InstanceInitCommand").into(),
        ssh_port: checks::port(reader, "Containers.CloudVMs.SSHPort"),
        boot_probe_command: read!(some_text, "BootProbeCommand")
            .unwrap_or_else(|| "true".to_owned()),
        deploy_runner_binary: read!(some_text, "DeployRunnerBinary"),
        deploy_runner_directory: checks::deploy_directory(reader),
        deploy_public_key: read!(flag, "DeployPublicKey"),
        resource_tags,
        tag_key_prefix,
        poll_interval: read!(duration, "PollInterval"),
        probe_interval: read!(duration, "ProbeInterval"),
        max_probes_per_second: match read!(count, "MaxProbesPerSecond") {
            0 => 10,
            limit => limit,
        },
        sync_interval: read!(duration, "SyncInterval"),
        timeout_idle: read!(duration, "TimeoutIdle"),
        timeout_booting: read!(duration, "TimeoutBooting"),
        timeout_probe: read!(duration, "TimeoutProbe"),
        timeout_shutdown: read!(duration, "TimeoutShutdown"),
        timeout_signal: read!(duration, "TimeoutSignal"),
        timeout_stale_run_lock: read!(duration, "TimeoutStaleRunLock"),
        timeout_term: read!(duration, "TimeoutTERM"),
        timeout_kill: read!(some_duration, "TimeoutKILL"),
        timeout_api: read!(duration, "TimeoutAPI"),
        max_cloud_ops_per_second: read!(limit, "MaxCloudOpsPerSecond"),
        max_concurrent_instance_create_ops: read!(limit, "MaxConcurrentInstanceCreateOps"),
        max_instances: read!(limit, "MaxInstances"),
        max_running_containers_per_instance: read!(limit, "MaxRunningContainersPerInstance"),
        initial_quota_estimate: read!(limit, "InitialQuotaEstimate"),
        supervisor_fraction: Some(supervisor_fraction).filter(|fraction| *fraction > 0.0),
        spot_fallback: spot_fallback(reader),
        max_price_per_hour: Some(read!(number, "MaxPricePerHour")).filter(|price| *price > 0.0),
        former_instance_set_ids: checks::former_set_ids(reader, set_id),
        runner_user: images::runner_user(reader),
        allowed_images: images::allowed(reader),
        max_command_output_bytes: checks::command_output(reader),
    }
}

fn spot_fallback(reader: &mut Reader<'_>) -> Option<SpotFallback> {
    let price_factor = reader.number("Containers.CloudVMs.SpotFallbackPriceFactor");
    let interruptions = reader.count("Containers.CloudVMs.SpotFallbackInterruptions");
    let window = reader.duration("Containers.CloudVMs.SpotFallbackWindow");
    (price_factor > 0.0).then_some(SpotFallback {
        price_factor,
        interruptions: interruptions.max(1),
        window,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_instance_set_id_is_the_tokens_md5_or_its_uuid() {
        assert_eq!(instance_set_id("abc"), "900150983cd24fb0d6963f7d28e17f72");
        assert_eq!(
            instance_set_id("v2/zzzzz-gj3su-000000000000000/secret"),
            "zzzzz-gj3su-000000000000000"
        );
        assert_eq!(instance_set_id("v2/").len(), 32);
    }
}
