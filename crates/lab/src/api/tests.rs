//! The API's rules, as a table of requests.

use serde_json::{Value, json};

use super::*;
use crate::luck::Luck;

const ROOT: &str = "root-token";
const OTHER: &str = "other-admin";
const USER: &str = "plain-user";

struct Desk {
    api: Api,
    knobs: ApiKnobs,
    ms: u64,
}

impl Desk {
    fn new() -> Desk {
        let token = |token: &str, n: u32, admin| Token {
            token: token.into(),
            uuid: format!("zzzzz-gj3su-{n:015}"),
            admin,
        };
        let tokens = vec![token(OTHER, 1, true), token(USER, 2, false)];
        Desk {
            api: Api::new("zzzzz", ROOT, tokens, Luck::new(1, "uuids")),
            knobs: ApiKnobs::default(),
            ms: 0,
        }
    }

    fn ask(
        &mut self,
        token: &str,
        method: &str,
        path: &str,
        params: &[(&str, &str)],
    ) -> (u16, Value) {
        self.ms += 1;
        let request = ApiRequest::new(method, &format!("/arvados/v1/{path}"), token, params);
        let answer = self.api.handle(&request, &self.knobs, Now::at(self.ms));
        (answer.status, answer.json())
    }

    fn submit(&mut self, attributes: Value) -> String {
        self.api.create(&attributes, Now::at(self.ms)).unwrap()
    }

    /// A container in this state, locked (if so) by the root token.
    fn container_in(&mut self, state: &str) -> String {
        let uuid = self.submit(json!({"priority": 5}));
        let steps: &[&str] = match state {
            "Queued" => &[],
            "Locked" => &["Locked"],
            "Running" => &["Locked", "Running"],
            "Complete" => &["Locked", "Running", "Complete"],
            _ => &["Cancelled"],
        };
        for step in steps {
            assert_eq!(self.put(ROOT, &uuid, json!({"state": step})).0, 200);
        }
        uuid
    }

    fn put(&mut self, token: &str, uuid: &str, attributes: Value) -> (u16, Value) {
        self.ask(
            token,
            "PUT",
            &format!("containers/{uuid}"),
            &[("container", &attributes.to_string())],
        )
    }

    fn list(&mut self, params: &[(&str, &str)]) -> Vec<Value> {
        let (status, page) = self.ask(ROOT, "GET", "containers", params);
        assert_eq!(status, 200, "{page}");
        page["items"].as_array().unwrap().clone()
    }
}

#[test]
fn only_the_changes_of_state_in_the_table_are_accepted() {
    let allowed = [
        ("Queued", "Locked"),
        ("Queued", "Cancelled"),
        ("Locked", "Queued"),
        ("Locked", "Running"),
        ("Locked", "Cancelled"),
        ("Running", "Complete"),
        ("Running", "Cancelled"),
        ("Complete", "Cancelled"),
    ];
    for from in ContainerState::ALL.map(ContainerState::name) {
        for to in ContainerState::ALL.map(ContainerState::name) {
            let mut desk = Desk::new();
            let uuid = desk.container_in(from);
            let (status, answer) = desk.put(ROOT, &uuid, json!({"state": to}));
            let expected = if from == to || allowed.contains(&(from, to)) {
                200
            } else {
                422
            };
            assert_eq!(status, expected, "{from} -> {to}: {answer}");
            if expected == 422 {
                let text = answer["errors"][0].as_str().unwrap();
                assert!(text.contains(from) && text.contains(to), "{text}");
                assert!(answer["error_token"].as_str().unwrap().contains('+'));
            }
        }
    }
}

#[test]
fn each_state_has_its_writable_attributes() {
    let table = [
        ("Queued", json!({"priority": 7}), 200),
        ("Queued", json!({"runtime_status": {"error": "x"}}), 422),
        ("Locked", json!({"runtime_status": {"error": "x"}}), 200),
        ("Locked", json!({"log": "l"}), 200),
        ("Locked", json!({"exit_code": 1}), 422),
        ("Running", json!({"cost": 1.5, "progress": 0.5}), 200),
        ("Running", json!({"runtime_constraints": {"vcpus": 9}}), 422),
        (
            "Running",
            json!({"state": "Complete", "exit_code": 0, "output": "o"}),
            200,
        ),
        ("Complete", json!({"exit_code": 3}), 422),
        (
            "Complete",
            json!({"state": "Cancelled", "exit_code": 3}),
            422,
        ),
        (
            "Queued",
            json!({"state": "Cancelled", "runtime_status": {"error": "never"}}),
            200,
        ),
        ("Queued", json!({"runtime_status": {}}), 200),
        ("Locked", json!({"runtime_status": {"error": 3}}), 422),
        ("Locked", json!({"priority": -1}), 422),
        ("Locked", json!({"no_such": 1}), 422),
    ];
    for (state, attributes, expected) in table {
        let mut desk = Desk::new();
        let uuid = desk.container_in(state);
        let (status, answer) = desk.put(ROOT, &uuid, attributes.clone());
        assert_eq!(status, expected, "{state} {attributes}: {answer}");
    }
}

#[test]
fn tokens_decide_who_may_do_what() {
    let mut desk = Desk::new();
    let uuid = desk.container_in("Locked");
    let path = format!("containers/{uuid}");
    assert_eq!(desk.ask("", "GET", &path, &[]).0, 401);
    assert_eq!(desk.ask("unknown", "GET", &path, &[]).0, 401);
    assert_eq!(
        desk.ask(USER, "POST", &format!("{path}/unlock"), &[]).0,
        403
    );
    assert_eq!(
        desk.ask(OTHER, "POST", &format!("{path}/unlock"), &[]).0,
        403,
        "locked by another"
    );
    assert_eq!(desk.put(USER, &uuid, json!({"priority": 1})).0, 403);
    assert_eq!(
        desk.put(OTHER, &uuid, json!({"runtime_status": {"error": "x"}}))
            .0,
        422,
        "another's lock"
    );
    assert_eq!(
        desk.put(OTHER, &uuid, json!({"state": "Cancelled"})).0,
        200,
        "but it may cancel"
    );
    let (status, me) = desk.ask(ROOT, "GET", "api_client_authorizations/current", &[]);
    assert_eq!(
        (status, me["uuid"].as_str()),
        (200, Some("zzzzz-gj3su-000000000000000"))
    );
}

#[test]
fn a_running_container_may_report_its_own_progress_and_nothing_else() {
    let mut desk = Desk::new();
    let uuid = desk.container_in("Running");
    let token = format!(
        "v2/{}/secret",
        desk.api.containers()[&uuid].auth_uuid.clone().unwrap()
    );
    assert_eq!(desk.put(&token, &uuid, json!({"progress": 0.5})).0, 200);
    assert_eq!(desk.put(&token, &uuid, json!({"log": "x"})).0, 403);
    assert_eq!(desk.put(&token, &uuid, json!({"priority": 9})).0, 403);
}

#[test]
fn lock_and_unlock_answer_with_five_fields_and_count_attempts() {
    let mut desk = Desk::new();
    desk.knobs.max_dispatch_attempts = 3;
    let uuid = desk.container_in("Queued");
    let (lock, unlock) = (
        format!("containers/{uuid}/lock"),
        format!("containers/{uuid}/unlock"),
    );
    for attempt in 1..=3 {
        let (status, locked) = desk.ask(ROOT, "POST", &lock, &[]);
        assert_eq!(status, 200);
        let keys: Vec<&String> = locked.as_object().unwrap().keys().collect();
        assert_eq!(
            keys,
            [
                "kind",
                "uuid",
                "state",
                "priority",
                "auth_uuid",
                "locked_by_uuid"
            ]
        );
        assert_eq!(desk.ask(ROOT, "POST", &lock, &[]).0, 422, "twice");
        let (_, unlocked) = desk.ask(ROOT, "POST", &unlock, &[]);
        let expected = if attempt == 3 { "Cancelled" } else { "Queued" };
        assert_eq!(unlocked["state"], expected, "attempt {attempt}");
        assert_eq!(unlocked["locked_by_uuid"], Value::Null);
    }
    assert_eq!(desk.ask(ROOT, "POST", &unlock, &[]).0, 422);
    let error = desk.api.containers()[&uuid].attribute("runtime_status")["error"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(error.contains("MaxDispatchAttempts"), "{error}");
    assert_eq!(
        desk.ask(
            ROOT,
            "POST",
            "containers/zzzzz-dz642-nosuchcontainer/lock",
            &[]
        )
        .0,
        404
    );
}

#[test]
fn what_nobody_wants_is_not_locked() {
    let mut desk = Desk::new();
    let uuid = desk.submit(json!({"priority": 0}));
    assert_eq!(
        desk.ask(ROOT, "POST", &format!("containers/{uuid}/lock"), &[])
            .0,
        422
    );
}

#[test]
fn the_queue_comes_by_priority_and_operands_may_be_text() {
    let mut desk = Desk::new();
    let uuids: Vec<String> = [3_i64, 0, 1 << 60, 3]
        .iter()
        .map(|priority| desk.submit(json!({"priority": priority})))
        .collect();
    let items = desk.list(&[
        ("count", "none"),
        (
            "filters",
            r#"[["state","=","Queued"],["priority",">","0"]]"#,
        ),
        ("limit", "1000"),
        ("order", "priority desc"),
        ("select", r#"["uuid","priority"]"#),
    ]);
    let got: Vec<&str> = items
        .iter()
        .map(|item| item["uuid"].as_str().unwrap())
        .collect();
    let mut equal = [uuids[0].as_str(), uuids[3].as_str()];
    equal.sort_unstable();
    assert_eq!(
        got,
        [uuids[2].as_str(), equal[1], equal[0]],
        "uuid desc breaks ties"
    );
    assert_eq!(items[0], json!({"uuid": uuids[2], "priority": 1_i64 << 60}));
}

#[test]
fn pages_end_by_limit_and_by_bytes_and_are_never_empty_while_rows_are_left() {
    let mut desk = Desk::new();
    for _ in 0..10 {
        desk.submit(json!({"priority": 1, "mounts": {"/tmp": {"kind": "tmp", "capacity": 1}}}));
    }
    assert_eq!(desk.list(&[("limit", "3")]).len(), 3);
    assert_eq!(desk.list(&[("limit", "3"), ("offset", "9")]).len(), 1);
    desk.knobs.max_items_per_response = 4;
    assert_eq!(desk.list(&[("limit", "1000")]).len(), 4);
    desk.knobs.max_page_bytes = 10;
    assert_eq!(desk.list(&[("limit", "1000")]).len(), 1);
    let (_, page) = desk.ask(ROOT, "GET", "containers", &[]);
    assert_eq!(page["items_available"], 10);
    assert_eq!(page["kind"], "arvados#containerList");
    let (_, page) = desk.ask(ROOT, "GET", "containers", &[("count", "none")]);
    assert_eq!(page.get("items_available"), None);
}

#[test]
fn a_long_list_may_come_as_a_post() {
    let mut desk = Desk::new();
    let uuid = desk.container_in("Queued");
    let filters = json!([["uuid", "in", [uuid]]]).to_string();
    for (header, field) in [(true, false), (false, true)] {
        let mut params = vec![("filters", filters.as_str()), ("count", "none")];
        if field {
            params.push(("_method", "GET"));
        }
        let mut request = ApiRequest::new("POST", "/arvados/v1/containers", ROOT, &params);
        if header {
            request
                .headers
                .insert("x-http-method-override".into(), "GET".into());
        }
        let answer = desk.api.handle(&request, &desk.knobs, Now::at(9));
        assert_eq!(
            (
                answer.status,
                answer.json()["items"].as_array().unwrap().len()
            ),
            (200, 1)
        );
    }
    let mut long = ApiRequest::new("GET", "/arvados/v1/containers", ROOT, &[]);
    long.query = "x".repeat(9000);
    assert_eq!(desk.api.handle(&long, &desk.knobs, Now::at(9)).status, 414);
}

#[test]
fn uuids_of_two_clusters_and_an_order_do_not_go_together() {
    let mut desk = Desk::new();
    let filters =
        r#"[["uuid","in",["zzzzz-dz642-000000000000001","yyyyy-dz642-000000000000001"]]]"#;
    let ask =
        |desk: &mut Desk, params: &[(&str, &str)]| desk.ask(ROOT, "GET", "containers", params).0;
    assert_eq!(
        ask(
            &mut desk,
            &[("filters", filters), ("count", "none"), ("order", "uuid")]
        ),
        400
    );
    assert_eq!(
        ask(&mut desk, &[("filters", filters), ("count", "none")]),
        200
    );
    assert_eq!(
        desk.ask(ROOT, "GET", "containers/yyyyy-dz642-000000000000001", &[])
            .0,
        404
    );
}

#[test]
fn malformed_requests_are_refused_by_the_right_status() {
    let table = [
        ("GET", "containers", vec![("filters", "[")], 422),
        (
            "GET",
            "containers",
            vec![("filters", r#"[["state","~","x"]]"#)],
            422,
        ),
        (
            "GET",
            "containers",
            vec![("filters", r#"[["bogus","=","x"]]"#)],
            422,
        ),
        ("GET", "containers", vec![("select", r#"["bogus"]"#)], 422),
        ("GET", "containers", vec![("limit", "many")], 422),
        ("GET", "no_such_thing", vec![], 404),
        ("DELETE", "containers", vec![], 405),
        (
            "GET",
            "containers/zzzzz-dz642-000000000000001/lock",
            vec![],
            405,
        ),
        ("GET", "containers/zzzzz-dz642-000000000000001", vec![], 404),
    ];
    for (method, path, params, expected) in table {
        let mut desk = Desk::new();
        desk.container_in("Queued");
        let (status, answer) = desk.ask(ROOT, method, path, &params);
        assert_eq!(status, expected, "{method} {path} {params:?}: {answer}");
        assert!(answer["errors"][0].is_string(), "{answer}");
    }
}

#[test]
fn attributes_come_nested_or_at_the_top_of_a_json_body() {
    for body in [
        json!({"container": {"priority": 9}}),
        json!({"container": "{\"priority\": 9}"}),
        json!({"priority": 9}),
    ] {
        let mut desk = Desk::new();
        let uuid = desk.container_in("Queued");
        let mut request = ApiRequest::new(
            "PATCH",
            &format!("/arvados/v1/containers/{uuid}"),
            ROOT,
            &[],
        );
        request
            .headers
            .insert("content-type".into(), "application/json".into());
        request.body = body.to_string().into_bytes();
        let answer = desk.api.handle(&request, &desk.knobs, Now::at(1));
        assert_eq!(
            (answer.status, answer.json()["priority"].as_i64()),
            (200, Some(9)),
            "{body}"
        );
    }
}

#[test]
fn a_malformed_row_is_shown_malformed_and_found_all_the_same() {
    let mut desk = Desk::new();
    let uuid = desk.container_in("Queued");
    desk.api
        .container_mut(&uuid)
        .unwrap()
        .poison
        .insert("priority".into(), json!("high"));
    let items = desk.list(&[
        ("filters", r#"[["priority",">","0"]]"#),
        ("select", r#"["priority"]"#),
    ]);
    assert_eq!(items, [json!({"priority": "high"})]);
}
