//! What the checks work with: calls with deadlines, patience, and a memory of what must be destroyed afterwards.

use std::{
    collections::BTreeSet,
    future::Future,
    mem,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use dispatch_cloud::{CloudError, CreateOrder, Instance, InstanceSet, Tags};
use dispatch_model::{CloudErrorClass, InstanceId, InstanceSecret};
use futures_util::future::join_all;
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
    created: Mutex<BTreeSet<InstanceId>>,
    /// Creates of which nobody knows whether they made something.
    n_in_doubt: AtomicUsize,
}

impl<'a> Bench<'a> {
    pub(crate) fn new(set: Arc<dyn InstanceSet>, hooks: &'a dyn Hooks) -> Bench<'a> {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        Bench {
            set,
            hooks,
            mark: format!("conformance-{}-{number}", hooks.run_id()),
            created: Mutex::default(),
            n_in_doubt: AtomicUsize::new(0),
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
        // Until the answer is there, nobody knows; the check may be cut short meanwhile.
        self.n_in_doubt.fetch_add(1, Ordering::Relaxed);
        let result = self.in_time(self.set.create(order)).await;
        let in_doubt = match &result {
            Ok(instance) => {
                self.created().insert(instance.id.clone());
                false
            }
            Err(error) => matches!(
                error.class,
                CloudErrorClass::OutcomeUnknown | CloudErrorClass::Transient
            ),
        };
        if !in_doubt {
            self.n_in_doubt.fetch_sub(1, Ordering::Relaxed);
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

    /// Destroys everything that this check has made, also what it never heard of, until it is gone. Creates whose answer
    /// was lost may show up late, so it looks once more after the first empty list, and for longer if there are such.
    /// Calls that fail are made again; it ends in time, and names what may be left.
    pub(crate) async fn clean_up(&self) -> Outcome {
        let began = Instant::now();
        let n_in_doubt = self.n_in_doubt.load(Ordering::Relaxed);
        let late = match n_in_doubt {
            0 => Duration::ZERO,
            _ => self.hooks.late(),
        };
        let enough = self.hooks.clean_up().max(late);
        let mut ids = mem::take(&mut *self.created());
        let known = ids.clone();
        // One create makes one instance.
        let mut turned_up = BTreeSet::new();
        let mut n_empty = 0;
        loop {
            let mut trouble = Vec::new();
            let limit = || {
                self.hooks
                    .call()
                    .min(enough.saturating_sub(began.elapsed()))
            };
            // One that fails or hangs must not keep the others.
            let ends = ids.iter().map(|id| {
                let call = self.set.destroy(id);
                async move { (id.clone(), within(limit(), call).await) }
            });
            let mut refused = BTreeSet::new();
            for (id, ended) in join_all(ends).await {
                if let Err(error) = ended {
                    trouble.push(format!("destroy {id}: {error}"));
                    refused.insert(id);
                }
            }
            match within(limit(), self.set.list(&self.ours())).await {
                Ok(rows) => {
                    n_empty = if rows.is_empty() { n_empty + 1 } else { 0 };
                    // What is not listed may be too young for lists, unless its end was accepted.
                    ids = refused;
                    ids.extend(rows.into_iter().map(|row| row.id));
                    turned_up.extend(ids.difference(&known).cloned());
                    let waited = turned_up.len() >= n_in_doubt || began.elapsed() >= late;
                    if n_empty >= 2 && ids.is_empty() && waited {
                        return Ok(());
                    }
                }
                Err(error) => trouble.push(format!("list: {error}")),
            }
            if began.elapsed() + self.hooks.look_every() > enough {
                return fail(left(&ids, &trouble));
            }
            tokio::time::sleep(self.hooks.look_every()).await;
        }
    }

    fn created(&self) -> MutexGuard<'_, BTreeSet<InstanceId>> {
        self.created.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn in_time<T>(
        &self,
        call: impl Future<Output = Result<T, CloudError>>,
    ) -> Result<T, CloudError> {
        within(self.hooks.call(), call).await
    }
}

async fn within<T>(
    limit: Duration,
    call: impl Future<Output = Result<T, CloudError>>,
) -> Result<T, CloudError> {
    tokio::time::timeout(limit, call).await.unwrap_or_else(|_| {
        Err(CloudError::new(
            CloudErrorClass::OutcomeUnknown,
            format!("no answer within {} s", limit.as_secs_f64()),
        ))
    })
}

/// What somebody must look after.
fn left(ids: &BTreeSet<InstanceId>, trouble: &[String]) -> String {
    let ids: Vec<&str> = ids.iter().map(InstanceId::as_str).collect();
    match (ids.is_empty(), trouble.is_empty()) {
        (false, true) => format!("left behind: {}", ids.join(", ")),
        (false, false) => {
            let trouble = trouble.join("; ");
            format!("perhaps left behind: {} ({trouble})", ids.join(", "))
        }
        (true, _) => format!(
            "nobody knows whether anything is left behind ({})",
            trouble.join("; ")
        ),
    }
}
