//! Creating a VM: carries out what `creation` decides, and follows the operation to its end in the background.

use std::time::Duration;

use azure_mgmt_compute::package_2024_07_01::models::VirtualMachine;
use dispatch_cloud::{CloudError, CreateOrder, EndCause, Ended, Instance};
use dispatch_model::{CloudErrorClass, Time};
use serde_json::Value;

use crate::{
    account::{Account, wall},
    action::Action,
    atlas::{self, Fault},
    body,
    calls::Good,
    creation::{Ask, Creation, Heard, Next, Outcome},
    failure::Failure,
    lro::{self, Answer, End, Follow, Step},
    names::Names,
    parameters, places,
};

/// After this an operation is not asked for any more; the list shows what came of it. Azure gives up on a VM whose
/// system does not come up after 40 minutes.
const FOLLOW_FOR: Duration = Duration::from_secs(2700);
/// How long creates wait for an image that takes no more at present (facts W23).
const IMAGE_BUSY: Duration = Duration::from_secs(5);
/// Shorter texts are no secrets, and would be found in any words.
const SECRET_CHARS_MIN: usize = 8;

/// Which call said what.
type Said = (Action, Failure);

/// A create that is under way.
struct Flight<'a> {
    account: &'a Account,
    vm: &'a str,
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        self.account.memory().spared.end(self.vm);
    }
}

impl Account {
    pub(crate) async fn create(&self, order: &CreateOrder) -> Result<Instance, CloudError> {
        let problem = parameters::problem_of_type(&order.instance_type)
            .or_else(|| parameters::problem_of_image(&order.image_id));
        if let Some(problem) = problem {
            return Err(CloudError::new(CloudErrorClass::Refused, problem));
        }
        let names = Names::of(&self.context.instance_set_id, &order.secret);
        self.memory().spared.begin(&names.vm);
        let _flight = Flight {
            account: self,
            vm: &names.vm,
        };
        let mut result = self.create_vm(order, &names).await;
        // Azure may repeat what it was sent.
        let secret = order.secret.reveal();
        if let Err(error) = &mut result
            && secret.len() >= SECRET_CHARS_MIN
        {
            error.message = error.message.replace(secret, "(secret)");
        }
        result
    }

    async fn create_vm(&self, order: &CreateOrder, names: &Names) -> Result<Instance, CloudError> {
        let image = self.parameters.places.image_id(&order.image_id);
        let is_managed = !image.to_ascii_lowercase().contains("/galleries/");
        let vm = names.vm.as_str();
        // Otherwise a network interface would be made for nothing.
        let not_before = self.calls.not_before(Action::PutVm);
        if self.now() < not_before {
            let held = Failure::Held(not_before);
            let if_unknown = CloudErrorClass::OutcomeUnknown;
            return Err(self.calls.error(Action::PutVm, &held, if_unknown));
        }
        let sent_before = {
            let (now, mut memory) = (self.now(), self.memory());
            if is_managed && !memory.image_takes_one(&image) {
                let until = now + IMAGE_BUSY / self.calls.scale;
                return Err(CloudError::new(
                    CloudErrorClass::RateLimited(until),
                    "create VM: not called: a managed image takes 20 creates at a time. Remedy: use a gallery image, \
                     or wait.",
                ));
            }
            memory.watch.creating(vm);
            memory.sending(vm, now)
        };
        let created_at = wall();
        let nic = body::nic(order, &self.parameters, &self.context, created_at);
        let put = body::vm(order, names, &self.parameters, &self.context, created_at);
        let (mut creation, mut next) =
            Creation::<Said>::begin(sent_before, self.calls.scale, self.now());
        let mut accepted = Answer::default();
        let outcome = loop {
            match next {
                Next::Ask(ask, at) => {
                    self.sleep_until(at).await;
                    let heard = self.ask(ask, names, &nic, &put, &mut accepted).await;
                    let destroyed = self.memory().watch.is_destroyed(vm);
                    next = creation.heard(heard, destroyed, self.now());
                }
                Next::Done(outcome) => break outcome,
            }
        };
        match outcome {
            Outcome::Ours => {
                self.memory().made(vm, self.now());
                self.follow(order, vm, &accepted, is_managed.then_some(image));
                Ok(Instance {
                    id: self.id(vm),
                    address: String::new(),
                    provider_type: order.instance_type.provider_type.clone(),
                    tags: order.tags.clone(),
                })
            }
            Outcome::Refused((action, failure)) => {
                self.memory().refused(vm);
                Err(self.refusal(action, &failure, order).await)
            }
            Outcome::Unknown((action, failure)) => {
                let error = self
                    .calls
                    .error(action, &failure, CloudErrorClass::OutcomeUnknown);
                Err(CloudError::new(
                    CloudErrorClass::OutcomeUnknown,
                    error.message,
                ))
            }
            Outcome::Destroyed => Err(CloudError::new(
                CloudErrorClass::Transient,
                "create VM: given up, since its end was asked for meanwhile",
            )),
        }
    }

    async fn ask(
        &self,
        ask: Ask,
        names: &Names,
        nic: &Value,
        put: &VirtualMachine,
        accepted: &mut Answer,
    ) -> Heard<Said> {
        #[cfg(test)]
        if let Some(heard) = self.mutated(ask) {
            return heard;
        }
        let path = self.parameters.places.nic(&names.nic());
        let (action, result) = match ask {
            Ask::PutNic => {
                let put = self.calls.call(Action::PutNic, &path, Some(nic));
                (Action::PutNic, put.await)
            }
            Ask::GetNic => {
                let look = self.calls.call(Action::GetNic, &path, None);
                (Action::GetNic, look.await)
            }
            Ask::DeleteNic => {
                let delete = self.calls.call(Action::DeleteNic, &path, None);
                (Action::DeleteNic, delete.await)
            }
            Ask::PutVm => {
                let put = self.put_vm(&names.vm, put.clone());
                (Action::PutVm, put.await)
            }
            Ask::GetVm => (Action::GetVm, self.get_vm(&names.vm).await),
        };
        match result {
            Ok(good) => {
                let heard = heard_of_good(ask, &good);
                if matches!(ask, Ask::PutVm | Ask::GetVm) {
                    *accepted = good.answer;
                }
                heard
            }
            Err(failure) => {
                if failure.has("NicReservedForAnotherVm") {
                    let (ages, now) = (self.rule.ages, self.now());
                    self.memory().spared.is_reserved(&names.nic(), ages, now);
                }
                heard_of_failure(ask, action, failure)
            }
        }
    }

    /// A refusal as the pool understands it. Where Azure does not say which quota is full, the usages tell.
    async fn refusal(&self, action: Action, failure: &Failure, order: &CreateOrder) -> CloudError {
        let if_unknown = CloudErrorClass::OutcomeUnknown;
        let Failure::Said { status, fault } = failure else {
            return self.calls.error(action, failure, if_unknown);
        };
        let mut verdict = atlas::judge(fault, *status);
        if verdict.quota_is_silent {
            let instance_type = &order.instance_type;
            let size = &instance_type.provider_type;
            if let Some(reach) = self.which_quota(size, instance_type.preemptible).await {
                verdict.reach = reach;
            }
        }
        let until = self.calls.not_before(action);
        let class = atlas::class(&verdict, until);
        let words = atlas::words(action.name(), fault, *status, &verdict);
        let error = CloudError::new(class, words);
        #[cfg(test)]
        let error = self.as_quota(error);
        error
    }

    pub(crate) async fn sleep_until(&self, at: Time) {
        let wait = at.since(self.now());
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
    }

    /// Follows the operation in the background, so that other creates need not wait for it.
    fn follow(&self, order: &CreateOrder, vm: &str, accepted: &Answer, image: Option<String>) {
        let path = self.parameters.places.vm(vm);
        let now = self.now();
        let deadline = now + FOLLOW_FOR / self.calls.scale;
        let (mut follow, mut step) =
            Follow::begin(accepted, &path, self.calls.scale, deadline, now);
        if matches!(step, Step::Ended(End::Succeeded)) || !self.memory().attend(vm) {
            return;
        }
        if let Some(image) = &image {
            self.memory().create_begins(image);
        }
        let (me, vm) = (self.me.clone(), vm.to_owned());
        let (size, spot) = (
            order.instance_type.provider_type.clone(),
            order.instance_type.preemptible,
        );
        self.spawn(async move {
            let end = loop {
                let (url, at) = match step {
                    Step::Poll { url, at } => (url, at),
                    Step::Ended(end) => break end,
                };
                let Some(account) = me.upgrade() else { return };
                let wait = at.since(account.now());
                drop(account);
                tokio::time::sleep(wait).await;
                let Some(account) = me.upgrade() else { return };
                step = account.poll(&mut follow, &path, &url).await;
            };
            let Some(account) = me.upgrade() else { return };
            if let Some(image) = &image {
                account.memory().create_ends(image);
            }
            match end {
                End::Succeeded => {}
                End::TimedOut => {
                    tracing::warn!(%vm, "the operation that creates this VM does not end");
                }
                End::Failed(_) if account.memory().watch.is_destroyed(&vm) => {}
                End::Failed(fault) => account.bury(&vm, &size, spot, &fault).await,
            }
            account.memory().leave(&vm);
        });
    }

    async fn poll(&self, follow: &mut Follow, path: &str, url: &str) -> Step {
        let answer = if url == path {
            self.get_vm(places::name_in(path)).await
        } else {
            self.calls.follow(Action::Operation, url).await
        };
        match answer {
            Ok(good) => follow.answered(&good.answer, self.now()),
            Err(Failure::Said { status, fault }) => {
                let error = serde_json::json!({"error": {"code": fault.code(), "message": fault.message()}});
                let answer = Answer {
                    status,
                    body: error,
                    retry_after: fault.retry_after,
                    ..Answer::default()
                };
                follow.answered(&answer, self.now())
            }
            Err(Failure::Held(_) | Failure::NotSent(_) | Failure::Unknown(_)) => {
                follow.unanswered(self.now())
            }
        }
    }

    /// A VM that never came to be: tells why, and deletes it.
    pub(crate) async fn bury(&self, vm: &str, size: &str, spot: bool, fault: &Fault) {
        let verdict = atlas::judge(fault, 0);
        let words = atlas::words("VM", fault, 0, &verdict);
        let is_news = self.memory().stillborn(vm);
        if is_news {
            tracing::warn!(%vm, provider_type = %size, spot, reason = fault.code(), "a VM was not made: {words}");
            let class = atlas::class(&verdict, self.now());
            let class = (class != CloudErrorClass::Transient).then_some(class);
            let mut memory = self.memory();
            memory.tell(Ended {
                id: self.id(vm),
                provider_type: size.to_owned(),
                preemptible: spot,
                cause: EndCause::NeverBegan,
                code: fault.code().to_owned(),
                message: words,
                class,
            });
        }
        #[cfg(test)]
        if self.errs(crate::mutants::Mutant::KeepsFailed) {
            return;
        }
        self.memory().watch.destroying(vm);
        match self.delete_vm(vm).await {
            Ok(_) => {}
            Err(failure) if failure.is_absent() => {}
            Err(failure) => {
                // The next list shows it again.
                let error =
                    self.calls
                        .error(Action::DeleteVm, &failure, CloudErrorClass::Transient);
                tracing::warn!(%vm, %error, "a VM that was not made cannot be deleted yet");
            }
        }
    }
}

fn heard_of_good(ask: Ask, good: &Good) -> Heard<Said> {
    match ask {
        Ask::PutNic | Ask::GetNic => match lro::state(&good.answer.body) {
            None => Heard::Fine,
            Some(state) if state.eq_ignore_ascii_case("Succeeded") => Heard::Fine,
            // The VM's own refusal will say what is wrong with it.
            Some(state) if state.eq_ignore_ascii_case("Failed") => Heard::Fine,
            Some(_) => Heard::NotReady,
        },
        Ask::PutVm | Ask::GetVm | Ask::DeleteNic => Heard::Fine,
    }
}

fn heard_of_failure(ask: Ask, action: Action, failure: Failure) -> Heard<Said> {
    match &failure {
        Failure::Said { status: 412, .. } => Heard::Exists,
        Failure::Said { .. } if failure.has("PreconditionFailed") => Heard::Exists,
        Failure::Said { status: 404, .. } => Heard::Absent((action, failure)),
        // A look that failed changes nothing about what is not known.
        Failure::Said {
            status: 429 | 500..=599,
            ..
        }
        | Failure::Held(_)
        | Failure::NotSent(_)
            if matches!(ask, Ask::GetVm | Ask::GetNic) =>
        {
            Heard::Unknown((action, failure))
        }
        Failure::Said { .. } | Failure::Held(_) | Failure::NotSent(_) => {
            Heard::Refused((action, failure))
        }
        Failure::Unknown(_) => Heard::Unknown((action, failure)),
    }
}
