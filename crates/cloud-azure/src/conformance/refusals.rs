//! Refusals: which class, how far, for how long.

use std::time::Duration;

use dispatch_cloud::Driver as _;
use dispatch_lab_net::AzureBad;
use dispatch_model::{CapacityScope, CloudErrorClass};
use serde_json::json;

use super::stage::{FAMILY, OTHER, SMALL, SPOT, Setup, Stage, refused};
use crate::AzureDriver;

async fn class_of(stage: &Stage, size: &str) -> CloudErrorClass {
    stage
        .create(size, "secret")
        .await
        .expect_err("a refusal")
        .class
}

/// For how long a throttled create keeps the next from being sent, in real ms.
async fn pause_of(bad: AzureBad) -> u64 {
    let setup = Setup {
        scale: 10,
        ..Setup::default()
    };
    let stage = setup.bad("PUT", "virtualMachines", 1, bad).start().await;
    let CloudErrorClass::RateLimited(until) = class_of(&stage, SMALL).await else {
        panic!("no rate limit");
    };
    let left = until.since(stage.account.now());
    if left > Duration::from_millis(500) {
        // Nothing is sent meanwhile.
        let sent = stage.calls("PUT vm") + stage.calls("PUT nic");
        let error = stage.create(SMALL, "another").await.expect_err("too soon");
        assert_eq!(error.class, CloudErrorClass::RateLimited(until), "{error}");
        assert_eq!(stage.calls("PUT vm") + stage.calls("PUT nic"), sent);
    }
    // Ends are not delayed.
    let id = stage.account.id("compute-conformance-none");
    stage.account.destroy(&id).await.expect("there is none");
    // The clock is the driver's own.
    stage.account.sleep_until(until).await;
    stage.create(SMALL, "later").await.expect("a VM");
    u64::try_from(left.as_millis()).expect("short")
}

pub(super) async fn a5_retry_after_is_kept_in_seconds() {
    let pause = pause_of(AzureBad::Throttled(Some("40".to_owned()))).await;
    assert!((2500..=4000).contains(&pause), "{pause} ms of 4000");
}

pub(super) async fn a5_retry_after_may_be_a_date() {
    // Long past by the answer's own date, so the shortest pause.
    let past = "Sun, 06 Nov 1994 08:49:37 GMT".to_owned();
    let pause = pause_of(AzureBad::Throttled(Some(past))).await;
    assert!(pause <= 100, "{pause} ms");
}

pub(super) async fn a5_k27_without_retry_after_twenty_seconds_are_waited() {
    // Scaled.
    for header in [None, Some("soon".to_owned())] {
        let pause = pause_of(AzureBad::Throttled(header)).await;
        assert!((1000..=2000).contains(&pause), "{pause} ms of 2000");
    }
}

pub(super) async fn the_documented_buckets_are_met_as_a_rate_limit_and_ends_have_a_bucket_of_their_own()
 {
    // So slow that nothing fills again meanwhile.
    let slow = |settings: &mut dispatch_lab_net::AzureSettings| settings.bucket_speed = Some(0.01);
    let setup = Setup::default()
        .parameter("SharedImageGalleryName", "gallery".into())
        .parameter("SharedImageGalleryImageVersion", "1.0.0".into());
    let stage = setup.azure(slow).start().await;
    let mut made = Vec::new();
    for n in 0..100 {
        // Network interface and VM take one each of the 200 writes in store.
        let size = if n % 2 == 0 { OTHER } else { SMALL };
        match stage.create(size, &format!("s{n}")).await {
            Ok(instance) => made.push(instance.id),
            Err(error) => panic!("{n}: {error}"),
        }
    }
    let error = stage.create(SMALL, "too many").await.expect_err("a limit");
    assert!(
        matches!(error.class, CloudErrorClass::RateLimited(_)),
        "{error}"
    );
    for id in &made[..50] {
        stage.account.destroy(id).await.expect("an end");
    }
}

pub(super) async fn a6_quotas_are_told_by_what_is_full() {
    let stage = Setup::default()
        .azure(|settings| {
            settings.family_cores.insert(FAMILY.to_owned(), 1);
            settings.spot_cores = Some(1);
        })
        .start()
        .await;
    assert_eq!(
        class_of(&stage, SMALL).await,
        CloudErrorClass::Capacity(CapacityScope::QuotaGroup(FAMILY.to_owned()))
    );
    assert_eq!(
        class_of(&stage, SPOT).await,
        CloudErrorClass::Capacity(CapacityScope::Market)
    );
    stage.create(OTHER, "other").await.expect("a VM");
    stage.azure.set(|settings| settings.cores = Some(3));
    assert_eq!(class_of(&stage, OTHER).await, CloudErrorClass::Quota);
    // The usages were not needed.
    assert_eq!(stage.calls("GET usages") + stage.calls("GET skus"), 0);
}

pub(super) async fn a6_where_azure_does_not_say_which_the_usages_tell() {
    let setup = Setup::default().azure(|settings| {
        settings.silent_quota = true;
        settings.family_cores.insert(FAMILY.to_owned(), 1);
        settings.spot_cores = Some(1);
    });
    let stage = setup.start().await;
    let family = CloudErrorClass::Capacity(CapacityScope::QuotaGroup(FAMILY.to_owned()));
    assert_eq!(class_of(&stage, SMALL).await, family);
    assert_eq!(class_of(&stage, SMALL).await, family);
    assert_eq!(
        class_of(&stage, SPOT).await,
        CloudErrorClass::Capacity(CapacityScope::Market)
    );
    assert_eq!(stage.calls("GET skus"), 1, "the sizes are read once");
    stage.azure.set(|settings| settings.cores = Some(1));
    assert_eq!(class_of(&stage, OTHER).await, CloudErrorClass::Quota);
}

pub(super) async fn a6_without_the_permission_to_read_sizes_the_size_is_held() {
    let setup = Setup::default().azure(|settings| {
        settings.silent_quota = true;
        settings.family_cores.insert(FAMILY.to_owned(), 1);
        settings
            .forbidden
            .insert("Microsoft.Compute/skus/read".to_owned());
        settings
            .forbidden
            .insert("Microsoft.Compute/locations/usages/read".to_owned());
    });
    let stage = setup.start().await;
    assert_eq!(
        class_of(&stage, SMALL).await,
        CloudErrorClass::Capacity(CapacityScope::Type)
    );
}

pub(super) async fn k27_every_lack_of_capacity_holds_the_size_alone() {
    assert_eq!(
        super::creates::a_lack_of_a_size_is_not_a_quota().await,
        Ok(())
    );
    for code in [
        "AllocationFailed",
        "ZonalAllocationFailed",
        "OverconstrainedAllocationRequest",
        "OverconstrainedZonalAllocationRequest",
    ] {
        let stage = Setup::default()
            .bad("PUT", "virtualMachines", 1, refused(409, code, "none left"))
            .start()
            .await;
        assert_eq!(
            class_of(&stage, SMALL).await,
            CloudErrorClass::Capacity(CapacityScope::Type),
            "{code}"
        );
    }
}

pub(super) async fn a_missing_permission_is_refused_with_the_remedy() {
    for action in [
        "Microsoft.Compute/virtualMachines/write",
        "Microsoft.Network/networkInterfaces/write",
        "Microsoft.Network/virtualNetworks/subnets/join/action",
    ] {
        let stage = Setup::default()
            .azure(|settings| {
                settings.forbidden.insert(action.to_owned());
            })
            .start()
            .await;
        let error = stage.create(SMALL, "secret").await.expect_err("a refusal");
        assert_eq!(error.class, CloudErrorClass::Refused);
        assert!(error.message.contains("docs/azure.md"), "{error}");
        assert!(error.message.contains(action), "{error}");
    }
}

pub(super) async fn nobody_there_is_a_passing_fault() {
    let mut stage = Setup::default().start().await;
    let url = "http://127.0.0.1:9";
    let context = stage.account.context.clone();
    stage.account = AzureDriver::at(url, 200)
        .account(&Setup::default().parameters, context, None)
        .expect("an account");
    assert_eq!(class_of(&stage, SMALL).await, CloudErrorClass::Transient);
    assert!(stage.list().await.is_err());
}

pub(super) async fn what_cannot_work_is_refused_when_the_configuration_is_read() {
    let driver = AzureDriver::at("http://127.0.0.1:9", 1);
    assert_eq!(driver.name(), "azure");
    assert_eq!(
        driver.check(&Setup::default().parameters),
        Vec::<String>::new()
    );
    let problems = driver.check(&json!({"CloudEnvironment": "AzureGermanCloud"}));
    assert!(problems.len() >= 4, "{problems:?}");
    let mut scratch = super::stage::order(SMALL, "secret").instance_type;
    assert_eq!(driver.check_use("image", &[&scratch]), Vec::<String>::new());
    scratch.added_scratch_bytes = 1;
    let problems = driver.check_use("https://x.blob.core.windows.net/a.vhd", &[&scratch]);
    assert_eq!(problems.len(), 2, "{problems:?}");
    let stage = Setup::default().start().await;
    let mut context = stage.account.context.clone();
    context.image_id = "https://x.blob.core.windows.net/a.vhd".to_owned();
    let Err(error) = driver.open(&Setup::default().parameters, context).await else {
        panic!("opened");
    };
    assert_eq!(error.class, CloudErrorClass::Refused);
    assert!(error.message.contains("retired"), "{error}");
}

pub(super) async fn a2_opening_calls_nothing() {
    let stage = Setup::default().start().await;
    let driver = AzureDriver::at(stage.azure.url(), 1);
    let set = driver
        .open(&Setup::default().parameters, stage.account.context.clone())
        .await;
    assert!(set.is_ok());
    assert_eq!(stage.azure.requests().len(), 0);
}
