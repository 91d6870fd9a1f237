//! Requests to the Arvados API (`api-requests.jsonl`).

use std::collections::{BTreeMap, BTreeSet};

use dispatch_lab_net::{Heard, HeardRequest};
use serde_json::{Value, json};

use super::{ours, recorded, without_luck};

const REQUESTS: &str = include_str!("../../../transcripts/api-requests.jsonl");

/// A request by its meaning.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Meaning {
    /// "GET /arvados/v1/containers".
    what: String,
    /// Each parameter in JSON, as far as it is JSON.
    params: BTreeMap<String, String>,
}

impl Meaning {
    fn new(
        method: &str,
        path: &str,
        params: impl IntoIterator<Item = (String, String)>,
    ) -> Meaning {
        let params = params.into_iter().map(|(name, value)| {
            let json = serde_json::from_str(&value).unwrap_or(Value::String(value));
            let value = match name.as_str() {
                "offset" => json!("<n>"),
                _ => same_in_every_run(json),
            };
            (name, value.to_string())
        });
        Meaning {
            what: format!("{method} {}", without_luck(path)),
            params: params.collect(),
        }
    }

    fn of_recorded(row: &Value) -> Meaning {
        let text = |value: &Value| value.as_str().expect("a text").to_owned();
        let params = row["params"].as_object().expect("parameters");
        let params = params
            .iter()
            .map(|(name, value)| (name.clone(), text(value)));
        Meaning::new(&text(&row["method"]), &text(&row["path"]), params)
    }

    fn of_ours(request: &HeardRequest) -> Meaning {
        let pairs = |bytes: &[u8]| -> Vec<(String, String)> {
            url::form_urlencoded::parse(bytes).into_owned().collect()
        };
        let mut params = pairs(request.query.as_bytes());
        params.extend(pairs(&request.body));
        Meaning::new(&request.method, &request.path, params)
    }
}

/// Container ids and texts for people differ from run to run, and so does the number of ids.
fn same_in_every_run(value: Value) -> Value {
    match value {
        Value::String(text) => json!(without_luck(&text)),
        Value::Array(list) => {
            let mut list: Vec<Value> = list.into_iter().map(same_in_every_run).collect();
            list.dedup();
            Value::Array(list)
        }
        Value::Object(map) => {
            let map = map.into_iter().map(|(name, value)| {
                let is_for_people = name == "error" || name == "errorDetail";
                let value = if is_for_people {
                    json!("<text>")
                } else {
                    same_in_every_run(value)
                };
                (name, value)
            });
            // In the order of the names.
            Value::Object(map.collect::<BTreeMap<_, _>>().into_iter().collect())
        }
        other => other,
    }
}

fn requests() -> impl Iterator<Item = &'static HeardRequest> {
    ours().heard.iter().filter_map(|heard| match heard {
        Heard::Api(request) => Some(request),
        Heard::Cloud(_) | Heard::Command { .. } => None,
    })
}

fn params(pairs: &[(&str, Value)]) -> Vec<(String, String)> {
    pairs
        .iter()
        .map(|(name, value)| {
            let value = value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned);
            ((*name).to_owned(), value)
        })
        .collect()
}

/// What ours says instead of something that was recorded, or beside it.
#[derive(Default)]
struct Difference {
    why: &'static str,
    recorded: Vec<Meaning>,
    instead: Vec<Meaning>,
    /// Said only if something else happens to come first.
    perhaps: Vec<Meaning>,
}

fn differences() -> Vec<Difference> {
    let containers = "/arvados/v1/containers";
    let one = "/arvados/v1/containers/<uuid>";
    let error = json!({"error": ""});
    vec![
        Difference {
            why: "mounts are read for many containers with one call (facts P1, K22)",
            recorded: vec![Meaning::new(
                "GET",
                one,
                params(&[("select", json!(["mounts"]))]),
            )],
            instead: vec![Meaning::new(
                "GET",
                containers,
                params(&[
                    ("count", json!("none")),
                    ("filters", json!([["uuid", "in", ["<uuid>"]]])),
                    ("limit", json!("<n>")),
                    ("order", json!("uuid")),
                    ("select", json!(["uuid", "mounts"])),
                ]),
            )],
            ..Difference::default()
        },
        Difference {
            why: "what can never run is cancelled with one call that also says why (facts K22, §5.4)",
            recorded: vec![
                Meaning::new(
                    "PUT",
                    one,
                    params(&[
                        ("container", json!({"runtime_status": error})),
                        ("select", json!(["uuid"])),
                    ]),
                ),
                Meaning::new(
                    "PUT",
                    one,
                    params(&[("container", json!({"state": "Cancelled"}))]),
                ),
            ],
            instead: vec![Meaning::new(
                "PUT",
                one,
                params(&[
                    (
                        "container",
                        json!({"runtime_status": error, "state": "Cancelled"}),
                    ),
                    (
                        "select",
                        json!(["uuid", "state", "priority", "locked_by_uuid"]),
                    ),
                ]),
            )],
            ..Difference::default()
        },
        Difference {
            why: "our containers are listed until an empty page, and here some were locked (facts Q10)",
            instead: vec![Meaning::new(
                "GET",
                containers,
                params(&[
                    ("count", json!("none")),
                    (
                        "filters",
                        json!([
                            ["locked_by_uuid", "=", "zzzzz-gj3su-000000000000000"],
                            ["uuid", ">", "<uuid>"]
                        ]),
                    ),
                    ("limit", json!("1000")),
                    ("order", json!("uuid")),
                    ("select", selected()),
                ]),
            )],
            ..Difference::default()
        },
        Difference {
            why: "a container whose runner has ended is looked at at once, if no poll is faster (facts P6)",
            perhaps: vec![Meaning::new(
                "GET",
                one,
                params(&[(
                    "select",
                    json!([
                        "uuid",
                        "state",
                        "priority",
                        "locked_by_uuid",
                        "runtime_status"
                    ]),
                )]),
            )],
            ..Difference::default()
        },
    ]
}

/// What lists of containers ask for.
fn selected() -> Value {
    json!([
        "uuid",
        "state",
        "priority",
        "runtime_constraints",
        "container_image",
        "scheduling_parameters",
        "created_at",
        // Whose lock it is: the Go dispatcher does not ask, and takes others' containers for its own (facts K13).
        "locked_by_uuid",
    ])
}

/// The recorded meaning in our words, where the words alone differ.
fn in_our_words(mut meaning: Meaning) -> Meaning {
    if meaning
        .params
        .get("select")
        .is_some_and(|select| select.contains("created_at"))
    {
        meaning
            .params
            .insert("select".into(), selected().to_string());
    }
    meaning
}

/// How many rows of mounts are asked for is how many containers came; it says nothing.
fn without_counts(mut meaning: Meaning) -> Meaning {
    let is_mounts = meaning
        .params
        .get("select")
        .is_some_and(|select| select.contains("mounts"));
    if is_mounts && let Some(limit) = meaning.params.get_mut("limit") {
        *limit = json!("<n>").to_string();
    }
    meaning
}

#[test]
fn the_daemon_asks_the_api_what_the_go_dispatcher_asked() {
    let mut expected: BTreeSet<Meaning> = recorded(REQUESTS)
        .map(|row| in_our_words(Meaning::of_recorded(&row)))
        .collect();
    let mut perhaps = BTreeSet::new();
    for difference in differences() {
        let why = difference.why;
        for meaning in difference.recorded {
            let was_recorded = expected.remove(&meaning);
            assert!(
                was_recorded,
                "never recorded, so no difference: {why}: {meaning:#?}"
            );
        }
        expected.extend(difference.instead);
        perhaps.extend(difference.perhaps);
    }
    let asked: BTreeSet<Meaning> = requests()
        .map(|request| without_counts(Meaning::of_ours(request)))
        .collect();
    let missing: Vec<_> = expected.difference(&asked).collect();
    let unexplained: Vec<_> = asked
        .difference(&expected)
        .filter(|meaning| !perhaps.contains(meaning))
        .collect();
    assert!(
        missing.is_empty() && unexplained.is_empty(),
        "missing: {missing:#?}\nunexplained: {unexplained:#?}"
    );
}

#[test]
fn every_request_carries_the_recorded_headers() {
    let row = recorded(REQUESTS).next().expect("a recorded request");
    let recorded_id = row["headers"]["X-Request-Id"].as_str().expect("an id");
    for request in requests() {
        let header = |name: &str| request.headers.get(name).map_or("", String::as_str);
        assert_eq!(
            header("authorization"),
            format!("Bearer {}", ours().root_token)
        );
        let id = header("x-request-id");
        let alike = id.len() == recorded_id.len() && id.starts_with("req-");
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        assert!(alike && id[4..].chars().all(plain), "{request:?}");
        if request.method != "GET" && !request.body.is_empty() {
            assert_eq!(header("content-type"), "application/x-www-form-urlencoded");
        }
    }
    let ids: BTreeSet<_> = requests()
        .map(|request| &request.headers["x-request-id"])
        .collect();
    assert_eq!(ids.len(), requests().count(), "each has its own");
}
