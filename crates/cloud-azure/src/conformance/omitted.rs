//! Fresh VMs that a list has shown and the next omits, and ends of which nobody knows whose they are.

use dispatch_cloud::EndCause;

use super::stage::{Look, SMALL, SPOT, Setup, Stage};

/// Shows both, then omits one.
async fn shown_then_omitted(stage: &Stage) -> String {
    stage.create(SMALL, "one").await.expect("a VM");
    let made = stage.create(SPOT, "two").await.expect("a VM");
    let vm = crate::places::name_in(made.id.as_str()).to_owned();
    stage.until_left_alone(&vm).await.expect("made");
    let listed = stage.until("both are listed", |rows| rows.len() == 2).await;
    listed.expect("a list");
    omit(stage, &vm);
    vm
}

fn omit(stage: &Stage, vm: &str) {
    stage.azure.set(|settings| {
        settings.omits.insert(vm.to_owned());
    });
}

/// Lists again until Azure was asked whether it is there; what was told.
async fn until_looked_for(stage: &Stage, asked_before: u64) {
    let mut look = Look::begin("Azure is asked whether it is there");
    loop {
        assert_eq!(stage.list().await.expect("a list").len(), 1);
        let ended = stage.account.memory().take_ended();
        assert_eq!(ended, [], "a VM that is there was told as ended");
        if stage.calls("GET vm") > asked_before {
            return;
        }
        look.again().await.expect("asked");
    }
}

/// Shown, missing, shown.
pub(super) async fn k15_a_fresh_vm_that_a_list_has_shown_and_the_next_omits_is_looked_for_and_not_told()
 {
    let stage = Setup::default().start().await;
    let vm = shown_then_omitted(&stage).await;
    until_looked_for(&stage, stage.calls("GET vm")).await;
    // Several lists may omit it.
    until_looked_for(&stage, stage.calls("GET vm")).await;
    stage.azure.set(|settings| settings.omits.clear());
    let listed = stage.until("both are listed", |rows| rows.len() == 2).await;
    listed.expect("a list");
    // That Azure does not say whether it is there says nothing either.
    stage.azure.set(|settings| {
        let bad = dispatch_lab_net::AzureBad::Stranger(404);
        let injection = dispatch_lab_net::AzureInjection::next("GET", "virtualMachines/", bad);
        settings.injections = vec![injection.times(3)];
    });
    omit(&stage, &vm);
    let mut look = Look::begin("it is asked in vain");
    while stage.azure.settings().injections[0].times > 0 {
        stage.list().await.expect("a list");
        look.again().await.expect("asked");
    }
    stage.azure.set(|settings| settings.omits.clear());
    let listed = stage.until("both are listed", |rows| rows.len() == 2).await;
    listed.expect("a list");
    assert_eq!(
        stage.account.memory().take_ended(),
        [],
        "a VM that is there was told as ended"
    );
}

pub(super) async fn k15_a_vm_that_is_fresh_to_the_next_process_is_looked_for_too() {
    let mut stage = Setup::default().start().await;
    let vm = shown_then_omitted(&stage).await;
    stage.azure.set(|settings| settings.omits.clear());
    stage.restart();
    assert_eq!(stage.list().await.expect("a list").len(), 2);
    omit(&stage, &vm);
    until_looked_for(&stage, stage.calls("GET vm")).await;
    // One that has been known for long is told by the list.
    let id = stage.account.id(&vm);
    stage.account.memory().is_old(&id);
    assert_eq!(stage.list().await.expect("a list").len(), 1);
    let ended = stage.account.memory().take_ended();
    assert_eq!(ended.len(), 1, "{ended:?}");
    assert_eq!((&ended[0].id, ended[0].cause), (&id, EndCause::TakenBack));
}

/// The list omits it, and a GET does not know it: it has ended, however fresh it is.
pub(super) async fn k15_k34_a_fresh_spot_vm_that_azure_does_not_know_any_more_counts_as_evicted() {
    let stage = Setup::default().start().await;
    let vm = shown_then_omitted(&stage).await;
    // It goes unseen by any list.
    stage.evict();
    let id = stage.account.id(&vm);
    let mut ended = stage.until_ended().await.expect("an end");
    while ended.iter().all(|end| end.id != id) {
        ended = stage.until_ended().await.expect("its end");
    }
    let told = ended.iter().find(|end| end.id == id);
    assert_eq!(told.map(|end| end.cause), Some(EndCause::TakenBack));
}

/// It may be the end that the process before asked for.
pub(super) async fn k34_whose_end_it_is_after_a_restart_is_not_known() {
    let mut stage = Setup::default()
        .azure(|settings| settings.delete_ms = 600_000)
        .start()
        .await;
    let made = stage.create(SPOT, "secret").await.expect("a VM");
    let listed = stage.until("it is listed", |rows| rows.len() == 1).await;
    listed.expect("a list");
    stage.account.destroy(&made.id).await.expect("accepted");
    stage.restart();
    assert_eq!(stage.list().await, Ok(Vec::new()));
    let ended = stage.account.memory().take_ended();
    assert_eq!(ended.len(), 1, "{ended:?}");
    assert_eq!(ended[0].cause, EndCause::Other);
    assert!(ended[0].message.contains("by whom is not known"));
}
