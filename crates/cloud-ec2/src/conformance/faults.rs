//! What goes wrong, and what the driver makes of it. The checks that mutants must fail are functions of their own.

use std::collections::BTreeSet;

use dispatch_cloud::Tags;
use dispatch_lab_net::{Bad, Injection};
use dispatch_model::{CapacityScope, CloudErrorClass, InstanceSecret};

use super::stage::{Outcome, Setup, Stage, ensure};
use crate::mutants::Mutant;

fn refused(status: u16, code: &str, message: &str) -> Bad {
    Bad::Refused(status, code.to_owned(), message.to_owned())
}

async fn with(injections: Vec<Injection>) -> Stage {
    Setup::default()
        .ec2(|settings| settings.injections = injections)
        .start()
        .await
}

/// The class of the refusal that a create meets.
async fn class_of(stage: &Stage) -> CloudErrorClass {
    stage
        .create("m5.small", "s")
        .await
        .expect_err("a refusal")
        .class
}

fn subnets_tried(stage: &Stage) -> Vec<String> {
    let forms = stage.forms("RunInstances").into_iter();
    forms
        .map(|form| form["NetworkInterface.1.SubnetId"].clone())
        .collect()
}

const LACK: CloudErrorClass = CloudErrorClass::Capacity(CapacityScope::Type);

/// A lost answer: the same call again finds the instance.
pub(super) async fn a_lost_answer_makes_no_second_instance(mutant: Option<Mutant>) -> Outcome {
    let setup = Setup::mutant(mutant);
    let setup = setup.ec2(|s| s.injections = vec![Injection::next("RunInstances", Bad::Lost)]);
    let stage = setup.start().await;
    stage
        .create("m5.small", "s")
        .await
        .map_err(|error| error.to_string())?;
    let alive = stage.alive();
    ensure(alive.len() == 1, || format!("one order made {alive:?}"))
}

/// EC2 knows tokens by zone: in another zone the same order would make a second instance.
pub(super) async fn after_an_unknown_outcome_no_other_subnet_is_tried(
    mutant: Option<Mutant>,
) -> Outcome {
    let setup =
        Setup::mutant(mutant).parameter("SubnetID", serde_json::json!(["subnet-a1", "subnet-b1"]));
    let setup =
        setup.ec2(|s| s.injections = vec![Injection::next("RunInstances", Bad::Lost).times(3)]);
    let stage = setup.start().await;
    let first = stage.create("m5.small", "s").await;
    let _again = stage.create("m5.small", "s").await;
    let (tried, alive) = (subnets_tried(&stage), stage.alive());
    let places: BTreeSet<&String> = tried.iter().collect();
    ensure(places.len() == 1 && alive.len() == 1, || {
        format!("after {first:?}, {tried:?} were tried, and one order made {alive:?}")
    })
}

/// Two subnets of one zone: the second call has other parameters, so it needs another token.
pub(super) async fn each_subnet_has_a_token_of_its_own(mutant: Option<Mutant>) -> Outcome {
    let setup =
        Setup::mutant(mutant).parameter("SubnetID", serde_json::json!(["subnet-a1", "subnet-a2"]));
    let stage = setup.ec2(|s| s.subnets[0].free = 0).start().await;
    let made = stage
        .create("m5.small", "s")
        .await
        .map_err(|error| error.to_string())?;
    ensure(
        stage.ec2.subnet_of(made.id.as_str()).as_deref() == Some("subnet-a2"),
        || format!("{} was made elsewhere", made.id),
    )
}

/// Facts E8: a lack of one type is not the account's limit.
pub(super) async fn a_lack_of_a_type_is_not_a_quota(mutant: Option<Mutant>) -> Outcome {
    let setup = Setup::mutant(mutant).ec2(|s| {
        s.sold_out = ["lab-1a", "lab-1b"]
            .map(|zone| ("m5.small".to_owned(), zone.to_owned()))
            .into();
    });
    let stage = setup.start().await;
    let class = class_of(&stage).await;
    ensure(class == LACK, || format!("the class is {class:?}"))
}

/// EC2 may not know an instance for minutes: ending it must not count as done.
pub(super) async fn a_fresh_instance_that_is_not_known_yet_is_not_gone(
    mutant: Option<Mutant>,
) -> Outcome {
    let stage = Setup::mutant(mutant)
        .ec2(|s| s.unknown_ms = 60_000)
        .start()
        .await;
    let made = stage
        .create("m5.small", "s")
        .await
        .map_err(|error| error.to_string())?;
    let result = stage.account.destroy(&made.id).await;
    ensure(result.is_err() && stage.alive().len() == 1, || {
        format!("{} is alive, and destroying it says {result:?}", made.id)
    })?;
    stage.ec2.set(|s| s.unknown_ms = 0);
    stage
        .account
        .destroy(&made.id)
        .await
        .map_err(|error| error.to_string())?;
    ensure(stage.alive().is_empty(), || "it is still alive".to_owned())
}

/// Facts E14.
pub(super) async fn an_empty_token_ends_a_list(mutant: Option<Mutant>) -> Outcome {
    let setup = Setup::mutant(mutant).ec2(|s| {
        s.empty_tokens = true;
        s.page = 2;
    });
    let stage = setup.start().await;
    for n in 0..5 {
        stage
            .create("m5.small", &format!("s{n}"))
            .await
            .map_err(|error| error.to_string())?;
    }
    let listed = stage.list().await?;
    let calls = stage.calls("DescribeInstances");
    ensure(listed.len() == 5 && calls == 3, || {
        format!("{} are listed in {calls} pages", listed.len())
    })
}

/// Facts E5, K34.
#[tokio::test]
async fn e5_k34_what_is_going_is_not_listed() {
    let setup = Setup {
        world: |settings| {
            settings.cloud.gone_listed_ms = dispatch_lab_net::world::Span::exactly(60_000)
        },
        ..Setup::default()
    };
    let stage = setup.start().await;
    let made = stage.create("m5.small", "s").await.expect("an instance");
    assert_eq!(stage.list().await.expect("a list").len(), 1);
    stage.account.destroy(&made.id).await.expect("an end");
    assert_eq!(stage.list().await.expect("a list"), []);
}

/// Facts E6: no call while it lasts; what was not throttled goes on; K28: for each operation apart.
#[tokio::test]
async fn e6_k28_a_throttled_create_delays_creates_and_no_destroy() {
    let stage = with(vec![]).await;
    let made = stage.create("m5.small", "s0").await.expect("an instance");
    stage.ec2.set(|s| {
        s.injections = vec![
            Injection::next("RunInstances", refused(503, "RequestLimitExceeded", "x")).times(2),
        ];
    });
    let before = stage.account.now();
    let class = class_of(&stage).await;
    let CloudErrorClass::RateLimited(until) = class else {
        panic!("{class:?}");
    };
    let wait = until.since(before).as_millis();
    assert!((900..2500).contains(&wait), "{wait} ms");
    stage
        .account
        .destroy(&made.id)
        .await
        .expect("an end at once");
    assert!(stage.account.now() < until, "destroying did not wait");
    // The second is throttled too, so the wait grows.
    tokio::time::sleep(until.since(stage.account.now())).await;
    let before = stage.account.now();
    let CloudErrorClass::RateLimited(until) = class_of(&stage).await else {
        panic!("not a rate limit");
    };
    assert!(until.since(before).as_millis() >= 2400);
    let calls = stage.calls("RunInstances");
    let CloudErrorClass::RateLimited(_) = class_of(&stage).await else {
        panic!("not a rate limit");
    };
    assert_eq!(stage.calls("RunInstances"), calls, "no call was made");
}

/// Facts K28.
#[tokio::test]
async fn k28_throttled_ends_tags_and_lists_say_until_when() {
    let stage = with(vec![]).await;
    let made = stage.create("m5.small", "s").await.expect("an instance");
    for action in ["TerminateInstances", "CreateTags", "DescribeInstances"] {
        stage.ec2.set(|s| {
            s.injections = vec![Injection::next(
                action,
                refused(503, "RequestLimitExceeded", "x"),
            )];
        });
        let tags: Tags = [("a".to_owned(), "b".to_owned())].into();
        let error = match action {
            "TerminateInstances" => stage.account.destroy(&made.id).await,
            "CreateTags" => stage.account.set_tags(&made.id, &tags).await,
            _ => stage.account.list(&tags).await.map(|_| ()),
        };
        let class = error.expect_err("a refusal").class;
        assert!(
            matches!(class, CloudErrorClass::RateLimited(_)),
            "{action}: {class:?}"
        );
    }
}

/// Facts E7.
#[tokio::test]
async fn e7_the_sdk_repeats_nothing() {
    for (status, code) in [
        (500, "InternalError"),
        (503, "RequestLimitExceeded"),
        (503, "Unavailable"),
    ] {
        let stage = with(vec![Injection::next(
            "RunInstances",
            refused(status, code, "x"),
        )])
        .await;
        class_of(&stage).await;
        assert_eq!(stage.calls("RunInstances"), 1, "{code}");
    }
}

/// Facts E8, E9, E10, §2.8.4 over the wire.
#[tokio::test]
async fn e8_e9_e10_each_code_has_its_class_and_its_next_step() {
    let group = CloudErrorClass::Capacity(CapacityScope::QuotaGroup("standard".to_owned()));
    let market = CloudErrorClass::Capacity(CapacityScope::Market);
    let unsupported = "Your requested instance type (m5.small) is not supported in your requested Availability Zone";
    for (status, code, message, class, n_subnets) in [
        (400, "InstanceLimitExceeded", "x", CloudErrorClass::Quota, 1),
        (
            500,
            "InsufficientAddressCapacity",
            "x",
            CloudErrorClass::Quota,
            1,
        ),
        (400, "VcpuLimitExceeded", "x", group, 1),
        (400, "MaxSpotInstanceCountExceeded", "x", market, 1),
        (400, "SpotMaxPriceTooLow", "x", LACK, 3),
        (500, "InsufficientInstanceCapacity", "x", LACK, 3),
        (500, "InsufficientVolumeCapacity", "x", LACK, 2),
        (400, "InsufficientFreeAddressesInSubnet", "x", LACK, 3),
        (400, "Unsupported", unsupported, LACK, 3),
        (
            400,
            "InvalidParameterValue",
            "insufficient free Ipv4 addresses",
            LACK,
            3,
        ),
        (
            400,
            "InvalidSubnetID.NotFound",
            "x",
            CloudErrorClass::Refused,
            3,
        ),
        (
            400,
            "InvalidAMIID.NotFound",
            "x",
            CloudErrorClass::Refused,
            1,
        ),
        (
            403,
            "UnauthorizedOperation",
            "x",
            CloudErrorClass::Refused,
            1,
        ),
        (400, "NeverHeardOf", "x", CloudErrorClass::Refused, 1),
        (500, "NeverHeardOf", "x", CloudErrorClass::Transient, 1),
        (500, "InternalError", "x", CloudErrorClass::Transient, 1),
        (
            400,
            "IdempotentInstanceTerminated",
            "x",
            CloudErrorClass::Transient,
            1,
        ),
    ] {
        let injection = Injection::next("RunInstances", refused(status, code, message)).times(3);
        let stage = with(vec![injection]).await;
        assert_eq!(class_of(&stage).await, class, "{code}");
        let tried = subnets_tried(&stage);
        // The route was drawn up before the first refusal.
        let expected = if n_subnets == 2 { 3 } else { n_subnets };
        assert_eq!(tried.len(), expected, "{code}: {tried:?}");
    }
}

/// Facts E11.
#[tokio::test]
async fn e11_the_subnet_that_worked_is_tried_first_next_time() {
    let stage = with(vec![]).await;
    stage.ec2.set(|s| s.subnets[0].free = 0);
    stage.create("m5.small", "s1").await.expect("an instance");
    stage.create("m5.small", "s2").await.expect("an instance");
    assert_eq!(
        subnets_tried(&stage),
        ["subnet-a1", "subnet-a2", "subnet-a2"]
    );
}

/// Facts E12.
#[tokio::test]
async fn e12_a_lack_is_told_rather_than_another_error_of_another_subnet() {
    let stage = with(vec![
        Injection::next(
            "RunInstances",
            refused(500, "InsufficientInstanceCapacity", "sold out"),
        )
        .within("subnet-a1"),
        Injection::next(
            "RunInstances",
            refused(400, "InvalidSubnetID.NotFound", "x"),
        )
        .within("subnet-a2"),
        Injection::next(
            "RunInstances",
            refused(400, "InvalidSubnetID.NotFound", "x"),
        )
        .within("subnet-b1"),
    ])
    .await;
    let error = stage.create("m5.small", "s").await.expect_err("a refusal");
    assert_eq!(error.class, LACK);
    assert!(error.message.contains("sold out"), "{error}");
}

/// What is sold out in one zone is not asked for there again for a while, and another type is.
#[tokio::test]
async fn a_lack_is_remembered_for_the_zone_and_the_type() {
    let setup = Setup::default().ec2(|s| {
        s.sold_out
            .insert(("m5.small".to_owned(), "lab-1a".to_owned()));
    });
    let stage = setup.start().await;
    for n in 0..3 {
        stage
            .create("m5.small", &format!("s{n}"))
            .await
            .expect("an instance");
    }
    // Both subnets of the zone were on the first route.
    let tried = subnets_tried(&stage);
    assert_eq!(
        tried.iter().filter(|subnet| *subnet == "subnet-b1").count(),
        3,
        "{tried:?}"
    );
    assert!(tried.len() <= 5, "{tried:?}");
}

/// Facts E13.
#[tokio::test]
async fn e13_success_without_an_instance_is_asked_about_again() {
    let stage = with(vec![Injection::next("RunInstances", Bad::NoInstance)]).await;
    let made = stage.create("m5.small", "s").await.expect("an instance");
    assert_eq!(stage.alive(), [(made.id, "s".to_owned())]);
    let tokens: BTreeSet<String> = stage
        .forms("RunInstances")
        .iter()
        .map(|f| f["ClientToken"].clone())
        .collect();
    assert_eq!(tokens.len(), 1, "the same token both times");
}

#[tokio::test]
async fn answers_that_are_cut_off_or_not_ec2s_are_asked_about_again() {
    for bad in [Bad::CutOff, Bad::BadGateway] {
        let stage = with(vec![Injection::next("RunInstances", bad)]).await;
        let made = stage.create("m5.small", "s").await.expect("an instance");
        assert_eq!(stage.alive(), [(made.id, "s".to_owned())]);
    }
}

/// The SDK would take it for an empty list, and every instance would seem to have vanished.
#[tokio::test]
async fn a_list_that_is_cut_off_is_an_error() {
    let stage = with(vec![]).await;
    stage.create("m5.small", "s").await.expect("an instance");
    stage
        .ec2
        .set(|s| s.injections = vec![Injection::next("DescribeInstances", Bad::CutOff)]);
    let error = stage.list().await.expect_err("an error");
    assert!(error.contains("cut off"), "{error}");
    assert_eq!(stage.list().await.expect("a list").len(), 1);
}

#[tokio::test]
async fn a_create_that_was_carried_out_late_makes_one_instance() {
    let stage = with(vec![Injection::next("RunInstances", Bad::Late(100))]).await;
    let made = stage.create("m5.small", "s").await.expect("an instance");
    tokio::time::sleep(std::time::Duration::from_millis(150)).await;
    stage.list().await.expect("a list");
    assert_eq!(stage.alive(), [(made.id, "s".to_owned())]);
}

#[tokio::test]
async fn an_order_whose_instance_has_ended_is_told_as_passing() {
    let stage = with(vec![]).await;
    let made = stage.create("m5.small", "s").await.expect("an instance");
    stage.account.destroy(&made.id).await.expect("an end");
    let error = stage.create("m5.small", "s").await.expect_err("a refusal");
    assert_eq!(error.class, CloudErrorClass::Transient, "{error}");
    assert!(
        error.message.contains("IdempotentInstanceTerminated"),
        "{error}"
    );
}

/// A key pair that somebody deleted is imported again.
#[tokio::test]
async fn a_deleted_key_pair_is_looked_for_again() {
    let gone = refused(
        400,
        "InvalidKeyPair.NotFound",
        "The key pair does not exist",
    );
    let stage = with(vec![Injection::next("RunInstances", gone)]).await;
    assert_eq!(class_of(&stage).await, CloudErrorClass::Transient);
    stage.create("m5.small", "s").await.expect("an instance");
    assert_eq!(stage.calls("DescribeKeyPairs"), 2);
}

/// Late failures go through the atlas: the zone is avoided after the first, the type is held after several.
#[tokio::test]
async fn an_instance_that_dies_while_launching_counts_like_a_refusal() {
    let setup = Setup {
        world: |settings| {
            settings.cloud.gone_listed_ms = dispatch_lab_net::world::Span::exactly(60_000)
        },
        ..Setup::default()
    };
    let setup = setup.ec2(|s| {
        let reason = (
            "Server.InsufficientInstanceCapacity".to_owned(),
            "Server.InsufficientInstanceCapacity: none".to_owned(),
        );
        s.dying.insert("m5.small".to_owned(), reason);
    });
    let stage = setup.start().await;
    stage.create("m5.small", "s1").await.expect("an instance");
    assert_eq!(stage.list().await.expect("a list"), []);
    stage.create("m5.small", "s2").await.expect("an instance");
    assert_eq!(subnets_tried(&stage), ["subnet-a1", "subnet-b1"]);
    stage.list().await.expect("a list");
    let error = stage.create("m5.small", "s3").await.expect_err("a refusal");
    assert_eq!(error.class, LACK);
    assert_eq!(stage.calls("RunInstances"), 2, "no call was made");
}

#[tokio::test]
async fn tags_of_a_fresh_instance_are_tried_again() {
    let stage = Setup::default().ec2(|s| s.unknown_ms = 400).start().await;
    let made = stage.create("m5.small", "s").await.expect("an instance");
    let tags: Tags = [("a".to_owned(), "b".to_owned())].into();
    stage.account.set_tags(&made.id, &tags).await.expect("tags");
    assert!(stage.calls("CreateTags") > 1);
}

#[tokio::test]
async fn without_the_permission_to_describe_subnets_each_counts_as_a_zone() {
    let setup = Setup::default().ec2(|s| {
        s.forbidden.insert("DescribeSubnets".to_owned());
        s.sold_out
            .insert(("m5.small".to_owned(), "lab-1a".to_owned()));
    });
    let stage = setup.start().await;
    stage.create("m5.small", "s1").await.expect("an instance");
    assert_eq!(
        subnets_tried(&stage),
        ["subnet-a1", "subnet-a2", "subnet-b1"]
    );
}

#[tokio::test]
async fn cores_are_limited_by_quota_group() {
    let stage = Setup::default().ec2(|s| {
        s.vcpu_limits.insert("m".to_owned(), 2);
    });
    let stage = stage.start().await;
    stage.create("m5.small", "s1").await.expect("an instance");
    let error = stage.create("m5.small", "s2").await.expect_err("a refusal");
    let group = CapacityScope::QuotaGroup("standard".to_owned());
    assert_eq!(error.class, CloudErrorClass::Capacity(group));
    stage.create("c5.large", "s3").await.expect("another group");
}

#[tokio::test]
async fn the_secret_is_in_no_message() {
    let secret = "a-very-secret-secret";
    let stage = with(vec![Injection::next(
        "RunInstances",
        refused(400, "NeverHeardOf", &format!("bad: {secret}")),
    )])
    .await;
    let error = stage
        .create("m5.small", secret)
        .await
        .expect_err("a refusal");
    assert!(error.message.contains("bad: (secret)"), "{error}");
    assert!(!format!("{:?}", InstanceSecret::new(secret)).contains(secret));
}
