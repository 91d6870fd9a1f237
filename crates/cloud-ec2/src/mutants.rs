//! Drivers that are wrong on purpose: each must fail the check that is there for it.

use dispatch_cloud::CloudError;
use dispatch_model::CloudErrorClass;

use crate::account::Account;

/// What is wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Mutant {
    NoToken,
    NextSubnetAfterTimeout,
    AnyRefusalSettles,
    LackSettlesAtOnce,
    FaultIsRefusal,
    OneTokenForAllSubnets,
    CapacityIsQuota,
    FreshNotFoundIsGone,
    EmptyTokenFollowed,
    GoingIsListed,
    OmittedIsGone,
    OnePaceForAll,
    ReservedTagsAreSet,
    ScratchIsFree,
}

impl Account {
    pub(crate) fn errs(&self, mutant: Mutant) -> bool {
        self.mutant == Some(mutant)
    }

    pub(crate) fn as_quota(&self, error: CloudError) -> CloudError {
        match error.class {
            CloudErrorClass::Capacity(_) if self.errs(Mutant::CapacityIsQuota) => {
                CloudError::new(CloudErrorClass::Quota, error.message)
            }
            _ => error,
        }
    }
}
