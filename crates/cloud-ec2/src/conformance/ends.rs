//! Instances that end by themselves: late failures, interruptions, ends by other hands.

use std::time::Duration;

use dispatch_cloud::{EndCause, Ended, InstanceSet as _, Tags};
use dispatch_lab_net::{Bad, Injection, world::Span};
use dispatch_model::{CapacityScope, CloudErrorClass, InstanceId, RefusalScope};

use super::stage::{PATIENCE, Setup, Stage, order};

const LACK: CloudErrorClass = CloudErrorClass::Capacity(CapacityScope::Type);

/// A lab whose ended instances are shown for a minute, and in which instances of m5.small die like this.
async fn dying(code: &str) -> Stage {
    let reason = (code.to_owned(), format!("{code}: as told"));
    lasting()
        .ec2(|s| {
            s.dying.insert("m5.small".to_owned(), reason);
        })
        .start()
        .await
}

fn lasting() -> Setup {
    Setup {
        world: |settings| settings.cloud.gone_listed_ms = Span::exactly(60_000),
        ..Setup::default()
    }
}

fn subnets_tried(stage: &Stage) -> Vec<String> {
    let forms = stage.forms("RunInstances").into_iter();
    forms
        .map(|form| form["NetworkInterface.1.SubnetId"].clone())
        .collect()
}

/// Late failures go through the atlas: the zone is avoided after the first, the type is held after several.
pub(super) async fn an_instance_that_dies_while_launching_counts_like_a_refusal() {
    let stage = dying("Server.InsufficientInstanceCapacity").await;
    stage.create("m5.small", "s1").await.expect("an instance");
    assert_eq!(stage.list().await.expect("a list"), []);
    stage.create("m5.small", "s2").await.expect("an instance");
    assert_eq!(subnets_tried(&stage), ["subnet-a1", "subnet-b1"]);
    stage.list().await.expect("a list");
    let error = stage.create("m5.small", "s3").await.expect_err("a refusal");
    assert_eq!(error.class, LACK);
    assert_eq!(stage.calls("RunInstances"), 2, "no call was made");
}

/// Whatever they die of, and other types are not held.
pub(super) async fn a_type_that_dies_again_and_again_while_launching_is_held() {
    let stage = dying("Server.InternalError").await;
    for n in 0..3 {
        let made = stage.create("m5.small", &format!("s{n}")).await;
        made.expect("an instance");
        assert_eq!(stage.list().await.expect("a list"), []);
    }
    let error = stage.create("m5.small", "s3").await.expect_err("a refusal");
    assert_eq!(error.class, LACK);
    assert!(error.message.contains("Server.InternalError"), "{error}");
    stage
        .create("c5.large", "other")
        .await
        .expect("another type");
}

/// What reaches further than a place is told to the pool as what it is, and so is the hold of a type that dies of it
/// again and again.
pub(super) async fn a_late_failure_is_told_as_its_code_would_have_been() {
    let everything = CloudErrorClass::RefusedWidely(RefusalScope::Everything);
    let group = CapacityScope::QuotaGroup("standard".to_owned());
    let group = CloudErrorClass::Capacity(group);
    for (code, told, held) in [
        (
            "Client.VolumeLimitExceeded",
            Some(CloudErrorClass::Quota),
            CloudErrorClass::Quota,
        ),
        // Usually a key that may not be used.
        (
            "Client.InternalError",
            Some(CloudErrorClass::Refused),
            CloudErrorClass::Refused,
        ),
        ("KMSKeyDisabled", Some(everything.clone()), everything),
        ("Client.VcpuLimitExceeded", Some(group.clone()), group),
        // It passes, but not for a type that dies of it three times.
        (
            "Server.InternalError",
            Some(CloudErrorClass::Transient),
            LACK,
        ),
        // Kept in mind by place.
        ("Server.InsufficientInstanceCapacity", None, LACK),
    ] {
        let stage = dying(code).await;
        let mut first = None;
        for n in 0..3 {
            let made = stage.create("m5.small", &format!("s{n}")).await;
            let Ok(made) = made else { break };
            first.get_or_insert(made.id);
            stage.list().await.expect("a list");
        }
        let ended = stage.account.ended();
        assert_eq!(
            (Some(&ended[0].id), ended[0].cause),
            (first.as_ref(), EndCause::NeverBegan)
        );
        for end in &ended {
            assert_eq!((&end.class, end.code.as_str()), (&told, code));
        }
        let error = stage.create("m5.small", "s3").await.expect_err("a refusal");
        assert_eq!(error.class, held, "{code}");
        assert!(error.message.contains("not called"), "{error}");
        assert!(error.message.contains("Remedy: "), "{error}");
    }
}

/// EC2 lists what has ended for about an hour: after a restart it says nothing of what can be launched now.
pub(super) async fn what_ended_before_this_process_began_says_nothing() {
    let stage = lasting().start().await;
    for n in 0..4 {
        let made = stage.create("m5.small", &format!("s{n}")).await;
        let made = made.expect("an instance");
        let code = "Client.VolumeLimitExceeded";
        match n {
            3 => stage.ec2.end_in_silence(made.id.as_str()),
            _ => stage.ec2.end(made.id.as_str(), code, "x"),
        }
    }
    let next = stage.next_process().await;
    for _ in 0..2 {
        assert_eq!(next.list(&Tags::new()).await.expect("a list"), []);
        assert_eq!(next.ended(), []);
    }
    next.create(&order("m5.small", "s9"))
        .await
        .expect("not held");
    // What is launched from now on is heard of, even if its answer was lost and no list has shown it alive.
    stage.ec2.set(|s| {
        s.injections = vec![Injection::next("RunInstances", Bad::Lost).times(3)];
        let reason = ("Client.VolumeLimitExceeded".to_owned(), "x".to_owned());
        s.dying.insert("c5.large".to_owned(), reason);
    });
    let lost = next.create(&order("c5.large", "s10")).await;
    assert!(lost.is_err(), "{lost:?}");
    next.list(&Tags::new()).await.expect("a list");
    let ended = next.ended();
    assert_eq!(ended.len(), 1, "{ended:?}");
}

/// Facts K34: the interruption of a spot instance is seen with the next list, told once, and with its reason; the type
/// is not held for it.
pub(super) async fn a_spot_interruption_is_told_once_with_its_reason() {
    let stage = lasting().start().await;
    let made = stage.create("m5.spot", "s").await.expect("an instance");
    assert_eq!(stage.list().await.expect("a list").len(), 1);
    stage.ec2.take_back(made.id.as_str());
    assert_eq!(stage.list().await.expect("a list"), []);
    let expected = Ended {
        id: made.id,
        provider_type: "m5.spot".to_owned(),
        preemptible: true,
        cause: EndCause::TakenBack,
        code: "Server.SpotInstanceTermination".to_owned(),
        message: "Server.SpotInstanceTermination: Spot instance termination".to_owned(),
        class: None,
    };
    assert_eq!(stage.account.ended(), [expected]);
    stage.list().await.expect("a list");
    assert_eq!(stage.account.ended(), [], "told once");
    stage.create("m5.spot", "s2").await.expect("an instance");
    assert_eq!(
        subnets_tried(&stage),
        ["subnet-a1", "subnet-b1"],
        "in the other zone"
    );
}

/// Facts K34: an interruption is no refusal, so where there is no other zone, the next one is asked for in the same.
pub(super) async fn one_that_was_taken_back_may_be_followed_by_another_in_the_same_zone() {
    let setup = lasting().parameter("SubnetID", "subnet-a1".into());
    let stage = setup.start().await;
    let made = stage.create("m5.spot", "s1").await.expect("an instance");
    stage.list().await.expect("a list");
    stage.ec2.take_back(made.id.as_str());
    assert_eq!(stage.list().await.expect("a list"), []);
    stage.create("m5.spot", "s2").await.expect("another");
}

/// An end by another hand is told, our own is not.
pub(super) async fn an_end_by_another_hand_is_told() {
    let stage = lasting().start().await;
    let ours = stage.create("m5.small", "s1").await.expect("an instance");
    let theirs = stage.create("m5.small", "s2").await.expect("an instance");
    stage.list().await.expect("a list");
    stage.account.destroy(&ours.id).await.expect("an end");
    let code = "Client.UserInitiatedShutdown";
    stage
        .ec2
        .end(theirs.id.as_str(), code, "User initiated shutdown");
    assert_eq!(stage.list().await.expect("a list"), []);
    let ended = stage.account.ended();
    let [end] = ended.as_slice() else {
        panic!("{ended:?}");
    };
    assert_eq!((&end.id, end.cause), (&theirs.id, EndCause::Other));
}

/// EC2 may show that an instance is going before it shows why: it is gone at once, so that nothing more is started
/// there, and the reason is told when it comes.
pub(super) async fn what_is_going_is_gone_at_once_and_its_reason_is_told_when_it_comes() {
    let stage = lasting().start().await;
    let told = stage.create("m5.small", "s1").await.expect("an instance");
    let never = stage.create("m5.small", "s2").await.expect("an instance");
    stage.pass(Duration::from_secs(600));
    stage.until_running(2).await;
    for made in [&told, &never] {
        stage.ec2.end_in_silence(made.id.as_str());
    }
    assert_eq!(stage.list().await.expect("a list"), [], "at once");
    let mut ended = stage.account.ended();
    ended.sort_by_key(|end| end.id == never.id);
    let ids: Vec<&InstanceId> = ended.iter().map(|end| &end.id).collect();
    assert_eq!(ids, [&told.id, &never.id]);
    for end in &ended {
        let words = (end.code.as_str(), end.message.as_str(), &end.class);
        assert_eq!((end.cause, words), (EndCause::Other, ("", "", &None)));
    }
    stage.list().await.expect("a list");
    assert_eq!(stage.account.ended(), [], "once");
    let code = "Server.InternalError";
    stage.ec2.end(told.id.as_str(), code, "a disk broke");
    stage.ec2.end(never.id.as_str(), "", "");
    assert_eq!(stage.list().await.expect("a list"), []);
    let mut ended = stage.account.ended();
    ended.sort_by_key(|end| end.id == never.id);
    let [end, silent] = ended.as_slice() else {
        panic!("{ended:?}");
    };
    // It has run, so it is no failure to launch.
    assert_eq!((&end.id, end.cause), (&told.id, EndCause::Other));
    assert_eq!(end.code, code);
    assert_eq!(silent.message, "EC2 gives no reason");
}

/// Whoever cancels what was on it can say why, if EC2 says it within seconds.
pub(super) async fn a_reason_that_comes_a_moment_later_is_told_with_the_end() {
    let stage = lasting().start().await;
    let made = stage.create("m5.spot", "s").await.expect("an instance");
    stage.until_running(1).await;
    stage.ec2.end_in_silence(made.id.as_str());
    let n_asked = || {
        let forms = stage.forms("DescribeInstances");
        let by_id = forms
            .iter()
            .filter(|form| form.contains_key("InstanceId.1"));
        by_id.count()
    };
    let told_later = async {
        while n_asked() == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        stage.ec2.take_back(made.id.as_str());
    };
    let both = async { tokio::join!(stage.list(), told_later) };
    let (listed, ()) = tokio::time::timeout(PATIENCE, both).await.expect("it asks");
    assert_eq!(listed.expect("a list"), []);
    let ended = stage.account.ended();
    let told: Vec<_> = ended.iter().map(|end| (&end.id, end.cause)).collect();
    assert_eq!(told, [(&made.id, EndCause::TakenBack)]);
    assert_eq!(ended[0].code, "Server.SpotInstanceTermination");
}

/// An instance that has run for hours says nothing of what can be launched now.
pub(super) async fn an_older_instance_that_runs_ends_no_hold() {
    let stage = lasting().start().await;
    stage.create("m5.small", "old").await.expect("an instance");
    stage.until_running(1).await;
    stage.ec2.set(|s| {
        let reason = ("Server.InternalError".to_owned(), "x".to_owned());
        s.dying.insert("m5.small".to_owned(), reason);
    });
    for n in 0..3 {
        let made = stage.create("m5.small", &format!("s{n}")).await;
        made.expect("an instance");
        assert_eq!(stage.list().await.expect("a list").len(), 1);
    }
    let error = stage.create("m5.small", "s3").await.expect_err("a refusal");
    assert_eq!(error.class, LACK);
}
