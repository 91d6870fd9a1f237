//! The cloud drivers that were built in, each behind a cargo feature of its own.

use std::sync::Arc;

use dispatch_cloud::Driver;

/// All of them.
pub(crate) fn all() -> Vec<Arc<dyn Driver>> {
    vec![
        #[cfg(feature = "azure")]
        Arc::new(dispatch_cloud_azure::AzureDriver::from_env()),
        #[cfg(feature = "ec2")]
        Arc::new(dispatch_cloud_ec2::Ec2Driver::default()),
        #[cfg(feature = "lab")]
        Arc::new(dispatch_cloud_lab::LabDriver),
        #[cfg(feature = "loopback")]
        Arc::new(dispatch_cloud_loopback::LoopbackDriver),
    ]
}
