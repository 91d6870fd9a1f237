//! Gauges with labels, worked out from snapshots; combinations that are no more fall to zero (facts W34).

use std::collections::{BTreeMap, BTreeSet};

use dispatch_model::{
    ContainerState, HoldCause, IdleBehavior, PoolSnapshot, QueueSnapshot, RunnerState, WorkerState,
    WorkerView,
};
use metrics::{Label, gauge};

use crate::catalog as name;

const CATEGORIES: [&str; 5] = ["inuse", "hold", "booting", "unknown", "idle"];

/// One time series: a metric's name and the values of its labels.
type Series = (&'static str, Vec<(&'static str, String)>);

/// The values of all such gauges, and which of them were ever shown.
#[derive(Default)]
pub(crate) struct Gauges {
    values: BTreeMap<Series, f64>,
    shown: BTreeSet<Series>,
    /// The last plan found that a limit keeps a container from getting an instance.
    pub(crate) at_quota: bool,
}

impl Gauges {
    /// Containers by state and first choice of type. A container that fits no type counts under "none" (facts K1).
    pub(crate) fn queue(&mut self, queue: &QueueSnapshot) {
        self.clear(&[name::QUEUE_ENTRIES]);
        for entry in queue.entries.values() {
            let instance_type = entry
                .sizing
                .types
                .first()
                .map_or("none", |name| name.as_str());
            for state in ContainerState::ALL {
                let n = if state == entry.state { 1.0 } else { 0.0 };
                let labels = vec![
                    ("state", state.to_string()),
                    ("instance_type", instance_type.to_owned()),
                ];
                self.add(name::QUEUE_ENTRIES, labels, n);
            }
        }
    }

    /// Instances by category.
    pub(crate) fn pool(&mut self, pool: &PoolSnapshot, types: &[&str]) {
        self.clear(&[
            name::INSTANCES_TOTAL,
            name::INSTANCES_PRICE,
            name::VCPUS_TOTAL,
            name::MEMORY_TOTAL,
            name::CREATE_HOLDS,
            name::SUBSTITUTES,
            name::CONTAINERS_RUNNING,
            name::AT_QUOTA,
        ]);
        for category in CATEGORIES {
            for instance_type in types {
                let labels = vec![
                    ("category", category.to_owned()),
                    ("instance_type", (*instance_type).to_owned()),
                ];
                self.add(name::INSTANCES_TOTAL, labels, 0.0);
            }
            for metric in [name::INSTANCES_PRICE, name::VCPUS_TOTAL, name::MEMORY_TOTAL] {
                self.add(metric, vec![("category", category.to_owned())], 0.0);
            }
        }
        for worker in pool.workers.values() {
            let category = category(worker).to_owned();
            let it = &worker.instance_type;
            let labels = vec![
                ("category", category.clone()),
                ("instance_type", it.name.to_string()),
            ];
            self.add(name::INSTANCES_TOTAL, labels, 1.0);
            let of_category = || vec![("category", category.clone())];
            self.add(name::INSTANCES_PRICE, of_category(), it.price);
            self.add(name::VCPUS_TOTAL, of_category(), f64::from(it.vcpus));
            self.add(name::MEMORY_TOTAL, of_category(), it.ram_bytes as f64);
        }
        let any = pool.hold.iter().map(|hold| ("any".to_owned(), hold.cause));
        let of_type = pool
            .type_holds
            .iter()
            .map(|(name, hold)| (name.to_string(), hold.cause));
        for (instance_type, cause) in any.chain(of_type) {
            let labels = vec![
                ("instance_type", instance_type),
                ("cause", cause.to_string()),
            ];
            self.add(name::CREATE_HOLDS, labels, 1.0);
        }
        for (instance_type, substitute) in &pool.substitutes {
            let labels = vec![
                ("instance_type", instance_type.to_string()),
                ("substitute", substitute.to_string()),
            ];
            self.add(name::SUBSTITUTES, labels, 1.0);
        }
        let running = pool
            .runners
            .values()
            .flatten()
            .filter(|r| !matches!(r.state, RunnerState::Exited { .. }))
            .count();
        self.add(name::CONTAINERS_RUNNING, vec![], running as f64);
        let held = pool.hold.as_ref().is_some_and(|h| {
            matches!(
                h.cause,
                HoldCause::Quota | HoldCause::MaxInstances | HoldCause::SpendingLimit
            )
        });
        let full = pool
            .instance_limit
            .is_some_and(|limit| pool.workers.len() >= limit);
        let at_quota = held || full || self.at_quota;
        self.add(name::AT_QUOTA, vec![], if at_quota { 1.0 } else { 0.0 });
    }

    /// Shows all values, and zero for what was shown before and is no more. Needs a recorder in force.
    pub(crate) fn publish(&mut self) {
        for (series, value) in &self.values {
            set(series, *value);
        }
        for series in self
            .shown
            .iter()
            .filter(|series| !self.values.contains_key(*series))
        {
            set(series, 0.0);
        }
        self.shown.extend(self.values.keys().cloned());
    }

    fn clear(&mut self, metrics: &[&'static str]) {
        self.values
            .retain(|(metric, _), _| !metrics.contains(metric));
    }

    fn add(&mut self, metric: &'static str, labels: Vec<(&'static str, String)>, n: f64) {
        *self.values.entry((metric, labels)).or_default() += n;
    }
}

fn set((metric, labels): &Series, value: f64) {
    let labels: Vec<Label> = labels
        .iter()
        .map(|(key, value)| Label::new(*key, value.clone()))
        .collect();
    gauge!(*metric, labels).set(value);
}

/// The first that applies: in use, on hold, booting, unknown, idle (facts §4).
fn category(worker: &WorkerView) -> &'static str {
    if !worker.containers.is_empty() {
        "inuse"
    } else if worker.idle_behavior == IdleBehavior::Hold {
        "hold"
    } else {
        match worker.state {
            WorkerState::Booting => "booting",
            WorkerState::Unknown => "unknown",
            WorkerState::Idle | WorkerState::Running | WorkerState::Shutdown => "idle",
        }
    }
}
