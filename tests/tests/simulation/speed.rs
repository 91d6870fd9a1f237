//! Nothing waits for a timer that an event can wake: speeds in virtual time, where only waiting takes any.

use dispatch_lab::{Span, world::Event};
use dispatch_tests::sim::{Setup, Sim};

use super::stage::{container, instance_type, set, state, until_state, until_up};
use serde_json::json;

/// The defaults of the configuration, on instances of so many cores.
fn usual(seed: u64, cores: u32) -> Setup {
    let mut setup = Setup::usual(seed).with_types(vec![instance_type(cores)]);
    setup.lab.vm.exec_ms = Span::exactly(5);
    setup.lab.runner.detach_ms = Span::exactly(10);
    setup.lab.runner.start_ms = Span::exactly(10);
    setup.lab.runner.exit_lag_ms = Span::exactly(5);
    setup.wire.travel_ms = Span::exactly(1);
    setup
}

#[test]
fn the_next_container_starts_within_a_few_round_trips_of_a_runners_exit() {
    let mut sim = Sim::new(usual(1, 4));
    let first = sim.submit(&container(4, 9), 30_000);
    let second = sim.submit(&container(4, 1), 1_000);
    set(&mut sim, &json!({"cloud": {"quota_max_instances": 1}}));
    until_state(&mut sim, &first, "Complete", 60_000);
    let ended_ms = sim.now_ms();
    until_state(&mut sim, &second, "Running", 10_000);
    let took_ms = sim.now_ms() - ended_ms;
    // The runner's own end, the watch's word, a list, the lock, the start, and the runner's first steps.
    assert!(took_ms <= 80, "{took_ms} ms");
    sim.finish(200_000);
}

#[test]
fn a_new_instance_is_used_as_soon_as_it_answers() {
    let mut setup = usual(2, 4);
    setup.lab.vm.boot_ms = Span::exactly(20_000);
    setup.lab.vm.boot_probe_fails_ms = Span::exactly(0);
    let mut sim = Sim::new(setup);
    let uuid = sim.submit(&container(4, 1), 1_000);
    until_up(&mut sim, 1, 60_000);
    let up_ms = sim.now_ms();
    until_state(&mut sim, &uuid, "Running", 10_000);
    let took_ms = sim.now_ms() - up_ms;
    assert!(took_ms <= 700, "{took_ms} ms");
    sim.finish(200_000);
}

#[test]
fn sixty_four_instances_are_ordered_one_after_the_other_without_a_pause() {
    let mut setup = usual(3, 4);
    setup.lab.cloud.create_latency_ms = Span::exactly(300);
    let mut sim = Sim::new(setup);
    for _ in 0..64 {
        sim.submit(&container(4, 1), 60_000);
    }
    let listed_ms = 100;
    sim.until("all are ordered", 25_000 + listed_ms, |sim| {
        sim.world().status().created == 64
    });
    assert_eq!(sim.finish(300_000).report.complete, 64);
}

#[test]
fn side_by_side_they_are_ordered_within_the_clouds_rate() {
    let mut setup = usual(4, 4);
    setup.lab.cloud.create_latency_ms = Span::exactly(300);
    setup.brain.pool.max_concurrent_creates = None;
    let mut sim = Sim::new(setup);
    for _ in 0..64 {
        sim.submit(&container(4, 1), 60_000);
    }
    sim.until("all are ordered", 8_000, |sim| {
        sim.world().status().created == 64
    });
    assert_eq!(sim.finish(300_000).report.complete, 64);
}

#[test]
fn a_thousand_containers_start_on_idle_instances_soon_after_the_poll_that_lists_them() {
    let mut setup = usual(5, 64);
    setup.lab.api.latency_ms = Span::exactly(20);
    setup.trace = false;
    setup.brain.pool.max_instances = Some(16);
    let mut sim = Sim::new(setup);
    // Sixteen instances that have just become idle.
    let first: Vec<String> = (0..16)
        .map(|_| sim.submit(&container(64, 1), 5_000))
        .collect();
    sim.until("the instances are idle", 60_000, |sim| {
        first.iter().all(|uuid| state(sim, uuid) == "Complete")
    });
    let all: Vec<String> = (0..1000)
        .map(|_| sim.submit(&container(1, 1), 60_000))
        .collect();
    let submitted_ms = sim.now_ms();
    let n_started = |sim: &Sim| {
        let world = sim.world();
        let has = |uuid: &&String| {
            world
                .judge()
                .story(uuid)
                .is_some_and(|it| it.running_ms.is_some())
        };
        all.iter().filter(has).count()
    };
    sim.until("the first is seen", 12_000, |sim| {
        sim.world().status().containers["Locked"] > 0
    });
    let seen_ms = sim.now_ms();
    sim.until("all have started", 30_000, |sim| n_started(sim) == 1000);
    let took_ms = sim.now_ms() - seen_ms;
    assert!(
        took_ms <= 3_000,
        "{took_ms} ms after {} ms",
        seen_ms - submitted_ms
    );
}

#[test]
fn an_idle_instance_goes_after_timeout_idle_and_hardly_later() {
    let mut sim = Sim::new(usual(6, 4));
    let uuid = sim.submit(&container(4, 1), 1_000);
    until_state(&mut sim, &uuid, "Complete", 30_000);
    let ended_ms = sim.now_ms();
    sim.until("it is gone", 70_000, |sim| {
        sim.take_events()
            .iter()
            .any(|event| matches!(event, Event::Gone { .. }))
    });
    let took_ms = sim.now_ms() - ended_ms;
    assert!((60_000..61_000).contains(&took_ms), "{took_ms} ms");
}

#[test]
fn idle_means_idle() {
    let mut sim = Sim::new(usual(7, 4));
    sim.pass(60_000);
    let (steps, calls) = (sim.count_steps().0, sim.count_calls("api list"));
    sim.pass(600_000);
    let steps_per_minute = (sim.count_steps().0 - steps) / 10;
    let lists_per_minute = (sim.count_calls("api list") - calls) / 10;
    // A poll of two lists each ten seconds, a list of instances each minute.
    assert!(steps_per_minute <= 20, "{steps_per_minute} steps a minute");
    assert!(lists_per_minute <= 14, "{lists_per_minute} lists a minute");
}

#[test]
fn busy_instances_cost_little_while_nothing_happens() {
    let mut sim = Sim::new(usual(8, 4));
    for _ in 0..20 {
        sim.submit(&container(4, 1), 600_000);
    }
    sim.until("all run", 120_000, |sim| {
        sim.world().status().containers["Running"] == 20
    });
    let (steps, lists) = (sim.count_steps().0, sim.count_calls("cloud list"));
    sim.pass(300_000);
    let steps_per_second = (sim.count_steps().0 - steps) as f64 / 300.0;
    // Twenty probes in ten seconds: each is sent in one step and answered in another.
    assert!(steps_per_second < 6.0, "{steps_per_second} steps a second");
    assert!(sim.count_calls("cloud list") - lists <= 6);
    sim.finish(900_000);
}

#[test]
fn answers_of_idle_instances_lead_to_no_plan_and_no_snapshot() {
    let mut setup = usual(9, 4);
    setup.brain.pool.idle_timeout = std::time::Duration::from_secs(3600);
    let mut sim = Sim::new(setup);
    let all: Vec<String> = (0..20)
        .map(|_| sim.submit(&container(4, 1), 1_000))
        .collect();
    sim.until("all instances are idle", 200_000, |sim| {
        all.iter().all(|uuid| state(sim, uuid) == "Complete")
    });
    sim.pass(60_000);
    let count = |sim: &Sim| {
        let probes = sim.count_steps().0;
        [probes, sim.brain().n_plans(), sim.brain().revision()]
    };
    let before = count(&sim);
    sim.pass(300_000);
    let after = count(&sim);
    let [steps, plans, news] = std::array::from_fn(|index| after[index] - before[index]);
    assert_eq!(sim.world().status().created, 20);
    // Twenty are probed every ten seconds; in the same time one poll is sent and answered.
    assert!(steps > 1000, "{steps} steps");
    assert!(plans <= 64, "{plans} plans");
    assert!(news <= 130, "{news} snapshots worth showing");
}
