//! What the checks work with: calls with deadlines, patience, and a memory of what must be destroyed afterwards.

use std::{
    future::Future,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use dispatch_cloud::{CloudError, CreateOrder, Instance, InstanceSet, Tags};
use dispatch_model::{InstanceId, InstanceSecret};
use tokio::time::Instant;

use crate::{
    Hooks,
    report::{Outcome, Shortfall, fail},
};

/// Numbers every instance of a process, so that no two checks share a secret.
static NUMBER: AtomicU64 = AtomicU64::new(0);

/// One check's view of the cloud.
pub(crate) struct Bench<'a> {
    set: Arc<dyn InstanceSet>,
    pub(crate) hooks: &'a dyn Hooks,
    /// Marks the instances of this check.
    mark: String,
    created: Mutex<Vec<InstanceId>>,
}

impl<'a> Bench<'a> {
    pub(crate) fn new(set: Arc<dyn InstanceSet>, hooks: &'a dyn Hooks) -> Bench<'a> {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        Bench {
            set,
            hooks,
            mark: format!("conformance-{}-{number}", hooks.run_id()),
            created: Mutex::default(),
        }
    }

    pub(crate) fn key(&self, name: &str) -> String {
        format!("{}{name}", self.hooks.tag_key_prefix())
    }

    /// The tags that mark this check's instances.
    pub(crate) fn ours(&self) -> Tags {
        [(self.key("InstanceSetID"), self.mark.clone())].into()
    }

    /// A secret that nobody else has.
    pub(crate) fn fresh_secret(&self) -> InstanceSecret {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        InstanceSecret::new(format!("{}-secret-{number}", self.hooks.run_id()))
    }

    /// An order as the dispatcher makes it.
    pub(crate) fn order(&self, secret: &InstanceSecret) -> CreateOrder {
        let mut tags = self.ours();
        tags.insert(self.key("InstanceSecret"), secret.reveal().to_owned());
        tags.insert(self.key("IdleBehavior"), "run".to_owned());
        tags.insert("conformance".to_owned(), "a b:c/d".to_owned());
        self.hooks.order(tags, secret.clone())
    }

    /// Creates an instance that must come into being.
    pub(crate) async fn create(&self) -> Result<Instance, Shortfall> {
        let order = self.order(&self.fresh_secret());
        self.create_from(order)
            .await
            .map_err(|error| Shortfall::Failed(format!("create: {error}")))
    }

    /// Sends an order, and remembers what comes of it.
    pub(crate) async fn create_from(&self, order: CreateOrder) -> Result<Instance, CloudError> {
        let result = self.in_time(self.set.create(order)).await;
        if let Ok(instance) = &result {
            self.remember(&instance.id);
        }
        result
    }

    pub(crate) async fn list(&self, tags: &Tags) -> Result<Vec<Instance>, Shortfall> {
        self.in_time(self.set.list(tags))
            .await
            .map_err(|error| Shortfall::Failed(format!("list: {error}")))
    }

    pub(crate) async fn set_tags(&self, id: &InstanceId, tags: &Tags) -> Result<(), CloudError> {
        self.in_time(self.set.set_tags(id, tags)).await
    }

    pub(crate) async fn destroy(&self, id: &InstanceId) -> Outcome {
        self.in_time(self.set.destroy(id))
            .await
            .map_err(|error| Shortfall::Failed(format!("destroy {id}: {error}")))
    }

    pub(crate) fn remote_user(&self) -> String {
        self.set.remote_user()
    }

    pub(crate) fn has_executor(&self) -> bool {
        self.set.executor().is_some()
    }

    /// Looks at the list of our instances until it is as wanted.
    pub(crate) async fn until(
        &self,
        what: &str,
        is_so: impl Fn(&[Instance]) -> bool,
    ) -> Result<Vec<Instance>, Shortfall> {
        let began = Instant::now();
        loop {
            let seen = self.list(&self.ours()).await?;
            if is_so(&seen) {
                return Ok(seen);
            }
            if began.elapsed() >= self.hooks.patience() {
                let ids: Vec<&InstanceId> = seen.iter().map(|row| &row.id).collect();
                return fail(format!("in vain: {what}; the last list has {ids:?}"));
            }
            tokio::time::sleep(self.hooks.look_every()).await;
        }
    }

    /// Waits for one instance to be listed as wanted.
    pub(crate) async fn until_listed(
        &self,
        id: &InstanceId,
        what: &str,
        is_so: impl Fn(&Instance) -> bool,
    ) -> Result<Instance, Shortfall> {
        let seen = self
            .until(&format!("{id} is listed {what}"), |rows| {
                rows.iter().any(|row| row.id == *id && is_so(row))
            })
            .await?;
        match seen.into_iter().find(|row| row.id == *id) {
            Some(row) => Ok(row),
            None => fail(format!("{id} is not listed")),
        }
    }

    pub(crate) async fn until_gone(&self, id: &InstanceId) -> Outcome {
        self.until(&format!("{id} is gone"), |rows| {
            rows.iter().all(|row| row.id != *id)
        })
        .await
        .map(|_| ())
    }

    /// Destroys everything that this check has made, also what it never heard of, and waits until it is gone. Creates
    /// whose answer was lost may show up late, so it looks once more after the first empty list.
    pub(crate) async fn clean_up(&self) -> Outcome {
        let began = Instant::now();
        let mut n_empty = 0;
        loop {
            let mut ids =
                std::mem::take(&mut *self.created.lock().unwrap_or_else(PoisonError::into_inner));
            let listed = self.list(&self.ours()).await?;
            n_empty = if listed.is_empty() { n_empty + 1 } else { 0 };
            ids.extend(listed.into_iter().map(|row| row.id));
            for id in &ids {
                self.destroy(id).await?;
            }
            if n_empty == 2 {
                return Ok(());
            }
            if began.elapsed() >= self.hooks.patience() {
                return fail(format!("left behind: {ids:?}"));
            }
            tokio::time::sleep(self.hooks.look_every()).await;
        }
    }

    fn remember(&self, id: &InstanceId) {
        let mut created = self.created.lock().unwrap_or_else(PoisonError::into_inner);
        created.push(id.clone());
    }

    async fn in_time<T>(
        &self,
        call: impl Future<Output = Result<T, CloudError>>,
    ) -> Result<T, CloudError> {
        let patience = self.hooks.patience();
        tokio::time::timeout(patience, call)
            .await
            .unwrap_or_else(|_| {
                Err(CloudError::new(
                    dispatch_model::CloudErrorClass::OutcomeUnknown,
                    format!("no answer within {} s", patience.as_secs_f64()),
                ))
            })
    }
}
