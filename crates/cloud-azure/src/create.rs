//! Creating a VM: carries out what `creation` decides. Its operation is followed in the background (`follow`).

use std::{sync::Weak, time::Duration};

use azure_mgmt_compute::package_2024_07_01::models::VirtualMachine;
use dispatch_cloud::{CloudError, CreateOrder, Instance};
use dispatch_model::CloudErrorClass;
use serde_json::Value;

use crate::{
    account::{Account, wall},
    action::Action,
    atlas, body,
    calls::Good,
    creation::{Ask, Creation, Heard, Next, Outcome},
    failure::Failure,
    lro::{self, Answer},
    names::Names,
    parameters,
    rows::{VmRow, VmState},
};

/// How long creates wait for an image that takes no more at present (facts W23).
const IMAGE_BUSY: Duration = Duration::from_secs(5);

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

/// A place among the creates that a managed image takes at a time (facts W23), from before the first call until the VM
/// is made or refused.
pub(crate) struct ImageTurn {
    account: Weak<Account>,
    image: String,
}

impl Drop for ImageTurn {
    fn drop(&mut self) {
        if let Some(account) = self.account.upgrade() {
            account.memory().create_ends(&self.image);
        }
    }
}

impl Account {
    pub(crate) async fn create(&self, order: &CreateOrder) -> Result<Instance, CloudError> {
        let problem = parameters::problem_of_type(&order.instance_type)
            .or_else(|| parameters::problem_of_image(&order.image_id));
        if let Some(problem) = problem {
            return Err(CloudError::new(CloudErrorClass::Refused, problem));
        }
        self.calls.masks.hide(order.secret.reveal());
        self.calls.masks.hide(&body::custom_data(order));
        self.warn_of_reserved(&order.tags);
        let names = Names::of(&self.context.instance_set_id, &order.secret);
        self.memory().spared.begin(&names.vm);
        let _flight = Flight {
            account: self,
            vm: &names.vm,
        };
        self.create_vm(order, &names).await
    }

    async fn create_vm(&self, order: &CreateOrder, names: &Names) -> Result<Instance, CloudError> {
        let vm = names.vm.as_str();
        // Otherwise a network interface would be made for nothing.
        let not_before = self.calls.not_before(Action::PutVm);
        if self.now() < not_before {
            let held = Failure::Held(not_before);
            let if_unknown = CloudErrorClass::OutcomeUnknown;
            return Err(self.calls.error(Action::PutVm, &held, if_unknown));
        }
        let turn = self.image_turn(&order.image_id)?;
        let sent_before = {
            let (now, mut memory) = (self.now(), self.memory());
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
                    let destroyed = self.memory().watch.is_destroyed(vm);
                    if let Some(outcome) = creation.asks(destroyed) {
                        break outcome;
                    }
                    let heard = self.ask(ask, names, &nic, &put, &mut accepted).await;
                    let destroyed = self.memory().watch.is_destroyed(vm);
                    next = creation.heard(heard, destroyed, self.now());
                }
                Next::Done(outcome) => break outcome,
            }
        };
        match outcome {
            Outcome::Ours => {
                {
                    let (now, mut memory) = (self.now(), self.memory());
                    memory.made(vm, now);
                    memory.made_row(VmRow {
                        name: vm.to_owned(),
                        tags: order.tags.clone(),
                        size: order.instance_type.provider_type.clone(),
                        spot: order.instance_type.preemptible,
                        state: VmState::Coming,
                        nic: Some(names.nic().to_ascii_lowercase()),
                    });
                }
                self.follow_making(order, vm, &accepted, turn);
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
                self.memory().left_behind(&names.nic());
                let error = self
                    .calls
                    .error(action, &failure, CloudErrorClass::OutcomeUnknown);
                Err(CloudError::new(
                    CloudErrorClass::OutcomeUnknown,
                    error.message,
                ))
            }
            Outcome::Destroyed { put } => {
                self.memory().left_behind(&names.nic());
                if put {
                    // The end that was asked for may have come before the PUT.
                    self.end_again(vm).await;
                }
                Err(CloudError::new(
                    CloudErrorClass::Transient,
                    "create VM: given up, since its end was asked for meanwhile",
                ))
            }
        }
    }

    /// A place among the creates from this image; `None`: it takes any number.
    fn image_turn(&self, image_id: &str) -> Result<Option<ImageTurn>, CloudError> {
        let image = self.parameters.places.image_id(image_id);
        if image.to_ascii_lowercase().contains("/galleries/") {
            return Ok(None);
        }
        if !self.memory().create_begins(&image) {
            let until = self.now() + IMAGE_BUSY / self.calls.scale;
            return Err(CloudError::new(
                CloudErrorClass::RateLimited(until),
                "create VM: not called: a managed image takes 20 creates at a time. Remedy: use a gallery image, or \
                 wait.",
            ));
        }
        Ok(Some(ImageTurn {
            account: self.me.clone(),
            image,
        }))
    }

    async fn ask(
        &self,
        ask: Ask,
        names: &Names,
        nic: &Value,
        put: &VirtualMachine,
        accepted: &mut Answer,
    ) -> Heard<Said> {
        #[cfg(all(test, feature = "cloud-tests"))]
        if let Some(heard) = self.mutated(ask) {
            return heard;
        }
        let path = self.parameters.places.nic(&names.nic());
        let (action, result) = match ask {
            Ask::PutNic => {
                let put = self.calls.call(Action::PutNic, &path, Some(nic));
                (Action::PutNic, put.await)
            }
            Ask::GetNic | Ask::WatchNic => {
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
                let nic = names.nic();
                if failure.has("NicReservedForAnotherVm") {
                    let (ages, now) = (self.rule.ages, self.now());
                    self.memory().spared.is_reserved(&nic, ages, now);
                }
                if ask == Ask::DeleteNic && !failure.is_absent() {
                    self.memory().left_behind(&nic);
                }
                #[cfg(all(test, feature = "cloud-tests"))]
                if let Some(heard) = self.misheard(ask, action, &failure) {
                    return heard;
                }
                heard_of_failure(ask, action, failure)
            }
        }
    }

    /// A refusal as the pool understands it.
    async fn refusal(&self, action: Action, failure: &Failure, order: &CreateOrder) -> CloudError {
        // That it was not done is certain by now.
        let if_unknown = CloudErrorClass::Transient;
        let Failure::Said { status, fault } = failure else {
            return self.calls.error(action, failure, if_unknown);
        };
        let instance_type = &order.instance_type;
        let (size, spot) = (&instance_type.provider_type, instance_type.preemptible);
        let mut verdict = self.judge(fault, *status, size, spot).await;
        if order.image_id != self.context.image_id {
            atlas::of_special_image(&mut verdict);
        }
        let until = self.calls.not_before(action);
        let class = atlas::class(&verdict, until);
        let words = atlas::words(action.name(), fault, *status, &verdict);
        let error = CloudError::new(class, words);
        #[cfg(all(test, feature = "cloud-tests"))]
        let error = self.as_quota(error);
        error
    }

    pub(crate) async fn sleep_until(&self, at: dispatch_model::Time) {
        let wait = at.since(self.now());
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
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
            Some(_) => Heard::NotReady(good.answer.retry_after),
        },
        Ask::PutVm | Ask::GetVm | Ask::DeleteNic | Ask::WatchNic => Heard::Fine,
    }
}

fn heard_of_failure(ask: Ask, action: Action, failure: Failure) -> Heard<Said> {
    let is_look = matches!(ask, Ask::GetVm | Ask::GetNic | Ask::WatchNic);
    match &failure {
        Failure::Said { status: 412, .. } => Heard::Exists,
        Failure::Said { .. } if failure.has("PreconditionFailed") => Heard::Exists,
        _ if failure.is_absent() => Heard::Absent((action, failure)),
        Failure::Unknown(_) => Heard::Unknown((action, failure)),
        // A look that failed changes nothing about what is not known.
        Failure::Said { status: 429, .. }
        | Failure::NoToken { .. }
        | Failure::Held(_)
        | Failure::NotSent(_)
            if is_look =>
        {
            Heard::Unknown((action, failure))
        }
        _ if failure.is_settled() => Heard::Refused((action, failure)),
        _ => Heard::Doubtful((action, failure)),
    }
}
