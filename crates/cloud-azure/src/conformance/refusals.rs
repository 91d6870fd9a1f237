//! Refusals: which class, how far, for how long.

use std::time::Duration;

use dispatch_cloud::Driver as _;
use dispatch_lab_net::AzureBad;
use dispatch_model::{CapacityScope, CloudErrorClass, RefusalScope};
use serde_json::json;

use super::{
    lists::told_by,
    stage::{FAMILY, OTHER, SMALL, SPOT, Setup, Stage, refused},
};
use crate::AzureDriver;

async fn class_of(stage: &Stage, size: &str) -> CloudErrorClass {
    stage
        .create(size, "secret")
        .await
        .expect_err("a refusal")
        .class
}

/// For how long a throttled create keeps the next from being sent.
async fn pause_of(bad: AzureBad) -> Duration {
    let setup = Setup {
        scale: 1,
        time_stands: true,
        ..Setup::default()
    };
    let stage = setup.bad("PUT", "virtualMachines", 1, bad).start().await;
    let CloudErrorClass::RateLimited(until) = class_of(&stage, SMALL).await else {
        panic!("no rate limit");
    };
    let pause = until.since(stage.account.now());
    // Nothing is sent meanwhile, to the last moment.
    let sent = stage.calls("PUT vm") + stage.calls("PUT nic");
    for until_then in [Duration::ZERO, pause - Duration::from_millis(1)] {
        stage.later(until_then);
        let error = stage.create(SMALL, "another").await.expect_err("too soon");
        assert_eq!(error.class, CloudErrorClass::RateLimited(until), "{error}");
    }
    assert_eq!(stage.calls("PUT vm") + stage.calls("PUT nic"), sent);
    let id = stage.account.id("compute-conformance-none");
    let end = stage.account.destroy(&id).await;
    end.expect("an end waits for a create's pause");
    stage.later(Duration::from_millis(1));
    stage.create(SMALL, "later").await.expect("a VM");
    pause
}

pub(super) async fn a5_retry_after_is_kept_in_seconds() {
    let pause = pause_of(AzureBad::Throttled(Some("40".to_owned()))).await;
    assert_eq!(pause, Duration::from_secs(40));
}

pub(super) async fn a5_retry_after_may_be_a_date() {
    // Long past by the answer's own date, so the shortest pause; and far away, so the longest.
    for (date, expected) in [
        ("Sun, 06 Nov 1994 08:49:37 GMT", Duration::from_millis(100)),
        ("Sat, 06 Nov 2094 08:49:37 GMT", Duration::from_secs(3600)),
    ] {
        let pause = pause_of(AzureBad::Throttled(Some(date.to_owned()))).await;
        assert_eq!(pause, expected, "{date}");
    }
}

pub(super) async fn a5_k27_without_retry_after_twenty_seconds_are_waited() {
    for header in [None, Some("soon".to_owned())] {
        let pause = pause_of(AzureBad::Throttled(header)).await;
        assert_eq!(pause, Duration::from_secs(20));
    }
}

/// So slow that nothing fills again meanwhile.
const SLOW: f64 = 0.000_001;

fn from_a_gallery() -> Setup {
    Setup::default()
        .parameter("SharedImageGalleryName", "gallery".into())
        .parameter("SharedImageGalleryImageVersion", "1.0.0".into())
        .azure(|settings| settings.bucket_speed = Some(SLOW))
}

pub(super) async fn the_documented_buckets_are_met_as_a_rate_limit_and_ends_have_a_bucket_of_their_own()
 {
    let stage = from_a_gallery().start().await;
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

/// 1,500 in store, which all of the subscription share; Compute refuses, the resource manager does not.
pub(super) async fn the_bucket_of_vms_put_is_emptied_by_others_and_fills_again() {
    let stage = from_a_gallery().start().await;
    stage.azure.others_put(1490);
    for n in 0..10 {
        let made = stage.create(SMALL, &format!("s{n}")).await;
        made.expect("one of the last ten");
    }
    let error = stage.create(SMALL, "too many").await.expect_err("a limit");
    let CloudErrorClass::RateLimited(until) = error.class else {
        panic!("{error}");
    };
    assert!(error.message.contains("TooManyRequests"), "{error}");
    let puts = stage.azure.calls()["PUT vm"];
    assert_eq!(puts, (11, 1), "sent, and throttled");
    assert_eq!(stage.azure.vms().len(), 10);
    // The network interface of the refused one has gone again, and writes of other kinds go on.
    assert_eq!(stage.azure.nics().len(), 10);
    let id = stage.account.id(&stage.azure.vms()[0]);
    let tags = [("a".to_owned(), "b".to_owned())].into();
    stage.account.set_tags(&id, &tags).await.expect("tags");
    // It fills again: 500 a minute, in the driver's time.
    let fast = f64::from(super::stage::SCALE) * 1000.0;
    stage
        .azure
        .set(|settings| settings.bucket_speed = Some(fast));
    stage.until_time(until);
    stage.create(SMALL, "later").await.expect("a VM");
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

/// So that a full family is held with all its sizes at once.
pub(super) async fn a6_the_families_of_sizes_are_told_before_any_refusal() {
    use dispatch_cloud::InstanceSet as _;
    let stage = Setup::default().start().await;
    let mut look = super::stage::Look::begin("the families are told");
    let told = loop {
        stage.list().await.expect("a list");
        let told = stage.account.quota_groups();
        if !told.is_empty() {
            break told;
        }
        look.again().await.expect("told");
    };
    let family = told.get(&SMALL.to_ascii_lowercase());
    assert_eq!(family.map(String::as_str), Some(FAMILY), "{told:?}");
    // Once: neither asked for nor told again, until a day has passed.
    for _ in 0..3 {
        stage.list().await.expect("a list");
    }
    assert!(stage.account.quota_groups().is_empty());
    assert_eq!(stage.calls("GET skus"), 1);
    stage.later(Duration::from_secs(24 * 3600));
    while stage.calls("GET skus") < 2 {
        stage.list().await.expect("a list");
        look.again().await.expect("asked again");
    }
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
        assert_eq!(
            error.class,
            CloudErrorClass::RefusedWidely(RefusalScope::Everything)
        );
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
    // Names of tags that Azure keeps for itself: no VM would be known to be ours.
    for (prefix, is_fine) in [
        ("Arvados", true),
        ("", true),
        ("my-azure-", true),
        ("azure-", false),
        ("Microsoft", false),
        ("WindowsX", false),
    ] {
        let mut context = stage.account.context.clone();
        context.tag_key_prefix = prefix.to_owned();
        match driver.open(&Setup::default().parameters, context).await {
            Ok(_) => assert!(is_fine, "opened with {prefix:?}"),
            Err(error) => {
                assert!(!is_fine, "{prefix:?}: {error}");
                assert_eq!(error.class, CloudErrorClass::Refused);
                let names = format!("TagKeyPrefix is {prefix:?}");
                assert!(error.message.contains(&names), "{error}");
                assert!(error.message.contains("write another prefix"), "{error}");
            }
        }
    }
}

pub(super) async fn tags_that_azure_keeps_for_itself_are_left_out_and_told_once() {
    let stage = Setup::default().start().await;
    let mut order = super::stage::order(SMALL, "secret");
    (order.tags).insert("WindowsLicence".to_owned(), "none".to_owned());
    let lines = told_by(async {
        for _ in 0..2 {
            stage.account.create(&order).await.expect("a VM");
        }
        let tags = [("Azure-x", "y"), ("plain", "z")];
        let tags = tags
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into();
        for _ in 0..2 {
            let id = stage.account.id(&stage.azure.vms()[0]);
            stage.account.set_tags(&id, &tags).await.expect("tags");
        }
    });
    let lines = lines.await;
    assert_eq!(lines.len(), 2, "{lines:?}");
    for (line, name) in lines.iter().zip(["WindowsLicence", "Azure-x"]) {
        let told = line.starts_with(&format!("tag {name:?} is not set"));
        assert!(told && line.contains("ResourceTags"), "{line}");
    }
    let listed = stage.until("it is tagged", |rows| {
        rows.len() == 1 && rows[0].tags.contains_key("plain")
    });
    listed.await.expect("tags");
    let rows = stage.list().await.expect("a list");
    for left_out in ["WindowsLicence", "Azure-x"] {
        assert!(!rows[0].tags.contains_key(left_out), "{rows:?}");
    }
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
