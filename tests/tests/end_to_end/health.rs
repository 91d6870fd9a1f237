//! Health tells the truth (facts K31).

use dispatch_management_api::wire::Health;
use serde_json::json;

use crate::support::{Rig, container, eventually, holds};

/// Waits until the daemon says that something is wrong, with these words.
async fn says(rig: &Rig, words: &[&str]) {
    eventually(&format!("health says {words:?}"), async || {
        let Health { health, error, .. } = rig.management.health().await?;
        let error = error.unwrap_or_default();
        holds(health == "ERROR" && words.iter().all(|word| error.contains(word)))
    })
    .await;
}

async fn is_well(rig: &Rig) {
    eventually("health is OK", async || {
        let ok = Health {
            health: "OK".to_owned(),
            error: None,
            standby: None,
        };
        holds(rig.management.health().await? == ok)
    })
    .await;
}

fn set(rig: &Rig, patch: serde_json::Value) {
    rig.lab
        .world(|world, _| world.set(&patch).map(drop))
        .expect("a setting");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn health_says_what_does_not_work_and_that_it_works_again() {
    let runner = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(runner.path(), "#!/bin/sh\n".repeat(1000)).expect("written");
    let path = runner.path().display().to_string();
    let rig = Rig::start(|order| {
        order.lab.config.deploy_runner_binary = path;
        order.vms("TimeoutAPI", "1s");
    })
    .await;
    is_well(&rig).await;

    set(&rig, json!({"api": {"next_hangs": 1_000_000}}));
    says(
        &rig,
        &["the container queue has not been read for", "no answer"],
    )
    .await;
    set(
        &rig,
        json!({"api": {"next_hangs": 0, "next_503s": 1_000_000}}),
    );
    says(&rig, &["the container queue has not been read for", "503"]).await;
    set(&rig, json!({"api": {"next_503s": 0}}));
    is_well(&rig).await;

    set(&rig, json!({"cloud": {"error_rate_list": 1.0}}));
    says(&rig, &["the cloud has not listed the instances for"]).await;
    set(&rig, json!({"cloud": {"error_rate_list": 0.0}}));
    is_well(&rig).await;

    // Cut off in place: what the daemon has opened has lost its content.
    let content = std::fs::read(runner.path()).expect("read");
    std::fs::write(runner.path(), "").expect("written");
    let uuid = rig.submit(&container(1, 100));
    says(
        &rig,
        &[
            "the runner's program cannot be read",
            &runner.path().display().to_string(),
        ],
    )
    .await;
    std::fs::write(runner.path(), content).expect("written");
    is_well(&rig).await;
    rig.all_in_state(&[uuid], "Complete").await;
}
