//! Containers that ask for an image of their own: they share nothing with others, not even an instance that is idle.

use expect_test::expect;

use super::check;

#[test]
fn a_container_lands_only_on_an_instance_with_its_image() {
    check(
        "
        worker 1 type2 idle
        worker 2 type2@rocky idle
        locked a p3 cpu=2 on=type2@rocky
        locked b p2 cpu=2 on=type2@rocky
        locked c p1 cpu=2 on=type2
        ",
        expect![[r#"
            start a on w2
            start c on w1
            create type2@rocky for b
            a: about to start on w2
            b: waits for a new type2@rocky
            c: about to start on w1
        "#]],
    );
    check(
        "
        worker 1 type2 booting
        worker 2 type2 idle
        locked a p3 on=type2@rocky
        ",
        expect![[r#"
            create type2@rocky for a
            a: waits for a new type2@rocky
        "#]],
    );
}

#[test]
fn an_idle_instance_with_another_image_makes_room_at_the_limit() {
    check(
        "
        instances max=1
        hold max-instances
        worker 1 type2 idle
        locked a p3 on=type2@rocky
        ",
        expect![[r#"
            shut down w1
            a: max-instances, position 1
            again at 390.000s
        "#]],
    );
}

#[test]
fn an_image_whose_instances_fail_holds_up_no_other() {
    check(
        "
        typehold type2@rocky boot-failing until=200
        locked a p3 on=type2@rocky
        locked b p2 on=type2
        ",
        expect![[r#"
            create type2 for b
            a: types held (type2@rocky boot-failing), position 1
            b: waits for a new type2
            again at 200.000s
        "#]],
    );
}
