//! VMs that failed: why, whether they run in spite of it, and the end of those that never came to be (facts K27, K34).
//!
//! The instance view tells. A VM that runs is never deleted here: Azure calls a VM failed whose system did not report
//! within 20 to 40 minutes (OSProvisioningTimedOut) or whose update went wrong, and it may be at work. The pool's own
//! rules see to it: a VM that does not answer the boot probe within `TimeoutBooting` is shut down like any other.

use dispatch_cloud::{EndCause, Ended};
use dispatch_model::CloudErrorClass;

use crate::{
    account::Account,
    action::Action,
    atlas::{self, Fault, Kind},
    rows::{self, VmRow},
};

impl Account {
    /// Finds out in the background why a VM of the list failed, and deletes it if it never came to be.
    pub(crate) fn look_into(&self, row: &VmRow) {
        // Whoever follows its making will see why it failed.
        if self.is_followed(&row.name) || !self.memory().attend(&row.name) {
            return;
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
                let error =
                    self.calls
                        .error(Action::InstanceView, &failure, CloudErrorClass::Transient);
                tracing::warn!(%vm, %error, "how this VM is that failed is not known");
                (None, None)
            }
        };
        // A lack or a refusal is said before there is a VM that could run.
        let began = told.as_ref().is_none_or(|fault| {
            let kind = atlas::judge(fault, 0).kind;
            !matches!(kind, Kind::Quota | Kind::Capacity | Kind::Permanent)
        });
        let may_run = runs.unwrap_or(began);
        let is_failed = seen.is_some();
        let seen = seen.filter(|fault| !fault.code().is_empty());
        let fault = match (told, seen) {
            (Some(fault), _) | (None, Some(fault)) => fault,
            // It is not called failed any more.
            (None, None) if !is_failed => return,
            (None, None) => Fault::new("", "the VM failed, and Azure gives no reason"),
        };
        if rows::is_stillborn(self.memory().was_well(vm), may_run) {
            self.bury(vm, size, spot, &fault).await;
        } else if self.memory().is_news(&format!("failed but runs {vm}")) {
            tracing::warn!(%vm, reason = fault.code(), "Azure calls a VM failed that may run; it is left to the boot probe: {}", fault.message());
        }
    }

    /// A VM that was accepted, is not there, and was never listed.
    pub(crate) fn never_came(&self, vm: &str, size: &str, spot: bool) {
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
        self.tell_stillborn(vm, size, spot, &fault);
    }

    /// A VM that never came to be: tells why, and deletes it.
    async fn bury(&self, vm: &str, size: &str, spot: bool, fault: &Fault) {
        self.tell_stillborn(vm, size, spot, fault);
        #[cfg(all(test, feature = "cloud-tests"))]
        if self.errs(crate::mutants::Mutant::KeepsFailed) {
            return;
        }
        self.memory().watch.destroying(vm);
        self.end_again(vm).await;
    }

    /// Deletes a VM; if that fails, the next list shows it again.
    pub(crate) async fn end_again(&self, vm: &str) {
        match self.delete_vm(vm).await {
            Ok(good) => self.follow_ending(vm, &good.answer),
            Err(failure) if failure.is_absent() => {}
            Err(failure) => {
                let error =
                    self.calls
                        .error(Action::DeleteVm, &failure, CloudErrorClass::Transient);
                tracing::warn!(%vm, %error, "a VM that was not made cannot be deleted yet");
            }
        }
    }

    fn tell_stillborn(&self, vm: &str, size: &str, spot: bool, fault: &Fault) {
        if !self.memory().stillborn(vm) {
            return;
        }
        let verdict = atlas::judge(fault, 0);
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
