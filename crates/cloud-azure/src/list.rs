//! Listing VMs with their addresses, and what the list tells beside (facts A1, A11, K27, K34).

use std::{collections::BTreeSet, time::Duration};

use dispatch_cloud::{CloudError, EndCause, Ended, Instance, Tags};
use dispatch_model::CloudErrorClass;
use tokio::time::Instant;

#[cfg(all(test, feature = "cloud-tests"))]
use crate::mutants::Mutant;
use crate::{
    account::Account,
    action::Action,
    memory::Memory,
    rows::{self, VmRow, VmState},
    watch::{Lost, Seen},
};

/// A list that has no end, and nothing before it.
const NOT_WHOLE: &str = "list VMs: a page of the list names itself as the next, so what comes after it is not known, and \
                         no whole list has been read since the dispatcher started: it is asked again";

/// So long a list waits for what it asks for beside: those that Azure omits, and the addresses of new VMs. A provider may
/// hang, and whoever lists has as little as five seconds.
const MORE_WITHIN: Duration = Duration::from_secs(2);
/// Who asks for them.
const ASKER: &str = "addresses";
/// A VM that is being deleted for longer than this hangs, and is shown again.
pub(crate) const DELETED_WITHIN: Duration = Duration::from_secs(1800);

impl Account {
    /// All our VMs that are not going or gone.
    pub(crate) async fn list(&self, tags: &Tags) -> Result<Vec<Instance>, CloudError> {
        self.learn_sizes();
        let found = self.list_vms().await.map_err(|failure| {
            self.calls
                .error(Action::ListVms, &failure, CloudErrorClass::Transient)
        })?;
        let mut odd: BTreeSet<String> = found.rows.iter().flat_map(rows::oddities_of_vm).collect();
        if !found.whole {
            odd.insert("a page of the list of VMs names itself as the next".to_owned());
        }
        let all = found.rows.iter().filter_map(rows::vm);
        // A page that names itself as the next was read twice.
        let mut names = BTreeSet::new();
        let mut ours: Vec<VmRow> = all
            .filter(|row| self.is_ours(&row.name, &row.tags))
            .filter(|row| names.insert(row.name.to_ascii_lowercase()))
            .collect();
        odd.extend(ours.iter_mut().filter_map(|row| self.claim(row)));
        for row in &ours {
            self.hide_secret(&row.tags);
        }
        // What a list omits is not taken for gone: neither here nor by whoever reads this list.
        let until = Instant::now() + MORE_WITHIN;
        let unseen = if found.whole {
            let omitted = self.learn_from(&ours);
            self.look_for(omitted, until).await
        } else {
            let unseen = self.memory().unseen(&names);
            #[cfg(all(test, feature = "cloud-tests"))]
            let unseen = unseen.or(self.errs(Mutant::PageIsAll).then(Vec::new));
            let Some(unseen) = unseen else {
                return Err(CloudError::new(CloudErrorClass::Transient, NOT_WHOLE));
            };
            unseen
        };
        let hanging = self.hanging(&ours);
        odd.extend(
            hanging
                .iter()
                .map(|vm| format!("VM {vm} is being deleted and does not go: it is listed again")),
        );
        let mut shown: Vec<VmRow> = ours
            .into_iter()
            .filter(|row| self.is_shown(row, &hanging))
            .collect();
        // Those that failed are looked at. What never came to be is as good as gone when its end is accepted; until then, it
        // takes up room.
        for row in shown.iter().filter(|row| row.state == VmState::Failed) {
            self.look_into(row);
        }
        shown.retain(|row| row.state != VmState::Failed || !self.is_hidden(&row.name));
        shown.extend(unseen);
        if found.whole {
            let now = self.now();
            self.memory().shown(&shown, now);
        }
        shown.retain(|row| {
            tags.iter()
                .all(|(key, value)| row.tags.get(key) == Some(value))
        });
        odd.extend(self.learn_addresses(&shown, until).await);
        for what in self.memory().odd_news(odd) {
            tracing::warn!("{what}; nothing else is affected");
        }
        Ok(shown.iter().map(|row| self.instance(row)).collect())
    }

    /// A VM of ours that has lost the tag that says so would be listed no more, and nobody would ever end it. Returns what
    /// is odd.
    fn claim(&self, row: &mut VmRow) -> Option<String> {
        let (key, value) = &self.rule.owner;
        if row.tags.get(key).is_some_and(|value| !value.is_empty()) {
            return None;
        }
        row.tags.insert(key.clone(), value.clone());
        Some(format!(
            "VM {} has no tag {key}, and is known to be ours by its name",
            row.name
        ))
    }

    /// A VM that is being deleted is as good as gone, unless it never goes.
    fn is_shown(&self, row: &VmRow, hanging: &BTreeSet<String>) -> bool {
        #[cfg(all(test, feature = "cloud-tests"))]
        if self.errs(crate::mutants::Mutant::GoingIsListed) {
            return true;
        }
        row.state != VmState::Deleting || hanging.contains(&row.name)
    }

    /// Whether one that failed is not shown.
    fn is_hidden(&self, vm: &str) -> bool {
        #[cfg(all(test, feature = "cloud-tests"))]
        if self.errs(Mutant::HidesWhatStays) && self.memory().is_stillborn(vm) {
            return true;
        }
        self.is_ending(vm)
    }

    fn hanging(&self, ours: &[VmRow]) -> BTreeSet<String> {
        let going = ours.iter().filter(|row| row.state == VmState::Deleting);
        let going: BTreeSet<&str> = going.map(|row| row.name.as_str()).collect();
        let longer_than = DELETED_WITHIN / self.calls.scale;
        self.memory().hanging(&going, longer_than, self.now())
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

    /// Returns those that the list omits.
    fn learn_from(&self, ours: &[VmRow]) -> Vec<String> {
        let seen: Vec<Seen> = ours
            .iter()
            .map(|row| Seen {
                name: row.name.clone(),
                size: row.size.clone(),
                spot: row.spot,
                going: row.state == VmState::Deleting,
            })
            .collect();
        let now = self.now();
        let mut memory = self.memory();
        let mut watch = std::mem::take(&mut memory.watch);
        let is_ours = |vm: &str| memory.is_ours(vm);
        let news = watch.listed(&seen, is_ours, |vm| memory.is_deleted(vm), now);
        memory.watch = watch;
        #[cfg(all(test, feature = "cloud-tests"))]
        let news = self.told_at_once(&mut memory, news);
        for lost in news.lost {
            self.tell_lost(&mut memory, lost);
        }
        let omitted: Vec<VmRow> = (news.omitted.iter())
            .filter_map(|vm| memory.last_shown(vm))
            .collect();
        let there = || ours.iter().chain(&omitted);
        let all: BTreeSet<&str> = there().map(|row| row.name.as_str()).collect();
        let well = ours
            .iter()
            .filter(|row| row.state == VmState::Well)
            .map(|row| row.name.as_str());
        let nics: BTreeSet<&str> = there().filter_map(|row| row.nic.as_deref()).collect();
        memory.listed(&all, well, &nics);
        news.omitted
    }

    /// A VM is gone without our delete.
    pub(crate) fn tell_lost(&self, memory: &mut Memory, lost: Lost) {
        #[cfg(all(test, feature = "cloud-tests"))]
        if self.errs(crate::mutants::Mutant::EvictionUnseen) {
            return;
        }
        let Lost {
            name,
            size,
            spot,
            was_well,
        } = lost;
        memory.is_gone(&name);
        let (cause, message) = match (was_well, spot) {
            // Before the restart we may have asked for its end.
            (false, _) => (
                EndCause::Other,
                "the VM is being deleted, by whom is not known",
            ),
            (true, true) => (
                EndCause::TakenBack,
                "the spot VM is gone without our delete: presumably evicted",
            ),
            (true, false) => (EndCause::Other, "the VM is gone without our delete"),
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

    /// Asks for the network interfaces if an address is missing, in the background, and waits a moment for them. Without
    /// them, lists are right but for those. Returns what is odd about them.
    async fn learn_addresses(&self, rows: &[VmRow], until: Instant) -> Vec<String> {
        let is_missing = |row: &&VmRow| {
            let nic = row.nic.as_deref();
            nic.is_some_and(|nic| self.memory().address(nic).is_none())
        };
        if !rows.iter().any(|row| is_missing(&row)) || !self.memory().attend(ASKER) {
            return Vec::new();
        }
        let (told, hears) = tokio::sync::oneshot::channel();
        let me = self.me.clone();
        self.spawn(async move {
            let Some(account) = me.upgrade() else { return };
            let whole = account.read_addresses().await;
            account.memory().leave(ASKER);
            // Whoever lists may have gone on: what is odd is then told by the next list.
            let _ = told.send(whole);
        });
        let read = tokio::time::timeout_at(until, hears).await;
        let Ok(Ok(Some(whole))) = read else {
            return Vec::new();
        };
        // While a VM is being made its interface may have none yet.
        let made = rows.iter().filter(|row| row.state == VmState::Well);
        let mut odd: Vec<String> = made
            .filter(is_missing)
            .map(|row| format!("the network interface of VM {} has no address", row.name))
            .collect();
        if !whole {
            odd.push(
                "a page of the list of network interfaces names itself as the next".to_owned(),
            );
        }
        odd
    }

    /// Whether these are all; `None`: they cannot be read.
    async fn read_addresses(&self) -> Option<bool> {
        let path = self.parameters.places.nics();
        match self.calls.list(Action::ListNics, &path).await {
            Ok(found) => {
                let read = found.rows.iter().filter_map(rows::nic);
                let addresses = read.map(|(nic, address)| (nic.name.to_ascii_lowercase(), address));
                self.memory().learn_addresses(addresses);
                Some(found.whole)
            }
            Err(failure) => {
                let error =
                    self.calls
                        .error(Action::ListNics, &failure, CloudErrorClass::Transient);
                tracing::warn!(%error, "the addresses of new VMs are not known yet");
                None
            }
        }
    }
}
