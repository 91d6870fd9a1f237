//! Hold, drain, run; what a restart finds.

use expect_test::expect;

use super::check;

#[test]
fn a_restart_finds_hold_drain_and_types_that_are_gone() {
    check(
        "
        0    listed i-1:small:10.0.0.1:behavior=hold:secret=k i-2:small:10.0.0.2:behavior=drain i-3:gone:10.0.0.3 i-4:gone:10.0.0.4:behavior=hold i-5:-:- i-6:small:10.0.0.6:behavior=odd i-7:small:10.0.0.7:set=other
        0    probed w1 ok
        0    probed w2 ok c1
        0    probed w3 ok c2
        0    probed w4 ok
        0    show
        1    probed w6 ok
        ",
        expect![[r#"
            0.000s listed i-1:small:10.0.0.1:behavior=hold:secret=k i-2:small:10.0.0.2:behavior=drain i-3:gone:10.0.0.3 i-4:gone:10.0.0.4:behavior=hold i-5:-:- i-6:small:10.0.0.6:behavior=odd i-7:small:10.0.0.7:set=other
                w1 adopted, hold
                w2 adopted, drain
                w3 adopted, drain: its type gone is no longer configured; what it costs is not known
                w4 adopted, hold: its type gone is no longer configured; what it costs is not known
                w5 adopted, drain: it has no tag that names its type; what it costs is not known
                w6 adopted, run: its idle behavior "odd" is none of run, hold, drain
                i-7 ignored: it does not carry our InstanceSetID
                surveyed 6
              > attach w1 10.0.0.1
              > probe w1 boot deploy list:Always
              > attach w2 10.0.0.2 without secret
              > probe w2 boot deploy list:Always
              > attach w3 10.0.0.3 without secret
              > probe w3 boot deploy list:Always
              > attach w4 10.0.0.4 without secret
              > probe w4 boot deploy list:Always
              > attach w6 10.0.0.6 without secret
              > probe w6 boot deploy list:Always
              > tag w6 {"PIdleBehavior": "run"}
            0.000s probed w1 ok
                w1 boot Success
                w1 unknown -> idle: passed its probes
            0.000s probed w2 ok c1
                w2 c1 alive, found
                w2 boot Success
                w2 unknown -> running: passed its probes
              > watch w2 [c1]
            0.000s probed w3 ok c2
                w3 c2 alive, found
                w3 boot Success
                w3 unknown -> running: passed its probes
              > watch w3 [c2]
            0.000s probed w4 ok
                w4 boot Success
                w4 unknown -> idle: passed its probes
            0.000s show
                w1 i-1 small idle hold known
                w2 i-2 small running drain known
                w3 i-3 gone running drain known (its type is not configured)
                w4 i-4 gone idle hold known (its type is not configured)
                w5 i-5  unknown drain (its type is not configured)
                w6 i-6 small unknown run will-take-work
                c1 on w2: Alive
                c2 on w3: Alive
                limit Some(8)
            1.000s tick
              > list
            1.000s probed w6 ok
                w6 boot Success
                w6 unknown -> idle: passed its probes
        "#]],
    );
}

#[test]
fn held_instances_stay_whatever_happens_but_the_kill_call() {
    check(
        "
        0    listed i-1:small:10.0.0.1
        0    lists i-1:small:10.0.0.1:behavior=hold
        0    answers w1 ok
        0    probed w1 ok
        30   hold w1
        31   tagged w1
        135  answers w1 no-connection
        215  shutdown w1
        215  answers w1 ok broken
        230  show
        300  kill-instance w1
        ",
        expect![[r#"
            0.000s listed i-1:small:10.0.0.1
                w1 adopted, run
                surveyed 1
              > attach w1 10.0.0.1 without secret
              > probe w1 boot deploy list:Always
            0.000s probed w1 ok
                w1 boot Success
                w1 unknown -> idle: passed its probes
            30.000s hold w1
                w1 run => hold: asked for
              > tag w1 {"PIdleBehavior": "hold"}
            31.000s tagged w1
            142.842s answer
                w1 connect failed: connection refused (!)
            143.842s answer
                w1 connect failed: connection refused (!)
            145.842s answer
                w1 connect failed: connection refused (!)
            149.842s answer
                w1 connect failed: connection refused (!)
            157.842s answer
                w1 connect failed: connection refused (!)
            167.958s answer
                w1 connect failed: connection refused (!)
            177.980s answer
                w1 connect failed: connection refused (!)
            188.354s answer
                w1 connect failed: connection refused (!)
            192.749s answer
                w1 connect failed: connection refused (!)
            203.144s answer
                w1 connect failed: connection refused (!)
            213.364s answer
                w1 connect failed: connection refused (!)
            215.000s shutdown w1
            223.611s answer
                w1 broken: it reports that it is broken
            230.000s show
                w1 i-1 small idle hold known (it reports that it is broken)
                limit Some(8)
            300.000s kill-instance w1
                w1 idle -> shutdown: test
              > destroy w1 i-1
        "#]],
    );
}

#[test]
fn a_held_instance_that_runs_again_has_its_full_idle_time() {
    check(
        "
        0    listed i-1:small:10.0.0.1
        0    lists i-1:small:10.0.0.1:behavior=hold
        0    answers w1 ok
        0    probed w1 ok
        30   hold w1
        31   tagged w1
        100  run w1
        101  tagged w1
        101  lists i-1:small:10.0.0.1
        160  tick
        ",
        expect![[r#"
            0.000s listed i-1:small:10.0.0.1
                w1 adopted, run
                surveyed 1
              > attach w1 10.0.0.1 without secret
              > probe w1 boot deploy list:Always
            0.000s probed w1 ok
                w1 boot Success
                w1 unknown -> idle: passed its probes
            30.000s hold w1
                w1 run => hold: asked for
              > tag w1 {"PIdleBehavior": "hold"}
            31.000s tagged w1
            100.000s run w1
                w1 hold => run: asked for
              > tag w1 {"PIdleBehavior": "run"}
            101.000s tagged w1
            160.000s answer
                w1 idle -> shutdown: idle for TimeoutIdle
              > destroy w1 i-1
        "#]],
    );
}

#[test]
fn a_drained_instance_goes_when_its_last_container_has_ended() {
    check(
        "
        0    listed i-1:small:10.0.0.1 i-2:small:10.0.0.2
        0    probed w1 ok c1
        0    probed w2 ok
        1    drain w1
        1    drain w2
        2    ended w1 c1
        2.1  probed w1 ok
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
            0.000s probed w2 ok
                w2 boot Success
                w2 unknown -> idle: passed its probes
            1.000s drain w1
                w1 run => drain: asked for
              > tag w1 {"PIdleBehavior": "drain"}
            1.000s drain w2
                w2 run => drain: asked for
                w2 idle -> shutdown: idle and draining
              > destroy w2 i-2
            2.000s ended w1 c1
              > probe w1 list:Always
            2.100s probed w1 ok
                w1 c1 ended (Unlisted)
                w1 running -> idle: its last container has ended
                w1 idle -> shutdown: idle and draining
              > destroy w1 i-1
        "#]],
    );
}

#[test]
fn tags_are_written_only_when_they_differ_and_again_if_that_failed() {
    check(
        "
        0    listed i-1:small:10.0.0.1
        0    answers w1 ok
        0    probed w1 ok
        1    hold w1
        2    tag-fails w1
        3    tagged w1
        60   listed i-1:small:10.0.0.1:behavior=hold
        120  listed i-1:big:10.0.0.1:behavior=run
        121  tagged w1
        ",
        expect![[r#"
            0.000s listed i-1:small:10.0.0.1
                w1 adopted, run
                surveyed 1
              > attach w1 10.0.0.1 without secret
              > probe w1 boot deploy list:Always
            0.000s probed w1 ok
                w1 boot Success
                w1 unknown -> idle: passed its probes
            1.000s hold w1
                w1 run => hold: asked for
              > tag w1 {"PIdleBehavior": "hold"}
            2.000s tag-fails w1
                w1 tags failed: transient
            3.000s tick
              > tag w1 {"PIdleBehavior": "hold"}
            3.000s tagged w1
            60.000s tick
              > list
            60.000s listed i-1:small:10.0.0.1:behavior=hold
            120.000s tick
              > list
            120.000s listed i-1:big:10.0.0.1:behavior=run
              > tag w1 {"PIdleBehavior": "hold", "PInstanceType": "small"}
            121.000s tagged w1
        "#]],
    );
}

#[test]
fn an_instance_that_moves_is_followed() {
    check(
        "
        0    listed i-1:small:10.0.0.1:behavior=hold
        0    answers w1 ok
        0    probed w1 ok
        60   listed i-1:small:10.0.0.9:behavior=hold
        ",
        expect![[r#"
            0.000s listed i-1:small:10.0.0.1:behavior=hold
                w1 adopted, hold
                surveyed 1
              > attach w1 10.0.0.1 without secret
              > probe w1 boot deploy list:Always
            0.000s probed w1 ok
                w1 boot Success
                w1 unknown -> idle: passed its probes
            60.000s tick
              > list
            60.000s listed i-1:small:10.0.0.9:behavior=hold
              > attach w1 10.0.0.9 without secret
        "#]],
    );
}
