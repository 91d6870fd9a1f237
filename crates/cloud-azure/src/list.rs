//! Listing VMs with their addresses, and what the list tells beside (facts A1, A11, K27, K34).

use std::collections::BTreeSet;

use dispatch_cloud::{CloudError, EndCause, Ended, Instance, Tags};
use dispatch_model::CloudErrorClass;

use crate::{
    account::Account,
    action::Action,
    memory::Memory,
    rows::{self, VmRow, VmState},
    watch::{Lost, Seen},
};

impl Account {
    /// All our VMs that are not going or gone.
    pub(crate) async fn list(&self, tags: &Tags) -> Result<Vec<Instance>, CloudError> {
        let (found, _) = self.list_vms().await.map_err(|failure| {
            self.calls
                .error(Action::ListVms, &failure, CloudErrorClass::Transient)
        })?;
        let all: Vec<VmRow> = found.iter().filter_map(rows::vm).collect();
        let rows = found.len() - all.len();
        // Once, not with each list.
        if self.memory().n_odd_is_news(rows) && rows > 0 {
            tracing::warn!(rows, "the list of VMs has rows without a name");
        }
        // A page that names itself as the next was read twice.
        let mut names = BTreeSet::new();
        let ours: Vec<VmRow> = all
            .into_iter()
            .filter(|row| self.is_ours(&row.name, &row.tags))
            .filter(|row| names.insert(row.name.to_ascii_lowercase()))
            .collect();
        self.learn_from(&ours);
        let mut shown: Vec<VmRow> = ours
            .into_iter()
            .filter(|row| self.is_shown(row.state))
            .collect();
        // Those that failed are looked at; what never came to be is as good as gone.
        for row in shown.iter().filter(|row| row.state == VmState::Failed) {
            self.look_into(row);
        }
        shown.retain(|row| row.state != VmState::Failed || !self.memory().is_stillborn(&row.name));
        shown.retain(|row| {
            tags.iter()
                .all(|(key, value)| row.tags.get(key) == Some(value))
        });
        self.learn_addresses(&shown).await;
        Ok(shown.iter().map(|row| self.instance(row)).collect())
    }

    fn is_shown(&self, state: VmState) -> bool {
        #[cfg(test)]
        if self.errs(crate::mutants::Mutant::GoingIsListed) {
            return true;
        }
        state != VmState::Deleting
    }

    fn instance(&self, row: &VmRow) -> Instance {
        let address = row
            .nic
            .as_ref()
            .and_then(|nic| self.memory().address(nic).cloned());
        Instance {
            id: self.id(&row.name),
            address: address.unwrap_or_default(),
            provider_type: row.size.clone(),
            tags: row.tags.clone(),
        }
    }

    fn learn_from(&self, ours: &[VmRow]) {
        let seen: Vec<Seen> = ours
            .iter()
            .map(|row| Seen {
                name: row.name.clone(),
                size: row.size.clone(),
                spot: row.spot,
                going: row.state == VmState::Deleting,
            })
            .collect();
        let mut memory = self.memory();
        let lost = memory.watch.listed(&seen);
        for lost in lost {
            self.tell_lost(&mut memory, lost);
        }
        let all: BTreeSet<&str> = ours.iter().map(|row| row.name.as_str()).collect();
        let well = ours
            .iter()
            .filter(|row| row.state == VmState::Well)
            .map(|row| row.name.as_str());
        let nics: BTreeSet<&str> = ours.iter().filter_map(|row| row.nic.as_deref()).collect();
        memory.listed(&all, well, &nics);
    }

    /// A VM is gone without our delete.
    pub(crate) fn tell_lost(&self, memory: &mut Memory, lost: Lost) {
        #[cfg(test)]
        if self.errs(crate::mutants::Mutant::EvictionUnseen) {
            return;
        }
        let Lost { name, size, spot } = lost;
        let (cause, message) = if spot {
            (
                EndCause::TakenBack,
                "the spot VM is gone without our delete: presumably evicted",
            )
        } else {
            (EndCause::Other, "the VM is gone without our delete")
        };
        tracing::warn!(vm = %name, provider_type = %size, spot, "{message}");
        memory.tell(Ended {
            id: self.id(&name),
            provider_type: size,
            preemptible: spot,
            cause,
            code: String::new(),
            message: message.to_owned(),
            class: None,
        });
    }

    /// Asks for the network interfaces if an address is missing. Without them, lists are right but for those.
    async fn learn_addresses(&self, rows: &[VmRow]) {
        let is_missing = {
            let memory = self.memory();
            rows.iter()
                .filter_map(|row| row.nic.as_deref())
                .any(|nic| memory.address(nic).is_none())
        };
        if !is_missing {
            return;
        }
        let path = self.parameters.places.nics();
        match self.calls.list(Action::ListNics, &path).await {
            Ok((found, _)) => {
                let read = found.iter().filter_map(rows::nic);
                let addresses = read.map(|(nic, address)| (nic.name.to_ascii_lowercase(), address));
                self.memory().learn_addresses(addresses);
            }
            Err(failure) => {
                let error =
                    self.calls
                        .error(Action::ListNics, &failure, CloudErrorClass::Transient);
                tracing::warn!(%error, "the addresses of new VMs are not known yet");
            }
        }
    }

    /// Finds out in the background why a VM failed, and deletes it if it never came to be.
    fn look_into(&self, row: &VmRow) {
        if !self.memory().attend(&row.name) {
            return;
        }
        let (me, row) = (self.me.clone(), row.clone());
        self.spawn(async move {
            let Some(account) = me.upgrade() else { return };
            match account.view_vm(&row.name).await {
                Ok(good) => {
                    let was_well = account.memory().was_well(&row.name);
                    if let Some((fault, runs)) = rows::failure_in_view(&good.answer.body) {
                        if rows::is_stillborn(was_well, &fault, runs) {
                            account.bury(&row.name, &row.size, row.spot, &fault).await;
                        } else {
                            tracing::warn!(vm = %row.name, reason = fault.code(), "a change of a VM failed: {}", fault.message());
                        }
                    }
                }
                Err(failure) => {
                    let error = account.calls.error(
                        Action::InstanceView,
                        &failure,
                        CloudErrorClass::Transient,
                    );
                    tracing::warn!(vm = %row.name, %error, "why this VM failed is not known");
                }
            }
            account.memory().leave(&row.name);
        });
    }
}
