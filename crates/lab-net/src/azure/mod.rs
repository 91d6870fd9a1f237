//! The lab's cloud behind an API like the Azure Resource Manager's: tokens, VMs, network interfaces, disks, quotas,
//! sizes, tags, long-running operations, pages, limits of calls. Written from the public REST documentation, whose pages
//! stand beside the rules; strict where Azure is strict, with faults that Azure has on bad days (docs/azure.md lists
//! what it plays and what it does not).

mod account;
mod buckets;
mod others;
mod path;
mod refusal;
mod schema;
mod settings;
mod things;
mod tokens;
mod vms;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use anyhow::Context as _;
use tokio::{net::TcpListener, task::JoinSet};

use crate::{LabHandle, fleet::Shared, http as server};

use account::Account;
pub use account::{AzureCreation, AzureRequest};
pub use settings::{AzureBad, AzureInjection, AzureSettings};
use things::{Disk, Nic};

/// The API while it is served. Dropping it ends it.
pub struct AzureApi {
    url: String,
    account: Arc<Mutex<Account>>,
    shared: Arc<Shared>,
    _tasks: JoinSet<()>,
}

impl LabHandle {
    /// Serves this lab's cloud as Azure as well, from here on: resource manager, authority and metadata service at one
    /// address.
    pub async fn serve_azure(&self, settings: AzureSettings) -> anyhow::Result<AzureApi> {
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .context("find a port for the Azure API")?;
        let url = format!("http://{}", listener.local_addr()?);
        let account = Account::new(settings, url.clone(), self.lab().seed);
        let account = Arc::new(Mutex::new(account));
        let (shared, serving) = (Arc::clone(self.shared()), Arc::clone(&account));
        let handler: server::HandlerWithHeaders = Arc::new(move |request| {
            let mut account = serving.lock().unwrap_or_else(PoisonError::into_inner);
            shared.with(|world, now| account.answer(&request, world, now))
        });
        let mut tasks = JoinSet::new();
        tasks.spawn(server::serve_with_headers(listener, None, handler));
        Ok(AzureApi {
            url,
            account,
            shared: Arc::clone(self.shared()),
            _tasks: tasks,
        })
    }
}

impl AzureApi {
    /// Where it is.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Its settings.
    pub fn settings(&self) -> AzureSettings {
        self.account().settings.clone()
    }

    /// Changes its settings.
    pub fn set(&self, change: impl FnOnce(&mut AzureSettings)) {
        change(&mut self.account().settings);
    }

    /// How often each kind of request ("PUT vm", "GET nics") was sent, and how many of these were throttled.
    pub fn calls(&self) -> BTreeMap<String, (u64, u64)> {
        self.account().calls.clone()
    }

    /// The actions that the requests needed.
    pub fn actions(&self) -> BTreeSet<String> {
        self.account().actions.clone()
    }

    /// Every request so far, in order.
    pub fn requests(&self) -> Vec<AzureRequest> {
        self.account().requests.clone()
    }

    /// The names of the VMs that there are.
    pub fn vms(&self) -> Vec<String> {
        let account = self.account();
        account.vms.values().map(|vm| vm.name.clone()).collect()
    }

    /// The names of the network interfaces that there are.
    pub fn nics(&self) -> Vec<String> {
        let account = self.account();
        account.nics.values().map(|nic| nic.name.clone()).collect()
    }

    /// The names of the disks that there are.
    pub fn disks(&self) -> Vec<String> {
        let account = self.account();
        account
            .disks
            .values()
            .map(|disk| disk.name.clone())
            .collect()
    }

    /// What somebody has left behind: a network interface with these tags that belongs to no VM.
    pub fn leave_nic(&self, name: &str, tags: BTreeMap<String, String>) {
        let nic = Nic {
            name: name.to_owned(),
            body: serde_json::json!({"location": "centralus", "properties": {"ipConfigurations": [{"name": "ip1"}]}}),
            tags,
            vm: None,
            reserved: None,
            ready_ms: 0,
            going: None,
            alone_ms: Some(self.now_ms()),
        };
        self.account().nics.insert(name.to_ascii_lowercase(), nic);
    }

    /// What somebody has left behind: a disk that was made then and belongs to no VM.
    pub fn leave_disk(&self, name: &str, created: jiff::Timestamp) {
        let disk = Disk {
            name: name.to_owned(),
            vm: None,
            alone_ms: Some(self.now_ms()),
            created,
        };
        self.account().disks.insert(name.to_ascii_lowercase(), disk);
    }

    /// Every VM that was made, in order: each PUT that was accepted and found none of that name.
    pub fn creations(&self) -> Vec<AzureCreation> {
        self.account().creations.clone()
    }

    /// How often each of the faults has struck that strike by themselves: "throttled", "late", "lost", "mistaken",
    /// "failed", "unknown", "omitted", "evicted".
    pub fn struck(&self) -> BTreeMap<&'static str, u64> {
        self.account().struck.clone()
    }

    /// Others of the subscription have put so many VMs.
    pub fn others_put(&self, vms: u32) {
        let now_ms = self.now_ms();
        self.account().others_put(vms, now_ms);
    }

    /// The names of the spot VMs that run.
    pub fn spot_vms(&self) -> Vec<String> {
        let account = self.account();
        let spot = account.vms.values().filter(|vm| vm.spot);
        spot.filter(|vm| vm.state == things::State::Succeeded)
            .map(|vm| vm.name.clone())
            .collect()
    }

    /// Takes a VM back, as Azure does with spot VMs when it needs them.
    pub fn take_back(&self, vm: &str) {
        let known = self.account().vms.get(&vm.to_ascii_lowercase()).cloned();
        if let Some(instance) = known.and_then(|vm| vm.world) {
            self.account().strike("evicted");
            self.shared.with(|world, now| world.reclaim(&instance, now));
        }
    }

    /// Somebody changes a VM, and that fails: Azure calls the VM failed, whose machine goes on as it did
    /// (learn.microsoft.com/azure/virtual-machines/states-billing).
    pub fn fail_update(&self, vm: &str, code: &str, message: &str) {
        if let Some(vm) = self.account().vms.get_mut(&vm.to_ascii_lowercase()) {
            vm.runs_failed = vm.world.is_some();
            vm.state = things::State::Failed {
                code: code.to_owned(),
                message: message.to_owned(),
            };
        }
    }

    /// How many requests were cut off and are carried out later.
    pub fn n_late(&self) -> usize {
        self.account().n_late()
    }

    /// For how long, at most, a network interface or disk has belonged to no VM, ms, counted from the last time that this
    /// was asked.
    pub fn take_longest_alone_ms(&self) -> u64 {
        let now_ms = self.now_ms();
        self.account().take_longest_alone_ms(now_ms)
    }

    fn now_ms(&self) -> u64 {
        self.shared.with(|_, now| now.ms)
    }

    /// Whatever is to be carried out later is due now.
    pub fn hurry_what_is_late(&self) {
        self.account().hurry_what_is_late();
    }

    /// Ends all reservations of network interfaces, as time does.
    pub fn end_reservations(&self) {
        for nic in self.account().nics.values_mut() {
            nic.reserved = None;
        }
    }

    /// Forgets all operations, as Azure does after a while.
    pub fn forget_operations(&self) {
        self.account().operations.clear();
    }

    /// Makes all tokens worthless.
    pub fn revoke_tokens(&self) {
        self.account().tokens.clear();
    }

    fn account(&self) -> MutexGuard<'_, Account> {
        self.account.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
