//! The one instance: made, listed, tagged, destroyed.

use std::{
    fs, io,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use dispatch_cloud::{
    CloudError, CreateOrder, DriverContext, Instance, InstanceSet, Tags,
    exec::{ExecError, Executor},
};
use dispatch_model::{CloudErrorClass, InstanceId, InstanceSecret};
use rustix::process::Signal;

use crate::{
    connection::LoopbackExecutor,
    processes,
    slot::{Saved, Slot, State},
    user,
};

/// What gateways of containers are reached at.
const ADDRESS: &str = "127.0.0.1";

/// How long a destroy waits for the processes, so that an idle instance is gone when it is answered.
const END_WITHIN: Duration = Duration::from_secs(2);
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Where things lie.
#[derive(Clone, Debug)]
pub(crate) struct Paths {
    pub(crate) state_directory: PathBuf,
    pub(crate) lock_directory: PathBuf,
}

/// The account: one place.
#[derive(Debug)]
pub(crate) struct LoopbackSet(Arc<Shared>);

/// What the instance set and its connections share.
#[derive(Debug)]
pub(crate) struct Shared {
    slot: Mutex<Slot>,
    /// The marker file that runners leave when the host is broken.
    broken: PathBuf,
    state_path: PathBuf,
    secret_tag: String,
}

impl LoopbackSet {
    pub(crate) fn open(paths: Paths, context: &DriverContext) -> Result<LoopbackSet, CloudError> {
        // Several clusters may share a host (facts L4): each has a place of its own.
        let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
        let set: String = context.instance_set_id.chars().map(plain).collect();
        let directory = &paths.state_directory;
        let state_path = directory.join(format!("loopback-{set}.json"));
        let slot = Slot::open(&state_path).map_err(|error| {
            CloudError::new(
                CloudErrorClass::Refused,
                format!(
                    "cannot keep what is known of the instance in {}: {error}; set DriverParameters.StateDirectory to a \
                     directory that the dispatcher can write to",
                    directory.display()
                ),
            )
        })?;
        Ok(LoopbackSet(Arc::new(Shared {
            slot: Mutex::new(slot),
            broken: paths.lock_directory.join("crunch-run-broken"),
            state_path,
            secret_tag: format!("{}InstanceSecret", context.tag_key_prefix),
        })))
    }
}

impl Shared {
    fn slot(&self) -> MutexGuard<'_, Slot> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The value of the variable that the instance's processes carry, for whoever knows its secret.
    pub(crate) fn mark(&self, secret: Option<&InstanceSecret>) -> Result<String, ExecError> {
        let slot = self.slot();
        let gone = |reason: &str| ExecError::Connect {
            address: ADDRESS.to_owned(),
            reason: reason.to_owned(),
        };
        let Some(instance) = &slot.state().instance else {
            return Err(gone("the instance is gone"));
        };
        if instance.going {
            return Err(gone("the instance is being destroyed"));
        }
        let shown = instance.tags.get(&self.secret_tag).map(String::as_str);
        if secret.is_some_and(|secret| shown != Some(secret.reveal())) {
            return Err(ExecError::Unverified {
                address: ADDRESS.to_owned(),
                reason: "it is another instance by now".to_owned(),
            });
        }
        Ok(self.mark_of(&instance.id))
    }

    /// The file tells clusters and dispatchers on one host apart.
    fn mark_of(&self, id: &str) -> String {
        format!("{id} of {}", self.state_path.display())
    }

    /// Frees the place if the instance was told to go and nothing of it is left.
    async fn free_if_gone(&self) -> Result<(), CloudError> {
        let Some(id) = self.going() else {
            return Ok(());
        };
        if self.is_there(&id).await? {
            return Ok(());
        }
        let mut slot = self.slot();
        // Meanwhile another call may have freed it, and yet another may have taken it.
        let going = slot.state().instance.as_ref().filter(|saved| saved.going);
        if going.is_some_and(|saved| saved.id == id) {
            slot.change(|state| state.instance = None)
                .map_err(not_kept)?;
        }
        Ok(())
    }

    /// The instance that was told to go.
    fn going(&self) -> Option<String> {
        let slot = self.slot();
        let going = slot.state().instance.as_ref().filter(|saved| saved.going);
        going.map(|saved| saved.id.clone())
    }

    /// Whether anything of an instance is left.
    async fn is_there(&self, id: &str) -> Result<bool, CloudError> {
        processes::any(&self.mark_of(id)).await.map_err(not_root)
    }

    /// A marker of an earlier instance must not make the next one broken (facts L1).
    fn remove_broken_marker(&self) -> Result<(), CloudError> {
        match fs::remove_file(&self.broken) {
            Ok(()) => {
                tracing::info!(path = %self.broken.display(), "removed the mark of a broken instance");
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(CloudError::new(
                CloudErrorClass::Refused,
                format!(
                    "{} says that this host is broken and cannot be removed: {error}; repair the host and remove it",
                    self.broken.display()
                ),
            )),
        }
    }
}

#[async_trait]
impl InstanceSet for LoopbackSet {
    async fn create(&self, order: CreateOrder) -> Result<Instance, CloudError> {
        self.0.free_if_gone().await?;
        let mut slot = self.0.slot();
        if let Some(saved) = &slot.state().instance {
            // The same order once more is a repeated call; any other is one too many (facts L2).
            let known = saved.tags.get(&self.0.secret_tag).map(String::as_str);
            return if known == Some(order.secret.reveal()) && !saved.going {
                Ok(described(saved))
            } else {
                Err(CloudError::new(
                    CloudErrorClass::Quota,
                    format!("this host is {} already, and there is only one", saved.id),
                ))
            };
        }
        self.0.remove_broken_marker()?;
        let change = |state: &mut State| {
            state.n_created += 1;
            state.instance = Some(Saved {
                id: format!("loopback-{}", state.n_created),
                provider_type: order.instance_type.provider_type.clone(),
                tags: order.tags.clone(),
                going: false,
            });
        };
        slot.change(change).map_err(not_kept)?;
        slot.state()
            .instance
            .as_ref()
            .map(described)
            .ok_or_else(|| CloudError::new(CloudErrorClass::Transient, "the instance was not kept"))
    }

    async fn list(&self, tags: &Tags) -> Result<Vec<Instance>, CloudError> {
        self.0.free_if_gone().await?;
        let slot = self.0.slot();
        let instance = slot.state().instance.as_ref();
        let carries = |saved: &&Saved| {
            tags.iter()
                .all(|(key, value)| saved.tags.get(key) == Some(value))
        };
        Ok(instance
            .filter(carries)
            .map(described)
            .into_iter()
            .collect())
    }

    async fn set_tags(&self, id: &InstanceId, tags: &Tags) -> Result<(), CloudError> {
        let mut slot = self.0.slot();
        let instance = slot.state().instance.as_ref();
        if instance.is_none_or(|saved| saved.id != id.as_str()) {
            return Err(CloudError::new(
                CloudErrorClass::Refused,
                format!("there is no instance {id}"),
            ));
        }
        let change = |state: &mut State| {
            if let Some(saved) = &mut state.instance {
                saved.tags.extend(tags.clone());
            }
        };
        slot.change(change).map_err(not_kept)
    }

    async fn destroy(&self, id: &InstanceId) -> Result<(), CloudError> {
        let signal = {
            let mut slot = self.0.slot();
            let signal = match &slot.state().instance {
                Some(saved) if saved.id == id.as_str() && saved.going => Signal::KILL,
                Some(saved) if saved.id == id.as_str() => Signal::TERM,
                _ => return Ok(()),
            };
            let change = |state: &mut State| {
                if let Some(saved) = &mut state.instance {
                    saved.going = true;
                }
            };
            slot.change(change).map_err(not_kept)?;
            signal
        };
        let mark = self.0.mark_of(id.as_str());
        processes::signal_all(&mark, signal)
            .await
            .map_err(not_root)?;
        let _ = tokio::time::timeout(END_WITHIN, async {
            while self.0.is_there(id.as_str()).await? {
                tokio::time::sleep(LOOK_EVERY).await;
            }
            Ok::<(), CloudError>(())
        })
        .await;
        self.0.free_if_gone().await
    }

    fn remote_user(&self) -> String {
        user::name()
    }

    fn executor(&self) -> Option<Arc<dyn Executor>> {
        Some(Arc::new(LoopbackExecutor(Arc::clone(&self.0))))
    }
}

fn described(saved: &Saved) -> Instance {
    Instance {
        id: saved.id.as_str().into(),
        address: ADDRESS.to_owned(),
        provider_type: saved.provider_type.clone(),
        tags: saved.tags.clone(),
    }
}

fn not_root(reason: String) -> CloudError {
    CloudError::new(
        CloudErrorClass::Transient,
        format!(
            "cannot look for root's processes of the instance: {reason}; see to `sudo -n true` as {}, or run the \
             dispatcher as root",
            user::name()
        ),
    )
}

fn not_kept(error: io::Error) -> CloudError {
    CloudError::new(
        CloudErrorClass::Transient,
        format!("cannot write what is known of the instance: {error}"),
    )
}
