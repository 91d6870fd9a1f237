//! The driver `ec2`.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use aws_config::{
    BehaviorVersion, Region, identity::IdentityCache, retry::RetryConfig, timeout::TimeoutConfig,
};
use aws_sdk_ec2::{Client, config::Credentials};
use dispatch_cloud::{
    CloudError, CreateOrder, Driver, DriverContext, Ended, Instance, InstanceSet, Tags,
};
use dispatch_model::{CloudErrorClass, InstanceId, InstanceType, PricePoint};
use serde_json::Value;

use crate::{
    account::Account, failure::HandedOver, http::Http, parameters::Parameters, volumes,
    whole::OnlyWhole,
};

/// How long connecting, and one answer, may take.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);
const ANSWER_WITHIN: Duration = Duration::from_secs(45);

/// Credentials are renewed so long before they expire, by chance up to half of it later (facts E15).
const RENEWED_BEFORE: Duration = Duration::from_secs(300);

/// The driver `ec2`. The endpoint is the region's, or what `AWS_ENDPOINT_URL_EC2` or `AWS_ENDPOINT_URL` names.
#[derive(Clone, Default, Debug)]
pub struct Ec2Driver {
    endpoint: Option<String>,
    pub(crate) manner: Manner,
}

/// How calls are made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Manner {
    /// Whether creates keep to EC2's documented rate without being told to.
    pub(crate) paced: bool,
    /// How long one answer may take.
    pub(crate) answer_within: Duration,
    /// Waits are so many times shorter.
    pub(crate) haste: f64,
}

impl Default for Manner {
    fn default() -> Manner {
        Manner {
            paced: true,
            answer_within: ANSWER_WITHIN,
            haste: 1.0,
        }
    }
}

impl Ec2Driver {
    /// For tests: an endpoint of its own, whose creates are not limited to EC2's documented rate.
    #[must_use]
    pub fn at(endpoint: impl Into<String>) -> Ec2Driver {
        Ec2Driver {
            endpoint: Some(endpoint.into()),
            manner: Manner {
                paced: false,
                ..Manner::default()
            },
        }
    }

    /// For tests with scaled time: keeps to the documented rate by a clock that runs so many times faster, which must be
    /// the context's.
    #[must_use]
    pub fn in_haste(mut self, times: f64) -> Ec2Driver {
        self.manner.paced = true;
        self.manner.haste = times;
        self
    }

    /// For tests: an answer may take no longer than this.
    #[must_use]
    pub fn answered_within(mut self, within: Duration) -> Ec2Driver {
        self.manner.answer_within = within;
        self
    }

    pub(crate) async fn account(
        &self,
        parameters: &Value,
        context: DriverContext,
    ) -> Result<Account, CloudError> {
        let parameters = Parameters::read(parameters)
            .map_err(|problems| CloudError::new(CloudErrorClass::Refused, problems.join("; ")))?;
        let mut loader = aws_config::defaults(BehaviorVersion::latest())
            .http_client(Http::default())
            // Repeating is ours to decide (facts E7).
            .retry_config(RetryConfig::disabled())
            .identity_cache(IdentityCache::lazy().buffer_time(RENEWED_BEFORE).build())
            .timeout_config(
                TimeoutConfig::builder()
                    .connect_timeout(CONNECT_WITHIN)
                    .operation_attempt_timeout(self.manner.answer_within)
                    .operation_timeout(self.manner.answer_within)
                    .build(),
            );
        if let Some(region) = &parameters.region {
            loader = loader.region(Region::new(region.clone()));
        }
        if let Some(keys) = &parameters.keys {
            // Passed on, never put into the environment (facts E15).
            loader = loader.credentials_provider(Credentials::new(
                &keys.access_key_id,
                &keys.secret_access_key,
                None,
                None,
                "DriverParameters",
            ));
        }
        if let Some(endpoint) = &self.endpoint {
            loader = loader.endpoint_url(endpoint);
        }
        let shared = loader.load().await;
        if shared.region().is_none() {
            return Err(CloudError::new(
                CloudErrorClass::Refused,
                "DriverParameters.Region is empty and this host does not say where it is: set it, such as \
                 \"us-east-1\"",
            ));
        }
        let config = aws_sdk_ec2::config::Builder::from(&shared)
            .interceptor(OnlyWhole)
            .interceptor(HandedOver);
        #[cfg(all(test, feature = "cloud-tests"))]
        let config = config.interceptor(crate::conformance::Recorder);
        let client = Client::from_conf(config.build());
        Ok(Account::new(client, parameters, context, self.manner))
    }
}

#[async_trait]
impl Driver for Ec2Driver {
    fn name(&self) -> &'static str {
        "ec2"
    }

    fn check(&self, parameters: &Value) -> Vec<String> {
        Parameters::read(parameters).err().unwrap_or_default()
    }

    fn check_types(&self, parameters: &Value, instance_types: &[&InstanceType]) -> Vec<String> {
        Parameters::read(parameters).map_or(Vec::new(), |read| {
            volumes::problems(&read.ebs_volume_type, instance_types)
        })
    }

    fn places(&self, parameters: &Value) -> Vec<(String, Value)> {
        let subnets = Parameters::read(parameters).map_or(Vec::new(), |read| read.subnets);
        if subnets.is_empty() {
            return vec![(String::new(), parameters.clone())];
        }
        let alone = |subnet: String| {
            let mut parameters = parameters.clone();
            parameters["SubnetID"] = Value::String(subnet.clone());
            (subnet, parameters)
        };
        subnets.into_iter().map(alone).collect()
    }

    async fn open(
        &self,
        parameters: &Value,
        context: DriverContext,
    ) -> Result<Arc<dyn InstanceSet>, CloudError> {
        Ok(Arc::new(self.account(parameters, context).await?))
    }
}

#[async_trait]
impl InstanceSet for Account {
    async fn create(&self, order: CreateOrder) -> Result<Instance, CloudError> {
        Account::create(self, &order).await
    }

    async fn list(&self, tags: &Tags) -> Result<Vec<Instance>, CloudError> {
        Account::list(self, tags).await
    }

    async fn set_tags(&self, id: &InstanceId, tags: &Tags) -> Result<(), CloudError> {
        Account::set_tags(self, id, tags).await
    }

    async fn destroy(&self, id: &InstanceId) -> Result<(), CloudError> {
        Account::destroy(self, id).await
    }

    fn remote_user(&self) -> String {
        self.parameters.admin_username.clone()
    }

    async fn prices(
        &self,
        instances: &[(InstanceId, Arc<InstanceType>)],
    ) -> Result<BTreeMap<InstanceId, Vec<PricePoint>>, CloudError> {
        self.prices_of(instances).await
    }

    fn ended(&self) -> Vec<Ended> {
        self.memory().take_ended()
    }

    fn quota_groups(&self) -> BTreeMap<String, String> {
        let group = |name: String| {
            let group = self.parameters.quota_groups.of(&name);
            (name, group)
        };
        self.memory()
            .take_new_types()
            .into_iter()
            .map(group)
            .collect()
    }
}
