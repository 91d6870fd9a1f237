//! What the driver tells, and what it keeps to itself.

use std::time::Duration;

use dispatch_cloud::{InstanceSet as _, Tags};
use dispatch_lab_net::{Bad, Injection, Volume};
use dispatch_model::InstanceSecret;
use tracing::instrument::WithSubscriber as _;

use super::{
    faults::{refused, with},
    log::Log,
    stage::{Setup, order},
};

const SECRET: &str = "a-very-secret-secret";

/// Nor is it longer than people read.
#[track_caller]
fn has_no_secret(words: &str) {
    assert!(!words.contains(SECRET), "the secret is told: {words}");
    assert!(words.chars().count() <= 500, "{words}");
}

/// Whichever call fails, and however.
pub(super) async fn the_secret_is_in_no_message() {
    let said = refused(400, "NeverHeardOf", &format!("bad: {SECRET}"));
    let stage = with(vec![Injection::next("RunInstances", said)]).await;
    let error = stage.create("m5.small", SECRET).await;
    let error = error.expect_err("a refusal");
    assert!(error.message.contains("bad: (secret)"), "{error}");
    assert!(!format!("{:?}", InstanceSecret::new(SECRET)).contains(SECRET));
    for bad in [Bad::CutOff, Bad::NotEc2, Bad::BadGateway, Bad::Lost] {
        let setup = Setup {
            haste: 10.0,
            ..Setup::default()
        };
        let stage = setup.start().await;
        let made = stage.create("m5.small", SECRET).await.expect("an instance");
        let ours: Tags = [("ArvadosInstanceSecret".to_owned(), SECRET.to_owned())].into();
        for action in [
            "RunInstances",
            "DescribeInstances",
            "CreateTags",
            "TerminateInstances",
        ] {
            let injection = Injection::next(action, bad.clone()).times(3);
            stage.ec2.set(|s| s.injections = vec![injection]);
            let result = match action {
                "RunInstances" => stage.create("m5.small", SECRET).await.map(|_| ()),
                "DescribeInstances" => stage.account.list(&ours).await.map(|_| ()),
                "CreateTags" => stage.account.set_tags(&made.id, &ours).await,
                _ => stage.account.destroy(&made.id).await,
            };
            has_no_secret(&result.expect_err(action).message);
        }
    }
}

/// The SDK would take it for an empty list, and every instance would seem to have vanished. The error is told to many: the
/// secrets of instances, which are among their tags, are not in it.
pub(super) async fn a_list_that_is_cut_off_is_an_error() {
    let stage = with(vec![]).await;
    for n in 0..3 {
        let secret = format!("{SECRET}-{n}");
        let made = stage.create("m5.small", &secret).await;
        made.expect("an instance");
    }
    stage
        .ec2
        .set(|s| s.injections = vec![Injection::next("DescribeInstances", Bad::CutOff)]);
    let error = stage.list().await.expect_err("an error");
    assert!(error.contains("cut off"), "{error}");
    has_no_secret(&error);
    assert_eq!(stage.list().await.expect("a list").len(), 3);
}

/// As long as another works, nobody would hear of it; and nobody wants to hear it at each create.
pub(super) async fn a_subnet_that_refuses_while_another_works_is_told_once_until_it_works() {
    let setup =
        Setup::default().parameter("SubnetID", serde_json::json!(["subnet-a1", "subnet-b1"]));
    let stage = setup.start().await;
    let log = Log::start();
    let mut outcomes = Vec::new();
    for (a1_refuses, b1_is_sold_out) in [
        (true, false),
        (true, true),
        (false, false),
        (true, false),
        (true, false),
    ] {
        stage.pass(Duration::from_secs(61));
        let secret = format!("{SECRET}{}", outcomes.len());
        let words = format!("no, {secret}");
        let refusal = refused(400, "InvalidSubnetID.NotFound", &words);
        let refusal = Injection::next("RunInstances", refusal).within("subnet-a1");
        stage.ec2.set(|s| {
            s.injections = a1_refuses.then_some(refusal).into_iter().collect();
            let sold_out = ("m5.small".to_owned(), "lab-1b".to_owned());
            s.sold_out = b1_is_sold_out.then_some(sold_out).into_iter().collect();
        });
        let create = stage.create("m5.small", &secret);
        let made = create.with_subscriber(log.clone()).await.ok();
        outcomes.push(made.and_then(|made| stage.ec2.subnet_of(made.id.as_str())));
    }
    let outcomes: Vec<Option<&str>> = outcomes.iter().map(Option::as_deref).collect();
    let (a1, b1) = (Some("subnet-a1"), Some("subnet-b1"));
    assert_eq!(outcomes, [b1, None, a1, b1, b1]);
    let lines = log.lines();
    let about = |subnet: &str| lines.iter().filter(|line| line.contains(subnet)).count();
    assert_eq!(
        (about("subnet-a1"), about("subnet-b1")),
        (2, 1),
        "{lines:#?}"
    );
    assert!(lines[0].starts_with("WARN") && lines[0].contains("InvalidSubnetID.NotFound"));
    assert!(
        lines.iter().all(|line| !line.contains(SECRET)),
        "{lines:#?}"
    );
}

/// They cost money for ever, and the dispatcher may not delete them.
pub(super) async fn volumes_that_the_image_leaves_behind_are_told_once() {
    for is_so in [true, false] {
        let setup = Setup::default().ec2(|s| s.image_leaves_volume = is_so);
        let stage = setup.start().await;
        let log = Log::start();
        for secret in ["s1", "s2"] {
            let mut order = order("m5.small", secret);
            order.instance_type.added_scratch_bytes = 1 << 30;
            let made = stage.account.create(&order).await.expect("an instance");
            let listed = stage.list().with_subscriber(log.clone()).await;
            assert!(!listed.expect("a list").is_empty());
            stage.account.destroy(&made.id).await.expect("an end");
        }
        let left = stage.ec2.volumes();
        let lines = log.lines();
        if !is_so {
            assert!(left.is_empty() && lines.is_empty(), "{left:?} {lines:?}");
            continue;
        }
        assert_eq!((left.len(), lines.len()), (2, 1), "{left:?} {lines:?}");
        for words in ["WARN", "ami-lab", "(/dev/xvdb)", "DeleteOnTermination"] {
            assert!(lines[0].contains(words), "{words} in {lines:?}");
        }
        let is_named = |volume: &Volume| lines[0].contains(&volume.id);
        assert!(left.iter().any(is_named), "{left:?} {lines:?}");
        assert!(!lines[0].contains("/dev/xvdt"), "ours goes: {lines:?}");
    }
}

/// So that a full group is held with all its types at once. The pool keeps spot instances apart (facts E20).
pub(super) async fn groups_of_types_are_told_before_any_refusal() {
    let setup = Setup::default().parameter(
        "InstanceTypeQuotaGroups",
        serde_json::json!({"m": "standard", "c5": "fast"}),
    );
    let stage = setup.start().await;
    for provider_type in ["m5.small", "m5.spot", "c5.large"] {
        let made = stage.create(provider_type, provider_type).await;
        made.expect("an instance");
    }
    let groups = [
        ("m5.small", "standard"),
        ("m5.spot", "standard"),
        ("c5.large", "fast"),
    ];
    let groups = groups.map(|(name, group)| (name.to_owned(), group.to_owned()));
    assert_eq!(stage.account.quota_groups(), groups.clone().into());
    stage.list().await.expect("a list");
    assert!(stage.account.quota_groups().is_empty(), "once");
    let next = stage.next_process().await;
    next.list(&Tags::new()).await.expect("a list");
    assert_eq!(next.quota_groups(), groups.into(), "also from a list");
}
