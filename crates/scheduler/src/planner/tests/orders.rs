//! Few creations at once while nobody knows what the account allows: a lock for nothing is an attempt wasted.

use expect_test::expect;

use super::check;

#[test]
fn no_more_containers_are_locked_than_creations_may_be_under_way() {
    check(
        "
        orders max=2
        queued a p4
        queued b p3
        queued c p2
        queued d p1
        ",
        expect![[r#"
            lock a
            lock b
            a: waits for a new type1
            b: waits for a new type1
            c: waits for a new type1
            d: waits for a new type1
        "#]],
    );
}

#[test]
fn those_that_are_locked_order_their_instances_when_the_answers_come() {
    check(
        "
        orders max=2
        worker 1 type1 booting creating
        locked a p4
        locked b p3
        locked c p2
        queued d p1
        ",
        expect![[r#"
            create type1 for b
            a: waits for w1 to boot
            b: waits for a new type1
            c: waits for a new type1
            d: waits for a new type1
        "#]],
    );
    check(
        "
        orders max=3
        worker 1 type1 booting
        locked a p4
        locked b p3
        locked c p2
        queued d p1
        ",
        expect![[r#"
            lock d
            create type1 for b
            create type1 for c
            a: waits for w1 to boot
            b: waits for a new type1
            c: waits for a new type1
            d: waits for a new type1
        "#]],
    );
}

#[test]
fn one_container_is_locked_for_an_instance_until_the_cloud_has_accepted_it() {
    check(
        "
        orders max=2
        worker 1 type4 booting creating
        locked a p3 cpu=1 on=type4
        queued b p2 cpu=1 on=type4
        queued c p1 cpu=1 on=type4
        ",
        expect![[r#"
            a: waits for w1 to boot
            b: waits for w1 to boot
            c: waits for w1 to boot
        "#]],
    );
    check(
        "
        orders max=2
        worker 1 type4 booting
        locked a p3 cpu=1 on=type4
        queued b p2 cpu=1 on=type4
        queued c p1 cpu=1 on=type4
        ",
        expect![[r#"
            lock b
            lock c
            a: waits for w1 to boot
            b: waits for w1 to boot
            c: waits for w1 to boot
        "#]],
    );
}
