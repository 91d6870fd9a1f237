//! The process is killed before, during and after every kind of request of a life, and started again: nothing is made
//! twice, and within the create deadline and two garbage collections nothing is left.

use std::{collections::BTreeMap, time::Duration};

use dispatch_lab_net::AzureBad;

use super::stage::{PATIENCE, SMALL, Setup, Stage};

/// Every kind of request that a life has, by method and a part of its path.
const REQUESTS: &[(&str, &str)] = &[
    ("PUT", "networkInterfaces"),
    ("PUT", "virtualMachines"),
    ("GET", "operations"),
    ("GET", "virtualMachines"),
    ("GET", "networkInterfaces"),
    ("PATCH", "tags"),
    ("DELETE", "virtualMachines"),
    ("DELETE", "networkInterfaces"),
];

/// How long a process lives on after it was struck.
const LIVES_ON: Duration = Duration::from_millis(100);

/// Where the process dies: the request never arrives, arrives after the death, or is carried out without an answer.
fn deaths() -> [AzureBad; 3] {
    [AzureBad::BadGateway, AzureBad::Late(200), AzureBad::Silent]
}

/// One life: a VM is made, found, changed and ended; another is refused.
async fn life(stage: &Stage) -> Option<()> {
    let made = stage.create(SMALL, "secret").await.ok()?;
    let began = tokio::time::Instant::now();
    while stage.list().await.ok()?.is_empty() {
        if began.elapsed() > PATIENCE {
            return None;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let tags = [("a".to_owned(), "b".to_owned())].into();
    stage.account.set_tags(&made.id, &tags).await.ok()?;
    stage.create("Standard_Sold_out", "other").await.err()?;
    stage.account.destroy(&made.id).await.ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_killed_at_any_request_leaves_nothing_and_makes_nothing_twice() {
    // Labs take longer to begin than lives to live.
    let mut stages = Vec::new();
    for (method, path) in REQUESTS {
        for death in deaths() {
            let name = format!("killed at {method} {path}: {death:?}");
            let setup = Setup::default().azure(|settings| {
                settings.sold_out.insert("Standard_Sold_out".to_owned());
                settings.reserved_ms = 900;
            });
            stages.push((name, setup.bad(method, path, 1, death).start().await));
        }
    }
    let lives = stages
        .into_iter()
        .map(|(name, stage)| tokio::spawn(one_death(name, stage)));
    for life in lives.collect::<Vec<_>>() {
        life.await.expect("a life");
    }
}

/// The request was sent, a moment ago.
async fn until_struck(stage: &Stage) {
    while stage.azure.settings().injections[0].times > 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    tokio::time::sleep(LIVES_ON).await;
}

async fn one_death(name: String, mut stage: Stage) {
    tokio::select! {
        _ = life(&stage) => {}
        () = until_struck(&stage) => {}
    }
    let struck = stage.azure.settings().injections[0].times == 0;
    // Operations are followed in the background, at their own time.
    assert!(
        struck || name.contains("operations"),
        "{name}: it was never sent"
    );
    stage.azure.set(|settings| settings.injections.clear());
    stage.restart();
    // Whatever is on its way arrives; the pool of the next life adopts or ends what is listed.
    let began = tokio::time::Instant::now();
    let mut n_empty = 0;
    while n_empty < 3 {
        for row in stage.list().await.unwrap_or_default() {
            let _ = stage.account.destroy(&row.id).await;
        }
        let _ = stage.account.collect().await;
        let vms = stage.azure.vms();
        assert!(vms.len() <= 1, "{name}: {vms:?}");
        n_empty = if stage.left().is_empty() {
            n_empty + 1
        } else {
            0
        };
        assert!(
            began.elapsed() < PATIENCE,
            "{name}: left {:?}",
            stage.left()
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let puts = puts_by_name(&stage);
    assert!(puts.values().all(|count| *count <= 2), "{name}: {puts:?}");
}

/// How often each VM was put: once, and once more only where the first certainly made nothing.
fn puts_by_name(stage: &Stage) -> BTreeMap<String, usize> {
    let mut puts = BTreeMap::new();
    for request in stage.azure.requests() {
        if request.method == "PUT" && request.path.contains("virtualMachines") {
            *puts.entry(request.path).or_default() += 1;
        }
    }
    puts
}

/// The injections above match what is really sent.
#[tokio::test]
async fn a_whole_life_has_every_request_at_which_it_is_killed() {
    let setup = Setup::default().azure(|settings| {
        settings.sold_out.insert("Standard_Sold_out".to_owned());
    });
    let stage = setup.start().await;
    life(&stage).await.expect("a whole life");
    let requests = stage.azure.requests();
    for (method, path) in REQUESTS {
        // Operations are followed in the background, at their own time.
        if *path == "operations" {
            continue;
        }
        assert!(
            requests
                .iter()
                .any(|request| request.method == *method && request.path.contains(path)),
            "{method} {path}"
        );
    }
}
