//! Idle, drained, silent, killed, gone.

use expect_test::expect;

use super::{check, check_with, script::Script};

#[test]
fn what_the_last_look_at_an_idle_instance_finds_keeps_it() {
    // The last start of a dead daemon has arrived meanwhile (invariant 1).
    check_with(
        Script::with(|settings| settings.probe_interval = std::time::Duration::from_secs(500)),
        "
        0    listed i-1:small:10.0.0.1
        1    probed w1 ok
        61   tick
        61.1 probed w1 ok c1
        61.1 show
        ",
        expect![[r#"
            0.000s listed i-1:small:10.0.0.1
                w1 adopted, run
                surveyed 1
              > attach w1 10.0.0.1 without secret
              > probe w1 boot deploy list:Always
            1.000s probed w1 ok
                w1 boot Success
                w1 unknown -> idle: passed its probes
            60.000s tick
              > list
            61.000s tick
              > probe w1 list:Always
            61.100s probed w1 ok c1
                w1 c1 alive, found
                w1 idle -> running: has containers
              > watch w1 [c1]
            61.100s show
                w1 i-1 small running run takes-work known
                c1 on w1: Alive
                limit Some(8)
        "#]],
    );
}

#[test]
fn a_last_look_that_fails_is_repeated_at_the_pace_of_all_failing_probes() {
    check_with(
        Script::with(|settings| {
            settings.probe_interval = std::time::Duration::from_secs(500);
            settings.idle_timeout = std::time::Duration::from_secs(20);
        }),
        "
        0    listed i-1:small:10.0.0.1
        1    probed w1 ok
        21   tick
        21.1 probed w1 list
        22.2 probed w1 list
        24.3 probed w1 ok
        ",
        expect![[r#"
            0.000s listed i-1:small:10.0.0.1
                w1 adopted, run
                surveyed 1
              > attach w1 10.0.0.1 without secret
              > probe w1 boot deploy list:Always
            1.000s probed w1 ok
                w1 boot Success
                w1 unknown -> idle: passed its probes
            21.000s tick
              > probe w1 list:Always
            21.100s probed w1 list
                w1 list of runners failed: exit 1 (!)
            22.100s tick
              > probe w1 list:Always
            22.200s probed w1 list
                w1 list of runners failed: exit 1 (!)
            24.200s tick
              > probe w1 list:Always
            24.300s probed w1 ok
                w1 idle -> shutdown: idle for TimeoutIdle
              > destroy w1 i-1
        "#]],
    );
}

#[test]
fn an_idle_instance_goes_after_its_time_and_not_before() {
    check_with(
        Script::with(|settings| settings.probe_interval = std::time::Duration::from_secs(500)),
        "
        0    listed i-1:small:10.0.0.1
        1    probed w1 ok c1
        2    ended w1 c1
        2.5  probed w1 ok
        60   listed i-1:small:10.0.0.1
        61   tick
        62.6 probed w1 ok
        63   destroyed w1
        64   listed i-1:small:10.0.0.1
        66   listed
        ",
        expect![[r#"
            0.000s listed i-1:small:10.0.0.1
                w1 adopted, run
                surveyed 1
              > attach w1 10.0.0.1 without secret
              > probe w1 boot deploy list:Always
            1.000s probed w1 ok c1
                w1 c1 alive, found
                w1 boot Success
                w1 unknown -> running: passed its probes
              > watch w1 [c1]
            2.000s ended w1 c1
              > probe w1 list:Always
            2.500s probed w1 ok
                w1 c1 ended (Unlisted)
                w1 running -> idle: its last container has ended
              > watch w1 []
            60.000s tick
              > list
            60.000s listed i-1:small:10.0.0.1
            62.500s tick
              > probe w1 list:Always
            62.600s probed w1 ok
                w1 idle -> shutdown: idle for TimeoutIdle
              > destroy w1 i-1
            63.000s destroyed w1
            64.000s tick
              > list
            64.000s listed i-1:small:10.0.0.1
            66.000s tick
              > list
            66.000s listed
                w1 gone, was shutdown, shutdown took Some(3.4s)
              > detach w1
        "#]],
    );
}

#[test]
fn a_destroy_that_was_lost_is_repeated_when_a_list_still_shows_the_instance() {
    check(
        "
        0    listed i-1:small:10.0.0.1
        0    lists i-1:small:10.0.0.1
        0    kill-instance w1
        1    destroyed w1
        17   destroyed w1
        40   tick
        ",
        expect![[r#"
            0.000s listed i-1:small:10.0.0.1
                w1 adopted, run
                surveyed 1
              > attach w1 10.0.0.1 without secret
              > probe w1 boot deploy list:Always
            0.000s kill-instance w1
                w1 boot Aborted
                w1 unknown -> shutdown: test
              > destroy w1 i-1
            1.000s destroyed w1
            16.000s answer
              > destroy w1 i-1
            17.000s destroyed w1
            32.000s answer
              > destroy w1 i-1
        "#]],
    );
}

#[test]
fn a_destroy_that_is_not_answered_is_repeated_by_the_clock() {
    check(
        "
        0    listed i-1:small:10.0.0.1
        0    kill-instance w1
        36   tick
        ",
        expect![[r#"
            0.000s listed i-1:small:10.0.0.1
                w1 adopted, run
                surveyed 1
              > attach w1 10.0.0.1 without secret
              > probe w1 boot deploy list:Always
            0.000s kill-instance w1
                w1 boot Aborted
                w1 unknown -> shutdown: test
              > destroy w1 i-1
            35.000s tick
              > destroy w1 i-1
        "#]],
    );
}

#[test]
fn a_silent_instance_goes_only_after_a_full_attempt_that_began_after_its_time() {
    check_with(
        Script::with(|settings| settings.timing.command = std::time::Duration::from_secs(55)),
        "
        0    listed i-1:small:10.0.0.1
        0    probed w1 ok c1
        10.4 tick
        55   probed w1 no-connection
        59   probed w1 list
        60   tick
        61   probed w1 list
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
            55.000s probed w1 no-connection
                w1 connect failed: connection refused (!)
            56.000s tick
              > probe w1 list:Always
            59.000s probed w1 list
                w1 list of runners failed: exit 1 (!)
            60.000s tick
              > probe w1 list:Always
              > list
            61.000s probed w1 list
                w1 list of runners failed: exit 1 (!)
                w1 unresponsive for 61s, last Some((List, "exit 1"))
                w1 running -> shutdown: silent for TimeoutProbe
              > destroy w1 i-1
        "#]],
    );
}

#[test]
fn an_instance_that_answers_again_is_forgiven() {
    check(
        "
        0    listed i-1:small:10.0.0.1
        0    lists i-1:small:10.0.0.1
        0    answers w1 no-connection
        0    probed w1 ok c1
        59   answers w1 ok c1
        200  show
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
            10.397s answer
                w1 connect failed: connection refused (!)
            11.397s answer
                w1 connect failed: connection refused (!)
            13.397s answer
                w1 connect failed: connection refused (!)
            17.397s answer
                w1 connect failed: connection refused (!)
            25.397s answer
                w1 connect failed: connection refused (!)
            35.677s answer
                w1 connect failed: connection refused (!)
            45.823s answer
                w1 connect failed: connection refused (!)
            55.989s answer
                w1 connect failed: connection refused (!)
            200.000s show
                w1 i-1 small running run takes-work known
                c1 on w1: Alive
                limit Some(8)
        "#]],
    );
}

#[test]
fn a_fresh_instance_may_be_missing_from_lists_for_a_while() {
    check(
        "
        0    listed
        50   create small
        51   created w1 i-1 10.0.0.1
        51.5 answers w1 ok
        51.5 probed w1 ok
        60.1 listed
        65   hold w1
        66   tagged w1
        120  listed
        ",
        expect![[r#"
            0.000s listed
                surveyed 0
            50.000s create small
              > create w1 small
            51.000s created w1 i-1 10.0.0.1
                w1 created as i-1 in 1s
              > attach w1 10.0.0.1
              > probe w1 boot deploy list:IfBooted
            51.500s probed w1 ok
                w1 ssh up after 500ms
                w1 ready after 0ns
                w1 boot Success
                w1 booting -> idle: passed its probes
            60.000s tick
              > list
            60.100s listed
            65.000s hold w1
                w1 run => hold: asked for
              > tag w1 {"PIdleBehavior": "hold"}
            66.000s tagged w1
            120.000s tick
              > list
            120.000s listed
                w1 gone, was idle, shutdown took None
              > detach w1
        "#]],
    );
}

#[test]
fn an_instance_that_was_found_may_be_missing_from_the_next_lists_too() {
    check_with(
        Script::with(|settings| settings.sync_interval = std::time::Duration::from_secs(10)),
        "
        0    listed i-1:small:10.0.0.1 i-2:small:10.0.0.2
        0    answers w1 ok c1
        0    probed w1 ok c1
        0    answers w2 ok c2
        0    probed w2 ok c2
        10   listed
        11   show
        15   died i-2 taken-back
        20   listed i-1:small:10.0.0.1
        30   listed
        30   show
        ",
        expect![[r#"
            0.000s listed i-1:small:10.0.0.1 i-2:small:10.0.0.2
                w1 adopted, run
                w2 adopted, run
                surveyed 2
              > attach w1 10.0.0.1 without secret
              > probe w1 boot deploy list:Always
              > attach w2 10.0.0.2 without secret
              > probe w2 boot deploy list:Always
            0.000s probed w1 ok c1
                w1 c1 alive, found
                w1 boot Success
                w1 unknown -> running: passed its probes
              > watch w1 [c1]
            0.000s probed w2 ok c2
                w2 c2 alive, found
                w2 boot Success
                w2 unknown -> running: passed its probes
              > watch w2 [c2]
            10.000s tick
              > list
            10.000s listed
            11.000s show
                w1 i-1 small running run takes-work known
                w2 i-2 small running run takes-work known
                c1 on w1: Alive
                c2 on w2: Alive
                limit Some(8)
            15.000s died i-2 taken-back
                w2 died (spot interruption): Server.Reason: words
                w2 c2 ended (InstanceGone)
                w2 gone, was running, shutdown took None
              > detach w2
            20.000s tick
              > list
            20.000s listed i-1:small:10.0.0.1
            30.000s tick
              > list
            30.000s listed
                w1 c1 ended (InstanceGone)
                w1 gone, was running, shutdown took None
              > detach w1
            30.000s show
                c1 on w1: Exited { at: 30.000s }
                  the container's instance i-1 (small) is gone from the cloud's list, and the dispatcher has not ended it
                c2 on w2: Exited { at: 15.000s }
                  the container's instance i-2 (small) was a spot instance and the cloud took it back: Server.Reason: words
                limit Some(8)
        "#]],
    );
}

#[test]
fn a_fresh_instance_that_was_destroyed_is_gone_with_the_next_list() {
    check(
        "
        0    listed
        50   create small
        51   created w1 i-1 10.0.0.1
        60   listed i-1:small:10.0.0.1
        61   kill-instance w1
        61.5 destroyed w1
        62.5 listed
        ",
        expect![[r#"
            0.000s listed
                surveyed 0
            50.000s create small
              > create w1 small
            51.000s created w1 i-1 10.0.0.1
                w1 created as i-1 in 1s
              > attach w1 10.0.0.1
              > probe w1 boot deploy list:IfBooted
            60.000s tick
              > list
            60.000s listed i-1:small:10.0.0.1
            61.000s kill-instance w1
                w1 boot Aborted
                w1 booting -> shutdown: test
              > destroy w1 i-1
            61.500s destroyed w1
            62.500s tick
              > list
            62.500s listed
                w1 gone, was shutdown, shutdown took Some(1.5s)
              > detach w1
        "#]],
    );
}

#[test]
fn what_was_just_destroyed_may_linger_in_a_stale_list() {
    check_with(
        Script::with(|settings| settings.sync_interval = std::time::Duration::from_secs(10)),
        "
        0    listed i-1:small:10.0.0.1
        1    kill-instance w1
        1.5  destroyed w1
        2.5  listed
        4.5  tick
        12   listed i-1:small:10.0.0.1
        22   listed i-1:small:10.0.0.1
        32   listed i-1:small:10.0.0.1
        ",
        expect![[r#"
            0.000s listed i-1:small:10.0.0.1
                w1 adopted, run
                surveyed 1
              > attach w1 10.0.0.1 without secret
              > probe w1 boot deploy list:Always
            1.000s kill-instance w1
                w1 boot Aborted
                w1 unknown -> shutdown: test
              > destroy w1 i-1
            1.500s destroyed w1
            2.500s tick
              > list
            2.500s listed
                w1 gone, was shutdown, shutdown took Some(1.5s)
              > detach w1
            4.500s tick
              > list
            12.000s listed i-1:small:10.0.0.1
            14.500s tick
              > list
            22.000s listed i-1:small:10.0.0.1
            24.500s tick
              > list
            32.000s listed i-1:small:10.0.0.1
                w2 adopted, run
              > attach w2 10.0.0.1 without secret
              > probe w2 boot deploy list:Always
        "#]],
    );
}

#[test]
fn a_failing_list_changes_nothing_and_is_asked_for_again() {
    check(
        "
        0    list-fails
        1    list-fails
        1    create small
        3    listed i-1:small:10.0.0.1:behavior=hold
        3    answers w1 ok
        3    probed w1 ok
        63   list-fails rate=99
        99   tick
        99   show
        ",
        expect![[r#"
            0.000s list-fails
                list failed: transient
            1.000s tick
              > list
            1.000s list-fails
                list failed: transient
            1.000s create small
                create small refused: there is no list of instances yet
            3.000s tick
              > list
            3.000s listed i-1:small:10.0.0.1:behavior=hold
                w1 adopted, hold
                surveyed 1
              > attach w1 10.0.0.1 without secret
              > probe w1 boot deploy list:Always
            3.000s probed w1 ok
                w1 boot Success
                w1 unknown -> idle: passed its probes
            63.000s tick
              > list
            63.000s list-fails rate=99
                list failed: rate=99
            99.000s tick
              > list
            99.000s show
                w1 i-1 small idle hold known
                limit Some(8)
        "#]],
    );
}

#[test]
fn the_planner_can_let_only_free_instances_go() {
    check(
        "
        0    listed i-1:small:10.0.0.1 i-2:small:10.0.0.2 i-3:small:10.0.0.3:behavior=hold i-4:small:10.0.0.4
        0    probed w1 ok
        0    probed w2 ok c1
        0    probed w3 ok
        1    shutdown w1
        1    shutdown w2
        1    shutdown w3
        1    shutdown w4
        ",
        expect![[r#"
            0.000s listed i-1:small:10.0.0.1 i-2:small:10.0.0.2 i-3:small:10.0.0.3:behavior=hold i-4:small:10.0.0.4
                w1 adopted, run
                w2 adopted, run
                w3 adopted, hold
                w4 adopted, run
                surveyed 4
              > attach w1 10.0.0.1 without secret
              > probe w1 boot deploy list:Always
              > attach w2 10.0.0.2 without secret
              > probe w2 boot deploy list:Always
              > attach w3 10.0.0.3 without secret
              > probe w3 boot deploy list:Always
              > attach w4 10.0.0.4 without secret
              > probe w4 boot deploy list:Always
            0.000s probed w1 ok
                w1 boot Success
                w1 unknown -> idle: passed its probes
            0.000s probed w2 ok c1
                w2 c1 alive, found
                w2 boot Success
                w2 unknown -> running: passed its probes
              > watch w2 [c1]
            0.000s probed w3 ok
                w3 boot Success
                w3 unknown -> idle: passed its probes
            1.000s shutdown w1
                w1 idle -> shutdown: test
              > destroy w1 i-1
            1.000s shutdown w2
            1.000s shutdown w3
            1.000s shutdown w4
        "#]],
    );
}

#[test]
fn a_daemon_that_stops_repeats_no_destroy() {
    check(
        "
        0    listed i-1:small:10.0.0.1
        0    kill-instance w1
        1    destroy-fails w1
        2    stop
        40   tick
        ",
        expect![[r#"
            0.000s listed i-1:small:10.0.0.1
                w1 adopted, run
                surveyed 1
              > attach w1 10.0.0.1 without secret
              > probe w1 boot deploy list:Always
            0.000s kill-instance w1
                w1 boot Aborted
                w1 unknown -> shutdown: test
              > destroy w1 i-1
            1.000s destroy-fails w1
                w1 destroy failed: transient
            2.000s stop
                hold any: stopping
        "#]],
    );
}
