//! The calls that the cloud understands (`docs/reference/lab-cloud-api.md`).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{CloudRefusal, InstanceText};

/// What to make.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Order {
    /// The cloud's name of the type.
    pub provider_type: String,
    /// The image.
    #[serde(default)]
    pub image_id: String,
    /// Spot.
    #[serde(default)]
    pub preemptible: bool,
    /// $/h, for spot.
    #[serde(default)]
    pub max_price: Option<f64>,
    /// Bytes.
    #[serde(default)]
    pub added_scratch_bytes: u64,
    /// Tags.
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
    /// A shell script for the first boot.
    #[serde(default)]
    pub init_script: String,
    /// A line of authorized_keys.
    #[serde(default)]
    pub public_key: Option<String>,
    /// Makes the order idempotent.
    #[serde(default)]
    pub client_token: Option<String>,
}

/// One call.
#[derive(Clone, Debug)]
pub enum CloudCall {
    /// Make one instance.
    Create(Order),
    /// All instances with these tags.
    List(BTreeMap<String, String>),
    /// Set these tags of one instance.
    SetTags(String, BTreeMap<String, String>),
    /// End one instance.
    Destroy(String),
}

/// What a call brings.
#[derive(Clone, Debug)]
pub enum CloudAnswer {
    /// The instance that was made.
    Created(InstanceText),
    /// The instances.
    Listed(Vec<InstanceText>),
    /// It was done.
    Done,
    /// It was not.
    Refused(CloudRefusal),
}

impl CloudAnswer {
    /// The HTTP status and body.
    pub fn to_http(&self) -> (u16, serde_json::Value) {
        match self {
            CloudAnswer::Created(instance) => (200, serde_json::json!(instance)),
            CloudAnswer::Listed(instances) => (200, serde_json::json!({ "instances": instances })),
            CloudAnswer::Done => (200, serde_json::json!({})),
            CloudAnswer::Refused(refusal) => {
                (refusal.status(), serde_json::json!({ "error": refusal }))
            }
        }
    }
}
