//! What happens when the cloud allows no more instances (facts S8–S18, K4, K16, K17).

use expect_test::expect;

use super::check;

#[test]
fn packing_goes_on_at_quota() {
    // Facts K4: one worker, eight containers that fit on it together.
    check(
        "
        instances max=1
        worker 1 type8 running : r1 r2
        running r1 on=type8
        running r2 on=type8
        locked a p9 on=type8
        locked b p8 on=type8
        queued c p7 on=type8
        queued d p6 cpu=2 on=type8
        queued e p5 cpu=3 on=type8
        ",
        expect![[r#"
            lock c
            lock d
            start a on w1
            start b on w1
            a: about to start on w1
            b: about to start on w1
            c: about to start on w1
            d: about to start on w1
            e: max-instances, position 1
            again at 390.000s
        "#]],
    );
}

#[test]
fn at_quota_idle_workers_that_nobody_can_use_make_way_and_the_next_in_line_keeps_its_lock() {
    check(
        "
        instances max=3
        worker 1 type1 idle
        worker 2 type2 idle
        worker 3 type1 booting
        locked a p9 cpu=4
        locked b p8 cpu=4
        locked c p7 cpu=4
        locked d p1 cpu=2
        ",
        expect![[r#"
            unlock b: AtQuota
            unlock c: AtQuota
            start d on w2
            shut down w1
            shut down w3
            a: max-instances, position 1
            b: max-instances, position 2
            c: max-instances, position 3
            d: about to start on w2
            again at 390.000s
        "#]],
    );
}

#[test]
fn no_more_workers_make_way_than_are_wanted() {
    check(
        "
        instances max=4
        worker 1 type1 idle
        worker 2 type2 idle
        worker 3 type1 shutdown
        worker 4 type3 idle hold
        locked a p9 cpu=4
        locked b p9 cpu=4
        ",
        expect![[r#"
            unlock b: AtQuota
            shut down w2
            a: max-instances, position 1
            b: max-instances, position 2
            again at 390.000s
        "#]],
    );
    check(
        "
        instances max=3
        worker 1 type1 idle
        worker 2 type2 idle
        worker 3 type1 shutdown
        locked a p9 cpu=4
        ",
        expect![[r#"
            a: max-instances, position 1
            again at 390.000s
        "#]],
    );
}

#[test]
fn workers_that_are_held_unknown_or_being_created_never_make_way() {
    check(
        "
        instances max=4
        worker 1 type1 idle hold
        worker 2 type1 booting creating
        worker 3 type1 unknown
        worker 4 type1 running : r
        running r
        locked a p9 cpu=4
        ",
        expect![[r#"
            a: max-instances, position 1
            again at 390.000s
        "#]],
    );
}

#[test]
fn without_a_single_instance_even_the_next_in_line_is_given_back() {
    check(
        "
        hold quota until=160
        locked a p9
        locked b p8
        ",
        expect![[r#"
            unlock a: NoInstances
            unlock b: NoInstances
            a: quota, position 1
            b: quota, position 2
            again at 160.000s
        "#]],
    );
}

#[test]
fn a_create_that_is_refused_for_now_costs_no_worker_and_no_lock() {
    check(
        "
        hold rate-limit until=103
        worker 1 type1 idle
        worker 2 type1 booting
        locked a p9 cpu=4
        locked b p8 cpu=4
        queued c p7 cpu=4
        ",
        expect![[r#"
            a: rate-limit, position 1
            b: rate-limit, position 2
            c: rate-limit, position 3
            again at 103.000s
        "#]],
    );
}

#[test]
fn at_quota_small_containers_go_past_a_big_one_that_waits() {
    // Facts K17.
    check(
        "
        instances max=1
        worker 1 type4 running : r
        running r cpu=2 on=type4
        locked big p9 cpu=8
        queued s1 p1 on=type4
        queued s2 p1 on=type4
        queued s3 p1 on=type4
        ",
        expect![[r#"
            lock s1
            lock s2
            big: max-instances, position 1
            s1: about to start on w1
            s2: about to start on w1
            s3: max-instances, position 2
            again at 390.000s
        "#]],
    );
}

#[test]
fn after_its_patience_the_worker_nearest_to_having_room_is_kept_for_it() {
    check(
        "
        now 400
        instances max=2
        worker 1 type8 running : r1 r2
        worker 2 type8 running : r3
        running r1 cpu=3 on=type8
        running r2 cpu=1 on=type8
        running r3 cpu=5 on=type8
        queued big p9 cpu=8 seen=50
        queued s1 p1 on=type8 seen=390
        ",
        expect![[r#"
            lock big
            lock s1
            big: max-instances, position 1, w1 is kept for it
            s1: about to start on w2
        "#]],
    );
}

#[test]
fn after_its_patience_an_instance_of_another_type_is_emptied_to_make_way() {
    check(
        "
        now 400
        instances max=2
        worker 1 type4 running : r1 r2
        worker 2 type4 running : r3
        running r1 on=type4
        running r2 on=type4
        running r3 on=type4
        queued big p9 cpu=8 seen=50
        queued s1 p1 on=type4 seen=390
        ",
        expect![[r#"
            lock big
            lock s1
            big: max-instances, position 1, w2 is kept for it
            s1: about to start on w1
        "#]],
    );
    check(
        "
        now 400
        instances max=2
        worker 1 type4 running : r1 r2
        worker 2 type4 idle
        running r1 on=type4
        running r2 on=type4
        queued big p9 cpu=8 seen=50
        queued s1 p1 on=type4 seen=390
        queued s2 p1 on=type4 seen=390
        queued s3 p1 on=type4 seen=390
        ",
        expect![[r#"
            lock big
            lock s1
            lock s2
            shut down w2
            big: max-instances, position 1, w2 is kept for it
            s1: about to start on w1
            s2: about to start on w1
            s3: max-instances, position 2
            again at 690.000s
        "#]],
    );
}

#[test]
fn an_instance_already_on_its_way_out_is_enough() {
    check(
        "
        now 400
        instances max=2
        worker 1 type4 running : r1
        worker 2 type4 shutdown
        running r1 on=type4
        queued big p9 cpu=8 seen=50
        queued s1 p1 on=type4 seen=390
        ",
        expect![[r#"
            lock s1
            big: max-instances, position 1
            s1: about to start on w1
        "#]],
    );
}

#[test]
fn at_most_one_worker_in_four_is_kept() {
    let mut situation = String::from("now 400\ninstances max=8\n");
    for number in 1..=8 {
        situation.push_str(&format!(
            "worker {number} type4 running : r{number}\nrunning r{number} cpu=2 on=type4\n"
        ));
    }
    for number in 1..=4 {
        situation.push_str(&format!("queued big{number} p9 cpu=4 seen={number}\n"));
    }
    check(
        &situation,
        expect![[r#"
            lock big1
            lock big2
            big1: max-instances, position 1, w1 is kept for it
            big2: max-instances, position 2, w2 is kept for it
            big3: max-instances, position 3
            big4: max-instances, position 4
        "#]],
    );
}

#[test]
fn a_kept_worker_takes_no_lower_container_even_if_that_is_locked_too() {
    check(
        "
        now 400
        instances max=1
        worker 1 type8 running : r
        running r cpu=7 on=type8
        locked big p4 cpu=8 seen=50
        locked small p1 on=type8 seen=350
        queued urgent p9 on=type8 seen=399
        ",
        expect![[r#"
            unlock small: AtQuota
            big: max-instances, position 1, w1 is kept for it
            small: max-instances, position 2
            urgent: max-instances, position 3
            again at 650.000s
        "#]],
    );
}

#[test]
fn however_old_a_container_is_it_does_not_go_before_higher_ones() {
    check(
        "
        now 400
        instances max=2
        worker 1 type8 running : r
        worker 2 type1 idle
        running r cpu=7 on=type8
        queued old p1 on=type1 seen=0
        queued big p1 cpu=8 seen=0
        queued urgent1 p9 on=type1 seen=399
        queued urgent2 p8 on=type8 seen=399
        ",
        expect![[r#"
            lock urgent1
            lock urgent2
            lock big
            big: max-instances, position 1, w1 is kept for it
            old: max-instances, position 2
            urgent1: about to start on w2
            urgent2: about to start on w1
        "#]],
    );
}

#[test]
fn a_container_whose_types_are_all_held_gets_a_worker_kept_too() {
    check(
        "
        now 400
        typehold type8 capacity until=430
        worker 1 type8 running : r
        worker 2 type8 running : q
        running r cpu=7 on=type8
        running q cpu=4 on=type8
        queued big p9 cpu=8 seen=50
        queued small p1 on=type8 seen=390
        ",
        expect![[r#"
            lock big
            lock small
            big: types held (type8 capacity), position 1, w2 is kept for it
            small: about to start on w1
            again at 430.000s
        "#]],
    );
}

#[test]
fn creates_never_exceed_the_limit_on_instances() {
    check(
        "
        instances max=3
        worker 1 type1 shutdown
        locked a p9
        locked b p8
        locked c p7
        queued d p6
        ",
        expect![[r#"
            create type1 for a
            create type1 for b
            a: waits for a new type1
            b: waits for a new type1
            c: max-instances, position 1
            d: max-instances, position 2
            again at 390.000s
        "#]],
    );
}

#[test]
fn at_the_spending_limit_nobody_comes_past_whoever_saves_for_a_larger_instance() {
    // Types cost a cent for each core. Two are spent, four more are too many, and the one that would be left is not
    // given to whoever is less urgent.
    check(
        "
        price max=0.05
        worker 1 type2 running : r
        running r cpu=2 on=type2
        queued a p9 cpu=4
        queued b p8 cpu=1
        ",
        expect![[r#"
            a: spending-limit, position 1
            b: spending-limit, position 2
            again at 390.000s
        "#]],
    );
    check(
        "
        price max=0.07
        worker 1 type2 running : r
        running r cpu=2 on=type2
        queued a p9 cpu=4
        queued b p8 cpu=1
        queued c p7 cpu=1
        ",
        expect![[r#"
            lock a
            lock b
            a: waits for a new type4
            b: waits for a new type1
            c: spending-limit, position 1
            again at 390.000s
        "#]],
    );
    // What is idle and of no use makes room.
    check(
        "
        price max=0.05
        worker 1 type2 idle
        queued a p9 cpu=4
        ",
        expect![[r#"
            shut down w1
            a: spending-limit, position 1
            again at 390.000s
        "#]],
    );
}

#[test]
fn nobody_saves_for_what_the_spending_limit_can_never_pay_for_nor_makes_room_for_it() {
    // Every type that would do for `a` costs more than all may cost together: the others are served as if it were not
    // there, and the idle instance stays.
    check(
        "
        price max=0.03
        worker 1 type2 idle
        queued a p9 cpu=4
        queued b p8 cpu=2
        queued c p7 cpu=1
        ",
        expect![[r#"
            lock b
            lock c
            a: types held (type4 too-dear), position 1
            b: about to start on w1
            c: waits for a new type1
            again at 390.000s
        "#]],
    );
}
