//! Creations whose outcome comes from a list, late, or never.

use expect_test::expect;

use super::check;

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
                w2 creation failed: no list has shown its instance (OutcomeUnknown, 21s)
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
                w1 creation failed: no list has shown its instance (OutcomeUnknown, 61s)
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
