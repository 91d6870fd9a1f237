//! What the management API can ask and wish.

use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock},
};

use async_trait::async_trait;
use dispatch_brain::{Snapshot, Wish};
use dispatch_management_api::{Backend, Load, NotFound, RequestRecord, wire};
use dispatch_model::{ContainerId, IdleBehavior, InstanceId, InstanceType, InstanceTypeName};
use dispatch_telemetry::{Metrics, PlanFigures, ServerLoad};
use tokio::sync::{mpsc, oneshot, watch};

use crate::{clock::Clock, health::Health, render, shell::AskedWish};

/// Reads snapshots, and passes wishes on to the loop.
pub(crate) struct Answers {
    pub(crate) snapshots: watch::Receiver<Arc<Snapshot>>,
    /// Where the loop takes wishes; `None` while there is no loop.
    pub(crate) wishes: watch::Receiver<Option<mpsc::Sender<AskedWish>>>,
    pub(crate) types: BTreeMap<InstanceTypeName, Arc<InstanceType>>,
    pub(crate) health: Arc<Health>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) clock: Clock,
    /// How busy the server is; set once it listens.
    pub(crate) load: Arc<OnceLock<Box<dyn Fn() -> Load + Send + Sync>>>,
}

impl Answers {
    fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.snapshots.borrow())
    }

    /// Brings the gauges up to date.
    fn refresh(&self) {
        let snapshot = self.snapshot();
        let names: Vec<&str> = self.types.keys().map(|name| name.as_str()).collect();
        let now = self.clock.now();
        let figures = &snapshot.plan.figures;
        self.metrics.plan(PlanFigures {
            allocated_not_started: figures.allocated_not_started,
            not_allocated_over_quota: figures.not_allocated_over_quota,
            at_quota: figures.at_quota,
            longest_wait: figures.longest_wait(now.wall),
            last_503: snapshot
                .last_503
                .and_then(|at| now.wall.checked_sub(now.time.since(at)).ok()),
            max_containers: snapshot.limits.containers,
        });
        self.metrics
            .snapshots(&snapshot.queue, &snapshot.pool, &names, self.clock.time());
        if let Some(load) = self.load.get() {
            let Load {
                concurrent,
                queued,
                max_concurrent,
                max_queued,
                oldest,
            } = load();
            self.metrics.server(ServerLoad {
                concurrent,
                max_concurrent,
                queued,
                max_queued,
                oldest,
            });
        }
    }

    /// The loop answers at once. If there is none, nothing is here: another dispatcher has it.
    async fn wish(&self, wish: Wish) -> Result<(), NotFound> {
        tracing::info!(?wish, "an operator wishes");
        let (answer, answered) = oneshot::channel();
        let desk = self.wishes.borrow().clone().ok_or(NotFound)?;
        desk.send((wish, answer)).await.map_err(|_| NotFound)?;
        match answered.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(dispatch_brain::NotFound)) | Err(_) => Err(NotFound),
        }
    }
}

#[async_trait]
impl Backend for Answers {
    fn containers(&self) -> Vec<wire::Container> {
        let snapshot = self.snapshot();
        snapshot
            .containers()
            .iter()
            .map(|view| render::container(view, &self.types, &snapshot.pool))
            .collect()
    }

    fn container(&self, id: &ContainerId) -> Option<wire::Container> {
        let snapshot = self.snapshot();
        let view = snapshot.container(id)?;
        Some(render::container(&view, &self.types, &snapshot.pool))
    }

    fn instances(&self) -> Vec<wire::Instance> {
        render::instances(&self.snapshot())
    }

    async fn kill_container(&self, container: ContainerId, reason: String) -> Result<(), NotFound> {
        self.wish(Wish::KillContainer { container, reason }).await
    }

    async fn set_idle_behavior(
        &self,
        instance: InstanceId,
        behavior: IdleBehavior,
    ) -> Result<(), NotFound> {
        self.wish(Wish::SetIdleBehavior { instance, behavior })
            .await
    }

    async fn kill_instance(&self, instance: InstanceId, reason: String) -> Result<(), NotFound> {
        self.wish(Wish::KillInstance { instance, reason }).await
    }

    fn metrics_text(&self) -> String {
        self.refresh();
        self.metrics.render()
    }

    fn metrics_json(&self) -> serde_json::Value {
        self.refresh();
        self.metrics.render_json()
    }

    fn health(&self) -> Result<(), String> {
        self.health.check(&self.snapshot())
    }

    fn waits_for(&self) -> Option<String> {
        self.health.waits_for()
    }

    fn answered(&self, record: RequestRecord) {
        let seconds = record.total.as_secs_f64();
        tracing::info!(
            RequestID = record.request_id,
            reqMethod = record.method,
            reqPath = record.path,
            remoteAddr = record.remote,
            respStatusCode = record.status,
            respBytes = record.body_bytes,
            timeTotal = seconds,
            "response"
        );
        let code = record.status.to_string();
        self.metrics.request(&code, &record.method, record.total);
        if record.limited {
            self.metrics.request_queued(
                if record.gave_up {
                    record.total
                } else {
                    record.queued
                },
                record.gave_up,
            );
        }
    }
}
