//! The lab's cloud behind an API like EC2's: enough of it for drivers and for boto3, strict where EC2 is strict, with
//! faults that EC2 has on bad days (docs/ec2.md lists what it plays and what it does not).

mod account;
mod buckets;
mod create;
mod form;
mod policy;
mod settings;
mod show;
mod volumes;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use anyhow::Context as _;
use bytes::Bytes;
use dispatch_lab::cloud::CloudCall;
use http::Request;
use tokio::{net::TcpListener, task::JoinSet};

use crate::{LabHandle, fleet::Shared, http as server, http::Reply};

use account::Account;
use form::Form;
pub use policy::actions_of_policy;
pub use settings::{Bad, Ec2Settings, Injection, Subnet};
pub use volumes::Volume;

/// The API while it is served. Dropping it ends it.
pub struct Ec2Api {
    url: String,
    account: Arc<Mutex<Account>>,
    shared: Arc<Shared>,
    _tasks: JoinSet<()>,
}

impl LabHandle {
    /// Serves this lab's cloud as EC2 as well, from here on.
    pub async fn serve_ec2(&self, settings: Ec2Settings) -> anyhow::Result<Ec2Api> {
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .context("find a port for the EC2 API")?;
        let url = format!("http://{}", listener.local_addr()?);
        let account = Arc::new(Mutex::new(Account::new(settings, self.lab().seed)));
        let (shared, serving) = (Arc::clone(self.shared()), Arc::clone(&account));
        let handler = Arc::new(move |request| answer(&shared, &serving, &request));
        let mut tasks = JoinSet::new();
        tasks.spawn(server::serve(listener, None, handler));
        Ok(Ec2Api {
            url,
            account,
            shared: Arc::clone(self.shared()),
            _tasks: tasks,
        })
    }
}

impl Ec2Api {
    /// Where it is: for `AWS_ENDPOINT_URL`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Changes its settings.
    pub fn set(&self, change: impl FnOnce(&mut Ec2Settings)) {
        change(&mut self.account().settings);
    }

    /// How often each action was called, and how many of these calls were throttled.
    pub fn calls(&self) -> BTreeMap<String, (u64, u64)> {
        self.account().calls.clone()
    }

    /// How often each kind of fault has struck, by the name of the kind, and each refusal was given, by its code.
    pub fn struck(&self) -> BTreeMap<&'static str, u64> {
        self.account().struck.clone()
    }

    /// Lets the buckets fill by this clock, ms, rather than by the lab's own.
    pub fn fill_buckets_by(&self, clock: impl Fn() -> u64 + Send + Sync + 'static) {
        self.account().bucket_clock = Some(Arc::new(clock));
    }

    /// The form of every call so far, in order.
    pub fn forms(&self) -> Vec<BTreeMap<String, String>> {
        self.account().forms.clone()
    }

    /// The names of the key pairs.
    pub fn key_pairs(&self) -> Vec<String> {
        self.account().key_pairs.keys().cloned().collect()
    }

    /// The tags of a key pair.
    pub fn key_pair_tags(&self, name: &str) -> BTreeMap<String, String> {
        let account = self.account();
        account
            .key_pairs
            .get(name)
            .map(|pair| pair.tags.clone())
            .unwrap_or_default()
    }

    /// Ends an instance without anybody's call, for this reason: code and message of StateReason.
    pub fn end(&self, instance: &str, code: &str, message: &str) {
        if let Some(made) = self.account().made.get_mut(instance) {
            made.died = Some((code.to_owned(), message.to_owned()));
        }
        let destroy = CloudCall::Destroy(instance.to_owned());
        self.shared.with(|world, now| world.cloud(&destroy, now));
    }

    /// Ends an instance without anybody's call; it is shown to be going, and not why, until `end` tells that.
    pub fn end_in_silence(&self, instance: &str) {
        let destroy = CloudCall::Destroy(instance.to_owned());
        self.shared.with(|world, now| world.cloud(&destroy, now));
    }

    /// Takes a spot instance back, as EC2 does when it needs it.
    pub fn take_back(&self, instance: &str) {
        let code = "Server.SpotInstanceTermination";
        self.end(
            instance,
            code,
            &format!("{code}: Spot instance termination"),
        );
    }

    /// How many creates are still to be carried out whose answer was lost.
    pub fn n_late(&self) -> usize {
        self.account().late.len()
    }

    /// Deletes a key pair, as somebody may who does not know what it is for.
    pub fn delete_key_pair(&self, name: &str) {
        self.account().key_pairs.remove(name);
    }

    /// The volumes that there are: those of instances that are alive, and those that nobody asked to delete with theirs.
    pub fn volumes(&self) -> Vec<Volume> {
        let mut account = self.account();
        self.shared.with(|world, _| account.volumes(world))
    }

    /// How many volumes were ever made.
    pub fn n_volumes_made(&self) -> usize {
        let mut account = self.account();
        self.shared.with(|world, _| account.find_unanswered(world));
        account.made.values().map(|made| made.disks.len()).sum()
    }

    /// In which subnet an instance was made.
    pub fn subnet_of(&self, instance: &str) -> Option<String> {
        self.account().made.get(instance)?.subnet.clone()
    }

    fn account(&self) -> MutexGuard<'_, Account> {
        self.account.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn answer(shared: &Arc<Shared>, account: &Arc<Mutex<Account>>, request: &Request<Bytes>) -> Reply {
    let form = Form::read(request.body());
    let mut account = account.lock().unwrap_or_else(PoisonError::into_inner);
    shared.with(|world, now| account.answer(&form, world, now))
}

#[cfg(test)]
mod tests;
