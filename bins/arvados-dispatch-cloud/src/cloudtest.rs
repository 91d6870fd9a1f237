//! The command `cloudtest`: tries out the cloud that is configured (facts §1.11).

use std::{
    io::{self, BufRead as _, Write as _},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, anyhow, bail};
use async_trait::async_trait;
use dispatch_cloud::{
    Clock, CreateOrder, Driver, DriverContext, InstanceSet, Tags, WrapSettings, Wrapped,
};
use dispatch_cloud_conformance::{Fault, Hooks};
use dispatch_cloudtest::{Audience, Settings, Step, Timing};
use dispatch_config::ClusterConfig;
use dispatch_model::{InstanceId, InstanceSecret, InstanceType};
use dispatch_ssh_executor::{PrivateKey, SshExecutor};
use rand::RngExt as _;

use crate::{cli::CloudtestArgs, interrupts::Interrupts};

/// What a call may take, and how long an instance whose creation was not answered may take to appear.
const CALL: Duration = Duration::from_secs(120);
const LATE: Duration = Duration::from_secs(120);
/// How long one attempt to connect and to run the boot probe may take.
const COMMAND: Duration = Duration::from_secs(30);
const LONGEST_CLEAN_UP: Duration = Duration::from_secs(600);

/// Tries out each place in turn (facts T4); whether every step of every test passed.
pub(crate) async fn run(
    args: &CloudtestArgs,
    config: &ClusterConfig,
    drivers: &[Arc<dyn Driver>],
    interrupts: &Interrupts,
) -> anyhow::Result<bool> {
    let vms = &config.cloud_vms;
    let driver = drivers
        .iter()
        .find(|driver| driver.name() == vms.driver)
        .with_context(|| {
            format!(
                "Containers.CloudVMs.Driver is {:?}, which is not built in",
                vms.driver
            )
        })?;
    let mut problems = driver.check(vms.driver_parameters.reveal());
    let instance_type = instance_type(args, config)?;
    problems.extend(driver.check_types(vms.driver_parameters.reveal(), &[&instance_type]));
    if !problems.is_empty() {
        bail!("Containers.CloudVMs.{}", problems.join("; "));
    }
    let key = match &config.containers.dispatch_private_key {
        Some(text) => Some(Arc::new(
            PrivateKey::parse(text.reveal()).context("Containers.DispatchPrivateKey")?,
        )),
        None => None,
    };
    let mut passed = true;
    for (place, parameters) in driver.places(vms.driver_parameters.reveal()) {
        if interrupts.n() > 0 {
            // Those that are left are not tried out.
            return Ok(false);
        }
        let context = DriverContext {
            instance_set_id: args.instance_set_id.clone(),
            tag_key_prefix: vms.tag_key_prefix.clone(),
            image_id: image(args, config),
            public_key: key
                .as_ref()
                .filter(|_| vms.deploy_public_key)
                .map(|key| key.public_line()),
            clock: Clock::start(),
            gate: dispatch_cloud::Gate::open(),
        };
        let set = driver
            .open(&parameters, context)
            .await
            .map_err(|error| anyhow!(error.message))?;
        let set = Arc::new(Wrapped::new(
            set,
            WrapSettings {
                ops_per_second: vms.max_cloud_ops_per_second,
                resource_tags: vms.resource_tags.clone(),
                observer: Arc::new(|_, _: Option<&_>, _| ()),
            },
        ));
        let settings = settings(args, config, set, key.as_deref(), &instance_type)?;
        say(&format!(
            "cloudtest: driver {}, {}type {} ({}, ${}/h), image {}\n",
            driver.name(),
            if place.is_empty() {
                String::new()
            } else {
                format!("{place}, ")
            },
            instance_type.name,
            instance_type.provider_type,
            instance_type.price,
            settings.image_id,
        ));
        let report =
            dispatch_cloudtest::run(&settings, &mut Operator, interrupted(interrupts)).await;
        say(&format!("cloudtest: {report}\n"));
        passed &= report.passed();
        if args.all_checks
            && let Some(instance) = report.instance
        {
            let set = Arc::clone(&settings.set) as Arc<dyn InstanceSet>;
            let timing = settings.timing;
            let live = Live { settings, instance };
            let enough = async {
                let checks = timing.total.saturating_sub(timing.clean_up);
                tokio::select! {
                    why = interrupted(interrupts) => why,
                    () = tokio::time::sleep(checks) => {
                        format!("--deadline is over: {} minutes", args.deadline)
                    }
                }
            };
            let report = dispatch_cloud_conformance::run_until(set, &live, enough).await;
            say(&report.to_string());
            passed &= report.failed.is_empty();
        }
    }
    Ok(passed && interrupts.n() == 0)
}

/// Waits for somebody who does not want to wait.
async fn interrupted(interrupts: &Interrupts) -> String {
    let name = interrupts.first().await;
    format!("{name}; a second one ends the test at once and leaves what it has made")
}

fn settings(
    args: &CloudtestArgs,
    config: &ClusterConfig,
    set: Arc<Wrapped>,
    key: Option<&PrivateKey>,
    instance_type: &Arc<InstanceType>,
) -> anyhow::Result<Settings> {
    let vms = &config.cloud_vms;
    let executor = match set.executor() {
        Some(own) => own,
        None => {
            let key = key.context(
                "Containers.DispatchPrivateKey is empty: set it, so that instances can be logged in to",
            )?;
            let ssh = dispatch_ssh_executor::Settings::new(set.remote_user(), vms.ssh_port);
            Arc::new(SshExecutor::new(ssh, key.clone()))
        }
    };
    let secret = fresh_secret();
    let total = Duration::from_secs(args.deadline * 60);
    let clean_up = (total / 3).min(LONGEST_CLEAN_UP);
    Ok(Settings {
        set,
        executor,
        instance_type: Arc::clone(instance_type),
        image_id: image(args, config),
        tag_key_prefix: vms.tag_key_prefix.clone(),
        instance_set_id: args.instance_set_id.clone(),
        resource_tags: vms.resource_tags.clone(),
        init_script: dispatch_runner::init_script(&secret, vms.instance_init_command.reveal()),
        secret,
        boot_probe: dispatch_runner::boot_probe(&vms.boot_probe_command).to_owned(),
        command: args.command.clone(),
        destroy_existing: args.destroy_existing,
        pause_before_destroy: args.pause_before_destroy,
        pid: std::process::id(),
        timing: Timing {
            total,
            clean_up,
            boot: vms.timeout_booting,
            probe_interval: vms.probe_interval,
            sync_interval: vms.sync_interval,
            call: CALL.min(clean_up),
            command: COMMAND,
            late: LATE.min(clean_up),
        },
    })
}

fn image(args: &CloudtestArgs, config: &ClusterConfig) -> String {
    args.image_id
        .clone()
        .unwrap_or_else(|| config.cloud_vms.image_id.clone())
}

/// The one that is asked for, or the cheapest.
fn instance_type(
    args: &CloudtestArgs,
    config: &ClusterConfig,
) -> anyhow::Result<Arc<InstanceType>> {
    let types = &config.instance_types;
    let found = match &args.instance_type {
        Some(name) => types.get(name.as_str()),
        None => types
            .values()
            .min_by(|one, other| one.price.total_cmp(&other.price)),
    };
    let Some(found) = found else {
        let names: Vec<&str> = types.keys().map(|name| name.as_str()).collect();
        bail!(
            "there is no instance type {:?} in InstanceTypes; there are: {}",
            args.instance_type.as_deref().unwrap_or_default(),
            names.join(", ")
        );
    };
    Ok(Arc::new(found.clone()))
}

#[expect(
    clippy::disallowed_methods,
    reason = "the secret of the test's instance"
)]
fn fresh_secret() -> InstanceSecret {
    let bytes: [u8; 20] = rand::rng().random();
    InstanceSecret::new(hex::encode(bytes))
}

/// Whoever started it.
struct Operator;

#[async_trait]
impl Audience for Operator {
    fn begins(&mut self, what: &str) {
        say(&format!("         …     {what}\n"));
    }

    fn ended(&mut self, step: &Step) {
        say(&format!("{step}\n"));
    }

    fn output(&mut self, text: &[u8]) {
        let mut out = io::stdout().lock();
        // Nobody can be told if standard output is closed.
        let _ = out.write_all(text).and_then(|()| out.flush());
    }

    async fn pause(&mut self, address: &str) {
        say(&format!(
            "The instance is at {address}. Press Enter to have it destroyed.\n"
        ));
        let answer = || io::stdin().lock().read_line(&mut String::new());
        // The end of the input is an answer, too.
        let _ = tokio::task::spawn_blocking(answer).await;
    }
}

fn say(text: &str) {
    // Nobody can be told if standard output is closed.
    let _ = io::stdout().write_all(text.as_bytes());
}

/// A real account, which cannot be told what to do wrong.
struct Live {
    settings: Settings,
    /// One that has been destroyed.
    instance: InstanceId,
}

const AS_IT_IS: &str = "a real account cannot be told to";

#[async_trait]
impl Hooks for Live {
    fn run_id(&self) -> String {
        // The checks' secrets begin with it.
        fresh_secret().reveal().to_owned()
    }

    fn tag_key_prefix(&self) -> String {
        self.settings.tag_key_prefix.clone()
    }

    fn order(&self, tags: Tags, secret: InstanceSecret) -> CreateOrder {
        CreateOrder {
            instance_type: (*self.settings.instance_type).clone(),
            image_id: self.settings.image_id.clone(),
            init_script: dispatch_runner::init_script(&secret, "true"),
            tags,
            secret,
        }
    }

    fn unknown_id(&self) -> InstanceId {
        let id = self.instance.as_str();
        let last = if id.ends_with('a') { 'b' } else { 'a' };
        let shorter: String = id
            .chars()
            .take(id.chars().count().saturating_sub(1))
            .collect();
        InstanceId::from(format!("{shorter}{last}"))
    }

    fn instances_max(&self) -> Option<usize> {
        None
    }

    fn knows_repeated_creates(&self) -> Result<(), String> {
        Ok(())
    }

    async fn arrange(&self, _: Fault) -> Result<(), String> {
        Err(AS_IT_IS.to_owned())
    }

    fn patience(&self) -> Duration {
        self.settings.timing.boot
    }

    fn call(&self) -> Duration {
        self.settings.timing.call
    }

    fn clean_up(&self) -> Duration {
        self.settings.timing.clean_up
    }

    fn late(&self) -> Duration {
        self.settings.timing.late
    }

    fn look_every(&self) -> Duration {
        self.settings
            .timing
            .sync_interval
            .min(Duration::from_secs(10))
    }
}
