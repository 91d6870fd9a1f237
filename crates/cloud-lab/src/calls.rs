//! The four calls (docs/reference/lab-cloud-api.md).

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use async_trait::async_trait;
use dispatch_cloud::{Clock, CloudError, CreateOrder, Instance, InstanceSet, Tags};
use dispatch_model::{CloudErrorClass, InstanceId};
use reqwest::{Client, RequestBuilder, Url};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::answer;

/// The largest answer that is read: a list of a hundred thousand instances is smaller.
const ANSWER_BYTES_MAX: usize = 256 << 20;

/// The lab's cloud.
#[derive(Debug)]
pub(crate) struct LabSet {
    pub(crate) client: Client,
    pub(crate) endpoint: Url,
    pub(crate) admin_username: String,
    pub(crate) create_within: Duration,
    pub(crate) public_key: Option<String>,
    pub(crate) clock: Clock,
    pub(crate) unread: Unread,
}

/// How many rows of the last list could not be read, so that they are told of once and not with every list.
#[derive(Default, Debug)]
pub(crate) struct Unread(AtomicUsize);

impl Unread {
    /// Takes the number of such rows; whether it is worth telling.
    fn is_news(&self, n_rows: usize) -> bool {
        self.0.swap(n_rows, Ordering::Relaxed) != n_rows && n_rows > 0
    }
}

#[async_trait]
impl InstanceSet for LabSet {
    async fn create(&self, order: CreateOrder) -> Result<Instance, CloudError> {
        let if_unknown = CloudErrorClass::OutcomeUnknown;
        let body = json!({
            "provider_type": order.instance_type.provider_type,
            "image_id": order.image_id,
            "preemptible": order.instance_type.preemptible,
            "max_price": order.instance_type.price,
            "added_scratch_bytes": order.instance_type.added_scratch_bytes,
            "tags": order.tags,
            "init_script": order.init_script,
            "public_key": self.public_key,
            "client_token": hex::encode(Sha256::digest(order.secret.reveal())),
        });
        let request = self.client.post(self.url(&["instances"])).json(&body);
        let request = request.timeout(self.create_within);
        let made = self.json(request, &if_unknown).await?;
        answer::instance(&made).ok_or_else(|| {
            CloudError::new(if_unknown, "the answer to a create has no instance in it")
        })
    }

    async fn list(&self, tags: &Tags) -> Result<Vec<Instance>, CloudError> {
        let mut url = self.url(&["instances"]);
        for (key, value) in tags {
            url.query_pairs_mut()
                .append_pair(&format!("tag.{key}"), value);
        }
        let request = self.client.get(url);
        let list = self.json(request, &CloudErrorClass::Transient).await?;
        let rows = list["instances"].as_array().ok_or_else(|| {
            CloudError::new(
                CloudErrorClass::Transient,
                "the answer to a list has no instances in it",
            )
        })?;
        let instances: Vec<Instance> = rows.iter().filter_map(answer::instance).collect();
        let unread = rows.len() - instances.len();
        if self.unread.is_news(unread) {
            tracing::warn!(rows = unread, "the cloud listed rows without an id");
        }
        Ok(instances)
    }

    async fn set_tags(&self, id: &InstanceId, tags: &Tags) -> Result<(), CloudError> {
        let url = self.url(&["instances", id.as_str(), "tags"]);
        let request = self.client.post(url).json(&json!({ "tags": tags }));
        self.json(request, &CloudErrorClass::Transient).await?;
        Ok(())
    }

    async fn destroy(&self, id: &InstanceId) -> Result<(), CloudError> {
        let if_unknown = CloudErrorClass::Transient;
        let request = self.client.delete(self.url(&["instances", id.as_str()]));
        let (status, body) = send(request, &if_unknown).await?;
        if status == 200 || answer::is_not_found(status, &body) {
            return Ok(());
        }
        Err(answer::refusal(status, &body, &if_unknown, &self.clock))
    }

    fn remote_user(&self) -> String {
        self.admin_username.clone()
    }
}

impl LabSet {
    /// The endpoint with these segments as its path, percent-encoded.
    fn url(&self, segments: &[&str]) -> Url {
        let mut url = self.endpoint.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.clear().extend(segments);
        }
        url
    }

    /// Sends a request, and reads the JSON of a successful answer.
    async fn json(
        &self,
        request: RequestBuilder,
        if_unknown: &CloudErrorClass,
    ) -> Result<Value, CloudError> {
        let (status, body) = send(request, if_unknown).await?;
        if status != 200 {
            return Err(answer::refusal(status, &body, if_unknown, &self.clock));
        }
        serde_json::from_slice(&body).map_err(|error| {
            CloudError::new(
                if_unknown.clone(),
                format!("the answer is not JSON: {error}"),
            )
        })
    }
}

/// The status and the whole body of the answer.
async fn send(
    request: RequestBuilder,
    if_unknown: &CloudErrorClass,
) -> Result<(u16, Vec<u8>), CloudError> {
    let failure = |error: reqwest::Error| {
        let class = if error.is_connect() || error.is_builder() {
            CloudErrorClass::Transient
        } else {
            if_unknown.clone()
        };
        CloudError::new(class, with_causes(&error.without_url()))
    };
    let mut response = request.send().await.map_err(failure)?;
    let mut body = Vec::new();
    while let Some(piece) = response.chunk().await.map_err(failure)? {
        if body.len() + piece.len() > ANSWER_BYTES_MAX {
            return Err(CloudError::new(
                if_unknown.clone(),
                "the answer is unreasonably long",
            ));
        }
        body.extend_from_slice(&piece);
    }
    Ok((response.status().as_u16(), body))
}

fn with_causes(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        words.push_str(": ");
        words.push_str(&error.to_string());
        cause = error.source();
    }
    words
}

#[cfg(test)]
mod tests;
