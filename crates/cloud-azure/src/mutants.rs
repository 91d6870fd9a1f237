//! Drivers that are wrong on purpose: each must fail the check that is there for it.

use dispatch_cloud::CloudError;
use dispatch_model::CloudErrorClass;
use serde_json::Value;

use crate::{
    account::Account,
    action::Action,
    creation::{Ask, Heard},
    failure::Failure,
    memory::Memory,
    watch::News,
};

/// What is wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Mutant {
    /// After an unknown outcome it puts again without looking.
    PutsBlindly,
    /// It puts without the condition that there be no such VM.
    PutsUnconditionally,
    /// A refused create leaves its network interface behind.
    LeavesNic,
    /// The garbage collection knows neither ages nor creates in flight.
    CollectsFresh,
    /// No capacity of a size is taken for the subscription's quota.
    CapacityIsQuota,
    /// VMs that failed are left as they are.
    KeepsFailed,
    /// Tags are replaced, not merged.
    ReplacesTags,
    /// An eviction is not noticed.
    EvictionUnseen,
    /// A fresh VM that Azure does not know yet counts as gone.
    FreshNotFoundIsGone,
    /// VMs that are being deleted are listed.
    GoingIsListed,
    /// A throttled call delays calls of every kind.
    OnePaceForAll,
    /// That an operation may not be read is taken for its failure.
    RefusedLookIsFailure,
    /// Whatever is answered with the status 404 is gone.
    AnyNotFoundIsGone,
    /// A server that broke down is believed that it did nothing.
    BelievesBrokenServers,
    /// An accepted deletion of a network interface is taken for its end.
    AcceptedIsGone,
    /// A VM that one list omits counts as gone.
    OmittedIsGone,
    /// A VM that one list omits is looked for, and not listed meanwhile.
    OmittedIsUnlisted,
    /// A VM of which Azure does not say whether it runs is taken for one that does not.
    SilentPowerIsOff,
    /// A VM that failed is deleted although an operator holds it.
    BuriesWhatIsHeld,
    /// A VM that failed is not listed although it cannot be deleted.
    HidesWhatStays,
    /// A list with a page that names itself is taken for all there is, also where no other came before.
    PageIsAll,
}

impl Account {
    pub(crate) fn errs(&self, mutant: Mutant) -> bool {
        self.mutant == Some(mutant)
    }

    pub(crate) fn mutated(&self, ask: Ask) -> Option<Heard<(Action, Failure)>> {
        let nothing = || (Action::GetVm, Failure::Unknown(String::new()));
        match ask {
            Ask::GetVm if self.errs(Mutant::PutsBlindly) => Some(Heard::Absent(nothing())),
            Ask::DeleteNic if self.errs(Mutant::LeavesNic) => Some(Heard::Fine),
            Ask::WatchNic if self.errs(Mutant::AcceptedIsGone) => Some(Heard::Absent(nothing())),
            _ => None,
        }
    }

    pub(crate) fn misheard(
        &self,
        ask: Ask,
        action: Action,
        failure: &Failure,
    ) -> Option<Heard<(Action, Failure)>> {
        let is_broken = matches!(failure, Failure::Said { status: 500.., .. });
        let mishears = is_broken && ask == Ask::PutVm && self.errs(Mutant::BelievesBrokenServers);
        mishears.then(|| Heard::Refused((action, failure.clone())))
    }

    pub(crate) fn told_at_once(&self, memory: &mut Memory, mut news: News) -> News {
        if self.errs(Mutant::OmittedIsGone) {
            let omitted = std::mem::take(&mut news.omitted).into_iter();
            let lost = omitted.filter_map(|vm| memory.watch.missing(&vm));
            news.lost.extend(lost);
        }
        news
    }

    pub(crate) fn as_quota(&self, error: CloudError) -> CloudError {
        match error.class {
            CloudErrorClass::Capacity(_) if self.errs(Mutant::CapacityIsQuota) => {
                CloudError::new(CloudErrorClass::Quota, error.message)
            }
            _ => error,
        }
    }

    pub(crate) fn replaced(&self, mut body: Value) -> Value {
        if self.errs(Mutant::ReplacesTags) {
            body["operation"] = "Replace".into();
        }
        body
    }
}
