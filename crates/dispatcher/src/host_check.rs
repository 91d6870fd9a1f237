//! What a start on this host would refuse although the configuration has no mistake in its text: for `config-check`.

use dispatch_config::{ClusterConfig, Loaded, Problem, Severity};
use dispatch_lock::SettingsError;
use dispatch_management_api::TlsError;

use crate::{
    RunnerBinary, RunnerBinaryError, StartError, assembly::private_key, daemon::lock_settings,
    listening::load_certificate,
};

/// Errors that keep the dispatcher from starting with this configuration, and a warning of a runner that this host does
/// not have: the check may be made on another machine than the dispatcher's. Blocks while files are read.
pub fn check_here(loaded: &Loaded) -> Vec<Problem> {
    let config = &loaded.config;
    let tell = |(severity, key, value, message, remedy): Finding| Problem {
        severity,
        file: loaded.file.as_str().into(),
        line: None,
        key: format!("Clusters.{}.{key}", config.cluster_id).into(),
        value,
        message,
        remedy,
    };
    let findings = [certificate(config), key(config), runner(config)];
    let findings = findings.into_iter().flatten().chain(lock(config));
    findings.map(tell).collect()
}

/// How bad, key, value, what is wrong, remedy.
type Finding = (Severity, String, Option<String>, String, String);

fn certificate(config: &ClusterConfig) -> Option<Finding> {
    let (key, path, message, remedy) = match load_certificate(config).err()? {
        TlsError::File { key, path, reason } => {
            let remedy = if key == "TLS.Key" {
                "name a file with the certificate's private key, in PEM form and without a passphrase"
            } else {
                "name a file with the server's certificate and those that signed it, in PEM form"
            };
            (key, Some(path), format!("cannot be used: {reason}"), remedy)
        }
        TlsError::Unusable(reason) => {
            let other = config.tls.key.as_deref().unwrap_or("".as_ref()).display();
            let message = format!("cannot be used with TLS.Key {other}: {reason}");
            let remedy = "name a certificate and the private key that it was made for";
            let path = config.tls.certificate.clone();
            ("TLS.Certificate", path, message, remedy)
        }
    };
    let value = path.map(|path| format!("{:?}", path.display().to_string()));
    Some((
        Severity::Error,
        key.to_owned(),
        value,
        message,
        remedy.to_owned(),
    ))
}

fn key(config: &ClusterConfig) -> Option<Finding> {
    let error = private_key(config).err()?;
    let reason = match error {
        StartError::Key(reason) => reason,
        other => other.to_string(),
    };
    let message = format!("cannot be used: {reason}");
    let remedy = "make a new one with `ssh-keygen -t ed25519 -N '' -f FILE`";
    let key = "Containers.DispatchPrivateKey".to_owned();
    Some((Severity::Error, key, None, message, remedy.to_owned()))
}

/// The dispatchers' lock: what keeps it from being taken, what is odd about it, or that there will be none.
fn lock(config: &ClusterConfig) -> Vec<Finding> {
    const SECTION: &str = "PostgreSQL.Connection";
    let finding = |severity, found: &SettingsError| {
        let SettingsError {
            key,
            problem,
            remedy,
        } = found.clone();
        (severity, format!("{SECTION}.{key}"), None, problem, remedy)
    };
    match lock_settings(config) {
        Ok(Some(settings)) => {
            let remarks = settings.remarks().iter();
            let mut findings: Vec<Finding> = remarks
                .map(|remark| finding(Severity::Warning, remark))
                .collect();
            let unusable = settings.check_files().err();
            findings.extend(unusable.map(|error| finding(Severity::Error, &error)));
            findings
        }
        Ok(None) => {
            let message = "is not configured, so no lock will be taken".to_owned();
            let remedy =
                "name the cluster's database, or see that no other dispatcher serves this cluster";
            let section = SECTION.to_owned();
            vec![(Severity::Warning, section, None, message, remedy.to_owned())]
        }
        Err(error) => vec![finding(Severity::Error, &error)],
    }
}

fn runner(config: &ClusterConfig) -> Option<Finding> {
    let vms = &config.cloud_vms;
    let setting = vms.deploy_runner_binary.as_deref()?;
    let error = RunnerBinary::open(setting, &vms.deploy_runner_directory).err()?;
    let reason = match &error {
        RunnerBinaryError::Missing(missing) => missing.to_string(),
        RunnerBinaryError::Unreadable { source, .. } => format!("{error}: {source}"),
    };
    let message = format!("`run` will not start here: {reason}");
    let remedy = "if the dispatcher runs on another machine, check there";
    let key = "Containers.CloudVMs.DeployRunnerBinary".to_owned();
    let value = Some(format!("{setting:?}"));
    Some((Severity::Warning, key, value, message, remedy.to_owned()))
}
