//! Puts together what acts during one term of command, anew for each term: connections, the brain, the loop.

use std::{sync::Arc, time::Duration};

use dispatch_arvados_client::{CaRoots, Client};
use dispatch_brain::Brain;
use dispatch_cloud::{
    CloudError, Driver, DriverContext, Gate, InstanceSet, Operation, WrapSettings, Wrapped,
    exec::Executor,
};
use dispatch_config::{ClusterConfig, Loaded};
use dispatch_lock::Term;
use dispatch_runner::{Login, RunnerCommand, StartSettings};
use dispatch_ssh_executor::{PrivateKey, SshExecutor};
use dispatch_telemetry::Metrics;
use rand::RngExt;
use tokio::sync::{mpsc, watch};

use crate::{
    Environment, RunnerBinary, StartError,
    api_calls::{Api, ApiDeadlines},
    as_user::CommandLines,
    clock::Clock,
    cloud_calls::Cloud,
    facts::Reporter,
    former::WithFormer,
    hands::Hands,
    health::Health,
    instance_calls::OnInstance,
    masking::Mask,
    settings::{self, Types},
    shell::{AskedWish, INPUTS_MAX, Shell},
};

/// Wishes of operators that may wait for the loop.
const WISHES_MAX: usize = 64;

/// What stays the same from term to term.
pub(crate) struct Means {
    pub(crate) loaded: Loaded,
    pub(crate) drivers: Vec<Arc<dyn Driver>>,
    pub(crate) environment: Environment,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) clock: Clock,
    pub(crate) health: Arc<Health>,
    pub(crate) types: Types,
    pub(crate) binary: Option<Arc<RunnerBinary>>,
    pub(crate) snapshots: watch::Sender<Arc<dispatch_brain::Snapshot>>,
    pub(crate) desk: watch::Sender<Option<mpsc::Sender<AskedWish>>>,
}

impl Means {
    /// A brain that knows nothing yet.
    pub(crate) fn fresh_brain(&self) -> Brain {
        fresh_brain(&self.loaded.config, &self.types, self.clock)
    }

    /// Everything for this term, ready to run; belongs to the runtime that it is called in.
    pub(crate) async fn assemble(&self, term: &Term) -> Result<Shell, StartError> {
        let Means {
            loaded,
            metrics,
            clock,
            health,
            types,
            ..
        } = self;
        let (config, clock) = (&loaded.config, *clock);
        let key = private_key(config)?;
        let set = open_cloud(config, &self.drivers, key.as_ref(), metrics, clock, term).await?;
        let login = Login::new(set.remote_user());
        let executor = executor(config, &*set, key)?;

        let (inputs_sender, inputs) = mpsc::channel(INPUTS_MAX);
        let (wishes_sender, wishes) = mpsc::channel(WISHES_MAX);
        let roots = CaRoots::of_this_host(self.environment.ssl_cert_file);
        let client = settings::client(config, self.environment.server_address.clone(), roots)
            .map_err(|error| StartError::Api(error.to_string()))
            .and_then(|settings| {
                Client::new(&settings).map_err(|error| StartError::Api(error.to_string()))
            })?;
        let api = Api {
            client: Arc::new(client),
            deadlines: ApiDeadlines::new(
                config.cloud_vms.timeout_api,
                config.cloud_vms.poll_interval,
            ),
            health: Arc::clone(health),
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
            health: Arc::clone(health),
        };
        if let Some(binary) = &self.binary {
            // Ends when nobody takes its inputs any more.
            tokio::spawn(Arc::clone(binary).keep_looking(inputs_sender.clone()));
        }
        let on_instance = on_instance(term, loaded, clock, login, self.binary.clone())?;
        let hands = Hands::new(
            term.clone(),
            api,
            cloud,
            executor,
            Arc::new(on_instance),
            inputs_sender,
        );

        let brain = self.fresh_brain();
        self.snapshots.send_replace(Arc::new(brain.snapshot()));
        self.desk.send_replace(Some(wishes_sender));
        Ok(Shell {
            clock,
            brain,
            hands,
            inputs,
            wishes,
            snapshots: self.snapshots.clone(),
            reporter: Reporter {
                metrics: Arc::clone(metrics),
                clock,
            },
            health: Arc::clone(health),
        })
    }
}

pub(crate) fn fresh_brain(config: &ClusterConfig, types: &Types, clock: Clock) -> Brain {
    Brain::new(settings::brain(config, types, seed()), clock.now())
}

pub(crate) fn private_key(config: &ClusterConfig) -> Result<Option<PrivateKey>, StartError> {
    let Some(text) = &config.containers.dispatch_private_key else {
        return Ok(None);
    };
    PrivateKey::parse(text.reveal())
        .map(Some)
        .map_err(|error| StartError::Key(error.to_string()))
}

/// The configured driver, if it can do what is asked of it.
pub(crate) fn usable_driver<'a>(
    config: &ClusterConfig,
    drivers: &'a [Arc<dyn Driver>],
) -> Result<&'a Arc<dyn Driver>, StartError> {
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
    let problems = settings::problems_of_use(config, &**driver);
    if problems.is_empty() {
        Ok(driver)
    } else {
        Err(StartError::Cloud(problems.join("; ")))
    }
}

pub(crate) async fn open_cloud(
    config: &ClusterConfig,
    drivers: &[Arc<dyn Driver>],
    key: Option<&PrivateKey>,
    metrics: &Arc<Metrics>,
    clock: Clock,
    term: &Term,
) -> Result<Arc<Wrapped>, StartError> {
    let vms = &config.cloud_vms;
    let driver = usable_driver(config, drivers)?;
    let its_term = term.clone();
    let context = DriverContext {
        instance_set_id: config.instance_set_id.clone(),
        tag_key_prefix: vms.tag_key_prefix.clone(),
        image_id: vms.image_id.clone(),
        public_key: key
            .filter(|_| vms.deploy_public_key)
            .map(PrivateKey::public_line),
        clock: dispatch_cloud::Clock::new(move || clock.time()),
        gate: Gate::new(term.acts_at(), move || its_term.allows_acting()),
    };
    let open = async |context| {
        let set = driver.open(vms.driver_parameters.reveal(), context).await;
        set.map_err(|error| StartError::Cloud(error.message))
    };
    let mut former = Vec::new();
    for id in &vms.former_instance_set_ids {
        let context = DriverContext {
            instance_set_id: id.clone(),
            ..context.clone()
        };
        former.push((id.clone(), open(context).await?));
    }
    let set_tag = format!("{}InstanceSetID", vms.tag_key_prefix);
    let set = open(context).await?;
    let set = if former.is_empty() {
        set
    } else {
        Arc::new(WithFormer::new(set, former, set_tag))
    };
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
    term: &Term,
    loaded: &Loaded,
    clock: Clock,
    login: Login,
    binary: Option<Arc<RunnerBinary>>,
) -> Result<OnInstance, StartError> {
    let config = &loaded.config;
    let runner = match &binary {
        Some(binary) => RunnerCommand::Deployed(binary.target().clone()),
        None => RunnerCommand::Installed(config.containers.crunch_run_command.clone()),
    };
    let lines = CommandLines {
        login,
        runner,
        engine: config.containers.runtime_engine.clone(),
        arguments: config.containers.crunch_run_arguments.clone(),
    };
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
        term.clone(),
        clock,
        lines,
        boot_probe,
        binary,
        start,
        mask,
    ))
}

#[expect(
    clippy::disallowed_methods,
    reason = "the one place where fresh secrets get their entropy"
)]
fn seed() -> [u8; 32] {
    rand::rng().random()
}
