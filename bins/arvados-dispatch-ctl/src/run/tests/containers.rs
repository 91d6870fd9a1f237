//! Containers, against the Go dispatcher's recorded answers.

use expect_test::expect;

use super::{
    Exit, call,
    stand_in::{Script, StandIn, recorded},
};

const UUID: &str = "zzzzz-dz642-000000000000001";

async fn with_containers(request: &str) -> StandIn {
    let list = recorded(request);
    let items: serde_json::Value = serde_json::from_str(&list).unwrap();
    let one = items["items"].as_array().unwrap();
    let one = one
        .iter()
        .find(|item| item["container"]["uuid"] == UUID)
        .unwrap();
    StandIn::new(Script::from([
        ("GET containers".into(), (200, list.clone())),
        (
            format!("GET container?container_uuid={UUID}"),
            (200, one.to_string()),
        ),
        (
            format!("POST containers/kill container_uuid={UUID}&reason=why+not"),
            (200, String::new()),
        ),
    ]))
    .await
}

#[tokio::test]
async fn people_see_what_waits_and_why() {
    let stand_in = with_containers("containers while waiting").await;
    let done = call(&stand_in, "containers list").await;
    assert_eq!((done.exit, done.stderr.as_str()), (Exit::Done, ""));
    expect![[r#"
        CONTAINER                    STATE    NEEDS                                  TYPE      STATUS
        zzzzz-dz642-000000000000001  Running  1 VCPU, 1.6 GiB RAM, 0.9 GiB scratch   m5.small
        zzzzz-dz642-000000000000003  Running  2 VCPUs, 1.6 GiB RAM, 0.9 GiB scratch  m5.spot
        zzzzz-dz642-000000000000005  Locked   1 VCPU, 1.6 GiB RAM, 0.9 GiB scratch   m5.small  Waiting for a small instance to boot and be ready to accept work.
        zzzzz-dz642-000000000000002  Locked   1 VCPU, 1.6 GiB RAM, 0.9 GiB scratch   m5.small  Waiting in queue at position 1.  Cluster is at capacity and cannot start any new instances right now.

        4 containers
    "#]].assert_eq(&done.stdout);
}

#[tokio::test]
async fn scripts_get_one_row_for_each_container() {
    let stand_in = with_containers("containers while running").await;
    let done = call(&stand_in, "containers list --tsv --header").await;
    assert_eq!((done.exit, done.stderr.as_str()), (Exit::Done, ""));
    let head: Vec<_> = done.stdout.lines().take(2).collect();
    expect![[r#"
        container	state	priority	vcpus	ram	scratch	gpus	instance-types	first-seen	status
        zzzzz-dz642-000000000000005	Running	900	1	1737324867	1000000000	0	m5.small	2026-11-22T11:31:36.258276306Z	-"#]].assert_eq(&head.join("\n"));
}

#[tokio::test]
async fn one_container_is_shown_in_full_and_a_stranger_is_named() {
    let stand_in = with_containers("containers while waiting").await;
    let done = call(
        &stand_in,
        &format!("containers show {UUID} zzzzz-dz642-xxxxxxxxxxxxxxx"),
    )
    .await;
    assert_eq!(done.exit, Exit::Failed);
    let expected = format!(
        "zzzzz-dz642-xxxxxxxxxxxxxxx: 404 Not Found: not found ({})\n",
        stand_in.host()
    );
    assert_eq!(done.stderr, expected);
    expect![[r#"
        container:  zzzzz-dz642-000000000000001
        state:      Running
        status:     -
        priority:   500
        created:    2026-11-22T11:31:25.90496455Z
        first seen: 2026-11-22T11:31:25.984898524Z
        locked by:  -
        image:      d41d8cd98f00b204e9800998ecf8427e+0
        needs:      1 VCPU, 1.6 GiB RAM, 0.9 GiB scratch
        types:      m5.small
    "#]]
    .assert_eq(&done.stdout);

    let stranger = "containers show --json zzzzz-dz642-xxxxxxxxxxxxxxx";
    let done = call(&stand_in, stranger).await;
    assert_eq!((done.exit, done.stdout.as_str()), (Exit::Failed, ""));
}

#[tokio::test]
async fn a_kill_carries_its_reason() {
    let stand_in = with_containers("containers while running").await;
    let environment = super::Environment::default();
    let url = stand_in.url();
    let words = [
        "--url",
        &url,
        "--token",
        super::TOKEN,
        "containers",
        "kill",
        "--reason",
        "why not",
        UUID,
    ];
    let done = super::call_in(&environment, &words).await;
    assert_eq!(done.exit, Exit::Done);
    assert_eq!(
        done.stderr,
        format!("{UUID}: 200 OK ({})\n", stand_in.host())
    );
    assert_eq!(
        stand_in.asked().await,
        [format!(
            "POST containers/kill container_uuid={UUID}&reason=why+not"
        )]
    );
}
