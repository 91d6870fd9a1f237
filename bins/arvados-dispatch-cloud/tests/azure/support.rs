//! A lab with an Azure API, a configuration, and a daemon at work on it.

use std::{
    collections::BTreeMap,
    ops::{Deref, DerefMut},
};

use dispatch_lab_net::{
    AzureApi, AzureBad, AzureInjection, AzureSettings, Lab,
    world::{settings::InstanceType, world::Submission},
};
use serde_json::json;

pub(crate) use crate::common::{container, eventually};
use crate::{
    common::{Cluster, Prepared, hurried_cloud_vms, quick_settings, text},
    role::nothing_was_called_beyond_the_role,
};

/// How many times shorter than in life the driver's waits and ages are; a create that takes a minute takes 300 ms.
pub(crate) const SCALE: u64 = 200;
/// For how long a create that failed keeps its network interface, and how long a VM takes, scaled.
const RESERVED_MS: u64 = 180_000 / SCALE;
pub(crate) const MINUTE_MS: u64 = 60_000 / SCALE;
/// The lab's size with a spot twin.
const SPOT_TWIN_OF: &str = "type4";

/// What to set up.
pub(crate) struct Order {
    pub(crate) lab: Lab,
    pub(crate) azure: AzureSettings,
    /// Under `Containers.CloudVMs`, in YAML.
    pub(crate) cloud_vms: BTreeMap<&'static str, String>,
    /// Changes the configuration as a text, when all else is in it.
    pub(crate) edit: Box<dyn Fn(String) -> String + Send>,
}

impl Order {
    /// Beside the lab's types, a spot type of four cores.
    pub(crate) fn with_spot(&mut self) {
        let types = &mut self.lab.settings.instance_types;
        let twin = types.iter().find(|one| one.name == SPOT_TWIN_OF).cloned();
        let twin = twin.expect("the lab has it");
        types.push(InstanceType {
            name: "spot4".to_owned(),
            price: twin.price * 0.4,
            preemptible: true,
            ..twin
        });
    }

    /// The next requests of this kind go wrong.
    pub(crate) fn bad(&mut self, method: &str, path: &str, times: usize, bad: AzureBad) {
        let injection = AzureInjection::next(method, path, bad).times(times);
        self.azure.injections.push(injection);
    }
}

/// A lab with its Azure API and its daemon.
pub(crate) struct Rig {
    cluster: Cluster,
    pub(crate) azure: AzureApi,
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
        let mut order = Order {
            lab: Lab::new(7, quick_settings()),
            azure: AzureSettings {
                reserved_ms: RESERVED_MS,
                ..AzureSettings::default()
            },
            cloud_vms: hurried_cloud_vms(),
            edit: Box::new(|text| text),
        };
        change(&mut order);
        let prepared = Prepared::start(order.lab, order.cloud_vms).await;
        let azure = prepared.lab.serve_azure(order.azure).await;
        let azure = azure.expect("the lab's Azure");
        let settings = azure.settings();
        let parameters = text(&[
            ("SubscriptionID", &settings.subscription),
            ("TenantID", &settings.tenant),
            ("ClientID", &settings.client_id),
            ("ClientSecret", &settings.client_secret),
            ("Location", &settings.location),
            ("ResourceGroup", "vms"),
            ("NetworkResourceGroup", "net"),
            ("ImageResourceGroup", "images"),
            ("Network", "vnet"),
            ("Subnet", "subnet"),
            ("DeleteDanglingResourcesAfter", "0s"),
            ("AdminUsername", "crunch"),
        ]);
        let config = (order.edit)(prepared.config("azure", &parameters));
        let scale = SCALE.to_string();
        let environment = text(&[
            ("AZURE_AUTHORITY_HOST", azure.url()),
            ("AZURE_RESOURCE_MANAGER_ENDPOINT", azure.url()),
            ("AZURE_POD_IDENTITY_AUTHORITY_HOST", azure.url()),
            ("DISPATCH_AZURE_TIME_SCALE", &scale),
        ]);
        Rig {
            cluster: prepared.run(&config, environment),
            azure,
        }
    }

    /// Changes the configuration, for the next daemon.
    pub(crate) fn edit_config(&self, edit: impl FnOnce(String) -> String) {
        let path = self.directory.path().join("config.yml");
        let text = std::fs::read_to_string(&path).expect("a configuration");
        std::fs::write(path, edit(text)).expect("written");
    }

    /// No VM, network interface or disk is left, nor on its way, and none was made twice.
    pub(crate) async fn nothing_is_left(&self) {
        let azure = &self.azure;
        let left = || [azure.vms(), azure.nics(), azure.disks()].concat();
        // The lab brings itself up to date with each request, and the daemon goes on listing.
        eventually("nothing is left", || {
            left().is_empty() && azure.n_late() == 0
        })
        .await;
        // Each PUT that was accepted and found none of its name.
        let mut names: Vec<String> = azure.creations().into_iter().map(|made| made.vm).collect();
        let n_made = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), n_made, "made twice: {names:?}");
        nothing_was_called_beyond_the_role(azure);
    }

    /// How often this kind of request was sent ("PUT vm").
    pub(crate) fn calls(&self, kind: &str) -> u64 {
        self.azure.calls().get(kind).map_or(0, |(calls, _)| *calls)
    }

    /// The first injection has struck as often as it was to.
    pub(crate) fn has_struck(&self) -> bool {
        self.azure.settings().injections[0].times == 0
    }
}

/// A container of four cores for spot VMs that runs for so long, ms.
pub(crate) fn preemptible(run_ms: u64) -> Submission {
    let mut submission = container(4, run_ms);
    let parameters =
        json!({"partitions": [], "preemptible": true, "max_run_time": 0, "supervisor": false});
    (submission.attributes).insert("scheduling_parameters".to_owned(), parameters);
    submission
}
