//! Orders: their turn, their limits, their outcomes.

use expect_test::expect;

use super::{check, check_with, script::Script};

#[test]
fn orders_wait_for_their_turn_and_can_be_called_off() {
    check(
        "
        0    listed
        0    create small
        0    create big
        0    create small
        0    create small
        0.1  show
        0.2  shutdown w3
        0.3  created w1 i-1 10.0.0.1
        0.4  shutdown w2
        0.5  created w2 i-2 10.0.0.2
        ",
        expect![[r#"
            0.000s listed
                surveyed 0
            0.000s create small
              > create w1 small
            0.000s create big
              > create w2 big
            0.000s create small
            0.000s create small
            0.100s show
                w1 - small booting run will-take-work known
                w2 - big booting run will-take-work known
                w3 - small booting run will-take-work known
                w4 - small booting run will-take-work known
                limit Some(8)
            0.200s shutdown w3
                w3 creation dropped: test
            0.300s created w1 i-1 10.0.0.1
                w1 created as i-1 in 300ms
              > attach w1 10.0.0.1
              > probe w1 boot deploy list:IfBooted
              > create w4 small
            0.400s shutdown w2
                w2 booting -> shutdown: test
            0.500s created w2 i-2 10.0.0.2
                w2 created as i-2 in 500ms
                w2 boot Aborted
              > attach w2 10.0.0.2
              > destroy w2 i-2
        "#]],
    );
}

#[test]
fn no_more_instances_than_allowed_and_tickets_count() {
    check_with(
        Script::with(|settings| {
            settings.max_instances = Some(2);
            settings.max_concurrent_creates = None;
        }),
        "
        0    listed
        0    create small
        0    create small
        0    create small
        1    create-fails w1 transient
        1    create small
        2    create small
        ",
        expect![[r#"
            0.000s listed
                surveyed 0
            0.000s create small
              > create w1 small
            0.000s create small
                hold any: max-instances
              > create w2 small
            0.000s create small
                create small refused: max-instances: there are 2 instances; MaxInstances is 2
            1.000s create-fails w1 transient
                w1 creation failed: transient (Transient, 1s)
                hold any: max-instances ended
                hold small: create-failing until 2.000s
            1.000s create small
                create small refused: create-failing: transient
            2.000s tick
                hold small: create-failing ended
            2.000s create small
                hold any: max-instances
              > create w3 small
        "#]],
    );
}

#[test]
fn nothing_is_created_before_the_survey_nor_of_an_unknown_type() {
    check(
        "
        0    create small
        1    listed
        1    create huge
        ",
        expect![[r#"
            0.000s create small
                create small refused: there is no list of instances yet
            1.000s listed
                surveyed 0
            1.000s create huge
                create huge refused: it is not configured
        "#]],
    );
}

#[test]
fn a_list_that_is_faster_than_the_answer_settles_the_ticket() {
    check(
        "
        0    listed
        60   tick
        60   create small
        61   listed i-1:small:10.0.0.1:secret=s1
        62   created w1 i-1 10.0.0.1
        62   show
        ",
        expect![[r#"
            0.000s listed
                surveyed 0
            60.000s tick
              > list
            60.000s create small
              > create w1 small
            61.000s listed i-1:small:10.0.0.1:secret=s1
                w1 created as i-1 in 1s
              > attach w1 10.0.0.1
              > probe w1 boot deploy list:IfBooted
            62.000s created w1 i-1 10.0.0.1
            62.000s show
                w1 i-1 small booting run will-take-work known
                limit Some(8)
        "#]],
    );
}

#[test]
fn a_creation_of_unknown_outcome_stays_open_until_lists_decide() {
    check(
        "
        0    listed
        0    answers w1 ok c1
        0    create small
        0    create small
        1    create-fails w1 unknown
        1    create-fails w2 unknown
        2    listed i-1:small:10.0.0.1:secret=s1
        2    show
        2    lists i-1:small:10.0.0.1:secret=s1
        46   show
        110  lists i-1:small:10.0.0.1:secret=s1 i-2:small:10.0.0.2:secret=s2
        180  tick
        ",
        expect![[r#"
            0.000s listed
                surveyed 0
            0.000s create small
              > create w1 small
            0.000s create small
              > create w2 small
            1.000s create-fails w1 unknown
                w1 creation unsure: unknown
                hold small: create-failing until 2.000s
            1.000s create-fails w2 unknown
                w2 creation unsure: unknown
            2.000s tick
                hold small: create-failing ended
              > list
            2.000s listed i-1:small:10.0.0.1:secret=s1
                w1 created as i-1 in 1s
              > attach w1 10.0.0.1
            2.000s answer
                w1 ssh up after 0ns
                w1 c1 alive, found
                w1 ready after 0ns
                w1 boot Success
                w1 booting -> running: passed its probes
              > watch w1 [c1]
            2.000s show
                w1 i-1 small running run takes-work known
                w2 - small booting run will-take-work known
                c1 on w1: Alive
                limit Some(8)
            21.000s answer
                w2 creation dropped: no list has shown its instance
            46.000s show
                w1 i-1 small running run takes-work known
                c1 on w1: Alive
                limit Some(8)
            113.000s answer
                w3 adopted, run
              > attach w3 10.0.0.2
              > probe w3 boot deploy list:Always
            136.000s tick
                w3 connect failed: no answer
              > probe w3 boot deploy list:Always
            159.000s tick
              > probe w3 boot deploy list:Always
        "#]],
    );
}

#[test]
fn an_unanswered_creation_is_unsure_by_the_clock_and_its_late_answer_is_adopted() {
    check(
        "
        0    listed
        0    create small
        60   listed
        61   listed
        80   listed
        81   show
        82   created w1 i-9 10.0.0.9
        ",
        expect![[r#"
            0.000s listed
                surveyed 0
            0.000s create small
              > create w1 small
            35.000s tick
                w1 creation unsure: no answer
                hold small: create-failing until 36.000s
            36.000s tick
                hold small: create-failing ended
              > list
            60.000s listed
              > list
            61.000s listed
                w1 creation dropped: no list has shown its instance
            64.000s tick
              > list
            80.000s listed
            81.000s show
                limit Some(8)
            82.000s created w1 i-9 10.0.0.9
                w2 adopted, run
              > attach w2 10.0.0.9 without secret
              > probe w2 boot deploy list:Always
        "#]],
    );
}

#[test]
fn a_full_account_is_remembered_and_then_exceeded_one_at_a_time() {
    check(
        "
        0    listed i-1:small:10.0.0.1:behavior=hold i-2:small:10.0.0.2:behavior=hold
        0    lists i-1:small:10.0.0.1:behavior=hold i-2:small:10.0.0.2:behavior=hold i-4:small:10.0.0.4
        0    answers w1 ok
        0    answers w2 ok
        0    answers w4 ok c4
        0    probed w1 ok
        0    probed w2 ok
        0    create small
        0    create small
        0    create small
        1    create-fails w3 quota
        1    created w4 i-4 10.0.0.4
        1    show
        2    create small
        182  create small
        182  create small
        183  create-fails w6 quota
        184  show
        ",
        expect![[r#"
            0.000s listed i-1:small:10.0.0.1:behavior=hold i-2:small:10.0.0.2:behavior=hold
                w1 adopted, hold
                w2 adopted, hold
                surveyed 2
              > attach w1 10.0.0.1 without secret
              > probe w1 boot deploy list:Always
              > attach w2 10.0.0.2 without secret
              > probe w2 boot deploy list:Always
            0.000s probed w1 ok
                w1 boot Success
                w1 unknown -> idle: passed its probes
            0.000s probed w2 ok
                w2 boot Success
                w2 unknown -> idle: passed its probes
            0.000s create small
              > create w3 small
            0.000s create small
              > create w4 small
            0.000s create small
            1.000s create-fails w3 quota
                w3 creation failed: quota (Quota, 1s)
                w5 creation dropped: there may be 2 instances
                hold any: quota until 31.000s
            1.000s created w4 i-4 10.0.0.4
                w4 created as i-4 in 1s
              > attach w4 10.0.0.4
            1.000s answer
                w4 ssh up after 0ns
                w4 c4 alive, found
                w4 ready after 0ns
                w4 boot Success
                w4 booting -> running: passed its probes
              > watch w4 [c4]
            1.000s show
                w1 i-1 small idle hold known
                w2 i-2 small idle hold known
                w4 i-4 small running run takes-work known
                c4 on w4: Alive
                hold any: quota until Some(31.000s)
                limit Some(3)
            2.000s create small
                create small refused: quota: quota
            31.000s tick
                hold any: quota ended
            182.000s create small
                hold any: quota
              > create w6 small
            182.000s create small
                create small refused: quota: quota
            183.000s create-fails w6 quota
                w6 creation failed: quota (Quota, 1s)
            184.000s show
                w1 i-1 small idle hold known
                w2 i-2 small idle hold known
                w4 i-4 small running run takes-work known
                c4 on w4: Alive
                hold any: quota until Some(213.000s)
                limit Some(3)
        "#]],
    );
}

#[test]
fn when_an_instance_goes_another_may_come_although_the_account_is_full() {
    check(
        "
        0    listed i-1:small:10.0.0.1 i-2:small:10.0.0.2
        0    create small
        1    create-fails w3 quota
        1    create small
        2    kill-instance w1
        2    destroyed w1
        3.5  listed i-2:small:10.0.0.2
        4    create small
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
            0.000s create small
              > create w3 small
            1.000s create-fails w3 quota
                w3 creation failed: quota (Quota, 1s)
                hold any: quota until 31.000s
            1.000s create small
                create small refused: quota: quota
            2.000s kill-instance w1
                w1 boot Aborted
                w1 unknown -> shutdown: test
              > destroy w1 i-1
            2.000s destroyed w1
            3.000s tick
              > list
            3.500s listed i-2:small:10.0.0.2
                w1 gone, was shutdown, shutdown took Some(1.5s)
                hold any: quota ended
              > detach w1
            4.000s create small
                hold any: quota until 31.000s
              > create w4 small
        "#]],
    );
}

#[test]
fn an_account_that_refuses_the_first_instance_is_asked_again_after_a_minute() {
    check(
        "
        0    listed
        0    create small
        0    create-fails w1 quota
        1    create small
        61   create small
        ",
        expect![[r#"
            0.000s listed
                surveyed 0
            0.000s create small
              > create w1 small
            0.000s create-fails w1 quota
                w1 creation failed: quota (Quota, 0ns)
                hold any: quota until 60.000s
            1.000s create small
                create small refused: quota: quota
            60.000s tick
                hold any: quota ended
              > list
            61.000s create small
                hold any: quota
              > create w2 small
        "#]],
    );
}

#[test]
fn a_lack_of_a_whole_market_holds_its_types_and_no_others() {
    check(
        "
        0    listed
        0    create spot
        1    create-fails w1 market
        1    create spot
        1    create small
        ",
        expect![[r#"
            0.000s listed
                surveyed 0
            0.000s create spot
              > create w1 spot
            1.000s create-fails w1 market
                w1 creation failed: market (Capacity(Market), 1s)
                hold spot: capacity until 61.000s
            1.000s create spot
                create spot refused: capacity: market
            1.000s create small
              > create w2 small
        "#]],
    );
}

#[test]
fn capacity_is_held_by_type_and_market_or_by_group() {
    check(
        "
        0    listed
        0    create small
        1    create-fails w1 type
        1    create small
        1    create spot
        1    create a1
        2    create-fails w3 group=a
        2    create a2
        3    show
        62   tick
        62   create small
        62   create a2
        ",
        expect![[r#"
            0.000s listed
                surveyed 0
            0.000s create small
              > create w1 small
            1.000s create-fails w1 type
                w1 creation failed: type (Capacity(Type), 1s)
                hold small: capacity until 61.000s
            1.000s create small
                create small refused: capacity: type
            1.000s create spot
              > create w2 spot
            1.000s create a1
              > create w3 a1
            2.000s create-fails w3 group=a
                w3 creation failed: group=a (Capacity(QuotaGroup("a")), 1s)
                hold a1: capacity until 62.000s
                hold a2: capacity until 62.000s
            2.000s create a2
                create a2 refused: capacity: group=a
            3.000s show
                w2 - spot booting run will-take-work known
                hold a1: capacity until Some(62.000s)
                hold a2: capacity until Some(62.000s)
                hold small: capacity until Some(61.000s)
                limit Some(8)
            36.000s tick
                w2 creation unsure: no answer
                hold spot: create-failing until 37.000s
            37.000s tick
                hold spot: create-failing ended
              > list
            61.000s tick
                hold small: capacity ended
            62.000s tick
                hold a1: capacity ended
                hold a2: capacity ended
            62.000s create small
              > create w4 small
            62.000s create a2
              > create w5 a2
        "#]],
    );
}

#[test]
fn orders_of_a_held_type_that_have_not_been_sent_are_dropped() {
    check(
        "
        0    listed
        0    create small
        0    create small
        0    create small
        0    create big
        1    create-fails w1 type
        ",
        expect![[r#"
            0.000s listed
                surveyed 0
            0.000s create small
              > create w1 small
            0.000s create small
              > create w2 small
            0.000s create small
            0.000s create big
            1.000s create-fails w1 type
                w1 creation failed: type (Capacity(Type), 1s)
                w3 creation dropped: capacity: type
                hold small: capacity until 61.000s
              > create w4 big
        "#]],
    );
}

#[test]
fn failing_creations_back_off_by_type_up_to_ten_minutes() {
    check_with(
        Script::with(|settings| settings.sync_interval = std::time::Duration::from_secs(100_000)),
        "
        0     listed
        0     create small
        0     create-fails w1 refused
        1     create small
        1     create big
        5     create small
        5     create-fails w3 refused
        15    create small
        15    create-fails w4 refused
        35    create small
        35    create-fails w5 refused
        36    show
        ",
        expect![[r#"
            0.000s listed
                surveyed 0
            0.000s create small
              > create w1 small
            0.000s create-fails w1 refused
                w1 creation failed: refused (Refused, 0ns)
                hold small: create-failing until 5.000s
            1.000s create small
                create small refused: create-failing: refused
            1.000s create big
              > create w2 big
            5.000s tick
                hold small: create-failing ended
            5.000s create small
              > create w3 small
            5.000s create-fails w3 refused
                w3 creation failed: refused (Refused, 0ns)
                hold small: create-failing until 15.000s
            15.000s tick
                hold small: create-failing ended
            15.000s create small
              > create w4 small
            15.000s create-fails w4 refused
                w4 creation failed: refused (Refused, 0ns)
                hold small: create-failing until 35.000s
            35.000s tick
                hold small: create-failing ended
            35.000s create small
              > create w5 small
            35.000s create-fails w5 refused
                w5 creation failed: refused (Refused, 0ns)
                hold small: create-failing until 75.000s
            36.000s tick
                w2 creation unsure: no answer
                hold big: create-failing until 37.000s
            36.000s show
                w2 - big booting run will-take-work known
                hold big: create-failing until Some(37.000s)
                hold small: create-failing until Some(75.000s)
                limit Some(8)
        "#]],
    );
}

#[test]
fn a_passing_fault_lets_orders_wait_a_moment() {
    check(
        "
        0    listed
        0    create small
        0    create small
        0    create small
        0.2  create-fails w1 transient
        1.3  created w2 i-2 10.0.0.2
        ",
        expect![[r#"
            0.000s listed
                surveyed 0
            0.000s create small
              > create w1 small
            0.000s create small
              > create w2 small
            0.000s create small
            0.200s create-fails w1 transient
                w1 creation failed: transient (Transient, 200ms)
                hold small: create-failing until 1.200s
            1.200s tick
                hold small: create-failing ended
              > create w3 small
            1.300s created w2 i-2 10.0.0.2
                w2 created as i-2 in 1.3s
              > attach w2 10.0.0.2
              > probe w2 boot deploy list:IfBooted
        "#]],
    );
}

#[test]
fn a_cloud_that_asks_for_patience_gets_it_and_the_order_stays() {
    check(
        "
        0    listed
        0    create small
        0    create small
        1    create-fails w1 rate=9
        1    show
        2    create big
        9    tick
        ",
        expect![[r#"
            0.000s listed
                surveyed 0
            0.000s create small
              > create w1 small
            0.000s create small
              > create w2 small
            1.000s create-fails w1 rate=9
                w1 creation failed: rate=9 (RateLimited(9.000s), 1s)
                hold any: rate-limit until 9.000s
            1.000s show
                w1 - small booting run will-take-work known
                w2 - small booting run will-take-work known
                hold any: rate-limit until Some(9.000s)
                limit Some(8)
            2.000s create big
                create big refused: rate-limit: rate=9
            9.000s tick
                hold any: rate-limit ended
              > create w1 small
        "#]],
    );
}

#[test]
fn without_a_readable_runner_nothing_is_created() {
    check(
        "
        0    listed
        0    create small
        0    create small
        0    create small
        0    runner unreadable
        1    create small
        2    runner ok
        2    create small
        ",
        expect![[r#"
            0.000s listed
                surveyed 0
            0.000s create small
              > create w1 small
            0.000s create small
              > create w2 small
            0.000s create small
            0.000s runner unreadable
                w3 creation dropped: no such file
                hold any: runner-unreadable
            1.000s create small
                create small refused: runner-unreadable: no such file
            2.000s runner ok
                hold any: runner-unreadable ended
            2.000s create small
        "#]],
    );
}

#[test]
fn a_type_that_keeps_failing_to_boot_is_paused_and_then_one_instance_tries() {
    check_with(
        Script::with(|settings| {
            settings.max_concurrent_creates = None;
        }),
        "
        0    listed
        0    lists
        0    create small
        0    create small
        0    create small
        0    created w1 i-1 10.0.0.1
        0    created w2 i-2 10.0.0.2
        0    created w3 i-3 10.0.0.3
        1    probed w1 ok broken
        1    probed w2 ok broken
        1    destroyed w1
        1    destroyed w2
        1    create small
        1    created w4 i-4 10.0.0.4
        1    probed w3 ok broken
        1    destroyed w3
        1    probed w4 ok broken
        1    destroyed w4
        2    create small
        2    create big
        2    created w5 i-5 10.0.0.5
        2    kill-instance w5
        2    destroyed w5
        61   create small
        61   create small
        62   created w6 i-6 10.0.0.6
        63   probed w6 ok broken
        63   destroyed w6
        64   show
        183  create small
        183  shutdown w7
        183  created w7 i-7 10.0.0.7
        183  destroyed w7
        184  create small
        184  created w8 i-8 10.0.0.8
        185  probed w8 ok
        185  show
        ",
        expect![[r#"
            0.000s listed
                surveyed 0
            0.000s create small
              > create w1 small
            0.000s create small
              > create w2 small
            0.000s create small
              > create w3 small
            0.000s created w1 i-1 10.0.0.1
                w1 created as i-1 in 0ns
              > attach w1 10.0.0.1
              > probe w1 boot deploy list:IfBooted
            0.000s created w2 i-2 10.0.0.2
                w2 created as i-2 in 0ns
              > attach w2 10.0.0.2
              > probe w2 boot deploy list:IfBooted
            0.000s created w3 i-3 10.0.0.3
                w3 created as i-3 in 0ns
              > attach w3 10.0.0.3
              > probe w3 boot deploy list:IfBooted
            1.000s probed w1 ok broken
                w1 ssh up after 1s
                w1 broken: it reports that it is broken
                w1 run => drain: it reports that it is broken
                w1 boot Failure
                w1 booting -> idle: passed its probes
                w1 idle -> shutdown: idle and draining
              > destroy w1 i-1
            1.000s probed w2 ok broken
                w2 ssh up after 1s
                w2 broken: it reports that it is broken
                w2 run => drain: it reports that it is broken
                w2 boot Failure
                w2 booting -> idle: passed its probes
                w2 idle -> shutdown: idle and draining
              > destroy w2 i-2
            1.000s destroyed w1
            1.000s destroyed w2
            1.000s create small
              > create w4 small
            1.000s created w4 i-4 10.0.0.4
                w4 created as i-4 in 0ns
              > attach w4 10.0.0.4
              > probe w4 boot deploy list:IfBooted
            1.000s probed w3 ok broken
                w3 ssh up after 1s
                w3 broken: it reports that it is broken
                w3 run => drain: it reports that it is broken
                w3 boot Failure
                w3 booting -> idle: passed its probes
                w3 idle -> shutdown: idle and draining
                hold small: boot-failing until 61.000s
              > destroy w3 i-3
            1.000s destroyed w3
            1.000s probed w4 ok broken
                w4 ssh up after 0ns
                w4 broken: it reports that it is broken
                w4 run => drain: it reports that it is broken
                w4 boot Failure
                w4 booting -> idle: passed its probes
                w4 idle -> shutdown: idle and draining
              > destroy w4 i-4
            1.000s destroyed w4
            2.000s answer
                w1 gone, was shutdown, shutdown took Some(1s)
                w2 gone, was shutdown, shutdown took Some(1s)
                w3 gone, was shutdown, shutdown took Some(1s)
                w4 gone, was shutdown, shutdown took Some(1s)
              > detach w1
              > detach w2
              > detach w3
              > detach w4
            2.000s create small
                create small refused: boot-failing: 3 failed to boot in a row
            2.000s create big
              > create w5 big
            2.000s created w5 i-5 10.0.0.5
                w5 created as i-5 in 0ns
              > attach w5 10.0.0.5
              > probe w5 boot deploy list:IfBooted
            2.000s kill-instance w5
                w5 boot Aborted
                w5 booting -> shutdown: test
              > destroy w5 i-5
            2.000s destroyed w5
            3.000s answer
                w5 gone, was shutdown, shutdown took Some(1s)
              > detach w5
            61.000s tick
                hold small: boot-failing ended
            61.000s create small
                hold small: boot-failing
              > create w6 small
            61.000s create small
                create small refused: boot-failing: 3 failed to boot in a row; one is trying
            62.000s created w6 i-6 10.0.0.6
                w6 created as i-6 in 1s
              > attach w6 10.0.0.6
              > probe w6 boot deploy list:IfBooted
            63.000s probed w6 ok broken
                w6 ssh up after 1s
                w6 broken: it reports that it is broken
                w6 run => drain: it reports that it is broken
                w6 boot Failure
                w6 booting -> idle: passed its probes
                w6 idle -> shutdown: idle and draining
              > destroy w6 i-6
            63.000s destroyed w6
            64.000s answer
                w6 gone, was shutdown, shutdown took Some(1s)
              > detach w6
            64.000s show
                hold small: boot-failing until Some(183.000s)
                limit Some(8)
            183.000s tick
                hold small: boot-failing ended
            183.000s create small
                hold small: boot-failing
              > create w7 small
            183.000s shutdown w7
                w7 booting -> shutdown: test
            183.000s created w7 i-7 10.0.0.7
                w7 created as i-7 in 0ns
                w7 boot Aborted
                hold small: boot-failing ended
              > attach w7 10.0.0.7
              > destroy w7 i-7
            183.000s destroyed w7
            184.000s answer
                w7 gone, was shutdown, shutdown took Some(1s)
              > detach w7
            184.000s create small
                hold small: boot-failing
              > create w8 small
            184.000s created w8 i-8 10.0.0.8
                w8 created as i-8 in 0ns
              > attach w8 10.0.0.8
              > probe w8 boot deploy list:IfBooted
            185.000s probed w8 ok
                w8 ssh up after 1s
                w8 ready after 0ns
                w8 boot Success
                w8 booting -> idle: passed its probes
                hold small: boot-failing ended
            185.000s show
                w8 i-8 small idle run takes-work known
                limit Some(8)
        "#]],
    );
}

#[test]
fn a_daemon_that_stops_begins_nothing() {
    check(
        "
        0    listed i-1:small:10.0.0.1:behavior=drain i-2:small:10.0.0.2
        0    probed w2 ok
        0    create small
        0    create small
        0    create small
        0    stop
        1    created w3 i-3 10.0.0.3
        1    create small
        1    start w2 c1
        1    probed w1 ok
        1    shutdown w2
        2    kill-instance w2
        9    show
        ",
        expect![[r#"
            0.000s listed i-1:small:10.0.0.1:behavior=drain i-2:small:10.0.0.2
                w1 adopted, drain
                w2 adopted, run
                surveyed 2
              > attach w1 10.0.0.1 without secret
              > probe w1 boot deploy list:Always
              > attach w2 10.0.0.2 without secret
              > probe w2 boot deploy list:Always
            0.000s probed w2 ok
                w2 boot Success
                w2 unknown -> idle: passed its probes
            0.000s create small
              > create w3 small
            0.000s create small
              > create w4 small
            0.000s create small
            0.000s stop
                hold any: stopping
            1.000s created w3 i-3 10.0.0.3
                w3 created as i-3 in 1s
              > attach w3 10.0.0.3
              > probe w3 boot deploy list:IfBooted
            1.000s create small
                create small refused: stopping: the daemon is stopping
            1.000s start w2 c1
                w2 c1 start refused: the daemon is stopping
            1.000s probed w1 ok
                w1 boot Success
                w1 unknown -> idle: passed its probes
            1.000s shutdown w2
            2.000s kill-instance w2
            9.000s show
                w1 i-1 small idle drain known
                w2 i-2 small idle run takes-work known
                w3 i-3 small booting run will-take-work known
                w4 - small booting run will-take-work known
                w5 - small booting run will-take-work known
                hold any: stopping until None
                limit Some(8)
        "#]],
    );
}
