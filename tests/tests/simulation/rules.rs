//! Rules that one plausible mistake would break without anything else going wrong.

use dispatch_brain::Wish;
use dispatch_model::{ContainerState, IdleBehavior};
use dispatch_tests::sim::Sim;
use serde_json::json;

use super::stage::{
    container, instance_type, instances, now, set, small, the_instance, until_state,
};

#[test]
fn those_of_higher_priority_run_first() {
    let mut setup = small(1);
    setup.brain.pool.max_instances = Some(1);
    let mut sim = Sim::new(setup);
    // The first poll finds them all, in an order of its own.
    let priorities = [3, 9, 1, 7, 5];
    let uuids: Vec<String> = priorities
        .iter()
        .map(|priority| sim.submit(&container(4, *priority), 1_000))
        .collect();
    sim.until("all are complete", 60_000, |sim| {
        sim.world().status().open == 0
    });
    let began = |n: &usize| {
        let world = sim.world();
        let story = world.judge().story(&uuids[*n]);
        story.and_then(|story| story.running_ms)
    };
    let mut order: Vec<usize> = (0..5).collect();
    order.sort_by_key(began);
    let order: Vec<i64> = order.iter().map(|n| priorities[*n]).collect();
    assert_eq!(order, [9, 7, 5, 3, 1]);
    sim.finish(10_000);
}

#[test]
fn sixteen_containers_take_turns_on_an_instance_whose_tag_of_gpu_devices_holds_seven() {
    // Facts K6: a tag has 256 characters, and one that may get all devices that are left must still fit into it.
    let with_gpus = |mut one: dispatch_lab::settings::InstanceType| {
        one.gpus = 16;
        one
    };
    let mut setup = small(4).with_types(vec![with_gpus(instance_type(16))]);
    setup.brain.pool.max_instances = Some(1);
    let mut sim = Sim::new(setup);
    let one_gpu = json!({
        "priority": 1,
        "runtime_constraints": {
            "vcpus": 1,
            "ram": 1 << 29,
            "gpu": {
                "stack": "cuda",
                "driver_version": "11.0",
                "hardware_target": ["8.0"],
                "device_count": 1,
                "vram": 1 << 30,
            },
        },
    });
    // All are locked when the instance has booted: one plan starts them.
    for _ in 0..16 {
        sim.submit(&one_gpu, 1_500);
    }
    sim.until("seven run", 10_000, |sim| {
        sim.world().status().containers.get("Running") == Some(&7)
    });
    sim.finish(30_000);
}

#[test]
fn a_held_instance_that_falls_silent_stays_until_it_is_released() {
    // Invariant 5: whoever holds an instance wants to look at it, above all when it is in trouble.
    let mut sim = Sim::new(small(2));
    let uuid = sim.submit(&container(4, 1), 1_000);
    until_state(&mut sim, &uuid, "Complete", 10_000);
    let instance = the_instance(&sim);
    let behave = |behavior| Wish::SetIdleBehavior {
        instance: instance.as_str().into(),
        behavior,
    };
    sim.wish(behave(IdleBehavior::Hold)).expect("it is known");
    let at = now(&sim);
    sim.world_mut().silence(&instance, Some(60_000), at);
    sim.pass(80_000);
    assert!(instances(&sim).contains(&instance));
    sim.wish(behave(IdleBehavior::Run)).expect("it is known");
    sim.finish(30_000);
}

#[test]
fn twenty_containers_at_a_quota_of_four_are_told_why_they_wait_and_in_what_place() {
    // Facts §6.1.6: types of four cores and more are sold out.
    let types = [1, 2, 4, 8].map(instance_type);
    let mut setup = small(3).with_types(types.to_vec());
    setup.lab.cloud.quota_max_instances = Some(4);
    for sold_out in ["lab.4", "lab.8"] {
        setup.lab.cloud.never_capacity.insert(sold_out.to_owned());
    }
    setup.brain.queue.maximum_price_factor = 1.0;
    let mut sim = Sim::new(setup);
    for n in 0..20 {
        let cores = [1, 2, 4, 8][n % 4];
        sim.submit(&container(cores, 100 - n as i64), 60_000);
    }
    sim.until("four run", 30_000, |sim| {
        sim.world().status().containers["Running"] == 4
    });
    sim.pass(2_000);
    let told = told(&sim);
    assert_eq!(told.len(), 20);
    let texts_of = |wanted: &[ContainerState]| -> Vec<&str> {
        let those = told.iter().filter(|(state, _)| wanted.contains(state));
        those.map(|(_, text)| text.as_str()).collect()
    };
    assert_eq!(texts_of(&[ContainerState::Running]), [""; 4]);
    let waiting = texts_of(&[ContainerState::Queued, ContainerState::Locked]);
    let expected: Vec<String> = (1..=16).map(|n| format!("position {n}. ")).collect();
    for (text, position) in waiting.iter().zip(&expected) {
        assert!(text.contains(position), "{position}: {text}");
    }
    let full = "The cloud account has reached its limit of instances.";
    let sold_out = "No instance type that can run it is available now: type";
    let n_told = |words: &str| waiting.iter().filter(|text| text.contains(words)).count();
    assert_eq!((n_told(full), n_told(sold_out)), (6, 10), "{waiting:#?}");
    set(
        &mut sim,
        &json!({"cloud": {"never_capacity": [], "quota_max_instances": 20}}),
    );
    sim.finish(400_000);
}

/// What is told of each container, in the order in which they are served: locked ones before queued ones, then by
/// priority.
fn told(sim: &Sim) -> Vec<(ContainerState, String)> {
    let brain = sim.brain();
    let snapshot = brain.snapshot();
    let mut entries: Vec<_> = snapshot.queue.entries.values().collect();
    entries.sort_by_key(|entry| {
        let queued = entry.state == ContainerState::Queued;
        (queued, std::cmp::Reverse(entry.priority))
    });
    entries
        .into_iter()
        .map(|entry| {
            let wait = snapshot.plan.waits.get(&entry.id);
            let text = wait.map_or(String::new(), ToString::to_string);
            (entry.state, text)
        })
        .collect()
}
