//! Answers of the management API (`management.jsonl`).

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::{Value, json};

use super::{MANAGEMENT, ours, recorded};
use crate::support::{Answer, Rig};

/// Sends a recorded request: "GET /path body=None token=good".
pub(super) async fn ask(rig: &Rig, request: &str) -> Answer {
    let (rest, token) = request.rsplit_once(" token=").expect("a token");
    let (rest, body) = rest.rsplit_once(" body=").expect("a body");
    let (method, path) = rest.split_once(' ').expect("a path");
    let body = body
        .strip_prefix("b'")
        .and_then(|body| body.strip_suffix('\''));
    let token = match token {
        "good" => Some(rig.lab.lab().config.management_token.as_str()),
        "bad" => Some("somebody-elses-token"),
        _ => None,
    };
    let method: Method = method.parse().expect("a method");
    let answer = rig.management.ask(method, path, token, body).await;
    answer.expect("an answer")
}

#[test]
fn the_recorded_requests_get_the_recorded_answers() {
    for row in recorded(MANAGEMENT) {
        let request = row["request"].as_str().expect("a request");
        let Some(answer) = ours().answers.get(request) else {
            continue;
        };
        assert_eq!(json!(answer.status), row["status"], "{request}: {answer:?}");
        for name in ["Content-Type", "X-Content-Type-Options", "Allow"] {
            let header = answer
                .headers
                .get(name)
                .map(|value| value.to_str().expect("a text"));
            let mut expected = row["headers"][name].as_str();
            if request.starts_with("GET /metrics.json") && name == "Content-Type" {
                // Go's calls JSON plain text.
                expected = Some("application/json");
            }
            let words = |text: Option<&str>| -> BTreeSet<String> {
                let words = text.unwrap_or_default().split([',', ' ', ';']);
                words
                    .filter(|word| !word.is_empty())
                    .map(str::to_lowercase)
                    .collect()
            };
            assert_eq!(words(header), words(expected), "{request}: {name}");
        }
        check_body(request, answer, &row["body"]);
    }
    assert_eq!(ours().answers.len(), 16);
}

fn check_body(request: &str, answer: &Answer, recorded: &Value) {
    let errors = recorded["errors"].is_array();
    match recorded.as_str() {
        None if errors => {
            let errors = answer.json()["errors"]
                .as_array()
                .cloned()
                .unwrap_or_default();
            let told = errors
                .iter()
                .all(|error| error.as_str().is_some_and(|text| text.len() > 5));
            assert!(!errors.is_empty() && told, "{request}: {answer:?}");
        }
        // This request is under way while it is answered; the recorded one does not count itself.
        Some("[]\n") => assert!(answer.json().is_array(), "{request}: {answer:?}"),
        Some(text) if text.starts_with("JSON array") => {
            assert!(answer.json().is_array(), "{request}: {answer:?}");
        }
        Some(text) => match serde_json::from_str::<Value>(text) {
            Ok(expected) => assert_eq!(answer.json(), expected, "{request}"),
            Err(_) => assert_eq!(answer.text.trim(), text.trim(), "{request}"),
        },
        None => panic!("a recorded body of another kind: {recorded}"),
    }
}

/// What ours has beyond the recorded answers, and why.
const BEYOND: [(&str, &str); 4] = [
    (
        "remark",
        "says in words what is wrong with an instance or why it takes no work",
    ),
    (
        "instance_type",
        "the best type alone, as clients older than the recording expect (facts §2.6)",
    ),
    (
        "Name",
        "the type's name: the documents promise it (facts K32)",
    ),
    (
        "held_by",
        "what keeps an instance from being created, in the cloud's own words: operators look for it here first",
    ),
];

/// That ours has every field of theirs, of the same kind.
fn check_shape(place: &str, ours: &Value, theirs: &Value) {
    match (ours, theirs) {
        (Value::Object(our_map), Value::Object(their_map)) => {
            // An instance that is still being created has no list of containers yet (facts §2.6).
            let pending = our_map.get("instance").is_some_and(|id| id == "");
            for (name, theirs) in their_map {
                let place = format!("{place}.{name}");
                let ours = our_map
                    .get(name)
                    .unwrap_or_else(|| panic!("{place} is missing"));
                if pending && name == "running_container_uuids" && ours.is_null() {
                    continue;
                }
                check_shape(&place, ours, theirs);
            }
            for name in our_map.keys().filter(|name| !their_map.contains_key(*name)) {
                let known = BEYOND.iter().any(|(beyond, _)| beyond == name);
                assert!(known, "{place}.{name} was never recorded");
            }
        }
        (Value::Array(our_list), Value::Array(their_list)) => {
            if let Some(theirs) = their_list.first() {
                for row in our_list {
                    check_shape(&format!("{place}[]"), row, theirs);
                }
            }
        }
        (Value::Number(_), Value::Number(_)) | (Value::Bool(_), Value::Bool(_)) => {}
        // Dates are told apart from other texts.
        (Value::String(ours), Value::String(theirs)) => {
            assert_eq!(is_date(ours), is_date(theirs), "{place}: {ours} {theirs}");
        }
        // Go writes null for what it never asked the API for; ours may know more.
        (_, Value::Null) => {}
        (Value::Null, _) => panic!("{place} is null"),
        _ => panic!("{place} is {ours}, was {theirs}"),
    }
}

fn is_date(text: &str) -> bool {
    text.parse::<jiff::Timestamp>().is_ok()
}

#[test]
fn the_lists_have_the_recorded_shapes() {
    let mut seen = 0;
    for row in recorded(MANAGEMENT) {
        let moment = row["request"].as_str().expect("a moment");
        let Some(list) = ours().lists.get(moment) else {
            continue;
        };
        assert!(
            list.as_array().is_some_and(|list| list.len() >= 3),
            "{moment}: {list}"
        );
        check_shape(moment, list, &row["items"]);
        seen += 1;
    }
    assert_eq!(seen, 4);
}

#[test]
fn the_lists_say_what_the_recorded_ones_said() {
    let list = |moment: &str| ours().lists[moment].as_array().cloned().expect("a list");
    let containers = |moment: &str| -> Vec<(String, String)> {
        let rows = list(moment).into_iter();
        let text = |value: &Value| value.as_str().expect("a text").to_owned();
        rows.map(|row| {
            (
                text(&row["container"]["state"]),
                text(&row["scheduling_status"]),
            )
        })
        .collect()
    };
    // Whoever waits is told why, in the recorded kinds of words; whoever runs is told nothing.
    let waiting = containers("containers while waiting");
    let positions = waiting
        .iter()
        .filter(|(_, status)| status.contains("position 1"));
    assert_eq!(positions.count(), 1, "{waiting:?}");
    for (state, status) in waiting
        .iter()
        .chain(&containers("containers while running"))
    {
        let waits = ["Queued", "Locked"].contains(&state.as_str());
        assert_eq!(status.is_empty(), !waits, "{state}: {status:?}");
    }

    for row in list("instances with running containers") {
        let busy = row["running_container_uuids"]
            .as_array()
            .is_some_and(|list| !list.is_empty());
        assert_eq!(row["worker_state"] == "running", busy, "{row}");
    }
    // By instance, then type.
    let ids: Vec<String> = list("instances with running containers")
        .iter()
        .map(|row| row["instance"].to_string())
        .collect();
    assert!(ids.is_sorted(), "{ids:?}");
}
