//! What a driver's own tests must bring along.

use std::time::Duration;

use async_trait::async_trait;
use dispatch_cloud::{CreateOrder, Tags};
use dispatch_model::{CloudErrorClass, InstanceId, InstanceSecret};

/// A refusal or accident that a create should meet.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Fault {
    /// The account may have no more instances.
    Quota,
    /// There is none of the type.
    CapacityOfType,
    /// There is none of a whole group of types.
    CapacityOfGroup,
    /// Calls come too fast.
    RateLimit,
    /// The cloud will not do it.
    Refusal,
    /// A passing fault before anything was done.
    Passing,
    /// The instance is made, but the answer is lost.
    LostAnswer,
}

/// Ties the checks to one cloud.
#[async_trait]
pub trait Hooks: Send + Sync {
    /// A text that no other run uses: instances are told apart by it.
    fn run_id(&self) -> String;

    /// The prefix of our tags (`TagKeyPrefix`).
    fn tag_key_prefix(&self) -> String {
        "Arvados".to_owned()
    }

    /// An order for the cheapest instance there is, with these tags and this secret.
    fn order(&self, tags: Tags, secret: InstanceSecret) -> CreateOrder;

    /// An id of the right form that no instance has.
    fn unknown_id(&self) -> InstanceId;

    /// How many instances there can be; `None` if more than these checks ever want (four).
    fn instances_max(&self) -> Option<usize>;

    /// Whether a create that is repeated with the same secret finds the instance of the first one; if not, why not.
    fn knows_repeated_creates(&self) -> Result<(), String>;

    /// Makes the next create meet this fault. `Err`: this cloud cannot be made to, for this reason.
    async fn arrange(&self, fault: Fault) -> Result<(), String>;

    /// Undoes what was arranged, where it does not end with the one create.
    async fn settle(&self) {}

    /// Whether this class is right for the fault, where clouds differ in their words. The default takes the obvious
    /// one.
    fn is_right_class(&self, fault: Fault, class: &CloudErrorClass) -> bool {
        use dispatch_model::CapacityScope::{QuotaGroup, Type};
        matches!(
            (fault, class),
            (Fault::Quota, CloudErrorClass::Quota)
                | (Fault::CapacityOfType, CloudErrorClass::Capacity(Type))
                | (
                    Fault::CapacityOfGroup,
                    CloudErrorClass::Capacity(QuotaGroup(_))
                )
                | (Fault::RateLimit, CloudErrorClass::RateLimited(_))
                | (
                    Fault::Refusal,
                    CloudErrorClass::Refused | CloudErrorClass::RefusedWidely(_)
                )
                | (Fault::Passing, CloudErrorClass::Transient)
                | (Fault::LostAnswer, CloudErrorClass::OutcomeUnknown)
        )
    }

    /// How long the cloud may take to show what was done.
    fn patience(&self) -> Duration;

    /// How long one call may take.
    fn call(&self) -> Duration {
        self.patience()
    }

    /// How long the clean-up after one check may take.
    fn clean_up(&self) -> Duration {
        self.patience()
    }

    /// For how long after a create of unknown outcome an instance may still appear (facts T6).
    fn late(&self) -> Duration {
        Duration::ZERO
    }

    /// How long to wait between two looks at the cloud.
    fn look_every(&self) -> Duration;
}
