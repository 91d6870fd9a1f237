//! Metrics (`metrics.prom`, `metrics-sample.json`).

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::ours;

const PROMETHEUS: &str = include_str!("../../../transcripts/metrics.prom");
const JSON: &str = include_str!("../../../transcripts/metrics-sample.json");

/// Recorded names that ours does not have, and why.
const MISSING: [(&str, &str); 3] = [
    (
        "arvados_dispatchcloud_ec2_instance_starts_total",
        "belongs to the driver ec2, which this daemon does not use",
    ),
    ("arvados_dispatchcloud_ec2_instances", "the same"),
    (
        "arvados_version_running",
        "the cluster's health check takes it for Arvados' own version, and would complain of ours (facts §2.6); \
         arvados_dispatchcloud_build says it",
    ),
];

/// Families whose combinations of labels depend on what happened; of all others, all are there from the start.
const AS_IT_HAPPENS: [&str; 5] = [
    "arvados_dispatchcloud_queue_entries",
    "arvados_config_load_timestamp_seconds",
    "arvados_config_source_timestamp_seconds",
    "request_duration_seconds",
    "time_to_status_seconds",
];

/// One family: its type, and the labels of each of its series.
#[derive(Default, Debug)]
struct Family {
    kind: String,
    series: BTreeSet<Vec<(String, String)>>,
}

fn families(text: &str) -> BTreeMap<String, Family> {
    let mut families: BTreeMap<String, Family> = BTreeMap::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').expect("a type");
            families.entry(name.to_owned()).or_default().kind = kind.to_owned();
        }
        if line.starts_with('#') || line.is_empty() {
            continue;
        }
        let (series, value) = line.rsplit_once(' ').expect("a value");
        value.parse::<f64>().unwrap_or_else(|_| panic!("{line}"));
        let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
        let family = ["", "_sum", "_count"]
            .into_iter()
            .filter_map(|ending| name.strip_suffix(ending))
            .find(|name| families.contains_key(*name));
        let family = family
            .unwrap_or_else(|| panic!("a series without a type: {line}"))
            .to_owned();
        let labels = labels
            .trim_end_matches('}')
            .split(',')
            .filter(|label| !label.is_empty());
        let mut labels: Vec<(String, String)> = labels
            .map(|label| {
                let (name, value) = label.split_once('=').expect("a label");
                (name.to_owned(), value.trim_matches('"').to_owned())
            })
            .collect();
        labels.sort();
        families.entry(family).or_default().series.insert(labels);
    }
    families
}

fn label_names(family: &Family) -> BTreeSet<&str> {
    family
        .series
        .iter()
        .flatten()
        .map(|(name, _)| name.as_str())
        .collect()
}

#[test]
fn every_recorded_metric_is_there_with_its_type_and_labels() {
    let (ours, theirs) = (families(&ours().metrics), families(PROMETHEUS));
    for (name, theirs) in &theirs {
        if let Some((_, why)) = MISSING.iter().find(|(missing, _)| missing == name) {
            assert!(!ours.contains_key(name), "{name} is there although: {why}");
            continue;
        }
        let ours = ours
            .get(name)
            .unwrap_or_else(|| panic!("{name} is missing"));
        assert_eq!(ours.kind, theirs.kind, "{name}");
        assert_eq!(label_names(ours), label_names(theirs), "{name}");
        if !AS_IT_HAPPENS.contains(&name.as_str()) {
            let missing: Vec<_> = theirs.series.difference(&ours.series).collect();
            assert!(missing.is_empty(), "{name}: {missing:?}");
        }
    }
}

#[test]
fn the_counts_are_those_of_the_scene() {
    let value = |series: &str| -> f64 {
        let line = ours().metrics.lines().find(|line| {
            line.strip_prefix(series)
                .is_some_and(|rest| rest.starts_with(' '))
        });
        let line = line.unwrap_or_else(|| panic!("no {series}"));
        line.rsplit(' ')
            .next()
            .and_then(|text| text.parse().ok())
            .expect("a number")
    };
    let of = |name: &str| value(&format!("arvados_dispatchcloud_{name}"));
    assert!(of("boot_outcomes{outcome=\"success\"}") >= 3.0);
    assert!(of("driver_operations{operation=\"Create\",error=\"0\"}") >= 3.0);
    assert_eq!(of("containers_running"), 1.0);
    assert_eq!(of("at_quota"), 1.0);
    assert_eq!(
        of("containers_time_from_queue_to_crunch_run_seconds_count"),
        4.0
    );
    assert_eq!(
        of("instances_total{category=\"inuse\",instance_type=\"small\"}"),
        1.0
    );
    assert_eq!(of("invariant_violations"), 0.0);
}

#[test]
fn the_json_form_is_that_of_the_recording() {
    let recorded: Vec<Value> = serde_json::from_str(JSON).expect("JSON");
    let ours = ours().metrics_json.as_array().expect("a list");
    let mut compared = 0;
    for theirs in &recorded {
        let name = &theirs["name"];
        if MISSING.iter().any(|(missing, _)| name == missing) {
            continue;
        }
        let ours = ours.iter().find(|family| family["name"] == *name);
        let ours = ours.unwrap_or_else(|| panic!("{name} is missing"));
        assert_eq!(ours["type"], theirs["type"], "{name}");
        assert!(
            ours["help"].as_str().is_some_and(|help| !help.is_empty()),
            "{name}"
        );
        let kinds = |family: &Value| -> BTreeSet<String> {
            let series = family["metric"].as_array().cloned().unwrap_or_default();
            let fields = series
                .iter()
                .filter_map(Value::as_object)
                .flat_map(|map| map.keys());
            fields.cloned().collect()
        };
        assert_eq!(kinds(ours), kinds(theirs), "{name}");
        compared += 1;
    }
    assert!(compared >= 4);
}
