//! States that this version of Arvados' API does not know, or did not when this was written.

use expect_test::expect;

use super::check_on;

#[test]
fn a_state_nobody_knows_is_told_once_and_changes_nothing() {
    check_on(
        "
        5 poll c1:Queued:5 c2:Queued:4
        6 mounts c1=0 c2=0
        ",
        "
        10020 tick
        10030 poll c1:Frozen:5 c2:Queued:4 c3:Frozen:3
        20030 tick
        20040 poll c1:Frozen:5 c2:Queued:4 c3:Frozen:3
        20041 show
        30040 tick
        30050 poll c1:Queued:5 c2:Queued:4
        40050 tick
        40060 poll c1:Frozen:5 c2:Queued:4
        40061 lock c2
        40070 locked c2 Frozen 4 t1
        40080 show
        ",
        expect![[r#"
            10020 tick
              -> poll for t1, known [c1, c2], 100 wanted
            10030 poll c1:Frozen:5 c2:Queued:4 c3:Frozen:3
              .. polled 3 rows in 10 ms
              .. Some(c1) unusable: state: a string "Frozen" cannot be used
              .. Some(c3) unusable: state: a string "Frozen" cannot be used
            20030 tick
              -> poll for t1, known [c1, c2], 100 wanted
            20040 poll c1:Frozen:5 c2:Queued:4 c3:Frozen:3
              .. polled 3 rows in 10 ms
            20041 show
              listed at Some(20.030s)
              c1 Queued 5 [small] as of 0.001s
              c2 Queued 4 [small] as of 20.030s
              unreadable {c1, c3}
              again at Some(30.040s)
            30040 tick
              -> poll for t1, known [c1, c2], 100 wanted
            30050 poll c1:Queued:5 c2:Queued:4
              .. polled 2 rows in 10 ms
            40050 tick
              -> poll for t1, known [c1, c2], 100 wanted
            40060 poll c1:Frozen:5 c2:Queued:4
              .. polled 2 rows in 10 ms
              .. Some(c1) unusable: state: a string "Frozen" cannot be used
            40061 lock c2
              -> lock c2
            40070 locked c2 Frozen 4 t1
              .. lock c2 failed: the API's answer cannot be used: state: a string "Frozen" cannot be used
            40080 show
              listed at Some(40.050s)
              c1 Queued 5 [small] as of 30.040s
              c2 Queued 4 [small] busy as of 40.050s
              unreadable {c1}
              again at Some(41.070s)
        "#]],
    );
}
