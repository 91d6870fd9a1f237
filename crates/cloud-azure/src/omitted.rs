//! VMs that a list omits though an earlier one has shown them: Azure's lists may be inconsistent for a while (facts K15),
//! or the VM may have ended. Azure is asked for each, and only if it does not know the VM either, or is deleting it, has
//! it ended. Until that is known the VM stays listed, so that whoever reads the list hears of its end and of the reason
//! together.

use std::time::Duration;

use dispatch_model::CloudErrorClass;
use futures_util::StreamExt as _;
use tokio::time::Instant;

use crate::{
    account::Account,
    action::Action,
    rows::{self, VmRow, VmState},
};

/// Who looks for them.
const LOOKER: &str = "those that a list omits";
/// So many are looked for after one list, so many of them at a time; those that were not come first after the next.
const LOOKS_MAX: usize = 100;
const AT_A_TIME: usize = 8;
/// So long an answer is waited for.
const LOOK_WITHIN: Duration = Duration::from_secs(10);

impl Account {
    /// Looks for these in the background, and waits for that a moment. Returns those that stay listed, as they were shown.
    pub(crate) async fn look_for(&self, omitted: Vec<String>, until: Instant) -> Vec<VmRow> {
        #[cfg(all(test, feature = "cloud-tests"))]
        if self.errs(crate::mutants::Mutant::OmittedIsUnlisted) {
            self.look_for_some(&omitted);
            return Vec::new();
        }
        if let Some(done) = self.look_for_some(&omitted) {
            // Whether they are done or not: what is not known by now, the next list shows.
            let _ = tokio::time::timeout_at(until, done).await;
        }
        let memory = self.memory();
        let stay = omitted.iter().filter_map(|vm| memory.last_shown(vm));
        stay.collect()
    }

    /// `None`: there is nothing to look for, or those of an earlier list still are looked for.
    fn look_for_some(&self, omitted: &[String]) -> Option<tokio::sync::oneshot::Receiver<()>> {
        if omitted.is_empty() || !self.memory().attend(LOOKER) {
            return None;
        }
        let some: Vec<String> = omitted.iter().take(LOOKS_MAX).cloned().collect();
        let (told, done) = tokio::sync::oneshot::channel();
        let me = self.me.clone();
        self.spawn(async move {
            let looks = futures_util::stream::iter(some).map(|vm| (me.clone(), vm));
            let all = looks.for_each_concurrent(AT_A_TIME, |(me, vm)| async move {
                if let Some(account) = me.upgrade() {
                    account.see_whether_it_is_there(&vm).await;
                }
            });
            all.await;
            if let Some(account) = me.upgrade() {
                account.memory().leave(LOOKER);
            }
            // Whoever lists may have gone on.
            let _ = told.send(());
        });
        Some(done)
    }

    async fn see_whether_it_is_there(&self, vm: &str) {
        let has_ended = match tokio::time::timeout(LOOK_WITHIN, self.get_vm(vm)).await {
            Ok(Ok(good)) => {
                let row = rows::vm(&good.answer.body);
                row.is_some_and(|row| row.state == VmState::Deleting)
            }
            Ok(Err(failure)) if failure.is_absent() => true,
            Ok(Err(failure)) => {
                let error = self
                    .calls
                    .error(Action::GetVm, &failure, CloudErrorClass::Transient);
                tracing::warn!(%vm, %error, "a VM is not on the list any more, and whether it is there is not known");
                return;
            }
            Err(_) => {
                tracing::warn!(%vm, "a VM is not on the list any more, and Azure does not say in time whether it is there");
                return;
            }
        };
        let now = self.now();
        let mut memory = self.memory();
        if !has_ended {
            tracing::info!(%vm, "a VM is not on the list any more, and is there all the same");
            memory.watch.found(vm, now);
        } else if let Some(lost) = memory.watch.missing(vm) {
            self.tell_lost(&mut memory, lost);
        } else {
            memory.is_gone(vm);
        }
    }
}
