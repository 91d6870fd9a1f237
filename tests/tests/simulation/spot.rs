//! Spot instances that the cloud takes back, and what is used in their place (facts K34).

use std::time::Duration;

use dispatch_brain::Input;
use dispatch_lab::{api::ApiRequest, cloud::CloudCall, settings::InstanceType};
use dispatch_model::{EndCause, HoldCause};
use dispatch_tests::sim::{Setup, Sim};
use dispatch_worker::{Event, InstanceEnd, SpotFallback};
use serde_json::{Value, json};

use super::stage::{container, instance_of, instance_type, now, small, state, until_state};

/// A world with a spot type and its twin.
fn with_spot(seed: u64, fallback: Option<SpotFallback>) -> Setup {
    let twin = instance_type(4);
    let spot = InstanceType {
        name: "spot4".to_owned(),
        price: twin.price * 0.4,
        preemptible: true,
        ..twin.clone()
    };
    let mut setup = small(seed).with_types(vec![twin, spot]);
    setup.brain.pool.spot_fallback = fallback;
    setup
}

fn preemptible() -> Value {
    let mut container = container(4, 1);
    container["scheduling_parameters"] =
        json!({"partitions": [], "preemptible": true, "max_run_time": 0, "supervisor": false});
    container
}

/// On what kind of instance a container's runner is.
fn is_on_spot(sim: &Sim, uuid: &str) -> bool {
    let instance = instance_of(sim, uuid).expect("it runs");
    sim.world().instances().instances()[&instance]
        .instance_type
        .preemptible
}

const NOTICE: &str = "terminate at 12:00";

/// What a runner writes that reads on its instance that it will be taken back.
fn notice(sim: &mut Sim, uuid: &str) {
    let token = sim.world().settings().system_root_token.clone();
    let container = json!({"runtime_status": {"preemptionNotice": NOTICE}}).to_string();
    let path = format!("/arvados/v1/containers/{uuid}");
    let request = ApiRequest::new("PATCH", &path, &token, &[("container", &container)]);
    let at = now(sim);
    assert_eq!(sim.world_mut().api(&request, at).answer.status, 200);
}

/// Lets one run, and takes its instance back at some moment that the seed decides.
fn run_and_take_back(sim: &mut Sim, seed: u64) {
    let uuid = sim.submit(&preemptible(), 600_000);
    until_state(sim, &uuid, "Running", 20_000);
    assert!(is_on_spot(sim, &uuid));
    sim.pass(seed * 997 % 2_500);
    let instance = instance_of(sim, &uuid).expect("it runs");
    notice(sim, &uuid);
    let at = now(sim);
    {
        let mut world = sim.world_mut();
        world.doom(&uuid, "its instance is taken back");
        world.announce_kill(&instance);
        world.cloud(&CloudCall::Destroy(instance.clone()), at);
    }
    sim.hear(Input::Pool(Event::Died(InstanceEnd {
        instance: instance.as_str().into(),
        cause: EndCause::TakenBack,
        class: None,
        reason: "Server.SpotInstanceTermination: Spot instance termination".to_owned(),
    })));
    until_state(sim, &uuid, "Cancelled", 5_000);
    let status = {
        let world = sim.world();
        let status = world.containers().containers()[&uuid].attribute("runtime_status");
        assert_eq!(status["preemptionNotice"], NOTICE, "what the runner said");
        status["error"].as_str().unwrap_or_default().to_owned()
    };
    assert!(status.contains(&instance), "{status}");
    assert!(
        status.contains("Server.SpotInstanceTermination"),
        "{status}"
    );
}

/// Whether the spot type is left alone.
fn is_avoided(sim: &Sim) -> bool {
    let holds = &sim.brain().pool().snapshot().type_holds;
    (holds.values()).any(|hold| hold.cause == HoldCause::SpotInterrupted)
}

#[test]
fn seeded_interruptions_switch_a_spot_type_to_its_twin_and_back() {
    for seed in 1..=10 {
        let mut sim = Sim::new(with_spot(
            seed,
            Some(SpotFallback {
                price_factor: 3.0,
                interruptions: 3,
                window: Duration::from_secs(60),
            }),
        ));
        for _ in 0..3 {
            assert!(!is_avoided(&sim), "seed {seed}");
            run_and_take_back(&mut sim, seed);
        }
        assert!(is_avoided(&sim), "seed {seed}");
        let uuid = sim.submit(&preemptible(), 1_000);
        until_state(&mut sim, &uuid, "Running", 20_000);
        assert!(!is_on_spot(&sim, &uuid), "seed {seed}");
        until_state(&mut sim, &uuid, "Complete", 10_000);
        sim.until("the window has passed", 61_000, |sim| !is_avoided(sim));
        let uuid = sim.submit(&preemptible(), 1_000);
        until_state(&mut sim, &uuid, "Running", 20_000);
        assert!(is_on_spot(&sim, &uuid), "seed {seed}");
        sim.finish(30_000);
    }
}

#[test]
fn unless_it_is_asked_for_spot_containers_stay_on_spot() {
    let mut sim = Sim::new(with_spot(1, None));
    for _ in 0..6 {
        run_and_take_back(&mut sim, 1);
    }
    let uuid = sim.submit(&preemptible(), 1_000);
    until_state(&mut sim, &uuid, "Running", 20_000);
    assert!(is_on_spot(&sim, &uuid));
    until_state(&mut sim, &uuid, "Complete", 10_000);
    assert_eq!(state(&sim, &uuid), "Complete");
    assert!(sim.brain().pool().snapshot().substitutes.is_empty());
    sim.finish(30_000);
}
