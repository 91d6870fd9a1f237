//! Following in the background what Azure has accepted, so that nobody need wait for it: making a VM, and ending one.

use std::{sync::Weak, time::Duration};

use dispatch_cloud::CreateOrder;
use dispatch_model::CloudErrorClass;

use crate::{
    account::Account,
    action::Action,
    atlas,
    create::ImageTurn,
    failure::Failure,
    lro::{Aim, Answer, End, Follow, No, Step},
    places,
};

/// After this an operation is not asked for any more; the list shows what came of it. Azure gives up on a VM whose
/// system does not come up after 40 minutes.
const FOLLOW_FOR: Duration = Duration::from_secs(2700);

impl Account {
    /// Follows the making of a VM. `turn` is kept until it is over.
    pub(crate) fn follow_making(
        &self,
        order: &CreateOrder,
        vm: &str,
        accepted: &Answer,
        turn: Option<ImageTurn>,
    ) {
        let Some((follow, step)) = self.begin_following(Aim::Making, vm, accepted) else {
            return;
        };
        let (me, vm) = (self.me.clone(), vm.to_owned());
        let (size, spot) = (
            order.instance_type.provider_type.clone(),
            order.instance_type.preemptible,
        );
        self.spawn(async move {
            let end = followed(&me, follow, step).await;
            drop(turn);
            let Some(account) = me.upgrade() else { return };
            match end {
                None | Some(End::Succeeded) => {}
                Some(End::TimedOut) => {
                    tracing::warn!(%vm, "the operation that creates this VM does not end");
                }
                Some(End::Failed(_) | End::Gone) if account.memory().watch.is_destroyed(&vm) => {}
                Some(End::Failed(fault)) => {
                    account
                        .see_why_it_failed(&vm, &size, spot, Some(fault))
                        .await;
                }
                Some(End::Gone) => account.never_came(&vm, &size, spot).await,
            }
            account.memory().leave(&key(Aim::Making, &vm));
        });
    }

    /// Follows the end of a VM: if it fails, that is told, and the list shows the VM again.
    pub(crate) fn follow_ending(&self, vm: &str, accepted: &Answer) {
        let Some((follow, step)) = self.begin_following(Aim::Ending, vm, accepted) else {
            return;
        };
        let (me, vm) = (self.me.clone(), vm.to_owned());
        self.spawn(async move {
            let end = followed(&me, follow, step).await;
            let Some(account) = me.upgrade() else { return };
            match end {
                None | Some(End::Succeeded | End::Gone) => {}
                Some(End::TimedOut) => {
                    account.memory().end_failed(&vm);
                    tracing::warn!(%vm, "the operation that deletes this VM does not end: it is listed again");
                }
                Some(End::Failed(fault)) => {
                    account.memory().end_failed(&vm);
                    let verdict = atlas::judge(&fault, 0);
                    let words = atlas::words(Action::DeleteVm.name(), &fault, 0, &verdict);
                    tracing::warn!(%vm, "a VM was not deleted, and is listed again: {words}");
                }
            }
            account.memory().leave(&key(Aim::Ending, &vm));
        });
    }

    /// `None`: it is over already, or somebody follows it.
    fn begin_following(&self, aim: Aim, vm: &str, accepted: &Answer) -> Option<(Follow, Step)> {
        let path = self.parameters.places.vm(vm);
        let (scale, now) = (self.calls.scale, self.now());
        let (follow, step) = Follow::begin(aim, accepted, &path, scale, FOLLOW_FOR, now);
        let is_over = matches!(step, Step::Ended(End::Succeeded));
        (!is_over && self.memory().attend(&key(aim, vm))).then_some((follow, step))
    }

    /// Whether the making of this VM is followed.
    pub(crate) fn is_followed(&self, vm: &str) -> bool {
        self.memory().is_seen_to(&key(Aim::Making, vm))
    }

    async fn poll(&self, follow: &mut Follow, url: &str) -> Step {
        let of_resource = follow.asks_resource();
        let answer = if of_resource {
            self.get_vm(places::name_in(url)).await
        } else {
            self.calls.follow(Action::Operation, url).await
        };
        let failure = match answer {
            Ok(good) => return follow.answered(&good.answer, self.now()),
            Err(failure) => failure,
        };
        let wait = match &failure {
            Failure::Said { fault, .. } => fault.retry_after,
            _ => None,
        };
        let no = match &failure {
            Failure::Said {
                status: 408 | 429 | 500..=599,
                ..
            }
            | Failure::NoToken { .. }
            | Failure::Held(_)
            | Failure::Unknown(_) => No::Passing,
            _ if failure.is_absent() => No::Absent,
            // A URL on a foreign host is not asked; it will not be another time either.
            Failure::NotSent(_) if !of_resource => No::Refused,
            Failure::NotSent(_) => No::Passing,
            Failure::Said { .. } => No::Refused,
        };
        #[cfg(all(test, feature = "cloud-tests"))]
        if self.errs(crate::mutants::Mutant::RefusedLookIsFailure)
            && let (No::Refused, Failure::Said { fault, .. }) = (no, &failure)
        {
            return Step::Ended(End::Failed(fault.clone()));
        }
        if no == No::Refused && self.memory().is_news("operations cannot be read") {
            let error = self
                .calls
                .error(Action::Operation, &failure, CloudErrorClass::Transient);
            tracing::warn!(%error, "operations cannot be read: their VMs are looked at instead");
        }
        follow.unanswered(no, wait, self.now())
    }
}

/// Who attends to a VM. To follow it is not to look into it: while Azure takes its 40 minutes for a system that does not
/// report, containers may run on it.
fn key(aim: Aim, vm: &str) -> String {
    match aim {
        Aim::Making => format!("the making of {vm}"),
        Aim::Ending => format!("the end of {vm}"),
    }
}

/// Waits and asks until it is over; `None`: the account is gone.
async fn followed(me: &Weak<Account>, mut follow: Follow, mut step: Step) -> Option<End> {
    loop {
        let (url, at) = match step {
            Step::Poll { url, at } => (url, at),
            Step::Ended(end) => return Some(end),
        };
        let wait = at.since(me.upgrade()?.now());
        tokio::time::sleep(wait).await;
        step = me.upgrade()?.poll(&mut follow, &url).await;
    }
}
