//! Creates that Azure has accepted and that fail, or seem to.

use dispatch_cloud::EndCause;
use dispatch_model::{CapacityScope, CloudErrorClass};

use super::{
    creates::{until_nothing_is_left, words},
    stage::{Look, Outcome, SMALL, Setup, ensure, refused},
};

/// An operation that was accepted and fails: told by its reason, and the VM is deleted.
async fn a_vm_that_fails_is_told_and_deleted() -> Outcome {
    let stage = Setup::default().azure(fails).start().await;
    stage.create(SMALL, "secret").await.map_err(words)?;
    let ended = stage.until_ended().await?;
    let [end] = ended.as_slice() else {
        return Err(format!("{ended:?}"));
    };
    ensure(
        end.cause == EndCause::NeverBegan
            && end.code == "AllocationFailed"
            && end.class == Some(CloudErrorClass::Capacity(CapacityScope::Type)),
        || format!("{end:?}"),
    )?;
    let vm = crate::places::name_in(end.id.as_str());
    stage.until_left_alone(vm).await?;
    ensure(stage.calls("DELETE vm") == 1, || {
        "a VM that failed was not deleted".to_owned()
    })?;
    until_nothing_is_left(&stage).await
}

fn fails(settings: &mut dispatch_lab_net::AzureSettings) {
    let reason = (
        "AllocationFailed".to_owned(),
        "Allocation failed. We do not have sufficient capacity for the requested VM size in this region.".to_owned(),
    );
    settings.failing.insert(SMALL.to_owned(), reason);
}

pub(super) async fn k27_an_operation_that_fails_is_told_by_its_reason_and_its_vm_deleted() {
    assert_eq!(a_vm_that_fails_is_told_and_deleted().await, Ok(()));
}

/// The role lets nobody read operations, which needs it on the subscription: that says nothing about VMs.
pub(super) async fn k27_an_operation_that_may_not_be_read_is_not_the_vms_failure() {
    assert_eq!(unreadable_operations_harm_no_vm().await, Ok(()));
    // What really fails is found out from the VM itself, with its reason.
    let setup = Setup::default().azure(fails).azure(|settings| {
        settings
            .forbidden
            .insert("Microsoft.Compute/locations/operations/read".to_owned());
    });
    let stage = setup.start().await;
    stage.create(SMALL, "secret").await.expect("accepted");
    let mut look = Look::begin("it is told");
    let ended = loop {
        let ended = stage.account.memory().take_ended();
        if !ended.is_empty() {
            break ended;
        }
        look.again().await.expect("told without any list");
    };
    assert_eq!(ended[0].code, "AllocationFailed");
    assert_eq!(until_nothing_is_left(&stage).await, Ok(()));
}

async fn unreadable_operations_harm_no_vm() -> Outcome {
    for (status, code) in [
        (403, "AuthorizationFailed"),
        (401, "InvalidAuthenticationToken"),
    ] {
        let stage = Setup::default()
            .azure(|settings| settings.create_ms = 100)
            .bad("GET", "operations", 1000, refused(status, code, ""))
            .start()
            .await;
        let made = stage.create(SMALL, "secret").await.map_err(words)?;
        let vm = crate::places::name_in(made.id.as_str());
        stage.until_left_alone(vm).await?;
        let deletes = stage.calls("DELETE vm");
        ensure(deletes == 0 && stage.calls("GET operation") > 0, || {
            format!("{code}: {deletes} deletes of a VM whose operation may not be read")
        })?;
        ensure(stage.calls("GET vm") > 0, || {
            "the VM was not looked at".to_owned()
        })?;
        let ended = stage.account.memory().take_ended();
        ensure(ended.is_empty(), || format!("{code}: {ended:?}"))?;
        stage.until("it is listed", |rows| rows.len() == 1).await?;
    }
    Ok(())
}

/// Where operations say nothing, the instance view does.
pub(super) async fn a_failure_without_a_reason_is_looked_into() {
    let setup = Setup::default().azure(fails).azure(|settings| {
        settings.no_operations = true;
        settings.create_ms = 50;
    });
    let stage = setup.start().await;
    stage.create(SMALL, "secret").await.expect("accepted");
    let ended = stage.until_ended().await.expect("an end");
    let told: Vec<_> = ended
        .iter()
        .map(|end| (end.code.as_str(), &end.class))
        .collect();
    let lack = Some(CloudErrorClass::Capacity(CapacityScope::Type));
    assert_eq!(told, [("AllocationFailed", &lack)]);
    assert_eq!(stage.calls("GET operation"), 0);
    assert_eq!(until_nothing_is_left(&stage).await, Ok(()));
    // And where not even that does, it is told as such.
    let setup = Setup::default()
        .azure(fails)
        .azure(|settings| settings.no_reasons = true);
    let stage = setup.start().await;
    stage.create(SMALL, "secret").await.expect("accepted");
    let ended = stage.until_ended().await.expect("an end");
    assert!(ended[0].message.contains("no reason"), "{ended:?}");
    assert_eq!(ended[0].class, None);
}

/// Azure calls a VM failed whose system has not reported in time; it may be at work.
pub(super) async fn a_vm_that_runs_is_left_to_the_boot_probe_though_azure_calls_it_failed() {
    let setup = Setup::default().azure(|settings| {
        let reason = (
            "OSProvisioningTimedOut".to_owned(),
            "not in time".to_owned(),
        );
        settings
            .failing_but_running
            .insert(SMALL.to_owned(), reason);
    });
    let mut stage = setup.start().await;
    let made = stage.create(SMALL, "secret").await.expect("accepted");
    let vm = crate::places::name_in(made.id.as_str());
    for life in 0..2 {
        let mut look = Look::begin("it is looked into");
        let views = stage.calls("GET instanceView");
        while stage.calls("GET instanceView") == views {
            stage.list().await.expect("a list");
            look.again().await.expect("looked into");
        }
        stage.until_left_alone(vm).await.expect("an end");
        assert_eq!(stage.calls("DELETE vm"), 0, "life {life}");
        assert_eq!(stage.account.memory().take_ended(), [], "life {life}");
        assert_eq!(stage.list().await.expect("a list").len(), 1, "life {life}");
        stage.restart();
    }
    stage.clean_up().await.expect("it can be ended");
}

pub(super) async fn a_vm_that_failed_in_an_earlier_life_is_looked_into_and_deleted() {
    let mut stage = Setup::default().azure(fails).start().await;
    stage.create(SMALL, "secret").await.expect("accepted");
    // Its follower dies with it.
    stage.restart();
    let ended = stage.until_ended().await.expect("an end");
    assert_eq!(ended[0].code, "AllocationFailed");
    assert!(stage.calls("GET instanceView") > 0);
    assert_eq!(until_nothing_is_left(&stage).await, Ok(()));
}

pub(super) async fn an_operation_that_azure_has_forgotten_is_read_from_the_vm() {
    let setup = Setup::default().azure(|settings| {
        fails(settings);
        settings.create_ms = 100;
    });
    let stage = setup.start().await;
    stage.create(SMALL, "secret").await.expect("accepted");
    stage.azure.forget_operations();
    assert_eq!(stage.until_ended().await.expect("an end").len(), 1);
    assert_eq!(until_nothing_is_left(&stage).await, Ok(()));
}
