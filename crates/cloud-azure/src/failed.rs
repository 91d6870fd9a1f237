//! VMs that failed: why, whether they run in spite of it, and the end of those that never came to be (facts K27, K34).
//!
//! The instance view tells. A VM that runs, or that may, is never deleted here: Azure calls a VM failed whose system did
//! not report within 20 to 40 minutes (OSProvisioningTimedOut) or whose update went wrong, and it may be at work. The
//! pool's own rules see to it: a VM that does not answer the boot probe within `TimeoutBooting` is shut down like any
//! other. Nor is one deleted that an operator holds.

use std::time::Duration;

use dispatch_cloud::{EndCause, Ended};
use dispatch_model::CloudErrorClass;

#[cfg(all(test, feature = "cloud-tests"))]
use crate::mutants::Mutant;
use crate::{
    account::{Account, wall},
    action::Action,
    atlas::{self, Fault},
    failure::Failure,
    list::DELETED_WITHIN,
    rows::{self, VmRow},
    stillborn::{self, MADE_WITHIN},
};

/// So often at most is one VM looked into.
const LOOK_EVERY: Duration = Duration::from_secs(60);

impl Account {
    /// Finds out in the background why a VM of the list failed, and deletes it if it never came to be.
    pub(crate) fn look_into(&self, row: &VmRow) {
        // Whoever follows its making will see why it failed.
        if self.is_followed(&row.name) || self.is_ending(&row.name) {
            return;
        }
        let (every, now) = (LOOK_EVERY / self.calls.scale, self.now());
        {
            let mut memory = self.memory();
            if !memory.attend(&row.name) {
                return;
            }
            if !memory.may_look(&format!("the failure of {}", row.name), every, now) {
                memory.leave(&row.name);
                return;
            }
        }
        let (me, row) = (self.me.clone(), row.clone());
        self.spawn(async move {
            let Some(account) = me.upgrade() else { return };
            account
                .see_why_it_failed(&row.name, &row.size, row.spot, None)
                .await;
            account.memory().leave(&row.name);
        });
    }

    /// Whether its delete was accepted, and not so long ago that it hangs.
    pub(crate) fn is_ending(&self, vm: &str) -> bool {
        let within = DELETED_WITHIN / self.calls.scale;
        self.memory().is_ending(vm, within, self.now())
    }

    /// A VM failed. `told`: what its operation said of it.
    pub(crate) async fn see_why_it_failed(
        &self,
        vm: &str,
        size: &str,
        spot: bool,
        told: Option<Fault>,
    ) {
        let told = told.filter(|fault| !fault.code().is_empty());
        let (seen, runs) = match self.view_vm(vm).await {
            Ok(good) => rows::failure_in_view(&good.answer.body),
            // There is nothing to delete, but something to tell.
            Err(failure) if failure.is_absent() => (None, Some(false)),
            Err(failure) => {
                self.is_not_known(vm, Action::InstanceView, &failure);
                (None, None)
            }
        };
        #[cfg(all(test, feature = "cloud-tests"))]
        let runs = runs.or(self.errs(Mutant::SilentPowerIsOff).then_some(false));
        let is_failed = seen.is_some();
        let seen = seen.filter(|fault| !fault.code().is_empty());
        let fault = match (told, seen) {
            (Some(fault), _) | (None, Some(fault)) => fault,
            // It is not called failed any more.
            (None, None) if !is_failed => return,
            (None, None) => Fault::new("", "the VM failed, and Azure gives no reason"),
        };
        let was_well = self.memory().was_well(vm);
        if stillborn::is_stillborn(was_well, runs, atlas::judge(&fault, 0).kind) {
            self.bury(vm, size, spot, &fault).await;
        } else if self.memory().is_news(&format!("failed but runs {vm}")) {
            tracing::warn!(%vm, reason = fault.code(), "Azure calls a VM failed that may run; it is left to the boot probe: {}", fault.message());
        }
    }

    /// A VM that was accepted, is not there, and was never listed.
    pub(crate) async fn never_came(&self, vm: &str, size: &str, spot: bool) {
        {
            let mut memory = self.memory();
            if memory.watch.is_seen(vm) {
                // Somebody may have told already.
                if let Some(lost) = memory.watch.missing(vm) {
                    self.tell_lost(&mut memory, lost);
                }
                return;
            }
        }
        let fault = Fault::new("", "Azure accepted the VM and does not know it any more");
        self.tell_stillborn(vm, size, spot, &fault).await;
    }

    /// A VM that never came to be: tells why, and deletes it, unless it must not be deleted.
    async fn bury(&self, vm: &str, size: &str, spot: bool, fault: &Fault) {
        // As they are now: a list may be old, and the order older.
        let tags = match self.get_vm(vm).await {
            Ok(good) => rows::vm(&good.answer.body).map(|row| row.tags),
            // Nobody can hold what is not there.
            Err(failure) if failure.is_absent() => {
                self.tell_stillborn(vm, size, spot, fault).await;
                return;
            }
            Err(failure) => {
                self.is_not_known(vm, Action::GetVm, &failure);
                return;
            }
        };
        let idle_behavior = format!("{}IdleBehavior", self.context.tag_key_prefix);
        let is_ours = self.memory().is_ours(vm);
        let made_within = MADE_WITHIN / self.calls.scale;
        let tags = tags.unwrap_or_default();
        let spared = stillborn::spared(&tags, &idle_behavior, is_ours, made_within, wall());
        #[cfg(all(test, feature = "cloud-tests"))]
        let spared = spared.filter(|_| !self.errs(Mutant::BuriesWhatIsHeld));
        if let Some(because) = spared {
            if self.memory().is_news(&format!("failed but spared {vm}")) {
                tracing::warn!(%vm, reason = fault.code(), "a VM failed and does not run; it is left as it is, since {because}: {}", fault.message());
            }
            return;
        }
        self.tell_stillborn(vm, size, spot, fault).await;
        #[cfg(all(test, feature = "cloud-tests"))]
        if self.errs(Mutant::KeepsFailed) {
            return;
        }
        self.memory().watch.destroying(vm);
        self.end_again(vm).await;
    }

    /// Deletes a VM. Until that is accepted, and if it fails, lists show the VM.
    pub(crate) async fn end_again(&self, vm: &str) {
        match self.delete_vm(vm).await {
            Ok(good) => {
                if good.answer.status != 204 {
                    self.memory().deleted(vm, self.now());
                }
                self.follow_ending(vm, &good.answer);
            }
            Err(failure) if failure.is_absent() => {}
            Err(failure) => {
                let error =
                    self.calls
                        .error(Action::DeleteVm, &failure, CloudErrorClass::Transient);
                tracing::warn!(%vm, %error, "a VM that was not made cannot be deleted yet: it is listed");
            }
        }
    }

    fn is_not_known(&self, vm: &str, action: Action, failure: &Failure) {
        let error = self
            .calls
            .error(action, failure, CloudErrorClass::Transient);
        tracing::warn!(%vm, %error, "how this VM is that failed is not known");
    }

    async fn tell_stillborn(&self, vm: &str, size: &str, spot: bool, fault: &Fault) {
        if !self.memory().stillborn(vm) {
            return;
        }
        let verdict = self.judge(fault, 0, size, spot).await;
        let words = atlas::words("VM", fault, 0, &verdict);
        tracing::warn!(%vm, provider_type = %size, spot, reason = fault.code(), "a VM was not made: {words}");
        let class = atlas::class(&verdict, self.now());
        let class = (class != CloudErrorClass::Transient).then_some(class);
        self.memory().tell(Ended {
            id: self.id(vm),
            provider_type: size.to_owned(),
            preemptible: spot,
            cause: EndCause::NeverBegan,
            code: fault.code().to_owned(),
            message: words,
            class,
        });
    }
}
