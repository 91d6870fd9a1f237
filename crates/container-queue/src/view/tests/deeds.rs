//! Calls about one container.

use expect_test::expect;

use super::{START, check_on, script::Script};

const ONE_OF_EACH: &str = "
    20 poll q:Queued:5 l:Locked:5:t1 r:Running:5:t1
    30 mounts q=0 l=0 r=0
";

#[test]
fn one_call_at_a_time_for_each_container() {
    check_on(
        ONE_OF_EACH,
        "
        40 lock q
        41 lock q
        42 cancel q
        43 show
        50 locked q Locked 6 t1
        51 show
        52 locked q Queued 6 -
        53 show
        ",
        expect![[r#"
            40 lock q
              -> lock q
            41 lock q
            42 cancel q
            43 show
              listed at Some(0.001s)
              l Locked 5 [small] as of 0.001s
              q Queued 5 [small] busy as of 0.001s
              r Running 5 [small] as of 0.001s
              again at Some(10.020s)
            50 locked q Locked 6 t1
              .. q Queued -> Locked
            51 show
              listed at Some(0.001s)
              l Locked 5 [small] as of 0.001s
              q Locked 6 [small] locked-here as of 0.040s
              r Running 5 [small] as of 0.001s
              again at Some(10.020s)
            52 locked q Queued 6 -
            53 show
              listed at Some(0.001s)
              l Locked 5 [small] as of 0.001s
              q Locked 6 [small] locked-here as of 0.040s
              r Running 5 [small] as of 0.001s
              again at Some(10.020s)
        "#]],
    );
}

#[test]
fn wishes_that_do_not_fit_the_state_are_ignored() {
    check_on(
        ONE_OF_EACH,
        "
        40 lock l
        40 lock r
        40 unlock q
        40 unlock r
        40 lock nobody
        40 cancel nobody
        40 forget r
        40 refresh nobody
        ",
        expect![[r#"
            40 lock l
            40 lock r
            40 unlock q
            40 unlock r
            40 lock nobody
            40 cancel nobody
            40 forget r
            40 refresh nobody
        "#]],
    );
}

#[test]
fn an_answer_never_makes_an_entry() {
    check_on(
        "",
        "
        40 locked x Locked 5 t1
        41 read x Running 5 t1
        42 cancelled x Cancelled 5 -
        43 show
        ",
        expect![[r#"
            40 locked x Locked 5 t1
            41 read x Running 5 t1
            42 cancelled x Cancelled 5 -
            43 show
              listed at None
              again at None
        "#]],
    );
}

#[test]
fn an_unlock_may_end_in_a_cancelled_container() {
    check_on(
        ONE_OF_EACH,
        "
        40 unlock l
        50 unlocked l Cancelled 5 -
        51 show
        ",
        expect![[r#"
            40 unlock l
              -> unlock l
            50 unlocked l Cancelled 5 -
              .. l Locked -> Cancelled
            51 show
              listed at Some(0.001s)
              l Cancelled 5 [small] as of 0.040s
              q Queued 5 [small] as of 0.001s
              r Running 5 [small] as of 0.001s
              again at Some(10.020s)
        "#]],
    );
}

#[test]
fn who_runs_is_read_before_it_is_cancelled_and_keeps_what_was_written() {
    check_on(
        ONE_OF_EACH,
        r#"
        40 cancel r
        50 read r Running 5 t1 {"error":"docker died","warning":"slow","errorDetail":"at 12:00"}
        60 cancelled r Cancelled 0 -
        61 show
        "#,
        expect![[r#"
            40 cancel r
              -> read r
            50 read r Running 5 t1 {"error":"docker died","warning":"slow","errorDetail":"at 12:00"}
              -> cancel r {"error":"the runner ended","warning":"slow","errorDetail":"Before that: docker died\nat 12:00"}
            60 cancelled r Cancelled 0 -
              .. r Running -> Cancelled
            61 show
              listed at Some(0.001s)
              l Locked 5 [small] as of 0.001s
              q Queued 5 [small] as of 0.001s
              r Cancelled 0 [small] as of 0.050s
              again at Some(10.020s)
        "#]],
    );
}

#[test]
fn who_has_ended_by_itself_meanwhile_is_not_cancelled() {
    check_on(
        ONE_OF_EACH,
        "
        40 cancel r
        50 read r Complete 5 t1
        60 cancel l
        70 read l Running 5 t1
        71 show
        ",
        expect![[r#"
            40 cancel r
              -> read r
            50 read r Complete 5 t1
              .. r Running -> Complete
            60 cancel l
              -> read l
            70 read l Running 5 t1
              .. l Locked -> Running
            71 show
              listed at Some(0.001s)
              l Running 5 [small] as of 0.060s
              q Queued 5 [small] as of 0.001s
              r Complete 5 [small] as of 0.040s
              again at Some(10.020s)
        "#]],
    );
}

#[test]
fn a_queued_container_is_cancelled_with_one_call() {
    check_on(
        ONE_OF_EACH,
        "40 cancel q\n 50 cancelled q Cancelled 0 -",
        expect![[r#"
            40 cancel q
              -> cancel q {"error":"the runner ended"}
            50 cancelled q Cancelled 0 -
              .. q Queued -> Cancelled
        "#]],
    );
}

#[test]
fn a_refused_lock_pauses_and_is_followed_by_a_look() {
    check_on(
        ONE_OF_EACH,
        "
        40 lock q
        50 locked q !422
        51 lock q
        52 show
        1050 tick
        1060 read q Cancelled 0 -
        1061 show
        ",
        expect![[r#"
            40 lock q
              -> lock q
            50 locked q !422
              .. lock q failed: 422
            51 lock q
            52 show
              listed at Some(0.001s)
              l Locked 5 [small] as of 0.001s
              q Queued 5 [small] busy as of 0.001s
              r Running 5 [small] as of 0.001s
              again at Some(1.050s)
            1050 tick
              -> read q
            1060 read q Cancelled 0 -
              .. q Queued -> Cancelled
            1061 show
              listed at Some(0.001s)
              l Locked 5 [small] as of 0.001s
              q Cancelled 0 [small] as of 1.050s
              r Running 5 [small] as of 0.001s
              again at Some(10.020s)
        "#]],
    );
}

#[test]
fn a_lock_refused_for_load_pauses_without_a_look() {
    check_on(
        ONE_OF_EACH,
        "
        40 lock q
        50 locked q !503
        1050 tick
        1051 show
        1060 lock q
        1070 locked q !notsent
        1071 show
        3070 tick
        3071 show
        ",
        expect![[r#"
            40 lock q
              -> lock q
            50 locked q !503
              .. lock q failed: 503
            1050 tick
            1051 show
              listed at Some(0.001s)
              l Locked 5 [small] as of 0.001s
              q Queued 5 [small] as of 0.001s
              r Running 5 [small] as of 0.001s
              again at Some(10.020s)
            1060 lock q
              -> lock q
            1070 locked q !notsent
              .. lock q failed: notsent
            1071 show
              listed at Some(0.001s)
              l Locked 5 [small] as of 0.001s
              q Queued 5 [small] busy as of 0.001s
              r Running 5 [small] as of 0.001s
              again at Some(3.070s)
            3070 tick
            3071 show
              listed at Some(0.001s)
              l Locked 5 [small] as of 0.001s
              q Queued 5 [small] as of 0.001s
              r Running 5 [small] as of 0.001s
              again at Some(10.020s)
        "#]],
    );
}

#[test]
fn pauses_grow_and_are_forgotten_after_a_success() {
    check_on(
        ONE_OF_EACH,
        "
        40 unlock l
        50 unlocked l !500
        1050 tick
        1060 read l !500
        1061 show
        3060 tick
        3070 read l !timeout
        3071 show
        7070 tick
        7080 read l Locked 5 t1
        7081 show
        15080 unlock l
        15090 unlocked l Queued 5 -
        15100 lock l
        15110 locked l !503
        15111 show
        ",
        expect![[r#"
            40 unlock l
              -> unlock l
            50 unlocked l !500
              .. unlock l failed: 500
            1050 tick
              -> read l
            1060 read l !500
              .. read l failed: 500
            1061 show
              listed at Some(0.001s)
              l Locked 5 [small] busy as of 0.001s
              q Queued 5 [small] as of 0.001s
              r Running 5 [small] as of 0.001s
              again at Some(3.060s)
            3060 tick
              -> read l
            3070 read l !timeout
              .. read l failed: timeout
            3071 show
              listed at Some(0.001s)
              l Locked 5 [small] busy as of 0.001s
              q Queued 5 [small] as of 0.001s
              r Running 5 [small] as of 0.001s
              again at Some(7.070s)
            7070 tick
              -> read l
            7080 read l Locked 5 t1
            7081 show
              listed at Some(0.001s)
              l Locked 5 [small] as of 7.070s
              q Queued 5 [small] as of 0.001s
              r Running 5 [small] as of 0.001s
              again at Some(10.020s)
            15080 unlock l
              -> poll for t1, known [l, r, q], 100 wanted
              -> unlock l
            15090 unlocked l Queued 5 -
              .. l Locked -> Queued
            15100 lock l
              -> lock l
            15110 locked l !503
              .. lock l failed: 503
            15111 show
              listed at Some(0.001s)
              l Queued 5 [small] busy as of 15.080s
              q Queued 5 [small] as of 0.001s
              r Running 5 [small] as of 0.001s
              again at Some(16.110s)
        "#]],
    );
}

#[test]
fn a_lock_whose_answer_was_lost_is_found_out() {
    check_on(
        ONE_OF_EACH,
        "
        40 lock q
        5000 locked q !timeout
        6000 tick
        6010 read q Locked 5 t1
        6011 show
        ",
        expect![[r#"
            40 lock q
              -> lock q
            5000 locked q !timeout
              .. lock q failed: timeout
            6000 tick
              -> read q
            6010 read q Locked 5 t1
              .. q Queued -> Locked
            6011 show
              listed at Some(0.001s)
              l Locked 5 [small] as of 0.001s
              q Locked 5 [small] locked-here as of 6.000s
              r Running 5 [small] as of 0.001s
              again at Some(10.020s)
        "#]],
    );
}

#[test]
fn a_look_that_load_prevents_is_taken_again() {
    // The unlock took effect; until that is known, nothing must be started on the strength of the lock.
    for prevented in ["!503", "!notsent"] {
        let mut run = Script::new();
        let _ = run.run(START);
        let _ = run.run(ONE_OF_EACH);
        let script = format!(
            "
            40 unlock l
            50 unlocked l !timeout
            1050 tick
            1060 read l {prevented}
            1061 show
            3060 tick
            3061 show
            3070 read l Queued 5 -
            3071 show
            "
        );
        let shown = run.run(&script).replace(prevented, "PREVENTED");
        let shown = shown.replace(prevented.trim_start_matches('!'), "PREVENTED");
        expect![[r#"
            40 unlock l
              -> unlock l
            50 unlocked l !timeout
              .. unlock l failed: timeout
            1050 tick
              -> read l
            1060 read l PREVENTED
              .. read l failed: PREVENTED
            1061 show
              listed at Some(0.001s)
              l Locked 5 [small] busy as of 0.001s
              q Queued 5 [small] as of 0.001s
              r Running 5 [small] as of 0.001s
              again at Some(3.060s)
            3060 tick
              -> read l
            3061 show
              listed at Some(0.001s)
              l Locked 5 [small] busy as of 0.001s
              q Queued 5 [small] as of 0.001s
              r Running 5 [small] as of 0.001s
              again at Some(10.020s)
            3070 read l Queued 5 -
              .. l Locked -> Queued
            3071 show
              listed at Some(0.001s)
              l Queued 5 [small] as of 3.060s
              q Queued 5 [small] as of 0.001s
              r Running 5 [small] as of 0.001s
              again at Some(10.020s)
        "#]]
        .assert_eq(&shown);
    }
}

#[test]
fn a_404_is_settled_by_the_next_poll() {
    check_on(
        ONE_OF_EACH,
        "
        1000 lock q
        1010 locked q !404
        1020 poll l:Locked:5:t1 r:Running:5:t1 gone=q
        1021 show
        ",
        expect![[r#"
            1000 lock q
              -> lock q
            1010 locked q !404
              -> poll for t1, known [l, r, q], 100 wanted
              .. lock q failed: 404
            1020 poll l:Locked:5:t1 r:Running:5:t1 gone=q
              .. polled 2 rows in 10 ms
              .. q left: Deleted
            1021 show
              listed at Some(1.010s)
              l Locked 5 [small] as of 1.010s
              r Running 5 [small] as of 1.010s
              again at Some(11.020s)
        "#]],
    );
}

#[test]
fn a_lock_that_others_hold_is_not_ours() {
    check_on(
        ONE_OF_EACH,
        "
        40 refresh l
        50 read l Locked 5 t2
        51 show
        ",
        expect![[r#"
            40 refresh l
              -> read l
            50 read l Locked 5 t2
              .. l left: locked by t2
            51 show
              listed at Some(0.001s)
              q Queued 5 [small] as of 0.001s
              r Running 5 [small] as of 0.001s
              again at Some(10.020s)
        "#]],
    );
}

#[test]
fn a_cancellation_lost_to_a_race_is_not_worth_a_word() {
    check_on(
        ONE_OF_EACH,
        "
        40 cancel q
        50 cancelled q !422
        1050 tick
        1060 read q Cancelled 0 -
        ",
        expect![[r#"
            40 cancel q
              -> cancel q {"error":"the runner ended"}
            50 cancelled q !422
            1050 tick
              -> read q
            1060 read q Cancelled 0 -
              .. q Queued -> Cancelled
        "#]],
    );
}

#[test]
fn where_the_api_takes_no_reason_the_cancellation_goes_without() {
    check_on(
        ONE_OF_EACH,
        "
        40 cancel q
        50 cancelled q !422
        1050 tick
        1060 read q Queued 5 -
        1070 cancel q
        1080 cancelled q Cancelled 0 -
        ",
        expect![[r#"
            40 cancel q
              -> cancel q {"error":"the runner ended"}
            50 cancelled q !422
            1050 tick
              -> read q
            1060 read q Queued 5 -
              .. cancel q failed: 422
            1070 cancel q
              -> cancel q
            1080 cancelled q Cancelled 0 -
              .. q Queued -> Cancelled
        "#]],
    );
}

#[test]
fn news_of_a_container_that_is_busy_are_read_when_it_is_free() {
    check_on(
        ONE_OF_EACH,
        "
        40 refresh r
        41 refresh r
        50 read r Running 5 t1
        60 read r Complete 5 t1
        70 refresh r
        ",
        expect![[r#"
            40 refresh r
              -> read r
            41 refresh r
            50 read r Running 5 t1
              -> read r
            60 read r Complete 5 t1
              .. r Running -> Complete
            70 refresh r
        "#]],
    );
}

#[test]
fn a_poll_asked_for_before_the_news_does_not_replace_the_look() {
    check_on(
        ONE_OF_EACH,
        "
        10000 unlock l
        10010 unlocked l !503
        10020 tick
        10025 refresh l
        10030 poll l:Locked:5:t1 q:Queued:5 r:Running:5:t1
        11010 tick
        ",
        expect![[r#"
            10000 unlock l
              -> unlock l
            10010 unlocked l !503
              .. unlock l failed: 503
            10020 tick
              -> poll for t1, known [l, r, q], 100 wanted
            10025 refresh l
            10030 poll l:Locked:5:t1 q:Queued:5 r:Running:5:t1
              .. polled 3 rows in 10 ms
            11010 tick
              -> read l
        "#]],
    );
}

#[test]
fn calls_are_bounded_in_number_and_wait_for_their_turn() {
    let mut run = super::Script::new();
    let rows: Vec<String> = (100..200).map(|i| format!("c{i}:Queued:5")).collect();
    let mounts = |from: usize, to: usize| {
        let words: Vec<String> = (from..to).map(|i| format!("c{i}=0")).collect();
        format!("30 mounts {}\n", words.join(" "))
    };
    let _ = run.run(super::START);
    let _ = run.run(&format!("20 poll {}", rows.join(" ")));
    let _ = run.run(&(mounts(100, 150) + &mounts(150, 200)));
    let locks: Vec<String> = (100..200).map(|i| format!("40 lock c{i}")).collect();
    let sent = run.run(&locks.join("\n"));
    assert_eq!(sent.matches("-> lock").count(), 64);
    assert!(run.view.snapshot().entries.values().all(|entry| entry.busy));
    let next = run.run("50 locked c100 Locked 5 t1");
    expect_test::expect![[r#"
        50 locked c100 Locked 5 t1
          -> lock c164
          .. c100 Queued -> Locked
    "#]]
    .assert_eq(&next);
}
