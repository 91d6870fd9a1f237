//! The process is killed before, during and after every kind of request of a life, and started again: nothing is made
//! twice, and within the create deadline and two garbage collections nothing is left.

use std::collections::BTreeMap;

use dispatch_lab_net::AzureBad;

use super::stage::{LOOK_EVERY, Look, SMALL, Setup, Stage};

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

/// Where the process dies: the request never arrives, arrives after the death, or is carried out without an answer.
fn deaths() -> [AzureBad; 3] {
    [AzureBad::BadGateway, AzureBad::Late(200), AzureBad::Silent]
}

/// One life: a VM is made, found, changed and ended; another is refused.
async fn life(stage: &Stage) -> Option<()> {
    let made = stage.create(SMALL, "secret").await.ok()?;
    let mut look = Look::begin("it is listed");
    while stage.list().await.ok()?.is_empty() {
        look.again().await.ok()?;
    }
    let tags = [("a".to_owned(), "b".to_owned())].into();
    stage.account.set_tags(&made.id, &tags).await.ok()?;
    stage.create("Standard_Sold_out", "other").await.err()?;
    stage.account.destroy(&made.id).await.ok()
}

pub(super) async fn a_process_killed_at_any_request_leaves_nothing_and_makes_nothing_twice() {
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

/// The request was sent: the process dies before it hears of it.
async fn until_struck(stage: &Stage) {
    while !struck(stage) {
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

fn struck(stage: &Stage) -> bool {
    stage.azure.settings().injections[0].times == 0
}

async fn one_death(name: String, mut stage: Stage) {
    tokio::select! {
        _ = life(&stage) => {}
        () = until_struck(&stage) => {}
    }
    // Operations are followed in the background, at their own time.
    assert!(
        struck(&stage) || name.contains("operations"),
        "{name}: it was never sent"
    );
    stage.azure.set(|settings| settings.injections.clear());
    stage.restart();
    // Whatever is on its way arrives; the pool of the next life adopts or ends what is listed.
    let mut look = Look::begin("nothing is left");
    loop {
        for row in stage.list().await.unwrap_or_default() {
            let _ = stage.account.destroy(&row.id).await;
        }
        let _ = stage.account.collect().await;
        let vms = stage.azure.vms();
        assert!(vms.len() <= 1, "{name}: {vms:?}");
        if stage.left().is_empty() && stage.azure.n_late() == 0 {
            break;
        }
        let again = look.again().await;
        assert_eq!(again, Ok(()), "{name}: left {:?}", stage.left());
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
