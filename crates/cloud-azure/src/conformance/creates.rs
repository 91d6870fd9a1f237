//! Creates and ends, and what goes wrong with them.

use dispatch_model::{CapacityScope, CloudErrorClass, RefusalScope};

use super::stage::{Look, OTHER, Outcome, SMALL, SPOT, Setup, Stage, ensure, order, refused};

pub(super) fn words(error: impl ToString) -> String {
    error.to_string()
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

pub(super) async fn until_nothing_is_left(stage: &Stage) -> Outcome {
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

/// The role lacks the permission to read what it may make.
pub(super) async fn a3_a_network_interface_that_may_not_be_read_is_not_left_behind() {
    let setup = Setup::default().azure(|settings| {
        // So long that it is looked at before the VM is put.
        settings.nic_ms = 20;
        let read = "Microsoft.Network/networkInterfaces/read";
        settings.forbidden.insert(read.to_owned());
    });
    let stage = setup.start().await;
    let error = stage.create(SMALL, "secret").await.expect_err("a refusal");
    let widely = CloudErrorClass::RefusedWidely(RefusalScope::Everything);
    assert_eq!(error.class, widely, "{error}");
    assert_eq!(until_nothing_is_left(&stage).await, Ok(()));
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
    let sent = stage.azure.requests().pop().expect("the list");
    let token = sent.headers["authorization"].replace("Bearer ", "");
    let hidden = [secret, "lab-client-secret", &token];
    let echo = refused(
        400,
        "Echo",
        &format!("it has {secret} and lab-client-secret and {token}"),
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
        let shows = hidden.iter().find(|hidden| words.contains(**hidden));
        assert!(
            words.contains("(secret) and (secret) and (secret)") && shows.is_none(),
            "a secret is told: {words}"
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
        ("Network", "InvalidResourceReference"),
        ("Subnet", "InvalidResourceReference"),
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
        // The remedy names what is mistyped.
        let remedy = error.message.split("Remedy: check").nth(1);
        assert!(remedy.is_some_and(|words| words.contains(key)), "{error}");
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

/// Whoever sets tags has a deadline, and drops the call when it is over.
pub(super) async fn a_change_of_tags_that_is_cut_off_leaves_nothing_in_memory() {
    let silent = dispatch_lab_net::AzureBad::Silent;
    let setup = Setup::default().bad("PATCH", "tags", 2, silent);
    let stage = setup.start().await;
    let made = stage.create(SMALL, "secret").await.expect("a VM");
    let set = |key: &str| {
        let (account, id) = (stage.account.clone(), made.id.clone());
        let tags = [(key.to_owned(), "x".to_owned())].into();
        tokio::spawn(async move { account.set_tags(&id, &tags).await })
    };
    let n_locks = || stage.account.changing.lock().expect("locks").len();
    for another_waits in [false, true] {
        let calls = stage.calls("PATCH tags");
        let sent = set("first");
        let mut look = Look::begin("it is sent");
        while stage.calls("PATCH tags") == calls {
            look.again().await.expect("sent");
        }
        let waits = another_waits.then(|| set("second"));
        assert_eq!(n_locks(), 1);
        sent.abort();
        assert!(sent.await.expect_err("it is cut off").is_cancelled());
        if let Some(waits) = waits {
            waits.await.expect("no panic").expect("tags");
        }
        assert_eq!(n_locks(), 0, "another waits: {another_waits}");
    }
    let listed = stage.until("both tags are there", |rows| {
        rows.len() == 1
            && ["first", "second"].map(|key| rows[0].tags.contains_key(key)) == [true; 2]
    });
    listed.await.expect("tags");
}
