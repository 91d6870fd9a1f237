//! Creates and ends, and what goes wrong with them.

use dispatch_cloud::{EndCause, InstanceSet as _};
use dispatch_lab_net::AzureBad;
use dispatch_model::{CapacityScope, CloudErrorClass, RefusalScope};

use super::stage::{Look, OTHER, Outcome, SMALL, SPOT, Setup, Stage, ensure, order, refused};

fn words(error: impl ToString) -> String {
    error.to_string()
}

/// A look finds the VM, and nothing is put again.
pub(super) async fn a_lost_answer_is_looked_up() {
    let setup = Setup::default().bad("PUT", "virtualMachines", 1, AzureBad::Lost);
    let stage = setup.start().await;
    stage.create(SMALL, "secret").await.expect("a VM");
    let requests = stage.requests();
    assert_eq!(
        requests.get(..3).unwrap_or(&requests),
        ["PUT nic", "PUT vm", "GET vm"],
        "it looks before it puts again"
    );
    assert_eq!(stage.calls("PUT vm"), 1);
    assert_eq!(stage.azure.vms().len(), 1);
}

/// Facts A3.
async fn a_refused_create_leaves_nothing() -> Outcome {
    let setup = Setup::default().bad(
        "PUT",
        "virtualMachines",
        1,
        refused(409, "SkuNotAvailable", ""),
    );
    let stage = setup.start().await;
    let answer = stage.create(SMALL, "secret").await;
    ensure(answer.is_err() && stage.left().is_empty(), || {
        format!("a refused create left {:?}", stage.left())
    })
}

/// Facts K27.
pub(super) async fn a_lack_of_a_size_is_not_a_quota() -> Outcome {
    let setup = Setup::default().azure(|settings| {
        settings.sold_out.insert(SMALL.to_owned());
    });
    let stage = setup.start().await;
    let class = stage
        .create(SMALL, "secret")
        .await
        .map(|_| ())
        .map_err(|error| error.class);
    ensure(
        class == Err(CloudErrorClass::Capacity(CapacityScope::Type)),
        || format!("the class is {class:?}"),
    )?;
    stage
        .create(OTHER, "another")
        .await
        .map(|_| ())
        .map_err(words)
}

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

async fn until_nothing_is_left(stage: &Stage) -> Outcome {
    let mut look = Look::begin("nothing is left");
    // The lab brings itself up to date with each request.
    stage.list().await?;
    while !stage.left().is_empty() {
        look.again().await?;
        stage.list().await?;
    }
    Ok(())
}

/// A change of one tag leaves the others alone.
async fn a_change_of_tags_is_merged() -> Outcome {
    let stage = Setup::default().start().await;
    let made = stage.create(SMALL, "secret").await.map_err(words)?;
    let hold = [("ArvadosIdleBehavior".to_owned(), "hold".to_owned())].into();
    stage
        .account
        .set_tags(&made.id, &hold)
        .await
        .map_err(words)?;
    let request = stage
        .azure
        .requests()
        .into_iter()
        .find(|request| request.method == "PATCH")
        .ok_or("no tags were changed")?;
    ensure(
        request.body["operation"] == "Merge" && stage.calls("PUT vm") == 1,
        || format!("other tags are touched: {}", request.body),
    )
}

pub(super) async fn a3_a_refused_create_leaves_nothing_behind() {
    assert_eq!(a_refused_create_leaves_nothing().await, Ok(()));
    // Whichever step is refused, and even if the configuration is.
    for (path, status, code) in [
        ("networkInterfaces", 400, "SubnetIsFull"),
        ("virtualMachines", 404, "ImageNotFound"),
        ("virtualMachines", 403, "AuthorizationFailed"),
        ("virtualMachines", 500, "InternalExecutionError"),
    ] {
        let stage = Setup::default()
            .bad("PUT", path, 1, refused(status, code, ""))
            .start()
            .await;
        assert!(stage.create(SMALL, "secret").await.is_err(), "{code}");
        assert_eq!(stage.left(), Vec::<String>::new(), "{code}");
    }
}

pub(super) async fn a_vm_takes_its_network_interface_and_its_disk_along() {
    let stage = Setup::default().start().await;
    stage.create(SMALL, "secret").await.expect("a VM");
    assert_eq!(stage.left().len(), 3);
    stage.clean_up().await.expect("the end");
    assert_eq!(until_nothing_is_left(&stage).await, Ok(()));
    assert_eq!(stage.calls("DELETE nic") + stage.calls("DELETE disk"), 0);
}

pub(super) async fn a_create_is_answered_when_azure_has_accepted_it() {
    let setup = Setup::default().azure(|settings| settings.create_ms = 600_000);
    let stage = setup.start().await;
    let made = stage.create(SMALL, "secret").await.expect("a VM");
    assert_eq!(made.id, stage.account.id(&stage.azure.vms()[0]));
    // Others are not kept waiting.
    for n in 0..5 {
        stage.create(OTHER, &format!("s{n}")).await.expect("a VM");
    }
    assert_eq!(stage.azure.vms().len(), 6);
}

pub(super) async fn w23_a_managed_image_takes_twenty_creates_at_a_time_and_a_gallery_any_number() {
    let slow = |settings: &mut dispatch_lab_net::AzureSettings| settings.create_ms = 600_000;
    let stage = Setup::default().azure(slow).start().await;
    for n in 0..20 {
        stage.create(SMALL, &format!("s{n}")).await.expect("a VM");
    }
    let error = stage.create(SMALL, "one more").await.expect_err("a limit");
    assert!(
        matches!(error.class, CloudErrorClass::RateLimited(_)),
        "{error}"
    );
    // The same if all come at once, and none is refused that would have had a place.
    let stage = Setup::default().azure(slow).start().await;
    let creates = (0..30).map(|n| {
        let account = stage.account.clone();
        tokio::spawn(async move { account.create(&order(SMALL, &format!("s{n}"))).await })
    });
    let mut made = 0;
    for create in creates.collect::<Vec<_>>() {
        made += usize::from(create.await.expect("no panic").is_ok());
    }
    assert_eq!((made, stage.azure.vms().len()), (20, 20));
    let gallery = Setup::default()
        .azure(slow)
        .parameter("SharedImageGalleryName", "gallery".into())
        .parameter("SharedImageGalleryImageVersion", "1.0.0".into());
    let stage = gallery.start().await;
    for n in 0..21 {
        stage.create(SMALL, &format!("s{n}")).await.expect("a VM");
    }
}

pub(super) async fn one_order_makes_one_vm_however_often_it_is_given() {
    let mut stage = Setup::default().start().await;
    let first = stage.create(SMALL, "secret").await.expect("a VM");
    let second = stage.create(SMALL, "secret").await.expect("the same");
    // Another life does not know that it was sent, and meets the condition.
    stage.restart();
    let third = stage.create(SMALL, "secret").await.expect("the same");
    assert_eq!((&second.id, &third.id), (&first.id, &first.id));
    assert_eq!(stage.azure.vms().len(), 1);
    assert_eq!(stage.azure.nics().len(), 1);
}

pub(super) async fn a_vm_that_azure_does_not_show_yet_is_not_put_twice() {
    // The answer is lost, and then Azure does not know the VM for a while: the condition saves us.
    let setup = Setup::default()
        .azure(|settings| settings.unknown_ms = 60_000)
        .bad("PUT", "virtualMachines", 1, AzureBad::Lost);
    let stage = setup.start().await;
    let made = stage.create(SMALL, "secret").await;
    for request in stage.azure.requests() {
        if request.method == "PUT" && request.path.contains("virtualMachines") {
            let condition = request.headers.get("if-none-match").map(String::as_str);
            assert_eq!(condition, Some("*"), "a PUT without a condition");
        }
    }
    made.expect("a VM");
    // The network interface is there, and is not put again.
    assert_eq!(
        stage.requests(),
        ["PUT nic", "PUT vm", "GET vm", "GET nic", "PUT vm"]
    );
    assert_eq!(stage.azure.vms().len(), 1);
}

pub(super) async fn a_fresh_vm_that_azure_does_not_know_is_not_taken_for_gone() {
    let setup = Setup::default().bad(
        "DELETE",
        "virtualMachines",
        4,
        refused(404, "ResourceNotFound", ""),
    );
    let stage = setup.start().await;
    let made = stage.create(SMALL, "secret").await.expect("a VM");
    let error = stage.account.destroy(&made.id).await;
    let error = error.expect_err("a fresh VM that Azure does not know is not gone");
    assert_eq!(error.class, CloudErrorClass::Transient);
    stage.account.destroy(&made.id).await.expect("gone");
    stage.account.destroy(&made.id).await.expect("gone already");
}

pub(super) async fn a_lost_answer_of_any_write_makes_nothing_twice() {
    for (method, path) in [
        ("PUT", "networkInterfaces"),
        ("PUT", "virtualMachines"),
        ("GET", "virtualMachines/"),
    ] {
        for bad in [
            AzureBad::Lost,
            AzureBad::CutOff,
            AzureBad::BadGateway,
            AzureBad::Late(20),
        ] {
            let name = format!("{method} {path} {bad:?}");
            let stage = Setup::default().bad(method, path, 1, bad).start().await;
            stage.create(SMALL, "secret").await.expect(&name);
            stage.until_nothing_is_late().await.expect(&name);
            assert_eq!(stage.azure.vms().len(), 1, "{name}");
            assert_eq!(stage.azure.nics().len(), 1, "{name}");
        }
    }
}

pub(super) async fn nothing_is_put_after_the_end_of_a_vm_was_asked_for() {
    // The PUT is on its way and lost; meanwhile somebody ends the VM by its name.
    let setup = Setup::default().bad("PUT", "virtualMachines", 1, AzureBad::BadGateway);
    let stage = setup.start().await;
    let name = crate::names::Names::of("conformance", &order(SMALL, "secret").secret).vm;
    let id = stage.account.id(&name);
    stage.account.destroy(&id).await.expect("there is none");
    let error = stage.create(SMALL, "secret").await.expect_err("given up");
    assert_eq!(error.class, CloudErrorClass::Transient);
    assert_eq!(stage.calls("PUT vm") + stage.calls("PUT nic"), 0);
}

/// Its end is asked for while its PUT is under way, and Azure takes the end first.
pub(super) async fn an_end_that_comes_before_the_put_ends_the_vm_all_the_same() {
    let setup = Setup::default().bad("PUT", "virtualMachines", 1, AzureBad::Late(100));
    let stage = setup.start().await;
    let name = crate::names::Names::of("conformance", &order(SMALL, "secret").secret).vm;
    let create = {
        let account = stage.account.clone();
        tokio::spawn(async move { account.create(&order(SMALL, "secret")).await })
    };
    let mut look = Look::begin("the VM is put");
    while stage.calls("PUT vm") == 0 {
        look.again().await.expect("put");
    }
    let end = stage.account.destroy(&stage.account.id(&name)).await;
    end.expect("there is none yet");
    create.await.expect("no panic").expect_err("given up");
    assert_eq!(stage.calls("PUT vm"), 1, "it is not put again");
    stage.until_nothing_is_late().await.expect("all arrived");
    // Whatever came late is listed, and ended like everything that nobody wants.
    stage.clean_up().await.expect("an end");
    assert_eq!(until_nothing_is_left(&stage).await, Ok(()));
    assert_eq!(stage.nothing_was_made_twice(), Ok(()));
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

/// A page of a proxy, a subscription or a resource group that is not there: the VM may be.
pub(super) async fn only_azures_own_word_counts_as_gone() {
    for bad in [
        refused(404, "SubscriptionNotFound", ""),
        refused(404, "ResourceGroupNotFound", ""),
        AzureBad::Stranger(404),
    ] {
        let name = format!("{bad:?}");
        let stage = Setup::default().start().await;
        let made = stage.create(SPOT, "secret").await.expect("a VM");
        let listed = stage.until("it is listed", |rows| rows.len() == 1).await;
        listed.expect("a list");
        stage.account.memory().is_old(&made.id);
        let injection = |method: &str| {
            dispatch_lab_net::AzureInjection::next(method, "virtualMachines/", bad.clone())
        };
        (stage.azure)
            .set(|settings| settings.injections = vec![injection("DELETE"), injection("GET")]);
        let end = stage.account.destroy(&made.id).await;
        assert!(end.is_err(), "{name}: a VM that is there counts as gone");
        // The same for one that has stopped answering.
        let vm = crate::places::name_in(made.id.as_str());
        stage.until_left_alone(vm).await.expect(&name);
        stage.account.doubt(&made.id);
        stage.until_left_alone(vm).await.expect(&name);
        assert_eq!(stage.calls("GET instanceView"), 1, "{name}");
        assert_eq!(stage.account.memory().take_ended(), [], "{name}");
        stage.clean_up().await.expect(&name);
    }
}

/// Carried out, and then answered with 500.
pub(super) async fn a_server_that_breaks_down_after_its_work_makes_no_second_vm() {
    let mistaken = || {
        let words = "An internal error occurred.".to_owned();
        AzureBad::Mistaken(500, "InternalServerError".to_owned(), words)
    };
    let stage = Setup::default()
        .bad("PUT", "virtualMachines", 1, mistaken())
        .start()
        .await;
    let answer = stage.create(SMALL, "secret").await;
    answer.expect("a VM that is there is not taken for refused");
    assert_eq!(stage.requests(), ["PUT nic", "PUT vm", "GET vm"]);
    // While Azure does not show it, it holds its network interface: nobody knows.
    let stage = Setup::default()
        .azure(|settings| settings.unknown_ms = 600_000)
        .bad("PUT", "virtualMachines", 1, mistaken())
        .start()
        .await;
    let error = stage.create(SMALL, "secret").await.expect_err("in doubt");
    assert_eq!(error.class, CloudErrorClass::OutcomeUnknown, "{error}");
    assert_eq!(stage.left().len(), 3, "{:?}", stage.left());
    assert_eq!(stage.calls("PUT vm"), 1);
    // If it did nothing, that is a passing fault, and nothing stays.
    let stage = Setup::default()
        .bad(
            "PUT",
            "virtualMachines",
            1,
            refused(500, "InternalServerError", ""),
        )
        .start()
        .await;
    let error = stage.create(SMALL, "secret").await.expect_err("a fault");
    assert_eq!(error.class, CloudErrorClass::Transient, "{error}");
    assert_eq!(stage.left(), Vec::<String>::new());
}

/// The first PUT made the VM, a look did not show it, and the second PUT is refused.
pub(super) async fn a_refusal_after_a_lost_put_is_settled_by_a_look() {
    for refusal in [
        refused(409, "SkuNotAvailable", ""),
        refused(403, "AuthorizationFailed", ""),
        AzureBad::Throttled(Some("1".to_owned())),
        AzureBad::Stranger(407),
    ] {
        let name = format!("{refusal:?}");
        let stage = Setup::default()
            .bad("PUT", "virtualMachines/", 1, AzureBad::Lost)
            .bad(
                "GET",
                "virtualMachines/",
                1,
                refused(404, "ResourceNotFound", ""),
            )
            .bad("PUT", "virtualMachines/", 1, refusal)
            .start()
            .await;
        stage.create(SMALL, "secret").await.expect(&name);
        assert_eq!(stage.azure.vms().len(), 1, "{name}");
        assert_eq!(stage.azure.nics().len(), 1, "{name}");
        assert_eq!(
            stage.requests(),
            ["PUT nic", "PUT vm", "GET vm", "GET nic", "PUT vm", "GET vm"],
            "{name}"
        );
    }
}

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
    let ended = stage.account.memory().take_ended();
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

pub(super) async fn a7_spot_settings_are_sent_for_spot_vms_alone() {
    let stage = Setup::default().start().await;
    // The lab refuses a price for other VMs, as Azure does.
    stage.create(SMALL, "plain").await.expect("a VM");
    stage.create(SPOT, "spot").await.expect("a spot VM");
    let puts: Vec<_> = stage
        .azure
        .requests()
        .into_iter()
        .filter(|request| request.method == "PUT" && request.path.contains("virtualMachines"))
        .map(|request| request.body["properties"]["evictionPolicy"].clone())
        .collect();
    assert_eq!(puts, [serde_json::Value::Null, "Delete".into()]);
}

pub(super) async fn a8_added_scratch_is_refused_without_a_call() {
    let stage = Setup::default().start().await;
    let mut order = order(SMALL, "secret");
    order.instance_type.added_scratch_bytes = 1;
    let error = stage.account.create(&order).await.expect_err("a refusal");
    assert_eq!(error.class, CloudErrorClass::Refused);
    assert!(error.message.contains("AddedScratch"), "{error}");
    assert_eq!(stage.requests(), Vec::<String>::new());
}

pub(super) async fn a9_a_secret_is_not_in_names_nor_on_network_interfaces_nor_in_errors() {
    let secret = "0123456789abcdef0123456789abcdef01234567";
    let echo = refused(400, "Echo", &format!("you sent {secret}"));
    let stage = Setup::default()
        .bad("PUT", "virtualMachines", 1, echo)
        .start()
        .await;
    let error = stage.create(SMALL, secret).await.expect_err("a refusal");
    assert!(!error.message.contains(secret), "{error}");
    stage.create(SMALL, secret).await.expect("a VM");
    assert!(stage.left().iter().all(|name| !name.contains(secret)));
    for request in stage.azure.requests() {
        let on_vm = request.path.contains("virtualMachines");
        assert!(on_vm || !request.body.to_string().contains(secret));
        assert!(!request.path.contains(secret));
    }
}

/// Azure may repeat what it knows in any answer.
pub(super) async fn a9_a_secret_is_in_no_words_of_any_call() {
    let secret = "0123456789abcdef0123456789abcdef01234567";
    let mut stage = Setup::default().start().await;
    let made = stage.create(SMALL, secret).await.expect("a VM");
    // Another life has not made it: it learns the secret from the list.
    stage.restart();
    let listed = stage.until("it is listed", |rows| rows.len() == 1).await;
    listed.expect("a list");
    let echo = refused(
        400,
        "Echo",
        &format!("it has {secret} and lab-client-secret"),
    );
    stage.azure.set(|settings| {
        let every = ["GET", "PATCH", "DELETE"].map(|method| {
            dispatch_lab_net::AzureInjection::next(method, "", echo.clone()).times(1000)
        });
        settings.injections = every.into();
    });
    let tags = [("a".to_owned(), "b".to_owned())].into();
    let told = [
        stage
            .account
            .set_tags(&made.id, &tags)
            .await
            .expect_err("an error")
            .message,
        stage
            .account
            .destroy(&made.id)
            .await
            .expect_err("an error")
            .message,
        stage.list().await.expect_err("an error"),
        format!("{:?}", stage.account.collect().await),
        format!("{:?}", stage.account.view_vm("x").await),
    ];
    for words in told {
        assert!(
            words.contains("(secret)") && !words.contains(secret),
            "{words}"
        );
    }
    stage.azure.set(|settings| settings.injections.clear());
    // What an operation says, and what is told of it.
    let fails = |settings: &mut dispatch_lab_net::AzureSettings| {
        let words = format!("no room for {secret}");
        let reason = ("AllocationFailed".to_owned(), words);
        settings.failing.insert(OTHER.to_owned(), reason);
    };
    stage.azure.set(fails);
    let second = "another-secret-of-forty-characters-long-";
    stage.create(OTHER, second).await.expect("accepted");
    let ended = stage.until_ended().await.expect("an end");
    assert!(
        ended[0].message.contains("no room for (secret)"),
        "{ended:?}"
    );
}

pub(super) async fn a10_network_and_images_are_found_in_their_own_groups_and_galleries() {
    let stage = Setup::default().start().await;
    stage.create(SMALL, "managed").await.expect("a VM");
    let gallery = Setup::default()
        .parameter("SharedImageGalleryName", "gallery".into())
        .parameter("SharedImageGalleryImageVersion", "1.0.0".into());
    let stage = gallery.start().await;
    stage.create(SMALL, "from a gallery").await.expect("a VM");
    assert!(
        stage
            .azure
            .actions()
            .contains("Microsoft.Compute/galleries/images/versions/read")
    );
    // An image that some containers ask for concerns these alone.
    let mut special = order(SMALL, "special");
    special.image_id = "another-image".to_owned();
    let error = stage
        .account
        .create(&special)
        .await
        .expect_err("no such image");
    assert_eq!(error.class, CloudErrorClass::Refused, "{error}");
    for (key, code) in [
        ("NetworkResourceGroup", "InvalidResourceReference"),
        ("ImageResourceGroup", "ImageNotFound"),
        ("ResourceGroup", "ResourceGroupNotFound"),
    ] {
        let stage = Setup::default()
            .parameter(key, "nowhere".into())
            .start()
            .await;
        let error = stage.create(SMALL, "s").await.expect_err("a refusal");
        let widely = CloudErrorClass::RefusedWidely(RefusalScope::Everything);
        assert_eq!(error.class, widely, "{error}");
        assert!(error.message.contains(code), "{error}");
    }
}

pub(super) async fn changes_of_tags_are_merged_and_share_calls() {
    assert_eq!(a_change_of_tags_is_merged().await, Ok(()));
    let setup = Setup {
        world: |settings| {
            settings.cloud.tags_latency_ms = dispatch_lab_net::world::Span::between(50, 50);
        },
        ..Setup::default()
    };
    let stage = setup.start().await;
    let made = stage.create(SMALL, "secret").await.expect("a VM");
    let set = |n: usize| {
        let (account, id) = (stage.account.clone(), made.id.clone());
        tokio::spawn(async move {
            let tags = [(format!("tag-{n}"), "x".to_owned())].into();
            account.set_tags(&id, &tags).await
        })
    };
    let changes: Vec<_> = (0..10).map(set).collect();
    for change in changes {
        change.await.expect("no panic").expect("changed");
    }
    assert!(
        stage.calls("PATCH tags") <= 3,
        "{}",
        stage.calls("PATCH tags")
    );
    stage
        .until("all tags are there", |rows| {
            (0..10).all(|n| rows[0].tags.contains_key(&format!("tag-{n}")))
        })
        .await
        .expect("tags");
}
