//! Any setup in any weather: submit, wait until all is over, judge.

use std::fmt::Write;

use dispatch_brain::{BrainNews, Fact};
use dispatch_lab::judge::Report;

use super::{Setup, Sim};

/// How a whole life ended.
#[derive(Clone, Debug)]
pub struct Life {
    /// The lab's judgement.
    pub report: Report,
    /// When the last container was final, ms.
    pub last_final_ms: u64,
    /// When the last instance was gone and the queue empty, ms.
    pub over_ms: u64,
    /// How often the brain thought.
    pub n_steps: u64,
    /// The trace in one number; 0 without one.
    pub digest: u64,
}

impl Sim {
    /// Goes on until every container is final, the daemon's queue and pool are empty and nothing is billed.
    ///
    /// # Panics
    ///
    /// If that takes too long, or the judge finds fault.
    pub fn finish(&mut self, within_ms: u64) -> Life {
        self.until("every container is final", within_ms, |sim| {
            sim.world().status().open == 0
        });
        let last_final_ms = self.now_ms();
        let drain_ms = self.setup_mut().bounds.drain_within_ms;
        self.until("queue and instances have drained", drain_ms, |sim| {
            sim.is_drained()
        });
        let report = {
            let now = dispatch_lab::Now::at(self.now_ms());
            self.world().report(now)
        };
        assert_eq!(report.failures(), Vec::<String>::new());
        let violation = |fact: &Fact| matches!(fact, Fact::Brain(BrainNews::Violation { .. }));
        assert_eq!(self.count_facts(violation), 0, "violations");
        Life {
            report,
            last_final_ms,
            over_ms: self.now_ms(),
            n_steps: self.count_steps().0,
            digest: self.digest(),
        }
    }

    /// Nothing is left to do, nothing is billed, and the daemon knows.
    pub fn is_drained(&self) -> bool {
        self.world().instances().count() == 0
            && self.has_daemon()
            && self.brain().queue().snapshot().entries.is_empty()
            && self.brain().pool().snapshot().workers.is_empty()
            && self.brain().pool().snapshot().runners.is_empty()
    }
}

impl Life {
    /// One line for people.
    pub fn summary(&self) -> String {
        let report = &self.report;
        let mut text = format!(
            "{} complete, {} cancelled ({} doomed), {} instances, last final at {}.{:03} s, over at {}.{:03} s, {} steps",
            report.complete,
            report.cancelled,
            report.doomed,
            report.instances_created,
            self.last_final_ms / 1000,
            self.last_final_ms % 1000,
            self.over_ms / 1000,
            self.over_ms % 1000,
            self.n_steps,
        );
        for (kind, n) in &report.kinds_of_faults {
            // Writing to a String cannot fail.
            let _ = write!(text, " {kind}={n}");
        }
        text
    }
}

/// The demo's load in the demo's weather, in virtual time: so many containers, with the lab's own faults.
pub fn many_faults(seed: u64, n: usize, trace: bool) -> Life {
    let mut setup = Setup::brisk(seed);
    setup.trace = trace;
    setup.lab.faults = dispatch_lab::faults::Level::Many;
    setup.lab.cloud.never_capacity.insert("lab.6".to_owned());
    setup.lab.cloud.quota_max_instances = Some(24);
    setup.lab.cloud.min_ms_between_creates = 1;
    let mut sim = Sim::new(setup);
    sim.submit_mixed(n);
    sim.finish(1_200_000)
}
