//! The cloud as the world shows it: the account, with limits, latency and faults around it.

use super::{Event, Happening, World};
use crate::{
    cloud::{CloudAnswer, CloudCall, CloudRefusal, Instance, Order, quota_group},
    faults::Fault,
    luck::Luck,
    time::{Now, Span, When},
    vm::{Ailment, Phase, Vm},
};

/// How late a late order arrives, ms.
const LATE_ORDER_MS: Span = Span::between(2000, 6000);
/// For how long a fresh instance is missing in lists where that is a fault, ms.
const OMITTED_MS: Span = Span::between(500, 4000);
/// For how long a gone instance is listed where that is a fault, ms.
const LINGERS_MS: Span = Span::between(1000, 4000);
/// What a rate-limit fault asks for, ms.
const RATE_PAUSE_MS: Span = Span::between(200, 1500);
/// How slow a slow handshake is, ms.
const SLOW_HANDSHAKE_MS: Span = Span::between(500, 2000);
/// How much longer a slow answer of the cloud takes, ms.
const SLOW_MS: Span = Span::between(1000, 4000);

/// How many instances there must be before a quota is a fault: a dispatcher takes their number for the quota for a
/// while, and lives with it.
const QUOTA_FAULT_FROM: usize = 6;
/// How long after a start of the dispatcher a list may hang: without its first list it knows of nothing, and does
/// nothing for as long as it waits.
const LIST_HANGS_FROM_MS: u64 = 1500;

/// An answer of the cloud, and when it arrives.
#[derive(Clone, Debug)]
pub struct CloudReply {
    /// What it says. It is there even if it never arrives, for those who look from above.
    pub answer: CloudAnswer,
    /// When it arrives.
    pub when: When,
}

impl World {
    /// One call to the cloud.
    pub fn cloud(&mut self, call: &CloudCall, now: Now) -> CloudReply {
        self.advance(now);
        self.judge_idle(now);
        if self.settings.cloud.next_hangs > 0 {
            self.settings.cloud.next_hangs -= 1;
            return CloudReply {
                answer: CloudAnswer::Done,
                when: When::Never,
            };
        }
        let mut reply = match call {
            CloudCall::Create(order) => self.create(order, now),
            CloudCall::List(tags) => self.list(tags, now),
            CloudCall::SetTags(id, tags) => self.set_tags(id, tags, now),
            CloudCall::Destroy(id) => self.destroy(id, now),
        };
        if let When::After(latency) = &mut reply.when
            && self.faults.strikes(Fault::CloudSlow)
        {
            *latency += SLOW_MS.draw(&mut self.luck);
        }
        self.note_told(&reply, now);
        reply
    }

    fn create(&mut self, order: &Order, now: Now) -> CloudReply {
        let latency = self.settings.cloud.create_latency_ms.draw(&mut self.luck);
        let reply = |answer, when| CloudReply { answer, when };
        if let Err(refusal) = self.may_create(order, now) {
            return reply(CloudAnswer::Refused(refusal), When::After(latency));
        }
        if self.faults.strikes(Fault::CreateLate) {
            let after = LATE_ORDER_MS.draw(&mut self.luck);
            self.later(after, Happening::LateOrder(order.clone()), now);
            return reply(CloudAnswer::Done, When::Never);
        }
        let lost = self.luck.chance(self.settings.cloud.lost_create_rate)
            || self.faults.strikes(Fault::CreateAnswerLost);
        let Some(instance) = self.make(order, now) else {
            let refusal = CloudRefusal::refused(format!(
                "there is no instance type {:?}",
                order.provider_type
            ));
            return reply(CloudAnswer::Refused(refusal), When::After(latency));
        };
        let arrival = Now {
            ms: now.ms + latency,
            ..now
        };
        let when = if lost {
            When::Cut(latency)
        } else {
            When::After(latency)
        };
        reply(CloudAnswer::Created(instance.described(arrival)), when)
    }

    fn may_create(&mut self, order: &Order, now: Now) -> Result<(), CloudRefusal> {
        let knobs = &self.settings.cloud;
        if let Some(message) = &knobs.refuse_creates {
            return Err(CloudRefusal::refused(message));
        }
        if let Some(wait) = self
            .cloud
            .too_fast(false, knobs.min_ms_between_creates, now)
        {
            return Err(CloudRefusal::rate_limited(wait));
        }
        if self.faults.strikes(Fault::CreateRateLimited) {
            return Err(CloudRefusal::rate_limited(
                RATE_PAUSE_MS.draw(&mut self.luck),
            ));
        }
        if order
            .client_token
            .as_ref()
            .is_some_and(|token| self.cloud.by_token(token).is_some())
        {
            return Ok(());
        }
        if !knobs.images.is_empty() && !knobs.images.contains(&order.image_id) {
            return Err(CloudRefusal::refused(format!(
                "there is no image {:?}",
                order.image_id
            )));
        }
        let group = quota_group(&order.provider_type, order.preemptible);
        let (of_type, of_group) = self.cloud.in_use(&order.provider_type, &group);
        let alive = self.cloud.count();
        let type_full = knobs.never_capacity.contains(&order.provider_type)
            || knobs
                .capacity
                .get(&order.provider_type)
                .is_some_and(|most| of_type >= *most);
        let group_full = knobs
            .group_capacity
            .get(&group)
            .is_some_and(|most| of_group >= *most);
        let account_full = knobs.quota_max_instances.is_some_and(|most| alive >= most);
        if self.runs_short(
            Fault::CreateTypeCapacity,
            type_full,
            Some(&order.provider_type),
        ) {
            return Err(CloudRefusal::type_capacity(&order.provider_type));
        }
        if self.runs_short(Fault::CreateGroupCapacity, group_full, Some(&group)) {
            return Err(CloudRefusal::group_capacity(group));
        }
        if self.runs_short(Fault::CreateQuota, account_full, None)
            || alive >= QUOTA_FAULT_FROM && self.faults.strikes(Fault::CreateQuota)
        {
            return Err(CloudRefusal::quota());
        }
        let error_rate = self.settings.cloud.error_rate_create;
        if self.luck.chance(error_rate) || self.faults.strikes(Fault::CreateError) {
            return Err(CloudRefusal::transient("create"));
        }
        Ok(())
    }

    /// Whether there is no more of something: because a knob says so, or by a fault, which meets each kind of thing
    /// once at most, so that the same containers do not wait for minutes.
    fn runs_short(&mut self, fault: Fault, by_knob: bool, of: Option<&str>) -> bool {
        if by_knob {
            self.faults.count_one(fault);
            return true;
        }
        let Some(of) = of else {
            return false;
        };
        if self.sold_out.contains(of) || !self.faults.strikes(fault) {
            return false;
        }
        self.sold_out.insert(of.to_owned());
        true
    }

    /// Makes an instance and its machine, unless there is no such type.
    fn make(&mut self, order: &Order, now: Now) -> Option<Instance> {
        if let Some(known) = order
            .client_token
            .as_ref()
            .and_then(|token| self.cloud.by_token(token))
        {
            return Some(known.clone());
        }
        let instance_type = self
            .settings
            .instance_type(&order.provider_type, order.preemptible)?
            .clone();
        let address_after = self.settings.cloud.address_ms.draw(&mut self.luck);
        let mut missing_for = self.settings.cloud.fresh_missing_ms.draw(&mut self.luck);
        if self.faults.strikes(Fault::ListOmitsFresh) {
            missing_for += OMITTED_MS.draw(&mut self.luck);
        }
        let instance = self.cloud.make(
            order,
            instance_type.clone(),
            address_after,
            missing_for,
            now,
        );
        self.judge.instance_created();
        let vm_luck = Luck::new(self.seed, &instance.id);
        let (id, address) = (instance.id.clone(), instance.address.clone());
        let mut vm = Vm::new(
            &id,
            &address,
            instance_type,
            order.init_script.clone(),
            order.public_key.clone(),
            vm_luck,
        );
        vm.ailment = self.ailment(&order.provider_type, now);
        let boots = vm.ailment != Ailment::NeverBoots;
        self.by_address.insert(address, id.clone());
        self.vms.insert(id.clone(), vm);
        if boots {
            let boot_ms = self
                .settings
                .vm
                .boot_ms
                .draw(&mut self.luck)
                .max(address_after);
            self.later(boot_ms, Happening::Boot(id), now);
        }
        Some(instance)
    }

    /// What is wrong with a new machine. At most one thing.
    fn ailment(&mut self, provider_type: &str, now: Now) -> Ailment {
        let knobs = &self.settings.vm;
        let still_dead = self
            .dead_types
            .get(provider_type)
            .is_some_and(|until| now.ms < *until);
        if still_dead || knobs.dead_types.contains(provider_type) {
            return Ailment::NeverBoots;
        }
        if knobs.silent_types.contains(provider_type) {
            return Ailment::SilentBoot;
        }
        if self.faults.strikes(Fault::TypeDoesNotBoot) {
            self.dead_types
                .insert(provider_type.into(), now.ms + self.settings.dead_type_ms);
            return Ailment::NeverBoots;
        }
        let slow = SLOW_HANDSHAKE_MS.draw(&mut self.luck);
        let ailments = [
            (Fault::NeverBoots, Ailment::NeverBoots),
            (Fault::SilentBoot, Ailment::SilentBoot),
            (Fault::BootProbeFails, Ailment::BootProbeFails),
            (Fault::WrongSecret, Ailment::WrongSecret),
            (Fault::RunnerMissing, Ailment::RunnerMissing),
            (Fault::SlowHandshake, Ailment::SlowHandshake(slow)),
        ];
        let struck = ailments
            .into_iter()
            .find(|(fault, _)| self.faults.strikes(*fault));
        struck.map_or(Ailment::None, |(_, ailment)| ailment)
    }

    pub(super) fn late_order(&mut self, order: &Order, now: Now) {
        self.make(order, now);
    }

    fn list(&mut self, tags: &std::collections::BTreeMap<String, String>, now: Now) -> CloudReply {
        let latency = self.settings.cloud.list_latency_ms.draw(&mut self.luck);
        let refused = |refusal| CloudReply {
            answer: CloudAnswer::Refused(refusal),
            when: When::After(latency),
        };
        if let Some(wait) = self
            .cloud
            .too_fast(true, self.settings.cloud.min_ms_between_lists, now)
        {
            return refused(CloudRefusal::rate_limited(wait));
        }
        if self.faults.strikes(Fault::ListRateLimited) {
            return refused(CloudRefusal::rate_limited(
                RATE_PAUSE_MS.draw(&mut self.luck),
            ));
        }
        let begun = now.ms >= self.dispatcher_from_ms + LIST_HANGS_FROM_MS;
        if begun && self.faults.strikes(Fault::ListHangs) {
            return CloudReply {
                answer: CloudAnswer::Done,
                when: When::Never,
            };
        }
        if self.luck.chance(self.settings.cloud.error_rate_list)
            || self.faults.strikes(Fault::ListError)
        {
            return refused(CloudRefusal::transient("list"));
        }
        CloudReply {
            answer: CloudAnswer::Listed(self.cloud.list(tags, now)),
            when: When::After(latency),
        }
    }

    fn set_tags(
        &mut self,
        id: &str,
        tags: &std::collections::BTreeMap<String, String>,
        now: Now,
    ) -> CloudReply {
        let latency = self.settings.cloud.tags_latency_ms.draw(&mut self.luck);
        let stale_for = self.settings.cloud.tags_stale_ms;
        let answer = if self.luck.chance(self.settings.cloud.error_rate_tags)
            || self.faults.strikes(Fault::TagsError)
        {
            CloudAnswer::Refused(CloudRefusal::transient("set tags"))
        } else {
            match self.cloud.set_tags(id, tags, stale_for, now) {
                Ok(()) => {
                    self.note_tags(id, tags, now);
                    CloudAnswer::Done
                }
                Err(refusal) => CloudAnswer::Refused(refusal),
            }
        };
        CloudReply {
            answer,
            when: When::After(latency),
        }
    }

    fn destroy(&mut self, id: &str, now: Now) -> CloudReply {
        let latency = self.settings.cloud.destroy_latency_ms.draw(&mut self.luck);
        let reply = |answer| CloudReply {
            answer,
            when: When::After(latency),
        };
        let Some(instance) = self.cloud.alive(id) else {
            return reply(CloudAnswer::Refused(CloudRefusal::not_found(id)));
        };
        let held = instance
            .tags
            .iter()
            .any(|(key, value)| key.ends_with("IdleBehavior") && value == "hold");
        let ours = !instance.bystander;
        self.destroy_asked(id);
        if self.faults.strikes(Fault::DestroyHangs) {
            return CloudReply {
                answer: CloudAnswer::Done,
                when: When::Never,
            };
        }
        if self.luck.chance(self.settings.cloud.error_rate_destroy)
            || self.faults.strikes(Fault::DestroyError)
        {
            return reply(CloudAnswer::Refused(CloudRefusal::transient("destroy")));
        }
        let live = self.live_containers(id, now);
        self.judge.destroy_called(id, held, ours, &live);
        self.end_instance(id, now);
        reply(CloudAnswer::Done)
    }

    /// The containers that run on an instance and would be lost with it.
    fn live_containers(&self, id: &str, now: Now) -> Vec<String> {
        let Some(vm) = self.vms.get(id) else {
            return Vec::new();
        };
        let given_up = vm.may_be_given_up(self.settings.timeout_probe_ms, now);
        vm.runners()
            .values()
            .filter(|runner| {
                runner.phase == Phase::Running
                    && !runner.terminating
                    && !runner.fate.ignores_term
                    && !given_up
            })
            .map(|runner| runner.uuid.clone())
            .collect()
    }

    /// The instance is gone, by whatever hand.
    pub(super) fn end_instance(&mut self, id: &str, now: Now) {
        let mut listed_for = self.settings.cloud.gone_listed_ms.draw(&mut self.luck);
        if self.faults.strikes(Fault::ListShowsGone) {
            listed_for += LINGERS_MS.draw(&mut self.luck);
        }
        let price = self
            .cloud
            .alive(id)
            .map(|i| i.instance_type.price * (now.ms - i.created_ms) as f64 / 3_600_000.0);
        if !self.cloud.end(id, listed_for, now) {
            return;
        }
        self.judge.instance_gone(price.unwrap_or(0.0));
        self.end_duty(id);
        let Some(vm) = self.vms.remove(id) else {
            return;
        };
        self.by_address.remove(&vm.address);
        for runner in vm.runners().values() {
            self.judge.runner_ended(&runner.uuid, id, runner.pid);
        }
        self.watches.retain(|_, watch| watch.instance != id);
        self.tell(Event::Gone {
            instance: id.into(),
            address: vm.address.clone(),
        });
    }

    /// Instances of somebody else, which nobody may touch (invariant 4).
    pub(super) fn make_bystanders(&mut self) {
        let Some(instance_type) = self.settings.instance_types.first().cloned() else {
            return;
        };
        for n in 0..self.settings.cloud.bystanders {
            let order = Order {
                provider_type: instance_type.provider_type.clone(),
                tags: [("Name".to_owned(), format!("somebody-else-{n}"))].into(),
                ..Order::default()
            };
            let made = self
                .cloud
                .make(&order, instance_type.clone(), 0, 0, Now::at(0));
            if let Some(instance) = self.cloud.instance_mut(&made.id) {
                instance.bystander = true;
            }
        }
    }
}
