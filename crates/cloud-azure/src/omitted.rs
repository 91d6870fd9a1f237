//! Fresh VMs that a list omits though an earlier one has shown them: Azure's lists may be inconsistent for a while (facts
//! K15), or the VM may have ended. Azure is asked for each, and only if it does not know the VM either, or is deleting it,
//! has it ended. Those that are no longer fresh are told by the list.

use dispatch_model::CloudErrorClass;

use crate::{
    account::Account,
    action::Action,
    rows::{self, VmState},
};

/// Who looks for them.
const LOOKER: &str = "those that a list omits";
/// So many are looked for after one list; the next list names the others again.
const LOOKS_MAX: usize = 100;

impl Account {
    /// Looks for these in the background, one after the other.
    pub(crate) fn look_for(&self, omitted: Vec<String>) {
        if omitted.is_empty() || !self.memory().attend(LOOKER) {
            return;
        }
        let me = self.me.clone();
        self.spawn(async move {
            for vm in omitted.iter().take(LOOKS_MAX) {
                let Some(account) = me.upgrade() else { return };
                account.see_whether_it_is_there(vm).await;
            }
            if let Some(account) = me.upgrade() {
                account.memory().leave(LOOKER);
            }
        });
    }

    async fn see_whether_it_is_there(&self, vm: &str) {
        let has_ended = match self.get_vm(vm).await {
            Ok(good) => {
                let row = rows::vm(&good.answer.body);
                row.is_some_and(|row| row.state == VmState::Deleting)
            }
            Err(failure) if failure.is_absent() => true,
            Err(failure) => {
                let error = self
                    .calls
                    .error(Action::GetVm, &failure, CloudErrorClass::Transient);
                tracing::warn!(%vm, %error, "a fresh VM is not on the list any more, and whether it is there is not known");
                return;
            }
        };
        if !has_ended {
            tracing::info!(%vm, "a fresh VM is not on the list any more, and is there all the same");
            return;
        }
        let mut memory = self.memory();
        if let Some(lost) = memory.watch.missing(vm) {
            self.tell_lost(&mut memory, lost);
        }
    }
}
