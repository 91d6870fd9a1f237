//! Containers that change, vanish, cannot be read, cannot run, or are not wanted.

use dispatch_brain::{BrainNews, Fact, Wish};
use dispatch_lab::{Span, api::ApiRequest, settings::Token};
use dispatch_tests::sim::Sim;
use dispatch_worker::WorkerNews;
use serde_json::json;

use super::stage::{
    container, count_news, instance_of, lock_count, now, set, small, state, until_state, until_up,
};

/// A request to the API by somebody else.
fn request(sim: &mut Sim, method: &str, path: &str, token: &str, params: &[(&str, &str)]) -> u16 {
    let path = format!("/arvados/v1/containers/{path}");
    let request = ApiRequest::new(method, &path, token, params);
    let at = now(sim);
    sim.world_mut().api(&request, at).answer.status
}

fn root_token(sim: &Sim) -> String {
    sim.world().settings().system_root_token.clone()
}

#[test]
fn a_malformed_row_concerns_itself_only() {
    // Facts K12.
    let mut sim = Sim::new(small(1));
    let bad = sim.submit(&container(1, 5), 500);
    let at = now(&sim);
    sim.world_mut().poison(
        &bad,
        "runtime_constraints",
        json!({"vcpus": "many"}),
        None,
        at,
    );
    let good: Vec<String> = (0..5)
        .map(|n| sim.submit(&container(1, n + 1), 500))
        .collect();
    sim.until("all others complete", 10_000, |sim| {
        good.iter().all(|uuid| state(sim, uuid) == "Complete")
    });
    assert_eq!(state(&sim, &bad), "Queued");
    sim.world_mut().heal(&bad);
    until_state(&mut sim, &bad, "Complete", 10_000);
    sim.finish(10_000);
}

#[test]
fn the_runner_of_a_container_that_was_deleted_is_ended() {
    // Facts Q8, Q21.
    let mut sim = Sim::new(small(2));
    let uuid = sim.submit(&container(4, 1), 120_000);
    until_state(&mut sim, &uuid, "Running", 10_000);
    let token = root_token(&sim);
    assert_eq!(request(&mut sim, "DELETE", &uuid, &token, &[]), 200);
    sim.until("its runner is gone", 10_000, |sim| {
        instance_of(sim, &uuid).is_none()
    });
    sim.finish(10_000);
}

#[test]
fn a_running_container_that_nobody_wants_any_more_is_ended() {
    // Facts S32.
    let mut sim = Sim::new(small(3));
    let uuid = sim.submit(&container(4, 1), 120_000);
    until_state(&mut sim, &uuid, "Running", 10_000);
    sim.world_mut().doom(&uuid, "its request was cancelled");
    sim.set_priority(&uuid, 0);
    until_state(&mut sim, &uuid, "Cancelled", 10_000);
    sim.finish(10_000);
}

#[test]
fn waiting_containers_that_nobody_wants_any_more_are_unlocked_and_forgotten() {
    let mut setup = small(4);
    setup.lab.vm.boot_ms = Span::exactly(6_000);
    let mut sim = Sim::new(setup);
    let uuid = sim.submit(&container(4, 1), 1_000);
    until_state(&mut sim, &uuid, "Locked", 5_000);
    sim.set_priority(&uuid, 0);
    until_state(&mut sim, &uuid, "Queued", 5_000);
    let forgotten = |sim: &mut Sim| sim.brain().queue().snapshot().entries.is_empty();
    sim.until("it is forgotten", 5_000, forgotten);
    // Wanted again, it comes back.
    sim.set_priority(&uuid, 1);
    until_state(&mut sim, &uuid, "Complete", 20_000);
    sim.finish(20_000);
}

#[test]
fn an_unlock_that_uses_up_the_attempts_ends_in_a_cancelled_container() {
    // Facts Q23: each runner crashes, half of them before their container runs.
    let mut setup = small(5);
    setup.lab.api.max_dispatch_attempts = 3;
    setup.lab.runner.crash_rate = 1.0;
    let mut sim = Sim::new(setup);
    let uuids: Vec<String> = (0..12).map(|_| sim.submit(&container(1, 1), 200)).collect();
    for uuid in &uuids {
        sim.world_mut().doom(uuid, "its runners crash");
    }
    let life = sim.finish(120_000);
    assert_eq!(life.report.cancelled, 12);
    let by_limit = uuids.iter().filter(|uuid| {
        let never_ran = sim
            .world()
            .judge()
            .story(uuid)
            .is_some_and(|it| it.running_ms.is_none());
        never_ran && lock_count(&sim, uuid) == 3
    });
    assert!(by_limit.count() > 0, "some of them ran out of attempts");
}

#[test]
fn an_unlock_that_comes_too_late_is_refused_and_the_truth_is_read_again() {
    // Facts S38: the container is Running by the time the API gets to the unlock.
    let mut setup = small(6);
    setup.lab.runner.crash_rate = 1.0;
    setup.wire.travel_ms = Span::exactly(50);
    let mut sim = Sim::new(setup);
    let uuids: Vec<String> = (0..6).map(|_| sim.submit(&container(1, 1), 300)).collect();
    let unlocking = |fact: &Fact| matches!(fact, Fact::Brain(BrainNews::Unlocking { .. }));
    sim.until("a lock is on its way back", 10_000, |sim| {
        sim.count_facts(unlocking) > 0
    });
    let Some((_, Fact::Brain(BrainNews::Unlocking { container, .. }))) = sim
        .facts()
        .iter()
        .rev()
        .find(|(_, fact)| unlocking(fact))
        .cloned()
    else {
        panic!("it was just there");
    };
    let token = root_token(&sim);
    let running = [("container", r#"{"state": "Running"}"#)];
    assert_eq!(
        request(&mut sim, "PUT", container.as_str(), &token, &running),
        200
    );
    for uuid in &uuids {
        sim.world_mut().doom(uuid, "its runners crash");
    }
    set(&mut sim, &json!({"runner": {"crash_rate": 0.0}}));
    // No runner has it, so it is not left Running for ever.
    until_state(&mut sim, container.as_str(), "Cancelled", 20_000);
    sim.finish(60_000);
}

#[test]
fn what_can_never_run_is_cancelled_with_one_call_and_no_lock() {
    // Facts Q3, K22.
    let mut sim = Sim::new(small(7));
    let uuid = sim.submit(&container(64, 1), 1_000);
    sim.world_mut().doom(&uuid, "no instance type fits it");
    until_state(&mut sim, &uuid, "Cancelled", 5_000);
    assert_eq!(
        (sim.count_calls("api cancel"), lock_count(&sim, &uuid)),
        (1, 0)
    );
    let reason = {
        let world = sim.world();
        let status = world.containers().containers()[&uuid].attribute("runtime_status");
        status["error"].as_str().unwrap_or_default().to_owned()
    };
    assert!(reason.contains("64"), "{reason}");
    sim.finish(10_000);
}

#[test]
fn what_another_dispatcher_has_locked_is_left_alone() {
    // Facts K13.
    let mut setup = small(8);
    let other = Token {
        token: "another0dispatcher0token".to_owned(),
        uuid: "zzzzz-gj3su-another00000000".to_owned(),
        admin: true,
    };
    setup.lab.tokens.push(other.clone());
    let mut sim = Sim::new(setup);
    let uuid = sim.submit(&container(1, 9), 1_000);
    assert_eq!(
        request(&mut sim, "POST", &format!("{uuid}/lock"), &other.token, &[]),
        200
    );
    let ours = sim.submit(&container(1, 1), 1_000);
    until_state(&mut sim, &ours, "Complete", 10_000);
    sim.pass(30_000);
    assert_eq!(
        (state(&sim, &uuid), instance_of(&sim, &uuid)),
        ("Locked", None)
    );
}

#[test]
fn a_container_is_not_started_elsewhere_before_the_instance_with_its_runner_is_gone() {
    // Facts S4: its instance falls silent while it loads the image, and cannot be destroyed at first.
    let mut setup = small(9);
    setup.lab.runner.start_ms = Span::exactly(5_000);
    setup.lab.cloud.error_rate_destroy = 1.0;
    let mut sim = Sim::new(setup);
    let uuid = sim.submit(&container(4, 1), 1_000);
    sim.until("it has a runner", 10_000, |sim| {
        instance_of(sim, &uuid).is_some()
    });
    let old = instance_of(&sim, &uuid).expect("it has a runner");
    let at = now(&sim);
    sim.world_mut().silence(&old, None, at);
    let destroying = |news: &WorkerNews| matches!(news, WorkerNews::Destroying);
    sim.until("it is given up", 20_000, |sim| {
        count_news(sim, destroying) >= 3
    });
    assert_eq!(
        sim.world().vms().len(),
        1,
        "nothing has been started elsewhere"
    );
    set(&mut sim, &json!({"cloud": {"error_rate_destroy": 0.0}}));
    until_state(&mut sim, &uuid, "Complete", 60_000);
    assert!(!sim.world().vms().contains_key(&old));
    sim.finish(20_000);
}

#[test]
fn the_kill_call_ends_a_container_and_an_instance() {
    let mut sim = Sim::new(small(10));
    let one = sim.submit(&container(2, 1), 120_000);
    let other = sim.submit(&container(2, 1), 120_000);
    sim.until("both run", 10_000, |sim| {
        state(sim, &one) == "Running" && state(sim, &other) == "Running"
    });
    for uuid in [&one, &other] {
        sim.world_mut().doom(uuid, "an operator ends it");
    }
    let reason = || "an operator".to_owned();
    let wish = Wish::KillContainer {
        container: one.as_str().into(),
        reason: reason(),
    };
    sim.wish(wish).expect("it is known");
    until_state(&mut sim, &one, "Cancelled", 5_000);
    let instance = instance_of(&sim, &other).expect("it has a runner");
    sim.world_mut().announce_kill(&instance);
    let wish = Wish::KillInstance {
        instance: instance.as_str().into(),
        reason: reason(),
    };
    sim.wish(wish).expect("it is known");
    until_up(&mut sim, 0, 1_000);
    until_state(&mut sim, &other, "Cancelled", 10_000);
    sim.finish(10_000);
}
