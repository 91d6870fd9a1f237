//! A lab with an EC2 API, a configuration, and a daemon at work on it.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::{Deref, DerefMut},
};

use dispatch_lab_net::{
    Ec2Api, Ec2Settings, Lab, Subnet, actions_of_policy,
    world::{Span, world::Submission},
};
use serde_json::Value;

pub(crate) use crate::common::{container, eventually};
use crate::{
    common::{Cluster, Prepared, hurried_cloud_vms, quick_settings, text},
    door::Door,
};

/// The actions that the documentation says are needed: every lab here grants these, and no others.
pub(crate) fn policy() -> BTreeSet<String> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/ec2.md");
    actions_of_policy(&std::fs::read_to_string(path).expect("docs/ec2.md"))
}

/// What to set up.
pub(crate) struct Order {
    pub(crate) lab: Lab,
    pub(crate) ec2: Ec2Settings,
    /// Under `DriverParameters`, in YAML.
    pub(crate) parameters: BTreeMap<&'static str, String>,
    /// Under `Containers.CloudVMs`, in YAML.
    pub(crate) cloud_vms: BTreeMap<&'static str, String>,
    /// Where the daemon finds EC2; the lab's own if not said.
    pub(crate) endpoint: Option<String>,
    /// Whether the daemon reaches it through a door.
    pub(crate) behind_a_door: bool,
    /// Variables of the daemon's environment.
    pub(crate) environment: BTreeMap<&'static str, String>,
    /// Changes the configuration as a text, when all else is in it.
    pub(crate) edit: Box<dyn Fn(String) -> String + Send>,
}

impl Order {
    /// A quick lab, three subnets in two zones, a daemon in a hurry.
    fn usual() -> Order {
        let mut settings = quick_settings();
        // EC2 goes on listing what has ended.
        settings.cloud.gone_listed_ms = Span::exactly(60_000);
        Order {
            lab: Lab::new(1, settings),
            ec2: Ec2Settings {
                subnets: vec![
                    Subnet::new("subnet-a1", "lab-1a"),
                    Subnet::new("subnet-a2", "lab-1a"),
                    Subnet::new("subnet-b1", "lab-1b"),
                ],
                granted: Some(policy()),
                ..Ec2Settings::default()
            },
            parameters: text(&[
                ("Region", "us-east-1"),
                ("AccessKeyID", "AKIALABLABLABLABLABL"),
                ("SecretAccessKey", "not-a-secret-but-masked"),
                ("SubnetID", "[subnet-a1, subnet-a2, subnet-b1]"),
                ("SecurityGroupIDs", "[sg-1]"),
                ("AdminUsername", "crunch"),
            ]),
            cloud_vms: hurried_cloud_vms(),
            endpoint: None,
            behind_a_door: false,
            environment: text(&[("AWS_EC2_METADATA_DISABLED", "true")]),
            edit: Box::new(|text| text),
        }
    }

    pub(crate) fn vms(&mut self, key: &'static str, value: &str) {
        self.cloud_vms.insert(key, value.to_owned());
    }

    pub(crate) fn parameter(&mut self, key: &'static str, value: &str) {
        self.parameters.insert(key, value.to_owned());
    }
}

/// A lab with its EC2 API and its daemon.
pub(crate) struct Rig {
    cluster: Cluster,
    pub(crate) ec2: Ec2Api,
    /// On the way from the daemon to its EC2, if that was ordered.
    pub(crate) door: Option<Door>,
}

impl Deref for Rig {
    type Target = Cluster;

    fn deref(&self) -> &Cluster {
        &self.cluster
    }
}

impl DerefMut for Rig {
    fn deref_mut(&mut self) -> &mut Cluster {
        &mut self.cluster
    }
}

impl Rig {
    /// Sets all up, and waits until the daemon listens.
    pub(crate) async fn start(change: impl FnOnce(&mut Order)) -> Rig {
        let mut rig = Rig::start_unchecked(change).await;
        rig.listens().await;
        rig
    }

    /// The same for a daemon that may not come up.
    pub(crate) async fn start_unchecked(change: impl FnOnce(&mut Order)) -> Rig {
        let mut order = Order::usual();
        change(&mut order);
        let prepared = Prepared::start(order.lab, order.cloud_vms).await;
        let ec2 = prepared.lab.serve_ec2(order.ec2).await;
        let ec2 = ec2.expect("the lab's EC2");
        let config = (order.edit)(prepared.config("ec2", &order.parameters));
        let behind = order.endpoint.unwrap_or_else(|| ec2.url().to_owned());
        let door = match order.behind_a_door {
            true => Some(Door::open(&behind).await),
            false => None,
        };
        let endpoint = door.as_ref().map_or(behind, Door::url);
        let mut environment = order.environment;
        environment.insert("AWS_ENDPOINT_URL", endpoint);
        Rig {
            cluster: prepared.run(&config, environment),
            ec2,
            door,
        }
    }

    /// The instances, as the management API shows them.
    pub(crate) fn instances(&self) -> Vec<Value> {
        let text = self.management("GET", "/arvados/v1/dispatch/instances");
        let value: Value = serde_json::from_str(json_of(&text)).unwrap_or_default();
        value["items"].as_array().cloned().unwrap_or_default()
    }

    pub(crate) fn submit_many(&self, n: usize, submission: &Submission) -> Vec<String> {
        (0..n).map(|_| self.submit(submission)).collect()
    }

    /// The instances that cost money, and what EC2 calls their types.
    pub(crate) fn living(&self) -> BTreeMap<String, (String, bool)> {
        self.lab.world(|world, _| {
            let instances = world.instances().instances().values();
            instances
                .filter(|instance| instance.alive() && !instance.bystander)
                .map(|one| {
                    let kind = &one.instance_type;
                    let kind = (kind.provider_type.clone(), kind.preemptible);
                    (one.id.clone(), kind)
                })
                .collect()
        })
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        let mut called: BTreeSet<String> = self.ec2.calls().into_keys().collect();
        called.extend(self.door.iter().flat_map(Door::called));
        if !std::thread::panicking() {
            let policy = policy();
            assert!(called.is_subset(&policy), "{called:?} and {policy:?}");
        }
    }
}

/// The JSON in a body that may be sent in chunks.
fn json_of(body: &str) -> &str {
    let (Some(from), Some(to)) = (body.find('{'), body.rfind('}')) else {
        return "null";
    };
    &body[from..=to]
}
