//! What the owner of a container reads when what ran it is gone (facts §5.4).

use dispatch_brain::Wish;
use dispatch_tests::sim::Sim;
use serde_json::json;

use super::stage::{container, set, small, state, the_instance, until_state};

/// A container that runs on the only instance, and that instance.
fn running(seed: u64) -> (Sim, String, String) {
    let mut sim = Sim::new(small(seed));
    let uuid = sim.submit(&container(4, 1), 600_000);
    until_state(&mut sim, &uuid, "Running", 10_000);
    sim.world_mut().doom(&uuid, "its instance goes");
    let instance = the_instance(&sim);
    sim.world_mut().announce_kill(&instance);
    (sim, uuid, instance)
}

#[track_caller]
fn check(mut sim: Sim, uuid: &str, words: &[&str]) {
    until_state(&mut sim, uuid, "Cancelled", 60_000);
    let told = error(&sim, uuid);
    for word in words {
        assert!(told.contains(word), "{word:?} is not in {told:?}");
    }
    assert!(!told.contains("process"), "{told}");
    set(&mut sim, &json!({"vm": {"hang_rate": 0.0}}));
    sim.finish(60_000);
}

fn error(sim: &Sim, uuid: &str) -> String {
    let world = sim.world();
    let status = world.containers().containers()[uuid].attribute("runtime_status");
    status["error"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn a_container_whose_instance_an_operator_ended_says_so_with_the_operators_reason() {
    let (mut sim, uuid, instance) = running(41);
    let wish = Wish::KillInstance {
        instance: instance.as_str().into(),
        reason: "disk is bad".to_owned(),
    };
    sim.wish(wish).expect("it is known");
    check(sim, &uuid, &[&instance, "was shut down: disk is bad"]);
}

#[test]
fn a_container_whose_instance_fell_silent_says_so() {
    let (mut sim, uuid, instance) = running(42);
    set(&mut sim, &json!({"vm": {"hang_rate": 1.0}}));
    check(
        sim,
        &uuid,
        &[&instance, "was shut down: silent for TimeoutProbe"],
    );
}

#[test]
fn a_container_whose_runner_crashed_blames_no_instance() {
    let mut setup = small(44);
    setup.lab.runner.crash_rate = 1.0;
    let mut sim = Sim::new(setup);
    let uuids: Vec<String> = (0..6).map(|_| sim.submit(&container(1, 1), 300)).collect();
    for uuid in &uuids {
        sim.world_mut().doom(uuid, "its runners crash");
    }
    let told = "the process that ran the container ended before the container was finished";
    sim.until("one is cancelled for it", 60_000, |sim| {
        uuids
            .iter()
            .any(|uuid| state(sim, uuid) == "Cancelled" && error(sim, uuid) == told)
    });
}
