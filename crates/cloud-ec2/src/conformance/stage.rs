//! A lab with an EC2 API, and the driver on it.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use dispatch_cloud::{Clock, CreateOrder, DriverContext, Instance, Tags};
use dispatch_lab_net::{
    Ec2Api, Ec2Settings, Lab, LabHandle, Subnet,
    world::{Settings, Span, settings::InstanceType as LabType},
};
use dispatch_model::{Gpu, InstanceId, InstanceSecret, InstanceType, PricePoint};
use serde_json::{Value, json};

use crate::{Ec2Driver, account::Account, mutants::Mutant};

/// What a check says if it fails.
pub(super) type Outcome = Result<(), String>;

/// Fails a check with these words unless this is so.
pub(super) fn ensure(is_so: bool, otherwise: impl FnOnce() -> String) -> Outcome {
    if is_so { Ok(()) } else { Err(otherwise()) }
}

/// A lab, its EC2 API, the driver.
pub(super) struct Stage {
    pub(super) lab: LabHandle,
    pub(super) ec2: Ec2Api,
    pub(super) account: Arc<Account>,
}

/// What to set up.
pub(super) struct Setup {
    pub(super) seed: u64,
    pub(super) ec2: Ec2Settings,
    pub(super) parameters: Value,
    pub(super) mutant: Option<Mutant>,
    pub(super) world: fn(&mut Settings),
}

impl Default for Setup {
    fn default() -> Setup {
        Setup {
            seed: 1,
            ec2: Ec2Settings {
                subnets: subnets(),
                ..Ec2Settings::default()
            },
            parameters: json!({"SubnetID": ["subnet-a1", "subnet-a2", "subnet-b1"], "SecurityGroupIDs": ["sg-1"]}),
            mutant: None,
            world: |_| (),
        }
    }
}

impl Setup {
    pub(super) fn mutant(mutant: Option<Mutant>) -> Setup {
        Setup {
            mutant,
            ..Setup::default()
        }
    }

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
        let mut account = account(ec2.url(), &self.parameters, lab.public_key()).await;
        account.mutant = self.mutant;
        Stage {
            account: Arc::new(account),
            lab,
            ec2,
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

/// The driver on this endpoint.
pub(super) async fn account(url: &str, parameters: &Value, public_key: &str) -> Account {
    let mut parameters = parameters.clone();
    parameters["Region"] = json!("us-east-1");
    parameters["AccessKeyID"] = json!("AKIAFORTESTS");
    parameters["SecretAccessKey"] = json!("not-a-secret");
    let context = DriverContext {
        instance_set_id: "conformance".to_owned(),
        tag_key_prefix: "Arvados".to_owned(),
        image_id: "ami-lab".to_owned(),
        public_key: Some(public_key.to_owned()),
        clock: Clock::start(),
    };
    Ec2Driver::at(url)
        .account(&parameters, context)
        .await
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
    ) -> Result<Instance, dispatch_cloud::CloudError> {
        self.account.create(&order(provider_type, secret)).await
    }

    pub(super) async fn list(&self) -> Result<Vec<Instance>, String> {
        let ours: Tags = [("ArvadosInstanceSetID".to_owned(), "conformance".to_owned())].into();
        self.account
            .list(&ours)
            .await
            .map_err(|error| error.to_string())
    }

    /// The prices of these instances, whose types have so much added scratch.
    pub(super) async fn prices(
        &self,
        wanted: &[(&Instance, u64)],
    ) -> BTreeMap<InstanceId, Vec<PricePoint>> {
        let of = |(made, added_scratch_bytes): &(&Instance, u64)| {
            let instance_type = InstanceType {
                added_scratch_bytes: *added_scratch_bytes,
                ..order(&made.provider_type, "").instance_type
            };
            (made.id.clone(), Arc::new(instance_type))
        };
        let wanted: Vec<_> = wanted.iter().map(of).collect();
        self.account.prices_of(&wanted).await.expect("prices")
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
