//! What goes wrong with calls, and what the driver makes of it.

use std::{collections::BTreeSet, time::Duration};

use dispatch_cloud::Tags;
use dispatch_lab_net::{Bad, Injection};
use dispatch_model::{CapacityScope, CloudErrorClass, RefusalScope};

use super::stage::{Setup, Stage, order};

pub(super) fn refused(status: u16, code: &str, message: &str) -> Bad {
    Bad::Refused(status, code.to_owned(), message.to_owned())
}

pub(super) async fn with(injections: Vec<Injection>) -> Stage {
    Setup::default()
        .ec2(|settings| settings.injections = injections)
        .start()
        .await
}

/// The class of the refusal that a create meets.
pub(super) async fn class_of(stage: &Stage) -> CloudErrorClass {
    stage
        .create("m5.small", "s")
        .await
        .expect_err("a refusal")
        .class
}

pub(super) fn subnets_tried(stage: &Stage) -> Vec<String> {
    let forms = stage.forms("RunInstances").into_iter();
    forms
        .map(|form| form["NetworkInterface.1.SubnetId"].clone())
        .collect()
}

pub(super) const LACK: CloudErrorClass = CloudErrorClass::Capacity(CapacityScope::Type);

/// Two subnets of one zone: the second call has other parameters, so it needs another token.
pub(super) async fn each_subnet_has_a_token_of_its_own() {
    let setup = Setup::default()
        .parameter("SubnetID", serde_json::json!(["subnet-a1", "subnet-a2"]))
        .ec2(|s| s.subnets[0].free = 0);
    let stage = setup.start().await;
    let made = stage.create("m5.small", "s").await.expect("an instance");
    assert_eq!(
        stage.ec2.subnet_of(made.id.as_str()).as_deref(),
        Some("subnet-a2")
    );
}

/// A lack of one type is not the account's limit.
pub(super) async fn a_lack_of_a_type_is_not_a_quota() {
    let setup = Setup::default().ec2(|s| {
        s.sold_out = ["lab-1a", "lab-1b"]
            .map(|zone| ("m5.small".to_owned(), zone.to_owned()))
            .into();
    });
    assert_eq!(class_of(&setup.start().await).await, LACK);
}

/// EC2 may not know an instance for minutes: ending it must not count as done.
pub(super) async fn a_fresh_instance_that_is_not_known_yet_is_not_gone() {
    let setup = Setup::default().ec2(|s| s.unknown_ms = 60_000);
    let stage = setup.start().await;
    let made = stage.create("m5.small", "s").await.expect("an instance");
    let result = stage.account.destroy(&made.id).await;
    assert!(
        result.is_err() && stage.alive().len() == 1,
        "{} is alive, and destroying it says {result:?}",
        made.id
    );
    stage.ec2.set(|s| s.unknown_ms = 0);
    stage.account.destroy(&made.id).await.expect("an end");
    assert_eq!(stage.alive(), []);
}

/// However we know of it: its create may have lost its answer, or another process may have made it.
pub(super) async fn a_fresh_instance_of_a_list_is_not_gone() {
    let setup = Setup::default().ec2(|s| {
        s.unknown_ms = 60_000;
        s.injections = vec![Injection::next("RunInstances", Bad::Lost).times(3)];
    });
    let stage = setup.start().await;
    stage.create("m5.small", "s").await.expect_err("no answer");
    for process in [stage.account.clone(), stage.next_process().await] {
        let listed = process.list(&Tags::new()).await.expect("a list");
        let result = process.destroy(&listed[0].id).await;
        assert!(result.is_err() && stage.alive().len() == 1, "{result:?}");
    }
    stage.pass(Duration::from_secs(301));
    let (id, _) = &stage.alive()[0];
    stage.account.destroy(id).await.expect("it is old now");
}

/// What is not known after minutes is gone.
pub(super) async fn an_old_instance_that_is_not_known_is_gone() {
    let setup = Setup::default().ec2(|s| s.unknown_ms = 3_600_000);
    let stage = setup.start().await;
    let made = stage.create("m5.small", "s").await.expect("an instance");
    stage.pass(Duration::from_secs(301));
    stage.account.destroy(&made.id).await.expect("an end");
    assert_eq!(stage.calls("TerminateInstances"), 1);
}

pub(super) async fn an_empty_token_ends_a_list() {
    let setup = Setup::default().ec2(|s| {
        s.empty_tokens = true;
        s.page = 2;
    });
    let stage = setup.start().await;
    for n in 0..5 {
        stage
            .create("m5.small", &format!("s{n}"))
            .await
            .expect("an instance");
    }
    let listed = stage.list().await.expect("a list").len();
    assert_eq!((listed, stage.calls("DescribeInstances")), (5, 3));
}

/// Facts E5, K34.
pub(super) async fn what_is_going_is_not_listed() {
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
pub(super) async fn a_throttled_create_delays_creates_and_no_destroy() {
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
    stage.pass(until.since(stage.account.now()));
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

/// Our own pace is no refusal: whoever waits for it is not told, counted or held.
pub(super) async fn creates_wait_for_their_turn_at_ec2s_rate() {
    let setup = Setup {
        paced: true,
        ..Setup::default()
    };
    let stage = setup.start().await;
    let began = tokio::time::Instant::now();
    let secrets: Vec<String> = (0..12).map(|n| format!("s{n}")).collect();
    let creates = secrets
        .iter()
        .map(|secret| Box::pin(stage.create("m5.small", secret)));
    for made in futures_util::future::join_all(creates).await {
        made.expect("an instance");
    }
    // Four at once, then two a second.
    let took = began.elapsed();
    assert!(took >= Duration::from_millis(3900), "{took:?}");
    assert_eq!(stage.calls("RunInstances"), 12);
}

/// Facts K28.
pub(super) async fn throttled_ends_tags_and_lists_say_until_when() {
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
pub(super) async fn the_sdk_repeats_nothing() {
    for (status, code, n_creates) in [
        (503, "RequestLimitExceeded", 1),
        // We repeat creates that may have been carried out; the SDK would repeat each of these again.
        (500, "InternalError", 3),
        (503, "Unavailable", 3),
    ] {
        let bad = || refused(status, code, "x");
        let create = Injection::next("RunInstances", bad()).times(9);
        let list = Injection::next("DescribeInstances", bad()).times(9);
        let stage = with(vec![create, list]).await;
        class_of(&stage).await;
        assert_eq!(stage.calls("RunInstances"), n_creates, "{code}");
        stage.list().await.expect_err("a refusal");
        assert_eq!(stage.calls("DescribeInstances"), 1, "{code}");
    }
}

/// Facts E8, E9, E10, §2.8.4 over the wire.
pub(super) async fn each_code_has_its_class_and_its_next_step() {
    let group = CloudErrorClass::Capacity(CapacityScope::QuotaGroup("standard".to_owned()));
    let market = CloudErrorClass::Capacity(CapacityScope::Market);
    let everything = CloudErrorClass::RefusedWidely(RefusalScope::Everything);
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
        (400, "SpotMaxPriceTooLow", "x", LACK, 2),
        (500, "InsufficientInstanceCapacity", "x", LACK, 2),
        (500, "InsufficientVolumeCapacity", "x", LACK, 2),
        (400, "InsufficientFreeAddressesInSubnet", "x", LACK, 3),
        (400, "Unsupported", unsupported, LACK, 2),
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
        (400, "InvalidAMIID.NotFound", "x", everything.clone(), 1),
        (403, "UnauthorizedOperation", "x", everything, 1),
        (
            403,
            "AuthFailure.ServiceLinkedRoleCreationNotPermitted",
            "x",
            CloudErrorClass::RefusedWidely(RefusalScope::Market),
            1,
        ),
        (400, "NeverHeardOf", "x", CloudErrorClass::Refused, 1),
        // The same call again: nobody knows what it has done.
        (500, "NeverHeardOf", "x", CloudErrorClass::OutcomeUnknown, 1),
        (
            500,
            "InternalError",
            "x",
            CloudErrorClass::OutcomeUnknown,
            1,
        ),
        (
            400,
            "InvalidKeyPair.NotFound",
            "x",
            CloudErrorClass::Transient,
            1,
        ),
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
        let subnets: BTreeSet<&String> = tried.iter().collect();
        assert_eq!(subnets.len(), n_subnets, "{code}: {tried:?}");
        let n_calls = match class {
            CloudErrorClass::OutcomeUnknown => 3,
            _ => n_subnets,
        };
        assert_eq!(tried.len(), n_calls, "{code}: {tried:?}");
    }
}

/// Facts E11.
pub(super) async fn the_subnet_that_worked_is_tried_first_next_time() {
    let sold_out = || ("m5.small".to_owned(), "lab-1a".to_owned());
    let stage = with(vec![]).await;
    stage.ec2.set(|s| s.sold_out = [sold_out()].into());
    stage.create("m5.small", "s1").await.expect("an instance");
    // The first zone has some again, and its lack is forgotten.
    stage.ec2.set(|s| s.sold_out.clear());
    stage.pass(Duration::from_secs(3600));
    stage.create("m5.small", "s2").await.expect("an instance");
    assert_eq!(
        subnets_tried(&stage),
        ["subnet-a1", "subnet-b1", "subnet-b1"]
    );
}

/// Facts E12: also while the lack is remembered, and its subnet is not tried. Otherwise nobody would use another type, or
/// an on-demand instance in place of a spot instance.
pub(super) async fn a_lack_is_told_rather_than_another_error_of_another_subnet() {
    let always = |subnet: &str, status, code: &str, words| {
        let bad = refused(status, code, words);
        Injection::next("RunInstances", bad)
            .within(subnet)
            .times(99)
    };
    let stage = with(vec![
        always("subnet-a1", 400, "InvalidSubnetID.NotFound", "x"),
        always("subnet-a2", 400, "InvalidSubnetID.NotFound", "x"),
        always("subnet-b1", 500, "InsufficientInstanceCapacity", "sold out"),
    ])
    .await;
    for n in 0..9 {
        let error = stage.create("m5.small", &format!("s{n}")).await;
        let error = error.expect_err("a refusal");
        assert_eq!(error.class, LACK, "create {n}: {error}");
        assert!(error.message.contains("sold out"), "{error}");
        stage.pass(Duration::from_secs(25));
    }
    let tried = subnets_tried(&stage);
    let n_lacks = tried.iter().filter(|subnet| *subnet == "subnet-b1").count();
    assert!((2..9).contains(&n_lacks), "not asked for again and again");
}

/// Facts K28: Go's delay grew on over refusals that were no throttles.
pub(super) async fn an_answer_that_is_no_throttle_ends_the_delay() {
    let stage = with(vec![
        Injection::next("RunInstances", refused(503, "RequestLimitExceeded", "x")),
        Injection::next("RunInstances", refused(400, "InstanceLimitExceeded", "x")),
        Injection::next("RunInstances", refused(503, "RequestLimitExceeded", "x")),
    ])
    .await;
    let mut waits = Vec::new();
    for _ in 0..3 {
        let before = stage.account.now();
        match class_of(&stage).await {
            CloudErrorClass::RateLimited(until) => {
                waits.push(until.since(before).as_secs());
                stage.pass(Duration::from_secs(10));
            }
            class => assert_eq!(class, CloudErrorClass::Quota),
        }
    }
    assert_eq!(waits, [1, 1], "the second throttle counts as the first");
}

/// Lists in small pages are whole.
pub(super) async fn a_list_in_small_pages_is_whole() {
    let stage = Setup::default().ec2(|s| s.page = 1).start().await;
    for n in 0..4 {
        stage
            .create("m5.small", &format!("s{n}"))
            .await
            .expect("an instance");
    }
    assert_eq!(stage.list().await.expect("a list").len(), 4);
    assert_eq!(stage.calls("DescribeInstances"), 4);
}

/// Facts E9.
pub(super) async fn a_type_that_a_zone_does_not_offer_is_asked_for_in_another() {
    let words = "Your requested instance type (m5.small) is not supported in your requested Availability Zone";
    let injection = Injection::next("RunInstances", refused(400, "Unsupported", words));
    let stage = with(vec![injection.within("subnet-a1")]).await;
    let made = stage.create("m5.small", "s").await.expect("an instance");
    assert_ne!(
        stage.ec2.subnet_of(made.id.as_str()).as_deref(),
        Some("subnet-a1")
    );
}

/// Facts E10, in every spelling, and for one call only.
pub(super) async fn a_full_subnet_is_passed_over() {
    for (code, message) in [
        ("InsufficientFreeAddressesInSubnet", "full"),
        (
            "InvalidParameterValue",
            "Not enough free Ipv4 addresses: insufficient free Ipv4 addresses",
        ),
        (
            "Client.InvalidParameterValue",
            "There are no sufficient free ipv6 addresses",
        ),
        (
            "InvalidParameterCombination",
            "The specified subnet has not enough free addresses",
        ),
    ] {
        let injection = Injection::next("RunInstances", refused(400, code, message));
        let stage = with(vec![injection.within("subnet-a1")]).await;
        stage.create("m5.small", "s1").await.expect("an instance");
        stage.create("c5.large", "s2").await.expect("an instance");
        assert_eq!(
            subnets_tried(&stage),
            ["subnet-a1", "subnet-a2", "subnet-a2"],
            "{code}"
        );
    }
}

/// Facts E11: so that the errors of all subnets are seen over time.
pub(super) async fn after_all_subnets_have_refused_the_next_create_begins_elsewhere() {
    let refusal = refused(400, "InvalidSubnetID.NotFound", "x");
    let stage = with(vec![Injection::next("RunInstances", refusal).times(6)]).await;
    for _ in 0..2 {
        class_of(&stage).await;
    }
    let tried = subnets_tried(&stage);
    assert_eq!(tried.len(), 6);
    assert_ne!(tried[0], tried[3], "{tried:?}");
}

/// Half a list is no list: what is on the missing page has not vanished.
pub(super) async fn a_list_whose_second_page_fails_is_an_error() {
    let stage = Setup::default().ec2(|s| s.page = 1).start().await;
    for n in 0..2 {
        stage
            .create("m5.small", &format!("s{n}"))
            .await
            .expect("an instance");
    }
    stage.ec2.set(|s| {
        let second = Injection::next("DescribeInstances", Bad::BadGateway).after(1);
        s.injections = vec![second];
    });
    stage.list().await.expect_err("an error");
    assert_eq!(stage.list().await.expect("a list").len(), 2);
}

/// What is sold out in one zone is not asked for there again for a while, and another type is.
pub(super) async fn a_lack_is_remembered_for_the_zone_and_the_type() {
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
    assert_eq!(
        subnets_tried(&stage),
        ["subnet-a1", "subnet-b1", "subnet-b1", "subnet-b1"],
        "nor is its other subnet"
    );
}

/// A proxy on the way may answer in HTML, and be believed by nobody.
pub(super) async fn an_answer_that_is_not_ec2s_is_no_answer() {
    let stage = with(vec![Injection::next("RunInstances", Bad::NotEc2)]).await;
    let made = stage.create("m5.small", "s").await.expect("an instance");
    assert_eq!(stage.alive(), [(made.id.clone(), "s".to_owned())]);
    for action in ["DescribeInstances", "TerminateInstances", "CreateTags"] {
        stage
            .ec2
            .set(|s| s.injections = vec![Injection::next(action, Bad::NotEc2)]);
        let tags: Tags = [("a".to_owned(), "b".to_owned())].into();
        let believed = match action {
            "DescribeInstances" => stage.list().await.is_ok(),
            "TerminateInstances" => stage.account.destroy(&made.id).await.is_ok(),
            _ => stage.account.set_tags(&made.id, &tags).await.is_ok(),
        };
        assert!(!believed, "{action}");
    }
}

/// Every call has a deadline, and a create that missed it is sent again.
pub(super) async fn a_call_without_an_answer_ends() {
    let silent = ["RunInstances", "DescribeInstances"]
        .map(|action| Injection::next(action, Bad::Silent))
        .into();
    let mut setup = Setup::default().ec2(|s| s.injections = silent);
    setup.answer_within = Some(Duration::from_secs(1));
    let stage = setup.start().await;
    let made = stage.create("m5.small", "s").await.expect("an instance");
    assert_eq!(stage.alive(), [(made.id, "s".to_owned())]);
    let error = stage.list().await.expect_err("no answer");
    assert!(error.contains("no answer in time"), "{error}");
}

pub(super) async fn an_order_whose_instance_has_ended_is_told_as_passing() {
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
pub(super) async fn a_deleted_key_pair_is_looked_for_again() {
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

/// EC2 has two codes for an id that it does not know.
pub(super) async fn tags_of_a_fresh_instance_are_tried_again() {
    let tags: Tags = [("a".to_owned(), "b".to_owned())].into();
    for code in ["InvalidInstanceID.NotFound", "InvalidID"] {
        let unknown = refused(400, code, "x");
        let stage = with(vec![Injection::next("CreateTags", unknown)]).await;
        let made = stage.create("m5.small", "s").await.expect("an instance");
        let tagged = stage.account.set_tags(&made.id, &tags).await;
        tagged.unwrap_or_else(|error| panic!("{code}: {error}"));
        assert_eq!(stage.calls("CreateTags"), 2, "{code}");
    }
    let stage = Setup::default().ec2(|s| s.unknown_ms = 400).start().await;
    let made = stage.create("m5.small", "s").await.expect("an instance");
    stage.account.set_tags(&made.id, &tags).await.expect("tags");
    assert!(stage.calls("CreateTags") > 1);
}

pub(super) async fn without_the_permission_to_describe_subnets_each_counts_as_a_zone() {
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

/// Those that begin while the zones are asked for do not take each subnet for a zone.
pub(super) async fn creates_beside_the_first_wait_for_the_zones() {
    let setup = Setup::default().ec2(|s| {
        s.injections = vec![Injection::next("DescribeSubnets", Bad::Slow(300))];
        let sold_out = ("m5.small".to_owned(), "lab-1a".to_owned());
        s.sold_out = [sold_out].into();
    });
    let stage = setup.start().await;
    let creates = ["s1", "s2", "s3"].map(|secret| stage.create("m5.small", secret));
    for made in futures_util::future::join_all(creates).await {
        made.expect("an instance");
    }
    let tried = subnets_tried(&stage);
    assert!(
        !tried.iter().any(|subnet| subnet == "subnet-a2"),
        "{tried:?}"
    );
    assert_eq!(stage.calls("DescribeSubnets"), 1);
}

/// Without them a lack is remembered by subnet: that is no reason to wait.
pub(super) async fn zones_that_are_not_answered_about_keep_nobody_waiting() {
    let silent = Injection::next("DescribeSubnets", Bad::Silent).times(9);
    let stage = with(vec![silent]).await;
    for n_asked in 1..3 {
        let began = tokio::time::Instant::now();
        let secrets = ["a", "b", "c"].map(|secret| format!("{secret}{n_asked}"));
        let creates = secrets
            .each_ref()
            .map(|secret| Box::pin(stage.create("m5.small", secret)));
        for made in futures_util::future::join_all(creates).await {
            made.expect("an instance");
        }
        let took = began.elapsed();
        assert!(took < Duration::from_secs(15), "{took:?}");
        assert_eq!(stage.calls("DescribeSubnets"), n_asked);
        stage.pass(Duration::from_secs(61));
    }
}

/// Where nobody listens, it was certainly not sent. A connection that is cut may have carried the call.
pub(super) async fn where_nobody_listens_nothing_was_sent() {
    let nobody = tokio::net::TcpListener::bind("127.0.0.1:0").await;
    let refusing = nobody.expect("a port").local_addr().expect("a port");
    let stage = with(vec![]).await;
    let elsewhere = stage.at(&format!("http://{refusing}")).await;
    let error = elsewhere.create(&order("m5.small", "s")).await;
    let error = error.expect_err("nobody there");
    assert_eq!(error.class, CloudErrorClass::Transient, "{error}");
    assert!(error.message.contains("not sent"), "{error}");
    let stage = with(vec![Injection::next("RunInstances", Bad::Lost).times(3)]).await;
    assert_eq!(class_of(&stage).await, CloudErrorClass::OutcomeUnknown);
}

/// One throttle must not hide the zones for an hour, nor one wrong id the zones of the others.
pub(super) async fn the_zones_are_asked_for_again_soon_and_a_wrong_id_hides_only_itself() {
    let throttle = refused(503, "RequestLimitExceeded", "x");
    let setup = Setup::default()
        .parameter(
            "SubnetID",
            serde_json::json!(["subnet-a1", "subnet-a2", "subnet-b1", "subnet-wrong"]),
        )
        .ec2(|s| s.injections = vec![Injection::next("DescribeSubnets", throttle)]);
    let stage = setup.start().await;
    stage.create("m5.small", "s1").await.expect("an instance");
    stage.ec2.set(|s| {
        s.sold_out
            .insert(("m5.small".to_owned(), "lab-1a".to_owned()));
    });
    stage.pass(Duration::from_secs(61));
    stage.create("m5.small", "s2").await.expect("an instance");
    assert_eq!(
        subnets_tried(&stage),
        ["subnet-a1", "subnet-a1", "subnet-b1"],
        "the other subnet of the zone is passed over"
    );
    assert_eq!(stage.calls("DescribeSubnets"), 2);
    stage.pass(Duration::from_secs(61));
    stage.create("m5.small", "s3").await.expect("an instance");
    assert_eq!(stage.calls("DescribeSubnets"), 2, "known for an hour");
    stage.pass(Duration::from_secs(3600));
    stage.create("m5.small", "s4").await.expect("an instance");
    assert_eq!(stage.calls("DescribeSubnets"), 3, "and asked for again");
}

pub(super) async fn cores_are_limited_by_quota_group() {
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
