//! What goes wrong around EC2, and that it costs time only.

use dispatch_lab_net::{Bad, Injection};

use crate::support::{Rig, container, eventually};

/// Every call goes wrong until it is changed.
fn always(bad: Bad) -> Injection {
    Injection {
        action: None,
        subnet: None,
        after: 0,
        times: usize::MAX,
        bad,
    }
}

fn n_calls(rig: &Rig, action: &str) -> u64 {
    rig.ec2.calls().get(action).map_or(0, |(calls, _)| *calls)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_while_a_create_is_unanswered_it_finds_the_instance_and_makes_no_second() {
    let mut rig = Rig::start(|order| {
        order.ec2.injections = vec![Injection::next("RunInstances", Bad::Silent)];
    })
    .await;
    let uuid = rig.submit(&container(1, 300));
    eventually("the instance was made", || !rig.living().is_empty()).await;
    rig.kill_and_start_again().await;
    eventually("it ran", || rig.state(&uuid) == "Complete").await;
    let report = rig.all_is_done().await;
    assert_eq!(report.instances_created, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_that_is_gone_for_a_while_disturbs_nothing_that_runs() {
    let rig = Rig::start(|_| ()).await;
    let running = rig.submit_many(3, &container(1, 4_000));
    rig.all_in_state(&running, "Running").await;
    let before = n_calls(&rig, "DescribeInstances");
    rig.ec2
        .set(|settings| settings.injections = vec![always(Bad::BadGateway)]);
    let queued = rig.submit_many(2, &container(8, 100));
    rig.all_in_state(&running, "Complete").await;
    eventually("lists were asked for and failed", || {
        n_calls(&rig, "DescribeInstances") >= before + 3
    })
    .await;
    eventually("health says that the cloud does not list", || {
        rig.management("GET", "/_health/ping").contains("ERROR")
    })
    .await;
    assert!(queued.iter().all(|uuid| rig.state(uuid) != "Complete"));
    rig.ec2.set(|settings| settings.injections.clear());
    rig.all_in_state(&queued, "Complete").await;
    rig.all_is_done().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_where_nobody_listens_for_a_while_disturbs_nothing_that_runs() {
    let mut rig = Rig::start(|order| order.behind_a_door = true).await;
    let running = rig.submit_many(3, &container(1, 4_000));
    rig.all_in_state(&running, "Running").await;
    let door = rig.door.as_mut().expect("it was ordered");
    door.shut().await;
    let before = n_calls(&rig, "DescribeInstances");
    let queued = rig.submit_many(2, &container(8, 100));
    rig.all_in_state(&running, "Complete").await;
    eventually("the log says that connections are refused", || {
        rig.log().contains("Connection refused")
    })
    .await;
    eventually("health says that the cloud does not list", || {
        rig.management("GET", "/_health/ping").contains("ERROR")
    })
    .await;
    assert!(queued.iter().all(|uuid| rig.state(uuid) != "Complete"));
    assert_eq!(
        n_calls(&rig, "DescribeInstances"),
        before,
        "none came through"
    );
    let door = rig.door.as_mut().expect("it was ordered");
    door.open_again().await;
    rig.all_in_state(&queued, "Complete").await;
    rig.all_is_done().await;
    assert_eq!(rig.ec2.volumes(), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_permission_that_is_missing_holds_all_types_and_who_looks_is_told_what_to_grant() {
    let rig = Rig::start(|order| order.ec2.forbidden = ["RunInstances".to_owned()].into()).await;
    let small = rig.submit(&container(1, 100));
    let large = rig.submit(&container(8, 100));
    let shown = |uuid: &str| {
        let path = format!("/arvados/v1/dispatch/container?container_uuid={uuid}");
        rig.management("GET", &path)
    };
    let cause = "RunInstances: UnauthorizedOperation (refused, all instances)";
    eventually("both are told why they wait", || {
        [&small, &large].iter().all(|uuid| {
            let shown = shown(uuid);
            shown.contains(cause) && shown.contains("Remedy: grant the IAM policy")
        })
    })
    .await;
    assert!(
        rig.log().contains("\"InstanceType\":\"any\""),
        "{}",
        rig.log()
    );
    let metrics = rig.management("GET", "/metrics");
    let held = r#"create_holds{instance_type="any",cause="create-failing"}"#;
    assert!(metrics.contains(held), "{metrics}");
    rig.ec2.set(|settings| settings.forbidden.clear());
    rig.all_in_state(&[small, large], "Complete").await;
    rig.all_is_done().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refused_credentials_are_told_with_their_remedy_and_used_again_when_they_are_good() {
    let words = "AWS was not able to validate the provided access credentials";
    let refusal = Bad::Refused(401, "AuthFailure".to_owned(), words.to_owned());
    let rig = Rig::start(|order| order.ec2.injections = vec![always(refusal)]).await;
    let uuid = rig.submit(&container(1, 100));
    eventually("health names the code", || {
        rig.management("GET", "/_health/ping")
            .contains("AuthFailure")
    })
    .await;
    assert!(rig.log().contains("AccessKeyID"), "what to look at");
    assert!(!rig.log().contains("not-a-secret-but-masked"));
    rig.ec2.set(|settings| settings.injections.clear());
    eventually("it ran", || rig.state(&uuid) == "Complete").await;
    rig.all_is_done().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_region_the_daemon_says_which_key_is_missing_and_ends() {
    let mut rig = Rig::start_unchecked(|order| order.parameter("Region", "\"\"")).await;
    let status = rig.ends().await;
    assert_eq!(status.code(), Some(1));
    assert!(
        rig.log().contains("DriverParameters.Region"),
        "{}",
        rig.log()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_pair_that_somebody_deletes_is_imported_again() {
    let rig = Rig::start(|_| ()).await;
    let first = rig.submit(&container(1, 100));
    eventually("it ran", || rig.state(&first) == "Complete").await;
    let pairs = rig.ec2.key_pairs();
    assert_eq!(pairs.len(), 1);
    rig.ec2.delete_key_pair(&pairs[0]);
    let more = rig.submit_many(2, &container(8, 100));
    rig.all_in_state(&more, "Complete").await;
    rig.all_is_done().await;
    assert_eq!(rig.ec2.key_pairs(), pairs);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_again_and_again_in_the_middle_of_lost_creates_it_leaves_nothing_behind() {
    let mut rig = Rig::start(|order| {
        order.lab.seed = 3;
        order.ec2.lost_rate = 0.3;
        order.ec2.late_rate = 0.3;
    })
    .await;
    for round in 1..=4 {
        let made = rig.judge().instances_created;
        rig.submit_many(2, &container(8, 800));
        eventually("another instance was made", || {
            rig.judge().instances_created > made || rig.judge().complete == 2 * round
        })
        .await;
        rig.kill_and_start_again().await;
    }
    let report = rig.all_is_done().await;
    assert_eq!(report.complete, 8);
    eventually("what was late has come and gone", || {
        rig.ec2.n_late() == 0 && rig.living().is_empty()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_type_whose_instances_die_while_they_are_launched_is_held_and_others_run() {
    let words = "You have reached the limit on your volumes";
    let code = "Client.VolumeLimitExceeded";
    let rig = Rig::start(|order| {
        order.ec2.dying = [(
            "lab.8".to_owned(),
            (
                "Server.InternalError".to_owned(),
                "Internal error".to_owned(),
            ),
        )]
        .into();
    })
    .await;
    let doomed = rig.submit(&container(8, 100));
    let holds = || rig.management("GET", "/metrics");
    eventually("the type is held", || {
        let metrics = holds();
        let mut lines = metrics.lines();
        lines.any(|line| {
            line.starts_with("arvados_dispatchcloud_create_holds{instance_type=\"type8\"")
                && line.ends_with(" 1")
        })
    })
    .await;
    assert!(holds().contains(
        r#"arvados_dispatchcloud_instances_died{instance_type="type8",cause="launch failure"}"#
    ));
    let small = rig.submit(&container(1, 100));
    eventually("another type runs", || rig.state(&small) == "Complete").await;
    assert_ne!(rig.state(&doomed), "Complete");

    // A limit of the account holds all, until it is lifted.
    rig.ec2.set(|settings| {
        let limit = (code.to_owned(), words.to_owned());
        settings.dying = [("lab.3".to_owned(), limit)].into();
    });
    let next = rig.submit(&container(3, 100));
    eventually("nothing is created for now", || {
        holds()
            .contains(r#"arvados_dispatchcloud_create_holds{instance_type="any",cause="quota"} 1"#)
    })
    .await;
    assert!(rig.log().contains(words));
    rig.ec2.set(|settings| settings.dying.clear());
    rig.all_in_state(&[doomed, next], "Complete").await;
    rig.all_is_done().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_daemon_that_finds_nobody_at_the_endpoint_comes_up_says_so_and_creates_nothing() {
    let rig = Rig::start(|order| order.endpoint = Some("http://127.0.0.1:9".to_owned())).await;
    let uuid = rig.submit(&container(1, 100));
    eventually("health says that the cloud does not list", || {
        rig.management("GET", "/_health/ping").contains("ERROR")
    })
    .await;
    assert!(rig.log().contains("the cloud cannot list our instances"));
    assert_eq!(rig.state(&uuid), "Queued", "nothing is locked for nothing");
    assert!(rig.ec2.calls().is_empty());
}
