//! The driver `loopback`.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use async_trait::async_trait;
use dispatch_cloud::{CloudError, Driver, DriverContext, InstanceSet};
use dispatch_model::CloudErrorClass;
use serde_json::Value;

use crate::set::{LoopbackSet, Paths};

/// Where the instance is remembered, unless `DriverParameters.StateDirectory` says otherwise.
const STATE_DIRECTORY: &str = "/run/arvados-dispatch-cloud";

/// Where runners keep their locks and the broken marker (facts §2.2.1).
const LOCK_DIRECTORY: &str = "/var/lock";

/// The driver `loopback`.
#[derive(Clone, Copy, Default, Debug)]
pub struct LoopbackDriver;

#[async_trait]
impl Driver for LoopbackDriver {
    fn name(&self) -> &'static str {
        "loopback"
    }

    fn check(&self, parameters: &Value) -> Vec<String> {
        state_directory(parameters).err().into_iter().collect()
    }

    async fn open(
        &self,
        parameters: &Value,
        context: DriverContext,
    ) -> Result<Arc<dyn InstanceSet>, CloudError> {
        let refused = |message: String| CloudError::new(CloudErrorClass::Refused, message);
        let paths = Paths {
            state_directory: state_directory(parameters).map_err(refused)?,
            lock_directory: LOCK_DIRECTORY.into(),
        };
        Ok(Arc::new(LoopbackSet::open(paths, &context)?))
    }
}

fn state_directory(parameters: &Value) -> Result<PathBuf, String> {
    match &parameters["StateDirectory"] {
        Value::Null => Ok(STATE_DIRECTORY.into()),
        Value::String(path) if Path::new(path).is_absolute() => Ok(path.into()),
        other => Err(format!(
            "DriverParameters.StateDirectory is {other}, which is not an absolute path: set it to a directory that only \
             the dispatcher writes to, or leave it out for {STATE_DIRECTORY}"
        )),
    }
}
