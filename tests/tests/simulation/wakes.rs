//! Everything that happens makes the brain think again at once, and nothing that hangs keeps it from thinking.

use std::time::Duration;

use dispatch_brain::Wish;
use dispatch_lab::Span;
use dispatch_model::{IdleBehavior, WorkerState};
use dispatch_tests::sim::{Setup, Sim};
use dispatch_worker::WorkerNews;
use serde_json::json;

use super::stage::{
    container, count_news, instance_of, instance_type, lock_count, set, small, state, the_instance,
    until_state, worker_state,
};

/// A world in which no timer comes to anybody's help for ten minutes.
fn without_timers(seed: u64) -> Setup {
    let mut setup = small(seed);
    let long = Duration::from_secs(600);
    setup.brain.queue.poll_interval = long;
    setup.brain.pool.sync_interval = long;
    setup.brain.pool.probe_interval = long;
    setup.brain.pool.idle_timeout = long;
    setup.brain.pool.probe_timeout = long * 4;
    setup.brain.patience = Duration::ZERO;
    setup.lab.timeout_probe_ms = 2_400_000;
    setup.brain.pool.max_instances = Some(1);
    setup.bounds.progress_within_ms = 2_000_000;
    setup.bounds.drain_within_ms = 3_000_000;
    setup
}

#[test]
fn an_instance_that_is_released_is_used_at_once() {
    // Facts W2: idle behaviour changes what can be planned.
    let mut setup = without_timers(1);
    // The tag that says so arrives before the start: the world goes by tags.
    setup.wire.travel_ms = Span::exactly(0);
    let mut sim = Sim::new(setup);
    let first = sim.submit(&container(4, 9), 5_000);
    let second = sim.submit(&container(4, 1), 1_000);
    until_state(&mut sim, &first, "Running", 10_000);
    let instance = the_instance(&sim);
    let behave = |behavior| Wish::SetIdleBehavior {
        instance: instance.as_str().into(),
        behavior,
    };
    sim.wish(behave(IdleBehavior::Hold)).expect("it is known");
    until_state(&mut sim, &first, "Complete", 10_000);
    sim.pass(20_000);
    assert_eq!(worker_state(&sim, &instance), Some(WorkerState::Idle));
    assert_eq!(
        instance_of(&sim, &second),
        None,
        "a held instance gets no work"
    );
    sim.wish(behave(IdleBehavior::Run)).expect("it is known");
    until_state(&mut sim, &second, "Running", 500);
    sim.finish(10_000);
}

#[test]
fn an_instance_that_makes_way_is_replaced_at_once() {
    // Facts W2: becoming idle, being shut down and being gone are three changes, and each wakes the planner.
    let setup = without_timers(2).with_types(vec![instance_type(2), instance_type(8)]);
    let mut sim = Sim::new(setup);
    let little = sim.submit(&container(2, 9), 5_000);
    let big = sim.submit(&container(8, 1), 1_000);
    until_state(&mut sim, &little, "Complete", 20_000);
    until_state(&mut sim, &big, "Running", 10_000);
    sim.finish(20_000);
}

#[test]
fn a_lock_call_that_hangs_holds_up_nobody_else() {
    // Facts S1: the answer to one call may take a minute; plans are made meanwhile.
    let mut setup = small(3);
    setup.wire.api_timeout = Duration::from_secs(60);
    setup.wire.travel_ms = Span::exactly(5);
    let mut sim = Sim::new(setup);
    sim.pass(5_000);
    let hung = sim.submit(&container(2, 9), 1_000);
    sim.until("a lock call is on its way", 10_000, |sim| {
        let entries = &sim.brain().queue().snapshot().entries;
        entries.get(hung.as_str()).is_some_and(|entry| entry.busy)
    });
    set(&mut sim, &json!({"api": {"next_hangs": 1}}));
    sim.pass(5_000);
    let asked_ms = sim.now_ms();
    let others: Vec<String> = (0..3)
        .map(|n| sim.submit(&container(2, n + 1), 1_000))
        .collect();
    sim.until("the others complete", 20_000, |sim| {
        others.iter().all(|uuid| state(sim, uuid) == "Complete")
    });
    assert_eq!(
        (state(&sim, &hung), lock_count(&sim, &hung)),
        ("Queued", 0),
        "its lock still hangs {} ms later",
        sim.now_ms() - asked_ms
    );
    until_state(&mut sim, &hung, "Complete", 70_000);
    sim.finish(10_000);
}

#[test]
fn what_a_runner_that_died_leaves_behind_is_settled_without_waiting_for_a_poll() {
    // Facts P5: how a container ended is asked as soon as its runner has, not at the next poll.
    let mut setup = without_timers(4).with_types(vec![instance_type(8)]);
    setup.lab.runner.crash_rate = 1.0;
    let mut sim = Sim::new(setup);
    let uuids: Vec<String> = (0..6)
        .map(|n| sim.submit(&container(1, n + 1), 2_000))
        .collect();
    let starting = |news: &WorkerNews| matches!(news, WorkerNews::Starting { .. });
    sim.until("all are being started", 20_000, |sim| {
        count_news(sim, starting) == uuids.len()
    });
    sim.pass(100);
    set(&mut sim, &json!({"runner": {"crash_rate": 0.0}}));
    // Those that died while they loaded run again; those that died later are cancelled.
    let life = sim.finish(30_000);
    assert!(
        life.report.complete > 0 && life.report.cancelled > 0,
        "{}",
        life.summary()
    );
}
