//! Tags of instances (`ec2-calls.jsonl`).

use std::collections::{BTreeMap, BTreeSet};

use dispatch_lab_net::{Heard, HeardRequest};
use serde_json::Value;

use super::{ours, recorded};

const CALLS: &str = include_str!("../../../transcripts/ec2-calls.jsonl");

/// The tags in a recorded call: `<prefix>.<n>.Key` and `.Value`.
fn recorded_tags(action: &str) -> BTreeMap<String, String> {
    let call = recorded(CALLS)
        .find(|call| call["form"]["Action"] == action)
        .expect("a recorded call");
    let form = call["form"].as_object().expect("a form").clone();
    form.iter()
        .filter_map(|(name, value)| {
            let of_an_instance =
                name.starts_with("TagSpecification.1.") || name.starts_with("Tag.");
            let place = name.strip_suffix(".Key").filter(|_| of_an_instance)?;
            let text = |value: &Value| value.as_str().map(str::to_owned);
            Some((text(value)?, text(&form[&format!("{place}.Value")])?))
        })
        .collect()
}

fn calls(method: &str, path_end: &str) -> Vec<&'static HeardRequest> {
    let heard = ours().heard.iter();
    heard
        .filter_map(|heard| match heard {
            Heard::Cloud(request)
                if request.method == method && request.path.ends_with(path_end) =>
            {
                Some(request)
            }
            Heard::Cloud(_) | Heard::Api(_) | Heard::Command { .. } => None,
        })
        .collect()
}

fn names(tags: &BTreeMap<String, String>) -> BTreeSet<&String> {
    tags.keys().collect()
}

#[test]
fn instances_carry_the_recorded_tags() {
    let recorded_tags = recorded_tags("RunInstances");
    let orders = calls("POST", "/instances");
    assert!(orders.len() >= 3);
    for order in orders {
        let order: Value = serde_json::from_slice(&order.body).expect("an order");
        let tags: BTreeMap<String, String> =
            serde_json::from_value(order["tags"].clone()).expect("tags");
        assert_eq!(names(&tags), names(&recorded_tags));
        for (name, value) in &recorded_tags {
            match name.as_str() {
                // Fresh secrets of the same form; the set's id depends on the token.
                "ArvadosInstanceSecret" | "ArvadosInstanceSetID" => {
                    assert_eq!(tags[name].len(), value.len(), "{name}");
                    assert!(tags[name].chars().all(|c| c.is_ascii_hexdigit()), "{name}");
                }
                "ArvadosInstanceType" => {
                    let provider_type = order["provider_type"].as_str().expect("a type");
                    assert_eq!(provider_type, format!("m5.{}", tags[name]));
                }
                _ => assert_eq!(&tags[name], value, "{name}"),
            }
        }
    }
}

#[test]
fn a_list_asks_for_the_instances_of_our_set() {
    let call = recorded(CALLS).next().expect("a recorded list");
    assert_eq!(call["form"]["Filter.1.Name"], "tag:ArvadosInstanceSetID");
    for list in calls("GET", "/instances") {
        assert_eq!(
            list.query,
            format!(
                "tag.ArvadosInstanceSetID={}",
                ours().tags["ArvadosInstanceSetID"]
            )
        );
    }
}

#[test]
fn a_wish_of_the_operator_is_kept_as_the_recorded_tag() {
    let recorded_tags = recorded_tags("CreateTags");
    assert_eq!(recorded_tags["ArvadosIdleBehavior"], "hold");
    let path = format!("/instances/{}/tags", ours().instance);
    let wishes: Vec<Value> = calls("POST", &path)
        .iter()
        .map(|call| serde_json::from_slice(&call.body).expect("tags"))
        .collect();
    assert!(
        wishes
            .iter()
            .any(|wish| wish["tags"]["ArvadosIdleBehavior"] == "hold"),
        "{wishes:?}"
    );
    assert_eq!(
        names(&ours().tags),
        names(&recorded_tags),
        "none is lost on the way"
    );
}
