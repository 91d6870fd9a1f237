//! Ends: those that we ask for, and those that Azure brings.

use dispatch_cloud::{EndCause, InstanceSet as _};

use super::{
    creates::{until_nothing_is_left, words},
    stage::{LOOK_EVERY, Look, Outcome, SMALL, SPOT, Setup, ensure},
};

/// So long after it is gone an eviction is told at the latest.
const TOLD_WITHIN: std::time::Duration = std::time::Duration::from_secs(5);

/// A delete that was accepted and fails: the VM stays on the list, and its end may be asked for again.
pub(super) async fn a_delete_that_fails_later_is_followed_and_the_vm_stays_listed() {
    let setup = Setup::default().azure(|settings| {
        settings.delete_fails = Some(("ScopeLocked".to_owned(), "there is a lock".to_owned()));
    });
    let stage = setup.start().await;
    let made = stage.create(SMALL, "secret").await.expect("a VM");
    let vm = crate::places::name_in(made.id.as_str());
    stage.account.destroy(&made.id).await.expect("accepted");
    stage.until_left_alone(vm).await.expect("followed");
    let followed = stage.azure.requests().into_iter();
    let followed = followed.filter(|request| request.path.contains("operations/delete-vm"));
    assert!(followed.count() > 0, "it is followed");
    assert!(!stage.account.memory().is_deleted(vm));
    assert_eq!(stage.list().await.expect("a list").len(), 1);
    stage.azure.set(|settings| settings.delete_fails = None);
    stage.clean_up().await.expect("an end");
}

/// The operation that makes it is preempted by its end.
pub(super) async fn a_vm_may_be_ended_while_it_is_being_made() {
    let setup = Setup::default().azure(|settings| settings.create_ms = 600_000);
    let stage = setup.start().await;
    let made = stage.create(SMALL, "secret").await.expect("accepted");
    stage.account.destroy(&made.id).await.expect("an end");
    let vm = crate::places::name_in(made.id.as_str());
    stage.until_left_alone(vm).await.expect("both are followed");
    assert_eq!(stage.account.memory().take_ended(), [], "we asked for it");
    assert_eq!(until_nothing_is_left(&stage).await, Ok(()));
}

pub(super) async fn a_spot_vm_that_disappears_counts_as_presumably_evicted() {
    assert_eq!(an_eviction_is_noticed().await, Ok(()));
}

/// Facts K34: with the policy Delete an evicted VM simply disappears.
async fn an_eviction_is_noticed() -> Outcome {
    let stage = Setup::default().start().await;
    let made = stage.create(SPOT, "secret").await.map_err(words)?;
    let mine = stage.create(SPOT, "another").await.map_err(words)?;
    stage
        .until("both are listed", |rows| rows.len() == 2)
        .await?;
    stage.account.destroy(&mine.id).await.map_err(words)?;
    stage.evict();
    stage.until("it is gone", |rows| rows.is_empty()).await?;
    // The list may merely omit it, so that Azure is asked first.
    let (began, mut ended) = (tokio::time::Instant::now(), Vec::new());
    while ended.is_empty() && began.elapsed() < TOLD_WITHIN {
        tokio::time::sleep(LOOK_EVERY).await;
        stage.list().await?;
        ended = stage.account.memory().take_ended();
    }
    let told: Vec<_> = ended.iter().map(|end| (&end.id, end.cause)).collect();
    ensure(told == [(&made.id, EndCause::TakenBack)], || {
        format!("what is told of the eviction: {told:?}")
    })
}

/// Facts K34: lists carry no power state.
pub(super) async fn a_vm_that_stops_answering_is_looked_into() {
    let stage = Setup::default().start().await;
    let made = stage.create(SPOT, "secret").await.expect("a VM");
    let listed = stage.until("it is listed", |rows| rows.len() == 1).await;
    assert_eq!(listed, Ok(()));
    // While it is fresh, nothing that Azure says of it counts.
    stage.account.doubt(&made.id);
    assert_eq!(stage.calls("GET instanceView"), 0);
    stage.account.memory().is_old(&made.id);
    let mut look = Look::begin("it is looked into");
    while stage.calls("GET instanceView") == 0 {
        stage.account.doubt(&made.id);
        look.again().await.expect("looked into");
    }
    assert_eq!(stage.account.memory().take_ended(), [], "it runs");
    stage.evict();
    let (lists, mut ended) = (stage.calls("GET vms"), Vec::new());
    while ended.is_empty() {
        look.again().await.expect("told");
        stage.account.doubt(&made.id);
        ended = stage.account.memory().take_ended();
    }
    assert_eq!(stage.calls("GET vms"), lists, "before any list tells");
    assert_eq!(ended[0].cause, EndCause::TakenBack);
    assert!(stage.calls("GET instanceView") < 100, "not at every doubt");
    let gone = stage.until("it is gone", |rows| rows.is_empty()).await;
    assert_eq!(gone, Ok(()));
    assert_eq!(stage.account.memory().take_ended(), [], "told once");
}

/// Azure takes 40 minutes for a system that does not report to it, and containers may run on it by then.
pub(super) async fn k34_a_vm_that_stops_answering_while_its_making_is_followed_is_looked_into() {
    let setup = Setup::default().azure(|settings| settings.create_ms = 600_000);
    let stage = setup.start().await;
    let made = stage.create(SPOT, "secret").await.expect("a VM");
    let vm = crate::places::name_in(made.id.as_str());
    let listed = stage.until("it is listed", |rows| rows.len() == 1).await;
    assert_eq!(listed, Ok(()));
    stage.account.memory().is_old(&made.id);
    assert!(stage.account.is_followed(vm));
    let mut look = Look::begin("it is looked into");
    while stage.calls("GET instanceView") == 0 {
        stage.account.doubt(&made.id);
        look.again()
            .await
            .expect("looked into while it is followed");
    }
    assert!(stage.account.is_followed(vm));
    // It is gone: told once, whoever finds it.
    stage.evict();
    let mut ended = Vec::new();
    while ended.is_empty() {
        stage.account.doubt(&made.id);
        look.again().await.expect("told");
        ended = stage.account.memory().take_ended();
    }
    assert_eq!(ended[0].cause, EndCause::TakenBack);
    stage.until_left_alone(vm).await.expect("nobody follows it");
    assert_eq!(stage.account.memory().take_ended(), [], "told once");
}

pub(super) async fn a_vm_that_is_gone_and_was_no_spot_vm_is_told_as_such() {
    let stage = Setup::default().start().await;
    stage.create(SMALL, "secret").await.expect("a VM");
    stage
        .until("it is listed", |rows| rows.len() == 1)
        .await
        .expect("a list");
    stage.evict();
    let ended = stage.until_ended().await.expect("an end");
    assert_eq!(ended[0].cause, EndCause::Other);
    assert!(!ended[0].preemptible);
}
