//! At quota, at MaxInstances, at the API's limit: what can go on goes on, and nobody starves.

use std::time::Duration;

use dispatch_tests::sim::Sim;
use serde_json::json;

use super::stage::{
    container, instance_of, instance_type, lock_count, set, small, state, until_state,
};

fn n_running(sim: &Sim) -> usize {
    sim.world().status().containers["Running"]
}

#[test]
fn containers_are_packed_also_when_no_more_instances_may_be_made() {
    // Facts K4: one instance of eight cores, and eight containers run on it side by side.
    let mut setup = small(1).with_types(vec![instance_type(8)]);
    setup.brain.pool.max_instances = Some(1);
    setup.brain.supervisors.expected_containers = Some(1);
    let mut sim = Sim::new(setup);
    for n in 0..16 {
        sim.submit(&container(1, n + 1), 20_000);
    }
    sim.until("eight run", 10_000, |sim| n_running(sim) == 8);
    let life = sim.finish(120_000);
    assert_eq!(
        (life.report.complete, life.report.instances_created),
        (16, 1)
    );
    assert!(
        life.last_final_ms < 50_000,
        "two rounds: {} ms",
        life.last_final_ms
    );
}

#[test]
fn max_instances_is_never_exceeded() {
    // Facts W21, invariant 8: pending creations count.
    let mut setup = small(2);
    setup.brain.pool.max_instances = Some(3);
    setup.brain.pool.max_concurrent_creates = None;
    let mut sim = Sim::new(setup);
    for n in 0..20 {
        sim.submit(&container(4, n + 1), 2_000);
    }
    let mut most = 0;
    sim.until("all are complete", 120_000, |sim| {
        most = most.max(sim.world().instances().count());
        sim.world().status().open == 0
    });
    assert_eq!(most, 3);
    sim.finish(1_000);
}

#[test]
fn restarts_at_quota_wear_out_nobodys_attempts() {
    // Facts S10, S11: what the account allows is not known after a start.
    let mut setup = small(12);
    setup.lab.cloud.quota_max_instances = Some(1);
    let mut sim = Sim::new(setup);
    let long = sim.submit(&container(4, 9), 400_000);
    until_state(&mut sim, &long, "Running", 10_000);
    let others: Vec<String> = (0..8)
        .map(|n| sim.submit(&container(4, n + 1), 1_000))
        .collect();
    sim.pass(20_000);
    for _ in 0..5 {
        sim.restart_daemon();
        sim.pass(20_000);
    }
    assert!(sim.count_calls("cloud create") >= 6, "each life has tried");
    let attempts: Vec<i64> = others.iter().map(|uuid| lock_count(&sim, uuid)).collect();
    // The first life has seen one creation succeed, and so has tried two at once; no other has tried more than one.
    assert_eq!(attempts, [0, 0, 0, 0, 0, 0, 1, 1]);
}

#[test]
fn a_raised_quota_is_found_out_although_no_instance_has_ended() {
    // Facts K16, S11, W20.
    let mut setup = small(3);
    setup.lab.cloud.quota_max_instances = Some(1);
    let mut sim = Sim::new(setup);
    let long = sim.submit(&container(4, 9), 400_000);
    until_state(&mut sim, &long, "Running", 10_000);
    let others: Vec<String> = (0..3)
        .map(|n| sim.submit(&container(4, n + 1), 1_000))
        .collect();
    sim.pass(100_000);
    let tries = sim.count_calls("cloud create");
    assert!(tries <= 6, "{tries} creations for one instance");
    for uuid in &others {
        assert!(
            lock_count(&sim, uuid) <= 4,
            "{uuid}: {}",
            lock_count(&sim, uuid)
        );
    }
    set(&mut sim, &json!({"cloud": {"quota_max_instances": 4}}));
    sim.until("the others complete", 280_000, |sim| {
        others.iter().all(|uuid| state(sim, uuid) == "Complete")
    });
    sim.finish(500_000);
}

#[test]
fn small_containers_run_behind_a_big_one_that_waits_and_it_does_not_starve() {
    // Facts K17.
    let mut setup = small(4);
    setup.brain.pool.max_instances = Some(1);
    setup.brain.patience = Duration::from_secs(30);
    let mut sim = Sim::new(setup);
    let first = sim.submit(&container(2, 1), 15_000);
    until_state(&mut sim, &first, "Running", 10_000);
    let big = sim.submit(&container(4, 100), 1_000);
    let mut small_ones = Vec::new();
    for _ in 0..60 {
        // A steady stream that could keep the instance busy for ever.
        small_ones.push(sim.submit(&container(1, 1), 6_000));
        small_ones.push(sim.submit(&container(1, 1), 6_000));
        sim.pass(2_000);
        if state(&sim, &big) == "Complete" {
            break;
        }
    }
    assert_eq!(state(&sim, &big), "Complete", "within two minutes");
    let went_past = small_ones.iter().filter(|uuid| {
        let world = sim.world();
        let ran = |uuid: &str| world.judge().story(uuid).and_then(|story| story.running_ms);
        ran(uuid).is_some_and(|at| ran(&big).is_some_and(|big_at| at < big_at))
    });
    assert!(went_past.count() >= 3, "small ones ran while it waited");
    sim.finish(300_000);
}

#[test]
fn a_503_limits_the_containers_and_quiet_gives_back() {
    // Facts S18, S19.
    let mut sim = Sim::new(small(5));
    for n in 0..6 {
        sim.submit(&container(2, n + 1), 30_000);
    }
    sim.until("six run", 10_000, |sim| n_running(sim) == 6);
    set(&mut sim, &json!({"api": {"next_503s": 1}}));
    sim.pass(3_000);
    let later: Vec<String> = (0..4)
        .map(|_| sim.submit(&container(2, 1), 1_000))
        .collect();
    sim.pass(10_000);
    assert_eq!(
        n_running(&sim),
        6,
        "nothing more is started, nothing is given up"
    );
    let all_later = |sim: &mut Sim| later.iter().all(|uuid| state(sim, uuid) == "Complete");
    sim.until("the others complete", 100_000, all_later);
    sim.finish(10_000);
}

#[test]
fn with_equal_priorities_at_quota_no_attempt_is_burnt() {
    // Facts Q22, S10.
    let mut setup = small(6);
    setup.lab.cloud.quota_max_instances = Some(2);
    let mut sim = Sim::new(setup);
    let uuids: Vec<String> = (0..10)
        .map(|_| sim.submit(&container(4, 7), 8_000))
        .collect();
    sim.finish(300_000);
    for uuid in &uuids {
        assert!(
            lock_count(&sim, uuid) <= 4,
            "{uuid}: {} locks",
            lock_count(&sim, uuid)
        );
    }
}

#[test]
fn a_type_that_is_sold_out_holds_up_only_those_who_need_it() {
    let mut setup = small(7).with_types(vec![instance_type(2), instance_type(8)]);
    setup.lab.cloud.never_capacity.insert("lab.8".to_owned());
    let mut sim = Sim::new(setup);
    let big = sim.submit(&container(8, 99), 1_000);
    let small_ones: Vec<String> = (0..4)
        .map(|_| sim.submit(&container(2, 1), 1_000))
        .collect();
    sim.until("the small ones complete", 20_000, |sim| {
        small_ones.iter().all(|uuid| state(sim, uuid) == "Complete")
    });
    sim.pass(200_000);
    assert!(sim.count_calls("cloud create") < 15, "once a minute");
    assert_eq!(instance_of(&sim, &big), None);
    set(&mut sim, &json!({"cloud": {"never_capacity": []}}));
    until_state(&mut sim, &big, "Complete", 70_000);
    sim.finish(20_000);
}
