//! The daemon is killed and started again: what it finds is adopted, and nothing is started, killed or lost for that.

use std::time::Duration;

use dispatch_brain::Wish;
use dispatch_lab::{
    Span,
    vm::{Ailment, Phase},
};
use dispatch_model::{IdleBehavior, WorkerState};
use dispatch_tests::sim::Sim;
use dispatch_worker::WorkerNews;
use serde_json::json;

use super::stage::{
    container, count_news, instance_of, instance_type, instances, lock_count, now, set, small,
    state, the_instance, until_state, until_up, worker, worker_state,
};

fn set_behavior(sim: &mut Sim, instance: &str, behavior: IdleBehavior) {
    let instance = instance.into();
    sim.wish(Wish::SetIdleBehavior { instance, behavior })
        .expect("the instance is known");
}

#[test]
fn busy_instances_are_adopted_and_their_containers_complete() {
    let mut sim = Sim::new(small(1));
    let uuids: Vec<String> = (0..4)
        .map(|n| sim.submit(&container(2, n + 1), 20_000))
        .collect();
    sim.until("all run", 10_000, |sim| {
        uuids.iter().all(|uuid| state(sim, uuid) == "Running")
    });
    sim.kill_daemon();
    sim.pass(2_000);
    sim.start_daemon();
    sim.until("all are known again", 3_000, |sim| {
        sim.brain().pool().snapshot().runners.len() == 4
    });
    let life = sim.finish(60_000);
    assert_eq!(
        (life.report.complete, life.report.instances_created),
        (4, 2)
    );
}

#[test]
fn a_container_that_still_loads_its_image_is_not_unlocked_after_a_restart() {
    // Facts K2: its instance answers last, just before the waiting for stale locks ends.
    let mut setup = small(2);
    setup.lab.runner.start_ms = Span::exactly(14_000);
    let mut sim = Sim::new(setup);
    let other = sim.submit(&container(4, 1), 30_000);
    let uuid = sim.submit(&container(4, 2), 1_000);
    sim.until("both have runners", 10_000, |sim| {
        instance_of(sim, &uuid).is_some() && instance_of(sim, &other).is_some()
    });
    let instance = instance_of(&sim, &uuid).expect("it has a runner");
    sim.kill_daemon();
    let at = now(&sim);
    sim.world_mut().silence(&instance, Some(7_500), at);
    sim.start_daemon();
    let life = sim.finish(120_000);
    assert_eq!((life.report.complete, lock_count(&sim, &uuid)), (2, 1));
    assert_eq!(
        count_news(&sim, |news| matches!(news, WorkerNews::KillBegan { .. })),
        0
    );
}

#[test]
fn a_lock_that_nobody_claims_is_used_as_soon_as_all_instances_have_answered() {
    let mut setup = small(3);
    setup.lab.runner.detach_ms = Span::exactly(50);
    setup.wire.travel_ms = Span::exactly(40);
    setup.wire.late_rate = 0.0;
    let mut sim = Sim::new(setup);
    let uuid = sim.submit(&container(4, 1), 1_000);
    let starting = |news: &WorkerNews| matches!(news, WorkerNews::Starting { .. });
    sim.until("its start is on the way", 10_000, |sim| {
        count_news(sim, starting) == 1
    });
    // The command is lost with the daemon.
    sim.kill_daemon();
    sim.pass(500);
    assert_eq!(
        (state(&sim, &uuid), instance_of(&sim, &uuid)),
        ("Locked", None)
    );
    sim.start_daemon();
    until_state(&mut sim, &uuid, "Running", 3_000);
    assert_eq!(lock_count(&sim, &uuid), 1, "no attempt was burnt");
    sim.finish(60_000);
}

#[test]
fn a_lock_that_was_found_is_not_used_elsewhere_while_an_instance_is_silent() {
    // Facts S5: the container loads its image on an instance that does not answer yet; the other instance is idle.
    let mut setup = small(16);
    setup.brain.pool.idle_timeout = Duration::from_secs(60);
    let mut sim = Sim::new(setup);
    let first = sim.submit(&container(4, 9), 4_000);
    until_state(&mut sim, &first, "Running", 10_000);
    set(&mut sim, &json!({"runner": {"start_ms": 14_000}}));
    let uuid = sim.submit(&container(4, 1), 1_000);
    sim.until("it has a runner", 10_000, |sim| {
        instance_of(sim, &uuid).is_some()
    });
    let instance = instance_of(&sim, &uuid).expect("it has a runner");
    sim.until("the other instance is idle", 30_000, |sim| {
        state(sim, &first) == "Complete" && instance_of(sim, &first).is_none()
    });
    assert_eq!(state(&sim, &uuid), "Locked");
    sim.kill_daemon();
    let at = now(&sim);
    sim.world_mut().silence(&instance, Some(5_000), at);
    sim.start_daemon();
    sim.pass(4_500);
    let starting = |news: &WorkerNews| matches!(news, WorkerNews::Starting { .. });
    assert_eq!(count_news(&sim, starting), 2, "nothing was started again");
    let life = sim.finish(120_000);
    assert_eq!((life.report.complete, lock_count(&sim, &uuid)), (2, 1));
}

#[test]
fn the_last_start_of_a_dead_daemon_that_arrives_late_does_not_run_its_container_twice() {
    for late_ms in [200, 800, 1_500, 2_500, 4_000, 7_000] {
        let mut setup = small(4);
        setup.wire.travel_ms = Span::exactly(20);
        setup.wire.late_rate = 1.0;
        setup.wire.late_ms = Span::exactly(late_ms);
        let mut sim = Sim::new(setup);
        // Two instances, so that the second attempt may go elsewhere.
        let first = sim.submit(&container(4, 9), 3_000);
        let second = sim.submit(&container(4, 8), 3_000);
        let starting = |news: &WorkerNews| matches!(news, WorkerNews::Starting { .. });
        sim.until("two starts are on the way", 10_000, |sim| {
            count_news(sim, starting) == 2
        });
        sim.kill_daemon();
        sim.pass(50);
        sim.start_daemon();
        let life = sim.finish(120_000);
        assert_eq!(
            life.report.complete, 2,
            "late by {late_ms} ms: {first} {second}"
        );
    }
}

#[test]
fn a_running_container_whose_record_cannot_be_read_after_a_restart_is_left_alone() {
    // Facts K12, S35: it goes on, and nothing is put beside it while nobody knows what it needs.
    for (attribute, value) in [
        ("priority", json!("high")),
        ("state", json!("Frozen")),
        ("locked_by_uuid", json!(17)),
        ("runtime_constraints", json!({"vcpus": "many"})),
    ] {
        let mut sim = Sim::new(small(30));
        let uuid = sim.submit(&container(2, 1), 30_000);
        until_state(&mut sim, &uuid, "Running", 10_000);
        let its_own = the_instance(&sim);
        sim.kill_daemon();
        let at = now(&sim);
        sim.world_mut().poison(&uuid, attribute, value, None, at);
        sim.start_daemon();
        // It would fit in beside one that needs nothing.
        let other = sim.submit(&container(3, 1), 1_000);
        until_state(&mut sim, &other, "Running", 15_000);
        assert_ne!(instance_of(&sim, &other), Some(its_own), "{attribute}");
        let life = sim.finish(120_000);
        assert_eq!(life.report.complete, 2, "{attribute}");
    }
}

#[test]
fn an_adopted_busy_instance_is_not_destroyed_for_failing_its_boot_probe() {
    // Facts K3, W4: `systemctl is-system-running` may say "degraded" while all is well.
    let mut sim = Sim::new(small(5));
    let uuid = sim.submit(&container(4, 1), 40_000);
    until_state(&mut sim, &uuid, "Running", 10_000);
    let instance = the_instance(&sim);
    sim.kill_daemon();
    sim.world_mut().afflict(&instance, Ailment::BootProbeFails);
    sim.start_daemon();
    // Longer than TimeoutBooting and TimeoutProbe together.
    sim.pass(20_000);
    assert_eq!(worker_state(&sim, &instance), Some(WorkerState::Unknown));
    assert_eq!(
        worker(&sim, &instance).map(|view| view.containers.len()),
        Some(1)
    );
    let life = sim.finish(120_000);
    assert_eq!((life.report.complete, life.report.doomed), (1, 0));
}

#[test]
fn hold_survives_a_restart_and_is_never_destroyed() {
    let mut sim = Sim::new(small(6));
    let uuid = sim.submit(&container(2, 1), 2_000);
    until_state(&mut sim, &uuid, "Running", 10_000);
    let held = the_instance(&sim);
    set_behavior(&mut sim, &held, IdleBehavior::Hold);
    sim.pass(500);
    sim.kill_daemon();
    sim.start_daemon();
    let next = sim.submit(&container(2, 1), 1_000);
    until_state(&mut sim, &next, "Running", 10_000);
    assert_ne!(
        instance_of(&sim, &next).as_ref(),
        Some(&held),
        "nothing starts on hold"
    );
    sim.pass(30_000);
    assert_eq!(
        instances(&sim),
        std::slice::from_ref(&held),
        "only the held one stays"
    );
    set_behavior(&mut sim, &held, IdleBehavior::Run);
    sim.finish(1_000);
}

#[test]
fn drain_survives_a_restart_and_goes_when_its_container_has_ended() {
    let mut sim = Sim::new(small(7));
    let uuid = sim.submit(&container(2, 1), 10_000);
    until_state(&mut sim, &uuid, "Running", 10_000);
    let draining = the_instance(&sim);
    set_behavior(&mut sim, &draining, IdleBehavior::Drain);
    sim.pass(500);
    sim.kill_daemon();
    sim.start_daemon();
    let next = sim.submit(&container(2, 1), 20_000);
    until_state(&mut sim, &next, "Running", 10_000);
    assert_ne!(
        instance_of(&sim, &next).as_ref(),
        Some(&draining),
        "nothing starts on drain"
    );
    until_state(&mut sim, &uuid, "Complete", 20_000);
    sim.until("it is gone at once", 1_000, |sim| {
        !instances(sim).contains(&draining)
    });
    sim.finish(60_000);
}

#[test]
fn an_instance_whose_type_is_gone_from_the_configuration_drains() {
    // Facts W15, and K1: its running container fits no configured type any more.
    let mut setup = small(8);
    setup.lab.instance_types.push(instance_type(2));
    setup.adopt_types();
    let mut sim = Sim::new(setup);
    let big = sim.submit(&container(4, 1), 15_000);
    until_state(&mut sim, &big, "Running", 10_000);
    let old = the_instance(&sim);
    sim.kill_daemon();
    let types = &mut sim.setup_mut().brain;
    types.types.retain(|name, _| name.as_str() == "type2");
    types.queue.types = types.types.clone();
    sim.start_daemon();
    let small_one = sim.submit(&container(1, 1), 1_000);
    until_state(&mut sim, &small_one, "Running", 10_000);
    assert_ne!(instance_of(&sim, &small_one).as_ref(), Some(&old));
    until_state(&mut sim, &big, "Complete", 30_000);
    sim.until("it is gone at once", 2_000, |sim| {
        !instances(sim).contains(&old)
    });
    sim.finish(60_000);
}

#[test]
fn no_lock_is_touched_before_the_instances_have_been_listed() {
    // Facts S6: the first list hangs for as long as a list is waited for.
    let mut setup = small(9);
    setup.brain.pool.sync_interval = std::time::Duration::from_secs(60);
    let mut sim = Sim::new(setup);
    let uuid = sim.submit(&container(4, 1), 60_000);
    sim.until("it has a runner", 10_000, |sim| {
        instance_of(sim, &uuid).is_some()
    });
    sim.kill_daemon();
    set(&mut sim, &json!({"cloud": {"next_hangs": 1}}));
    sim.start_daemon();
    sim.pass(30_000);
    assert!(
        sim.brain().pool().snapshot().workers.is_empty(),
        "nothing is known yet"
    );
    assert_eq!(state(&sim, &uuid), "Running");
    let life = sim.finish(300_000);
    assert_eq!((life.report.complete, lock_count(&sim, &uuid)), (1, 1));
}

#[test]
fn a_running_container_whose_instance_is_gone_is_cancelled_once_all_have_answered() {
    let mut sim = Sim::new(small(10));
    let uuid = sim.submit(&container(4, 1), 60_000);
    until_state(&mut sim, &uuid, "Running", 10_000);
    let instance = the_instance(&sim);
    sim.kill_daemon();
    let at = now(&sim);
    sim.world_mut().reclaim(&instance, at);
    sim.start_daemon();
    until_state(&mut sim, &uuid, "Cancelled", 15_000);
    sim.finish(10_000);
}

#[test]
fn a_container_is_not_lost_while_an_adopted_instance_is_silent() {
    // Facts S5: it runs there, and the instance speaks again before its time is up.
    let mut sim = Sim::new(small(11));
    let uuid = sim.submit(&container(4, 1), 20_000);
    until_state(&mut sim, &uuid, "Running", 10_000);
    let instance = the_instance(&sim);
    sim.kill_daemon();
    let at = now(&sim);
    sim.world_mut().silence(&instance, Some(6_000), at);
    sim.start_daemon();
    let life = sim.finish(60_000);
    assert_eq!(life.report.complete, 1);
}

#[test]
fn killed_at_any_instant_it_loses_nothing() {
    for at_ms in (10..4_000).step_by(61) {
        let mut setup = small(at_ms);
        setup.trace = false;
        setup.wire.travel_ms = Span::between(0, 30);
        let mut sim = Sim::new(setup);
        for n in 0..6 {
            sim.submit(&container(n % 4 + 1, 1), 800);
        }
        sim.pass(at_ms);
        sim.restart_daemon();
        let life = sim.finish(200_000);
        assert_eq!(life.report.complete, 6, "killed at {at_ms} ms");
    }
}

#[test]
fn a_deployed_runner_is_found_again_after_a_restart() {
    let mut setup = small(12);
    setup.lab.vm.runner_installed = false;
    setup.brain.pool.deploy_runner = true;
    setup.wire.deploy = Some(b"a runner".repeat(1000));
    let mut sim = Sim::new(setup);
    let uuid = sim.submit(&container(4, 1), 10_000);
    until_state(&mut sim, &uuid, "Running", 10_000);
    sim.restart_daemon();
    sim.pass(5_000);
    until_up(&mut sim, 1, 1_000);
    let runs = sim.world().vms().values().any(|vm| {
        vm.runners()
            .values()
            .any(|runner| runner.phase == Phase::Running)
    });
    assert!(runs);
    assert_eq!(sim.finish(60_000).report.complete, 1);
}
