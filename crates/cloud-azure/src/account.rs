//! One subscription in one region: what makes calls, what is remembered between them, and what goes on in the
//! background.

use std::{
    collections::BTreeMap,
    future::Future,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use dispatch_cloud::{CloudError, DriverContext, Tags};
use dispatch_model::{InstanceId, Time};
use tokio::task::JoinSet;

use crate::{
    action::Action,
    atlas::{self, Fault, Reach, Verdict},
    calls::Calls,
    coalesce::Coalescer,
    failure::Failure,
    garbage::{Ages, Rule},
    memory::Memory,
    names,
    parameters::Parameters,
    quota::{self, Sizes, Usages},
};

/// The families of sizes change with new sizes alone; without permission it is not asked for all the time.
const SIZES_GOOD: std::time::Duration = std::time::Duration::from_secs(24 * 3600);
const SIZES_AGAIN: std::time::Duration = std::time::Duration::from_secs(600);

/// The account.
pub(crate) struct Account {
    /// For what goes on in the background, which must not keep it alive.
    pub(crate) me: Weak<Account>,
    pub(crate) calls: Arc<Calls>,
    pub(crate) parameters: Parameters,
    pub(crate) context: DriverContext,
    pub(crate) rule: Rule,
    /// Changes of tags, which share calls; one call about a VM at a time.
    pub(crate) changes: Mutex<Coalescer<Result<(), CloudError>>>,
    pub(crate) changing: Mutex<BTreeMap<String, Arc<tokio::sync::Mutex<()>>>>,
    memory: Mutex<Memory>,
    tasks: Mutex<JoinSet<()>>,
    /// `None` inside: they could not be read. Held while they are read, so that they are read once.
    sizes: tokio::sync::Mutex<Option<(Option<Arc<Sizes>>, Time)>>,
    #[cfg(all(test, feature = "cloud-tests"))]
    pub(crate) mutant: Option<crate::mutants::Mutant>,
}

impl Account {
    pub(crate) fn new(
        calls: Calls,
        parameters: Parameters,
        context: DriverContext,
        ages: Ages,
        #[cfg(all(test, feature = "cloud-tests"))] mutant: Option<crate::mutants::Mutant>,
    ) -> Arc<Account> {
        let rule = Rule {
            prefix: names::prefix(&context.instance_set_id),
            owner: (
                format!("{}InstanceSetID", context.tag_key_prefix),
                context.instance_set_id.clone(),
            ),
            dangling_after: parameters.dangling_after,
            ages,
        };
        #[cfg(all(test, feature = "cloud-tests"))]
        let calls = {
            let mut calls = calls;
            calls.mutant = mutant;
            calls
        };
        Arc::new_cyclic(|me| Account {
            me: me.clone(),
            calls: Arc::new(calls),
            parameters,
            context,
            rule,
            changes: Mutex::default(),
            changing: Mutex::default(),
            memory: Mutex::default(),
            tasks: Mutex::default(),
            sizes: tokio::sync::Mutex::default(),
            #[cfg(all(test, feature = "cloud-tests"))]
            mutant,
        })
    }

    pub(crate) fn now(&self) -> Time {
        self.calls.now()
    }

    pub(crate) fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The cloud's name for a VM of ours.
    pub(crate) fn id(&self, vm: &str) -> InstanceId {
        InstanceId::new(self.parameters.places.vm(vm))
    }

    /// Lets something go on in the background; it ends with the account.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        while tasks.try_join_next().is_some() {}
        tasks.spawn(task);
    }

    /// What a refusal, or a failure, of a VM of this size means. Where Azure does not say which quota is full, the usages
    /// tell. `status`: of HTTP, 0 for what failed later.
    pub(crate) async fn judge(
        &self,
        fault: &Fault,
        status: u16,
        size: &str,
        spot: bool,
    ) -> Verdict {
        let mut verdict = atlas::judge(fault, status);
        if verdict.quota_is_silent
            && let Some(reach) = self.which_quota(size, spot).await
        {
            verdict.reach = reach;
        }
        verdict
    }

    /// Which quota keeps another VM of this size from being made, where Azure did not say.
    async fn which_quota(&self, size: &str, spot: bool) -> Option<Reach> {
        let mut usages = Usages::default();
        match self.list_usages().await {
            Ok(found) => usages.add(found.rows),
            Err(failure) => self.cannot_read("the quotas", Action::Usages, &failure),
        }
        let sizes = self.sizes().await.unwrap_or_default();
        quota::full(&sizes, &usages, size, spot)
    }

    /// Learns the families of sizes in the background, before any refusal names one; asks Azure rarely.
    pub(crate) fn learn_sizes(&self) {
        // Whoever has it reads them already.
        let is_due = match self.sizes.try_lock() {
            Ok(known) => known.as_ref().is_none_or(|(_, until)| self.now() >= *until),
            Err(_) => false,
        };
        if !is_due {
            return;
        }
        let me = self.me.clone();
        self.spawn(async move {
            if let Some(account) = me.upgrade() {
                account.sizes().await;
            }
        });
    }

    async fn sizes(&self) -> Option<Arc<Sizes>> {
        let mut known = self.sizes.lock().await;
        if let Some((sizes, until)) = &*known
            && self.now() < *until
        {
            return sizes.clone();
        }
        let (sizes, lasts) = match self.list_sizes().await {
            Ok(found) => {
                let mut sizes = Sizes::default();
                sizes.add(found.rows);
                self.memory().learn_groups(sizes.families());
                (Some(Arc::new(sizes)), SIZES_GOOD)
            }
            Err(failure) => {
                self.cannot_read("the families of sizes", Action::Sizes, &failure);
                (None, SIZES_AGAIN)
            }
        };
        *known = Some((sizes.clone(), self.now() + lasts));
        sizes
    }

    fn cannot_read(&self, what: &str, action: Action, failure: &Failure) {
        let error = self
            .calls
            .error(action, failure, dispatch_model::CloudErrorClass::Transient);
        tracing::warn!(%error, "{what} cannot be read: a full quota holds the size alone");
    }

    /// Whether a VM of these tags is one of ours. One that has lost the tag that says whose it is, is known by its name.
    pub(crate) fn is_ours(&self, name: &str, tags: &Tags) -> bool {
        let (key, value) = &self.rule.owner;
        self.rule.names_vm(name) || tags.get(key) == Some(value)
    }
}

/// The host's wall clock, for the dates that tags carry.
#[expect(
    clippy::disallowed_methods,
    reason = "what is created is dated for whoever comes after us"
)]
pub(crate) fn wall() -> jiff::Timestamp {
    jiff::Timestamp::now()
}
