//! Refusals that say that other types will meet them too.

use expect_test::expect;

use super::{check, check_with, script::Script};

fn without_lists() -> Script {
    Script::with(|settings| settings.sync_interval = std::time::Duration::from_secs(100_000))
}

#[test]
fn a_missing_permission_holds_all_types_for_longer_and_longer() {
    check_with(
        without_lists(),
        "
        0    listed
        0    create small
        0    create big
        0    create a1
        0    create-fails w1 all-refused
        0    show
        1    create-fails w2 all-refused
        1    create spot
        1    show
        5    create spot
        5    create a1
        5    create small
        5    create-fails w4 all-refused
        6    create-fails w5 all-refused
        15   create big
        15   create gpu4
        15   create-fails w6 all-refused
        16   show
        ",
        expect![[r#"
            0.000s listed
                surveyed 0
            0.000s create small
              > create w1 small
            0.000s create big
              > create w2 big
            0.000s create a1
            0.000s create-fails w1 all-refused
                w1 creation failed: all-refused (RefusedWidely(Everything), 0ns)
                w3 creation dropped: create-failing: all-refused
                hold any: create-failing until 5.000s
                hold small: create-failing until 10.000s
            0.000s show
                w2 - big booting run will-take-work known
                hold any: create-failing until Some(5.000s)
                hold small: create-failing until Some(10.000s)
                limit Some(8)
            1.000s create-fails w2 all-refused
                w2 creation failed: all-refused (RefusedWidely(Everything), 1s)
                hold big: create-failing until 10.000s
            1.000s create spot
                create spot refused: create-failing: all-refused
            1.000s show
                hold any: create-failing until Some(5.000s)
                hold big: create-failing until Some(10.000s)
                hold small: create-failing until Some(10.000s)
                limit Some(8)
            5.000s tick
                hold any: create-failing ended
            5.000s create spot
              > create w4 spot
            5.000s create a1
              > create w5 a1
            5.000s create small
                create small refused: create-failing: all-refused
            5.000s create-fails w4 all-refused
                w4 creation failed: all-refused (RefusedWidely(Everything), 0ns)
                hold any: create-failing until 15.000s
                hold spot: create-failing until 25.000s
            6.000s create-fails w5 all-refused
                w5 creation failed: all-refused (RefusedWidely(Everything), 1s)
                hold a1: create-failing until 25.000s
            15.000s tick
                hold any: create-failing ended
            15.000s create big
                create big refused: create-failing: all-refused
            15.000s create gpu4
              > create w6 gpu4
            15.000s create-fails w6 all-refused
                w6 creation failed: all-refused (RefusedWidely(Everything), 0ns)
                hold any: create-failing until 35.000s
                hold gpu4: create-failing until 55.000s
            16.000s show
                hold any: create-failing until Some(35.000s)
                hold a1: create-failing until Some(55.000s)
                hold big: create-failing until Some(55.000s)
                hold gpu4: create-failing until Some(55.000s)
                hold small: create-failing until Some(55.000s)
                hold spot: create-failing until Some(55.000s)
                limit Some(8)
        "#]],
    );
}

#[test]
fn what_is_created_ends_it_and_whoever_was_refused_is_believed_for_its_own_type_alone() {
    check_with(
        without_lists(),
        "
        0    listed
        0    create small
        0    create-fails w1 all-refused
        5    create small
        5    create big
        6    show
        6    created w2 i-2 -
        6    show
        6    create small
        6    create-fails w3 all-refused
        6    show
        11   create small
        11   created w4 i-4 -
        11   create small
        11   create-fails w5 all-refused
        11   show
        ",
        expect![[r#"
            0.000s listed
                surveyed 0
            0.000s create small
              > create w1 small
            0.000s create-fails w1 all-refused
                w1 creation failed: all-refused (RefusedWidely(Everything), 0ns)
                hold any: create-failing until 5.000s
                hold small: create-failing until 10.000s
            5.000s tick
                hold any: create-failing ended
            5.000s create small
                create small refused: create-failing: all-refused
            5.000s create big
              > create w2 big
            6.000s show
                w2 - big booting run will-take-work known
                hold small: create-failing until Some(10.000s)
                limit Some(8)
            6.000s created w2 i-2 -
                w2 created as i-2 in 1s
                hold small: create-failing ended
            6.000s show
                w2 i-2 big booting run will-take-work known
                limit Some(8)
            6.000s create small
              > create w3 small
            6.000s create-fails w3 all-refused
                w3 creation failed: all-refused (RefusedWidely(Everything), 0ns)
                hold small: create-failing until 11.000s
            6.000s show
                w2 i-2 big booting run will-take-work known
                hold small: create-failing until Some(11.000s)
                limit Some(8)
            7.000s tick
              > list
            11.000s tick
                hold small: create-failing ended
            11.000s create small
              > create w4 small
            11.000s created w4 i-4 -
                w4 created as i-4 in 0ns
            11.000s create small
              > create w5 small
            11.000s create-fails w5 all-refused
                w5 creation failed: all-refused (RefusedWidely(Everything), 0ns)
                hold any: create-failing until 16.000s
                hold small: create-failing until 21.000s
            11.000s show
                w2 i-2 big booting run will-take-work known
                w4 i-4 small booting run will-take-work known
                hold any: create-failing until Some(16.000s)
                hold small: create-failing until Some(21.000s)
                limit Some(8)
        "#]],
    );
}

#[test]
fn after_a_wide_refusal_each_type_has_its_turn() {
    check_with(
        without_lists(),
        "
        0    listed
        0    create small
        0    create-fails w1 all-refused
        5    create small
        5    create big
        5    create-fails w2 all-refused
        15   create small
        15   create big
        15   create a1
        15   created w3 i-3 -
        15   show
        ",
        expect![[r#"
            0.000s listed
                surveyed 0
            0.000s create small
              > create w1 small
            0.000s create-fails w1 all-refused
                w1 creation failed: all-refused (RefusedWidely(Everything), 0ns)
                hold any: create-failing until 5.000s
                hold small: create-failing until 10.000s
            5.000s tick
                hold any: create-failing ended
            5.000s create small
                create small refused: create-failing: all-refused
            5.000s create big
              > create w2 big
            5.000s create-fails w2 all-refused
                w2 creation failed: all-refused (RefusedWidely(Everything), 0ns)
                hold any: create-failing until 15.000s
                hold big: create-failing until 25.000s
            15.000s tick
                hold any: create-failing ended
            15.000s create small
                create small refused: create-failing: all-refused
            15.000s create big
                create big refused: create-failing: all-refused
            15.000s create a1
              > create w3 a1
            15.000s created w3 i-3 -
                w3 created as i-3 in 0ns
                hold big: create-failing ended
                hold small: create-failing ended
            15.000s show
                w3 i-3 a1 booting run will-take-work known
                limit Some(8)
        "#]],
    );
}

#[test]
fn what_spot_instances_alone_lack_holds_spot_types_alone() {
    check(
        "
        0    listed
        0    create spot
        0    create-fails w1 market-refused
        0    create spot
        0    create small
        0    show
        0    created w2 i-2 -
        1    show
        ",
        expect![[r#"
            0.000s listed
                surveyed 0
            0.000s create spot
              > create w1 spot
            0.000s create-fails w1 market-refused
                w1 creation failed: market-refused (RefusedWidely(Market), 0ns)
                hold spot: create-failing until 5.000s
            0.000s create spot
                create spot refused: create-failing: market-refused
            0.000s create small
              > create w2 small
            0.000s show
                w2 - small booting run will-take-work known
                hold spot: create-failing until Some(5.000s)
                limit Some(8)
            0.000s created w2 i-2 -
                w2 created as i-2 in 0ns
            1.000s tick
              > list
            1.000s show
                w2 i-2 small booting run will-take-work known
                hold spot: create-failing until Some(5.000s)
                limit Some(8)
        "#]],
    );
}

#[test]
fn it_is_forgotten_in_time() {
    check_with(
        without_lists(),
        "
        0    listed
        0    create small
        0    create-fails w1 all-refused
        1300 create small
        1300 create-fails w2 all-refused
        1300 show
        ",
        expect![[r#"
            0.000s listed
                surveyed 0
            0.000s create small
              > create w1 small
            0.000s create-fails w1 all-refused
                w1 creation failed: all-refused (RefusedWidely(Everything), 0ns)
                hold any: create-failing until 5.000s
                hold small: create-failing until 10.000s
            5.000s tick
                hold any: create-failing ended
            10.000s tick
                hold small: create-failing ended
            1300.000s create small
              > create w2 small
            1300.000s create-fails w2 all-refused
                w2 creation failed: all-refused (RefusedWidely(Everything), 0ns)
                hold any: create-failing until 1305.000s
                hold small: create-failing until 1310.000s
            1300.000s show
                hold any: create-failing until Some(1305.000s)
                hold small: create-failing until Some(1310.000s)
                limit Some(8)
        "#]],
    );
}

#[test]
fn after_a_wide_refusal_one_creation_shows_whether_it_is_mended() {
    let mut script = without_lists();
    let mut at_once = |line: &str| {
        script.line(line);
        script.pool.snapshot().orders_at_once
    };
    at_once("0 listed");
    at_once("0 create small");
    assert_eq!(at_once("0 created w1 i-1 -"), Some(2));
    at_once("1 create big");
    assert_eq!(at_once("1 create-fails w2 all-refused"), Some(1));
}
