//! The exposition against what the Go dispatcher was recorded to expose.

use std::{collections::BTreeMap, sync::Arc};

use dispatch_model::{
    ContainerState, IdleBehavior, InstanceType, PoolSnapshot, QueueEntry, QueueSnapshot, Sizing,
    WorkerView,
};

use super::*;

const RECORDED: &str = include_str!("../../../../tests/transcripts/metrics.prom");

/// Every family's type, and every series without its value.
fn shape(text: &str) -> (BTreeMap<String, String>, Vec<String>) {
    let mut types = BTreeMap::new();
    let mut series = Vec::new();
    for line in text.lines() {
        if let Some((name, kind)) = line
            .strip_prefix("# TYPE ")
            .and_then(|rest| rest.split_once(' '))
        {
            types.insert(name.to_owned(), kind.to_owned());
        } else if let Some((name, _)) = line.rsplit_once(' ').filter(|_| !line.starts_with('#')) {
            let (name, labels) = name.split_once('{').unwrap_or((name, ""));
            let mut labels: Vec<&str> = labels.trim_end_matches('}').split(',').collect();
            labels.sort_unstable();
            series.push(format!("{name} {}", labels.join(",")));
        }
    }
    (types, series)
}

fn instance_type(name: &str) -> Arc<InstanceType> {
    Arc::new(InstanceType {
        name: name.into(),
        provider_type: name.to_owned(),
        image: None,
        vcpus: 2,
        ram_bytes: 8 << 30,
        included_scratch_bytes: 0,
        added_scratch_bytes: 0,
        price: 0.25,
        preemptible: false,
        gpu: Default::default(),
    })
}

fn worker(
    id: u64,
    state: WorkerState,
    idle_behavior: IdleBehavior,
    containers: &[&str],
) -> Arc<WorkerView> {
    Arc::new(WorkerView {
        id: WorkerId(id),
        instance: Some(format!("i-{id}").into()),
        address: None,
        instance_type: instance_type("small"),
        state,
        idle_behavior,
        containers: containers.iter().map(|c| (*c).into()).collect(),
        takes_work: false,
        will_take_work: false,
        runners_known: true,
        free_gpus: Some(0),
        state_since: Time::ZERO,
        last_busy: Timestamp::UNIX_EPOCH,
        last_container: None,
        remark: None,
    })
}

fn entry(id: &str, state: ContainerState, types: &[&str]) -> Arc<QueueEntry> {
    Arc::new(QueueEntry {
        id: id.into(),
        state,
        priority: 1,
        created_at: None,
        first_seen: Time::ZERO,
        first_seen_wall: Timestamp::UNIX_EPOCH,
        supervisor: false,
        sizing: Arc::new(Sizing {
            types: types.iter().map(|t| (*t).into()).collect(),
            ..Sizing::default()
        }),
        needs_known: true,
        locked_here: false,
        busy: false,
        as_of: Time::ZERO,
    })
}

fn queue(entries: &[Arc<QueueEntry>]) -> QueueSnapshot {
    QueueSnapshot {
        listed_at: Some(Time::ZERO),
        entries: entries
            .iter()
            .map(|e| (e.id.clone(), Arc::clone(e)))
            .collect(),
        ..QueueSnapshot::default()
    }
}

fn pool(workers: &[Arc<WorkerView>]) -> PoolSnapshot {
    PoolSnapshot {
        workers: workers.iter().map(|w| (w.id, Arc::clone(w))).collect(),
        ..PoolSnapshot::default()
    }
}

/// The value of the series whose name and labels all occur in a line.
fn value(text: &str, parts: &[&str]) -> f64 {
    let line = text
        .lines()
        .find(|line| !line.starts_with('#') && parts.iter().all(|part| line.contains(part)));
    let line = line.unwrap_or_else(|| panic!("no series with {parts:?} in\n{text}"));
    line.rsplit_once(' ')
        .expect("a value")
        .1
        .parse()
        .expect("a number")
}

#[test]
fn every_recorded_metric_is_there_with_its_type_and_labels() {
    let metrics = Metrics::new();
    metrics.config(
        "d79ae2d6166747bc89ee30db243c1674a726cab375f941829db901f8a59a31b4",
        Timestamp::UNIX_EPOCH,
        Timestamp::UNIX_EPOCH,
    );
    metrics.server(ServerLoad::default());
    metrics.request("200", "get", Duration::from_millis(2));
    metrics.request_queued(Duration::ZERO, false);
    metrics.run_probe(WorkerId(1), true, Duration::from_millis(10), Time::ZERO);
    let entries = [
        entry("a", ContainerState::Running, &["small"]),
        entry("b", ContainerState::Locked, &["spot"]),
    ];
    metrics.snapshots(
        &queue(&entries),
        &pool(&[]),
        &["big", "small", "spot"],
        Time::ZERO,
    );
    let ours = metrics.render();
    let (our_types, our_series) = shape(&ours);
    let (types, series) = shape(RECORDED);
    // EC2's own come with its driver; the version's meaning to the cluster's health check is why we have none.
    let left_out =
        |name: &str| name.contains("_ec2_") || name.starts_with("arvados_version_running");
    for (name, kind) in types.iter().filter(|(name, _)| !left_out(name)) {
        assert_eq!(our_types.get(name), Some(kind), "{name}\n{ours}");
    }
    for recorded in series.iter().filter(|series| !left_out(series)) {
        assert!(
            our_series.contains(recorded),
            "{recorded} is missing in\n{ours}"
        );
    }
    for metric in CATALOG {
        assert!(!metric.name.ends_with("_total_total"), "{}", metric.name);
    }
    assert!(
        !ours.contains("boot_outcomes_total")
            && !ours.contains("request_duration_seconds{code=\"200\",method=\"get\",quantile")
    );
}

#[test]
fn a_vanished_combination_falls_to_zero_and_the_first_that_applies_counts() {
    let metrics = Metrics::new();
    let workers = [
        worker(1, WorkerState::Running, IdleBehavior::Hold, &["c"]),
        worker(2, WorkerState::Idle, IdleBehavior::Hold, &[]),
        worker(3, WorkerState::Booting, IdleBehavior::Run, &[]),
        worker(4, WorkerState::Shutdown, IdleBehavior::Run, &[]),
    ];
    metrics.snapshots(
        &queue(&[entry("a", ContainerState::Running, &[])]),
        &pool(&workers),
        &["small"],
        Time::ZERO,
    );
    let text = metrics.render();
    for (category, n) in [
        ("inuse", 1.0),
        ("hold", 1.0),
        ("booting", 1.0),
        ("unknown", 0.0),
        ("idle", 1.0),
    ] {
        let category = format!("category=\"{category}\"");
        assert_eq!(
            value(&text, &["instances_total", &category]),
            n,
            "{category}"
        );
        assert_eq!(
            value(&text, &["instances_price", &category]),
            n * 0.25,
            "{category}"
        );
    }
    assert_eq!(
        value(
            &text,
            &[
                "queue_entries",
                "state=\"Running\"",
                "instance_type=\"none\""
            ]
        ),
        1.0
    );
    metrics.snapshots(&queue(&[]), &pool(&[]), &["small"], Time::ZERO);
    let text = metrics.render();
    assert_eq!(
        value(
            &text,
            &[
                "queue_entries",
                "state=\"Running\"",
                "instance_type=\"none\""
            ]
        ),
        0.0
    );
    assert_eq!(
        value(&text, &["instances_total", "category=\"inuse\""]),
        0.0
    );
}

#[test]
fn whoever_waits_for_a_limit_shows_although_a_cheaper_instance_could_be_created() {
    let metrics = Metrics::new();
    for at_quota in [false, true, false] {
        metrics.plan(PlanFigures {
            at_quota,
            ..PlanFigures::default()
        });
        metrics.snapshots(&queue(&[]), &pool(&[]), &["small"], Time::ZERO);
        let text = metrics.render();
        let expected = if at_quota { 1.0 } else { 0.0 };
        assert_eq!(value(&text, &["at_quota"]), expected);
        // Nothing costs 0, not -0.
        assert!(text.contains("_price_per_hour 0\n"), "{text}");
    }
}

/// What is told of the ages of probes at 100 s: the longest and the median.
#[track_caller]
fn check_probe_ages(metrics: &Metrics, workers: &[Arc<WorkerView>], expected: (f64, f64)) {
    metrics.snapshots(&queue(&[]), &pool(workers), &[], Time::from_secs(100));
    let text = metrics.render();
    let age = |which: &str| value(&text, &[format!("probe_age_seconds_{which}").as_str()]);
    assert_eq!((age("max"), age("median")), expected);
}

#[test]
fn probe_ages_are_those_of_the_instances_that_should_answer() {
    let probed = |metrics: &Metrics, id, ok, at| {
        metrics.run_probe(WorkerId(id), ok, Duration::ZERO, Time::from_secs(at));
    };
    let idle = |id| worker(id, WorkerState::Idle, IdleBehavior::Run, &[]);
    let metrics = Metrics::new();
    check_probe_ages(&metrics, &[], (0.0, 0.0));
    for (id, at) in [(1, 10), (2, 60), (3, 70)] {
        probed(&metrics, id, true, at);
    }
    probed(&metrics, 2, false, 90);
    let going = worker(1, WorkerState::Shutdown, IdleBehavior::Run, &[]);
    check_probe_ages(&metrics, &[going, idle(2), idle(3)], (40.0, 40.0));
    // One that was found at 20 s and has never answered; an order that is no instance yet.
    let view = |id, state, change: &dyn Fn(&mut WorkerView)| {
        let mut view = worker(id, state, IdleBehavior::Run, &[]);
        change(Arc::make_mut(&mut view));
        view
    };
    let found = view(4, WorkerState::Unknown, &|view| {
        view.state_since = Time::from_secs(20);
    });
    let ordered = view(5, WorkerState::Booting, &|view| view.instance = None);
    check_probe_ages(&metrics, &[idle(2), idle(3), found, ordered], (80.0, 40.0));
    // The next holder of the lock knows other workers, some by the same numbers.
    metrics.appeared(WorkerId(2));
    let again = view(2, WorkerState::Unknown, &|view| {
        view.state_since = Time::from_secs(95);
    });
    check_probe_ages(&metrics, &[again], (5.0, 5.0));
    let another = view(3, WorkerState::Unknown, &|view| {
        view.state_since = Time::from_secs(97);
    });
    check_probe_ages(&metrics, &[another], (3.0, 3.0));
}

#[test]
fn an_instance_that_is_gone_is_counted_as_what_it_was() {
    let metrics = Metrics::new();
    let after = Some(Duration::from_secs(4));
    metrics.gone(WorkerState::Running, "small", after);
    let text = metrics.render();
    assert_eq!(
        value(&text, &["instances_disappeared", "state=\"running\""]),
        1.0
    );
    assert_eq!(
        value(&text, &["unexpected_shutdowns", "instance_type=\"small\""]),
        1.0
    );
    assert_eq!(
        value(&text, &["shutdown_request_to_disappearance_seconds_sum"]),
        4.0
    );
}

#[test]
fn the_json_form_has_every_family_of_the_text() {
    let metrics = Metrics::new();
    let families = metrics.render_json();
    let names: Vec<&str> = families
        .as_array()
        .expect("an array")
        .iter()
        .filter_map(|f| f["name"].as_str())
        .collect();
    let (types, _) = shape(&metrics.render());
    assert_eq!(names, types.keys().map(String::as_str).collect::<Vec<_>>());
    let outcome = families
        .as_array()
        .expect("an array")
        .iter()
        .find(|f| f["name"] == name::BOOT_OUTCOMES);
    let outcome = outcome.expect("boot outcomes");
    assert_eq!(outcome["type"], "COUNTER");
    assert_eq!(outcome["metric"].as_array().map(Vec::len), Some(4));
}

/// The keys of an object and of what is in it, and what kind each value is; arrays are told by their first element.
fn form(value: &serde_json::Value) -> serde_json::Value {
    use serde_json::Value;
    match value {
        Value::Object(fields) => (fields.iter())
            // Our counters do not remember when they were made.
            .filter(|(key, _)| *key != "createdTimestamp")
            .map(|(key, value)| (key.clone(), form(value)))
            .collect::<BTreeMap<_, _>>()
            .into_iter()
            .collect(),
        Value::Array(items) => Value::Array(items.iter().take(1).map(form).collect()),
        Value::Number(_) => "number".into(),
        Value::String(_) => "text".into(),
        Value::Null | Value::Bool(_) => value.clone(),
    }
}

#[test]
fn the_json_form_is_the_recorded_one() {
    let recorded: serde_json::Value = serde_json::from_str(include_str!(
        "../../../../tests/transcripts/metrics-sample.json"
    ))
    .expect("the recording");
    let metrics = Metrics::new();
    metrics.config("abc", Timestamp::UNIX_EPOCH, Timestamp::UNIX_EPOCH);
    metrics.ssh_up(Duration::from_secs(9));
    metrics.request("200", "get", Duration::from_millis(2));
    let ours = metrics.render_json();
    for family in recorded.as_array().expect("an array of families") {
        let same = |other: &&serde_json::Value| other["name"] == family["name"];
        let ours = ours.as_array().expect("an array of families");
        let ours = ours.iter().find(same).expect("the family");
        assert_eq!(form(ours), form(family), "{}", family["name"]);
        assert_eq!(ours["type"], family["type"]);
    }
}

#[test]
fn methods_that_strangers_invent_are_one_series() {
    let metrics = Metrics::new();
    let count = |method: &str| {
        let label = format!("method=\"{method}\"");
        value(
            &metrics.render(),
            &["request_duration_seconds_count", &label],
        )
    };
    for n in 0..500 {
        metrics.request("405", &format!("INVENTED{n}"), Duration::ZERO);
    }
    metrics.request("200", "GET", Duration::ZERO);
    metrics.request("200", "get", Duration::ZERO);
    assert_eq!((count("get"), count("other")), (2.0, 500.0));
    let text = metrics.render();
    for family in ["request_duration_seconds", "time_to_status_seconds"] {
        let series = text
            .lines()
            .filter(|line| line.starts_with(&format!("{family}_count")));
        assert_eq!(series.count(), 2, "{text}");
    }
}

#[test]
fn observations_do_not_pile_up_where_nobody_scrapes() {
    let metrics = Metrics::new();
    for _ in 0..3 * RECORDS_BETWEEN_UPKEEPS {
        metrics.ssh_up(Duration::from_secs(1));
    }
    assert_eq!(metrics.upkeeps.load(Ordering::Relaxed), 3);
    let text = metrics.render();
    assert_eq!(value(&text, &["time_to_ssh_seconds_count"]), 3072.0);
}
