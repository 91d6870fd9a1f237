//! The driver `lab`.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use dispatch_cloud::{CloudError, Driver, DriverContext, InstanceSet};
use dispatch_model::CloudErrorClass;
use reqwest::Client;
use serde_json::Value;

use crate::{
    calls::{LabSet, Unread},
    parameters::Parameters,
};

/// How long connecting may take: the lab is on this host.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);

/// Longer than any caller's deadline, for callers who have none.
const ANSWER_WITHIN: Duration = Duration::from_secs(900);
/// What was sent and not acknowledged for so long is thrown away: after that another dispatcher may act.
const UNACKNOWLEDGED_WITHIN: Duration = Duration::from_secs(5);

/// The driver `lab`: for demonstrations, measurements and tests.
#[derive(Clone, Copy, Default, Debug)]
pub struct LabDriver;

#[async_trait]
impl Driver for LabDriver {
    fn name(&self) -> &'static str {
        "lab"
    }

    fn check(&self, parameters: &Value) -> Vec<String> {
        Parameters::read(parameters).err().unwrap_or_default()
    }

    async fn open(
        &self,
        parameters: &Value,
        context: DriverContext,
    ) -> Result<Arc<dyn InstanceSet>, CloudError> {
        let refused = |message: String| CloudError::new(CloudErrorClass::Refused, message);
        let parameters =
            Parameters::read(parameters).map_err(|problems| refused(problems.join("; ")))?;
        let client = Client::builder()
            .no_proxy()
            .connect_timeout(CONNECT_WITHIN)
            .timeout(ANSWER_WITHIN)
            .tcp_user_timeout(UNACKNOWLEDGED_WITHIN)
            .build()
            .map_err(|error| refused(error.to_string()))?;
        Ok(Arc::new(LabSet {
            client,
            endpoint: parameters.endpoint,
            admin_username: parameters.admin_username,
            create_within: parameters.create_within,
            public_key: context.public_key,
            clock: context.clock,
            unread: Unread::default(),
        }))
    }
}
