//! Workflow runners that may not run yet (facts S14 to S17).

use expect_test::expect;

use super::check;

#[test]
fn excess_queued_supervisors_shut_nothing_down() {
    // Facts §6.2.16: they have no lock to give back, and no idle or booting worker makes way because of them.
    check(
        "
        limit supervisors=1
        instances max=4
        worker 1 type1 running : s1
        worker 2 type1 idle
        worker 3 type2 idle
        worker 4 type1 booting
        running s1 supervisor
        queued s2 p9 supervisor
        queued s3 p8 cpu=4 supervisor
        ",
        expect![[r#"
            s2: supervisor limit, position 1
            s3: supervisor limit, position 2
        "#]],
    );
}
