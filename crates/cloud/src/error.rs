//! A cloud's refusal: its class for the one who decides, its words for people.

use dispatch_model::CloudErrorClass;

/// A call to the cloud failed.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub struct CloudError {
    /// What the caller does next.
    pub class: CloudErrorClass,
    /// What the cloud said: its code, its message and the remedy if one is known. Never a secret.
    pub message: String,
}

impl CloudError {
    /// A refusal of this class.
    pub fn new(class: CloudErrorClass, message: impl Into<String>) -> CloudError {
        CloudError {
            class,
            message: message.into(),
        }
    }
}
