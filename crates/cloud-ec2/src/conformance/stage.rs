//! A lab with an EC2 API, and the driver on it.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use dispatch_cloud::{Clock, CloudError, CreateOrder, DriverContext, Instance, Tags};
use dispatch_lab_net::{
    Ec2Api, Ec2Settings, Lab, LabHandle, Subnet,
    world::{Settings, Span, settings::InstanceType as LabType},
};
use dispatch_model::{Gpu, InstanceId, InstanceSecret, InstanceType, PricePoint, Time};
use serde_json::{Value, json};

use super::policy::granted;
use crate::{Ec2Driver, account::Account, mutants::Mutant};

/// The other half of the credentials in tests.
pub(super) const SECRET_KEY: &str = "not-a-secret";

tokio::task_local! {
    /// What is wrong with the drivers that a check starts.
    pub(super) static MUTANT: Mutant;
}

type Prices = BTreeMap<InstanceId, Vec<PricePoint>>;

/// A lab, its EC2 API, the driver.
pub(super) struct Stage {
    pub(super) lab: LabHandle,
    pub(super) ec2: Ec2Api,
    pub(super) account: Arc<Account>,
    clock: TestClock,
    driver: Ec2Driver,
    parameters: Value,
}

/// A clock that goes on by itself and can be put forward.
#[derive(Clone)]
pub(super) struct TestClock {
    began: tokio::time::Instant,
    ahead_ms: Arc<AtomicU64>,
}

impl TestClock {
    pub(super) fn start() -> TestClock {
        TestClock {
            began: tokio::time::Instant::now(),
            ahead_ms: Arc::default(),
        }
    }

    pub(super) fn forward(&self, by: Duration) {
        // One more, since parts of a millisecond are lost.
        let ms = u64::try_from(by.as_millis()).expect("not that far") + 1;
        self.ahead_ms.fetch_add(ms, Ordering::SeqCst);
    }

    fn clock(&self) -> Clock {
        let clock = self.clone();
        Clock::new(move || {
            let ahead = Duration::from_millis(clock.ahead_ms.load(Ordering::SeqCst));
            Time::ZERO + clock.began.elapsed() + ahead
        })
    }
}

/// What to set up.
pub(super) struct Setup {
    pub(super) seed: u64,
    pub(super) ec2: Ec2Settings,
    pub(super) parameters: Value,
    pub(super) answer_within: Option<Duration>,
    pub(super) deploy_key: bool,
    /// How many times shorter pauses are.
    pub(super) haste: f64,
    /// Whether creates keep to EC2's documented rate.
    pub(super) paced: bool,
    pub(super) world: fn(&mut Settings),
}

impl Default for Setup {
    fn default() -> Setup {
        Setup {
            seed: 1,
            ec2: Ec2Settings {
                subnets: subnets(),
                granted: Some(granted()),
                ..Ec2Settings::default()
            },
            parameters: json!({"SubnetID": ["subnet-a1", "subnet-a2", "subnet-b1"], "SecurityGroupIDs": ["sg-1"]}),
            answer_within: None,
            deploy_key: true,
            haste: 1.0,
            paced: false,
            world: |_| (),
        }
    }
}

impl Setup {
    pub(super) fn ec2(mut self, change: impl FnOnce(&mut Ec2Settings)) -> Setup {
        change(&mut self.ec2);
        self
    }

    pub(super) fn parameter(mut self, key: &str, value: Value) -> Setup {
        self.parameters[key] = value;
        self
    }

    pub(super) async fn start(self) -> Stage {
        let mut settings = quick_world();
        (self.world)(&mut settings);
        let lab = Lab::new(self.seed, settings).start().await.expect("a lab");
        let ec2 = lab.serve_ec2(self.ec2).await.expect("an EC2 API");
        let mut driver = Ec2Driver::at(ec2.url());
        if let Some(within) = self.answer_within {
            driver = driver.answered_within(within);
        }
        driver.manner.haste = self.haste;
        driver.manner.paced = self.paced;
        let clock = TestClock::start();
        let key = self.deploy_key.then(|| lab.public_key());
        let account = account(&driver, &self.parameters, key, &clock).await;
        Stage {
            account: Arc::new(account),
            lab,
            ec2,
            clock,
            driver,
            parameters: self.parameters,
        }
    }
}

/// Two subnets in one zone, one in another.
pub(super) fn subnets() -> Vec<Subnet> {
    vec![
        Subnet::new("subnet-a1", "lab-1a"),
        Subnet::new("subnet-a2", "lab-1a"),
        Subnet::new("subnet-b1", "lab-1b"),
    ]
}

/// The driver with credentials, as wrong as it is to be.
pub(super) async fn account(
    driver: &Ec2Driver,
    parameters: &Value,
    public_key: Option<&str>,
    clock: &TestClock,
) -> Account {
    let mut parameters = parameters.clone();
    parameters["Region"] = json!("us-east-1");
    parameters["AccessKeyID"] = json!("AKIAFORTESTS");
    parameters["SecretAccessKey"] = json!(SECRET_KEY);
    let context = context(public_key, clock.clock());
    let mut account = driver
        .account(&parameters, context)
        .await
        .expect("an account");
    account.mutant = MUTANT.try_with(|mutant| *mutant).ok();
    account
}

pub(super) fn context(public_key: Option<&str>, clock: Clock) -> DriverContext {
    DriverContext {
        instance_set_id: "conformance".to_owned(),
        tag_key_prefix: "Arvados".to_owned(),
        image_id: "ami-lab".to_owned(),
        public_key: public_key.map(str::to_owned),
        clock,
        gate: dispatch_cloud::Gate::open(),
    }
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
    ] {
        *latency = quick;
    }
    settings.instance_types = [
        ("small", "m5.small", false),
        ("other", "c5.large", false),
        ("spot", "m5.spot", true),
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

/// An order for an instance of this provider type.
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
            preemptible: provider_type == "m5.spot",
            gpu: Gpu::default(),
        },
        image_id: "ami-lab".to_owned(),
        tags: tags
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into(),
        init_script: "#!/bin/sh\n".to_owned(),
        secret: InstanceSecret::new(secret),
    }
}

impl Stage {
    pub(super) async fn create(
        &self,
        provider_type: &str,
        secret: &str,
    ) -> Result<Instance, CloudError> {
        self.account.create(&order(provider_type, secret)).await
    }

    pub(super) async fn list(&self) -> Result<Vec<Instance>, String> {
        let ours: Tags = [("ArvadosInstanceSetID".to_owned(), "conformance".to_owned())].into();
        self.account
            .list(&ours)
            .await
            .map_err(|error| error.to_string())
    }

    /// The tags of the one instance that is listed.
    pub(super) async fn list_tags(&self) -> Tags {
        let listed = self.account.list(&Tags::new()).await.expect("a list");
        assert_eq!(listed.len(), 1);
        listed[0].tags.clone()
    }

    /// The driver with another endpoint.
    pub(super) async fn at(&self, endpoint: &str) -> Account {
        let driver = Ec2Driver::at(endpoint);
        account(&driver, &self.parameters, None, &self.clock).await
    }

    /// The driver of the process after this one, which remembers nothing.
    pub(super) async fn next_process(&self) -> Arc<Account> {
        let key = Some(self.lab.public_key());
        Arc::new(account(&self.driver, &self.parameters, key, &self.clock).await)
    }

    /// Lists until so many instances run.
    pub(super) async fn until_running(&self, n: usize) {
        let began = tokio::time::Instant::now();
        loop {
            let listed = self.list().await.expect("a list");
            if listed.iter().filter(|row| !row.address.is_empty()).count() >= n {
                return;
            }
            assert!(began.elapsed() < PATIENCE, "in vain: {n} running");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// The prices of these instances, whose types have so much added scratch.
    pub(super) async fn prices(&self, wanted: &[(&Instance, u64)]) -> Prices {
        self.ask_prices(wanted).await.expect("prices")
    }

    pub(super) async fn ask_prices(
        &self,
        wanted: &[(&Instance, u64)],
    ) -> Result<Prices, CloudError> {
        let of = |(made, added_scratch_bytes): &(&Instance, u64)| {
            let instance_type = InstanceType {
                added_scratch_bytes: *added_scratch_bytes,
                ..order(&made.provider_type, "").instance_type
            };
            (made.id.clone(), Arc::new(instance_type))
        };
        let wanted: Vec<_> = wanted.iter().map(of).collect();
        self.account.prices_of(&wanted).await
    }

    /// The instances that really are alive, by the secret on them.
    pub(super) fn alive(&self) -> Vec<(InstanceId, String)> {
        self.lab.world(|world, _| {
            let all = world.instances().instances().values();
            all.filter(|instance| instance.alive() && !instance.bystander)
                .map(|instance| {
                    let secret = instance.tags.get("ArvadosInstanceSecret");
                    (
                        instance.id.clone().into(),
                        secret.cloned().unwrap_or_default(),
                    )
                })
                .collect()
        })
    }

    /// Lets so much time pass for the driver.
    pub(super) fn pass(&self, by: Duration) {
        self.clock.forward(by);
    }

    /// Waits until every create has been carried out whose answer was lost.
    pub(super) async fn carried_out(&self) {
        self.until("late creates are carried out", || self.ec2.n_late() == 0)
            .await;
    }

    /// Lists until all of these are on the list.
    pub(super) async fn until_listed(&self, alive: &[(InstanceId, String)], seed: u64) {
        let began = tokio::time::Instant::now();
        loop {
            // A busy machine may cut one off.
            let listed = self.list().await.unwrap_or_default();
            let missing = |(id, _): &&(InstanceId, String)| listed.iter().all(|row| row.id != *id);
            let Some((id, _)) = alive.iter().find(missing) else {
                return;
            };
            assert!(
                began.elapsed() < PATIENCE,
                "seed {seed}: {id} is not monitored"
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Lists until this is so.
    pub(super) async fn until(&self, what: &str, is_so: impl Fn() -> bool) {
        let began = tokio::time::Instant::now();
        loop {
            // What it shows does not matter, only that late calls are carried out with it.
            let _ = self.list().await;
            if is_so() {
                return;
            }
            assert!(began.elapsed() < PATIENCE, "in vain: {what}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// How often this action was called.
    pub(super) fn calls(&self, action: &str) -> u64 {
        self.ec2.calls().get(action).map_or(0, |(calls, _)| *calls)
    }

    /// The forms of all calls of this action.
    pub(super) fn forms(&self, action: &str) -> Vec<BTreeMap<String, String>> {
        let mut forms = self.ec2.forms();
        forms.retain(|form| form.get("Action").is_some_and(|found| found == action));
        forms
    }
}

/// Long enough for anything here.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

#[expect(
    clippy::disallowed_methods,
    reason = "EC2 and the SDK date by the wall clock"
)]
pub(super) fn wall_clock() -> jiff::Timestamp {
    jiff::Timestamp::now()
}
