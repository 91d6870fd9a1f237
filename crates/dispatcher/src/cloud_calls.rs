//! Calls to the cloud: each order of the pool becomes one call, each answer one input.

use std::{collections::BTreeMap, future::Future, sync::Arc, time::Duration};

use dispatch_cloud::{CloudError, CreateOrder, Instance, InstanceSet, Tags};
use dispatch_model::{CloudErrorClass, InstanceId, InstanceSecret, InstanceType};
use dispatch_runner::init_script;
use dispatch_worker::{Failure, ListedInstance};

use crate::health::Health;

/// What the calls share.
#[derive(Clone)]
pub(crate) struct Cloud {
    pub(crate) set: Arc<dyn InstanceSet>,
    /// The tags that mark an instance as ours.
    pub(crate) ours: Tags,
    /// The tag that holds an instance's secret.
    pub(crate) secret_tag: String,
    pub(crate) image_id: String,
    pub(crate) init_command: String,
    pub(crate) health: Arc<Health>,
}

impl Cloud {
    pub(crate) async fn list(self, within: Duration) -> Result<Vec<ListedInstance>, Failure> {
        let result = in_time(within, CloudErrorClass::Transient, self.set.list(&self.ours)).await;
        self.health.listed(result.is_ok());
        Ok(result?.into_iter().map(listed).collect())
    }

    pub(crate) async fn create(
        self,
        instance_type: Arc<InstanceType>,
        mut tags: BTreeMap<String, String>,
        secret: InstanceSecret,
        within: Duration,
    ) -> Result<ListedInstance, Failure> {
        tags.insert(self.secret_tag, secret.reveal().to_owned());
        let order = CreateOrder {
            instance_type: (*instance_type).clone(),
            image_id: self.image_id,
            tags,
            init_script: init_script(&secret, &self.init_command),
            secret,
        };
        in_time(within, CloudErrorClass::OutcomeUnknown, self.set.create(order)).await.map(listed)
    }

    pub(crate) async fn destroy(self, instance: InstanceId, within: Duration) -> Result<(), Failure> {
        in_time(within, CloudErrorClass::Transient, self.set.destroy(&instance)).await
    }

    pub(crate) async fn set_tags(self, instance: InstanceId, tags: Tags, within: Duration) -> Result<(), Failure> {
        in_time(within, CloudErrorClass::Transient, self.set.set_tags(&instance, &tags)).await
    }
}

async fn in_time<T>(
    within: Duration,
    class_if_late: CloudErrorClass,
    call: impl Future<Output = Result<T, CloudError>>,
) -> Result<T, Failure> {
    match tokio::time::timeout(within, call).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(Failure { class: error.class, message: error.message }),
        Err(_) => Err(Failure {
            class: class_if_late,
            message: format!("the cloud did not answer within {} s", within.as_secs()),
        }),
    }
}

fn listed(instance: Instance) -> ListedInstance {
    let Instance { id, address, provider_type, tags } = instance;
    ListedInstance { id, address, provider_type, tags }
}
