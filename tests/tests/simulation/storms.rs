//! Everything at once, for many seeds.

use dispatch_brain::{BrainNews, Fact};
use dispatch_model::{CloudErrorClass, WorkerState};
use dispatch_tests::sim::{Outcome, chaos, chaos::Extra, replay, run_seeds, weather};
use dispatch_worker::{BootOutcome, WorkerNews};

const FAILED_ONCE: &str = include_str!("failed-seeds.txt");

#[track_caller]
fn storm(extra: Extra, seeds: std::ops::Range<u64>) {
    run_seeds(FAILED_ONCE, seeds, |seed, trace| Outcome {
        seed,
        summary: chaos::run(seed, extra, trace).summary(),
    });
}

#[test]
fn each_container_finishes_exactly_once_in_the_chaos_of_milliseconds() {
    storm(Extra::Plain, 100..120);
}

#[test]
fn the_chaos_with_stale_lists_lost_creates_hung_calls_and_reclaims_loses_nothing() {
    storm(Extra::Weather, 200..225);
}

#[test]
fn the_chaos_with_the_daemon_killed_again_and_again_loses_nothing() {
    storm(Extra::Restarts, 300..325);
}

#[test]
fn every_kind_of_fault_of_the_demo_in_one_life_loses_nothing() {
    run_seeds(FAILED_ONCE, 400..415, |seed, trace| Outcome {
        seed,
        summary: weather::many_faults(seed, 200, trace).summary(),
    });
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    replay(7, |seed| chaos::run(seed, Extra::Restarts, true).digest);
    replay(7, |seed| weather::many_faults(seed, 50, true).digest);
    assert_ne!(
        weather::many_faults(1, 20, true).digest,
        weather::many_faults(2, 20, true).digest
    );
}

#[test]
fn the_chaos_shows_in_what_is_counted() {
    // What upstream's test reads off the metrics (facts §6.1).
    let (sim, _) = chaos::live(1, Extra::Plain, false);
    let news = |is_one: &dyn Fn(&WorkerNews) -> bool| super::stage::count_news(&sim, is_one);
    let boots = |wanted| news(&|one| matches!(one, WorkerNews::BootEnded(it) if *it == wanted));
    assert!(boots(BootOutcome::Success) > 0 && boots(BootOutcome::Failure) > 0);
    let failed = |class: &CloudErrorClass| *class == CloudErrorClass::Transient;
    assert!(
        news(&|one| matches!(one, WorkerNews::CreateFailed { class, .. } if failed(class))) > 0
    );
    assert!(news(&|one| matches!(one, WorkerNews::Created { .. })) > 0);
    let gone =
        |wanted| news(&|one| matches!(one, WorkerNews::Gone { state, .. } if *state == wanted));
    assert!(gone(WorkerState::Shutdown) > 0);
    assert_eq!(gone(WorkerState::Unknown), 0);
    assert!(news(&|one| matches!(one, WorkerNews::SshUp { .. })) > 0);
    assert!(news(&|one| matches!(one, WorkerNews::Ready { .. })) > 0);
    assert!(news(&|one| matches!(one, WorkerNews::Broken { .. })) > 0);
    let limits = |fact: &Fact| matches!(fact, Fact::Brain(BrainNews::ContainerLimit { .. }));
    assert!(sim.count_facts(limits) > 0, "the 503 limits the containers");
}
