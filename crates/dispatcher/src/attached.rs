//! One worker's connection, and what hangs on it: its exit watch, and the secrets that programs there may print.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, OnceLock},
};

use dispatch_brain::Input;
use dispatch_cloud::exec::{Connection, Executor, Target};
use dispatch_model::{ContainerId, InstanceId, InstanceSecret, Time, WorkerId};
use tokio::sync::mpsc;

use crate::{as_user::AsUser, exit_watch::ExitWatch, masking::Onlooker};

/// So many containers of an instance, past ones included, have their secrets hidden in what programs there print.
const ONLOOKED_MAX: usize = 500;

/// The connection to one worker's instance. Dropping it closes the connection and ends the watch.
pub(crate) struct Attached {
    pub(crate) connection: Arc<dyn Connection>,
    pub(crate) instance: InstanceId,
    pub(crate) address: String,
    pub(crate) first_connected: Arc<OnceLock<Time>>,
    pub(crate) onlooker: Onlooker,
    /// What to say there.
    pub(crate) lines: Arc<AsUser>,
    watch: Option<ExitWatch>,
}

impl Drop for Attached {
    fn drop(&mut self) {
        self.connection.close();
    }
}

impl Attached {
    /// To an instance at this address; connects when it is first used.
    fn new(
        executor: &dyn Executor,
        instance: InstanceId,
        address: String,
        secret: Option<InstanceSecret>,
        lines: Arc<AsUser>,
    ) -> Attached {
        let connection = executor.connection(Target {
            address: address.clone(),
            secret: secret.clone(),
        });
        Attached {
            connection,
            instance,
            address,
            first_connected: Arc::default(),
            onlooker: Onlooker {
                instance: secret,
                containers: BTreeSet::new(),
            },
            lines,
            watch: None,
        }
    }

    /// Keeps a connection for this worker, to this address from the next connect on.
    pub(crate) fn attach(
        all: &mut BTreeMap<WorkerId, Attached>,
        executor: &dyn Executor,
        worker: WorkerId,
        instance: InstanceId,
        address: String,
        secret: Option<InstanceSecret>,
        lines: Arc<AsUser>,
    ) {
        match all.get_mut(&worker) {
            // A connection keeps the secret that it was made with. One without any has told nobody anything yet, since
            // there was nothing to know the host by: nothing is lost with it.
            Some(attached) if attached.onlooker.instance.is_some() || secret.is_none() => {
                attached.moved(address, secret, lines);
            }
            Some(_) | None => {
                let new = Attached::new(executor, instance, address, secret, lines);
                all.insert(worker, new);
            }
        }
    }

    /// The instance has another address now, or its runners' user has become known.
    fn moved(&mut self, address: String, secret: Option<InstanceSecret>, lines: Arc<AsUser>) {
        if lines.watch != self.lines.watch {
            // One that is open was begun as the wrong user.
            self.watch = None;
        }
        self.lines = lines;
        self.connection.set_address(&address);
        self.address = address;
        self.onlooker.instance = secret.or(self.onlooker.instance.take());
    }

    /// Watches these runners, and no others, for their end.
    pub(crate) fn watch(
        &mut self,
        worker: WorkerId,
        containers: BTreeSet<ContainerId>,
        inputs: &mpsc::Sender<Input>,
    ) {
        let onlooked = &mut self.onlooker.containers;
        onlooked.extend(containers.iter().cloned());
        if onlooked.len() > ONLOOKED_MAX {
            onlooked.clone_from(&containers);
        }
        let told = (self.watch.as_ref()).is_some_and(|watch| watch.set(containers.clone()));
        if told || containers.is_empty() {
            return;
        }
        self.watch = Some(ExitWatch::start(
            worker,
            containers,
            Arc::clone(&self.connection),
            Arc::clone(&self.lines.watch),
            inputs.clone(),
        ));
    }
}

#[cfg(test)]
mod tests;
