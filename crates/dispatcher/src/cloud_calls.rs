//! Calls to the cloud: each order of the pool becomes one call, each answer one input.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use dispatch_cloud::{CloudError, CreateOrder, Ended, Instance, InstanceSet, Tags, Wrapped};
use dispatch_model::{InstanceId, InstanceSecret, InstanceType};
use dispatch_runner::init_script;
use dispatch_worker::{Failure, InstanceEnd, ListedInstance};

use crate::{health::Health, prices::Prices, settings::Types};

/// What the calls share.
#[derive(Clone)]
pub(crate) struct Cloud {
    pub(crate) set: Arc<Wrapped>,
    /// The tags that mark an instance as ours.
    pub(crate) ours: Tags,
    /// The tag that holds an instance's secret.
    pub(crate) secret_tag: String,
    /// The tag that names an instance's type.
    pub(crate) type_tag: String,
    pub(crate) types: Types,
    pub(crate) prices: Arc<Prices>,
    /// The cluster's image.
    pub(crate) image_id: String,
    pub(crate) init_command: String,
    pub(crate) health: Arc<Health>,
}

impl Cloud {
    /// All our instances, and those of which the cloud has told meanwhile that they have ended.
    pub(crate) async fn list(
        self,
        within: Duration,
    ) -> (Vec<InstanceEnd>, Result<Vec<ListedInstance>, Failure>) {
        let result = self.set.list_within(&self.ours, within).await;
        self.health.listed(&result);
        let ended = self.set.ended().into_iter().map(end).collect();
        if let Ok(instances) = &result {
            let spot = self.spot(instances);
            // Nobody waits for it: one at a time, with a deadline of its own.
            tokio::spawn(async move { self.prices.ask(&self.set, &spot).await });
        }
        let listed = result.map(|rows| rows.into_iter().map(listed).collect());
        (ended, listed.map_err(failure))
    }

    /// Those whose price changes by itself.
    fn spot(&self, instances: &[Instance]) -> Vec<(InstanceId, Arc<InstanceType>)> {
        instances
            .iter()
            .filter_map(|instance| {
                let name = instance.tags.get(&self.type_tag)?;
                let instance_type = self.types.get(name.as_str())?;
                instance_type
                    .preemptible
                    .then(|| (instance.id.clone(), Arc::clone(instance_type)))
            })
            .collect()
    }

    pub(crate) async fn create(
        self,
        instance_type: Arc<InstanceType>,
        mut tags: BTreeMap<String, String>,
        secret: InstanceSecret,
        within: Duration,
    ) -> Result<ListedInstance, Failure> {
        tags.insert(self.secret_tag, secret.reveal().to_owned());
        let image_id = match &instance_type.image {
            Some(image) => image.id.clone(),
            None => self.image_id,
        };
        let order = CreateOrder {
            instance_type: (*instance_type).clone(),
            image_id,
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

fn end(ended: Ended) -> InstanceEnd {
    let words = [ended.code, ended.message];
    let words: Vec<&str> = (words.iter().map(String::as_str))
        .filter(|words| !words.is_empty())
        .collect();
    InstanceEnd {
        instance: ended.id,
        cause: ended.cause,
        class: ended.class,
        reason: words.join(": "),
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

#[cfg(test)]
mod tests;
