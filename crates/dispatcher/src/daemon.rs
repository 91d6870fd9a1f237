//! Puts the parts together, starts them, and stops them in order.

use std::{
    io,
    sync::{Arc, OnceLock},
    time::Duration,
};

use dispatch_arvados_client::{CaRoots, Client};
use dispatch_brain::Brain;
use dispatch_cloud::{
    CloudError, Driver, DriverContext, InstanceSet, Operation, WrapSettings, Wrapped,
    exec::Executor,
};
use dispatch_config::{ClusterConfig, Loaded};
use dispatch_management_api::{Listen, Server, Tls, Token};
use dispatch_runner::{
    Login, RunnerCommand, RunnerCommands, StartSettings, WATCH_DIRECTORY, watch_script,
};
use dispatch_ssh_executor::{PrivateKey, SshExecutor};
use dispatch_telemetry::Metrics;
use rand::RngExt;
use tokio::sync::{mpsc, watch};

use crate::{
    RunnerBinary, RunnerBinaryError,
    api_calls::{Api, ApiDeadlines},
    backend::Answers,
    clock::Clock,
    cloud_calls::Cloud,
    facts::Reporter,
    hands::Hands,
    health::Health,
    instance_calls::OnInstance,
    masking::Mask,
    settings,
    shell::{INPUTS_MAX, Shell, stopped},
    supervise::{Signals, supervise},
};

/// Wishes of operators that may wait for the loop.
const WISHES_MAX: usize = 64;

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
    #[error("cannot wait for signals: {0}")]
    Signals(#[from] io::Error),
    #[error("the dispatcher's loop ended unexpectedly: {0}")]
    LoopDied(String),
}

/// Runs the daemon until SIGTERM or SIGINT.
pub async fn run(start: Start) -> Result<(), StartError> {
    let (stop, stopping) = watch::channel(false);
    let mut signals = Signals::listen()?;
    let Parts { shell, server, tls } = assemble(start).await?;
    let address = server.as_ref().map(|server| server.address().to_string());
    tracing::info!(
        Listen = address.as_deref().unwrap_or(""),
        "dispatcher started"
    );
    let server = tokio::spawn(serve(server, stopping.clone()));
    let shell = tokio::spawn(shell.run(stopping));
    // Not started by systemd, or an old one: nobody to tell.
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
    supervise(shell, server, stop, tls.as_deref(), async || {
        signals.next().await
    })
    .await
}

/// The parts of a daemon, ready to run.
struct Parts {
    shell: Shell,
    server: Option<Server>,
    tls: Option<Arc<Tls>>,
}

async fn assemble(start: Start) -> Result<Parts, StartError> {
    let Start {
        loaded,
        drivers,
        environment,
        metrics,
    } = start;
    let config = &loaded.config;
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
    let key = private_key(config)?;
    let set = open_cloud(config, &drivers, key.as_ref(), &metrics, clock).await?;
    let login = Login::new(set.remote_user());
    let executor = executor(config, &*set, key)?;

    let (inputs_sender, inputs) = mpsc::channel(INPUTS_MAX);
    let (wishes_sender, wishes) = mpsc::channel(WISHES_MAX);
    let roots = CaRoots::of_this_host(environment.ssl_cert_file);
    let client = settings::client(config, environment.server_address.clone(), roots)
        .map_err(|error| StartError::Api(error.to_string()))
        .and_then(|settings| {
            Client::new(&settings).map_err(|error| StartError::Api(error.to_string()))
        })?;
    let api = Api {
        client: Arc::new(client),
        deadlines: ApiDeadlines::new(config.cloud_vms.timeout_api, config.cloud_vms.poll_interval),
        health: Arc::clone(&health),
        inputs: inputs_sender.clone(),
    };
    let prefix = &config.cloud_vms.tag_key_prefix;
    let cloud = Cloud {
        set,
        ours: [(
            format!("{prefix}InstanceSetID"),
            config.instance_set_id.clone(),
        )]
        .into(),
        secret_tag: format!("{prefix}InstanceSecret"),
        type_tag: format!("{prefix}InstanceType"),
        types: types.clone(),
        prices: Arc::default(),
        image_id: config.cloud_vms.image_id.clone(),
        init_command: config.cloud_vms.instance_init_command.reveal().clone(),
        health: Arc::clone(&health),
    };
    if let Some(binary) = &binary {
        // Ends when nobody takes its inputs any more.
        tokio::spawn(Arc::clone(binary).keep_looking(inputs_sender.clone()));
    }
    let on_instance = on_instance(&loaded, clock, &login, binary)?;
    let watch_script = Arc::from(watch_script(&login, WATCH_DIRECTORY));
    let hands = Hands::new(
        api,
        cloud,
        executor,
        Arc::new(on_instance),
        watch_script,
        inputs_sender,
    );

    let brain = Brain::new(settings::brain(config, &types, seed()), clock.now());
    let (snapshots, shown) = watch::channel(Arc::new(brain.snapshot()));
    let load = Arc::new(OnceLock::new());
    let answers = Answers {
        snapshots: shown,
        wishes: wishes_sender,
        types,
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
    let reporter = Reporter { metrics, clock };
    Ok(Parts {
        shell: Shell {
            clock,
            brain,
            hands,
            inputs,
            wishes,
            snapshots,
            reporter,
            health,
        },
        server,
        tls,
    })
}

fn private_key(config: &ClusterConfig) -> Result<Option<PrivateKey>, StartError> {
    let Some(text) = &config.containers.dispatch_private_key else {
        return Ok(None);
    };
    PrivateKey::parse(text.reveal())
        .map(Some)
        .map_err(|error| StartError::Key(error.to_string()))
}

async fn open_cloud(
    config: &ClusterConfig,
    drivers: &[Arc<dyn Driver>],
    key: Option<&PrivateKey>,
    metrics: &Arc<Metrics>,
    clock: Clock,
) -> Result<Arc<Wrapped>, StartError> {
    let vms = &config.cloud_vms;
    let driver = drivers
        .iter()
        .find(|driver| driver.name() == vms.driver)
        .ok_or_else(|| StartError::UnknownDriver {
            driver: vms.driver.clone(),
            known: drivers
                .iter()
                .map(|driver| driver.name())
                .collect::<Vec<_>>()
                .join(", "),
        })?;
    let types: Vec<_> = config.instance_types.values().collect();
    let problems = driver.check_use(&vms.image_id, &types);
    if !problems.is_empty() {
        return Err(StartError::Cloud(problems.join("; ")));
    }
    let context = DriverContext {
        instance_set_id: config.instance_set_id.clone(),
        tag_key_prefix: vms.tag_key_prefix.clone(),
        image_id: vms.image_id.clone(),
        public_key: key
            .filter(|_| vms.deploy_public_key)
            .map(PrivateKey::public_line),
        clock: dispatch_cloud::Clock::new(move || clock.time()),
    };
    let set = driver.open(vms.driver_parameters.reveal(), context).await;
    let set = set.map_err(|error| StartError::Cloud(error.message))?;
    let metrics = Arc::clone(metrics);
    let count = move |operation: Operation, error: Option<&CloudError>, _took: Duration| {
        metrics.driver_operation(operation.name(), error.is_some());
    };
    let wrap = WrapSettings {
        ops_per_second: vms.max_cloud_ops_per_second,
        resource_tags: vms.resource_tags.clone(),
        observer: Arc::new(count),
    };
    Ok(Arc::new(Wrapped::new(set, wrap)))
}

fn executor(
    config: &ClusterConfig,
    set: &dyn InstanceSet,
    key: Option<PrivateKey>,
) -> Result<Arc<dyn Executor>, StartError> {
    if let Some(own) = set.executor() {
        return Ok(own);
    }
    let key = key.ok_or_else(|| StartError::NoKey(config.cloud_vms.driver.clone()))?;
    let mut ssh =
        dispatch_ssh_executor::Settings::new(set.remote_user(), config.cloud_vms.ssh_port);
    ssh.output_bytes_max =
        usize::try_from(config.cloud_vms.max_command_output_bytes).unwrap_or(usize::MAX);
    Ok(Arc::new(SshExecutor::new(ssh, key)))
}

fn on_instance(
    loaded: &Loaded,
    clock: Clock,
    login: &Login,
    binary: Option<Arc<RunnerBinary>>,
) -> Result<OnInstance, StartError> {
    let config = &loaded.config;
    let runner = match &binary {
        Some(binary) => RunnerCommand::Deployed(binary.target().clone()),
        None => RunnerCommand::Installed(config.containers.crunch_run_command.clone()),
    };
    let commands = RunnerCommands::new(
        &runner,
        login,
        &config.containers.runtime_engine,
        &config.containers.crunch_run_arguments,
    );
    let cluster = serde_json::value::to_raw_value(&loaded.cluster_json).map_err(|error| {
        StartError::Api(format!(
            "the configuration cannot be written as JSON: {error}"
        ))
    })?;
    let start = StartSettings {
        api_host: config.controller.host_port(),
        system_root_token: config.system_root_token.reveal().clone(),
        insecure: config.tls.insecure,
        keep_buffers_per_vcpu: config.containers.local_keep_blob_buffers_per_vcpu,
        cluster: Arc::from(cluster),
        on_ec2: config.cloud_vms.driver == "ec2",
    };
    let others = config.management_token.iter();
    let mask = Mask::new(
        config.system_root_token.reveal(),
        others.map(|token| token.reveal().clone()),
    );
    let boot_probe = config.cloud_vms.boot_probe_command.clone();
    Ok(OnInstance::new(
        clock,
        login.clone(),
        commands,
        boot_probe,
        binary,
        start,
        mask,
    ))
}

fn certificate(config: &ClusterConfig) -> Result<Option<Arc<Tls>>, StartError> {
    let (Some(certificate), Some(key)) = (&config.tls.certificate, &config.tls.key) else {
        return Ok(None);
    };
    let tls = Tls::load(&certificate.to_string_lossy(), &key.to_string_lossy());
    Ok(Some(Arc::new(tls.map_err(|error| {
        StartError::Management(error.to_string())
    })?)))
}

/// Binds the first of our addresses that is this host's (facts §2.6).
async fn listen(
    config: &ClusterConfig,
    environment: &Environment,
    tls: Option<&Arc<Tls>>,
    answers: Arc<Answers>,
) -> Result<Option<Server>, StartError> {
    let chosen = environment
        .service_internal_url
        .as_deref()
        .map(|url| url.trim_end_matches('/'));
    let candidates: Vec<_> = config
        .listen
        .iter()
        .filter(|candidate| {
            chosen.is_none_or(|url| candidate.internal_url.trim_end_matches('/') == url)
        })
        .collect();
    if let (Some(url), true) = (chosen, candidates.is_empty()) {
        let message = format!(
            "ARVADOS_SERVICE_INTERNAL_URL is {url}, which is not in Services.DispatchCloud.InternalURLs"
        );
        return Err(StartError::Management(message));
    }
    if candidates.is_empty() {
        tracing::warn!(
            "Services.DispatchCloud.InternalURLs is empty: no management API, no metrics, no health"
        );
        return Ok(None);
    }
    let mut refusals = Vec::new();
    for candidate in candidates {
        if candidate.listen.tls && tls.is_none() {
            let message = format!("{} needs TLS.Certificate and TLS.Key", candidate.listen);
            return Err(StartError::Management(message));
        }
        let address = match candidate.listen.host.as_str() {
            "" => format!("[::]:{}", candidate.listen.port),
            _ => candidate.listen.socket(),
        };
        let listen = Listen {
            address,
            tls: tls.filter(|_| candidate.listen.tls).cloned(),
        };
        let server = dispatch_management_api::Settings {
            token: Token::new(
                config
                    .management_token
                    .as_ref()
                    .map_or("", |token| token.reveal())
                    .to_owned(),
            ),
            max_concurrent: config
                .api
                .max_concurrent_requests
                .map_or(usize::MAX >> 4, |n| n as usize),
            max_queued: config.api.max_queued_requests as usize,
            request_timeout: config.api.request_timeout,
        };
        match Server::bind(listen, server, Arc::clone(&answers) as _).await {
            Ok(server) => return Ok(Some(server)),
            Err(error) => refusals.push(error.to_string()),
        }
    }
    Err(StartError::Management(refusals.join("; ")))
}

async fn serve(server: Option<Server>, mut stop: watch::Receiver<bool>) {
    match server {
        Some(server) => server.run(stop).await,
        None => stopped(&mut stop).await,
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the one place where fresh secrets get their entropy"
)]
fn seed() -> [u8; 32] {
    rand::rng().random()
}

#[cfg(test)]
mod tests;
