//! Calls to the cloud: each order of the pool becomes one call, each answer one input.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use dispatch_cloud::{CloudError, CreateOrder, Instance, Tags, Wrapped};
use dispatch_model::{InstanceId, InstanceSecret, InstanceType};
use dispatch_runner::init_script;
use dispatch_worker::{Failure, ListedInstance};

use crate::health::Health;

/// A list that has not come by then never comes: the next one is asked for instead (facts K14).
const LIST_WITHIN: Duration = Duration::from_secs(60);

/// What the calls share.
#[derive(Clone)]
pub(crate) struct Cloud {
    pub(crate) set: Arc<Wrapped>,
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
        let result = self
            .set
            .list_within(&self.ours, within.min(LIST_WITHIN))
            .await;
        self.health.listed(&result);
        Ok(result.map_err(failure)?.into_iter().map(listed).collect())
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
        self.set
            .create_within(order, within)
            .await
            .map(listed)
            .map_err(failure)
    }

    pub(crate) async fn destroy(
        self,
        instance: InstanceId,
        within: Duration,
    ) -> Result<(), Failure> {
        self.set
            .destroy_within(&instance, within)
            .await
            .map_err(failure)
    }

    pub(crate) async fn set_tags(
        self,
        instance: InstanceId,
        tags: Tags,
        within: Duration,
    ) -> Result<(), Failure> {
        self.set
            .set_tags_within(&instance, &tags, within)
            .await
            .map_err(failure)
    }
}

fn failure(error: CloudError) -> Failure {
    Failure {
        class: error.class,
        message: error.message,
    }
}

fn listed(instance: Instance) -> ListedInstance {
    let Instance {
        id,
        address,
        provider_type,
        tags,
    } = instance;
    ListedInstance {
        id,
        address,
        provider_type,
        tags,
    }
}
