//! Calls to the cloud, with the driver's classes of refusals and the wrapper's rate limit.

use std::{collections::BTreeMap, rc::Rc, sync::Arc, time::Duration};

use dispatch_brain::Input;
use dispatch_lab::{
    When,
    cloud::{Class, CloudAnswer, CloudCall, CloudRefusal, InstanceText, Order},
};
use dispatch_model::{
    CapacityScope, CloudErrorClass, InstanceId, InstanceSecret, InstanceType, WorkerId,
};
use dispatch_runner::init_script;
use dispatch_worker::{CallId, Event, Failure, ListedInstance};

use super::{
    gate::{CloudGate, Urgency},
    wires::Wires,
};

/// The driver and what is around it.
pub(super) struct Cloud {
    pub(super) wires: Wires,
    pub(super) gate: CloudGate,
    /// The tags that mark an instance as ours.
    pub(super) ours: BTreeMap<String, String>,
    pub(super) secret_tag: String,
    pub(super) resource_tags: BTreeMap<String, String>,
}

/// An answer that did not come, or was a refusal.
enum Failed {
    Refused(CloudRefusal),
    Lost(&'static str),
    /// The rate limit left no room for it.
    NotSent,
}

impl Cloud {
    pub(super) async fn list(self: Rc<Self>, call: CallId, within: Duration) {
        let list = CloudCall::List(self.ours.clone());
        let result = match self.call(Urgency::List, "cloud list", list, within).await {
            Ok(CloudAnswer::Listed(rows)) => Ok(rows
                .into_iter()
                // The wrapper filters again, whatever the driver makes of the tags (facts A11).
                .filter(|row| {
                    self.ours
                        .iter()
                        .all(|(key, value)| row.tags.get(key) == Some(value))
                })
                .map(listed)
                .collect()),
            Ok(_) => Ok(Vec::new()),
            Err(failed) => Err(self.failure(failed, CloudErrorClass::Transient)),
        };
        self.wires
            .answer(Input::Pool(Event::Listed { call, result }));
    }

    pub(super) async fn create(
        self: Rc<Self>,
        call: CallId,
        worker: WorkerId,
        instance_type: Arc<InstanceType>,
        mut tags: BTreeMap<String, String>,
        secret: InstanceSecret,
        within: Duration,
    ) {
        tags.insert(self.secret_tag.clone(), secret.reveal().to_owned());
        for (key, value) in &self.resource_tags {
            tags.entry(key.clone()).or_insert_with(|| value.clone());
        }
        let order = CloudCall::Create(Order {
            provider_type: instance_type.provider_type.clone(),
            preemptible: instance_type.preemptible,
            max_price: instance_type.preemptible.then_some(instance_type.price),
            added_scratch_bytes: instance_type.added_scratch_bytes,
            tags,
            init_script: init_script(&secret, ""),
            ..Order::default()
        });
        let result = match self
            .call(Urgency::Create, "cloud create", order, within)
            .await
        {
            Ok(CloudAnswer::Created(row)) => Ok(listed(row)),
            Ok(_) => Err(self.failure(Failed::Lost("odd answer"), CloudErrorClass::OutcomeUnknown)),
            Err(failed) => Err(self.failure(failed, CloudErrorClass::OutcomeUnknown)),
        };
        self.wires.answer(Input::Pool(Event::Created {
            call,
            worker,
            result,
        }));
    }

    pub(super) async fn destroy(
        self: Rc<Self>,
        call: CallId,
        worker: WorkerId,
        instance: InstanceId,
        within: Duration,
    ) {
        let destroy = CloudCall::Destroy(instance.to_string());
        let result = match self
            .call(Urgency::Destroy, "cloud destroy", destroy, within)
            .await
        {
            Ok(_) => Ok(()),
            // The contract: it succeeds if the instance is gone already.
            Err(Failed::Refused(refusal)) if refusal.class == Class::NotFound => Ok(()),
            Err(failed) => Err(self.failure(failed, CloudErrorClass::Transient)),
        };
        self.wires.answer(Input::Pool(Event::Destroyed {
            call,
            worker,
            result,
        }));
    }

    pub(super) async fn set_tags(
        self: Rc<Self>,
        call: CallId,
        worker: WorkerId,
        instance: InstanceId,
        tags: BTreeMap<String, String>,
        within: Duration,
    ) {
        let set_tags = CloudCall::SetTags(instance.to_string(), tags);
        let result = match self
            .call(Urgency::SetTags, "cloud tags", set_tags, within)
            .await
        {
            Ok(_) => Ok(()),
            Err(failed) => Err(self.failure(failed, CloudErrorClass::Transient)),
        };
        self.wires.answer(Input::Pool(Event::Tagged {
            call,
            worker,
            result,
        }));
    }

    /// Waiting for the rate limit takes half of the time at most.
    async fn call(
        &self,
        urgency: Urgency,
        kind: &'static str,
        call: CloudCall,
        within: Duration,
    ) -> Result<CloudAnswer, Failed> {
        let began = self.wires.time();
        let turn = self.gate.turn(urgency);
        if self.wires.within(within / 2, turn).await.is_none() {
            return Err(Failed::NotSent);
        }
        let left = within.saturating_sub(self.wires.time().since(began));
        let send = async {
            let reply = self
                .wires
                .reach_world(kind, |world, now| world.cloud(&call, now))
                .await;
            match reply.when {
                When::Never => std::future::pending().await,
                When::Cut(ms) => {
                    self.wires.sleep(ms).await;
                    Err(Failed::Lost("the connection broke"))
                }
                When::After(ms) => {
                    self.wires.sleep(ms).await;
                    match reply.answer {
                        CloudAnswer::Refused(refusal) => Err(Failed::Refused(refusal)),
                        answer => Ok(answer),
                    }
                }
            }
        };
        let answer = self.wires.within(left, send).await;
        answer.unwrap_or(Err(Failed::Lost("no answer in time")))
    }

    fn failure(&self, failed: Failed, if_lost: CloudErrorClass) -> Failure {
        let refusal = match failed {
            Failed::NotSent => {
                return Failure {
                    class: CloudErrorClass::Transient,
                    message: "no turn in time".to_owned(),
                };
            }
            Failed::Lost(message) => {
                return Failure {
                    class: if_lost,
                    message: message.to_owned(),
                };
            }
            Failed::Refused(refusal) => refusal,
        };
        let class = match refusal.class {
            Class::Quota => CloudErrorClass::Quota,
            Class::Capacity => CloudErrorClass::Capacity(match refusal.group {
                Some(group) => CapacityScope::QuotaGroup(group),
                None => CapacityScope::Type,
            }),
            Class::RateLimited => {
                let wait = Duration::from_millis(refusal.retry_after_ms.unwrap_or(1000));
                CloudErrorClass::RateLimited(self.wires.time() + wait)
            }
            Class::Refused | Class::NotFound => CloudErrorClass::Refused,
            Class::Transient => CloudErrorClass::Transient,
        };
        Failure {
            class,
            message: refusal.message,
        }
    }
}

fn listed(row: InstanceText) -> ListedInstance {
    ListedInstance {
        id: row.id.into(),
        address: row.address,
        provider_type: row.provider_type,
        tags: row.tags,
    }
}
