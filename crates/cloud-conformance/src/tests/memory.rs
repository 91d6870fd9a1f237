//! A cloud in memory that keeps to the contract, or breaks it in one way.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard},
};

use async_trait::async_trait;
use dispatch_cloud::{CloudError, CreateOrder, Instance, Tags};
use dispatch_model::{
    CapacityScope, CloudErrorClass, Gpu, InstanceId, InstanceSecret, InstanceType, Time,
};

use super::*;

/// One way to break the contract.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Defect {
    ListsNothing,
    NeverHasAnAddress,
    DestroyDoesNothing,
    SecondDestroyFails,
    DropsTheSecretTag,
    ReplacesTags,
    IgnoresTheFilter,
    TaggingCreates,
    ForgetsConcurrentCreates,
    MakesTwoOfOneOrder,
    CallsEverythingTransient,
    TellsTheSecret,
    MakesAnInstanceAndRefuses,
    HangsOnList,
    HangsOnCreate,
    FailsEveryThirdCall,
    KeepsTheFirstOfSeveral,
}

#[derive(Debug, Default)]
pub(super) struct Memory {
    defect: Option<Defect>,
    limit: Option<usize>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    instances: BTreeMap<InstanceId, Instance>,
    by_secret: BTreeMap<InstanceSecret, InstanceId>,
    fault: Option<Fault>,
    n_created: usize,
    n_calls: usize,
    creating: bool,
}

impl Memory {
    pub(super) fn new(defect: Option<Defect>, limit: Option<usize>) -> Memory {
        Memory {
            defect,
            limit,
            ..Memory::default()
        }
    }

    fn has(&self, defect: Defect) -> bool {
        self.defect == Some(defect)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panic")
    }

    pub(super) fn alive(&self) -> Vec<InstanceId> {
        self.state().instances.keys().cloned().collect()
    }

    fn stumble(&self) -> Result<(), CloudError> {
        let mut state = self.state();
        state.n_calls += 1;
        if self.has(Defect::FailsEveryThirdCall) && state.n_calls.is_multiple_of(3) {
            return Err(CloudError::new(CloudErrorClass::Transient, "not now"));
        }
        Ok(())
    }

    fn refusal(&self, fault: Fault, secret: &InstanceSecret) -> CloudError {
        let class = match fault {
            _ if self.has(Defect::CallsEverythingTransient) => CloudErrorClass::Transient,
            Fault::Quota => CloudErrorClass::Quota,
            Fault::CapacityOfType => CloudErrorClass::Capacity(CapacityScope::Type),
            Fault::CapacityOfGroup => {
                CloudErrorClass::Capacity(CapacityScope::QuotaGroup("g".to_owned()))
            }
            Fault::RateLimit => CloudErrorClass::RateLimited(Time::from_secs(1)),
            Fault::Refusal => CloudErrorClass::Refused,
            Fault::Passing => CloudErrorClass::Transient,
            Fault::LostAnswer => CloudErrorClass::OutcomeUnknown,
        };
        let words = if self.has(Defect::TellsTheSecret) {
            secret.reveal()
        } else {
            "refused"
        };
        CloudError::new(class, words)
    }

    fn make(&self, order: &CreateOrder) -> Instance {
        let mut state = self.state();
        let known = state.by_secret.get(&order.secret).cloned();
        if let Some(id) = known.filter(|_| !self.has(Defect::MakesTwoOfOneOrder)) {
            return state.instances[&id].clone();
        }
        let id = InstanceId::from(format!("m-{}", state.n_created));
        state.n_created += 1;
        let mut tags = order.tags.clone();
        if self.has(Defect::DropsTheSecretTag) {
            tags.remove("ArvadosInstanceSecret");
        }
        let made = Instance {
            id: id.clone(),
            address: String::new(),
            provider_type: order.instance_type.provider_type.clone(),
            tags,
        };
        let forgets = self.has(Defect::ForgetsConcurrentCreates) && state.creating;
        if !forgets {
            state.instances.insert(id.clone(), made.clone());
            state.by_secret.insert(order.secret.clone(), id);
        }
        made
    }
}

#[async_trait]
impl InstanceSet for Memory {
    async fn create(&self, order: CreateOrder) -> Result<Instance, CloudError> {
        let fault = self.state().fault.take();
        if let Some(fault) = fault {
            if fault == Fault::LostAnswer || self.has(Defect::MakesAnInstanceAndRefuses) {
                self.make(&order);
            }
            return Err(self.refusal(fault, &order.secret));
        }
        let n_instances = self.state().instances.len();
        let known = self.state().by_secret.contains_key(&order.secret);
        if self
            .limit
            .is_some_and(|limit| n_instances >= limit && !known)
        {
            return Err(self.refusal(Fault::Quota, &order.secret));
        }
        let made = self.make(&order);
        if self.has(Defect::HangsOnCreate) {
            std::future::pending::<()>().await;
        }
        self.state().creating = true;
        tokio::task::yield_now().await;
        self.state().creating = false;
        Ok(made)
    }

    async fn list(&self, tags: &Tags) -> Result<Vec<Instance>, CloudError> {
        if self.has(Defect::HangsOnList) {
            std::future::pending::<()>().await;
        }
        self.stumble()?;
        let mut rows: Vec<Instance> = self.state().instances.values().cloned().collect();
        if self.has(Defect::ListsNothing) {
            rows.clear();
        }
        if !self.has(Defect::IgnoresTheFilter) {
            rows.retain(|row| {
                tags.iter()
                    .all(|(key, value)| row.tags.get(key) == Some(value))
            });
        }
        if !self.has(Defect::NeverHasAnAddress) {
            for row in &mut rows {
                row.address = "127.0.0.2:22".to_owned();
            }
        }
        Ok(rows)
    }

    async fn set_tags(&self, id: &InstanceId, tags: &Tags) -> Result<(), CloudError> {
        let mut state = self.state();
        if self.has(Defect::TaggingCreates) {
            let back = Instance {
                id: id.clone(),
                address: String::new(),
                provider_type: String::new(),
                tags: Tags::new(),
            };
            state.instances.entry(id.clone()).or_insert(back);
        }
        let Some(instance) = state.instances.get_mut(id) else {
            return Err(CloudError::new(
                CloudErrorClass::Refused,
                "no such instance",
            ));
        };
        if self.has(Defect::ReplacesTags) {
            instance.tags.retain(|key, _| key == "ArvadosInstanceSetID");
        }
        instance.tags.extend(tags.clone());
        Ok(())
    }

    async fn destroy(&self, id: &InstanceId) -> Result<(), CloudError> {
        if self.has(Defect::DestroyDoesNothing) {
            return Ok(());
        }
        self.stumble()?;
        if self.has(Defect::KeepsTheFirstOfSeveral) && id.as_str() == "m-8" {
            std::future::pending::<()>().await;
        }
        let gone = self.state().instances.remove(id);
        if gone.is_none() && self.has(Defect::SecondDestroyFails) {
            return Err(CloudError::new(
                CloudErrorClass::Refused,
                "no such instance",
            ));
        }
        Ok(())
    }

    fn remote_user(&self) -> String {
        "crunch".to_owned()
    }
}

#[async_trait]
impl Hooks for Memory {
    fn run_id(&self) -> String {
        "memory".to_owned()
    }

    fn order(&self, tags: Tags, secret: InstanceSecret) -> CreateOrder {
        CreateOrder {
            instance_type: InstanceType {
                name: "small".into(),
                provider_type: "memory.1".to_owned(),
                image: None,
                vcpus: 1,
                ram_bytes: 1 << 30,
                included_scratch_bytes: 0,
                added_scratch_bytes: 0,
                price: 0.1,
                preemptible: false,
                gpu: Gpu::default(),
            },
            image_id: String::new(),
            tags,
            init_script: String::new(),
            secret,
        }
    }

    fn unknown_id(&self) -> InstanceId {
        "m-none".into()
    }

    fn instances_max(&self) -> Option<usize> {
        self.limit
    }

    fn knows_repeated_creates(&self) -> Result<(), String> {
        Ok(())
    }

    async fn arrange(&self, fault: Fault) -> Result<(), String> {
        self.state().fault = Some(fault);
        Ok(())
    }

    fn patience(&self) -> Duration {
        Duration::from_secs(10)
    }

    fn call(&self) -> Duration {
        Duration::from_secs(4)
    }

    fn look_every(&self) -> Duration {
        Duration::from_millis(100)
    }
}
