//! VMs that a list has shown and the next omits, and ends of which nobody knows whose they are.

use std::time::Duration;

use dispatch_cloud::EndCause;
use dispatch_lab_net::{AzureBad, AzureInjection};

use super::stage::{Look, SMALL, SPOT, Setup, Stage, refused};

/// How old a VM is, s: fresh to everybody, to some, and to nobody.
const AGES: [u64; 6] = [0, 59, 61, 119, 121, 3600];
/// Whoever lists has as little as this.
const LISTS_WITHIN: Duration = Duration::from_secs(5);

/// Shows both; the name of the second, a spot VM.
async fn shown(stage: &Stage) -> String {
    stage.create(SMALL, "one").await.expect("a VM");
    let made = stage.create(SPOT, "two").await.expect("a VM");
    let vm = crate::places::name_in(made.id.as_str()).to_owned();
    stage.until_left_alone(&vm).await.expect("made");
    let addressed = |row: &dispatch_cloud::Instance| !row.address.is_empty();
    let listed = stage.until("both are listed with their addresses", |rows| {
        rows.len() == 2 && rows.iter().all(addressed)
    });
    listed.await.expect("a list");
    vm
}

fn omit(stage: &Stage, vm: &str) {
    stage.azure.set(|settings| {
        settings.omits.insert(vm.to_owned());
    });
}

/// The next looks at VMs go so.
fn looks_go(stage: &Stage, bad: AzureBad) {
    let look = AzureInjection::next("GET", "virtualMachines/", bad);
    stage
        .azure
        .set(|settings| settings.injections = vec![look.times(1000)]);
}

/// Lists what is there, though Azure omits it.
async fn list_both(stage: &Stage) -> Vec<dispatch_cloud::Instance> {
    let list = tokio::time::timeout(LISTS_WITHIN, stage.list()).await;
    let rows = list.expect("in time").expect("a list");
    let ended = stage.account.memory().take_ended();
    assert_eq!(ended, [], "a VM that is there was told as ended");
    assert_eq!(rows.len(), 2, "a VM that is there is not listed");
    rows
}

/// Shown, missing, shown.
pub(super) async fn k15_a_vm_that_a_list_has_shown_and_the_next_omits_is_looked_for_and_listed_on()
{
    let mut stage = Setup::default().start().await;
    let vm = shown(&stage).await;
    for life in 0..2 {
        let mut passed = 0;
        for age in AGES {
            stage.later(Duration::from_secs(age - passed));
            passed = age;
            let before = list_both(&stage).await;
            let nics = stage.calls("GET nics");
            omit(&stage, &vm);
            // Several lists may omit it.
            for n in 1..=3 {
                let looks = stage.calls("GET vm");
                let rows = list_both(&stage).await;
                let by_id = |rows: &[dispatch_cloud::Instance]| {
                    let mut rows = rows.to_vec();
                    rows.sort_by(|one, other| one.id.cmp(&other.id));
                    rows
                };
                let (listed, shown) = (by_id(&rows), by_id(&before));
                assert_eq!(listed, shown, "as it was shown, with its address");
                let looks = stage.calls("GET vm") - looks;
                assert_eq!(looks, 1, "life {life}, {age} s, list {n}");
            }
            assert_eq!(stage.calls("GET nics"), nics, "its address is known");
            stage.azure.set(|settings| settings.omits.clear());
        }
        let looks = stage.calls("GET vm");
        list_both(&stage).await;
        assert_eq!(stage.calls("GET vm"), looks, "nothing is omitted any more");
        stage.restart();
    }
}

pub(super) async fn k15_what_lists_omit_is_listed_on_while_azure_does_not_say_whether_it_is_there()
{
    for bad in [
        AzureBad::Stranger(404),
        AzureBad::Throttled(None),
        refused(404, "ResourceGroupNotFound", ""),
        refused(503, "ServiceUnavailable", ""),
        AzureBad::Silent,
    ] {
        let stage = Setup::default().start().await;
        let vm = shown(&stage).await;
        stage.later(Duration::from_secs(3600));
        looks_go(&stage, bad);
        omit(&stage, &vm);
        for _ in 0..3 {
            list_both(&stage).await;
        }
        assert!(stage.calls("GET vm") > 0, "Azure is asked");
    }
}

/// Whoever lists, and then asks what has ended, hears of both at once, however old the VM is.
pub(super) async fn k15_k34_a_spot_vm_leaves_the_list_when_its_end_is_told_and_not_before() {
    for age in AGES {
        let stage = Setup::default().start().await;
        let vm = shown(&stage).await;
        let id = stage.account.id(&vm);
        stage.later(Duration::from_secs(age));
        list_both(&stage).await;
        // No list shows that it is being deleted.
        omit(&stage, &vm);
        stage.azure.take_back(&vm);
        let mut told = Vec::new();
        let mut look = Look::begin("it is gone");
        loop {
            let rows = stage.list().await.expect("a list");
            told.extend(stage.account.memory().take_ended());
            if rows.iter().all(|row| row.id != id) {
                break;
            }
            look.again().await.expect("gone");
        }
        let told: Vec<_> = told.iter().map(|end| (&end.id, end.cause)).collect();
        let expected = [(&id, EndCause::TakenBack)];
        assert_eq!(told, expected, "after {age} s: what is told when it leaves");
        assert_eq!(stage.list().await.expect("a list").len(), 1);
        assert_eq!(stage.account.memory().take_ended(), [], "told once");
    }
}

/// One that we end needs no look as soon as Azure has agreed, and not before.
pub(super) async fn what_lists_omit_and_we_end_is_listed_until_azure_agrees_or_does_not_know_it() {
    let stage = Setup::default()
        .azure(|settings| settings.delete_ms = 600_000)
        .start()
        .await;
    let vm = shown(&stage).await;
    let id = stage.account.id(&vm);
    let lock = refused(409, "ScopeLocked", "there is a lock");
    let locked = AzureInjection::next("DELETE", "virtualMachines/", lock);
    stage
        .azure
        .set(|settings| settings.injections = vec![locked]);
    stage.account.destroy(&id).await.expect_err("a lock");
    omit(&stage, &vm);
    list_both(&stage).await;
    stage.account.destroy(&id).await.expect("accepted");
    let looks = stage.calls("GET vm");
    assert_eq!(stage.list().await.expect("a list").len(), 1);
    assert_eq!(stage.calls("GET vm"), looks, "nobody looks for it");
    // One that is gone, of which Azure does not say so to whoever looks.
    let stage = Setup::default().start().await;
    let vm = shown(&stage).await;
    let id = stage.account.id(&vm);
    omit(&stage, &vm);
    stage.azure.take_back(&vm);
    looks_go(&stage, AzureBad::Stranger(403));
    list_both(&stage).await;
    stage.account.memory().is_old(&id);
    let mut look = Look::begin("it is gone");
    while stage.azure.vms().contains(&vm) {
        list_both(&stage).await;
        look.again().await.expect("gone");
    }
    stage.account.destroy(&id).await.expect("it is not known");
    assert_eq!(stage.list().await.expect("a list").len(), 1);
    assert_eq!(stage.account.memory().take_ended(), [], "we ended it");
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
