//! Creates that Azure has accepted and that fail, or seem to.

use std::time::Duration;

use dispatch_cloud::EndCause;
use dispatch_lab_net::AzureSettings;
use dispatch_model::{CapacityScope, CloudErrorClass};

use super::{
    creates::{until_nothing_is_left, words},
    stage::{FAMILY, Look, Outcome, SCALE, SMALL, Setup, Stage, ensure, refused},
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

fn fails(settings: &mut AzureSettings) {
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
    // And where not even that does, nobody knows whether it runs; if it does not, it is told as such.
    let setup = Setup::default()
        .azure(fails)
        .azure(|settings| settings.no_reasons = true);
    let stage = setup.start().await;
    let made = stage.create(SMALL, "secret").await.expect("accepted");
    let vm = crate::places::name_in(made.id.as_str());
    until_looked_into(&stage, vm).await;
    assert_eq!(stage.list().await.expect("a list").len(), 1);
    assert_eq!(stage.calls("DELETE vm"), 0, "it may run");
    let stopped = Some(Some("stopped".to_owned()));
    stage.azure.set(|settings| settings.power_state = stopped);
    let ended = stage.until_ended().await.expect("an end");
    assert!(ended[0].message.contains("no reason"), "{ended:?}");
    assert_eq!(ended[0].class, None);
    assert_eq!(until_nothing_is_left(&stage).await, Ok(()));
}

/// Lists until the VM is looked into once more, and what comes of that is over.
async fn until_looked_into(stage: &Stage, vm: &str) {
    let mut look = Look::begin("it is looked into");
    let views = stage.calls("GET instanceView");
    while stage.calls("GET instanceView") == views {
        stage.list().await.expect("a list");
        look.again().await.expect("looked into");
    }
    stage.until_left_alone(vm).await.expect("an end");
}

/// Azure calls VMs of this size failed, whose system has not reported in time; they may be at work.
fn times_out(settings: &mut AzureSettings) {
    let reason = ("OSProvisioningTimedOut", "not in time");
    let reason = (reason.0.to_owned(), reason.1.to_owned());
    settings
        .failing_but_running
        .insert(SMALL.to_owned(), reason);
}

/// Also where Azure does not say whether it runs, as happens at times
/// (learn.microsoft.com/azure/virtual-machines/states-billing).
pub(super) async fn a_vm_that_may_run_is_left_to_the_boot_probe_though_azure_calls_it_failed() {
    for power in [None, Some(None), Some(Some("unknown".to_owned()))] {
        let setup = Setup::default().azure(times_out);
        let setup = setup.azure(|settings| settings.power_state = power.clone());
        let mut stage = setup.start().await;
        let made = stage.create(SMALL, "secret").await.expect("accepted");
        let vm = crate::places::name_in(made.id.as_str());
        for life in 0..2 {
            until_looked_into(&stage, vm).await;
            let ended = stage.account.memory().take_ended();
            let deletes = stage.calls("DELETE vm");
            assert!(
                ended.is_empty() && deletes == 0,
                "a VM that may run is taken for dead: {power:?}, life {life}: {ended:?}"
            );
            assert_eq!(stage.list().await.expect("a list").len(), 1, "{power:?}");
            stage.restart();
        }
        stage.clean_up().await.expect("it can be ended");
    }
}

pub(super) async fn a_vm_that_azure_calls_failed_is_looked_into_once_a_minute() {
    let mut stage = Setup {
        time_stands: true,
        ..Setup::default().azure(times_out)
    }
    .start()
    .await;
    let made = stage.create(SMALL, "secret").await.expect("accepted");
    let vm = crate::places::name_in(made.id.as_str());
    stage.until_left_alone(vm).await.expect("an end");
    // Nobody has followed its making in this life.
    stage.restart();
    let before = stage.calls("GET instanceView");
    for minute in 1..=3 {
        for _ in 0..10 {
            stage.list().await.expect("a list");
            stage.until_left_alone(vm).await.expect("an end");
        }
        assert_eq!(stage.calls("GET instanceView") - before, minute);
        stage.later(Duration::from_secs(60) / SCALE);
    }
}

/// "Hold" means that nobody ends it, and what was there before this process may have been well.
pub(super) async fn w16_a_vm_that_failed_is_not_deleted_while_it_is_held_or_if_it_may_have_been_well()
 {
    for (key, value, stays) in [
        ("ArvadosIdleBehavior", "hold", true),
        ("created-at", "2020-01-01T00:00:00Z", true),
        ("ArvadosIdleBehavior", "drain", false),
    ] {
        let mut stage = Setup::default().start().await;
        let made = stage.create(SMALL, "secret").await.expect("a VM");
        let vm = crate::places::name_in(made.id.as_str());
        stage.until_left_alone(vm).await.expect("made");
        let tags = [(key.to_owned(), value.to_owned())].into();
        let set = stage.account.set_tags(&made.id, &tags).await;
        set.expect("a tag");
        // Somebody stops it to look into it, and something goes wrong with that.
        stop(&stage);
        stage.azure.fail_update(vm, "VMExtensionError", "no answer");
        stage.restart();
        for look in 0..2 {
            until_looked_into(&stage, vm).await;
            if !stays {
                break;
            }
            assert_eq!(
                stage.calls("DELETE vm"),
                0,
                "a VM that must stay is deleted: {key} is {value}, look {look}"
            );
            assert_eq!(stage.account.memory().take_ended(), [], "{key} is {value}");
            assert_eq!(stage.list().await.expect("a list").len(), 1);
        }
        if stays {
            stage.clean_up().await.expect("whoever asks can end it");
        }
        assert_eq!(until_nothing_is_left(&stage).await, Ok(()));
    }
    // The same in the process that made it, while its making is followed.
    let setup = Setup::default().azure(times_out);
    let setup = setup.azure(|settings| settings.create_ms = 300);
    let stage = setup.start().await;
    let made = stage.create(SMALL, "secret").await.expect("accepted");
    let vm = crate::places::name_in(made.id.as_str());
    let hold = [("ArvadosIdleBehavior".to_owned(), "hold".to_owned())].into();
    let set = stage.account.set_tags(&made.id, &hold).await;
    set.expect("a tag");
    stop(&stage);
    stage.until_left_alone(vm).await.expect("followed");
    assert_eq!(stage.calls("GET instanceView"), 1);
    assert_eq!(stage.calls("DELETE vm"), 0, "a VM that is held is deleted");
    assert_eq!(stage.account.memory().take_ended(), []);
}

/// VMs are switched off.
fn stop(stage: &Stage) {
    let stopped = Some(Some("deallocated".to_owned()));
    stage.azure.set(|settings| settings.power_state = stopped);
}

/// Else one more would be made for each that fails, without end.
pub(super) async fn a_vm_that_failed_and_cannot_be_deleted_is_listed() {
    let words = "there is a lock";
    // Refused, or accepted and come to nothing.
    for is_accepted in [false, true] {
        let setup = Setup::default().azure(fails);
        let setup = if is_accepted {
            let lock = Some(("ScopeLocked".to_owned(), words.to_owned()));
            setup.azure(|settings| settings.delete_fails = lock)
        } else {
            let lock = refused(409, "ScopeLocked", words);
            setup.bad("DELETE", "virtualMachines/", 1000, lock)
        };
        let stage = setup.start().await;
        let made = stage.create(SMALL, "secret").await.expect("accepted");
        let vm = crate::places::name_in(made.id.as_str());
        let ended = stage.until_ended().await.expect("an end");
        assert_eq!(ended[0].cause, EndCause::NeverBegan);
        stage.until_left_alone(vm).await.expect("followed");
        let mut look = Look::begin("it is deleted again");
        let deletes = stage.calls("DELETE vm");
        while stage.calls("DELETE vm") < deletes + 2 {
            let listed = stage.list().await.expect("a list").len();
            assert_eq!(listed, 1, "a VM that cannot be deleted takes up room");
            look.again().await.expect("deleted again");
        }
        assert_eq!(stage.account.memory().take_ended(), [], "told once");
        stage.azure.set(|settings| {
            settings.injections.clear();
            settings.delete_fails = None;
        });
        assert_eq!(until_nothing_is_left(&stage).await, Ok(()));
    }
}

pub(super) async fn a6_the_usages_tell_which_quota_a_vm_failed_for() {
    let setup = Setup::default().azure(|settings| {
        let silent = ("QuotaExceeded".to_owned(), String::new());
        settings.failing.insert(SMALL.to_owned(), silent);
        settings.create_ms = 100;
    });
    let stage = setup.start().await;
    stage.create(SMALL, "secret").await.expect("accepted");
    stage.azure.set(|settings| {
        settings.family_cores.insert(FAMILY.to_owned(), 1);
    });
    let ended = stage.until_ended().await.expect("an end");
    let family = CloudErrorClass::Capacity(CapacityScope::QuotaGroup(FAMILY.to_owned()));
    assert_eq!(ended[0].class, Some(family), "{ended:?}");
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
