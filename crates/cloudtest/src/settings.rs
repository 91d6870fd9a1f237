//! What is tried out, and how long it may take.

use std::{fmt, sync::Arc, time::Duration};

use dispatch_cloud::{InstanceSet, Tags, Wrapped, exec::Executor};
use dispatch_model::{InstanceSecret, InstanceType};

/// What is tried out. The instance is made as the dispatcher makes it, through the same wrappers (facts T7).
#[derive(Clone)]
pub struct Settings {
    /// The account.
    pub set: Arc<Wrapped>,
    /// How commands get onto instances.
    pub executor: Arc<dyn Executor>,
    /// Which type to make.
    pub instance_type: Arc<InstanceType>,
    /// `ImageID`, or another image.
    pub image_id: String,
    /// `TagKeyPrefix`.
    pub tag_key_prefix: String,
    /// Marks the instances of the test, and only those.
    pub instance_set_id: String,
    /// Tags that the instance must carry besides its own: `ResourceTags`.
    pub resource_tags: Tags,
    /// A fresh secret.
    pub secret: InstanceSecret,
    /// What runs at the first boot; contains the secret.
    pub init_script: String,
    /// Succeeds when the instance has booted.
    pub boot_probe: String,
    /// A command to run on the instance.
    pub command: Option<String>,
    /// Whether to destroy what an earlier test has left, instead of stopping there.
    pub destroy_existing: bool,
    /// Whether to ask the audience before the instance is destroyed.
    pub pause_before_destroy: bool,
    /// This process, as it is written on the instance.
    pub pid: u32,
    /// How long things may take.
    pub timing: Timing,
}

impl Settings {
    pub(crate) fn key(&self, name: &str) -> String {
        format!("{}{name}", self.tag_key_prefix)
    }

    /// The tags by which the test's instances are listed.
    pub(crate) fn ours(&self) -> Tags {
        [(self.key("InstanceSetID"), self.instance_set_id.clone())].into()
    }

    pub(crate) fn has_own_executor(&self) -> bool {
        self.set.executor().is_some()
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("instance_type", &self.instance_type.name)
            .field("image_id", &self.image_id)
            .field("instance_set_id", &self.instance_set_id)
            .field("timing", &self.timing)
            .finish_non_exhaustive()
    }
}

/// How long things may take.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// From the beginning to the end, the clean-up included; a pause that the operator asked for is not.
    pub total: Duration,
    /// What is kept of `total` for the clean-up.
    pub clean_up: Duration,
    /// `TimeoutBooting`: from the creation to a login and a boot probe that succeed.
    pub boot: Duration,
    /// `ProbeInterval`: between two looks at an instance that boots.
    pub probe_interval: Duration,
    /// `SyncInterval`: between two lists.
    pub sync_interval: Duration,
    /// How long one call to the cloud may take.
    pub call: Duration,
    /// How long one command on the instance may take, connecting included.
    pub command: Duration,
    /// For how long after a create of unknown outcome an instance may still appear (facts T6).
    pub late: Duration,
}
