//! What a driver must offer.

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
pub use dispatch_model::EndCause;
use dispatch_model::{CloudErrorClass, InstanceId, InstanceSecret, InstanceType, PricePoint};

use crate::{Clock, CloudError, Gate, exec::Executor};

/// Tags of an instance.
pub type Tags = BTreeMap<String, String>;

/// One kind of cloud, by the name that `Containers.CloudVMs.Driver` gives it.
#[async_trait]
pub trait Driver: Send + Sync {
    /// "ec2", "azure", "loopback", "lab".
    fn name(&self) -> &'static str;

    /// Checks `DriverParameters` and the rest without calling the cloud: every problem found, each naming the key
    /// (below `Containers.CloudVMs.`), the value and the remedy. Keys of other drivers are ignored.
    fn check(&self, parameters: &serde_json::Value) -> Vec<String>;

    /// Checks what else the configuration asks of this cloud: images, and types of instances. Every problem found, each
    /// naming the key, the value and the remedy.
    fn check_use(&self, _image_id: &str, _instance_types: &[&InstanceType]) -> Vec<String> {
        Vec::new()
    }

    /// Checks the parameters together with the types of instances that they are used for. Every problem found, each
    /// naming the key, the value and the remedy; nothing, if the parameters alone are wrong.
    fn check_types(
        &self,
        _parameters: &serde_json::Value,
        _instance_types: &[&InstanceType],
    ) -> Vec<String> {
        Vec::new()
    }

    /// The parameters taken apart: for each place (a subnet, say) that is to be tried out by itself, its name and the
    /// parameters for it alone (facts T4). They have been checked.
    fn places(&self, parameters: &serde_json::Value) -> Vec<(String, serde_json::Value)> {
        vec![(String::new(), parameters.clone())]
    }

    /// Opens the account. Makes no call that changes anything.
    async fn open(
        &self,
        parameters: &serde_json::Value,
        context: DriverContext,
    ) -> Result<Arc<dyn InstanceSet>, CloudError>;
}

/// What a driver may need to know besides its parameters.
#[derive(Clone, Debug)]
pub struct DriverContext {
    /// Marks our instances: the value of the tag `<TagKeyPrefix>InstanceSetID`.
    pub instance_set_id: String,
    /// `TagKeyPrefix`.
    pub tag_key_prefix: String,
    /// `ImageID`.
    pub image_id: String,
    /// The public half of the dispatcher's key as a line of authorized_keys; `None` if `DeployPublicKey` is false.
    pub public_key: Option<String>,
    /// What `CloudErrorClass::RateLimited` counts by.
    pub clock: Clock,
    /// When something may be changed. Calls of [`InstanceSet`] are made only then; what a driver does beside them, in the
    /// background or while it lists, it must send through this.
    pub gate: Gate,
}

/// All our instances in one account.
///
/// Every call may be repeated after a crash or a lost answer, so every call must tolerate that. The caller sets the
/// deadlines and drops calls that miss them.
#[async_trait]
pub trait InstanceSet: Send + Sync {
    /// Orders one instance. The answer may come before it is up, and then has no address.
    async fn create(&self, order: CreateOrder) -> Result<Instance, CloudError>;

    /// All instances that carry these tags, including ones that an earlier daemon created. May be stale.
    async fn list(&self, tags: &Tags) -> Result<Vec<Instance>, CloudError>;

    /// Sets these tags and leaves all others as they are.
    async fn set_tags(&self, id: &InstanceId, tags: &Tags) -> Result<(), CloudError>;

    /// Succeeds if the instance is already gone.
    async fn destroy(&self, id: &InstanceId) -> Result<(), CloudError>;

    /// The user to log in as.
    fn remote_user(&self) -> String;

    /// How commands get onto the instances, where that is not SSH.
    fn executor(&self) -> Option<Arc<dyn Executor>> {
        None
    }

    /// What these instances of the last list have cost since when, newest first, their added scratch included (facts
    /// E17–E19): only those whose price changes by itself and is known. Asks the cloud when what is known is old, so
    /// it may be called as often as there are lists.
    async fn prices(
        &self,
        _instances: &[(InstanceId, Arc<InstanceType>)],
    ) -> Result<BTreeMap<InstanceId, Vec<PricePoint>>, CloudError> {
        Ok(BTreeMap::new())
    }

    /// The instances of which lists have told since the last call that they have ended without a `destroy` of ours;
    /// each is told once, and once more if the cloud says why only later. After a restart there may be ends among them
    /// that are long past.
    fn ended(&self) -> Vec<Ended> {
        Vec::new()
    }

    /// Which quota group (the name that [`dispatch_model::CapacityScope::QuotaGroup`] carries) each of the cloud's types
    /// belongs to, by the cloud's name of the type in any case: what has been learnt since the last call. So a refusal
    /// that names a group concerns all types of it at once, also those that have never been refused.
    fn quota_groups(&self) -> BTreeMap<String, String> {
        BTreeMap::new()
    }

    /// Deletes what creates of this process have left behind beside instances (a network interface, say), and names what
    /// cannot be deleted yet. For whoever must leave nothing; in a daemon, drivers collect such things by themselves.
    async fn leftovers(&self) -> Result<Vec<String>, CloudError> {
        Ok(Vec::new())
    }

    /// This instance has stopped answering. The driver may look into it in the background, and tell of its end, if that
    /// is what it finds, through [`InstanceSet::ended`]. Called once for each probe that fails.
    fn doubt(&self, _id: &InstanceId) {}
}

/// An instance that has ended, or is ending, without our doing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ended {
    /// The cloud's name for it.
    pub id: InstanceId,
    /// The cloud's name of its type.
    pub provider_type: String,
    /// Whether it was one that the cloud may take back.
    pub preemptible: bool,
    /// What became of it.
    pub cause: EndCause,
    /// The cloud's code, such as "Server.SpotInstanceTermination"; "" if it gave none.
    pub code: String,
    /// The cloud's words. "", and no code either: it does not say why yet, and the end is told once more when it does.
    pub message: String,
    /// Where it never began: what the code would have meant as the answer to its creation, if that reaches further
    /// than what the driver remembers by itself (a subnet, a zone).
    pub class: Option<CloudErrorClass>,
}

/// What to create.
#[derive(Clone, Debug)]
pub struct CreateOrder {
    /// The type.
    pub instance_type: InstanceType,
    /// `ImageID`, or the container's own.
    pub image_id: String,
    /// Tags; the secret is among them.
    pub tags: Tags,
    /// A shell script for the first boot (facts §2.4), not yet encoded. Contains the secret.
    pub init_script: String,
    /// The instance's secret, from which a driver may derive what makes the call idempotent.
    pub secret: InstanceSecret,
}

/// One instance, as the cloud describes it.
#[derive(Clone, PartialEq, Debug)]
pub struct Instance {
    /// The cloud's name for it.
    pub id: InstanceId,
    /// host or host:port; "" while it has none.
    pub address: String,
    /// The cloud's name of its type.
    pub provider_type: String,
    /// All its tags.
    pub tags: Tags,
}
