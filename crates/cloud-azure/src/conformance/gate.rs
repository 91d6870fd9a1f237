//! What changes something leaves only while the gate is open: also what the driver does by itself (facts M6, K8).

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use dispatch_cloud::{DriverContext, Gate, Tags};
use tokio::{task::JoinSet, time::Instant};

use super::stage::{Look, SCALE, SMALL, Setup, Stage, order};
use crate::{AzureDriver, account::Account};

const NIC: &str = "compute-conformance-a-nic";

/// The same account behind this gate.
fn behind(gate: Gate, stage: &Stage) -> Arc<Account> {
    let context = DriverContext {
        gate,
        ..stage.account.context.clone()
    };
    let mut driver = AzureDriver::at(stage.azure.url(), SCALE);
    // What is left behind is garbage at once.
    driver.ages.create_deadline = Duration::ZERO;
    let account = driver.account(&Setup::default().parameters, context, None);
    account.expect("an account")
}

async fn stage_with_garbage() -> Stage {
    let stage = Setup::default().start().await;
    let long_ago = jiff::Timestamp::UNIX_EPOCH.to_string();
    let tags = [
        ("ArvadosInstanceSetID".to_owned(), "conformance".to_owned()),
        ("created-at".to_owned(), long_ago),
    ];
    stage.azure.leave_nic(NIC, BTreeMap::from(tags));
    stage
}

fn changes(stage: &Stage) -> Vec<String> {
    let requests = stage.azure.requests().into_iter();
    requests
        .filter(|request| request.method != "GET" && request.path.contains("/subscriptions/"))
        .map(|request| format!("{} {}", request.method, request.path))
        .collect()
}

#[tokio::test]
async fn a_term_that_surveys_collects_nothing_before_it_may_act() {
    let stage = stage_with_garbage().await;
    let opens_at = Instant::now() + Duration::from_millis(400);
    let account = behind(Gate::new(opens_at, || true), &stage);
    account
        .list(&Tags::new())
        .await
        .expect("lists need no gate");
    let round = account.collect().await.expect("a round");
    assert!(Instant::now() >= opens_at, "it was collected too early");
    assert_eq!(round.deleted, 1);
}

#[tokio::test]
async fn a_term_that_is_over_changes_nothing_whatever_was_under_way() {
    let stage = stage_with_garbage().await;
    let vm = stage.create(SMALL, "before").await.expect("a VM").id;
    let before = changes(&stage);
    let open = Arc::new(AtomicBool::new(true));
    let gate = {
        let open = Arc::clone(&open);
        Gate::new(Instant::now(), move || open.load(Ordering::Relaxed))
    };
    let account = behind(gate, &stage);
    open.store(false, Ordering::Relaxed);
    let mut under_way = JoinSet::new();
    let me = Arc::clone(&account);
    under_way.spawn(async move { drop(me.collect().await) });
    let me = Arc::clone(&account);
    under_way.spawn(async move { drop(me.create(&order(SMALL, "after")).await) });
    let (me, id) = (Arc::clone(&account), vm.clone());
    under_way.spawn(async move { drop(me.destroy(&id).await) });
    let (me, tags) = (Arc::clone(&account), Tags::from([("k".into(), "v".into())]));
    under_way.spawn(async move { drop(me.set_tags(&vm, &tags).await) });
    // They have looked about, and so has everybody else since.
    let mut look = Look::begin("what there is has been read");
    while stage.calls("GET disks") == 0 {
        look.again().await.expect("it is read");
    }
    for _ in 0..3 {
        account.list(&Tags::new()).await.expect("a list");
    }
    assert_eq!(changes(&stage), before);
    assert_eq!(under_way.len(), 4, "whoever waits ends with the term");
}
