//! Starts the daemon: what lasts as long as the process, and then term after term of command.

use std::{
    io,
    sync::{Arc, OnceLock},
};

use dispatch_cloud::Driver;
use dispatch_config::{ClusterConfig, Loaded};
use dispatch_lock::SettingsError;
use dispatch_management_api::{Server, Tls};
use dispatch_telemetry::Metrics;
use tokio::sync::watch;

use crate::{
    RunnerBinary, RunnerBinaryError,
    assembly::{Means, fresh_brain, private_key, usable_driver},
    backend::Answers,
    clock::Clock,
    command::Command,
    health::Health,
    listening::{certificate, listen, serve},
    settings,
    supervise::{Signals, supervise},
};

/// What the daemon is started with.
pub struct Start {
    /// The configuration, checked.
    pub loaded: Loaded,
    /// Every driver that was built in.
    pub drivers: Vec<Arc<dyn Driver>>,
    /// What the environment says.
    pub environment: Environment,
    /// The metrics that the management API shows.
    pub metrics: Arc<Metrics>,
}

/// The environment variables that matter, read by the binary (facts §2.1, §2.6).
#[derive(Clone, Debug, Default)]
pub struct Environment {
    /// `ARVADOS_SERVER_ADDRESS`: dial this instead of the controller's host.
    pub server_address: Option<String>,
    /// `ARVADOS_SERVICE_INTERNAL_URL`: which of our addresses is this process's.
    pub service_internal_url: Option<String>,
    /// Whether `SSL_CERT_FILE` is set.
    pub ssl_cert_file: bool,
}

/// The daemon cannot start, or its loop has died.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum StartError {
    #[error(
        "`Containers.CloudVMs.Driver` is {driver:?}, which this program does not have; it has: {known}"
    )]
    UnknownDriver { driver: String, known: String },
    #[error("cannot deploy the runner")]
    Runner(#[from] RunnerBinaryError),
    #[error("`Containers.DispatchPrivateKey` cannot be used: {0}")]
    Key(String),
    #[error(
        "`Containers.DispatchPrivateKey` is missing: the driver {0:?} reaches its instances over SSH"
    )]
    NoKey(String),
    #[error("the cloud driver cannot start: {0}")]
    Cloud(String),
    #[error("the API client cannot start: {0}")]
    Api(String),
    #[error("the management API cannot start: {0}")]
    Management(String),
    #[error("the dispatchers' lock cannot be taken: {0}")]
    Lock(#[from] SettingsError),
    #[error("threads for the dispatcher cannot be started: {0}")]
    Runtime(String),
    #[error(
        "the dispatchers' lock is lost, and what was under way could not be cut off within {0} ms: ending at once"
    )]
    NotCutOff(u128),
    #[error("the keeper of the dispatchers' lock has died")]
    KeeperDied,
    #[error("cannot wait for signals: {0}")]
    Signals(#[from] io::Error),
    #[error("the dispatcher's loop ended unexpectedly: {0}")]
    LoopDied(String),
}

/// Runs the daemon until SIGTERM or SIGINT.
pub async fn run(start: Start) -> Result<(), StartError> {
    let (stop, stopping) = watch::channel(false);
    let mut signals = Signals::listen()?;
    let Parts {
        command,
        server,
        tls,
    } = prepare(start).await?;
    let address = server.as_ref().map(|server| server.address().to_string());
    tracing::info!(
        Listen = address.as_deref().unwrap_or(""),
        "dispatcher started"
    );
    let server = tokio::spawn(serve(server, stopping.clone()));
    let command = tokio::spawn(command.run(stopping));
    supervise(command, server, stop, tls.as_deref(), async || {
        signals.next().await
    })
    .await
}

/// The parts of a daemon, ready to run.
struct Parts {
    command: Command,
    server: Option<Server>,
    tls: Option<Arc<Tls>>,
}

/// Finds whatever keeps the daemon from working, also if it is to wait for a long time first.
async fn prepare(start: Start) -> Result<Parts, StartError> {
    let Start {
        loaded,
        drivers,
        environment,
        metrics,
    } = start;
    let config = &loaded.config;
    let lock = lock_settings(config)?;
    if let Some(lock) = &lock {
        lock.check_files()?;
        for remark in lock.remarks() {
            tracing::warn!("{remark}");
        }
    }
    usable_driver(config, &drivers)?;
    private_key(config)?;
    let clock = Clock::start();
    let health = Arc::new(Health::new(
        clock,
        config.cloud_vms.poll_interval,
        config.cloud_vms.timeout_api,
        config.cloud_vms.sync_interval,
    ));
    let types = settings::types(config);
    let binary = match &config.cloud_vms.deploy_runner_binary {
        Some(setting) => {
            RunnerBinary::open(setting, &config.cloud_vms.deploy_runner_directory)?.map(Arc::new)
        }
        None => None,
    };
    let (snapshots, shown) =
        watch::channel(Arc::new(fresh_brain(config, &types, clock).snapshot()));
    let (desk, wishes) = watch::channel(None);
    let load = Arc::new(OnceLock::new());
    let answers = Answers {
        snapshots: shown,
        wishes,
        types: types.clone(),
        health: Arc::clone(&health),
        metrics: Arc::clone(&metrics),
        clock,
        load: Arc::clone(&load),
    };
    let tls = certificate(config)?;
    let server = listen(config, &environment, tls.as_ref(), Arc::new(answers)).await?;
    if let Some(server) = &server {
        // Set once, here: it cannot be set already.
        let _ = load.set(Box::new(server.load()) as _);
    }
    let means = Means {
        loaded,
        drivers,
        environment,
        metrics,
        clock,
        health,
        types,
        binary,
        snapshots,
        desk,
    };
    Ok(Parts {
        command: Command::new(means, lock),
        server,
        tls,
    })
}

/// Where the lock is that dispatchers share; `None` if no database is configured.
pub(crate) fn lock_settings(
    config: &ClusterConfig,
) -> Result<Option<dispatch_lock::Settings>, SettingsError> {
    let keys = config.postgresql.connection.iter();
    let keys = keys
        .map(|(key, value)| (key.clone(), value.reveal().clone()))
        .collect();
    let application = format!("arvados-dispatch-cloud {}", std::process::id());
    dispatch_lock::Settings::from_connection(&keys, &application)
}

#[cfg(test)]
mod tests;
