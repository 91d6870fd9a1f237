//! The process is killed before, during and after every kind of request of a life, and started again: nothing is made
//! twice, and within the create deadline and two garbage collections nothing is left.

use std::time::Duration;

use dispatch_lab_net::AzureBad;

use super::stage::{FAMILY, Look, OTHER, SMALL, SPOT, Setup, Stage, refused};

/// A size that there is none of.
const SOLD_OUT: &str = "Standard_Sold_out";

/// How often to list, end and collect what is left.
const ROUND_EVERY: Duration = Duration::from_millis(150);

/// A kind of request: method, a part of its path, and what brings it about where a usual life has none.
type Kind = (&'static str, &'static str, fn(Setup) -> Setup);

fn usual(setup: Setup) -> Setup {
    setup
}

/// A VM is looked for after a lost answer.
fn in_doubt(setup: Setup) -> Setup {
    setup.bad("PUT", "virtualMachines/", 1, AzureBad::Lost)
}

/// Every kind of request that a life has.
const REQUESTS: [Kind; 15] = [
    ("POST", "oauth2", usual),
    ("PUT", "networkInterfaces/", usual),
    ("GET", "networkInterfaces/", usual),
    ("PUT", "virtualMachines/", usual),
    ("GET", "virtualMachines/", in_doubt),
    ("GET", "operations/put-vm", usual),
    ("GET", "operations/delete-vm", usual),
    ("GET", "instanceView", usual),
    ("GET", "Microsoft.Compute/virtualMachines", usual),
    ("GET", "Microsoft.Network/networkInterfaces", usual),
    ("GET", "usages", usual),
    ("GET", "skus", usual),
    ("PATCH", "tags", usual),
    ("DELETE", "virtualMachines/", usual),
    ("DELETE", "networkInterfaces/", usual),
];

/// Where the process dies: the request never arrives, arrives after the death, is carried out without an answer, or is
/// answered.
fn deaths() -> [AzureBad; 4] {
    [
        AzureBad::Unheard,
        AzureBad::Late(200),
        AzureBad::Silent,
        AzureBad::Fine,
    ]
}

fn setup() -> Setup {
    Setup::default().azure(|settings| {
        settings.sold_out.insert(SOLD_OUT.to_owned());
        settings.reserved_ms = 900;
        // So that it is looked at again.
        settings.nic_ms = 20;
        settings.create_ms = 50;
        settings.delete_ms = 50;
        let lack = ("AllocationFailed".to_owned(), "none left".to_owned());
        settings.failing.insert(OTHER.to_owned(), lack);
        settings.silent_quota = true;
        settings.spot_cores = Some(1);
        settings.family_cores.insert(FAMILY.to_owned(), 1000);
    })
}

/// One life: a VM is made, followed, found, changed and ended, and its end followed; others are refused for a lack and
/// for a quota, and fail later.
async fn life(stage: &Stage) -> Option<()> {
    let made = stage.create(SMALL, "secret").await.ok()?;
    let vm = crate::places::name_in(made.id.as_str());
    let mut look = Look::begin("it is listed");
    while stage.list().await.ok()?.is_empty() {
        look.again().await.ok()?;
    }
    // Its operation is followed to the end.
    stage.until_left_alone(vm).await.ok()?;
    let tags = [("a".to_owned(), "b".to_owned())].into();
    stage.account.set_tags(&made.id, &tags).await.ok()?;
    stage.create(SOLD_OUT, "other").await.err()?;
    stage.create(SPOT, "quota").await.err()?;
    stage.create(OTHER, "fails").await.ok()?;
    stage.until_ended().await.ok()?;
    stage.account.destroy(&made.id).await.ok()?;
    stage.until_left_alone(vm).await.ok()
}

pub(super) async fn a_process_killed_at_any_request_leaves_nothing_and_makes_nothing_twice() {
    // Labs take longer to begin than lives to live.
    let mut stages = Vec::new();
    for (method, path, prepare) in REQUESTS {
        for death in deaths() {
            let name = format!("killed at {method} {path}: {death:?}");
            let setup = prepare(setup().bad(method, path, 1, death));
            stages.push((name, setup.start().await));
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
    let mut look = Look::begin("it strikes");
    while !struck(stage) && look.again().await.is_ok() {}
}

fn struck(stage: &Stage) -> bool {
    stage.azure.settings().injections[0].times == 0
}

async fn one_death(name: String, mut stage: Stage) {
    tokio::select! {
        _ = life(&stage) => {}
        () = until_struck(&stage) => {}
    }
    assert!(struck(&stage), "{name}: it was never sent");
    stage.azure.set(|settings| settings.injections.clear());
    stage.restart();
    // Whatever is on its way arrives; the pool of the next life adopts or ends what is listed.
    let mut look = Look::begin("nothing is left");
    loop {
        for row in stage.list().await.unwrap_or_default() {
            let _ = stage.account.destroy(&row.id).await;
        }
        let _ = stage.account.collect().await;
        if stage.left().is_empty() && stage.azure.n_late() == 0 {
            break;
        }
        let again = look.again_after(ROUND_EVERY).await;
        assert_eq!(again, Ok(()), "{name}: left {:?}", stage.left());
    }
    assert_eq!(stage.nothing_was_made_twice(), Ok(()), "{name}");
    // The one that is well and the one that fails, each at most once.
    let n_made = stage.azure.creations().len();
    assert!(n_made <= 2, "{name}: {n_made} VMs of two orders");
}

/// The injections above match what is really sent, and nothing that a life sends is left out, but for what the garbage
/// collection sends (garbage.rs).
#[tokio::test]
async fn a_whole_life_has_every_request_at_which_it_is_killed() {
    let mut seen = std::collections::BTreeSet::new();
    for prepare in [usual as fn(Setup) -> Setup, in_doubt] {
        let stage = prepare(setup()).start().await;
        life(&stage).await.expect("a whole life");
        for request in stage.azure.requests() {
            let is_killed = |(method, path, _): &&Kind| {
                request.method == *method
                    && request.path.to_lowercase().contains(&path.to_lowercase())
            };
            let kinds: Vec<usize> = (0..REQUESTS.len())
                .filter(|n| is_killed(&&REQUESTS[*n]))
                .collect();
            assert!(!kinds.is_empty(), "{} {}", request.method, request.path);
            seen.extend(kinds);
        }
    }
    assert_eq!(seen.len(), REQUESTS.len(), "{seen:?}");
}

/// A refused request kills nobody.
#[tokio::test]
async fn a_life_goes_on_after_a_fault_that_strikes_each_kind_of_request() {
    let lives = REQUESTS.map(|kind| tokio::spawn(one_fault(kind)));
    for life in lives {
        life.await.expect("a life");
    }
}

async fn one_fault((method, path, prepare): Kind) {
    let fault = refused(503, "ServiceUnavailable", "");
    let stage = prepare(setup().bad(method, path, 1, fault)).start().await;
    let _ = life(&stage).await;
    let mut look = Look::begin("nothing is left");
    loop {
        for row in stage.list().await.unwrap_or_default() {
            let _ = stage.account.destroy(&row.id).await;
        }
        let _ = stage.account.collect().await;
        if stage.left().is_empty() {
            break;
        }
        let again = look.again_after(ROUND_EVERY).await;
        assert_eq!(again, Ok(()), "{method} {path}: left {:?}", stage.left());
    }
    assert!(struck(&stage), "{method} {path}: it was never sent");
    assert_eq!(stage.nothing_was_made_twice(), Ok(()), "{method} {path}");
}
