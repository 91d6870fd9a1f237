//! One thing goes wrong, and only what it concerns suffers.

use std::time::Duration;

use dispatch_brain::Wish;
use dispatch_lab::{Span, vm::Ailment, world::Event};
use dispatch_model::{HoldCause, IdleBehavior};
use dispatch_tests::sim::Sim;
use dispatch_worker::{BootOutcome, PoolNews, WorkerNews};
use serde_json::json;

use super::stage::{
    container, count_news, count_pool_news, instance_of, instance_type, instances, now, set, small,
    state, the_instance, until_state, until_up, worker,
};

#[test]
fn an_instance_that_falls_silent_goes_after_timeout_probe_and_its_container_is_cancelled() {
    // Facts K9: every command hangs; nothing waits for one.
    let mut sim = Sim::new(small(1));
    let uuid = sim.submit(&container(4, 1), 600_000);
    until_state(&mut sim, &uuid, "Running", 10_000);
    let instance = the_instance(&sim);
    let at = now(&sim);
    sim.world_mut().silence(&instance, None, at);
    // TimeoutProbe, one more attempt, and the destroy call.
    sim.until("it is gone", 8_000 + 4_000 + 2_500, |sim| {
        instances(sim).is_empty()
    });
    until_state(&mut sim, &uuid, "Cancelled", 5_000);
    sim.finish(10_000);
}

#[test]
fn commands_that_hang_one_after_the_other_decide_nothing_before_the_time_is_up() {
    let mut sim = Sim::new(small(2));
    let uuid = sim.submit(&container(4, 1), 30_000);
    until_state(&mut sim, &uuid, "Running", 10_000);
    // Each probe hangs for less than the instance is given.
    for _ in 0..3 {
        set(&mut sim, &json!({"vm": {"hang_rate": 1.0}}));
        sim.pass(4_500);
        set(&mut sim, &json!({"vm": {"hang_rate": 0.0}}));
        sim.pass(3_000);
    }
    assert_eq!(sim.finish(60_000).report.complete, 1);
}

#[test]
fn a_hung_kill_command_does_not_put_off_giving_up() {
    let mut sim = Sim::new(small(3));
    let uuid = sim.submit(&container(2, 1), 600_000);
    let other = sim.submit(&container(2, 1), 600_000);
    sim.until("both run", 10_000, |sim| {
        state(sim, &uuid) == "Running" && state(sim, &other) == "Running"
    });
    for uuid in [&uuid, &other] {
        sim.world_mut().doom(uuid, "its instance hangs");
    }
    sim.set_priority(&uuid, 0);
    set(&mut sim, &json!({"vm": {"hang_rate": 1.0}}));
    // It may go: no command on it is answered for as long as TimeoutProbe.
    let instance = the_instance(&sim);
    sim.world_mut().announce_kill(&instance);
    // TimeoutTERM is 6 s, TimeoutProbe 8 s.
    let given_up = |news: &WorkerNews| {
        matches!(
            news,
            WorkerNews::KillGivenUp { .. } | WorkerNews::Unresponsive { .. }
        )
    };
    sim.until("somebody gives up", 20_000, |sim| {
        count_news(sim, given_up) > 0
    });
    until_up(&mut sim, 0, 10_000);
    set(&mut sim, &json!({"vm": {"hang_rate": 0.0}}));
    sim.finish(60_000);
}

#[test]
fn a_runner_that_ignores_sigterm_drains_its_instance_and_the_other_container_completes() {
    // Facts R4, W19.
    let mut sim = Sim::new(small(4));
    set(&mut sim, &json!({"runner": {"ignore_term_rate": 1.0}}));
    let stubborn = sim.submit(&container(2, 1), 600_000);
    until_state(&mut sim, &stubborn, "Running", 10_000);
    set(&mut sim, &json!({"runner": {"ignore_term_rate": 0.0}}));
    let other = sim.submit(&container(2, 1), 15_000);
    until_state(&mut sim, &other, "Running", 10_000);
    let instance = the_instance(&sim);
    sim.world_mut()
        .doom(&stubborn, "it is not wanted and cannot be ended");
    sim.set_priority(&stubborn, 0);
    let given_up = |news: &WorkerNews| matches!(news, WorkerNews::KillGivenUp { .. });
    sim.until("it is given up", 15_000, |sim| {
        count_news(sim, given_up) == 1
    });
    assert_eq!(
        worker(&sim, &instance).map(|it| it.idle_behavior),
        Some(IdleBehavior::Drain)
    );
    until_state(&mut sim, &other, "Complete", 30_000);
    sim.until("the instance goes", 5_000, |sim| instances(sim).is_empty());
    sim.finish(30_000);
}

#[test]
fn creations_that_fail_are_tried_again_after_pauses_that_grow() {
    // Facts K10.
    let mut sim = Sim::new(small(5));
    set(
        &mut sim,
        &json!({"cloud": {"refuse_creates": "no such image"}}),
    );
    let uuid = sim.submit(&container(4, 1), 1_000);
    let an_hour = 3_600_000;
    sim.setup_mut().bounds.progress_within_ms = 2 * an_hour;
    sim.pass(300_000);
    let first = sim.count_calls("cloud create");
    assert!((3..12).contains(&first), "{first} calls in five minutes");
    let wait = sim.brain().snapshot().plan.waits[uuid.as_str()].to_string();
    assert!(wait.contains("creation fails"), "{wait}");
    let began = |news: &PoolNews| match news {
        PoolNews::HoldBegan { hold, .. } => hold.cause == HoldCause::CreateFailing,
        _ => false,
    };
    assert!(count_pool_news(&sim, began) > 0);
    set(&mut sim, &json!({"cloud": {"refuse_creates": null}}));
    until_state(&mut sim, &uuid, "Complete", 650_000);
    sim.finish(10_000);
}

#[test]
fn a_type_that_never_boots_is_paused_and_tried_again() {
    // Facts K11.
    let mut sim = Sim::new(small(6));
    set(&mut sim, &json!({"vm": {"dead_types": ["lab.4"]}}));
    let uuid = sim.submit(&container(4, 1), 1_000);
    sim.pass(300_000);
    let created = sim.world().status().created;
    // Three in a row, then one after each pause of 8, 16, 32, 48, 48 … s.
    assert!(
        (4..14).contains(&created),
        "{created} instances in five minutes"
    );
    let held = |news: &PoolNews| match news {
        PoolNews::HoldBegan { hold, .. } => hold.cause == HoldCause::BootFailing,
        _ => false,
    };
    assert!(count_pool_news(&sim, held) > 0);
    set(&mut sim, &json!({"vm": {"dead_types": []}}));
    until_state(&mut sim, &uuid, "Complete", 120_000);
    sim.finish(10_000);
}

#[test]
fn hung_calls_to_the_api_end_at_their_deadline_and_are_made_again() {
    // Facts K14.
    let mut sim = Sim::new(small(7));
    sim.pass(3_000);
    set(&mut sim, &json!({"api": {"next_hangs": 1}}));
    let uuid = sim.submit(&container(4, 1), 1_000);
    until_state(&mut sim, &uuid, "Complete", 150_000);
    sim.finish(10_000);
}

#[test]
fn a_hung_list_of_instances_ends_at_its_deadline() {
    let mut setup = small(8);
    // Its address is only in lists.
    setup.lab.cloud.address_ms = Span::exactly(500);
    let mut sim = Sim::new(setup);
    sim.pass(3_000);
    let uuid = sim.submit(&container(4, 1), 1_000);
    sim.until("an instance is made", 10_000, |sim| {
        sim.world().status().created == 1
    });
    set(&mut sim, &json!({"cloud": {"next_hangs": 1}}));
    until_state(&mut sim, &uuid, "Complete", 70_000);
    sim.finish(10_000);
}

#[test]
fn a_fresh_instance_that_lists_do_not_show_yet_is_not_taken_for_gone() {
    // Facts K15.
    let mut setup = small(9);
    setup.lab.cloud.fresh_missing_ms = Span::exactly(25_000);
    setup.brain.pool.boot_timeout = Duration::from_secs(60);
    setup.lab.cloud.gone_listed_ms = Span::exactly(5_000);
    let mut sim = Sim::new(setup);
    let uuid = sim.submit(&container(4, 1), 10_000);
    until_state(&mut sim, &uuid, "Complete", 60_000);
    let life = sim.finish(40_000);
    assert_eq!(life.report.instances_created, 1);
    let disappeared =
        |news: &WorkerNews| matches!(news, WorkerNews::BootEnded(BootOutcome::Disappeared));
    assert_eq!(count_news(&sim, disappeared), 0);
}

#[test]
fn a_creation_whose_answer_is_lost_is_found_by_its_secret_and_counted_once() {
    // Facts S23.
    let mut setup = small(10);
    setup.lab.cloud.lost_create_rate = 1.0;
    setup.brain.pool.max_instances = Some(2);
    let mut sim = Sim::new(setup);
    let uuids = [
        sim.submit(&container(4, 1), 3_000),
        sim.submit(&container(4, 1), 3_000),
    ];
    sim.until("both complete", 60_000, |sim| {
        uuids.iter().all(|uuid| state(sim, uuid) == "Complete")
    });
    let adopted = |news: &WorkerNews| matches!(news, WorkerNews::Adopted { .. });
    assert_eq!(
        (sim.world().status().created, count_news(&sim, adopted)),
        (2, 0)
    );
    sim.finish(20_000);
}

#[test]
fn an_instance_that_the_cloud_takes_back_is_noticed_and_what_had_not_begun_runs_elsewhere() {
    let mut setup = small(11);
    setup.lab.runner.start_ms = Span::exactly(5_000);
    let mut sim = Sim::new(setup);
    let uuid = sim.submit(&container(4, 1), 1_000);
    sim.until("it has a runner", 10_000, |sim| {
        instance_of(sim, &uuid).is_some()
    });
    let instance = the_instance(&sim);
    let at = now(&sim);
    sim.world_mut().reclaim(&instance, at);
    until_state(&mut sim, &uuid, "Complete", 40_000);
    sim.finish(10_000);
}

#[test]
fn a_broken_instance_takes_no_more_work_and_goes_when_its_last_container_has_ended() {
    // Facts W11.
    let mut sim = Sim::new(small(12));
    let first = sim.submit(&container(2, 1), 12_000);
    until_state(&mut sim, &first, "Running", 10_000);
    let broken = the_instance(&sim);
    sim.world_mut().report_broken(&broken);
    sim.pass(3_000);
    let second = sim.submit(&container(2, 1), 1_000);
    until_state(&mut sim, &second, "Complete", 10_000);
    until_state(&mut sim, &first, "Complete", 20_000);
    sim.until("it goes at once", 1_500, |sim| {
        !instances(sim).contains(&broken)
    });
    sim.finish(20_000);
}

#[test]
fn a_lock_that_stays_held_after_its_runner_spoils_the_instance() {
    // Facts W12.
    let mut setup = small(13);
    setup.lab.runner.deadlock_rate = 1.0;
    setup.brain.pool.idle_timeout = Duration::from_secs(30);
    let mut sim = Sim::new(setup);
    let uuid = sim.submit(&container(2, 1), 1_000);
    until_state(&mut sim, &uuid, "Complete", 10_000);
    let broken = |news: &WorkerNews| matches!(news, WorkerNews::Broken { .. });
    sim.until("it counts as broken", 6_000, |sim| {
        count_news(sim, broken) == 1
    });
    sim.finish(10_000);
}

#[test]
fn destroys_that_fail_are_repeated_at_their_own_pace_and_nothing_is_left() {
    // Facts W1, K26.
    let mut setup = small(14);
    setup.lab.cloud.error_rate_destroy = 1.0;
    let mut sim = Sim::new(setup);
    let uuid = sim.submit(&container(2, 1), 1_000);
    until_state(&mut sim, &uuid, "Complete", 10_000);
    sim.pass(60_000);
    let n = sim.count_calls("cloud destroy");
    assert!((3..40).contains(&n), "{n} destroy calls in a minute");
    set(&mut sim, &json!({"cloud": {"error_rate_destroy": 0.0}}));
    sim.finish(60_000);
}

#[test]
fn a_destroy_call_that_was_lost_is_repeated_while_the_instance_is_listed() {
    let mut sim = Sim::new(small(15));
    let uuid = sim.submit(&container(2, 1), 1_000);
    until_state(&mut sim, &uuid, "Complete", 10_000);
    let instance = the_instance(&sim);
    sim.world_mut().announce_kill(&instance);
    set(&mut sim, &json!({"cloud": {"next_hangs": 1}}));
    let wish = Wish::KillInstance {
        instance: instance.as_str().into(),
        reason: "test".to_owned(),
    };
    sim.wish(wish).expect("it is known");
    sim.finish(90_000);
}

#[test]
fn a_host_that_cannot_show_its_secret_is_told_nothing_and_another_is_made() {
    // The judge hears every word that is said to it (invariant 3).
    let mut sim = Sim::new(small(16));
    let uuid = sim.submit(&container(4, 1), 1_000);
    sim.until("an instance is made", 10_000, |sim| {
        sim.world().status().created == 1
    });
    let stranger = the_instance(&sim);
    sim.world_mut().afflict(&stranger, Ailment::WrongSecret);
    until_state(&mut sim, &uuid, "Complete", 60_000);
    assert!(!instances(&sim).contains(&stranger));
    sim.finish(10_000);
}

#[test]
fn without_exit_watch_the_sweep_finds_what_has_ended() {
    let mut setup = small(17);
    setup.wire.exit_watch = false;
    let mut sim = Sim::new(setup);
    for n in 0..8 {
        sim.submit(&container(2, n + 1), 3_000);
    }
    let life = sim.finish(60_000);
    assert_eq!(life.report.complete, 8);
}

#[test]
fn a_destroyed_instance_that_a_stale_list_still_shows_is_not_adopted_again() {
    let mut setup = small(18);
    setup.lab.cloud.gone_listed_ms = Span::exactly(9_000);
    let mut sim = Sim::new(setup);
    let uuid = sim.submit(&container(2, 1), 1_000);
    until_state(&mut sim, &uuid, "Complete", 10_000);
    sim.finish(30_000);
    sim.pass(30_000);
    let adopted = |news: &WorkerNews| matches!(news, WorkerNews::Adopted { .. });
    assert_eq!(count_news(&sim, adopted), 0);
    let gone = sim
        .take_events()
        .iter()
        .filter(|it| matches!(it, Event::Gone { .. }))
        .count();
    assert_eq!(gone, 1);
}

#[test]
fn somebody_elses_instances_are_never_touched() {
    let mut setup = small(19);
    setup.lab.cloud.bystanders = 3;
    let mut sim = Sim::new(setup.with_types(vec![instance_type(4)]));
    let uuid = sim.submit(&container(4, 1), 1_000);
    until_state(&mut sim, &uuid, "Complete", 10_000);
    sim.finish(10_000);
    sim.pass(120_000);
    let bystanders = sim
        .world()
        .instances()
        .instances()
        .values()
        .filter(|it| it.bystander)
        .count();
    assert_eq!(bystanders, 3);
}
