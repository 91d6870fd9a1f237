//! Lists that lag behind: what was alive is not gone because one of them omits it.

use std::{slice::from_ref, time::Duration};

use dispatch_cloud::{EndCause, Instance, InstanceSet as _, Tags};
use dispatch_lab_net::{Bad, Injection, world::Span};

use super::{
    faults::refused,
    stage::{Setup, Stage},
};

/// A stage with one instance that has been listed for an hour and that lists now omit.
async fn omitted() -> (Stage, Instance) {
    let setup = Setup {
        world: |settings| settings.cloud.gone_listed_ms = Span::exactly(60_000),
        ..Setup::default()
    };
    let stage = setup.start().await;
    stage.create("m5.small", "s").await.expect("an instance");
    stage.until_running(1).await;
    stage.pass(Duration::from_secs(3600));
    let known = stage.list().await.expect("a list").remove(0);
    let id = known.id.as_str().to_owned();
    stage.ec2.set(|s| s.omitted = [id].into());
    (stage, known)
}

/// How often one was asked for by its id.
fn n_asked(stage: &Stage) -> usize {
    let forms = stage.forms("DescribeInstances");
    let by_id = forms
        .iter()
        .filter(|form| form.contains_key("InstanceId.1"));
    by_id.count()
}

/// From now on EC2 refuses so to show it by its id.
fn hide(stage: &Stage, bad: Bad, times: usize) {
    let by_id = Injection::next("DescribeInstances", bad).times(times);
    stage.ec2.set(|s| s.injections = vec![by_id.after(1)]);
}

pub(super) async fn an_old_instance_that_a_list_omits_is_listed_on() {
    let (stage, known) = omitted().await;
    for n in 1..4 {
        let listed = stage.list().await.expect("a list");
        assert!(
            listed == from_ref(&known) && stage.alive().len() == 1,
            "{:?} is alive, and the list shows {listed:?}",
            stage.alive()
        );
        assert_eq!(n_asked(&stage), n, "EC2 says so");
        stage.pass(Duration::from_secs(3600));
    }
    stage.ec2.set(|s| s.omitted.clear());
    assert_eq!(stage.list().await.expect("a list"), [known]);
    assert_eq!(n_asked(&stage), 3, "nothing is omitted any more");
    let other: Tags = [("Project".to_owned(), "another".to_owned())].into();
    let listed = stage.account.list(&other).await.expect("a list");
    assert_eq!((listed, n_asked(&stage)), (vec![], 3), "other tags");
}

/// For as long as EC2 advises to go on asking.
pub(super) async fn what_lists_omit_and_ec2_does_not_know_is_gone_after_minutes() {
    let (stage, known) = omitted().await;
    let not_found = || refused(400, "InvalidInstanceID.NotFound", "x");
    for _ in 0..2 {
        hide(&stage, not_found(), 1);
        assert_eq!(stage.list().await.expect("a list"), from_ref(&known));
        stage.pass(Duration::from_secs(149));
    }
    // One that EC2 shows begins anew.
    assert_eq!(stage.list().await.expect("a list"), from_ref(&known));
    stage.pass(Duration::from_secs(299));
    hide(&stage, not_found(), 1);
    assert_eq!(stage.list().await.expect("a list"), from_ref(&known));
    stage.pass(Duration::from_secs(2));
    hide(&stage, not_found(), 1);
    assert_eq!(stage.list().await.expect("a list"), []);
    let n = n_asked(&stage);
    assert_eq!(stage.list().await.expect("a list"), []);
    assert_eq!(n_asked(&stage), n, "nobody waits for it any more");
    stage.ec2.set(|s| s.omitted.clear());
    assert_eq!(
        stage.list().await.expect("a list"),
        [known],
        "or it is back"
    );
}

/// A call that is throttled, or to which nobody answers, says nothing, and a list does not wait for long.
pub(super) async fn what_lists_omit_is_listed_on_while_ec2_does_not_answer_about_it() {
    for bad in [refused(503, "RequestLimitExceeded", "x"), Bad::Silent] {
        let (stage, known) = omitted().await;
        stage.pass(Duration::from_secs(400));
        hide(&stage, bad, 1);
        let began = tokio::time::Instant::now();
        assert_eq!(stage.list().await.expect("a list"), from_ref(&known));
        let took = began.elapsed();
        assert!(took < Duration::from_secs(20), "{took:?}");
    }
}

/// A while after its end, an instance has no tags any more, by which lists would find it.
pub(super) async fn what_lists_omit_and_ec2_shows_as_ending_is_gone_at_once() {
    let (stage, known) = omitted().await;
    stage.ec2.set(|s| s.ended_lose_tags = true);
    assert_eq!(stage.list().await.expect("a list"), from_ref(&known));
    let code = "Client.UserInitiatedShutdown";
    let words = "User initiated shutdown";
    stage.ec2.end(known.id.as_str(), code, words);
    assert_eq!(stage.list().await.expect("a list"), []);
    let ended = stage.account.ended();
    let told: Vec<_> = ended.iter().map(|end| (&end.id, end.cause)).collect();
    assert_eq!(told, [(&known.id, EndCause::Other)]);
    // What we have ended need not be shown as such.
    let ours = stage.create("m5.small", "s2").await.expect("an instance");
    assert_eq!(stage.list().await.expect("a list").len(), 1);
    stage.account.destroy(&ours.id).await.expect("an end");
    let id = ours.id.as_str().to_owned();
    stage.ec2.set(|s| s.omitted = [id].into());
    let n = n_asked(&stage);
    assert_eq!(stage.list().await.expect("a list"), []);
    assert_eq!(n_asked(&stage), n, "it was ours to end");
}
