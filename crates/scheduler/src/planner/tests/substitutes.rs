//! Types that stand in for others (facts K34).

use expect_test::expect;

use super::check;

#[test]
fn a_type_that_is_interrupted_too_often_has_its_substitute_created() {
    check(
        "
        typehold type2 spot-interrupted until=200
        substitute type2 type4
        locked a p9 on=type2
        queued b p8 on=type2
        ",
        expect![[r#"
            lock b
            create type4 for a
            a: waits for a new type4
            b: waits for a new type4
        "#]],
    );
}

#[test]
fn another_type_of_its_own_comes_before_a_substitute() {
    check(
        "
        typehold type2 capacity until=200
        substitute type2 type4
        locked a p9 on=type2,type3
        ",
        expect![[r#"
            create type3 for a
            a: waits for a new type3
        "#]],
    );
}

#[test]
fn a_substitute_that_is_held_itself_is_named_among_what_is_held() {
    check(
        "
        typehold type2 capacity until=200
        typehold type4 create-failing until=150
        substitute type2 type4
        locked a p9 on=type2
        ",
        expect![[r#"
            a: types held (type2 capacity, type4 create-failing), position 1
            again at 150.000s
        "#]],
    );
}

#[test]
fn what_was_created_as_a_substitute_is_used_but_no_more_are_created_when_the_type_is_to_be_had_again()
 {
    check(
        "
        substitute type2 type4
        worker 1 type4 idle
        worker 2 type4 booting
        locked a p9 cpu=2 on=type2
        locked b p8 cpu=4 ram=4 on=type2
        locked c p7 cpu=2 on=type2
        locked d p6 cpu=2 on=type2
        ",
        expect![[r#"
            start a on w1
            start c on w1
            create type2 for d
            a: about to start on w1
            b: waits for w2 to boot
            c: about to start on w1
            d: waits for a new type2
        "#]],
    );
}

#[test]
fn a_type_whose_instances_do_not_boot_has_no_substitute() {
    check(
        "
        typehold type2 boot-failing until=200
        substitute type2 type4
        locked a p9 on=type2
        ",
        expect![[r#"
            a: types held (type2 boot-failing), position 1
            again at 200.000s
        "#]],
    );
}

#[test]
fn without_a_substitute_other_types_stay_what_they_are_for() {
    check(
        "
        typehold type2 spot-interrupted until=200
        worker 1 type4 idle
        locked a p9 on=type2
        ",
        expect![[r#"
            a: types held (type2 spot-interrupted), position 1
            again at 200.000s
        "#]],
    );
}
