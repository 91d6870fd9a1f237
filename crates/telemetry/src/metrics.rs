//! The values: set, counted, observed, rendered.

use std::{
    collections::BTreeMap,
    num::NonZeroU32,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use dispatch_model::{Time, WorkerId, WorkerState};
use jiff::Timestamp;
use metrics::{counter, gauge, histogram};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle, PrometheusRecorder};

use crate::{
    LockState,
    catalog::{self as name, CATALOG, Kind},
    exposition,
    gauges::Gauges,
};

/// The dispatcher's metrics.
pub struct Metrics {
    recorder: PrometheusRecorder,
    handle: PrometheusHandle,
    gauges: Mutex<Gauges>,
    /// The last good probe of each worker that has had one. The pool's snapshot does not change with each of these.
    probed_at: Mutex<BTreeMap<WorkerId, Time>>,
    records: AtomicU64,
    upkeeps: AtomicU64,
}

/// How busy the HTTP server is.
#[derive(Clone, Copy, Debug, Default)]
pub struct ServerLoad {
    /// Requests under way.
    pub concurrent: usize,
    /// How many may be.
    pub max_concurrent: usize,
    /// Requests that wait.
    pub queued: usize,
    /// How many may.
    pub max_queued: usize,
    /// Age of the oldest request under way.
    pub oldest: Duration,
}

/// Quantiles of summaries look back this long in all, in this many steps.
const SUMMARY_STEP: Duration = Duration::from_secs(120);
const SUMMARY_STEPS: NonZeroU32 = NonZeroU32::new(5).expect("not zero");

/// Observations wait in memory until they are folded into their summaries; no more than about this many do.
const RECORDS_BETWEEN_UPKEEPS: u64 = 1024;

/// The methods of HTTP, as the label of requests names them.
const METHODS: [&str; 9] = [
    "get", "head", "post", "put", "patch", "delete", "options", "connect", "trace",
];

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// All metrics, those without labels at zero, and those that have to be there from the start.
    pub fn new() -> Metrics {
        let recorder = PrometheusBuilder::new()
            .set_quantiles(&[0.5, 0.9, 0.95, 0.99])
            .and_then(|builder| builder.set_bucket_duration(SUMMARY_STEP))
            .map(|builder| builder.set_bucket_count(SUMMARY_STEPS).build_recorder())
            .expect("the settings are constants");
        let handle = recorder.handle();
        let metrics = Metrics {
            recorder,
            handle,
            gauges: Mutex::default(),
            probed_at: Mutex::default(),
            records: AtomicU64::new(0),
            upkeeps: AtomicU64::new(0),
        };
        metrics.record(|| {
            for metric in CATALOG {
                match metric.kind {
                    Kind::Gauge => metrics::describe_gauge!(metric.name, metric.help),
                    Kind::Counter => metrics::describe_counter!(metric.name, metric.help),
                    Kind::Summary | Kind::SummaryWithoutQuantiles => {
                        metrics::describe_histogram!(metric.name, metric.help);
                    }
                }
                if metric.labels.is_empty() {
                    match metric.kind {
                        Kind::Gauge => gauge!(metric.name).set(0.0),
                        Kind::Counter => counter!(metric.name).absolute(0),
                        Kind::Summary | Kind::SummaryWithoutQuantiles => {
                            drop(histogram!(metric.name))
                        }
                    }
                }
            }
            for outcome in ["success", "failure", "aborted", "disappeared"] {
                counter!(name::BOOT_OUTCOMES, "outcome" => outcome).absolute(0);
            }
            for state in WorkerState::ALL {
                counter!(name::DISAPPEARED, "state" => state.to_string()).absolute(0);
            }
            for operation in ["Create", "List", "Destroy", "SetTags"] {
                for error in ["0", "1"] {
                    counter!(name::DRIVER_OPERATIONS, "operation" => operation, "error" => error)
                        .absolute(0);
                }
            }
        });
        metrics
    }

    /// The metrics in Prometheus' text form.
    pub fn render(&self) -> String {
        self.handle.run_upkeep();
        exposition::without_needless_quantiles(&self.handle.render())
    }

    /// The metrics as an array of families (facts §2.6, `/metrics.json`).
    pub fn render_json(&self) -> serde_json::Value {
        exposition::to_json(&self.render())
    }

    /// Which configuration is in use.
    pub fn config(&self, sha256: &str, changed: Timestamp, loaded: Timestamp) {
        let sha256 = sha256.to_owned();
        self.record(|| {
            gauge!(name::CONFIG_SOURCE, "sha256" => sha256.clone()).set(unix_seconds(changed));
            gauge!(name::CONFIG_LOAD, "sha256" => sha256).set(unix_seconds(loaded));
        });
    }

    /// Which version of the program this is. The cluster's own `arvados_version_running` is left out on purpose: the
    /// cluster's health check compares it with Arvados' version, and leaves us alone without it (facts §2.6).
    pub fn version(&self, version: &'static str) {
        self.record(|| gauge!(name::BUILD, "version" => version).set(1.0));
    }

    /// Where this process stands with the lock that keeps a second dispatcher waiting.
    pub fn dispatch_lock(&self, state: LockState) {
        self.record(|| {
            for one in LockState::ALL {
                let value = if one == state { 1.0 } else { 0.0 };
                gauge!(name::DISPATCH_LOCK, "state" => one.name()).set(value);
            }
        });
    }

    /// A call to the cloud was answered. `operation`: Create, List, Destroy or SetTags.
    pub fn driver_operation(&self, operation: &'static str, failed: bool) {
        let error = if failed { "1" } else { "0" };
        self.record(|| {
            counter!(name::DRIVER_OPERATIONS, "operation" => operation, "error" => error)
                .increment(1)
        });
    }

    /// Booting ended. `outcome`: success, failure, aborted or disappeared.
    pub fn boot_ended(&self, outcome: &'static str) {
        self.record(|| counter!(name::BOOT_OUTCOMES, "outcome" => outcome).increment(1));
    }

    /// A worker is new in the pool. After the lock was lost and taken again its number may have been another's before.
    pub fn appeared(&self, worker: WorkerId) {
        self.lock(&self.probed_at).remove(&worker);
    }

    /// The cloud lists an instance no more. `after`: since the first request to destroy it, if there was one.
    pub fn gone(&self, state: WorkerState, instance_type: &str, after: Option<Duration>) {
        let instance_type = instance_type.to_owned();
        self.record(|| {
            counter!(name::DISAPPEARED, "state" => state.to_string()).increment(1);
            if state != WorkerState::Shutdown {
                counter!(name::UNEXPECTED_SHUTDOWNS, "instance_type" => instance_type).increment(1);
            }
            if let Some(after) = after {
                histogram!(name::SHUTDOWN_TO_GONE).record(after.as_secs_f64());
            }
        });
    }

    /// The cloud says that an instance has ended, and what became of it.
    pub fn died(&self, instance_type: &str, cause: &'static str) {
        let instance_type = instance_type.to_owned();
        self.record(|| {
            counter!(name::DIED, "instance_type" => instance_type, "cause" => cause).increment(1);
        });
    }

    /// The first connection of an instance that this daemon created.
    pub fn ssh_up(&self, after: Duration) {
        self.record(|| histogram!(name::TIME_TO_SSH).record(after.as_secs_f64()));
    }

    /// An instance that this daemon created is ready.
    pub fn ready(&self, after: Duration) {
        self.record(|| histogram!(name::TIME_TO_READY).record(after.as_secs_f64()));
    }

    /// An instance was asked what it runs.
    pub fn run_probe(&self, worker: WorkerId, ok: bool, took: Duration, now: Time) {
        let outcome = if ok { "success" } else { "fail" };
        self.record(|| {
            histogram!(name::RUN_PROBE_DURATION, "outcome" => outcome).record(took.as_secs_f64())
        });
        if ok {
            self.lock(&self.probed_at).insert(worker, now);
        }
    }

    /// The command that starts a container returned.
    pub fn crunch_run_started(&self, since_created: Duration) {
        self.record(|| histogram!(name::QUEUE_TO_CRUNCH_RUN).record(since_created.as_secs_f64()));
    }

    /// A creation failed.
    pub fn create_failed(&self, instance_type: &str, reason: &'static str, took: Duration) {
        let instance_type = instance_type.to_owned();
        self.record(|| {
            counter!(name::CREATE_FAILED, "instance_type" => instance_type.clone(), "reason" => reason).increment(1);
            // Counters are whole numbers: a part of a second counts as one.
            counter!(name::CREATE_FAILED_SECONDS, "instance_type" => instance_type, "reason" => reason)
                .increment(took.as_millis().div_ceil(1000) as u64);
        });
    }

    /// A command was withheld.
    pub fn violation(&self) {
        self.record(|| counter!(name::VIOLATIONS).increment(1));
    }

    /// A request to the management API was answered. `method` as the client wrote it: strangers may write anything,
    /// so that all but the known ones count as one.
    pub fn request(&self, code: &str, method: &str, took: Duration) {
        let method = METHODS
            .into_iter()
            .find(|known| known.eq_ignore_ascii_case(method));
        let labels = [
            ("code", code.to_owned()),
            ("method", method.unwrap_or("other").to_owned()),
        ];
        self.record(|| {
            histogram!(name::REQUEST_DURATION, &labels).record(took.as_secs_f64());
            histogram!(name::TIME_TO_STATUS, &labels).record(took.as_secs_f64());
        });
    }

    /// A request waited for its turn.
    pub fn request_queued(&self, waited: Duration, in_vain: bool) {
        let name = if in_vain {
            name::QUEUE_TIMEOUT
        } else {
            name::QUEUE_DELAY
        };
        self.record(|| {
            histogram!(name, "queue" => "api", "priority" => "normal").record(waited.as_secs_f64())
        });
    }

    /// How busy the HTTP server is.
    pub fn server(&self, load: ServerLoad) {
        self.record(|| {
            gauge!(name::CONCURRENT_REQUESTS, "queue" => "api").set(load.concurrent as f64);
            gauge!(name::MAX_CONCURRENT_REQUESTS, "queue" => "api").set(load.max_concurrent as f64);
            gauge!(name::MAX_QUEUED_REQUESTS, "queue" => "api").set(load.max_queued as f64);
            gauge!(name::MAX_ACTIVE_AGE).set(load.oldest.as_secs_f64());
            gauge!(name::MAX_ABANDONED_AGE).set(0.0);
            for (priority, queued) in [("low", 0), ("normal", load.queued), ("high", 0)] {
                gauge!(name::QUEUED_REQUESTS, "queue" => "api", "priority" => priority)
                    .set(queued as f64);
            }
        });
    }

    /// What the last plan says; before the snapshots that it was made from.
    pub fn plan(&self, figures: PlanFigures) {
        self.lock(&self.gauges).at_quota = figures.at_quota;
        self.record(|| {
            gauge!(name::ALLOCATED_NOT_STARTED).set(figures.allocated_not_started as f64);
            gauge!(name::OVER_QUOTA).set(figures.not_allocated_over_quota as f64);
            gauge!(name::LONGEST_WAIT).set(figures.longest_wait.as_secs_f64());
            gauge!(name::LAST_503).set(figures.last_503.map_or(0.0, unix_seconds));
            gauge!(name::MAX_CONCURRENT_CONTAINERS).set(figures.max_containers.unwrap_or(0) as f64);
        });
    }

    /// The queue and the pool as they are.
    pub fn snapshots(
        &self,
        queue: &dispatch_model::QueueSnapshot,
        pool: &dispatch_model::PoolSnapshot,
        types: &[&str],
        now: Time,
    ) {
        let ages = self.probe_ages(pool, now);
        let mut gauges = self.lock(&self.gauges);
        gauges.queue(queue);
        gauges.pool(pool, types);
        self.record(|| {
            gauges.publish();
            gauge!(name::PRICE_PER_HOUR).set(pool.price_per_hour());
            gauge!(name::PRICE_LIMIT).set(pool.price_limit.unwrap_or(0.0));
            gauge!(name::PROBE_AGE_MAX).set(ages.last().map_or(0.0, Duration::as_secs_f64));
            gauge!(name::PROBE_AGE_MEDIAN)
                .set(ages.get(ages.len() / 2).map_or(0.0, Duration::as_secs_f64));
        });
    }

    /// How long ago the last good probe was, of each instance that is not on its way out, in order. One that never had
    /// one counts from when it was created or found.
    fn probe_ages(&self, pool: &dispatch_model::PoolSnapshot, now: Time) -> Vec<Duration> {
        let mut probed_at = self.lock(&self.probed_at);
        probed_at.retain(|worker, _| pool.workers.contains_key(worker));
        let monitored = (pool.workers.values())
            .filter(|worker| worker.instance.is_some() && worker.state != WorkerState::Shutdown);
        let mut ages: Vec<Duration> = monitored
            .map(|worker| {
                let probed_at = probed_at.get(&worker.id).copied();
                now.since(probed_at.unwrap_or(worker.state_since))
            })
            .collect();
        ages.sort_unstable();
        ages
    }

    /// Now and then also folds observations into the summaries, so that they do not pile up where nobody scrapes.
    fn record<T>(&self, f: impl FnOnce() -> T) -> T {
        let answer = metrics::with_local_recorder(&self.recorder, f);
        let n = self.records.fetch_add(1, Ordering::Relaxed);
        if n % RECORDS_BETWEEN_UPKEEPS == RECORDS_BETWEEN_UPKEEPS - 1 {
            self.handle.run_upkeep();
            self.upkeeps.fetch_add(1, Ordering::Relaxed);
        }
        answer
    }

    /// A panic elsewhere must not take the metrics away.
    fn lock<'a, T>(&self, mutex: &'a Mutex<T>) -> MutexGuard<'a, T> {
        mutex.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the metrics say of a plan.
#[derive(Clone, Copy, Debug, Default)]
pub struct PlanFigures {
    /// Containers that wait for an instance that is not ready.
    pub allocated_not_started: usize,
    /// Containers for which there may be no instance now.
    pub not_allocated_over_quota: usize,
    /// Whether a limit of the account or of the configuration keeps one of them from getting an instance.
    pub at_quota: bool,
    /// How long the oldest container has waited.
    pub longest_wait: Duration,
    /// When the API last answered 503.
    pub last_503: Option<Timestamp>,
    /// How many containers may run; `None`: no limit.
    pub max_containers: Option<usize>,
}

fn unix_seconds(at: Timestamp) -> f64 {
    at.as_nanosecond() as f64 / 1e9
}

#[cfg(test)]
mod tests;
