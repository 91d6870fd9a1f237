//! Types, groups and markets that are sold out (facts S25, S29).

use expect_test::expect;

use super::check;

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
                hold small@rocky: capacity until 61.000s
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
                hold small@rocky: capacity until Some(61.000s)
                limit Some(8)
            36.000s tick
                w2 creation unsure: no answer
                hold spot: create-failing until 37.000s
            37.000s tick
                hold spot: create-failing ended
              > list
            61.000s tick
                hold small: capacity ended
                hold small@rocky: capacity ended
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
fn a_group_that_the_driver_told_of_is_held_with_all_its_types_at_its_first_refusal() {
    check(
        "
        0    listed
        0    groups M.SMALL=f m.big=f a.1=g
        0    create small
        1    create-fails w1 group=f
        ",
        expect![[r#"
            0.000s listed
                surveyed 0
            0.000s groups M.SMALL=f m.big=f a.1=g
            0.000s create small
              > create w1 small
            1.000s create-fails w1 group=f
                w1 creation failed: group=f (Capacity(QuotaGroup("f")), 1s)
                hold big: capacity until 61.000s
                hold small: capacity until 61.000s
                hold small@rocky: capacity until 61.000s
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
                hold small@rocky: capacity until 61.000s
              > create w4 big
        "#]],
    );
}
