//! What every driver gets around it: the rate limit, the default tags, the filter of lists, deadlines, and somebody
//! who counts the calls.

use std::{collections::BTreeMap, fmt, future::Future, sync::Arc, time::Duration};

use async_trait::async_trait;
use dispatch_model::{CloudErrorClass, InstanceId, InstanceType, PricePoint};
use tokio::time::Instant;

use crate::{
    CloudError, CreateOrder, Ended, Instance, InstanceSet, Tags,
    exec::Executor,
    limiter::{Limiter, Urgency},
};

/// One kind of call.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Operation {
    /// Order an instance.
    Create,
    /// List our instances.
    List,
    /// Destroy one.
    Destroy,
    /// Set tags of one.
    SetTags,
}

impl Operation {
    /// All kinds.
    pub const ALL: [Operation; 4] = [
        Operation::Create,
        Operation::List,
        Operation::Destroy,
        Operation::SetTags,
    ];

    /// The name in the metric `driver_operations` (facts §4).
    pub const fn name(self) -> &'static str {
        match self {
            Operation::Create => "Create",
            Operation::List => "List",
            Operation::Destroy => "Destroy",
            Operation::SetTags => "SetTags",
        }
    }

    /// How a call that took too long is to be seen: a create may have made an instance, everything else may be
    /// repeated.
    const fn class_if_late(self) -> CloudErrorClass {
        match self {
            Operation::Create => CloudErrorClass::OutcomeUnknown,
            Operation::List | Operation::Destroy | Operation::SetTags => CloudErrorClass::Transient,
        }
    }

    const fn urgency(self) -> Urgency {
        match self {
            Operation::Create => Urgency::Create,
            Operation::List => Urgency::List,
            Operation::Destroy => Urgency::Destroy,
            Operation::SetTags => Urgency::SetTags,
        }
    }
}

/// Somebody who counts the calls (facts W26). Told once for each call that was sent, when it is over; calls whose
/// future was dropped meanwhile are not told of.
pub trait Observer: Send + Sync {
    /// The call took so long, the wait for the rate limit not included.
    fn called(&self, operation: Operation, error: Option<&CloudError>, took: Duration);
}

impl<F: Fn(Operation, Option<&CloudError>, Duration) + Send + Sync> Observer for F {
    fn called(&self, operation: Operation, error: Option<&CloudError>, took: Duration) {
        self(operation, error, took);
    }
}

/// How to wrap.
#[derive(Clone)]
pub struct WrapSettings {
    /// `MaxCloudOpsPerSecond`; `None` or 0: no limit.
    pub ops_per_second: Option<u32>,
    /// `ResourceTags`: set at creation, unless the order has a tag of that name (facts §2.3).
    pub resource_tags: Tags,
    /// Who counts.
    pub observer: Arc<dyn Observer>,
}

impl fmt::Debug for WrapSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WrapSettings")
            .field("ops_per_second", &self.ops_per_second)
            .field("resource_tags", &self.resource_tags)
            .finish_non_exhaustive()
    }
}

/// How long a call may take if the caller does not say. Azure answers a create after minutes.
const CREATE_WITHIN: Duration = Duration::from_secs(600);
const OTHERS_WITHIN: Duration = Duration::from_secs(120);

/// A driver with everything around it.
///
/// Its own methods take the time after which there is an answer. Waiting for the rate limit takes half of it at most: a
/// call that has had no turn by then leaves the queue and is not sent. So nothing waits there that its caller has given
/// up, and a caller who repeats his call never has two of them in the queue. As an [`InstanceSet`] it gives each call a
/// generous time.
pub struct Wrapped {
    set: Arc<dyn InstanceSet>,
    limiter: Limiter,
    resource_tags: Tags,
    observer: Arc<dyn Observer>,
}

impl Wrapped {
    /// Wraps a driver's instance set.
    pub fn new(set: Arc<dyn InstanceSet>, settings: WrapSettings) -> Wrapped {
        Wrapped {
            set,
            limiter: Limiter::new(settings.ops_per_second),
            resource_tags: settings.resource_tags,
            observer: settings.observer,
        }
    }

    /// Orders one instance, with `ResourceTags` beneath the order's own tags. Out of time: `OutcomeUnknown`.
    pub async fn create_within(
        &self,
        mut order: CreateOrder,
        within: Duration,
    ) -> Result<Instance, CloudError> {
        for (key, value) in &self.resource_tags {
            let tag = order.tags.entry(key.clone());
            tag.or_insert_with(|| value.clone());
        }
        self.call(Operation::Create, within, self.set.create(order))
            .await
    }

    /// Lists the instances that carry these tags, whatever the driver makes of them: Azure, for one, returns
    /// everything (facts A11). One row for each instance, in order of id.
    pub async fn list_within(
        &self,
        tags: &Tags,
        within: Duration,
    ) -> Result<Vec<Instance>, CloudError> {
        let rows = self
            .call(Operation::List, within, self.set.list(tags))
            .await?;
        let ours: BTreeMap<InstanceId, Instance> = rows
            .into_iter()
            .filter(|row| {
                tags.iter()
                    .all(|(key, value)| row.tags.get(key) == Some(value))
            })
            .map(|row| (row.id.clone(), row))
            .collect();
        Ok(ours.into_values().collect())
    }

    /// Sets these tags and leaves all others as they are. With no tags nothing is sent.
    pub async fn set_tags_within(
        &self,
        id: &InstanceId,
        tags: &Tags,
        within: Duration,
    ) -> Result<(), CloudError> {
        if tags.is_empty() {
            return Ok(());
        }
        self.call(Operation::SetTags, within, self.set.set_tags(id, tags))
            .await
    }

    /// Destroys one instance; succeeds if it is already gone.
    pub async fn destroy_within(
        &self,
        id: &InstanceId,
        within: Duration,
    ) -> Result<(), CloudError> {
        self.call(Operation::Destroy, within, self.set.destroy(id))
            .await
    }

    /// What these instances have cost since when. Not one of the operations that are counted, and most of the time no
    /// call at all, so it takes no turn.
    pub async fn prices_within(
        &self,
        instances: &[(InstanceId, Arc<InstanceType>)],
        within: Duration,
    ) -> Result<BTreeMap<InstanceId, Vec<PricePoint>>, CloudError> {
        tokio::time::timeout(within, self.set.prices(instances))
            .await
            .unwrap_or_else(|_| {
                Err(CloudError::new(
                    CloudErrorClass::Transient,
                    format!("the cloud told no prices within {} ms", within.as_millis()),
                ))
            })
    }

    /// Deletes what creates of this process have left behind, and names what cannot be deleted yet. It takes no turn.
    pub async fn leftovers_within(&self, within: Duration) -> Result<Vec<String>, CloudError> {
        tokio::time::timeout(within, self.set.leftovers())
            .await
            .unwrap_or_else(|_| {
                Err(CloudError::new(
                    CloudErrorClass::Transient,
                    format!(
                        "what was left behind was not deleted within {} ms",
                        within.as_millis()
                    ),
                ))
            })
    }

    /// The driver's futures do nothing before they are polled, so waiting for the turn first delays the call itself.
    async fn call<T>(
        &self,
        operation: Operation,
        within: Duration,
        call: impl Future<Output = Result<T, CloudError>>,
    ) -> Result<T, CloudError> {
        let (ordered, turn_within) = (Instant::now(), within / 2);
        let turn = self.limiter.turn(operation.urgency());
        if tokio::time::timeout(turn_within, turn).await.is_err() {
            return Err(CloudError::new(
                CloudErrorClass::Transient,
                format!(
                    "not sent: MaxCloudOpsPerSecond left no room for it within {} ms",
                    turn_within.as_millis()
                ),
            ));
        }
        let sent = Instant::now();
        let left = within.saturating_sub(sent - ordered);
        let result = tokio::time::timeout(left, call).await.unwrap_or_else(|_| {
            Err(CloudError::new(
                operation.class_if_late(),
                format!("the cloud did not answer within {} ms", left.as_millis()),
            ))
        });
        self.observer
            .called(operation, result.as_ref().err(), sent.elapsed());
        result
    }
}

impl fmt::Debug for Wrapped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wrapped")
            .field("limiter", &self.limiter)
            .field("resource_tags", &self.resource_tags)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl InstanceSet for Wrapped {
    async fn create(&self, order: CreateOrder) -> Result<Instance, CloudError> {
        self.create_within(order, CREATE_WITHIN).await
    }

    async fn list(&self, tags: &Tags) -> Result<Vec<Instance>, CloudError> {
        self.list_within(tags, OTHERS_WITHIN).await
    }

    async fn set_tags(&self, id: &InstanceId, tags: &Tags) -> Result<(), CloudError> {
        self.set_tags_within(id, tags, OTHERS_WITHIN).await
    }

    async fn destroy(&self, id: &InstanceId) -> Result<(), CloudError> {
        self.destroy_within(id, OTHERS_WITHIN).await
    }

    fn remote_user(&self) -> String {
        self.set.remote_user()
    }

    fn executor(&self) -> Option<Arc<dyn Executor>> {
        self.set.executor()
    }

    async fn prices(
        &self,
        instances: &[(InstanceId, Arc<InstanceType>)],
    ) -> Result<BTreeMap<InstanceId, Vec<PricePoint>>, CloudError> {
        self.prices_within(instances, OTHERS_WITHIN).await
    }

    fn ended(&self) -> Vec<Ended> {
        self.set.ended()
    }

    fn quota_groups(&self) -> BTreeMap<String, String> {
        self.set.quota_groups()
    }

    async fn leftovers(&self) -> Result<Vec<String>, CloudError> {
        self.leftovers_within(OTHERS_WITHIN).await
    }

    fn doubt(&self, id: &InstanceId) {
        self.set.doubt(id);
    }
}

#[cfg(test)]
mod tests;
