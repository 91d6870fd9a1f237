//! What lists, watches and locks tell of runners.

use expect_test::expect;

use super::check;

#[test]
fn other_clusters_runners_are_left_alone() {
    check(
        "
        0    listed i-1:small:10.0.0.1
        0    probed w1 ok x1
        1    show
        10   probed w1 ok x1
        ",
        expect![[r#"
            0.000s listed i-1:small:10.0.0.1
                w1 adopted, run
                surveyed 1
              > attach w1 10.0.0.1 without secret
              > probe w1 boot deploy list:Always
            0.000s probed w1 ok x1
                w1 x1 is another cluster's
                w1 boot Success
                w1 unknown -> idle: passed its probes
            1.000s show
                w1 i-1 small idle run takes-work known
                limit Some(8)
            10.000s probed w1 ok x1
        "#]],
    );
}

#[test]
fn a_lock_that_outlives_its_runner_spoils_the_instance() {
    check(
        "
        0    listed i-1:small:10.0.0.1
        0    probed w1 ok c1
        10   tick
        11   probed w1 ok stale=c1 c2
        11   show
        16.1 probed w1 ok stale=c1 c2
        20   ended w1 c2
        20.1 probed w1 ok stale=c1
        ",
        expect![[r#"
            0.000s listed i-1:small:10.0.0.1
                w1 adopted, run
                surveyed 1
              > attach w1 10.0.0.1 without secret
              > probe w1 boot deploy list:Always
            0.000s probed w1 ok c1
                w1 c1 alive, found
                w1 boot Success
                w1 unknown -> running: passed its probes
              > watch w1 [c1]
            10.397s tick
              > probe w1 list:Always
            11.000s probed w1 ok stale=c1 c2
                w1 c2 alive, found
                w1 c1 ended (Unlisted)
              > watch w1 [c2]
            11.000s show
                w1 i-1 small running run takes-work known
                c1 on w1: Exited { at: 11.000s }
                c2 on w1: Alive
                limit Some(8)
            16.000s tick
              > probe w1 list:Always
            16.100s probed w1 ok stale=c1 c2
                w1 broken: the lock of c1 is held although its runner has ended
                w1 run => drain: the lock of c1 is held although its runner has ended
              > tag w1 {"PIdleBehavior": "drain"}
            20.000s ended w1 c2
              > probe w1 list:Always
            20.100s probed w1 ok stale=c1
                w1 c2 ended (Unlisted)
                w1 running -> idle: its last container has ended
                w1 idle -> shutdown: idle and draining
              > destroy w1 i-1
        "#]],
    );
}

#[test]
fn a_stale_lock_that_goes_away_in_time_is_forgiven() {
    check(
        "
        0    listed i-1:small:10.0.0.1
        0    probed w1 ok stale=c1
        5.1  probed w1 ok
        16   probed w1 ok stale=c1
        ",
        expect![[r#"
            0.000s listed i-1:small:10.0.0.1
                w1 adopted, run
                surveyed 1
              > attach w1 10.0.0.1 without secret
              > probe w1 boot deploy list:Always
            0.000s probed w1 ok stale=c1
                w1 boot Success
                w1 unknown -> idle: passed its probes
            5.000s tick
              > probe w1 list:Always
            5.100s probed w1 ok
            15.235s tick
              > probe w1 list:Always
            16.000s probed w1 ok stale=c1
        "#]],
    );
}

#[test]
fn a_lost_watch_is_set_up_again_and_a_list_tells_what_it_missed() {
    check(
        "
        0    listed i-1:small:10.0.0.1
        0    probed w1 ok c1
        5    watch-lost w1
        5.1  probed w1 ok c1
        6    watch-lost w1
        8    watch-lost w1
        15   tick
        ",
        expect![[r#"
            0.000s listed i-1:small:10.0.0.1
                w1 adopted, run
                surveyed 1
              > attach w1 10.0.0.1 without secret
              > probe w1 boot deploy list:Always
            0.000s probed w1 ok c1
                w1 c1 alive, found
                w1 boot Success
                w1 unknown -> running: passed its probes
              > watch w1 [c1]
            5.000s watch-lost w1
              > probe w1 list:Always
            5.100s probed w1 ok c1
            6.000s tick
              > watch w1 [c1]
            6.000s watch-lost w1
            8.000s tick
              > watch w1 [c1]
            8.000s watch-lost w1
            12.000s tick
              > watch w1 [c1]
        "#]],
    );
}

#[test]
fn a_vanished_worker_reports_its_container_lost() {
    check(
        "
        0    listed i-1:small:10.0.0.1
        0    answers w1 ok c1
        0    probed w1 ok c1
        58   start w1 c2
        60   listed
        60   show
        61   kill c2
        61   forget c1
        61   show
        ",
        expect![[r#"
            0.000s listed i-1:small:10.0.0.1
                w1 adopted, run
                surveyed 1
              > attach w1 10.0.0.1 without secret
              > probe w1 boot deploy list:Always
            0.000s probed w1 ok c1
                w1 c1 alive, found
                w1 boot Success
                w1 unknown -> running: passed its probes
              > watch w1 [c1]
            58.000s start w1 c2
              > start w1 c2
            60.000s tick
              > list
            60.000s listed
                w1 c1 ended (InstanceGone)
                w1 c2 ended (InstanceGone)
                w1 gone, was running, shutdown took None
              > detach w1
            60.000s show
                c1 on w1: Exited { at: 60.000s }
                  the container's instance i-1 (small) is gone from the cloud's list, and the dispatcher has not ended it
                c2 on w1: Exited { at: 60.000s }
                  the container's instance i-1 (small) is gone from the cloud's list, and the dispatcher has not ended it
                limit Some(8)
            61.000s kill c2
            61.000s forget c1
            61.000s show
                limit Some(8)
        "#]],
    );
}
