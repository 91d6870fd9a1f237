//! The chaos of facts §6.1, with its time-outs of milliseconds, under virtual time.

use std::{collections::BTreeMap, time::Duration};

use dispatch_lab::{
    Span,
    vm::{Ailment, Vm},
    world::Event,
};
use serde_json::json;

use super::{Setup, Sim, weather::Life};

/// How many containers there are.
const CONTAINERS: u64 = 200;
/// TimeoutBooting.
const BOOTING_MS: u64 = 150;

/// How often the daemon is killed at most.
const RESTARTS_MAX: i64 = 8;

/// What is done to the dispatcher on top.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Extra {
    /// Only what upstream's test does.
    Plain,
    /// Fresh instances are missing in lists, gone ones linger, creates are lost, calls hang, instances are reclaimed,
    /// rows are malformed.
    Weather,
    /// All that, and the daemon is killed and started again several times.
    Restarts,
}

/// The configuration and the stub's knobs of facts §6.1.
pub fn setup(seed: u64, extra: Extra) -> Setup {
    let millis = Duration::from_millis;
    let mut setup = Setup::usual(seed);
    setup.lab.timeout_probe_ms = 15;
    setup.lab.dead_type_ms = 2 * BOOTING_MS;
    let api = &mut setup.lab.api;
    api.latency_ms = Span::between(0, 2);
    let cloud = &mut setup.lab.cloud;
    cloud.create_latency_ms = Span::between(0, 4);
    cloud.list_latency_ms = Span::between(0, 2);
    cloud.tags_latency_ms = Span::between(0, 2);
    cloud.destroy_latency_ms = Span::between(0, 2);
    cloud.address_ms = Span::between(0, 2);
    cloud.min_ms_between_creates = 1;
    cloud.quota_max_instances = Some(10);
    cloud.error_rate_create = 0.1;
    cloud.error_rate_destroy = 0.1;
    cloud.never_capacity.insert("lab.6".to_owned());
    let vm = &mut setup.lab.vm;
    vm.boot_ms = Span::between(0, 5);
    vm.boot_probe_fails_ms = Span::between(0, 2);
    vm.exec_ms = Span::between(0, 1);
    vm.silent_types.insert("lab.4".to_owned());
    let runner = &mut setup.lab.runner;
    runner.detach_ms = Span::between(0, 10);
    runner.start_ms = Span::between(0, 20);
    runner.run_ms = Span::between(1, 20);
    runner.exit_lag_ms = Span::between(0, 3);
    runner.kill_ms = Span::between(0, 2);
    runner.crash_rate = 0.1;
    runner.deadlock_rate = 0.1;

    let pool = &mut setup.brain.pool;
    pool.sync_interval = millis(10);
    pool.probe_interval = millis(5);
    pool.max_probes_per_second = 1000;
    pool.idle_timeout = millis(150);
    pool.boot_timeout = millis(BOOTING_MS);
    pool.probe_timeout = millis(15);
    pool.shutdown_timeout = millis(5);
    pool.signal_interval = millis(3);
    pool.stale_lock_timeout = millis(3);
    pool.term_timeout = millis(20);
    pool.max_concurrent_creates = Some(1);
    pool.tag_key_prefix = "test:".to_owned();
    pool.resource_tags = [("testtag".to_owned(), "test value".to_owned())].into();
    pool.timing.connect = millis(20);
    pool.timing.command = millis(20);
    pool.timing.cloud_call = millis(100);
    pool.timing.fresh_grace = millis(100);
    setup.brain.stale_lock_timeout = millis(5);
    setup.brain.queue.poll_interval = millis(5);
    setup.brain.supervisors.expected_containers = Some(8);
    let wire = &mut setup.wire;
    wire.travel_ms = Span::between(0, 1);
    wire.handshake_ms = Span::between(0, 1);
    wire.cloud_ops_per_second = Some(500);
    wire.keep_alive_ms = 30;
    // A 503 is followed by a second of quiet.
    wire.api_timeout = millis(2000);
    wire.late_ms = Span::between(5, 40);
    wire.restart_ms = Span::between(1, 30);
    // Upstream asks for progress every five seconds; ours pauses longer where creations fail in a row (facts K10).
    setup.bounds.progress_within_ms = 30_000;
    setup.bounds.idle_steps_per_second = 1_000;
    setup.bounds.drain_within_ms = 5_000;
    if extra == Extra::Restarts {
        // What a dead daemon has sent arrives within this time, and an attempt may be burnt by each that starts without
        // knowing the quota.
        setup.brain.stale_lock_timeout = millis(50);
        setup.lab.api.max_dispatch_attempts = 10 + RESTARTS_MAX;
    }
    if extra != Extra::Plain {
        // What fails again and again is tried again after a minute at most.
        setup.bounds.progress_within_ms = 70_000;
        setup.bounds.drain_within_ms = 70_000;
        setup.lab.cloud.fresh_missing_ms = Span::between(0, 30);
        setup.lab.cloud.gone_listed_ms = Span::between(0, 30);
        setup.lab.cloud.tags_stale_ms = 20;
        setup.lab.cloud.lost_create_rate = 0.03;
        setup.lab.cloud.error_rate_list = 0.03;
        setup.lab.cloud.error_rate_tags = 0.05;
        setup.lab.cloud.bystanders = 1;
        setup.lab.vm.hang_rate = 0.001;
        setup.lab.runner.ignore_term_rate = 0.02;
    }
    setup
}

/// One seed, to the end.
pub fn run(seed: u64, extra: Extra, trace: bool) -> Life {
    live(seed, extra, trace).1
}

/// The same, with the simulation as it ended.
pub fn live(seed: u64, extra: Extra, trace: bool) -> (Sim, Life) {
    let mut setup = setup(seed, extra);
    setup.trace = trace;
    let mut sim = Sim::new(setup);
    let mut storm = Storm::new(seed, extra);
    for i in 0..CONTAINERS {
        let attributes = json!({
            "priority": i % 20 + 1,
            "runtime_constraints": {"ram": (i % 3 + 1) << 30, "vcpus": i % 8 + 1},
        });
        let run_ms = storm.luck.below(20) + 1;
        let uuid = sim.submit(&attributes, run_ms);
        storm.containers.push(uuid);
    }
    while sim.world().status().open > 0 {
        assert!(sim.now_ms() < 600_000, "not over after ten minutes");
        let until = sim.now_ms() + 1000;
        sim.go_on(until);
        storm.rage(&mut sim);
    }
    let life = sim.finish(1);
    (sim, life)
}

/// What goes wrong beyond the knobs.
struct Storm {
    luck: dispatch_lab::luck::Luck,
    extra: Extra,
    containers: Vec<String>,
    /// The order in which machines came up.
    n_machines: u64,
    /// What will happen to machines: silence, or a broken report.
    plans: BTreeMap<(u64, String), Blow>,
    refused_once: bool,
    next_restart_ms: u64,
    n_restarts: i64,
    next_trouble_ms: u64,
}

#[derive(Clone, Copy)]
enum Blow {
    Silence,
    Broken,
}

impl Storm {
    fn new(seed: u64, extra: Extra) -> Storm {
        Storm {
            luck: dispatch_lab::luck::Luck::new(seed, "storm"),
            extra,
            containers: Vec::new(),
            n_machines: 0,
            plans: BTreeMap::new(),
            refused_once: false,
            next_restart_ms: 100,
            n_restarts: 0,
            next_trouble_ms: 50,
        }
    }

    fn rage(&mut self, sim: &mut Sim) {
        for event in sim.take_events() {
            if let Event::Up { instance, .. } = event {
                self.machine_came_up(instance, sim);
            }
        }
        self.strike(sim);
        let now_ms = sim.now_ms();
        if now_ms >= 2 * BOOTING_MS {
            let silent = !sim.world().settings().vm.silent_types.is_empty();
            if silent {
                set(sim, &json!({"vm": {"silent_types": []}}));
            }
        }
        if !self.refused_once && sim.world().status().open <= 100 {
            self.refused_once = true;
            set(sim, &json!({"api": {"next_503s": 1}}));
        }
        if self.extra != Extra::Plain && now_ms >= self.next_trouble_ms {
            self.next_trouble_ms = now_ms + 50 + self.luck.below(300);
            self.trouble(sim);
        }
        let restarts = self.extra == Extra::Restarts && self.n_restarts < RESTARTS_MAX;
        if restarts && now_ms >= self.next_restart_ms && sim.has_daemon() {
            self.n_restarts += 1;
            self.next_restart_ms = now_ms + 50 + self.luck.below(400);
            sim.restart_daemon();
        }
    }

    /// Of the machines, a seventh falls silent, a seventh has no runner, a seventh reports itself broken.
    fn machine_came_up(&mut self, instance: String, sim: &mut Sim) {
        self.n_machines += 1;
        let now_ms = sim.now_ms();
        match self.n_machines % 7 {
            0 => {
                let at = now_ms + self.luck.below(91);
                self.plans.insert((at, instance), Blow::Silence);
            }
            1 => sim.world_mut().afflict(&instance, Ailment::RunnerMissing),
            2 => {
                let at = now_ms + self.luck.below(201);
                self.plans.insert((at, instance), Blow::Broken);
            }
            _ => {}
        }
    }

    fn strike(&mut self, sim: &mut Sim) {
        while let Some(entry) = self.plans.first_entry() {
            let now = dispatch_lab::Now::at(sim.now_ms());
            if entry.key().0 > now.ms {
                break;
            }
            let ((_, instance), blow) = entry.remove_entry();
            match blow {
                Blow::Silence => sim.world_mut().silence(&instance, None, now),
                Blow::Broken => sim.world_mut().report_broken(&instance),
            }
        }
    }

    /// One of the troubles that upstream's test does not have.
    fn trouble(&mut self, sim: &mut Sim) {
        let now = dispatch_lab::Now::at(sim.now_ms());
        match self.luck.below(7) {
            // A hung poll takes two seconds to be found out.
            0 if self.luck.chance(0.2) => set(sim, &json!({"api": {"next_hangs": 1}})),
            1 => set(sim, &json!({"api": {"next_lost": 1}})),
            2 => set(sim, &json!({"cloud": {"next_hangs": 1}})),
            // Each is followed by a second of quiet: not too many of them.
            3 if self.luck.chance(0.2) => set(sim, &json!({"api": {"next_503s": 1}})),
            4 => {
                let instances: Vec<String> = sim.world().vms().keys().cloned().collect();
                if let Some(instance) = self.luck.pick(&instances) {
                    sim.world_mut().reclaim(instance, now);
                }
            }
            5 => {
                if let Some(uuid) = self.luck.pick(&self.containers) {
                    let heals = Some(50 + self.luck.clone().below(200));
                    sim.world_mut()
                        .poison(uuid, "runtime_constraints", json!([7]), heals, now);
                }
            }
            _ => {
                // One that is silent for good must not find its voice again.
                let speak = |vm: &&Vm| vm.silent.is_none();
                let instances: Vec<String> = {
                    let world = sim.world();
                    let vms = world.vms().values().filter(speak);
                    vms.map(|vm| vm.instance.clone()).collect()
                };
                if let Some(instance) = self.luck.pick(&instances) {
                    // Less than the time it is given.
                    sim.world_mut().silence(instance, Some(8), now);
                }
            }
        }
    }
}

fn set(sim: &mut Sim, patch: &serde_json::Value) {
    let result = sim.world_mut().set(patch).map(|_| ());
    result.expect("a patch of the right shape");
}
