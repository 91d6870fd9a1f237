//! The list of all metrics.

/// What a metric is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Goes up and down.
    Gauge,
    /// Only goes up.
    Counter,
    /// Count, sum and quantiles.
    Summary,
    /// Count and sum alone.
    SummaryWithoutQuantiles,
}

/// One metric.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// Its whole name.
    pub name: &'static str,
    /// What it is.
    pub kind: Kind,
    /// The names of its labels.
    pub labels: &'static [&'static str],
    /// What it means.
    pub help: &'static str,
}

macro_rules! catalog {
    ($($(#[$doc:meta])* $constant:ident = $name:literal, $kind:ident, [$($label:literal),*], $help:literal;)*) => {
        $(pub(crate) const $constant: &str = $name;)*

        /// Every metric of the dispatcher.
        pub const CATALOG: &[Metric] = &[
            $(Metric { name: $name, kind: Kind::$kind, labels: &[$($label),*], help: $help },)*
        ];
    };
}

catalog! {
    QUEUE_ENTRIES = "arvados_dispatchcloud_queue_entries", Gauge, ["state", "instance_type"],
        "Containers in the dispatcher's queue, by state and by the instance type that suits them best";
    ALLOCATED_NOT_STARTED = "arvados_dispatchcloud_containers_allocated_not_started", Gauge, [],
        "Containers that wait for an instance which is booting or being created";
    OVER_QUOTA = "arvados_dispatchcloud_containers_not_allocated_over_quota", Gauge, [],
        "Containers for which no instance may be created now, and supervisors beyond their limit";
    LONGEST_WAIT = "arvados_dispatchcloud_containers_longest_wait_time_seconds", Gauge, [],
        "Age of the oldest container that is wanted and not on an instance; 0 if there is none";
    LAST_503 = "arvados_dispatchcloud_last_503_time", Gauge, [],
        "When the API last answered 503, in seconds since 1970; 0: never";
    MAX_CONCURRENT_CONTAINERS = "arvados_dispatchcloud_max_concurrent_containers", Gauge, [],
        "How many containers may run at once because of the API's load; 0: as many as there is room for";
    AT_QUOTA = "arvados_dispatchcloud_at_quota", Gauge, [],
        "1 while no more instances may be created because of a quota, MaxInstances or MaxPricePerHour";
    CONTAINERS_RUNNING = "arvados_dispatchcloud_containers_running", Gauge, [],
        "Runners on instances, those being started included";
    PROBE_AGE_MAX = "arvados_dispatchcloud_probe_age_seconds_max", Gauge, [],
        "Time since the last good probe, of the instance where it is longest ago; one that has had none counts from when it was created or found";
    PROBE_AGE_MEDIAN = "arvados_dispatchcloud_probe_age_seconds_median", Gauge, [],
        "Time since the last good probe, of the median instance";
    INSTANCES_TOTAL = "arvados_dispatchcloud_instances_total", Gauge, ["category", "instance_type"],
        "Instances by what they are doing (inuse, hold, booting, unknown, idle)";
    INSTANCES_PRICE = "arvados_dispatchcloud_instances_price", Gauge, ["category"],
        "Configured price of all instances of a category, dollars an hour";
    VCPUS_TOTAL = "arvados_dispatchcloud_vcpus_total", Gauge, ["category"],
        "Processors of all instances of a category";
    MEMORY_TOTAL = "arvados_dispatchcloud_memory_bytes_total", Gauge, ["category"],
        "Memory of all instances of a category";
    BOOT_OUTCOMES = "arvados_dispatchcloud_boot_outcomes", Counter, ["outcome"],
        "How booting ended (success, failure, aborted, disappeared), once for each instance";
    DISAPPEARED = "arvados_dispatchcloud_instances_disappeared", Counter, ["state"],
        "Instances that the cloud lists no more, by their state at that time";
    TIME_TO_SSH = "arvados_dispatchcloud_instances_time_to_ssh_seconds", Summary, [],
        "From an instance's creation to its first SSH connection";
    TIME_TO_READY = "arvados_dispatchcloud_instances_time_to_ready_for_container_seconds", Summary, [],
        "From an instance's first SSH connection until it was ready for containers";
    SHUTDOWN_TO_GONE = "arvados_dispatchcloud_instances_time_from_shutdown_request_to_disappearance_seconds", Summary, [],
        "From the request to destroy an instance until the cloud listed it no more";
    QUEUE_TO_CRUNCH_RUN = "arvados_dispatchcloud_containers_time_from_queue_to_crunch_run_seconds", Summary, [],
        "From a container's creation until the command that starts it returned";
    RUN_PROBE_DURATION = "arvados_dispatchcloud_instances_run_probe_duration_seconds", Summary, ["outcome"],
        "How long it took to ask an instance what it runs (success, fail)";
    DRIVER_OPERATIONS = "arvados_dispatchcloud_driver_operations", Counter, ["operation", "error"],
        "Calls to the cloud (Create, List, Destroy, SetTags), by whether they failed";
    CREATE_FAILED_SECONDS = "arvados_dispatchcloud_instances_create_failed_seconds", Counter, ["instance_type", "reason"],
        "Time spent in creations that failed";
    CREATE_FAILED = "arvados_dispatchcloud_instances_create_failed", Counter, ["instance_type", "reason"],
        "Creations that failed";
    UNEXPECTED_SHUTDOWNS = "arvados_dispatchcloud_instances_unexpected_shutdowns", Counter, ["instance_type"],
        "Instances that were gone without having been destroyed by the dispatcher";
    DIED = "arvados_dispatchcloud_instances_died", Counter, ["instance_type", "cause"],
        "Instances that ended without the dispatcher's doing, by what the cloud says became of them (spot interruption, launch failure, other)";
    SUBSTITUTES = "arvados_dispatchcloud_spot_substitutes", Gauge, ["instance_type", "substitute"],
        "1 while containers for this spot type may go to this on-demand type";
    CREATE_HOLDS = "arvados_dispatchcloud_create_holds", Gauge, ["instance_type", "cause"],
        "1 while instances of this type (or of any) are not created, by cause";
    VIOLATIONS = "arvados_dispatchcloud_invariant_violations", Counter, [],
        "Commands that were withheld because they would have broken a rule: any is worth a report";
    PRICE_LIMIT = "arvados_dispatchcloud_price_per_hour_limit", Gauge, [],
        "MaxPricePerHour, in dollars; 0: no limit";
    PRICE_PER_HOUR = "arvados_dispatchcloud_price_per_hour", Gauge, [],
        "Configured price of all instances, creations and shutdowns under way included, dollars an hour: what MaxPricePerHour limits";
    DISPATCH_LOCK = "arvados_dispatchcloud_dispatch_lock", Gauge, ["state"],
        "1 for where this process stands with the dispatchers' lock (none to take, waiting, surveying, in command), 0 for the rest";
    CONFIG_SOURCE = "arvados_config_source_timestamp_seconds", Gauge, ["sha256"],
        "When the configuration file was last changed";
    CONFIG_LOAD = "arvados_config_load_timestamp_seconds", Gauge, ["sha256"],
        "When the configuration was loaded";
    BUILD = "arvados_dispatchcloud_build", Gauge, ["version"],
        "1, with the version of this program";
    REQUEST_DURATION = "request_duration_seconds", SummaryWithoutQuantiles, ["code", "method"],
        "How long requests to the management API took";
    TIME_TO_STATUS = "time_to_status_seconds", SummaryWithoutQuantiles, ["code", "method"],
        "How long it took until the status of a request was known";
    CONCURRENT_REQUESTS = "arvados_concurrent_requests", Gauge, ["queue"],
        "Requests under way";
    MAX_CONCURRENT_REQUESTS = "arvados_max_concurrent_requests", Gauge, ["queue"],
        "How many requests may be under way";
    QUEUED_REQUESTS = "arvados_queued_requests", Gauge, ["queue", "priority"],
        "Requests that wait for their turn";
    MAX_QUEUED_REQUESTS = "arvados_max_queued_requests", Gauge, ["queue"],
        "How many requests may wait for their turn";
    QUEUE_DELAY = "arvados_queue_delay_seconds", Summary, ["queue", "priority"],
        "How long requests waited for their turn";
    QUEUE_TIMEOUT = "arvados_queue_timeout_seconds", Summary, ["queue", "priority"],
        "How long requests waited in vain";
    MAX_ACTIVE_AGE = "arvados_max_active_request_age_seconds", Gauge, [],
        "Age of the oldest request under way";
    MAX_ABANDONED_AGE = "arvados_max_abandoned_request_age_seconds", Gauge, [],
        "Age of the oldest request under way whose client has gone: always 0, such requests end at once";
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;

    #[test]
    fn the_documentation_shows_every_metric_as_it_is() {
        const BEGIN: &str = "<!-- metrics: begin (generated; UPDATE_EXPECT=1 cargo test -p dispatch-telemetry renews it) -->\n";
        const END: &str = "<!-- metrics: end -->\n";
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/metrics.md");
        let text = std::fs::read_to_string(file).expect("docs/metrics.md");
        let (before, rest) = text.split_once(BEGIN).expect("the marker before the table");
        let (shown, after) = rest.split_once(END).expect("the marker after the table");
        let wanted = table();
        if shown != wanted && std::env::var_os("UPDATE_EXPECT").is_some() {
            std::fs::write(file, format!("{before}{BEGIN}{wanted}{END}{after}"))
                .expect("docs/metrics.md");
            return;
        }
        assert_eq!(
            shown, wanted,
            "docs/metrics.md is out of date: run with UPDATE_EXPECT=1"
        );
    }

    fn table() -> String {
        let mut table = String::from("\n| Metric | Type | Labels | Meaning |\n|---|---|---|---|\n");
        for metric in CATALOG {
            let kind = match metric.kind {
                Kind::Gauge => "gauge",
                Kind::Counter => "counter",
                Kind::Summary => "summary",
                Kind::SummaryWithoutQuantiles => "summary, no quantiles",
            };
            let labels: Vec<String> = metric
                .labels
                .iter()
                .map(|label| format!("`{label}`"))
                .collect();
            let (name, labels, help) = (metric.name, labels.join(", "), metric.help);
            // Writing to a String cannot fail.
            let _ = writeln!(table, "| `{name}` | {kind} | {labels} | {help} |");
        }
        table.push('\n');
        table
    }
}
