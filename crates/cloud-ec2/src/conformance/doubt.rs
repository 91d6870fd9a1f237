//! Creates whose outcome nobody knows: one order makes one instance whatever is answered, and what is not known for
//! certain is not told as such.

use std::{collections::BTreeSet, time::Duration};

use dispatch_lab_net::{Bad, Injection};
use dispatch_model::CloudErrorClass;

use super::{
    faults::{LACK, class_of, refused, subnets_tried, with},
    stage::{Setup, Stage},
};

fn lost_then(then: Bad) -> Vec<Injection> {
    let next = |bad| Injection::next("RunInstances", bad);
    vec![next(Bad::Lost), next(then)]
}

/// One order made one instance, by calls that were all the same.
#[track_caller]
fn made_once(stage: &Stage, n_calls: usize, why: &str) {
    let forms = stage.forms("RunInstances");
    assert_eq!(forms.len(), n_calls, "{why}");
    assert!(forms.iter().all(|form| *form == forms[0]), "{why}");
    assert_eq!(stage.alive().len(), 1, "{why}: one order");
}

/// The same call again finds the instance.
pub(super) async fn a_lost_answer_makes_no_second_instance() {
    let stage = with(vec![Injection::next("RunInstances", Bad::Lost)]).await;
    stage.create("m5.small", "s").await.expect("an instance");
    assert_eq!(stage.alive().len(), 1, "one order");
}

/// EC2 knows tokens by zone: in another zone the same order would make a second instance. No answer in time, and a
/// connection that is cut.
pub(super) async fn after_an_unknown_outcome_no_other_subnet_is_tried() {
    for bad in [Bad::Silent, Bad::Lost] {
        let mut setup = Setup::default()
            .parameter("SubnetID", serde_json::json!(["subnet-a1", "subnet-b1"]))
            .ec2(|s| s.injections = vec![Injection::next("RunInstances", bad).times(3)]);
        setup.answer_within = Some(Duration::from_secs(1));
        let stage = setup.start().await;
        let first = stage.create("m5.small", "s").await;
        let _again = stage.create("m5.small", "s").await;
        let (tried, alive) = (subnets_tried(&stage), stage.alive());
        let places: BTreeSet<&String> = tried.iter().collect();
        assert!(
            places.len() == 1 && alive.len() == 1,
            "after {first:?}, {tried:?} were tried, and one order made {alive:?}"
        );
    }
}

/// Whatever strikes the repeated call before EC2 looks at it tells nothing about the first.
pub(super) async fn a_throttle_after_a_lost_answer_leaves_the_outcome_unknown() {
    let throttle = refused(503, "RequestLimitExceeded", "x");
    let stage = with(lost_then(throttle)).await;
    assert_eq!(class_of(&stage).await, CloudErrorClass::OutcomeUnknown);
    stage.pass(Duration::from_secs(10));
    stage.create("m5.small", "s").await.expect("an instance");
    made_once(&stage, 3, "a throttle");
}

/// A permission that is taken away, credentials that expire, a proxy that refuses, a token that is known: the instance
/// may be there, and it is.
pub(super) async fn an_answer_that_says_nothing_of_a_lost_create_leaves_it_unknown() {
    for then in [
        refused(403, "UnauthorizedOperation", "x"),
        refused(401, "AuthFailure", "x"),
        refused(400, "RequestExpired", "x"),
        refused(400, "InvalidAMIID.NotFound", "x"),
        refused(400, "InvalidSubnetID.NotFound", "x"),
        refused(400, "IdempotentParameterMismatch", "x"),
        refused(400, "NeverHeardOf", "x"),
        Bad::GaveUp(403),
        Bad::GaveUp(407),
    ] {
        let why = format!("{then:?}");
        let stage = with(lost_then(then)).await;
        let said = stage.create("m5.small", "s").await;
        let class = said.as_ref().map_err(|error| &error.class).err();
        assert!(
            class == Some(&CloudErrorClass::OutcomeUnknown),
            "{why}: {:?} is alive, and the create says {said:?}",
            stage.alive()
        );
        made_once(&stage, 2, &why);
        stage.create("m5.small", "s").await.expect("an instance");
        made_once(&stage, 3, &why);
    }
}

/// The first call may still be on its way: it may have taken the last there was, or be carried out when there is some
/// again. In another subnet, or with another order, the same would be made twice.
pub(super) async fn a_lack_or_a_limit_says_nothing_of_a_create_that_may_still_be_at_work() {
    for (status, code) in [
        (500, "InsufficientInstanceCapacity"),
        (400, "InsufficientFreeAddressesInSubnet"),
        (400, "VcpuLimitExceeded"),
        (400, "InstanceLimitExceeded"),
    ] {
        let next = |bad| Injection::next("RunInstances", bad);
        let late = next(Bad::Late(1_000));
        let stage = with(vec![late, next(refused(status, code, "x"))]).await;
        let said = stage.create("m5.small", "s").await;
        stage.carried_out().await;
        let alive = stage.alive();
        let class = said.as_ref().map_err(|error| &error.class).err();
        assert!(
            class == Some(&CloudErrorClass::OutcomeUnknown),
            "{code}: {alive:?} is alive, and the create says {said:?}"
        );
        made_once(&stage, 2, code);
        stage.create("m5.small", "s").await.expect("an instance");
        made_once(&stage, 3, code);
    }
}

/// Nobody knows what became of this order, but others need not ask there.
pub(super) async fn a_lack_that_leaves_a_create_unknown_is_remembered() {
    let lack = refused(500, "InsufficientInstanceCapacity", "sold out");
    let stage = with(lost_then(lack)).await;
    assert_eq!(class_of(&stage).await, CloudErrorClass::OutcomeUnknown);
    stage.create("m5.small", "other").await.expect("another");
    let tried = subnets_tried(&stage);
    assert_eq!(tried, ["subnet-a1", "subnet-a1", "subnet-b1"]);
}

/// No call is at work for so long: had the first made something, EC2 would have found it by its token.
pub(super) async fn a_lack_or_a_limit_that_is_met_much_later_settles_a_lost_create() {
    for (status, code, class) in [
        (500, "InsufficientInstanceCapacity", LACK),
        (400, "InstanceLimitExceeded", CloudErrorClass::Quota),
    ] {
        let next = |bad| Injection::next("RunInstances", bad);
        // None of them is carried out.
        let lost = next(Bad::BadGateway).times(3);
        let lack = next(refused(status, code, "x")).times(3);
        let stage = with(vec![lost, lack]).await;
        assert_eq!(class_of(&stage).await, CloudErrorClass::OutcomeUnknown);
        for _ in 0..2 {
            stage.pass(Duration::from_secs(140));
            assert_eq!(class_of(&stage).await, CloudErrorClass::OutcomeUnknown);
        }
        stage.pass(Duration::from_secs(25));
        assert_eq!(class_of(&stage).await, class, "{code}");
        let tried = subnets_tried(&stage);
        assert!(tried.iter().all(|subnet| *subnet == tried[0]), "{tried:?}");
        assert_eq!((tried.len(), stage.alive()), (6, vec![]), "{code}");
    }
}

/// It may have been carried out all the same: the same call again, in the same subnet, with the same token.
pub(super) async fn a_create_that_ec2_says_has_failed_is_asked_about_again() {
    for (status, code) in [
        (500, "InternalError"),
        (503, "ServiceUnavailable"),
        (503, "Unavailable"),
        (408, "RequestTimeout"),
        (500, "NeverHeardOf"),
    ] {
        let bad = Bad::CarriedOutBut(status, code.to_owned());
        let stage = with(vec![Injection::next("RunInstances", bad.clone())]).await;
        let said = stage.create("m5.small", "s").await;
        let alive = stage.alive();
        assert!(
            said.is_ok(),
            "{code}: {alive:?} is alive, and the create says {said:?}"
        );
        made_once(&stage, 2, code);

        // If it goes on, nobody knows.
        let stage = with(vec![Injection::next("RunInstances", bad).times(3)]).await;
        let error = stage.create("m5.small", "s").await.expect_err("no answer");
        assert_eq!(error.class, CloudErrorClass::OutcomeUnknown, "{error}");
        assert!(error.message.contains(code), "{error}");
        assert!(error.message.contains("Remedy: "), "{error}");
        made_once(&stage, 3, code);
    }
}

/// The key pair is looked for before the call is repeated.
pub(super) async fn a_lost_create_stays_unknown_while_its_key_pair_cannot_be_looked_for() {
    let stage = with(vec![Injection::next("RunInstances", Bad::Lost).times(3)]).await;
    assert_eq!(class_of(&stage).await, CloudErrorClass::OutcomeUnknown);
    let gone = refused(400, "InvalidKeyPair.NotFound", "x");
    stage.ec2.set(|s| {
        s.injections = vec![Injection::next("RunInstances", gone)];
        s.forbidden.insert("DescribeKeyPairs".to_owned());
    });
    let other = stage.create("m5.small", "other").await;
    assert_eq!(
        other.expect_err("a refusal").class,
        CloudErrorClass::Transient
    );
    assert_eq!(class_of(&stage).await, CloudErrorClass::OutcomeUnknown);
    stage.ec2.set(|s| s.forbidden.clear());
    stage.create("m5.small", "s").await.expect("an instance");
    made_once_of(&stage, "s");
}

#[track_caller]
fn made_once_of(stage: &Stage, secret: &str) {
    let alive = stage.alive().into_iter();
    let of_it = alive.filter(|(_, found)| found == secret);
    assert_eq!(of_it.count(), 1);
}

pub(super) async fn a_create_that_was_carried_out_late_makes_one_instance() {
    let stage = with(vec![Injection::next("RunInstances", Bad::Late(100))]).await;
    let made = stage.create("m5.small", "s").await.expect("an instance");
    stage.carried_out().await;
    assert_eq!(stage.alive(), [(made.id, "s".to_owned())]);
}

/// Facts E13.
pub(super) async fn success_without_an_instance_is_asked_about_again() {
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

pub(super) async fn answers_that_are_cut_off_or_not_ec2s_are_asked_about_again() {
    for bad in [Bad::CutOff, Bad::BadGateway] {
        let stage = with(vec![Injection::next("RunInstances", bad)]).await;
        let made = stage.create("m5.small", "s").await.expect("an instance");
        assert_eq!(stage.alive(), [(made.id, "s".to_owned())]);
    }
}

/// A proxy that gave up waiting says nothing of what EC2 did, with whatever status it does.
pub(super) async fn a_proxys_timeout_is_no_refusal() {
    for status in [408, 499, 504] {
        let stage = with(vec![Injection::next("RunInstances", Bad::GaveUp(status))]).await;
        let made = stage.create("m5.small", "s").await.expect("an instance");
        assert_eq!(stage.alive(), [(made.id, "s".to_owned())], "{status}");
        assert_eq!(subnets_tried(&stage).len(), 2, "{status}");
    }
}
