//! VMs that have stopped answering: Azure is asked how they are (facts K34). Lists carry no power state, and an evicted VM
//! disappears without a word.

use std::time::Duration;

use dispatch_model::{CloudErrorClass, InstanceId};

use crate::{account::Account, action::Action, places, rows};

/// So often at most is one VM looked into.
const LOOK_EVERY: Duration = Duration::from_secs(60);

impl Account {
    /// Looks into a VM in the background, unless somebody just did.
    pub(crate) fn look_into_silent(&self, id: &InstanceId) {
        let vm = places::name_in(id.as_str()).to_owned();
        let now = self.now();
        {
            let mut memory = self.memory();
            let is_known = memory.watch.is_seen(&vm) && !memory.may_be_unknown(&vm, now);
            let every = LOOK_EVERY / self.calls.scale;
            if !is_known || !memory.attend(&vm) {
                return;
            }
            if !memory.may_look(&vm, every, now) {
                memory.leave(&vm);
                return;
            }
        }
        let me = self.me.clone();
        self.spawn(async move {
            let Some(account) = me.upgrade() else { return };
            account.see_how_it_is(&vm).await;
            account.memory().leave(&vm);
        });
    }

    async fn see_how_it_is(&self, vm: &str) {
        match self.view_vm(vm).await {
            Ok(good) => match rows::power_state(&good.answer.body) {
                Some(state) if state.eq_ignore_ascii_case("running") => {
                    tracing::info!(%vm, "a VM that has stopped answering runs, as Azure has it");
                }
                // It is not ours to decide what becomes of it: somebody may have stopped it to look into it.
                Some(state) => {
                    tracing::warn!(%vm, power_state = %state, "a VM that has stopped answering does not run, as Azure has it");
                }
                None => {
                    tracing::warn!(%vm, "a VM has stopped answering, and Azure does not say whether it runs");
                }
            },
            Err(failure) if failure.is_absent() => {
                let mut memory = self.memory();
                if let Some(lost) = memory.watch.missing(vm) {
                    self.tell_lost(&mut memory, lost);
                }
            }
            Err(failure) => {
                let action = Action::InstanceView;
                let error = self
                    .calls
                    .error(action, &failure, CloudErrorClass::Transient);
                tracing::warn!(%vm, %error, "how a VM is that has stopped answering is not known");
            }
        }
    }
}
