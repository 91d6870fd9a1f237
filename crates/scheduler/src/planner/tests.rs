//! Situations and the plans they lead to (facts §6.2, S1–S39 and the K numbers that concern the planner).

mod answering;
mod images;
mod orders;
mod properties;
mod quota;
mod simulation;
mod substitutes;
mod supervisors;

use expect_test::{Expect, expect};

use crate::testing::{Situation, write_plan};

#[track_caller]
fn check(situation: &str, expected: Expect) {
    expected.assert_eq(&write_plan(&Situation::read(situation).plan()));
}

#[test]
fn the_highest_priority_takes_the_idle_worker_and_each_other_gets_a_new_one() {
    check(
        "
        worker 1 type1 idle
        locked a p1
        locked b p2
        locked c p3
        ",
        expect![[r#"
            start c on w1
            create type1 for b
            create type1 for a
            a: waits for a new type1
            b: waits for a new type1
            c: about to start on w1
        "#]],
    );
}

#[test]
fn two_containers_share_each_new_instance_with_room_for_both() {
    check(
        "
        locked a p4 on=type2
        locked b p3 on=type2
        locked c p2 on=type2
        locked d p1 on=type2
        ",
        expect![[r#"
            create type2 for a
            create type2 for c
            a: waits for a new type2
            b: waits for a new type2
            c: waits for a new type2
            d: waits for a new type2
        "#]],
    );
}

#[test]
fn an_idle_bigger_worker_within_the_price_factor_is_used() {
    check(
        "
        worker 1 type3 idle
        locked a cpu=2 on=type2,type3
        ",
        expect![[r#"
            start a on w1
            a: about to start on w1
        "#]],
    );
}

#[test]
fn an_idle_worker_above_the_price_factor_is_not_used() {
    check(
        "
        worker 1 type4 idle
        locked a cpu=2 on=type2,type3
        ",
        expect![[r#"
            create type2 for a
            a: waits for a new type2
        "#]],
    );
}

#[test]
fn spare_room_on_a_busy_worker_is_used() {
    check(
        "
        worker 1 type4 running : r
        running r cpu=2 on=type4
        locked a cpu=2 on=type4
        locked b cpu=1 on=type4
        ",
        expect![[r#"
            start a on w1
            create type4 for b
            a: about to start on w1
            b: waits for a new type4
        "#]],
    );
}

#[test]
fn workers_on_hold_draining_or_broken_get_nothing() {
    check(
        "
        worker 1 type1 idle hold
        worker 2 type1 idle drain
        worker 3 type1 idle broken
        worker 4 type1 shutdown
        locked a
        ",
        expect![[r#"
            create type1 for a
            a: waits for a new type1
        "#]],
    );
}

#[test]
fn with_packing_disabled_each_container_gets_a_worker_of_its_own() {
    check(
        "
        limit per_instance=1
        worker 1 type4 running : r
        running r on=type4
        locked a on=type4
        locked b on=type4
        ",
        expect![[r#"
            create type4 for a
            create type4 for b
            a: waits for a new type4
            b: waits for a new type4
        "#]],
    );
}

#[test]
fn a_limit_of_two_per_worker_makes_three_containers_need_two_workers() {
    check(
        "
        limit per_instance=2
        locked a p3 on=type8
        locked b p2 on=type8
        locked c p1 on=type8
        ",
        expect![[r#"
            create type8 for a
            create type8 for c
            a: waits for a new type8
            b: waits for a new type8
            c: waits for a new type8
        "#]],
    );
}

#[test]
fn unknown_and_booting_workers_count_as_future_room_but_start_nothing() {
    check(
        "
        worker 1 type1 unknown
        worker 2 type1 booting creating
        locked a p3
        locked b p2
        locked c p1
        queued d p1
        ",
        expect![[r#"
            lock d
            create type1 for c
            a: waits for w1 to boot
            b: waits for w2 to boot
            c: waits for a new type1
            d: waits for a new type1
        "#]],
    );
}

#[test]
fn each_resource_limits_packing() {
    check(
        "
        worker 1 type8 idle
        locked cpus1 p9 cpu=7 ram=1 on=type8
        locked cpus2 p8 cpu=2 ram=1 on=type8
        worker 2 type16 idle
        locked ram1 p7 cpu=1 ram=15 on=type16
        locked ram2 p6 cpu=1 ram=2 on=type16
        worker 3 type4 idle
        locked scratch1 p5 cpu=1 scratch=4 on=type4
        locked scratch2 p4 cpu=1 scratch=1 on=type4
        ",
        expect![[r#"
            start cpus1 on w1
            start ram1 on w2
            start scratch1 on w3
            create type8 for cpus2
            create type16 for ram2
            create type4 for scratch2
            cpus1: about to start on w1
            cpus2: waits for a new type8
            ram1: about to start on w2
            ram2: waits for a new type16
            scratch1: about to start on w3
            scratch2: waits for a new type4
        "#]],
    );
}

#[test]
fn containers_without_vcpus_share_one_vcpu() {
    check(
        "
        worker 1 type2 idle
        worker 2 type2 running : r
        running r cpu=2 on=type2
        locked a p9 cpu=0 on=type2
        locked b p8 cpu=0 on=type2
        locked c p7 cpu=2 ram=1 on=type2
        locked d p6 cpu=1 ram=1 on=type2
        ",
        expect![[r#"
            start a on w1
            start b on w1
            start d on w1
            create type2 for c
            a: about to start on w1
            b: about to start on w1
            c: waits for a new type2
            d: about to start on w1
        "#]],
    );
}

#[test]
fn a_lower_container_starts_while_a_higher_one_waits_for_its_worker_to_boot() {
    check(
        "
        worker 1 type4 booting
        worker 2 type1 idle
        locked big p9 cpu=4
        locked small p1
        ",
        expect![[r#"
            start small on w2
            big: waits for w1 to boot
            small: about to start on w2
        "#]],
    );
}

#[test]
fn a_ready_worker_is_preferred_to_a_cheaper_one_that_boots() {
    check(
        "
        worker 1 type1 booting
        worker 2 type2 idle
        locked a on=type1,type2
        ",
        expect![[r#"
            start a on w2
            a: about to start on w2
        "#]],
    );
}

#[test]
fn the_fullest_worker_is_filled_first_so_that_others_can_go() {
    check(
        "
        worker 1 type4 idle
        worker 2 type4 running : r
        running r on=type4
        locked a on=type4
        ",
        expect![[r#"
            start a on w2
            a: about to start on w2
        "#]],
    );
}

#[test]
fn a_worker_with_a_container_unknown_to_the_queue_has_no_room() {
    check(
        "
        worker 1 type4 running : stranger
        locked a on=type4
        ",
        expect![[r#"
            create type4 for a
            a: waits for a new type4
        "#]],
    );
}

#[test]
fn a_worker_with_a_container_of_unknown_needs_has_no_room() {
    // Facts K12: what it asks for could never be read, or nothing of it could.
    check(
        "
        worker 1 type8 running : r
        worker 2 type8 running : bad
        running r on=type8 unsized
        unreadable bad
        locked a on=type8
        ",
        expect![[r#"
            create type8 for a
            a: waits for a new type8
        "#]],
    );
    // Also where the pool tells of it in the worker's own list alone.
    let mut situation = Situation::read(
        "
        worker 1 type8 running : r
        running r on=type8 unsized
        locked a on=type8
        ",
    );
    situation.pool.runners.clear();
    expect![[r#"
        create type8 for a
        a: waits for a new type8
    "#]]
    .assert_eq(&write_plan(&situation.plan()));
}

#[test]
fn an_unknown_worker_with_a_container_is_not_idle() {
    check(
        "
        worker 1 type2 unknown : r
        running r cpu=2
        locked a cpu=2
        ",
        expect![[r#"
            create type2 for a
            a: waits for a new type2
        "#]],
    );
}

#[test]
fn a_runner_that_was_given_up_still_takes_its_room() {
    check(
        "
        worker 1 type2 running
        running r p0 cpu=2
        runner r 1 given-up
        locked a cpu=2
        ",
        expect![[r#"
            create type2 for a
            a: waits for a new type2
        "#]],
    );
}

#[test]
fn a_container_is_neither_locked_nor_started_while_an_earlier_attempt_lives() {
    check(
        "
        worker 1 type1 running
        worker 2 type1 idle
        queued a
        runner a 1 killing
        locked b
        runner b 1 given-up
        queued c
        runner c 1 exited=50
        locked d
        runner d 1 exited=50
        ",
        expect![[r#"
              a: previous attempt on w1
              b: previous attempt on w1
              c: previous attempt on w1
              d: runner ended on w1
        "#]],
    );
}

#[test]
fn busy_containers_keep_their_room_and_get_no_order() {
    check(
        "
        worker 1 type1 idle
        worker 2 type1 idle
        queued a p9 busy
        locked b p8 busy
        queued c p7
        ",
        expect![[r#"
            lock c
            a: about to start on w2
            b: about to start on w1
            c: waits for a new type1
        "#]],
    );
}

#[test]
fn priority_zero_waits_and_final_and_running_containers_need_nothing() {
    check(
        "
        worker 1 type1 idle
        queued a p0
        locked b p0
        running c
        complete d
        cancelled e
        ",
        expect![[r#"
              a: OnHold
              b: OnHold
        "#]],
    );
}

#[test]
fn locked_containers_go_before_queued_ones_of_higher_priority() {
    check(
        "
        worker 1 type1 idle
        instances max=1
        locked low p1
        queued high p9
        ",
        expect![[r#"
            start low on w1
            high: max-instances, position 1
            low: about to start on w1
            again at 390.000s
        "#]],
    );
}

#[test]
fn equal_priorities_are_served_in_the_order_they_were_seen_then_by_id() {
    check(
        "
        worker 1 type1 idle
        worker 2 type1 idle
        instances max=2
        queued a seen=95
        queued c seen=94
        queued b seen=94
        ",
        expect![[r#"
            lock b
            lock c
            a: max-instances, position 1
            b: about to start on w1
            c: about to start on w2
            again at 395.000s
        "#]],
    );
}

#[test]
fn gpus_are_counted_on_the_worker_and_their_memory_is_not_pooled() {
    check(
        "
        worker 1 gpu2 running gpus=1 : r
        running r gpus=1 vram=16 on=gpu2
        locked a p9 gpus=1 vram=16 on=gpu2
        locked b p8 gpus=1 vram=16 on=gpu2
        ",
        expect![[r#"
            start a on w1
            create gpu2 for b
            a: about to start on w1
            b: waits for a new gpu2
        "#]],
    );
}

#[test]
fn no_gpu_work_starts_where_nobody_knows_which_devices_are_free() {
    let mut situation = Situation::read(
        "
        worker 1 gpu2 idle
        worker 2 gpu2 booting
        locked a p9 gpus=1 on=gpu2
        locked b p8 gpus=0 on=gpu2
        ",
    );
    for worker in situation.pool.workers.values_mut() {
        std::sync::Arc::make_mut(worker).free_gpus = None;
    }
    expect![[r#"
        start b on w1
        a: waits for w2 to boot
        b: about to start on w1
    "#]]
    .assert_eq(&write_plan(&situation.plan()));
}

#[test]
fn above_the_container_limit_nothing_starts_and_nothing_is_given_up() {
    check(
        "
        limit containers=3
        worker 1 type1 running : r1
        worker 2 type1 running : r2
        worker 3 type1 idle
        worker 4 type1 idle
        running r1
        running r2
        locked a p9
        locked b p8
        queued c p7
        ",
        expect![[r#"
            start a on w3
            a: about to start on w3
            b: container limit, position 1
            c: container limit, position 2
        "#]],
    );
}

#[test]
fn excess_locked_supervisors_are_unlocked_and_the_workers_stay() {
    check(
        "
        limit supervisors=1
        worker 1 type1 running : s1
        worker 2 type1 idle
        worker 3 type1 idle
        running s1 supervisor
        locked s2 p9 supervisor
        locked s3 p8 supervisor
        ",
        expect![[r#"
            unlock s2: SupervisorLimit
            unlock s3: SupervisorLimit
            s2: supervisor limit, position 1
            s3: supervisor limit, position 2
        "#]],
    );
}

#[test]
fn the_supervisor_limit_skips_only_the_excess_ones() {
    check(
        "
        limit supervisors=2
        worker 1 type1 running : s1
        worker 2 type1 idle
        worker 3 type1 idle
        instances max=3
        running s1 p1 supervisor
        queued s2 p9 supervisor
        queued s3 p8 supervisor
        queued a p7
        ",
        expect![[r#"
            lock s2
            lock a
            a: about to start on w3
            s2: about to start on w2
            s3: supervisor limit, position 1
        "#]],
    );
}

#[test]
fn the_dearer_type_is_created_only_while_the_cheaper_one_is_held() {
    check(
        "
        typehold type1 capacity until=160
        locked a on=type1,type2
        ",
        expect![[r#"
            create type2 for a
            a: waits for a new type2
        "#]],
    );
}

#[test]
fn a_type_at_capacity_holds_up_only_its_own() {
    check(
        "
        typehold type2 capacity until=160
        typehold type3 boot-failing until=130
        worker 1 type1 idle
        locked locked p9 cpu=2 on=type2,type3
        queued queued p8 cpu=2 on=type2,type3
        queued other p1
        ",
        expect![[r#"
            lock other
            locked: types held (type2 capacity, type3 boot-failing), position 1
            other: about to start on w1
            queued: types held (type2 capacity, type3 boot-failing), position 2
            again at 130.000s
        "#]],
    );
}

#[test]
fn a_hold_that_has_run_out_holds_nothing() {
    check(
        "
        typehold type1 capacity until=100
        hold quota until=99
        locked a
        ",
        expect![[r#"
            create type1 for a
            a: waits for a new type1
        "#]],
    );
}

#[test]
fn a_container_that_no_type_can_run_waits_for_its_end() {
    check(
        "queued a cpu=1 on=none\nlocked b cpu=5 on=type2",
        expect![[r#"
              a: NoType
              b: NoType
        "#]],
    );
}

#[test]
fn nothing_is_planned_before_the_instances_and_the_queue_have_been_listed() {
    let mut situation = Situation::read("worker 1 type1 idle\nlocked a\nqueued b");
    situation.pool.surveyed = false;
    expect![[r#"
          a: NotSurveyed
          b: NotSurveyed
    "#]]
    .assert_eq(&write_plan(&situation.plan()));
    situation.pool.surveyed = true;
    situation.queue.listed_at = None;
    expect![[r#"
          a: NotSurveyed
          b: NotSurveyed
    "#]]
    .assert_eq(&write_plan(&situation.plan()));
}

#[test]
fn a_stopping_dispatcher_begins_nothing() {
    check(
        "
        hold stopping
        worker 1 type1 idle
        locked a
        queued b
        ",
        expect![[r#"
              a: stopping, position 1
              b: stopping, position 2
        "#]],
    );
}

#[test]
fn the_figures_count_what_waits_and_why() {
    let situation = Situation::read(
        "
        limit supervisors=1
        instances max=3
        worker 1 type1 running : r
        worker 2 type1 booting
        worker 3 type1 idle hold
        running r supervisor
        running unseen
        locked a p9 created=20
        locked b p8 created=70
        queued s p1 created=10 supervisor
        queued zero p0 created=1
        ",
    );
    let figures = situation.plan().figures;
    expect![[r#"
        Figures {
            allocated_not_started: 1,
            not_allocated_over_quota: 2,
            at_quota: true,
            running: 2,
            oldest_waiting: Some(
                1970-01-01T00:00:10Z,
            ),
        }
    "#]]
    .assert_debug_eq(&figures);
    assert_eq!(
        figures.longest_wait(crate::testing::wall(100)).as_secs(),
        90
    );
    assert_eq!(
        figures.longest_wait(crate::testing::wall(5)).as_secs(),
        0,
        "the API's clock may be ahead of ours"
    );
}

#[test]
fn an_empty_queue_waits_for_nothing() {
    let plan = Situation::read("worker 1 type1 idle").plan();
    assert_eq!(
        plan,
        crate::Plan::default(),
        "not even for the idle worker: the pool lets that go by itself"
    );
}

#[test]
fn owners_are_told_in_one_line() {
    let plan = Situation::read(
        "
        limit supervisors=1
        instances max=4
        typehold type2 capacity
        typehold type3 create-failing
        worker 1 type1 running : s1 p
        worker 2 type4 booting
        worker 3 type1 idle
        worker 4 type1 running
        running s1 supervisor
        locked p cpu=0
        queued boot p9 cpu=4
        queued soon p8
        queued s2 p7 supervisor
        queued held p6 on=type2,type3
        queued quota p5 cpu=8
        queued old p4 cpu=8 seen=0
        queued zero p0
        queued again
        runner again 4 killing
        limit patience=50
        ",
    )
    .plan();
    let lines: Vec<String> = (plan.waits.iter())
        .map(|(id, wait)| format!("{id}: {wait}\n"))
        .collect();
    expect![[r#"
        again: Waiting for the process of the previous attempt to exit.
        boot: Waiting for an instance of type type4 to boot and accept work.
        held: Waiting in queue at position 1. No instance type that can run it is available now: type2 (at capacity), type3 (creation fails).
        old: Waiting in queue at position 3. The cluster is at capacity and cannot start more instances now. It has waited long, so an instance is being kept free for it.
        p: Preparing the container's environment on an instance.
        quota: Waiting in queue at position 2. The cluster is at capacity and cannot start more instances now.
        s2: Waiting at position 1 among the workflow runners: 1 may run at a time, and 1 do.
        soon: About to start on an instance that has room for it.
        zero: Not in the queue because its priority is 0.
    "#]].assert_eq(&lines.concat());
}
