//! Polls: pace, merging, ownership, bad rows.

use expect_test::expect;

use super::{START, check, check_on};

#[test]
fn a_container_is_listed_sized_and_shown() {
    check(
        "
        0 tick
        10 whoami t1
        40 poll c1:Queued:5 c2:Queued:7:sup c3:Queued:0 c4:Complete:5
        50 show
        60 mounts c1=0 c2=1000
        70 show
        ",
        expect![[r#"
            0 tick
              -> who am I
            10 whoami t1
              -> poll for t1, known [], 100 wanted
              .. we are t1
            40 poll c1:Queued:5 c2:Queued:7:sup c3:Queued:0 c4:Complete:5
              -> mounts of [c2, c1]
              .. polled 4 rows in 30 ms
              .. c1 appeared Queued
              .. c2 appeared Queued
            50 show
              listed at Some(0.010s)
              again at Some(10.040s)
            60 mounts c1=0 c2=1000
            70 show
              listed at Some(0.010s)
              c1 Queued 5 [small] as of 0.010s
              c2 Queued 7 [small] supervisor as of 0.010s
              again at Some(10.040s)
        "#]],
    );
}

#[test]
fn who_we_are_is_asked_until_it_is_known() {
    check(
        "
        0 tick
        10 whoami !500
        11 show
        1010 tick
        1020 whoami t1
        ",
        expect![[r#"
            0 tick
              -> who am I
            10 whoami !500
              .. who are we? 500
            11 show
              listed at None
              again at Some(1.010s)
            1010 tick
              -> who am I
            1020 whoami t1
              -> poll for t1, known [], 100 wanted
              .. we are t1
        "#]],
    );
}

#[test]
fn polls_follow_each_other_after_the_interval_or_as_long_as_the_last_took() {
    check_on(
        "",
        "
        40 poll
        41 show
        10040 tick
        30040 poll
        30041 show
        ",
        expect![[r#"
            40 poll
              .. polled 0 rows in 39 ms
            41 show
              listed at Some(0.001s)
              again at Some(10.040s)
            10040 tick
              -> poll for t1, known [], 100 wanted
            30040 poll
              .. polled 0 rows in 20000 ms
            30041 show
              listed at Some(10.040s)
              again at Some(50.040s)
        "#]],
    );
}

#[test]
fn a_failed_poll_is_repeated_after_a_second_and_changes_nothing() {
    check_on(
        "20 poll c1:Running:5:t1\n 30 mounts c1=0\n 10020 tick",
        "
        10030 poll !503
        10031 show
        11030 tick
        15000 poll !timeout
        15001 show
        ",
        expect![[r#"
            10030 poll !503
              .. poll failed (1): 503
            10031 show
              listed at Some(0.001s)
              c1 Running 5 [small] as of 0.001s
              again at Some(11.030s)
            11030 tick
              -> poll for t1, known [c1], 100 wanted
            15000 poll !timeout
              .. poll failed (2): timeout
            15001 show
              listed at Some(0.001s)
              c1 Running 5 [small] as of 0.001s
              again at Some(18.970s)
        "#]],
    );
}

#[test]
fn a_poke_polls_soon_but_not_in_a_hot_loop() {
    check_on(
        "20 poll",
        "
        30 poke
        31 show
        270 tick
        280 poke
        300 poll
        301 show
        ",
        expect![[r#"
            30 poke
            31 show
              listed at Some(0.001s)
              again at Some(0.270s)
            270 tick
              -> poll for t1, known [], 100 wanted
            280 poke
            300 poll
              .. polled 0 rows in 30 ms
            301 show
              listed at Some(0.270s)
              again at Some(0.550s)
        "#]],
    );
}

#[test]
fn more_rows_are_fetched_when_more_could_be_started_than_the_cut_list_had() {
    check_on(
        "20 poll c1:Queued:5 more\n 25 mounts c1=0",
        "
        30 wanted 50
        31 show
        40 wanted 500
        41 show
        270 tick
        300 poll c1:Queued:5
        310 wanted 900
        311 show
        ",
        expect![[r#"
            30 wanted 50
            31 show
              listed at Some(0.001s)
              c1 Queued 5 [small] as of 0.001s
              again at Some(10.020s)
            40 wanted 500
            41 show
              listed at Some(0.001s)
              c1 Queued 5 [small] as of 0.001s
              again at Some(0.270s)
            270 tick
              -> poll for t1, known [c1], 500 wanted
            300 poll c1:Queued:5
              .. polled 1 rows in 30 ms
            310 wanted 900
            311 show
              listed at Some(0.270s)
              c1 Queued 5 [small] as of 0.270s
              again at Some(10.300s)
        "#]],
    );
}

#[test]
fn a_row_asked_for_before_our_own_deed_was_answered_is_old() {
    check_on(
        "20 poll c1:Queued:5 c2:Locked:5:t1\n 30 mounts c1=0 c2=0",
        "
        1000 lock c1
        1000 unlock c2
        10020 tick
        10030 locked c1 Locked 5 t1
        10040 poll c1:Queued:5 c2:Locked:5:t1
        10041 show
        10050 unlocked c2 Queued 5 -
        20040 tick
        20050 poll c1:Running:5:t1 c2:Queued:5
        20051 show
        ",
        expect![[r#"
            1000 lock c1
              -> lock c1
            1000 unlock c2
              -> unlock c2
            10020 tick
              -> poll for t1, known [c2, c1], 100 wanted
            10030 locked c1 Locked 5 t1
              .. c1 Queued -> Locked
            10040 poll c1:Queued:5 c2:Locked:5:t1
              .. polled 2 rows in 20 ms
            10041 show
              listed at Some(10.020s)
              c1 Locked 5 [small] locked-here as of 1.000s
              c2 Locked 5 [small] busy as of 0.001s
              again at Some(20.040s)
            10050 unlocked c2 Queued 5 -
              .. c2 Locked -> Queued
            20040 tick
              -> poll for t1, known [c1, c2], 100 wanted
            20050 poll c1:Running:5:t1 c2:Queued:5
              .. polled 2 rows in 10 ms
              .. c1 Locked -> Running
            20051 show
              listed at Some(20.040s)
              c1 Running 5 [small] as of 20.040s
              c2 Queued 5 [small] as of 20.040s
              again at Some(30.050s)
        "#]],
    );
}

#[test]
fn a_container_forgotten_during_a_poll_does_not_come_back_with_it() {
    check_on(
        "20 poll c1:Running:5:t1\n 30 mounts c1=0\n 1000 refresh c1\n 1010 read c1 Complete 5 t1",
        "
        10020 tick
        10025 forget c1
        10030 poll c1:Running:5:t1
        10031 show
        20030 tick
        20040 poll c1:Running:5:t1
        ",
        expect![[r#"
            10020 tick
              -> poll for t1, known [], 100 wanted
            10025 forget c1
              .. c1 left: Forgotten
            10030 poll c1:Running:5:t1
              .. polled 1 rows in 10 ms
            10031 show
              listed at Some(10.020s)
              again at Some(20.030s)
            20030 tick
              -> poll for t1, known [], 100 wanted
            20040 poll c1:Running:5:t1
              -> mounts of [c1]
              .. polled 1 rows in 10 ms
              .. c1 appeared Running
        "#]],
    );
}

#[test]
fn only_what_cannot_change_any_more_or_is_on_hold_can_be_forgotten() {
    check_on(
        "20 poll c1:Queued:5 c2:Running:5:t1 c3:Queued:6\n 30 mounts c1=0 c2=0 c3=0\n 10020 tick",
        "
        10030 poll c1:Cancelled:0 c2:Running:5:t1 c3:Queued:0
        10040 forget c1
        10040 forget c2
        10040 forget c3
        10041 show
        ",
        expect![[r#"
            10030 poll c1:Cancelled:0 c2:Running:5:t1 c3:Queued:0
              .. polled 3 rows in 10 ms
              .. c1 Queued -> Cancelled
            10040 forget c1
              .. c1 left: Forgotten
            10040 forget c2
            10040 forget c3
              .. c3 left: Forgotten
            10041 show
              listed at Some(10.020s)
              c2 Running 5 [small] as of 10.020s
              again at Some(20.030s)
        "#]],
    );
}

#[test]
fn what_is_gone_from_the_database_is_dropped() {
    check_on(
        "20 poll c1:Queued:5 c2:Locked:5:t1 c3:Queued:1\n 30 mounts c1=0 c2=0 c3=0",
        "
        10020 tick
        10030 poll gone=c1 gone=c2 unasked=c3
        10031 show
        ",
        expect![[r#"
            10020 tick
              -> poll for t1, known [c2, c1, c3], 100 wanted
            10030 poll gone=c1 gone=c2 unasked=c3
              .. polled 0 rows in 10 ms
              .. c1 left: Deleted
              .. c2 left: Deleted
              .. c3 left: FarDown
            10031 show
              listed at Some(10.020s)
              again at Some(20.030s)
        "#]],
    );
}

#[test]
fn what_others_have_locked_is_not_ours() {
    check_on(
        "20 poll c1:Queued:5 c2:Locked:5:t2 c3:Running:5:t2\n 30 mounts c1=0",
        "
        10020 tick
        10030 poll c1:Locked:5:t2
        10031 show
        ",
        expect![[r#"
            10020 tick
              -> poll for t1, known [c1], 100 wanted
            10030 poll c1:Locked:5:t2
              .. polled 1 rows in 10 ms
              .. c1 left: locked by t2
            10031 show
              listed at Some(10.020s)
              again at Some(20.030s)
        "#]],
    );
}

#[test]
fn a_bad_row_is_told_once_and_concerns_itself_only() {
    check_on(
        "",
        "
        20 poll c1:Queued:5:bad c2:Queued:5 c3:Running:5:t1:bad c4:Queued:1:bad-priority
        30 mounts c1=0 c2=0 c3=0
        31 show
        10020 tick
        10030 poll c1:Queued:5:bad c2:Queued:5 c3:Running:5:t1:bad c4:Queued:1:bad-priority
        20030 tick
        20040 poll c1:Queued:5 c2:Queued:5:bad c3:Running:5:t1 c4:Queued:1
        20050 mounts c4=0
        20051 show
        ",
        expect![[r#"
            20 poll c1:Queued:5:bad c2:Queued:5 c3:Running:5:t1:bad c4:Queued:1:bad-priority
              -> mounts of [c3, c1, c2]
              .. polled 4 rows in 19 ms
              .. Some(c1) unusable: runtime_constraints.ram: a string "much" cannot be used
              .. Some(c3) unusable: runtime_constraints.ram: a string "much" cannot be used
              .. Some(c4) unusable: priority: a string "high" cannot be used
              .. c1 appeared Queued
              .. c2 appeared Queued
              .. c3 appeared Running
            30 mounts c1=0 c2=0 c3=0
            31 show
              listed at Some(0.001s)
              c1 Queued 5 [] of unknown needs as of 0.001s
                problem: the container's record cannot be read: runtime_constraints.ram: a string "much" cannot be used
              c2 Queued 5 [small] as of 0.001s
              c3 Running 5 [] of unknown needs as of 0.001s
                problem: the container's record cannot be read: runtime_constraints.ram: a string "much" cannot be used
              unreadable {c4}
              again at Some(10.020s)
            10020 tick
              -> poll for t1, known [c3, c1, c2], 100 wanted
            10030 poll c1:Queued:5:bad c2:Queued:5 c3:Running:5:t1:bad c4:Queued:1:bad-priority
              .. polled 4 rows in 10 ms
            20030 tick
              -> poll for t1, known [c3, c1, c2], 100 wanted
            20040 poll c1:Queued:5 c2:Queued:5:bad c3:Running:5:t1 c4:Queued:1
              -> mounts of [c4]
              .. polled 4 rows in 10 ms
              .. Some(c2) unusable: runtime_constraints.ram: a string "much" cannot be used
              .. c4 appeared Queued
            20050 mounts c4=0
            20051 show
              listed at Some(20.030s)
              c1 Queued 5 [small] as of 20.030s
              c2 Queued 5 [small] as of 20.030s
              c3 Running 5 [small] as of 20.030s
              c4 Queued 1 [small] as of 20.030s
              again at Some(30.040s)
        "#]],
    );
}

#[test]
fn of_rows_that_cannot_be_read_at_least_it_is_known_that_they_are_there() {
    check_on(
        "",
        "
        20 poll c1:Running:5:t1:bad-priority c2:Frozen:5:t1 c3:Running:5:bad-lock c4:Queued:5:bad-priority c4:Queued:5
        30 mounts c4=0
        31 show
        10020 tick
        10030 poll !503
        10031 show
        11030 tick
        11040 poll c1:Running:5:t1 c4:Frozen:5
        11050 mounts c1=0
        11051 show
        ",
        expect![[r#"
            20 poll c1:Running:5:t1:bad-priority c2:Frozen:5:t1 c3:Running:5:bad-lock c4:Queued:5:bad-priority c4:Queued:5
              -> mounts of [c4]
              .. polled 5 rows in 19 ms
              .. Some(c1) unusable: priority: a string "high" cannot be used
              .. Some(c2) unusable: state: a string "Frozen" cannot be used
              .. Some(c3) unusable: locked_by_uuid: a number 17 cannot be used
              .. Some(c4) unusable: priority: a string "high" cannot be used
              .. c4 appeared Queued
            30 mounts c4=0
            31 show
              listed at Some(0.001s)
              c4 Queued 5 [small] as of 0.001s
              unreadable {c1, c2, c3}
              again at Some(10.020s)
            10020 tick
              -> poll for t1, known [c4], 100 wanted
            10030 poll !503
              .. poll failed (1): 503
            10031 show
              listed at Some(0.001s)
              c4 Queued 5 [small] as of 0.001s
              unreadable {c1, c2, c3}
              again at Some(11.030s)
            11030 tick
              -> poll for t1, known [c4], 100 wanted
            11040 poll c1:Running:5:t1 c4:Frozen:5
              -> mounts of [c1]
              .. polled 2 rows in 10 ms
              .. Some(c4) unusable: state: a string "Frozen" cannot be used
              .. c1 appeared Running
            11050 mounts c1=0
            11051 show
              listed at Some(11.030s)
              c1 Running 5 [small] as of 11.030s
              c4 Queued 5 [small] as of 0.001s
              unreadable {c4}
              again at Some(21.040s)
        "#]],
    );
}

#[test]
fn a_lock_found_at_the_start_is_told_from_our_own() {
    check_on(
        "",
        "
        20 poll c1:Locked:5:t1 c2:Queued:5
        30 mounts c1=0 c2=0
        40 lock c2
        50 locked c2 Locked 5 t1
        51 show
        60 unlock c1
        70 unlocked c1 Queued 5 -
        80 lock c1
        90 locked c1 Locked 5 t1
        91 show
        ",
        expect![[r#"
            20 poll c1:Locked:5:t1 c2:Queued:5
              -> mounts of [c1, c2]
              .. polled 2 rows in 19 ms
              .. c1 appeared Locked
              .. c2 appeared Queued
            30 mounts c1=0 c2=0
            40 lock c2
              -> lock c2
            50 locked c2 Locked 5 t1
              .. c2 Queued -> Locked
            51 show
              listed at Some(0.001s)
              c1 Locked 5 [small] as of 0.001s
              c2 Locked 5 [small] locked-here as of 0.040s
              again at Some(10.020s)
            60 unlock c1
              -> unlock c1
            70 unlocked c1 Queued 5 -
              .. c1 Locked -> Queued
            80 lock c1
              -> lock c1
            90 locked c1 Locked 5 t1
              .. c1 Queued -> Locked
            91 show
              listed at Some(0.001s)
              c1 Locked 5 [small] locked-here as of 0.080s
              c2 Locked 5 [small] locked-here as of 0.040s
              again at Some(10.020s)
        "#]],
    );
}

#[test]
fn locked_and_running_containers_are_shown_before_their_mounts_are_read() {
    check_on(
        "",
        "
        20 poll c1:Locked:5:t1 c2:Running:5:t1 c3:Queued:5
        21 show
        30 mounts c1=0 c2=0 c3=0
        31 show
        ",
        expect![[r#"
            20 poll c1:Locked:5:t1 c2:Running:5:t1 c3:Queued:5
              -> mounts of [c1, c2, c3]
              .. polled 3 rows in 19 ms
              .. c1 appeared Locked
              .. c2 appeared Running
              .. c3 appeared Queued
            21 show
              listed at Some(0.001s)
              c1 Locked 5 [] as of 0.001s
              c2 Running 5 [] as of 0.001s
              again at Some(10.020s)
            30 mounts c1=0 c2=0 c3=0
            31 show
              listed at Some(0.001s)
              c1 Locked 5 [small] as of 0.001s
              c2 Running 5 [small] as of 0.001s
              c3 Queued 5 [small] as of 0.001s
              again at Some(10.020s)
        "#]],
    );
}

#[test]
fn the_start_needs_two_answers() {
    check(
        START,
        expect![[r#"
        0 tick
          -> who am I
        1 whoami t1
          -> poll for t1, known [], 100 wanted
          .. we are t1
    "#]],
    );
}
