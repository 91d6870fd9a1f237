//! Changing and ending VMs.

use std::{
    sync::{Arc, MutexGuard, PoisonError},
    time::Duration,
};

use dispatch_cloud::{CloudError, Tags};
use dispatch_model::{CloudErrorClass, InstanceId};

use crate::{
    account::Account,
    action::Action,
    body,
    coalesce::{Coalescer, Turn},
    failure::Failure,
    places,
};

/// A fresh VM may not be known everywhere yet: so often is a call about it repeated, with growing pauses.
const FRESH_TRIES: u32 = 4;
const FRESH_PAUSE: Duration = Duration::from_millis(500);

type Changes = Coalescer<Result<(), CloudError>>;

/// A caller who waits for a change of tags; whoever leaves, with an answer or without, gives back what was taken and not
/// sent, and the last one leaves nothing.
struct Caller<'a> {
    account: &'a Account,
    vm: &'a str,
    lock: Arc<tokio::sync::Mutex<()>>,
    taken: Option<Tags>,
}

impl Drop for Caller<'_> {
    fn drop(&mut self) {
        let mut changes = self.account.changes();
        if let Some(tags) = self.taken.take() {
            changes.take_back(self.vm, tags);
        }
        changes.leave(self.vm);
        drop(changes);
        self.account
            .forget_lock(self.vm, std::mem::take(&mut self.lock));
    }
}

impl Account {
    /// Sets these tags, those that Azure keeps for itself excepted. Changes of one VM that come together share a call.
    pub(crate) async fn set_tags(&self, id: &InstanceId, tags: &Tags) -> Result<(), CloudError> {
        self.warn_of_reserved(tags);
        let tags = body::settable(tags);
        self.hide_secret(&tags);
        if tags.is_empty() {
            return Ok(());
        }
        let vm = places::name_in(id.as_str());
        let batch = self.changes().join(vm, &tags);
        let mut caller = Caller {
            account: self,
            vm,
            lock: self.lock_of(vm),
            taken: None,
        };
        let _only = caller.lock.lock().await;
        let turn = self.changes().turn(vm, batch);
        match turn {
            Turn::Told(result) => result,
            Turn::Send(tags, _) if tags.is_empty() => Ok(()),
            Turn::Send(tags, collected) => {
                caller.taken = Some(tags.clone());
                let result = self.merge_tags(vm, &tags).await;
                caller.taken = None;
                self.changes().sent(vm, collected, result.clone());
                result
            }
        }
    }

    /// Tells once of each tag that is not set, since Azure keeps its name for itself.
    pub(crate) fn warn_of_reserved(&self, tags: &Tags) {
        for name in body::reserved(tags) {
            if self.memory().is_news(&format!("reserved tag {name}")) {
                let starts = body::RESERVED.join(", ");
                tracing::warn!(
                    "tag {name:?} is not set: Azure keeps names that begin with {starts} for itself; write another name \
                     in ResourceTags"
                );
            }
        }
    }

    async fn merge_tags(&self, vm: &str, tags: &Tags) -> Result<(), CloudError> {
        let path = format!(
            "{}/providers/Microsoft.Resources/tags/default",
            self.parameters.places.vm(vm)
        );
        let body = body::merge(tags);
        #[cfg(all(test, feature = "cloud-tests"))]
        let body = self.replaced(body);
        let mut pause = FRESH_PAUSE / self.calls.scale;
        for attempt in 1.. {
            let failure = match self.calls.call(Action::MergeTags, &path, Some(&body)).await {
                Ok(_) => return Ok(()),
                Err(failure) => failure,
            };
            let may_come = failure.is_absent() && self.memory().may_be_unknown(vm, self.now());
            if may_come && attempt < FRESH_TRIES {
                tokio::time::sleep(pause).await;
                pause *= 2;
                continue;
            }
            return Err(self
                .calls
                .error(Action::MergeTags, &failure, CloudErrorClass::Transient));
        }
        Ok(())
    }

    /// Ends a VM. That it is not known counts as done, unless it is so fresh that Azure may not know it yet.
    pub(crate) async fn destroy(&self, id: &InstanceId) -> Result<(), CloudError> {
        let vm = places::name_in(id.as_str());
        // From here on no create puts it again.
        self.memory().watch.destroying(vm);
        let mut pause = FRESH_PAUSE / self.calls.scale;
        for attempt in 1.. {
            match self.delete_vm(vm).await {
                Ok(good) if good.answer.status != 204 => {
                    self.memory().deleted(vm, self.now());
                    self.follow_ending(vm, &good.answer);
                    return Ok(());
                }
                Err(failure) if !self.says_gone(&failure) => {
                    return Err(self.calls.error(
                        Action::DeleteVm,
                        &failure,
                        CloudErrorClass::Transient,
                    ));
                }
                // There is none.
                Ok(_) | Err(_) => {}
            }
            #[cfg(all(test, feature = "cloud-tests"))]
            if self.errs(crate::mutants::Mutant::FreshNotFoundIsGone) {
                return Ok(());
            }
            if self.is_settled(vm) {
                return Ok(());
            }
            if attempt >= FRESH_TRIES {
                break;
            }
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
        Err(CloudError::new(
            CloudErrorClass::Transient,
            "delete VM: Azure does not know this fresh VM yet: it is asked again",
        ))
    }

    /// Azure does not know this VM, whose end we have asked for. Whether that counts; if so, nobody need look for it.
    fn is_settled(&self, vm: &str) -> bool {
        let (now, mut memory) = (self.now(), self.memory());
        if memory.may_be_unknown(vm, now) {
            return false;
        }
        memory.watch.missing(vm);
        memory.is_gone(vm);
        true
    }

    fn says_gone(&self, failure: &Failure) -> bool {
        #[cfg(all(test, feature = "cloud-tests"))]
        if self.errs(crate::mutants::Mutant::AnyNotFoundIsGone)
            && matches!(failure, Failure::Said { status: 404, .. })
        {
            return true;
        }
        failure.is_absent()
    }

    /// The secret among these tags is hidden from now on.
    pub(crate) fn hide_secret(&self, tags: &Tags) {
        let key = format!("{}InstanceSecret", self.context.tag_key_prefix);
        if let Some(secret) = tags.get(&key) {
            self.calls.masks.hide(secret);
        }
    }

    pub(crate) fn changes(&self) -> MutexGuard<'_, Changes> {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_of(&self, vm: &str) -> Arc<tokio::sync::Mutex<()>> {
        let mut locks = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(locks.entry(vm.to_owned()).or_default())
    }

    fn forget_lock(&self, vm: &str, lock: Arc<tokio::sync::Mutex<()>>) {
        let mut locks = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        drop(lock);
        // The map's own: nobody waits.
        if (locks.get(vm)).is_some_and(|lock| Arc::strong_count(lock) == 1) {
            locks.remove(vm);
        }
    }
}
