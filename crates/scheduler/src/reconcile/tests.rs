//! Contradictions and how they are set right (facts §8.4, invariants 1 and 6).

use std::time::Duration;

use dispatch_model::{Time, WorkerId, WorkerState};
use expect_test::{Expect, expect};

use super::*;
use crate::testing::{Situation, at, write_plan};

#[track_caller]
fn check(situation: &str, expected: Expect) {
    expected.assert_eq(&repairs_of(&Situation::read(situation)));
}

fn repairs_of(situation: &Situation) -> String {
    let found = reconcile(
        &situation.queue,
        &situation.pool,
        &situation.recovery,
        situation.now,
    );
    let mut lines: Vec<String> = (found.repairs.iter())
        .map(|repair| match repair {
            Repair::Cancel { container, reason } => format!("cancel {container}: {reason:?}\n"),
            Repair::Unlock { container, reason } => format!("unlock {container}: {reason:?}\n"),
            Repair::Kill {
                container,
                worker,
                reason,
            } => format!("kill {container} on {worker}: {reason:?}\n"),
            Repair::Forget { container } => format!("forget {container}\n"),
            Repair::DropExited { container } => format!("drop exited {container}\n"),
        })
        .collect();
    lines.extend(
        found
            .again_at
            .map(|again_at| format!("again at {again_at}\n")),
    );
    lines.concat()
}

#[test]
fn all_is_well_when_queue_and_pool_agree() {
    check(
        "
        worker 1 type4 running : a b
        running a
        locked b
        locked c
        queued d
        ",
        expect![[""]],
    );
}

#[test]
fn final_and_unwanted_queued_containers_are_forgotten() {
    check(
        "
        complete a
        cancelled b
        queued c p0
        queued d p1
        ",
        expect![[r#"
            forget a
            forget b
            forget c
        "#]],
    );
}

#[test]
fn runners_that_nobody_wants_are_ended() {
    check(
        "
        worker 1 type8 running : stranger zero unwanted done again
        running zero p0
        locked unwanted p0
        complete done
        queued again
        ",
        expect![[r#"
            kill again on w1: PreviousAttempt
            kill done on w1: Ended
            kill stranger on w1: NotInQueue
            kill unwanted on w1: PriorityZero
            kill zero on w1: PriorityZero
        "#]],
    );
}

#[test]
fn a_runner_that_is_being_ended_is_left_to_that() {
    check(
        "
        worker 1 type8 running
        running zero p0
        runner zero 1 killing
        cancelled done
        runner done 1 given-up
        runner stranger 1 killing
        ",
        expect![[""]],
    );
}

#[test]
fn the_runner_of_a_container_that_cannot_be_read_is_left_alone() {
    // Facts K12: nobody knows whether it is wanted. What became of it is remembered until it can be read.
    check(
        "
        worker 1 type8 running : bad stranger
        unreadable bad
        unreadable gone
        runner gone 1 exited=50
        ",
        expect![[r#"
            kill stranger on w1: NotInQueue
        "#]],
    );
}

#[test]
fn the_second_of_two_runners_is_ended() {
    check(
        "
        worker 1 type8 running : a
        worker 2 type8 running : a
        locked a
        ",
        expect![[r#"
            kill a on w2: SecondRunner
        "#]],
    );
}

#[test]
fn the_end_of_a_runner_counts_only_against_an_answer_asked_for_since() {
    check(
        "
        running before as_of=49
        runner before 1 exited=50
        running same as_of=50
        runner same 1 exited=50
        running after as_of=51
        runner after 1 exited=50
        locked l1 as_of=49
        runner l1 1 exited=50
        locked l2 as_of=50
        runner l2 1 exited=50
        ",
        expect![[r#"
            cancel after: RunnerEnded
            unlock l2: RunnerEnded
            cancel same: RunnerEnded
        "#]],
    );
}

#[test]
fn what_is_known_of_ended_runners_is_dropped_once_it_matters_no_more() {
    check(
        "
        queued a
        runner a 1 exited=50
        queued zero p0
        runner zero 1 exited=50
        complete done
        runner done 1 exited=50
        runner stranger 1 exited=50
        ",
        expect![[r#"
            drop exited a
            drop exited done
            forget done
            drop exited stranger
            drop exited zero
            forget zero
        "#]],
    );
}

#[test]
fn busy_containers_are_left_alone() {
    check(
        "
        worker 1 type8 running : zero again
        running zero p0 busy
        queued again busy
        complete done busy
        running lost busy
        locked unwanted p0 busy
        ",
        expect![[""]],
    );
}

#[test]
fn locked_containers_that_nobody_wants_are_unlocked() {
    check(
        "locked a p0\nlocked b p1",
        expect![[r#"
        unlock a: PriorityZero
    "#]],
    );
}

#[test]
fn nothing_is_repaired_before_the_first_lists() {
    let mut situation = Situation::read(
        "
        worker 1 type1 running : stranger
        running lost
        complete done
        ",
    );
    situation.pool.surveyed = false;
    expect![[""]].assert_eq(&repairs_of(&situation));
    situation.pool.surveyed = true;
    situation.queue.listed_at = None;
    expect![[""]].assert_eq(&repairs_of(&situation));
}

/// A daemon that started at 0, with StaleLockTimeout 60 s and TimeoutBooting 600 s.
struct Restart {
    situation: Situation,
}

impl Restart {
    fn new(text: &str) -> Restart {
        let mut situation = Situation::read(text);
        situation.recovery = Recovery::new(
            Duration::from_secs(60),
            Duration::from_secs(600),
            Time::ZERO,
        );
        Restart { situation }
    }

    /// The queue is listed at `secs`.
    fn list(&mut self, secs: u64) {
        self.situation.queue.listed_at = Some(Time::from_secs(secs));
        for entry in self.situation.queue.entries.values_mut() {
            std::sync::Arc::make_mut(entry).as_of = Time::from_secs(secs);
        }
    }

    /// Worker `id` says what runs on it.
    fn answers(&mut self, id: u64, containers: &[&str]) {
        let worker = self
            .situation
            .pool
            .workers
            .get_mut(&WorkerId(id))
            .expect("it is there");
        let worker = std::sync::Arc::make_mut(worker);
        worker.runners_known = true;
        worker.state = WorkerState::Running;
        worker.takes_work = true;
        for name in containers {
            worker.containers.push((*name).into());
            let runner = RunnerView {
                worker: WorkerId(id),
                state: RunnerState::Alive,
            };
            self.situation
                .pool
                .runners
                .insert((*name).into(), vec![runner]);
        }
    }

    fn at(&mut self, secs: u64) -> String {
        self.situation.now = at(secs);
        self.situation
            .recovery
            .note(&self.situation.pool, Time::from_secs(secs));
        let plan = self.situation.plan();
        let mut text = repairs_of(&self.situation);
        for (id, worker) in &plan.start {
            text += &format!("start {id} on {worker}\n");
        }
        if self
            .situation
            .recovery
            .wants_list(&self.situation.queue, Time::from_secs(secs))
        {
            text += "wants a list\n";
        }
        text
    }
}

#[test]
fn a_lock_found_at_the_start_waits_for_every_worker_and_then_for_a_fresh_list() {
    let mut restart = Restart::new(
        "
        worker 1 type4 idle
        worker 2 type4 unknown silent
        locked a found on=type4
        locked b on=type4
        ",
    );
    restart.list(1);
    expect![[r#"
        again at 5.000s
        start b on w1
    "#]]
    .assert_eq(&restart.at(2));
    restart.answers(2, &[]);
    expect![[r#"
        start b on w1
        wants a list
    "#]]
    .assert_eq(&restart.at(5));
    restart.list(4);
    expect![[r#"
        start b on w1
        wants a list
    "#]]
    .assert_eq(&restart.at(6));
    restart.list(5);
    expect![[r#"
        start a on w1
        start b on w1
    "#]]
    .assert_eq(&restart.at(7));
}

#[test]
fn a_lock_whose_container_is_found_alive_at_the_last_moment_is_left_alone() {
    // Facts K2: the set of stale locks is worked out after the wait, not before.
    let mut restart = Restart::new(
        "
        worker 1 type4 unknown silent
        locked a found on=type4
        ",
    );
    restart.list(1);
    expect![[r#"
        again at 60.000s
    "#]]
    .assert_eq(&restart.at(59));
    restart.answers(1, &["a"]);
    restart.list(61);
    expect![[r#"
        wants a list
    "#]]
    .assert_eq(&restart.at(62));
}

#[test]
fn a_lock_that_a_silent_worker_may_use_is_given_back_after_the_stale_lock_timeout() {
    let mut restart = Restart::new(
        "
        worker 1 type4 idle
        worker 2 type4 unknown silent
        locked a found on=type4
        locked b found on=type4
        ",
    );
    restart.list(1);
    expect![[r#"
        wants a list
    "#]]
    .assert_eq(&restart.at(60));
    restart.list(61);
    expect![[r#"
        unlock a: StaleLock
        unlock b: StaleLock
    "#]]
    .assert_eq(&restart.at(62));
}

#[test]
fn a_running_container_is_not_lost_while_a_worker_is_silent() {
    // Facts S5, §6.2: ten times not, then the worker vanishes.
    let mut restart = Restart::new(
        "
        worker 1 type4 unknown silent
        running a
        ",
    );
    for secs in 0..10 {
        restart.list(90 + secs);
        assert!(!restart.at(91 + secs).contains("cancel"));
    }
    restart.situation.pool.workers.clear();
    expect![[r#"
        wants a list
    "#]]
    .assert_eq(&restart.at(120));
    restart.list(119);
    expect![[r#"
        wants a list
    "#]]
    .assert_eq(&restart.at(120));
    restart.list(121);
    expect![[r#"
        cancel a: NotFound
    "#]]
    .assert_eq(&restart.at(122));
}

#[test]
fn a_silent_worker_that_is_held_counts_only_for_as_long_as_a_boot_may_take() {
    let mut restart = Restart::new(
        "
        worker 1 type4 unknown silent hold since=1
        running a
        running b
        runner b 2 exited=50
        ",
    );
    restart.list(100);
    expect![[r#"
        again at 601.000s
        wants a list
    "#]]
    .assert_eq(&restart.at(600));
    restart.list(601);
    expect![[r#"
        cancel a: NotFound
        cancel b: RunnerEnded
    "#]]
    .assert_eq(&restart.at(602));
}

#[test]
fn a_silent_boot_with_known_runners_hides_nothing() {
    // Facts W4: it fails its boot probe, but has said what runs on it.
    let mut restart = Restart::new(
        "
        worker 1 type4 unknown : a
        running a
        running b
        ",
    );
    restart.list(1);
    expect![[r#"
        wants a list
    "#]]
    .assert_eq(&restart.at(2));
    restart.list(3);
    expect![[r#"
        cancel b: NotFound
    "#]]
    .assert_eq(&restart.at(4));
}

#[test]
fn with_nothing_found_at_the_start_nothing_is_waited_for() {
    // Facts S7.
    let mut restart = Restart::new("worker 1 type4 idle\nlocked a found on=type4");
    restart.list(1);
    expect![[r#"
        start a on w1
    "#]]
    .assert_eq(&restart.at(1));
    restart.list(2);
    expect![[r#"
        start a on w1
    "#]]
    .assert_eq(&restart.at(3));
}

#[test]
fn reasons_are_told_in_words_for_their_readers() {
    let reasons = [
        CancelReason::RunnerEnded.to_string(),
        CancelReason::NotFound.to_string(),
        KillReason::PreviousAttempt.to_string(),
        UnlockReason::StaleLock.to_string(),
    ];
    expect![[r#"
        the process that ran the container ended before the container was finished
        the container was running, but no process and no instance that runs it could be found
        the container is queued again
        an earlier dispatcher locked it and its runner was not found"#]]
    .assert_eq(&reasons.join("\n"));
}

#[test]
fn those_behind_a_lock_found_at_the_start_do_not_wait_for_long() {
    let mut restart = Restart::new(
        "
        orders max=1
        worker 1 type4 unknown silent
        locked a found p3 on=type8
        queued b p2 on=type8
        ",
    );
    restart.list(0);
    restart.at(4);
    expect![[r#"
        a: Recovering
        b: waits for a new type8
        again at 5.000s
    "#]]
    .assert_eq(&write_plan(&restart.situation.plan()));
    restart.at(5);
    expect![[r#"
        lock b
        a: Recovering
        b: waits for a new type8
        again at 60.000s
    "#]]
    .assert_eq(&write_plan(&restart.situation.plan()));
}
