//! Creates and ends, and what goes wrong with them.

use dispatch_cloud::{EndCause, InstanceSet as _};
use dispatch_lab_net::AzureBad;
use dispatch_model::{CapacityScope, CloudErrorClass};

use super::stage::{Look, OTHER, Outcome, SMALL, SPOT, Setup, Stage, ensure, order, refused};

fn words(error: impl ToString) -> String {
    error.to_string()
}

/// A look finds the VM, and nothing is put again.
pub(super) async fn a_lost_answer_is_looked_up() {
    let setup = Setup::default().bad("PUT", "virtualMachines", 1, AzureBad::Lost);
    let stage = setup.start().await;
    stage.create(SMALL, "secret").await.expect("a VM");
    assert_eq!(stage.requests(), ["PUT nic", "PUT vm", "GET vm"]);
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
        format!("{answer:?} left {:?}", stage.left())
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
        || format!("{}", request.body),
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
    stage.create(SMALL, "secret").await.expect("a VM");
    assert_eq!(
        stage.requests(),
        ["PUT nic", "PUT vm", "GET vm", "PUT nic", "PUT vm"]
    );
    for request in stage.azure.requests() {
        if request.method == "PUT" && request.path.contains("virtualMachines") {
            assert_eq!(request.headers["if-none-match"], "*");
        }
    }
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
    let error = stage.account.destroy(&made.id).await.expect_err("not yet");
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
    assert_eq!(stage.calls("PUT vm"), 0);
}

pub(super) async fn k27_an_operation_that_fails_is_told_by_its_reason_and_its_vm_deleted() {
    assert_eq!(a_vm_that_fails_is_told_and_deleted().await, Ok(()));
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
        format!("{told:?}")
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
        assert_eq!(error.class, CloudErrorClass::Refused, "{error}");
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
