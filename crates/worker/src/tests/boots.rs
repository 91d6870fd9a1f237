//! From an order to a worker in service.

use expect_test::expect;

use super::{check, check_with, script::Script};

#[test]
fn a_new_instance_is_tried_at_once_and_taken_into_service_when_all_is_well() {
    check(
        "
        0    listed
        1    create small
        1.3  created w1 i-1 10.0.0.1
        1.4  probed w1 no-connection
        1.6  probed w1 boot
        1.9  probed w1 ok
        2    show
        ",
        expect![[r#"
            0.000s listed
                surveyed 0
            1.000s create small
              > create w1 small
            1.300s created w1 i-1 10.0.0.1
                w1 created as i-1 in 300ms
              > attach w1 10.0.0.1
              > probe w1 boot deploy list:IfBooted
            1.400s probed w1 no-connection
                w1 connect failed: connection refused
              > probe w1 boot deploy list:IfBooted
            1.600s probed w1 boot
                w1 ssh up after 300ms
                w1 boot probe failed: degraded
              > probe w1 boot deploy list:IfBooted
            1.900s probed w1 ok
                w1 ready after 300ms
                w1 boot Success
                w1 booting -> idle: passed its probes
            2.000s show
                w1 i-1 small idle run takes-work known
                limit Some(8)
        "#]],
    );
}

#[test]
fn an_instance_without_an_address_is_looked_for_in_lists_and_tried_when_it_has_one() {
    check(
        "
        0    listed
        0    create small
        0.3  created w1 i-1 -
        1.4  listed i-1:small:-
        3.5  listed i-1:small:10.0.0.1
        ",
        expect![[r#"
            0.000s listed
                surveyed 0
            0.000s create small
              > create w1 small
            0.300s created w1 i-1 -
                w1 created as i-1 in 300ms
            1.300s tick
              > list
            1.400s listed i-1:small:-
            3.300s tick
              > list
            3.500s listed i-1:small:10.0.0.1
              > attach w1 10.0.0.1
              > probe w1 boot deploy list:IfBooted
        "#]],
    );
}

#[test]
fn a_silent_boot_is_given_up_with_its_last_error_and_destroy_is_retried() {
    check_with(
        Script::with(|settings| settings.probe_interval = std::time::Duration::from_secs(40)),
        "
        0    listed
        0    create small
        0    created w1 i-1 10.0.0.1
        0    answers w1 deploy
        0.5  probed w1 no-key
        58   answers w1
        62   probed w1 no-key
        63   probed w1 no-key
        63   destroy-fails w1 transient
        73   destroyed w1
        74   lists
        150  tick
        ",
        expect![[r#"
            0.000s listed
                surveyed 0
            0.000s create small
              > create w1 small
            0.000s created w1 i-1 10.0.0.1
                w1 created as i-1 in 0ns
              > attach w1 10.0.0.1
              > probe w1 boot deploy list:IfBooted
            0.500s probed w1 no-key
                w1 connect failed: key refused (!)
            0.500s answer
                w1 ssh up after 500ms
                w1 deployment failed: no space
            58.591s tick
              > probe w1 boot deploy list:IfBooted
            60.000s tick
              > list
            62.000s probed w1 no-key
                w1 connect failed: key refused (!)
              > probe w1 boot deploy list:IfBooted
            63.000s probed w1 no-key
                w1 boot given up after 63s, last Some((Connect, "key refused"))
                w1 boot Failure
                w1 booting -> shutdown: not ready within TimeoutBooting
              > destroy w1 i-1
            63.000s destroy-fails w1 transient
                w1 destroy failed: transient
            73.000s tick
              > destroy w1 i-1
            73.000s destroyed w1
            95.000s answer
                w1 gone, was shutdown, shutdown took Some(32s)
              > detach w1
        "#]],
    );
}

#[test]
fn an_instance_that_never_gets_an_address_is_given_up() {
    check(
        "
        0    listed
        0    lists i-1:small:-
        0    create small
        0    created w1 i-1 -
        70   tick
        ",
        expect![[r#"
            0.000s listed
                surveyed 0
            0.000s create small
              > create w1 small
            0.000s created w1 i-1 -
                w1 created as i-1 in 0ns
            60.000s tick
                w1 boot given up after 60s, last None
                w1 boot Failure
                w1 booting -> shutdown: not ready within TimeoutBooting
              > destroy w1 i-1
        "#]],
    );
}

#[test]
fn a_broken_instance_counts_as_a_failed_boot_and_goes() {
    check(
        "
        0    listed
        0    create small
        0    created w1 i-1 10.0.0.1
        1    probed w1 ok broken
        ",
        expect![[r#"
            0.000s listed
                surveyed 0
            0.000s create small
              > create w1 small
            0.000s created w1 i-1 10.0.0.1
                w1 created as i-1 in 0ns
              > attach w1 10.0.0.1
              > probe w1 boot deploy list:IfBooted
            1.000s probed w1 ok broken
                w1 ssh up after 1s
                w1 broken: it reports that it is broken
                w1 run => drain: it reports that it is broken
                w1 boot Failure
                w1 booting -> idle: passed its probes
                w1 idle -> shutdown: idle and draining
              > destroy w1 i-1
        "#]],
    );
}

#[test]
fn a_probe_that_hangs_decides_nothing_late() {
    // The order allows 2 s + 3 s + 10 s + 3 s, the shell 5 s more. The late answer is ignored.
    check(
        "
        0    listed
        0    create small
        0    created w1 i-1 10.0.0.1
        23   tick
        46   tick
        69   tick
        92   tick
        93   probed w1 ok
        ",
        expect![[r#"
            0.000s listed
                surveyed 0
            0.000s create small
              > create w1 small
            0.000s created w1 i-1 10.0.0.1
                w1 created as i-1 in 0ns
              > attach w1 10.0.0.1
              > probe w1 boot deploy list:IfBooted
            23.000s tick
                w1 connect failed: no answer
              > probe w1 boot deploy list:IfBooted
            46.000s tick
              > probe w1 boot deploy list:IfBooted
            60.000s tick
              > list
            69.000s tick
              > probe w1 boot deploy list:IfBooted
            92.000s tick
                w1 boot given up after 92s, last Some((Connect, "no answer"))
                w1 boot Failure
                w1 booting -> shutdown: not ready within TimeoutBooting
              > destroy w1 i-1
            93.000s probed w1 ok
        "#]],
    );
}

#[test]
fn an_adopted_busy_instance_stays_although_its_boot_probe_fails() {
    check(
        "
        0    listed i-1:small:10.0.0.1 i-2:small:10.0.0.2
        0    lists i-1:small:10.0.0.1 i-2:small:10.0.0.2
        1    answers w1 boot+list c1
        1    answers w2 boot+list
        1    probed w1 boot+list c1
        1    probed w2 boot+list
        2    show
        70   show
        300  answers w1 boot+list
        310  tick
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
            1.000s probed w1 boot+list c1
                w1 c1 alive, found
                w1 boot probe failed: degraded
              > watch w1 [c1]
            1.000s probed w2 boot+list
                w2 boot probe failed: degraded
            2.000s show
                w1 i-1 small unknown run will-take-work known (boot probe failed: degraded)
                w2 i-2 small unknown run will-take-work known (boot probe failed: degraded)
                c1 on w1: Alive
                limit Some(8)
            60.000s answer
                w2 boot given up after 60s, last Some((Boot, "degraded"))
                w2 boot Failure
                w2 unknown -> shutdown: not ready within TimeoutBooting
              > destroy w2 i-2
            70.000s show
                w1 i-1 small unknown run will-take-work known (boot probe failed: degraded)
                w2 i-2 small shutdown run known (boot probe failed: degraded)
                c1 on w1: Alive
                limit Some(8)
            95.000s tick
              > destroy w2 i-2
            130.000s tick
              > destroy w2 i-2
            165.000s tick
              > destroy w2 i-2
            200.000s tick
              > destroy w2 i-2
            235.000s tick
              > destroy w2 i-2
            270.000s tick
              > destroy w2 i-2
            300.500s answer
                w1 c1 ended (Unlisted)
                w1 boot given up after 300.5s, last Some((Boot, "degraded"))
                w1 boot Failure
                w1 unknown -> shutdown: not ready within TimeoutBooting
              > destroy w1 i-1
            305.000s tick
              > destroy w2 i-2
        "#]],
    );
}

#[test]
fn an_adopted_busy_instance_goes_when_it_is_silent() {
    check(
        "
        0    listed i-1:small:10.0.0.1
        0    lists i-1:small:10.0.0.1
        1    probed w1 boot+list c1
        1    answers w1 no-connection
        2    probed w1 no-connection
        63   destroyed w1
        63   lists
        65   show
        66   forget c1
        67   show
        ",
        expect![[r#"
            0.000s listed i-1:small:10.0.0.1
                w1 adopted, run
                surveyed 1
              > attach w1 10.0.0.1 without secret
              > probe w1 boot deploy list:Always
            1.000s probed w1 boot+list c1
                w1 c1 alive, found
                w1 boot probe failed: degraded
              > probe w1 boot deploy list:Always
              > watch w1 [c1]
            2.000s probed w1 no-connection
                w1 connect failed: connection refused
            61.000s answer
                w1 unresponsive for 60s, last Some((Connect, "connection refused"))
                w1 boot Failure
                w1 unknown -> shutdown: silent for TimeoutProbe
              > destroy w1 i-1
            63.000s destroyed w1
            64.000s answer
                w1 c1 ended (InstanceGone)
                w1 gone, was shutdown, shutdown took Some(3s)
              > detach w1
            65.000s show
                c1 on w1: Exited { at: 64.000s }
                  the container's instance i-1 (small) was shut down: silent for TimeoutProbe
                limit Some(8)
            66.000s forget c1
            67.000s show
                limit Some(8)
        "#]],
    );
}

#[test]
fn an_adopted_instance_that_never_answered_has_timeout_probe_if_that_is_longer() {
    check_with(
        Script::with(|settings| settings.probe_timeout = std::time::Duration::from_secs(90)),
        "
        0    listed i-1:small:10.0.0.1
        0    lists i-1:small:10.0.0.1
        0    answers w1 no-connection
        0    probed w1 no-connection
        80   show
        91   tick
        ",
        expect![[r#"
            0.000s listed i-1:small:10.0.0.1
                w1 adopted, run
                surveyed 1
              > attach w1 10.0.0.1 without secret
              > probe w1 boot deploy list:Always
            0.000s probed w1 no-connection
                w1 connect failed: connection refused
            80.000s show
                w1 i-1 small unknown run will-take-work (connect failed: connection refused)
                limit Some(8)
            90.000s answer
                w1 boot given up after 90s, last Some((Connect, "connection refused"))
                w1 boot Failure
                w1 unknown -> shutdown: not ready within TimeoutBooting
              > destroy w1 i-1
        "#]],
    );
}
