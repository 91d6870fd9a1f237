//! A lab with an Azure API, and the driver on it.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use dispatch_cloud::{Clock, CloudError, CreateOrder, DriverContext, Ended, Instance, Tags};
use dispatch_lab_net::{
    AzureApi, AzureBad, AzureInjection, AzureSettings, Lab, LabHandle,
    world::{Settings, Span, settings::InstanceType as LabType},
};
use dispatch_model::{Gpu, InstanceSecret, InstanceType, Time};
use serde_json::{Value, json};

use crate::{AzureDriver, account::Account, mutants::Mutant};

/// How much shorter than in life all waits are.
pub(super) const SCALE: u32 = 200;
/// Long enough for anything here.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);
/// The usual size, another, and the one that is spot.
pub(super) const SMALL: &str = "Standard_D2s_v3";
pub(super) const OTHER: &str = "Standard_F2s_v2";
pub(super) const SPOT: &str = "Standard_E2s_v3";
/// The family of `SMALL`.
pub(super) const FAMILY: &str = "standardDSv3Family";

/// What a check says if it fails.
pub(super) type Outcome = Result<(), String>;

/// Fails a check with these words unless this is so.
pub(super) fn ensure(is_so: bool, otherwise: impl FnOnce() -> String) -> Outcome {
    if is_so { Ok(()) } else { Err(otherwise()) }
}

/// How often to look.
pub(super) const LOOK_EVERY: Duration = Duration::from_millis(10);

tokio::task_local! {
    /// What is wrong with the drivers that a check starts.
    pub(super) static MUTANT: Mutant;
}

/// Every action that was needed on any stage (docs/azure.md, role).
static ACTIONS: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

/// Every action that was needed so far.
pub(super) fn actions() -> BTreeSet<String> {
    ACTIONS
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .clone()
}

/// Looking again and again, for a while.
pub(super) struct Look {
    what: String,
    began: tokio::time::Instant,
}

impl Look {
    pub(super) fn begin(what: &str) -> Look {
        Look {
            what: what.to_owned(),
            began: tokio::time::Instant::now(),
        }
    }

    /// Waits a moment; fails when patience is at its end.
    pub(super) async fn again(&mut self) -> Outcome {
        self.again_after(LOOK_EVERY).await
    }

    /// The same for what costs many requests.
    pub(super) async fn again_after(&mut self, pause: Duration) -> Outcome {
        ensure(self.began.elapsed() < PATIENCE, || {
            format!("in vain: {}", self.what)
        })?;
        tokio::time::sleep(pause).await;
        Ok(())
    }
}

/// A lab, its Azure API, the driver.
pub(super) struct Stage {
    pub(super) lab: LabHandle,
    pub(super) azure: AzureApi,
    pub(super) account: Arc<Account>,
    parameters: Value,
    create_deadline: Option<Duration>,
    time: VirtualTime,
    scale: u32,
    /// Whether somebody else calls here, who may need other permissions.
    pub(super) is_others: bool,
}

/// The driver's clock: what a check adds to it, and real time unless it is to stand still.
#[derive(Clone)]
struct VirtualTime {
    added_ms: Arc<AtomicU64>,
    stands: bool,
}

impl VirtualTime {
    fn clock(&self) -> Clock {
        let (added, stands) = (Arc::clone(&self.added_ms), self.stands);
        let began = tokio::time::Instant::now();
        Clock::new(move || {
            let real = if stands {
                Duration::ZERO
            } else {
                began.elapsed()
            };
            Time::from_secs(1000) + real + Duration::from_millis(added.load(Ordering::SeqCst))
        })
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if self.is_others {
            return;
        }
        let actions = self.azure.actions();
        let mut all = ACTIONS.lock().unwrap_or_else(PoisonError::into_inner);
        all.extend(actions);
    }
}

/// What to set up.
pub(super) struct Setup {
    pub(super) seed: u64,
    pub(super) azure: AzureSettings,
    pub(super) parameters: Value,
    pub(super) scale: u32,
    /// Other than in life, scaled.
    pub(super) create_deadline: Option<Duration>,
    /// Whether the driver's clock moves by [`Stage::later`] alone.
    pub(super) time_stands: bool,
    pub(super) world: fn(&mut Settings),
}

impl Default for Setup {
    fn default() -> Setup {
        let azure = AzureSettings {
            // The documented buckets, in the driver's time.
            bucket_speed: Some(f64::from(SCALE)),
            ..AzureSettings::default()
        };
        Setup {
            seed: 1,
            parameters: json!({
                "SubscriptionID": azure.subscription, "TenantID": azure.tenant, "ClientID": azure.client_id,
                "ClientSecret": azure.client_secret, "Location": azure.location, "ResourceGroup": "vms",
                "NetworkResourceGroup": "net", "ImageResourceGroup": "images", "Network": "vnet",
                "Subnet": "subnet", "DeleteDanglingResourcesAfter": "0",
            }),
            azure,
            scale: SCALE,
            create_deadline: None,
            time_stands: false,
            world: |_| (),
        }
    }
}

impl Setup {
    pub(super) fn azure(mut self, change: impl FnOnce(&mut AzureSettings)) -> Setup {
        change(&mut self.azure);
        self
    }

    pub(super) fn parameter(mut self, key: &str, value: Value) -> Setup {
        self.parameters[key] = value;
        self
    }

    /// The next requests of this kind go wrong.
    pub(super) fn bad(self, method: &str, path: &str, times: usize, bad: AzureBad) -> Setup {
        self.azure(|settings| {
            let injection = AzureInjection::next(method, path, bad).times(times);
            settings.injections.push(injection);
        })
    }

    pub(super) async fn start(self) -> Stage {
        let mut settings = quick_world();
        (self.world)(&mut settings);
        let lab = Lab::new(self.seed, settings).start().await.expect("a lab");
        let azure = lab.serve_azure(self.azure).await.expect("an Azure API");
        let time = VirtualTime {
            added_ms: Arc::default(),
            stands: self.time_stands,
        };
        let account = account(
            azure.url(),
            &self.parameters,
            lab.public_key(),
            self.scale,
            self.create_deadline,
            time.clock(),
        );
        Stage {
            lab,
            account,
            azure,
            parameters: self.parameters,
            create_deadline: self.create_deadline,
            time,
            scale: self.scale,
            is_others: false,
        }
    }
}

fn account(
    url: &str,
    parameters: &Value,
    public_key: &str,
    scale: u32,
    create_deadline: Option<Duration>,
    clock: Clock,
) -> Arc<Account> {
    let context = DriverContext {
        instance_set_id: "conformance".to_owned(),
        tag_key_prefix: "Arvados".to_owned(),
        image_id: "lab-image".to_owned(),
        public_key: Some(public_key.to_owned()),
        clock,
        gate: dispatch_cloud::Gate::open(),
    };
    let mut driver = AzureDriver::at(url, scale);
    if let Some(deadline) = create_deadline {
        driver.ages.create_deadline = deadline;
    }
    let mutant = MUTANT.try_with(|mutant| *mutant).ok();
    driver
        .account(parameters, context, mutant)
        .expect("an account")
}

fn quick_world() -> Settings {
    let mut settings = Settings::default();
    settings.vm.port = 0;
    let quick = Span::between(0, 2);
    let cloud = &mut settings.cloud;
    for latency in [
        &mut cloud.create_latency_ms,
        &mut cloud.list_latency_ms,
        &mut cloud.tags_latency_ms,
        &mut cloud.destroy_latency_ms,
        &mut cloud.address_ms,
        &mut cloud.fresh_missing_ms,
        &mut cloud.gone_listed_ms,
    ] {
        *latency = quick;
    }
    settings.instance_types = [
        ("small", SMALL, false),
        ("other", OTHER, false),
        ("spot", SPOT, true),
    ]
    .map(|(name, provider_type, preemptible)| LabType {
        name: name.into(),
        provider_type: provider_type.into(),
        vcpus: 2,
        ram: 4 << 30,
        scratch: 10 << 30,
        price: 0.1,
        preemptible,
        gpus: 0,
    })
    .into();
    settings
}

/// An order for a VM of this size.
pub(super) fn order(provider_type: &str, secret: &str) -> CreateOrder {
    let tags = [
        ("ArvadosInstanceSetID", "conformance"),
        ("ArvadosInstanceType", "a type"),
        ("ArvadosIdleBehavior", "run"),
        ("ArvadosInstanceSecret", secret),
        ("Project", "demo"),
    ];
    CreateOrder {
        instance_type: InstanceType {
            name: "a type".into(),
            provider_type: provider_type.to_owned(),
            image: None,
            vcpus: 2,
            ram_bytes: 4 << 30,
            included_scratch_bytes: 10 << 30,
            added_scratch_bytes: 0,
            price: 0.1,
            preemptible: provider_type == SPOT,
            gpu: Gpu::default(),
        },
        image_id: "lab-image".to_owned(),
        tags: tags
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into(),
        init_script: "#!/bin/sh\n".to_owned(),
        secret: InstanceSecret::new(secret),
    }
}

impl Stage {
    pub(super) async fn create(&self, size: &str, secret: &str) -> Result<Instance, CloudError> {
        self.account.create(&order(size, secret)).await
    }

    pub(super) async fn list(&self) -> Result<Vec<Instance>, String> {
        let ours: Tags = [("ArvadosInstanceSetID".to_owned(), "conformance".to_owned())].into();
        self.account
            .list(&ours)
            .await
            .map_err(|error| error.to_string())
    }

    /// Another life of the driver: it remembers nothing.
    pub(super) fn restart(&mut self) {
        self.account = account(
            self.azure.url(),
            &self.parameters,
            self.lab.public_key(),
            self.scale,
            self.create_deadline,
            self.time.clock(),
        );
    }

    /// So much later, by the driver's clock.
    pub(super) fn later(&self, by: Duration) {
        let ms = u64::try_from(by.as_millis()).expect("short");
        self.time.added_ms.fetch_add(ms, Ordering::SeqCst);
    }

    /// The driver's clock reads this.
    pub(super) fn until_time(&self, time: Time) {
        self.later(time.since(self.account.now()) + Duration::from_millis(1));
    }

    /// Waits until the driver does nothing about this VM in the background any more, nor about its end.
    pub(super) async fn until_left_alone(&self, vm: &str) -> Outcome {
        let mut look = Look::begin("nobody sees to the VM any more");
        while self.account.memory().is_attended(vm) {
            look.again().await?;
        }
        Ok(())
    }

    /// No VM was made twice: each PUT that was accepted and found none made one of another name.
    pub(super) fn nothing_was_made_twice(&self) -> Outcome {
        let mut seen = BTreeSet::new();
        for made in self.azure.creations() {
            ensure(seen.insert(made.vm.clone()), || {
                format!("made twice: {}", made.vm)
            })?;
        }
        Ok(())
    }

    /// How often this kind of request was sent ("PUT vm").
    pub(super) fn calls(&self, kind: &str) -> u64 {
        self.azure.calls().get(kind).map_or(0, |(calls, _)| *calls)
    }

    /// Kinds of requests in order, tokens left out.
    pub(super) fn requests(&self) -> Vec<String> {
        let requests = self.azure.requests().into_iter();
        requests
            .filter(|request| request.path.contains("/providers/"))
            .map(|request| {
                let kind = if request.path.contains("/networkInterfaces") {
                    "nic"
                } else if request.path.contains("/virtualMachines") {
                    "vm"
                } else {
                    "other"
                };
                format!("{} {kind}", request.method)
            })
            .collect()
    }

    /// Waits until this is so of the list.
    pub(super) async fn until(&self, what: &str, is_so: impl Fn(&[Instance]) -> bool) -> Outcome {
        let mut look = Look::begin(what);
        loop {
            let rows = self.list().await?;
            if is_so(&rows) {
                return Ok(());
            }
            let again = look.again().await;
            again.map_err(|words| format!("{words}: {rows:?}"))?;
        }
    }

    /// Lists until the driver tells of an end.
    pub(super) async fn until_ended(&self) -> Result<Vec<Ended>, String> {
        let mut look = Look::begin("something has ended");
        loop {
            self.list().await?;
            let ended = self.account.memory().take_ended();
            if !ended.is_empty() {
                return Ok(ended);
            }
            look.again().await?;
        }
    }

    /// Waits until what Azure carries out late has been carried out.
    pub(super) async fn until_nothing_is_late(&self) -> Outcome {
        let mut look = Look::begin("nothing is late");
        loop {
            self.list().await?;
            if self.azure.n_late() == 0 {
                return Ok(());
            }
            look.again().await?;
        }
    }

    /// Ends an instance of the world without any call, as an eviction does.
    pub(super) fn evict(&self) {
        let destroy = |world: &mut dispatch_lab_net::world::World, now| {
            let ids: Vec<String> = world
                .instances()
                .instances()
                .values()
                .filter(|instance| instance.alive() && !instance.bystander)
                .map(|instance| instance.id.clone())
                .collect();
            for id in ids {
                world.cloud(&dispatch_lab_net::world::cloud::CloudCall::Destroy(id), now);
            }
        };
        self.lab.world(destroy);
    }

    /// What is left in the subscription.
    pub(super) fn left(&self) -> Vec<String> {
        let azure = &self.azure;
        [azure.vms(), azure.nics(), azure.disks()].concat()
    }

    /// Ends everything, and waits until it is gone.
    pub(super) async fn clean_up(&self) -> Outcome {
        for row in self.list().await? {
            self.account
                .destroy(&row.id)
                .await
                .map_err(|error| error.to_string())?;
        }
        self.until("everything is gone", |rows| rows.is_empty())
            .await
    }
}

/// A refusal.
pub(super) fn refused(status: u16, code: &str, message: &str) -> AzureBad {
    AzureBad::Refused(status, code.to_owned(), message.to_owned())
}
