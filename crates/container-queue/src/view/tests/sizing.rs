//! Reading mounts, choosing types, cancelling what can never run.

use std::{collections::BTreeMap, sync::Arc};

use dispatch_model::ContainerId;
use expect_test::expect;

use super::{
    START, check_on,
    script::{Script, settings},
};

#[test]
fn what_can_never_run_is_cancelled_with_one_call_and_the_reason() {
    check_on(
        "",
        "
        20 poll c1:Queued:5:vcpus=64 c2:Queued:5
        30 mounts c1=0 c2=0
        31 show
        40 cancelled c1 Cancelled 0 -
        41 forget c1
        ",
        expect![[r#"
            20 poll c1:Queued:5:vcpus=64 c2:Queued:5
              -> mounts of [c1, c2]
              .. polled 2 rows in 19 ms
              .. c1 appeared Queued
              .. c2 appeared Queued
            30 mounts c1=0 c2=0
              -> cancel c1 {"error":"no instance type of this cluster can run this container: it needs 64 VCPUs, and the most that a type here has is 8 (big)"}
              .. c1 impossible: no instance type of this cluster can run this container: it needs 64 VCPUs, and the most that a type here has is 8 (big)
            31 show
              listed at Some(0.001s)
              c1 Queued 5 [] busy as of 0.001s
              c2 Queued 5 [small] as of 0.001s
              again at Some(10.020s)
            40 cancelled c1 Cancelled 0 -
              .. c1 Queued -> Cancelled
            41 forget c1
              .. c1 left: Forgotten
        "#]],
    );
}

#[test]
fn a_container_gets_the_image_that_it_names_if_that_is_allowed_and_otherwise_the_clusters() {
    let mut settings = settings();
    let types: Vec<_> = settings.types.values().cloned().collect();
    for it in types {
        for (name, id) in [("rocky", "ami-9"), ("old", "ami-7")] {
            let it = it.with_image(name, id);
            settings.types.insert(it.name.clone(), Arc::new(it));
        }
    }
    let mut script = Script::with(settings);
    script.run(START);
    let shown = script.run(
        "
        20 poll a:Queued:5:image=rocky b:Queued:5:image=ami-7 c:Queued:5:image=ami-1 d:Queued:5 e:Queued:5:image=rocky:vcpus=9
        30 mounts a=0 b=0 c=0 d=0 e=0
        31 show
        10030 tick
        10040 poll c:Queued:5:image=ami-1
        ",
    );
    expect![[r#"
        20 poll a:Queued:5:image=rocky b:Queued:5:image=ami-7 c:Queued:5:image=ami-1 d:Queued:5 e:Queued:5:image=rocky:vcpus=9
          -> mounts of [a, b, c, d, e]
          .. polled 5 rows in 19 ms
          .. a appeared Queued
          .. b appeared Queued
          .. c appeared Queued
          .. c image: The container asks for the VM image "ami-1", which this cluster does not offer (it offers old, rocky): it gets the cluster's own.
          .. d appeared Queued
          .. e appeared Queued
        30 mounts a=0 b=0 c=0 d=0 e=0
          -> cancel e {"error":"no instance type of this cluster can run this container: it needs 9 VCPUs, and the most that a type here has is 8 (big@rocky)"}
          .. e impossible: no instance type of this cluster can run this container: it needs 9 VCPUs, and the most that a type here has is 8 (big@rocky)
        31 show
          listed at Some(0.001s)
          a Queued 5 [small@rocky] as of 0.001s
          b Queued 5 [small@old] as of 0.001s
          c Queued 5 [small] as of 0.001s
          d Queued 5 [small] as of 0.001s
          e Queued 5 [] busy as of 0.001s
          again at Some(10.020s)
        10030 tick
          -> poll for t1, known [a, b, c, d, e], 100 wanted
        10040 poll c:Queued:5:image=ami-1
          .. polled 1 rows in 10 ms
    "#]].assert_eq(&shown);
    check_on(
        "",
        "20 poll c:Queued:5:image=ami-1\n30 mounts c=0",
        expect![[r#"
            20 poll c:Queued:5:image=ami-1
              -> mounts of [c]
              .. polled 1 rows in 19 ms
              .. c appeared Queued
              .. c image: The container asks for the VM image "ami-1", which this cluster does not offer (it offers none to choose from): it gets the cluster's own.
            30 mounts c=0
        "#]],
    );
}

#[test]
fn a_cancellation_that_fails_is_tried_again_after_a_pause() {
    check_on(
        "20 poll c1:Queued:5:vcpus=64",
        "
        30 mounts c1=0
        40 cancelled c1 !503
        41 show
        1040 tick
        1050 cancelled c1 !timeout
        3050 tick
        3060 read c1 Queued 5 -
        3070 cancelled c1 Cancelled 0 -
        3071 show
        ",
        expect![[r#"
            30 mounts c1=0
              -> cancel c1 {"error":"no instance type of this cluster can run this container: it needs 64 VCPUs, and the most that a type here has is 8 (big)"}
              .. c1 impossible: no instance type of this cluster can run this container: it needs 64 VCPUs, and the most that a type here has is 8 (big)
            40 cancelled c1 !503
              .. cancel c1 failed: 503
            41 show
              listed at Some(0.001s)
              c1 Queued 5 [] busy as of 0.001s
              again at Some(1.040s)
            1040 tick
              -> cancel c1 {"error":"no instance type of this cluster can run this container: it needs 64 VCPUs, and the most that a type here has is 8 (big)"}
            1050 cancelled c1 !timeout
              .. cancel c1 failed: timeout
            3050 tick
              -> read c1
            3060 read c1 Queued 5 -
              -> cancel c1 {"error":"no instance type of this cluster can run this container: it needs 64 VCPUs, and the most that a type here has is 8 (big)"}
            3070 cancelled c1 Cancelled 0 -
              .. c1 Queued -> Cancelled
            3071 show
              listed at Some(0.001s)
              c1 Cancelled 0 [] as of 3.060s
              again at Some(10.020s)
        "#]],
    );
}

#[test]
fn a_locked_container_that_can_never_run_is_looked_at_before_it_is_cancelled() {
    check_on(
        "20 poll c1:Locked:5:t1:vcpus=64 c2:Locked:5:t1:vcpus=64",
        "
        30 mounts c1=0 c2=0
        40 read c1 Locked 5 t1
        41 read c2 Running 5 t1
        50 cancelled c1 Cancelled 0 -
        51 show
        ",
        expect![[r#"
            30 mounts c1=0 c2=0
              -> read c1
              -> read c2
              .. c1 impossible: no instance type of this cluster can run this container: it needs 64 VCPUs, and the most that a type here has is 8 (big)
              .. c2 impossible: no instance type of this cluster can run this container: it needs 64 VCPUs, and the most that a type here has is 8 (big)
            40 read c1 Locked 5 t1
              -> cancel c1 {"error":"no instance type of this cluster can run this container: it needs 64 VCPUs, and the most that a type here has is 8 (big)"}
            41 read c2 Running 5 t1
              .. c2 Locked -> Running
            50 cancelled c1 Cancelled 0 -
              .. c1 Locked -> Cancelled
            51 show
              listed at Some(0.001s)
              c1 Cancelled 0 [] as of 0.040s
              c2 Running 5 [] as of 0.030s
              again at Some(10.020s)
        "#]],
    );
}

#[test]
fn a_running_container_that_fits_no_type_any_more_is_kept() {
    check_on(
        "",
        "
        20 poll c1:Running:5:t1:vcpus=64
        30 mounts c1=0
        31 show
        10020 tick
        10030 poll c1:Queued:5:vcpus=64
        ",
        expect![[r#"
            20 poll c1:Running:5:t1:vcpus=64
              -> mounts of [c1]
              .. polled 1 rows in 19 ms
              .. c1 appeared Running
            30 mounts c1=0
              .. c1 impossible: no instance type of this cluster can run this container: it needs 64 VCPUs, and the most that a type here has is 8 (big)
            31 show
              listed at Some(0.001s)
              c1 Running 5 [] as of 0.001s
              again at Some(10.020s)
            10020 tick
              -> poll for t1, known [c1], 100 wanted
            10030 poll c1:Queued:5:vcpus=64
              -> cancel c1 {"error":"no instance type of this cluster can run this container: it needs 64 VCPUs, and the most that a type here has is 8 (big)"}
              .. polled 1 rows in 10 ms
              .. c1 Running -> Queued
        "#]],
    );
}

#[test]
fn a_container_on_hold_is_not_cancelled_until_somebody_wants_it() {
    check_on(
        "20 poll c1:Queued:5:vcpus=64\n 21 refresh c1\n 22 read c1 Queued 0 -",
        "
        30 mounts c1=0
        31 show
        10020 tick
        10030 poll c1:Queued:7:vcpus=64
        ",
        expect![[r#"
            30 mounts c1=0
              .. c1 impossible: no instance type of this cluster can run this container: it needs 64 VCPUs, and the most that a type here has is 8 (big)
            31 show
              listed at Some(0.001s)
              c1 Queued 0 [] as of 0.021s
              again at Some(10.020s)
            10020 tick
              -> poll for t1, known [c1], 100 wanted
            10030 poll c1:Queued:7:vcpus=64
              -> cancel c1 {"error":"no instance type of this cluster can run this container: it needs 64 VCPUs, and the most that a type here has is 8 (big)"}
              .. polled 1 rows in 10 ms
        "#]],
    );
}

#[test]
fn mounts_of_an_unexpected_shape_end_in_a_cancellation_that_says_so() {
    check_on(
        "20 poll c1:Queued:5 c2:Queued:5",
        "30 mounts c1=bad c2=0\n 31 show",
        expect![[r#"
            30 mounts c1=bad c2=0
              -> cancel c1 {"error":"this container cannot be run: its mounts cannot be understood (mounts.stdin: a list where an object belongs)"}
              .. c1 impossible: this container cannot be run: its mounts cannot be understood (mounts.stdin: a list where an object belongs)
            31 show
              listed at Some(0.001s)
              c1 Queued 5 [] of unknown needs busy as of 0.001s
              c2 Queued 5 [small] as of 0.001s
              again at Some(10.020s)
        "#]],
    );
}

#[test]
fn scratch_beyond_every_type_is_explained() {
    check_on(
        "20 poll c1:Queued:5",
        "30 mounts c1=999000000000",
        expect![[r#"
            30 mounts c1=999000000000
              -> cancel c1 {"error":"no instance type of this cluster can run this container: it needs 930.4 GiB of scratch, and the most that a type here has is 100 GiB (small)"}
              .. c1 impossible: no instance type of this cluster can run this container: it needs 930.4 GiB of scratch, and the most that a type here has is 100 GiB (small)
        "#]],
    );
}

#[test]
fn no_types_at_all_cancel_nothing_and_are_named() {
    let mut no_types = settings();
    no_types.types = BTreeMap::new();
    let mut run = Script::with(no_types);
    let _ = run.run(START);
    expect![[r#"
        20 poll c1:Queued:5
          -> mounts of [c1]
          .. polled 1 rows in 19 ms
          .. c1 appeared Queued
        30 mounts c1=0
        31 show
          listed at Some(0.001s)
          c1 Queued 5 [] as of 0.001s
            problem: no instance types are configured on this cluster (InstanceTypes is empty)
          again at Some(10.020s)
    "#]]
    .assert_eq(&run.run("20 poll c1:Queued:5\n 30 mounts c1=0\n 31 show"));
}

#[test]
fn containers_of_one_shape_share_their_sizing() {
    let mut run = Script::new();
    let _ = run.run(START);
    let _ = run.run(
        "
        20 poll c1:Queued:5 c2:Queued:6:sup c3:Queued:5:vcpus=2 c4:Queued:5:spot
        30 mounts c1=10 c2=10 c3=10 c4=10
        ",
    );
    let entries = &run.view.snapshot().entries;
    let sizing = |id: &str| Arc::as_ptr(&entries[&ContainerId::from(id)].sizing);
    assert_eq!(sizing("c1"), sizing("c2"));
    assert_ne!(sizing("c1"), sizing("c3"));
    assert_ne!(sizing("c1"), sizing("c4"));
}

#[test]
fn an_unchanged_container_keeps_its_entry() {
    let mut run = Script::new();
    let _ = run.run(START);
    let _ = run.run("20 poll c1:Queued:5\n 30 mounts c1=0\n 10020 tick");
    let before = Arc::clone(&run.view.snapshot().entries[&ContainerId::from("c1")].sizing);
    let _ = run.run("10030 poll c1:Queued:6");
    let entry = &run.view.snapshot().entries[&ContainerId::from("c1")];
    assert_eq!(entry.priority, 6);
    assert!(Arc::ptr_eq(&before, &entry.sizing));
}

#[test]
fn mounts_are_read_in_batches_side_by_side_the_most_urgent_first() {
    let mut run = Script::new();
    let _ = run.run(START);
    let rows: Vec<String> = (100..1000).map(|i| format!("c{i}:Queued:{i}")).collect();
    let sent = run.run(&format!("20 poll {} x:Running:1:t1", rows.join(" ")));
    let batches: Vec<&str> = sent
        .lines()
        .filter_map(|line| line.strip_prefix("  -> mounts of "))
        .collect();
    assert_eq!(batches.len(), 8);
    assert!(batches.iter().all(|batch| batch.split(',').count() == 50));
    assert!(batches[0].starts_with("[x, c999, c998"), "{}", batches[0]);
}

#[test]
fn what_is_missing_from_a_cut_answer_is_asked_for_again() {
    check_on(
        "20 poll c1:Queued:5 c2:Queued:5 c3:Queued:5",
        "
        30 mounts c1=0 ask=c2 ask=c3
        40 mounts c2=0 ask=c3
        50 mounts ask=c3
        51 show
        5050 tick
        ",
        expect![[r#"
            30 mounts c1=0 ask=c2 ask=c3
              -> mounts of [c2, c3]
            40 mounts c2=0 ask=c3
              -> mounts of [c3]
            50 mounts ask=c3
            51 show
              listed at Some(0.001s)
              c1 Queued 5 [small] as of 0.001s
              c2 Queued 5 [small] as of 0.001s
              again at Some(5.050s)
            5050 tick
              -> mounts of [c3]
        "#]],
    );
}

#[test]
fn a_batch_that_fails_is_halved_until_the_culprit_is_alone() {
    check_on(
        "20 poll c1:Queued:9 c2:Queued:8 c3:Queued:7 c4:Queued:6",
        "
        30 mounts ask=c1 ask=c2 ask=c3 ask=c4 !500
        40 mounts c1=0 c2=0
        50 mounts ask=c3 ask=c4 !500
        60 mounts c4=0
        70 mounts ask=c3 !500
        71 show
        1070 tick
        1080 mounts ask=c3 !500
        1081 show
        ",
        expect![[r#"
            30 mounts ask=c1 ask=c2 ask=c3 ask=c4 !500
              -> mounts of [c1, c2]
              -> mounts of [c3, c4]
              .. mounts of [c1, c2, c3, c4] unread: 500
            40 mounts c1=0 c2=0
            50 mounts ask=c3 ask=c4 !500
              -> mounts of [c3]
              -> mounts of [c4]
              .. mounts of [c3, c4] unread: 500
            60 mounts c4=0
            70 mounts ask=c3 !500
              .. mounts of [c3] unread: 500
            71 show
              listed at Some(0.001s)
              c1 Queued 9 [small] as of 0.001s
              c2 Queued 8 [small] as of 0.001s
              c3 Queued 7 [] as of 0.001s
                problem: the container's mounts cannot be read, which is tried again: 500
              c4 Queued 6 [small] as of 0.001s
              again at Some(1.070s)
            1070 tick
              -> mounts of [c3]
            1080 mounts ask=c3 !500
              .. mounts of [c3] unread: 500
            1081 show
              listed at Some(0.001s)
              c1 Queued 9 [small] as of 0.001s
              c2 Queued 8 [small] as of 0.001s
              c3 Queued 7 [] as of 0.001s
                problem: the container's mounts cannot be read, which is tried again: 500
              c4 Queued 6 [small] as of 0.001s
              again at Some(3.080s)
        "#]],
    );
}

#[test]
fn an_overloaded_api_is_left_alone_for_a_while() {
    check_on(
        "20 poll c1:Queued:9 c2:Queued:8",
        "
        30 mounts ask=c1 ask=c2 !503
        31 show
        1030 tick
        1040 mounts ask=c1 ask=c2 !notsent
        1041 show
        ",
        expect![[r#"
            30 mounts ask=c1 ask=c2 !503
              .. mounts of [c1, c2] unread: 503
            31 show
              listed at Some(0.001s)
              again at Some(1.030s)
            1030 tick
              -> mounts of [c1, c2]
            1040 mounts ask=c1 ask=c2 !notsent
              .. mounts of [c1, c2] unread: notsent
            1041 show
              listed at Some(0.001s)
              again at Some(2.040s)
        "#]],
    );
}

#[test]
fn a_known_culprit_does_not_hold_up_others() {
    check_on(
        "
        20 poll c1:Queued:9
        30 mounts ask=c1 !500
        1030 tick
        1040 mounts ask=c1 !500
        3040 tick
        3050 mounts ask=c1 !500
        7050 tick
        7060 mounts ask=c1 !500
        10020 tick
        ",
        "
        10030 poll c1:Queued:9 c2:Queued:8
        10040 mounts c2=0
        10041 show
        ",
        expect![[r#"
            10030 poll c1:Queued:9 c2:Queued:8
              -> mounts of [c2]
              .. polled 2 rows in 10 ms
              .. c2 appeared Queued
            10040 mounts c2=0
            10041 show
              listed at Some(10.020s)
              c1 Queued 9 [] as of 10.020s
                problem: the container's mounts cannot be read, which is tried again: 500
              c2 Queued 8 [small] as of 10.020s
              again at Some(15.060s)
        "#]],
    );
}

#[test]
fn calls_that_fail_side_by_side_cost_one_pause_and_no_pause_is_long() {
    let ids: Vec<String> = (0..400).map(|n| format!("c{n:03}")).collect();
    let poll: Vec<String> = ids.iter().map(|id| format!("{id}:Queued:5")).collect();
    let mut run = Script::new();
    let _ = run.run(START);
    let mut asked = run.run(&format!("20 poll {}", poll.join(" ")));
    let mut now = 30;
    let mut pauses = vec![];
    for _ in 0..8 {
        // Whatever is asked for fails, until nothing more is.
        loop {
            let calls: Vec<String> = asked
                .lines()
                .filter_map(|line| line.trim().strip_prefix("-> mounts of ["))
                .map(|ids| ids.trim_end_matches(']').replace(", ", " ask="))
                .collect();
            if calls.is_empty() {
                break;
            }
            let failing = calls
                .iter()
                .map(|ids| format!("{now} mounts ask={ids} !502"));
            asked = run.run(&failing.collect::<Vec<_>>().join("\n"));
        }
        let shown = run.run(&format!("{now} show"));
        let again = shown.rsplit("again at Some(").next().unwrap_or_default();
        let again: f64 = again
            .split('s')
            .next()
            .unwrap_or_default()
            .parse()
            .expect("a time");
        let at = (again * 1000.0).round() as u64;
        pauses.push(at - now);
        now = at;
        asked = run.run(&format!("{now} tick"));
    }
    // A poll falls into the fourth.
    assert_eq!(pauses[..3], [1000, 2000, 4000]);
    assert_eq!(pauses.iter().max(), Some(&15_000), "{pauses:?}");
}
