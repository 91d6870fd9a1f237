//! What the dispatcher offers to the API.

use std::time::Duration;

use async_trait::async_trait;
use dispatch_model::{ContainerId, IdleBehavior, InstanceId};

use crate::wire;

/// Answers the API's questions and carries out its wishes. Questions are answered from snapshots, at once.
#[async_trait]
pub trait Backend: Send + Sync + 'static {
    /// Every container of the queue, in the order in which they would be scheduled.
    fn containers(&self) -> Vec<wire::Container>;

    /// One container of the queue.
    fn container(&self, id: &ContainerId) -> Option<wire::Container>;

    /// Every instance and creation under way, by instance id, then type.
    fn instances(&self) -> Vec<wire::Instance>;

    /// Ends a container's runner.
    async fn kill_container(&self, id: ContainerId, reason: String) -> Result<(), NotFound>;

    /// Holds an instance, drains it, or lets it run.
    async fn set_idle_behavior(
        &self,
        id: InstanceId,
        behavior: IdleBehavior,
    ) -> Result<(), NotFound>;

    /// Destroys an instance at once.
    async fn kill_instance(&self, id: InstanceId, reason: String) -> Result<(), NotFound>;

    /// The metrics in Prometheus' text form.
    fn metrics_text(&self) -> String;

    /// The metrics as an array of families.
    fn metrics_json(&self) -> serde_json::Value;

    /// What is wrong, if something is.
    fn health(&self) -> Result<(), String>;

    /// What the dispatcher waits for, if it is not in command.
    fn waits_for(&self) -> Option<String> {
        None
    }

    /// A request has been answered.
    fn answered(&self, record: RequestRecord);
}

/// The instance or container is not known, or not on any instance.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("not found")]
pub struct NotFound;

/// One answered request, for the log and the metrics. Parameters and tokens are not in it.
#[derive(Clone, Debug)]
pub struct RequestRecord {
    /// X-Request-Id.
    pub request_id: String,
    /// The verb.
    pub method: String,
    /// The path without parameters.
    pub path: String,
    /// Who asked.
    pub remote: String,
    /// The status answered.
    pub status: u16,
    /// Bytes of the answer's body.
    pub body_bytes: usize,
    /// How long it waited for its turn.
    pub queued: Duration,
    /// How long until the answer was ready.
    pub total: Duration,
    /// Whether it waited for its turn in vain.
    pub gave_up: bool,
    /// Whether it went through the limiter at all.
    pub limited: bool,
}
