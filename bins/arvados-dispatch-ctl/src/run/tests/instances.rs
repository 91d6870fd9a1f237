//! Instances, against the recorded session of the Go tool and its dispatcher's recorded answers.

use expect_test::expect;

use super::{
    Exit, call, call_writing_to_full_disk,
    stand_in::{Script, StandIn, recorded},
};

const SESSION: &str = include_str!("../../../../../tests/transcripts/instance-cli.txt");

/// The instances that the recorded session lists.
fn session_script() -> Script {
    let mut rows = vec![];
    for (n, address, state, kind, containers) in [
        (1, "127.10.1.2", "idle", "spot", vec![]),
        (2, "127.10.1.3", "idle", "small", vec![]),
        (
            3,
            "127.10.1.4",
            "running",
            "small",
            vec!["zzzzz-dz642-000000000000005"],
        ),
        (
            4,
            "127.10.1.5",
            "running",
            "small",
            vec!["zzzzz-dz642-000000000000002"],
        ),
    ] {
        rows.push(serde_json::json!({
            "instance": format!("i-{n:017}"),
            "address": address,
            "price": 0.1,
            "arvados_instance_type": kind,
            "provider_instance_type": format!("m5.{kind}"),
            "last_container_uuid": "",
            "last_busy": "2026-11-22T11:31:36.025267516Z",
            "running_container_uuids": containers,
            "worker_state": state,
            "idle_behavior": "run",
        }));
    }
    let list = serde_json::json!({ "items": rows }).to_string();
    let mut script = Script::from([("GET instances".into(), (200, list))]);
    for order in ["hold", "drain", "run", "kill"] {
        let request = format!("POST instances/{order} instance_id=i-00000000000000001");
        script.insert(request, (200, String::new()));
    }
    script.insert(
        "POST instances/kill instance_id=i-00000000000000001&reason=trying".into(),
        (200, String::new()),
    );
    script
}

#[tokio::test]
async fn a_list_that_cannot_be_written_is_a_failure_that_is_said() {
    let stand_in = StandIn::new(session_script()).await;
    for words in ["list", "list --json", "containers --help"] {
        let done = call_writing_to_full_disk(&stand_in, words).await;
        assert_eq!(done.exit, Exit::Failed, "{words}");
        assert!(done.stderr.contains("cannot write the output"), "{done:?}");
    }
}

#[tokio::test]
async fn the_go_tools_recorded_session_goes_the_same_way() {
    let stand_in = StandIn::new(session_script()).await;
    let mut n_calls = 0;
    for block in SESSION.split("$ instance ").skip(1) {
        let (words, rest) = block.split_once("\nexit ").expect("an exit code");
        let (code, rest) = rest.split_once("\nstdout:\n").expect("standard output");
        let (stdout, stderr) = rest.split_once("stderr:\n").expect("standard error");
        // Ours spells options with two dashes, and has tables for people unless asked otherwise.
        let words = words
            .replace("list", "instances list --tsv")
            .replace(" -", " --")
            .replace(" ---", " --");
        let done = call(&stand_in, &words).await;
        let recorded_host = stderr.trim().replace("127.0.0.1:19006", stand_in.host());
        assert_eq!((done.exit as u8).to_string(), code, "{words}: {done:?}");
        assert_eq!(done.stdout, stdout, "{words}");
        if recorded_host.starts_with('<') {
            // "<one line: no instance given>": ours says more, on more lines.
            assert!(!done.stderr.is_empty(), "{words}");
        } else {
            assert_eq!(done.stderr.trim(), recorded_host, "{words}");
        }
        n_calls += 1;
    }
    assert_eq!(n_calls, 8);
}

#[tokio::test]
async fn people_see_a_table_with_a_summary() {
    let list = recorded("instances while booting or early");
    let stand_in = StandIn::new(Script::from([("GET instances".into(), (200, list))])).await;
    let done = call(&stand_in, "list").await;
    assert_eq!((done.exit, done.stderr.as_str()), (Exit::Done, ""));
    expect![[r#"
        INSTANCE             ADDRESS     STATE    IDLE  TYPE   PRICE/H  LAST BUSY            CONTAINERS                   REMARK
        i-00000000000000001  127.10.1.2  running  run   spot   0.1000   2026-11-22T11:31:36  zzzzz-dz642-000000000000003
        i-00000000000000002  127.10.1.3  running  run   small  0.1000   2026-11-22T11:31:36  zzzzz-dz642-000000000000001
        i-00000000000000003  127.10.1.4  booting  run   small  0.1000   2026-11-22T11:31:36  -

        3 instances, 0.3000 an hour: 1 booting, 2 running
    "#]].assert_eq(&done.stdout);
}

#[tokio::test]
async fn json_has_every_field_that_the_dispatcher_sent() {
    let list = recorded("instances with running containers");
    let stand_in = StandIn::new(Script::from([(
        "GET instances".into(),
        (200, list.clone()),
    )]))
    .await;
    let done = call(&stand_in, "instances list --json").await;
    let sent: serde_json::Value = serde_json::from_str(&list).unwrap();
    let shown: serde_json::Value = serde_json::from_str(&done.stdout).unwrap();
    assert_eq!(shown, sent["items"]);
}

#[tokio::test]
async fn a_creation_under_way_and_an_empty_list_are_shown() {
    let list = r#"{"items":[{"instance":"","address":"","price":0.5,"arvados_instance_type":"big",
        "provider_instance_type":"m5.big","last_container_uuid":"","last_busy":"0001-01-01T00:00:00Z",
        "running_container_uuids":null,"worker_state":"booting","idle_behavior":"run","remark":"at \u001b[1mquota"}]}"#;
    let stand_in = StandIn::new(Script::from([("GET instances".into(), (200, list.into()))])).await;
    let tsv = call(&stand_in, "list --tsv").await.stdout;
    assert_eq!(tsv, "-\t-\tbooting\trun\tbig\tm5.big\t0.500000\t-\n");
    let table = call(&stand_in, "list").await.stdout;
    assert!(
        table.contains("(being created)") && table.contains("at  [1mquota"),
        "{table}"
    );

    // The Go dispatcher writes null for an empty list.
    let list = r#"{"items":null}"#.to_owned();
    let stand_in = StandIn::new(Script::from([("GET instances".into(), (200, list))])).await;
    assert_eq!(call(&stand_in, "list").await.stdout, "no instances\n");
    assert_eq!(call(&stand_in, "list --tsv").await.stdout, "");
    assert_eq!(call(&stand_in, "list --json").await.stdout, "[]\n");
}

#[tokio::test]
async fn a_malformed_row_is_named_and_the_others_are_shown() {
    let mut list: serde_json::Value =
        serde_json::from_str(&recorded("instances with running containers")).unwrap();
    list["items"][0]["price"] = "cheap".into();
    let n_rows = list["items"].as_array().unwrap().len();
    let stand_in = StandIn::new(Script::from([(
        "GET instances".into(),
        (200, list.to_string()),
    )]))
    .await;
    let done = call(&stand_in, "list --tsv").await;
    assert_eq!(done.exit, Exit::Failed);
    assert_eq!(done.stdout.lines().count(), n_rows - 1);
    assert!(
        done.stderr
            .starts_with(&format!("instance 1 of {n_rows}: ")),
        "{}",
        done.stderr
    );

    // A list of which nothing can be read is not an empty one.
    let list = r#"{"items":[{"price":"cheap"}]}"#.to_owned();
    let stand_in = StandIn::new(Script::from([("GET instances".into(), (200, list))])).await;
    let done = call(&stand_in, "list").await;
    assert_eq!((done.exit, done.stdout.as_str()), (Exit::Failed, ""));
}

#[tokio::test]
async fn every_instance_of_a_call_is_tried_and_an_id_may_hold_anything() {
    let mut script = session_script();
    script.insert(
        "POST instances/drain instance_id=%2Fsubscriptions%2FS%2Fvm+1%26x%3D2".into(),
        (200, String::new()),
    );
    let stand_in = StandIn::new(script).await;
    let environment = crate::access::Environment::default();
    let words = [
        "--url",
        &stand_in.url(),
        "--token",
        super::TOKEN,
        "drain",
        "i-nope",
        "/subscriptions/S/vm 1&x=2",
    ];
    let done = super::call_in(&environment, &words).await;
    assert_eq!(done.exit, Exit::Failed);
    let host = stand_in.host();
    assert_eq!(
        done.stderr,
        format!("i-nope: 404 Not Found ({host})\n/subscriptions/S/vm 1&x=2: 200 OK ({host})\n")
    );
}
