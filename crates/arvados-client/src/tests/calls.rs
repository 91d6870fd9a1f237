//! What is sent, beside what the Go dispatcher was recorded to send.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{
    TOKEN, client, id,
    server::{Answer, Api, Seen},
    soon,
};

const RECORDED: &str = include_str!("../../../../tests/transcripts/api-requests.jsonl");

/// A request without what differs from one to the next.
#[derive(Clone, PartialEq, Debug)]
struct Asked {
    method: String,
    path: String,
    params: BTreeMap<String, Value>,
}

impl Asked {
    fn new(method: &str, path: &str, params: impl IntoIterator<Item = (String, String)>) -> Asked {
        Asked {
            method: method.to_owned(),
            path: path.to_owned(),
            // Lists and objects count by their meaning: Go writes ">" as "\u003e".
            params: params
                .into_iter()
                .map(|(key, text)| {
                    let value = serde_json::from_str(&text).unwrap_or(Value::String(text));
                    (key, value)
                })
                .collect(),
        }
    }

    fn of(seen: &Seen) -> Asked {
        Asked::new(&seen.method, &seen.path, seen.params.clone())
    }

    fn with(mut self, key: &str, value: Value) -> Asked {
        self.params.insert(key.to_owned(), value);
        self
    }
}

/// The recorded requests, in order.
fn recorded() -> Vec<Asked> {
    RECORDED
        .lines()
        .map(|line| {
            let line: Value = serde_json::from_str(line).expect("a line of JSON");
            let text = |value: &Value| value.as_str().expect("text").to_owned();
            let params = line["params"].as_object().expect("params").iter();
            Asked::new(
                &text(&line["method"]),
                &text(&line["path"]),
                params.map(|(key, value)| (key.clone(), text(value))),
            )
        })
        .collect()
}

/// Ours selects the owner of the lock too (facts K13).
fn with_owner(asked: Asked) -> Asked {
    let mut select = asked.params["select"].clone();
    select
        .as_array_mut()
        .expect("a list")
        .push(json!("locked_by_uuid"));
    asked.with("select", select)
}

#[tokio::test]
async fn a_poll_asks_what_the_go_dispatcher_asks() {
    let api = Api::serve(|seen| {
        let offset = seen.params.contains_key("offset");
        let filters = seen.params.get("filters").map_or("", String::as_str);
        Answer::Json(if seen.path.ends_with("/current") {
            json!({"uuid": "zzzzz-gj3su-000000000000000"})
        } else if filters.contains("Queued") && !offset {
            json!({"items": [{"uuid": "a"}, {"uuid": "b"}, {"uuid": "c"}, {"uuid": "d"}]})
        } else {
            json!({"items": []})
        })
    })
    .await;
    let client = client(&api.url());
    client.current_token(soon()).await.expect("the token");
    client
        .poll("zzzzz-gj3su-000000000000000", &[id(1), id(3)], 100, soon())
        .await
        .expect("a poll");
    let asked: Vec<Asked> = api.seen().iter().map(Asked::of).collect();
    let recorded = recorded();
    assert_eq!(asked[0], recorded[0]);
    assert_eq!(asked[1], with_owner(recorded[1].clone()));
    assert_eq!(asked[2], with_owner(recorded[2].clone()));
    assert_eq!(asked[3], with_owner(recorded[3].clone()));
    assert_eq!(asked[4], with_owner(recorded[8].clone()));
    assert_eq!(asked.len(), 5);
}

#[tokio::test]
async fn deeds_are_asked_for_as_the_go_dispatcher_does_but_a_cancellation_says_why() {
    let api = Api::serve(|_| Answer::Json(json!({"state": "Locked"}))).await;
    let client = client(&api.url());
    client.lock(&id(4), soon()).await.expect("a lock");
    client.unlock(&id(4), soon()).await.expect("an unlock");
    let why = json!({"error": "<why no instance type fits>"});
    client
        .cancel(&id(4), Some(&why), soon())
        .await
        .expect("a cancellation");
    client
        .cancel(&id(4), None, soon())
        .await
        .expect("a cancellation");
    client.read(&id(4), soon()).await.expect("a container");

    let asked: Vec<Asked> = api.seen().iter().map(Asked::of).collect();
    let recorded = recorded();
    assert_eq!(asked[0], recorded[5]);
    assert_eq!(
        (
            asked[1].method.as_str(),
            asked[1].path.as_str(),
            asked[1].params.len()
        ),
        (
            "POST",
            "/arvados/v1/containers/zzzzz-dz642-000000000000004/unlock",
            0
        )
    );
    // One call instead of two (facts K22), and less to answer than the whole record.
    let answer = json!(["uuid", "state", "priority", "locked_by_uuid"]);
    let mut both = recorded[6].params["container"].clone();
    both["state"] = recorded[7].params["container"]["state"].clone();
    assert_eq!(
        asked[2],
        recorded[7]
            .clone()
            .with("container", both)
            .with("select", answer.clone())
    );
    assert_eq!(asked[3], recorded[7].clone().with("select", answer));
    assert_eq!(asked[4].path, recorded[4].path);
    assert_eq!(
        asked[4].params["select"],
        json!([
            "uuid",
            "state",
            "priority",
            "locked_by_uuid",
            "runtime_status"
        ])
    );
}

#[tokio::test]
async fn mounts_of_many_are_asked_for_with_one_call() {
    let api = Api::serve(|_| Answer::Json(json!({"items": [{"uuid": "x", "mounts": {}}]}))).await;
    let rows = client(&api.url())
        .mounts(&[id(1), id(2)], soon())
        .await
        .expect("rows");
    assert_eq!(rows[0].get(), r#"{"uuid":"x","mounts":{}}"#);
    let seen = api.seen();
    assert_eq!(seen.len(), 1);
    let asked = Asked::of(&seen[0]);
    assert_eq!(asked.params["select"], json!(["uuid", "mounts"]));
    assert_eq!(
        asked.params["filters"],
        json!([["uuid", "in", [id(1), id(2)]]])
    );
}

#[tokio::test]
async fn every_call_carries_token_type_and_a_fresh_id() {
    let api = Api::serve(|_| Answer::Json(json!({"state": "Locked"}))).await;
    let client = client(&api.url());
    for _ in 0..2 {
        client.lock(&id(1), soon()).await.expect("a lock");
    }
    let seen = api.seen();
    for one in &seen {
        assert_eq!(one.headers["authorization"], format!("Bearer {TOKEN}"));
        assert_eq!(
            one.headers["content-type"],
            "application/x-www-form-urlencoded"
        );
        assert_eq!(one.headers["content-length"], "0");
        assert!(one.headers["x-request-id"].starts_with("req-"));
        assert!(!one.headers.contains_key("x-http-method-override"));
    }
    assert_ne!(
        seen[0].headers["x-request-id"],
        seen[1].headers["x-request-id"]
    );
}

#[tokio::test]
async fn long_questions_go_as_a_form_that_says_get() {
    let api = Api::serve(|_| Answer::Json(json!({"items": []}))).await;
    let client = client(&api.url());
    for n in [10, 50] {
        let ids: Vec<_> = (0..n).map(id).collect();
        client.mounts(&ids, soon()).await.expect("rows");
    }
    let seen = api.seen();
    assert_eq!(seen[0].method, "GET");
    assert!(seen[0].query.len() < 1000);
    assert_eq!(
        (seen[1].method.as_str(), seen[1].query.as_str()),
        ("POST", "")
    );
    assert_eq!(seen[1].headers["x-http-method-override"], "GET");
    assert!(seen[1].params["filters"].contains(id(49).as_str()));
}

#[tokio::test]
async fn an_id_cannot_become_another_path() {
    let api = Api::serve(|_| Answer::Json(json!({"state": "Locked"}))).await;
    let client = client(&api.url());
    let _ = client.read(&"../users?x=".into(), soon()).await;
    assert_eq!(
        api.seen()[0].path,
        "/arvados/v1/containers/..%2Fusers%3Fx%3D"
    );
}
