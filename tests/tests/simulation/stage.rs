//! Small worlds for single scenarios.

use dispatch_brain::Fact;
use dispatch_lab::{Now, Span, settings::InstanceType};
use dispatch_model::{WorkerState, WorkerView};
use dispatch_tests::sim::{Setup, Sim};
use dispatch_worker::{Fact as PoolFact, PoolNews, WorkerNews};
use serde_json::{Value, json};

/// A quiet world with one type of four cores, everything within seconds.
pub(crate) fn small(seed: u64) -> Setup {
    let mut setup = Setup::brisk(seed);
    setup.lab.vm.boot_ms = Span::between(400, 600);
    setup.lab.vm.boot_probe_fails_ms = Span::exactly(0);
    setup.lab.runner.exit_lag_ms = Span::exactly(5);
    setup.bounds.progress_within_ms = 400_000;
    setup.with_types(vec![instance_type(4)])
}

/// A type of so many cores.
pub(crate) fn instance_type(cores: u32) -> InstanceType {
    InstanceType {
        name: format!("type{cores}"),
        provider_type: format!("lab.{cores}"),
        vcpus: cores,
        ram: u64::from(cores) << 31,
        scratch: u64::from(cores) << 31,
        price: 0.1 * f64::from(cores),
        preemptible: false,
        gpus: 0,
    }
}

/// A container of so many cores and this priority.
pub(crate) fn container(cores: u32, priority: i64) -> Value {
    json!({
        "priority": priority,
        "runtime_constraints": {"vcpus": cores, "ram": u64::from(cores) << 29},
    })
}

/// Where a container stands, by the API.
pub(crate) fn state(sim: &Sim, uuid: &str) -> &'static str {
    sim.world()
        .containers()
        .containers()
        .get(uuid)
        .map_or("deleted", |one| one.state.name())
}

/// Waits until a container is in this state.
#[track_caller]
pub(crate) fn until_state(sim: &mut Sim, uuid: &str, wanted: &str, within_ms: u64) {
    sim.until(&format!("{uuid} is {wanted}"), within_ms, |sim| {
        state(sim, uuid) == wanted
    });
}

/// How often a container was locked, by the API.
pub(crate) fn lock_count(sim: &Sim, uuid: &str) -> i64 {
    sim.world().containers().containers()[uuid].lock_count
}

/// Waits until there are so many instances that have booted.
#[track_caller]
pub(crate) fn until_up(sim: &mut Sim, n: usize, within_ms: u64) {
    sim.until(&format!("{n} instances are up"), within_ms, |sim| {
        sim.world().status().up == n
    });
}

/// The living instances of ours.
pub(crate) fn instances(sim: &Sim) -> Vec<String> {
    sim.world().vms().keys().cloned().collect()
}

/// The one living instance.
#[track_caller]
pub(crate) fn the_instance(sim: &Sim) -> String {
    let all = instances(sim);
    assert_eq!(all.len(), 1, "{all:?}");
    all.into_iter().next().expect("one")
}

/// The instance on which a container's runner lives.
pub(crate) fn instance_of(sim: &Sim, uuid: &str) -> Option<String> {
    let world = sim.world();
    let mut vms = world.vms().values();
    vms.find(|vm| vm.runners().contains_key(uuid))
        .map(|vm| vm.instance.clone())
}

/// The world's present.
pub(crate) fn now(sim: &Sim) -> Now {
    Now::at(sim.now_ms())
}

/// Turns knobs of the world.
pub(crate) fn set(sim: &mut Sim, patch: &Value) {
    let set = sim.world_mut().set(patch).map(|_| ());
    set.expect("a patch of the right shape");
}

/// The brain's view of an instance.
pub(crate) fn worker(sim: &Sim, instance: &str) -> Option<WorkerView> {
    let pool = sim.brain().pool().snapshot();
    let mut workers = pool.workers.values();
    let is_it = |view: &&std::sync::Arc<WorkerView>| {
        view.instance
            .as_ref()
            .is_some_and(|id| id.as_str() == instance)
    };
    workers.find(is_it).map(|view| WorkerView::clone(view))
}

/// The brain's view of an instance's state.
pub(crate) fn worker_state(sim: &Sim, instance: &str) -> Option<WorkerState> {
    worker(sim, instance).map(|view| view.state)
}

/// How much news of workers was like this.
pub(crate) fn count_news(sim: &Sim, is_one: impl Fn(&WorkerNews) -> bool) -> usize {
    sim.count_facts(|fact| match fact {
        Fact::Pool(PoolFact::Worker { news, .. }) => is_one(news),
        _ => false,
    })
}

/// How much news of the pool was like this.
pub(crate) fn count_pool_news(sim: &Sim, is_one: impl Fn(&PoolNews) -> bool) -> usize {
    sim.count_facts(|fact| match fact {
        Fact::Pool(PoolFact::Pool(news)) => is_one(news),
        _ => false,
    })
}
