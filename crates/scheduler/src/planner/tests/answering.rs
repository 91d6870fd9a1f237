//! Workers that were ready and failed their last probe.

use expect_test::expect;

use super::check;

#[test]
fn nothing_is_started_on_a_worker_that_does_not_answer_nor_locked_for_it() {
    check(
        "
        worker 1 type1 idle failing
        queued a p1
        ",
        expect![[r#"
            a: waits for w1 to answer again
        "#]],
    );
}

#[test]
fn a_worker_that_answers_is_preferred_to_one_that_does_not() {
    check(
        "
        worker 1 type1 idle failing
        worker 2 type1 idle
        locked a p1
        ",
        expect![[r#"
            start a on w2
            a: about to start on w2
        "#]],
    );
}

#[test]
fn nobody_waits_for_a_worker_that_has_not_answered_twice() {
    check(
        "
        worker 1 type1 idle dead
        locked a p1
        ",
        expect![[r#"
            create type1 for a
            a: waits for a new type1
        "#]],
    );
}
