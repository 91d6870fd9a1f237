//! The driver `azure`.

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use dispatch_cloud::{
    CloudError, CreateOrder, Driver, DriverContext, Ended, Instance, InstanceSet, Tags,
};
use dispatch_model::{CloudErrorClass, InstanceId, InstanceType};
use serde_json::Value;

use crate::{
    account::Account,
    calls::Calls,
    collect,
    endpoints::{self, Endpoints, Overrides},
    garbage::Ages,
    parameters::{self, Parameters},
    token::Tokens,
};

/// The driver `azure`.
#[derive(Clone, Debug)]
pub struct AzureDriver {
    overrides: Overrides,
    pub(crate) ages: Ages,
    scale: u32,
    /// What was given as the scale and is no number.
    odd_scale: Option<String>,
}

/// For tests against stand-ins for Azure: how many times shorter than in life the driver's waits and ages are.
const TIME_SCALE: &str = "DISPATCH_AZURE_TIME_SCALE";

impl AzureDriver {
    /// The driver for Azure itself, or for the places that `AZURE_AUTHORITY_HOST`, `AZURE_RESOURCE_MANAGER_ENDPOINT`
    /// and `AZURE_POD_IDENTITY_AUTHORITY_HOST` name.
    pub fn from_env() -> AzureDriver {
        let set = |name: &str| {
            std::env::var(name)
                .ok()
                .map(|value| value.trim().to_owned())
                .filter(|value| !value.is_empty())
        };
        let given = set(TIME_SCALE);
        let scale = given.as_ref().map_or(Some(1), |text| text.parse().ok());
        let scale = scale.filter(|scale| (1..=10_000).contains(scale));
        AzureDriver {
            overrides: Overrides {
                authority: set(endpoints::AUTHORITY),
                arm: set(endpoints::ARM),
                metadata: set(endpoints::METADATA),
            },
            ages: Ages::scaled(scale.unwrap_or(1)),
            odd_scale: given.filter(|_| scale.is_none()),
            scale: scale.unwrap_or(1),
        }
    }

    /// For tests and fuzzing: everything at one place, and all waits so many times shorter than in life.
    pub fn at(url: &str, scale: u32) -> AzureDriver {
        let place = Some(url.to_owned());
        AzureDriver {
            overrides: Overrides {
                authority: place.clone(),
                arm: place.clone(),
                metadata: place,
            },
            ages: Ages::scaled(scale),
            scale,
            odd_scale: None,
        }
    }

    fn read(&self, parameters: &Value) -> Result<(Parameters, Endpoints), Vec<String>> {
        let read = Parameters::read(parameters)?;
        if let Some(scale) = &self.odd_scale {
            return Err(vec![format!(
                "{TIME_SCALE} is {scale:?}, which is no number from 1 to 10000: unset it; it is for tests alone"
            )]);
        }
        let endpoints = Endpoints::new(read.environment, &self.overrides)?;
        Ok((read, endpoints))
    }

    pub(crate) fn account(
        &self,
        parameters: &Value,
        context: DriverContext,
        #[cfg(all(test, feature = "cloud-tests"))] mutant: Option<crate::mutants::Mutant>,
    ) -> Result<Arc<Account>, CloudError> {
        let refused = |words: String| CloudError::new(CloudErrorClass::Refused, words);
        let (read, endpoints) = self
            .read(parameters)
            .map_err(|problems| refused(problems.join("; ")))?;
        if let Some(problem) = parameters::problem_of_image(&context.image_id) {
            return Err(refused(problem));
        }
        if let Some(problem) = parameters::problem_of_prefix(&context.tag_key_prefix) {
            return Err(refused(problem));
        }
        let tokens = Tokens::new(read.identity.clone());
        let (clock, gate) = (context.clock.clone(), context.gate.clone());
        let calls = Calls::new(endpoints, tokens, clock, gate, self.scale)?;
        Ok(Account::new(
            calls,
            read,
            context,
            self.ages,
            #[cfg(all(test, feature = "cloud-tests"))]
            mutant,
        ))
    }
}

#[async_trait]
impl Driver for AzureDriver {
    fn name(&self) -> &'static str {
        "azure"
    }

    fn check(&self, parameters: &Value) -> Vec<String> {
        self.read(parameters).err().unwrap_or_default()
    }

    fn check_use(&self, image_id: &str, instance_types: &[&InstanceType]) -> Vec<String> {
        let image = parameters::problem_of_image(image_id);
        let types = instance_types.iter().copied();
        image
            .into_iter()
            .chain(types.filter_map(parameters::problem_of_type))
            .collect()
    }

    async fn open(
        &self,
        parameters: &Value,
        context: DriverContext,
    ) -> Result<Arc<dyn InstanceSet>, CloudError> {
        let account = self.account(
            parameters,
            context,
            #[cfg(all(test, feature = "cloud-tests"))]
            None,
        )?;
        if self.scale != 1 {
            let scale = self.scale;
            tracing::warn!(scale, "{TIME_SCALE} is set: waits and ages are not Azure's");
        }
        account.spawn(collect::for_ever(Arc::downgrade(&account)));
        Ok(account)
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

    fn ended(&self) -> Vec<Ended> {
        self.memory().take_ended()
    }

    fn quota_groups(&self) -> BTreeMap<String, String> {
        self.memory().take_groups()
    }

    async fn leftovers(&self) -> Result<Vec<String>, CloudError> {
        Account::leftovers(self).await
    }

    fn doubt(&self, id: &InstanceId) {
        self.look_into_silent(id);
    }
}
