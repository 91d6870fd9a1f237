//! Instances that end without our doing, and spot types that on-demand types stand in for.

use std::time::Duration;

use expect_test::expect;

use super::{check, check_with, script::Script};
use crate::SpotFallback;

/// A pool that may pay as much as twice for the twin of a spot type after two interruptions within 100 s.
fn with_fallback() -> Script {
    Script::with(|settings| {
        settings.spot_fallback = Some(SpotFallback {
            price_factor: 2.0,
            interruptions: 2,
            window: Duration::from_secs(100),
        });
    })
}

#[test]
fn an_instance_that_the_cloud_calls_dead_is_gone_at_once_with_what_ran_on_it() {
    check(
        "
        0  listed i-1:small:10.0.0.1
        1  probed w1 ok c1 c2
        2  died i-1 taken-back
        2  show
        3  died i-1 taken-back
        3  died i-9 other
        4  forget c1
        4  forget c2
        4  show
        ",
        expect![[r#"
            0.000s listed i-1:small:10.0.0.1
                w1 adopted, run
                surveyed 1
              > attach w1 10.0.0.1 without secret
              > probe w1 boot deploy list:Always
            1.000s probed w1 ok c1 c2
                w1 c1 alive, found
                w1 c2 alive, found
                w1 boot Success
                w1 unknown -> running: passed its probes
              > watch w1 [c1, c2]
            2.000s died i-1 taken-back
                w1 died (spot interruption): Server.Reason: words
                w1 c1 ended (InstanceGone)
                w1 c2 ended (InstanceGone)
                w1 gone, was running, shutdown took None
              > detach w1
            2.000s show
                c1 on w1: Exited { at: 2.000s }
                  the container's instance i-1 (small) was a spot instance and the cloud took it back: Server.Reason: words
                c2 on w1: Exited { at: 2.000s }
                  the container's instance i-1 (small) was a spot instance and the cloud took it back: Server.Reason: words
                limit Some(8)
            3.000s died i-1 taken-back
            3.000s died i-9 other
            4.000s forget c1
            4.000s forget c2
            4.000s show
                limit Some(8)
        "#]],
    );
}

#[test]
fn a_reason_that_comes_after_the_instance_has_gone_is_told_counted_and_given_to_those_who_still_wait()
 {
    check_with(
        with_fallback(),
        "
        0    listed i-1:spot:10.0.0.1 i-2:spot:10.0.0.2
        0    probed w1 ok c1 c2
        0    probed w2 ok c3
        60   listed
        60   lists
        61   forget c1
        61   show
        62   died i-1 taken-back
        62   show
        63   died i-1 taken-back
        3700 died i-2 taken-back
        ",
        expect![[r#"
            0.000s listed i-1:spot:10.0.0.1 i-2:spot:10.0.0.2
                w1 adopted, run
                w2 adopted, run
                surveyed 2
              > attach w1 10.0.0.1 without secret
              > probe w1 boot deploy list:Always
              > attach w2 10.0.0.2 without secret
              > probe w2 boot deploy list:Always
            0.000s probed w1 ok c1 c2
                w1 c1 alive, found
                w1 c2 alive, found
                w1 boot Success
                w1 unknown -> running: passed its probes
              > watch w1 [c1, c2]
            0.000s probed w2 ok c3
                w2 c3 alive, found
                w2 boot Success
                w2 unknown -> running: passed its probes
              > watch w2 [c3]
            10.302s tick
              > probe w2 list:Always
            10.402s tick
              > probe w1 list:Always
            20.302s tick
                w2 connect failed: no answer (!)
            20.402s tick
                w1 connect failed: no answer (!)
            21.302s tick
              > probe w2 list:Always
            21.402s tick
              > probe w1 list:Always
            31.302s tick
                w2 connect failed: no answer (!)
            31.402s tick
                w1 connect failed: no answer (!)
            33.302s tick
              > probe w2 list:Always
            33.402s tick
              > probe w1 list:Always
            43.302s tick
                w2 connect failed: no answer (!)
            43.402s tick
                w1 connect failed: no answer (!)
            47.302s tick
              > probe w2 list:Always
            47.402s tick
              > probe w1 list:Always
            57.302s tick
                w2 connect failed: no answer (!)
            57.402s tick
                w1 connect failed: no answer (!)
            60.000s tick
              > probe w1 list:Always
              > probe w2 list:Always
              > list
            60.000s listed
                w1 c1 ended (InstanceGone)
                w1 c2 ended (InstanceGone)
                w1 gone, was running, shutdown took None
                w2 c3 ended (InstanceGone)
                w2 gone, was running, shutdown took None
              > detach w1
              > detach w2
            61.000s forget c1
            61.000s show
                c2 on w1: Exited { at: 60.000s }
                  the container's instance i-1 (spot) is gone from the cloud's list, and the dispatcher has not ended it
                c3 on w2: Exited { at: 60.000s }
                  the container's instance i-2 (spot) is gone from the cloud's list, and the dispatcher has not ended it
                limit Some(8)
            62.000s died i-1 taken-back
                w1 died (spot interruption): Server.Reason: words
            62.000s show
                c2 on w1: Exited { at: 60.000s }
                  the container's instance i-1 (spot) was a spot instance and the cloud took it back: Server.Reason: words
                c3 on w2: Exited { at: 60.000s }
                  the container's instance i-2 (spot) is gone from the cloud's list, and the dispatcher has not ended it
                limit Some(8)
            63.000s died i-1 taken-back
            3700.000s died i-2 taken-back
        "#]],
    );
}

#[test]
fn a_stale_list_does_not_bring_back_an_instance_that_the_cloud_has_called_dead() {
    check(
        "
        0  listed i-1:small:10.0.0.1:behavior=hold i-2:small:-:behavior=hold
        0  answers w1 ok
        2  died i-1 taken-back
        2  listed i-1:small:10.0.0.1:behavior=hold i-2:small:-:behavior=hold
        2  show
        ",
        expect![[r#"
            0.000s listed i-1:small:10.0.0.1:behavior=hold i-2:small:-:behavior=hold
                w1 adopted, hold
                w2 adopted, hold
                surveyed 2
              > attach w1 10.0.0.1 without secret
              > probe w1 boot deploy list:Always
            1.000s tick
              > list
            2.000s died i-1 taken-back
                w1 died (spot interruption): Server.Reason: words
                w1 boot Disappeared
                w1 gone, was unknown, shutdown took None
              > detach w1
            2.000s listed i-1:small:10.0.0.1:behavior=hold i-2:small:-:behavior=hold
            2.000s show
                w2 i-2 small unknown hold
                limit Some(8)
        "#]],
    );
}

#[test]
fn a_fresh_instance_that_dies_while_it_is_launched_is_not_waited_for_and_its_reason_counts_like_a_refusal()
 {
    check(
        "
        0  listed
        0  create small
        1  created w1 i-1 -
        2  died i-1 never-began quota
        2  show
        3  create small
        ",
        expect![[r#"
            0.000s listed
                surveyed 0
            0.000s create small
              > create w1 small
            1.000s created w1 i-1 -
                w1 created as i-1 in 1s
            2.000s tick
              > list
            2.000s died i-1 never-began quota
                w1 died (launch failure): Server.Reason: words
                w1 boot Disappeared
                w1 gone, was booting, shutdown took None
                hold any: quota until 62.000s
            2.000s show
                hold any: quota until Some(62.000s)
                limit Some(0)
            3.000s create small
                create small refused: quota: Server.Reason: words
        "#]],
    );
}

#[test]
fn a_death_that_concerns_one_zone_alone_holds_nothing_here() {
    check(
        "
        0  listed
        0  create small
        1  created w1 i-1 -
        2  died i-1 never-began
        2  show
        ",
        expect![[r#"
            0.000s listed
                surveyed 0
            0.000s create small
              > create w1 small
            1.000s created w1 i-1 -
                w1 created as i-1 in 1s
            2.000s tick
              > list
            2.000s died i-1 never-began
                w1 died (launch failure): Server.Reason: words
                w1 boot Disappeared
                w1 gone, was booting, shutdown took None
            2.000s show
                limit Some(8)
        "#]],
    );
}

#[test]
fn three_that_die_while_they_are_launched_hold_their_type() {
    check(
        "
        0  listed
        0  create small
        1  created w1 i-1 -
        2  died i-1 never-began
        3  create small
        4  created w2 i-2 -
        5  died i-2 never-began
        6  create small
        7  created w3 i-3 -
        8  died i-3 never-began
        9  create small
        ",
        expect![[r#"
            0.000s listed
                surveyed 0
            0.000s create small
              > create w1 small
            1.000s created w1 i-1 -
                w1 created as i-1 in 1s
            2.000s tick
              > list
            2.000s died i-1 never-began
                w1 died (launch failure): Server.Reason: words
                w1 boot Disappeared
                w1 gone, was booting, shutdown took None
            3.000s create small
              > create w2 small
            4.000s created w2 i-2 -
                w2 created as i-2 in 1s
            5.000s died i-2 never-began
                w2 died (launch failure): Server.Reason: words
                w2 boot Disappeared
                w2 gone, was booting, shutdown took None
            6.000s create small
              > create w3 small
            7.000s created w3 i-3 -
                w3 created as i-3 in 1s
            8.000s died i-3 never-began
                w3 died (launch failure): Server.Reason: words
                w3 boot Disappeared
                w3 gone, was booting, shutdown took None
                hold small: boot-failing until 68.000s
            9.000s create small
                create small refused: boot-failing: 3 failed to boot in a row
        "#]],
    );
}

#[test]
fn spot_interruptions_switch_a_type_to_its_twin_and_back_when_the_window_has_passed() {
    check_with(
        with_fallback(),
        "
        0   listed i-1:spot:10.0.0.1 i-2:spot:10.0.0.2 i-3:small:10.0.0.3:behavior=hold
        10  died i-1 taken-back
        10  show
        50  died i-2 taken-back
        50  show
        60  create spot
        151 show
        251 show
        ",
        expect![[r#"
            0.000s listed i-1:spot:10.0.0.1 i-2:spot:10.0.0.2 i-3:small:10.0.0.3:behavior=hold
                w1 adopted, run
                w2 adopted, run
                w3 adopted, hold
                surveyed 3
              > attach w1 10.0.0.1 without secret
              > probe w1 boot deploy list:Always
              > attach w2 10.0.0.2 without secret
              > probe w2 boot deploy list:Always
              > attach w3 10.0.0.3 without secret
              > probe w3 boot deploy list:Always
            10.000s died i-1 taken-back
                w1 died (spot interruption): Server.Reason: words
                w1 boot Disappeared
                w1 gone, was unknown, shutdown took None
              > detach w1
            10.000s show
                w2 i-2 spot unknown run will-take-work
                w3 i-3 small unknown hold
                limit Some(8)
            23.000s tick
                w2 connect failed: no answer
                w3 connect failed: no answer
              > probe w2 boot deploy list:Always
              > probe w3 boot deploy list:Always
            46.000s tick
              > probe w2 boot deploy list:Always
              > probe w3 boot deploy list:Always
            50.000s died i-2 taken-back
                w2 died (spot interruption): Server.Reason: words
                w2 boot Disappeared
                w2 gone, was unknown, shutdown took None
                hold spot: spot-interrupted until 150.000s
              > detach w2
            50.000s show
                w3 i-3 small unknown hold (connect failed: no answer)
                hold spot: spot-interrupted until Some(150.000s)
                small instead of spot
                limit Some(8)
            60.000s tick
              > list
            60.000s create spot
                create spot refused: spot-interrupted: the cloud has taken back 2 of its instances within 100 s; small is used in its place
            69.000s tick
              > probe w3 boot deploy list:Always
            92.000s tick
              > probe w3 boot deploy list:Always
            95.000s tick
              > list
            115.000s tick
              > probe w3 boot deploy list:Always
            130.000s tick
              > list
            138.000s tick
              > probe w3 boot deploy list:Always
            150.000s tick
                hold spot: spot-interrupted ended
            151.000s show
                w3 i-3 small unknown hold (connect failed: no answer)
                small instead of spot
                limit Some(8)
            161.000s tick
              > probe w3 boot deploy list:Always
            165.000s tick
              > list
            184.000s tick
              > probe w3 boot deploy list:Always
            200.000s tick
              > list
            207.000s tick
              > probe w3 boot deploy list:Always
            230.000s tick
              > probe w3 boot deploy list:Always
            235.000s tick
              > list
            251.000s show
                w3 i-3 small unknown hold (connect failed: no answer)
                limit Some(8)
        "#]],
    );
}

#[test]
fn interruptions_that_lie_further_apart_than_the_window_switch_nothing() {
    check_with(
        with_fallback(),
        "
        0   listed i-1:spot:10.0.0.1 i-2:spot:10.0.0.2:behavior=hold
        0   answers w2 ok
        10  died i-1 taken-back
        111 died i-2 taken-back
        111 show
        ",
        expect![[r#"
            0.000s listed i-1:spot:10.0.0.1 i-2:spot:10.0.0.2:behavior=hold
                w1 adopted, run
                w2 adopted, hold
                surveyed 2
              > attach w1 10.0.0.1 without secret
              > probe w1 boot deploy list:Always
              > attach w2 10.0.0.2 without secret
              > probe w2 boot deploy list:Always
            10.000s died i-1 taken-back
                w1 died (spot interruption): Server.Reason: words
                w1 boot Disappeared
                w1 gone, was unknown, shutdown took None
              > detach w1
            23.000s tick
                w2 connect failed: no answer
            23.000s answer
                w2 boot Success
                w2 unknown -> idle: passed its probes
            60.000s tick
              > list
            95.000s tick
              > list
            111.000s died i-2 taken-back
                w2 died (spot interruption): Server.Reason: words
                w2 gone, was idle, shutdown took None
              > detach w2
            111.000s show
                limit Some(8)
        "#]],
    );
}

#[test]
fn the_twin_stands_in_while_spot_capacity_is_held_and_what_was_created_is_shared_a_window_longer() {
    check_with(
        with_fallback(),
        "
        0   listed i-9:small:10.0.0.9:behavior=hold
        0   create spot
        1   create-fails w2 type
        1   show
        62  show
        162 show
        ",
        expect![[r#"
            0.000s listed i-9:small:10.0.0.9:behavior=hold
                w1 adopted, hold
                surveyed 1
              > attach w1 10.0.0.9 without secret
              > probe w1 boot deploy list:Always
            0.000s create spot
              > create w2 spot
            1.000s create-fails w2 type
                w2 creation failed: type (Capacity(Type), 1s)
                hold spot: capacity until 61.000s
            1.000s show
                w1 i-9 small unknown hold
                hold spot: capacity until Some(61.000s)
                small instead of spot
                limit Some(8)
            23.000s tick
                w1 connect failed: no answer
              > probe w1 boot deploy list:Always
            46.000s tick
              > probe w1 boot deploy list:Always
            60.000s tick
              > list
            61.000s tick
                hold spot: capacity ended
            62.000s show
                w1 i-9 small unknown hold (connect failed: no answer)
                small instead of spot
                limit Some(8)
            69.000s tick
              > probe w1 boot deploy list:Always
            92.000s tick
              > probe w1 boot deploy list:Always
            95.000s tick
              > list
            115.000s tick
              > probe w1 boot deploy list:Always
            130.000s tick
              > list
            138.000s tick
              > probe w1 boot deploy list:Always
            161.000s tick
              > probe w1 boot deploy list:Always
            162.000s show
                w1 i-9 small unknown hold (connect failed: no answer)
                limit Some(8)
        "#]],
    );
}

#[test]
fn a_twin_that_is_too_dear_is_none_and_its_spot_type_goes_on() {
    check_with(
        Script::with(|settings| {
            settings.spot_fallback = Some(SpotFallback {
                price_factor: 0.9,
                interruptions: 1,
                window: Duration::from_secs(100),
            });
        }),
        "
        0   listed i-1:spot:10.0.0.1
        10  died i-1 taken-back
        10  show
        ",
        expect![[r#"
            0.000s listed i-1:spot:10.0.0.1
                w1 adopted, run
                surveyed 1
              > attach w1 10.0.0.1 without secret
              > probe w1 boot deploy list:Always
            10.000s died i-1 taken-back
                w1 died (spot interruption): Server.Reason: words
                w1 boot Disappeared
                w1 gone, was unknown, shutdown took None
              > detach w1
            10.000s show
                limit Some(8)
        "#]],
    );
}

#[test]
fn nothing_is_switched_unless_it_was_asked_for() {
    check(
        "
        0   listed i-1:spot:10.0.0.1 i-2:spot:10.0.0.2 i-3:spot:10.0.0.3
        10  died i-1 taken-back
        11  died i-2 taken-back
        12  died i-3 taken-back
        13  create spot
        14  create-fails w4 type
        14  show
        ",
        expect![[r#"
            0.000s listed i-1:spot:10.0.0.1 i-2:spot:10.0.0.2 i-3:spot:10.0.0.3
                w1 adopted, run
                w2 adopted, run
                w3 adopted, run
                surveyed 3
              > attach w1 10.0.0.1 without secret
              > probe w1 boot deploy list:Always
              > attach w2 10.0.0.2 without secret
              > probe w2 boot deploy list:Always
              > attach w3 10.0.0.3 without secret
              > probe w3 boot deploy list:Always
            10.000s died i-1 taken-back
                w1 died (spot interruption): Server.Reason: words
                w1 boot Disappeared
                w1 gone, was unknown, shutdown took None
              > detach w1
            11.000s died i-2 taken-back
                w2 died (spot interruption): Server.Reason: words
                w2 boot Disappeared
                w2 gone, was unknown, shutdown took None
              > detach w2
            12.000s died i-3 taken-back
                w3 died (spot interruption): Server.Reason: words
                w3 boot Disappeared
                w3 gone, was unknown, shutdown took None
              > detach w3
            13.000s create spot
              > create w4 spot
            14.000s create-fails w4 type
                w4 creation failed: type (Capacity(Type), 1s)
                hold spot: capacity until 74.000s
            14.000s show
                hold spot: capacity until Some(74.000s)
                limit Some(8)
        "#]],
    );
}

/// It may be fresh, and lists are not believed about those: nothing more is started there all the same.
#[test]
fn what_is_ending_is_gone_at_once_and_counted_when_the_reason_comes() {
    check_with(
        with_fallback(),
        "
        0    listed i-1:spot:10.0.0.1
        0    probed w1 ok c1
        1    died i-1 unsaid
        1    show
        2    died i-1 unsaid
        3    died i-1 taken-back
        3    show
        4    died i-1 taken-back
        ",
        expect![[r#"
            0.000s listed i-1:spot:10.0.0.1
                w1 adopted, run
                surveyed 1
              > attach w1 10.0.0.1 without secret
              > probe w1 boot deploy list:Always
            0.000s probed w1 ok c1
                w1 c1 alive, found
                w1 boot Success
                w1 unknown -> running: passed its probes
              > watch w1 [c1]
            1.000s died i-1 unsaid
                w1 c1 ended (InstanceGone)
                w1 gone, was running, shutdown took None
              > detach w1
            1.000s show
                c1 on w1: Exited { at: 1.000s }
                  the container's instance i-1 (spot) has ended, and the cloud does not say why
                limit Some(8)
            2.000s died i-1 unsaid
            3.000s died i-1 taken-back
                w1 died (spot interruption): Server.Reason: words
            3.000s show
                c1 on w1: Exited { at: 1.000s }
                  the container's instance i-1 (spot) was a spot instance and the cloud took it back: Server.Reason: words
                limit Some(8)
            4.000s died i-1 taken-back
        "#]],
    );
}
