//! Dispatchers that are not in command: said, with what they wait for, and never taken for one with nothing to do.

use super::{
    Call, Exit, call, call_in, environment_of,
    stand_in::{Script, StandIn},
};
use crate::access::Environment;

const WHY: &str =
    "waits for the dispatchers' lock, held by 10.0.0.5:40112 (arvados-dispatch-cloud)";
const UUID: &str = "zzzzz-dz642-000000000000001";

fn empty() -> (u16, String) {
    (200, r#"{"items":[]}"#.to_owned())
}

/// As ours answers while another has the lock.
async fn standby() -> StandIn {
    let health = serde_json::json!({"health": "OK", "standby": WHY}).to_string();
    StandIn::new(Script::from([
        ("GET instances".to_owned(), empty()),
        ("GET containers".to_owned(), empty()),
        ("GET /_health/ping".to_owned(), (200, health)),
    ]))
    .await
}

/// In command, with one container and no instance.
async fn in_command() -> StandIn {
    let item = serde_json::json!({
        "container": {"uuid": UUID, "state": "Queued", "priority": 1},
        "instance_resources": {"VCPUs": 1, "RAM": 1, "Scratch": 1, "GPUs": 0, "GPUVRAM": 0},
        "instance_types": [], "instance_type": null,
        "first_seen_at": "2026-11-22T11:31:36Z", "scheduling_status": "Waiting.",
    });
    let list = serde_json::json!({"items": [item]}).to_string();
    StandIn::new(Script::from([
        ("GET instances".to_owned(), empty()),
        ("GET containers".to_owned(), (200, list)),
        (
            "GET /_health/ping".to_owned(),
            (200, r#"{"health":"OK"}"#.to_owned()),
        ),
    ]))
    .await
}

/// Both are in the configuration.
async fn call_both(first: &StandIn, second: &StandIn, words: &[&str]) -> Call {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("config.yml");
    let urls = [first, second].map(|one| format!("\"{}\": {{}}", one.url()));
    let text = format!(
        "Clusters: {{zzzzz: {{ManagementToken: {}, Services: {{DispatchCloud: {{InternalURLs: {{{}}}}}}}}}}}\n",
        super::stand_in::TOKEN,
        urls.join(", ")
    );
    std::fs::write(&path, text).expect("written");
    let environment = Environment {
        url: None,
        token: None,
        ..environment_of(first)
    };
    let config = path.display().to_string();
    let words: Vec<&str> = ["--config", config.as_str()]
        .into_iter()
        .chain(words.iter().copied())
        .collect();
    call_in(&environment, &words).await
}

#[tokio::test]
async fn a_standby_alone_is_said_to_be_one_and_nothing_is_listed() {
    let standby = standby().await;
    let not_in_command = format!("{}: not in command: {WHY}\n", standby.host());
    for words in ["list", "list --tsv", "list --json", "containers list"] {
        let asked = call(&standby, words).await;
        assert_eq!(asked.exit, Exit::Failed, "{words}");
        assert_eq!(
            (asked.stdout.as_str(), &asked.stderr),
            ("", &not_in_command),
            "{words}"
        );
    }
    for (words, id) in [
        ("hold i-1", "i-1"),
        ("kill i-1", "i-1"),
        ("containers kill zzzzz-dz642-000000000000001", UUID),
        ("containers show zzzzz-dz642-000000000000001", UUID),
    ] {
        let told = call(&standby, words).await;
        assert_eq!(told.exit, Exit::Failed, "{words}");
        assert!(
            told.stderr.starts_with(&format!("{id}: 404 ")),
            "{}",
            told.stderr
        );
        assert!(
            told.stderr
                .contains(&format!(": it is not in command: {WHY} (")),
            "{}",
            told.stderr
        );
    }
}

#[tokio::test]
async fn beside_a_standby_the_one_in_command_counts() {
    let (standby, acting) = (standby().await, in_command().await);
    for pair in [(&standby, &acting), (&acting, &standby)] {
        let listed = call_both(pair.0, pair.1, &["containers", "list"]).await;
        assert_eq!(listed.exit, Exit::Done, "{listed:?}");
        assert!(listed.stdout.contains(UUID), "{listed:?}");
        assert_eq!(
            listed.stderr,
            format!("{}: not in command: {WHY}\n", standby.host())
        );
        // Nothing there, but in command: that is known.
        let listed = call_both(pair.0, pair.1, &["list"]).await;
        assert_eq!(
            (listed.exit, listed.stdout.as_str()),
            (Exit::Done, "no instances\n")
        );
    }
}

#[tokio::test]
async fn one_that_says_nothing_of_standing_by_is_in_command() {
    // The Go dispatcher's answer, and one that has no health check at all.
    for health in [Some((200, r#"{"health":"OK"}"#.to_owned())), None] {
        let mut script = Script::from([("GET instances".to_owned(), empty())]);
        script.extend(health.map(|health| ("GET /_health/ping".to_owned(), health)));
        let stand_in = StandIn::new(script).await;
        let listed = call(&stand_in, "list").await;
        assert_eq!(
            (listed.exit, listed.stdout.as_str()),
            (Exit::Done, "no instances\n")
        );
        assert_eq!(listed.stderr, "");
    }
}
