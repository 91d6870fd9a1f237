//! The rows of the table: what is measured, what the Go dispatcher was seen to do, and what is asked of ours.

use crate::{
    experiments::Experiment,
    figures::{Figures, Statistic, Unit},
};

/// One row.
pub(crate) struct Row {
    /// For `--only`.
    pub(crate) name: &'static str,
    /// In a sentence.
    pub(crate) what: &'static str,
    pub(crate) experiment: Experiment,
    pub(crate) unit: Unit,
    /// Which statistic has to keep to the target.
    pub(crate) statistic: Statistic,
    pub(crate) target: f64,
    /// What the Go dispatcher was seen to do.
    pub(crate) go: &'static str,
    /// The value of it to compare ours with, where there is one that means the same.
    pub(crate) go_value: Option<f64>,
}

impl Row {
    pub(crate) fn judged(&self, figures: &Figures) -> f64 {
        figures.value(self.statistic)
    }

    pub(crate) fn is_met(&self, figures: &Figures, tolerance: f64) -> bool {
        self.judged(figures) <= self.target * tolerance
    }

    pub(crate) fn target_in_words(&self) -> String {
        let statistic = match self.statistic {
            Statistic::P50 => "p50 ",
            Statistic::P99 => "p99 ",
            Statistic::Max => "",
        };
        format!("{statistic}≤ {}", self.unit.show(self.target))
    }
}

const fn millis(
    name: &'static str,
    experiment: Experiment,
    statistic: Statistic,
    target: f64,
) -> Row {
    Row {
        name,
        what: "",
        experiment,
        unit: Unit::Millis,
        statistic,
        target,
        go: "not measured",
        go_value: None,
    }
}

/// All rows.
pub(crate) const ROWS: &[Row] = &[
    Row {
        what: "queued → start command received, one instance with room; PollInterval 10 s is in the way",
        go: "p50 4.4 s, p90 8.6 s, max 8.9 s",
        go_value: Some(8_900.0),
        ..millis(
            "queued-to-start",
            Experiment::Arrivals,
            Statistic::Max,
            10_500.0,
        )
    },
    Row {
        what: "of that, from the poll that lists it",
        ..millis(
            "listed-to-start",
            Experiment::Arrivals,
            Statistic::P50,
            300.0,
        )
    },
    Row {
        what: "runner exited → next start on that instance; 4 one-slot instances, 40 containers of 2 s",
        go: "p50 18.0 s, p90 18.1 s, max 100 s",
        go_value: Some(18_000.0),
        ..millis(
            "exit-to-start",
            Experiment::Succession,
            Statistic::P50,
            300.0,
        )
    },
    Row {
        what: "SSH answers → first start on that instance; 64 come up within 2 s",
        go: "p50 6.0 s, p90 8.7 s, max 10.6 s",
        go_value: Some(10_600.0),
        ..millis("boot-64", Experiment::Boot64, Statistic::P99, 1_000.0)
    },
    Row {
        what: "the same with 300 within 2 s; MaxConcurrentInstanceCreateOps and MaxCloudOpsPerSecond 0",
        go: "p50 23.6 s, p90 35.5 s, max 38.4 s",
        go_value: Some(38_400.0),
        ..millis("boot-300", Experiment::Boot300, Statistic::P99, 1_000.0)
    },
    Row {
        what: "64 instances wanted, a create takes 300 ms, one at a time: last one requested",
        go: "317 s",
        go_value: Some(317_000.0),
        ..millis(
            "create-64",
            Experiment::CreateOneAtATime,
            Statistic::Max,
            25_000.0,
        )
    },
    Row {
        what: "the same with MaxConcurrentInstanceCreateOps 0 (MaxCloudOpsPerSecond 10)",
        go: "300 within 7 s, without a rate limit and with a create of 5 ms",
        ..millis(
            "create-64-unlimited",
            Experiment::CreateUnlimited,
            Statistic::Max,
            8_000.0,
        )
    },
    Row {
        what: "1,000 one-core containers appear, 16 idle 64-core instances: all started, from the poll that lists them",
        go: "29.5 s from their appearance, a poll interval included",
        ..millis("batch-1000", Experiment::Batch, Statistic::Max, 3_000.0)
    },
    Row {
        what: "last exit → destroyed, beyond TimeoutIdle",
        go: "p50 8.6 s, max 9.9 s",
        go_value: Some(9_900.0),
        ..millis(
            "idle-to-destroy",
            Experiment::Idleness,
            Statistic::Max,
            1_000.0,
        )
    },
    Row {
        what: "kill -9 with 100 busy instances, started again: all runners known",
        go: "10.6 s with 20 busy",
        go_value: Some(10_600.0),
        ..millis("restart-100", Experiment::Restart, Statistic::Max, 3_000.0)
    },
    Row {
        what: "300 idle instances: processor, share of one core",
        unit: Unit::Percent,
        go: "1.1 %",
        go_value: Some(1.1),
        ..millis("idle-300-cpu", Experiment::Boot300, Statistic::Max, 1.5)
    },
    Row {
        what: "300 idle instances: resident memory",
        unit: Unit::MebiBytes,
        go: "85 MB",
        go_value: Some(81.0),
        ..millis("idle-300-memory", Experiment::Boot300, Statistic::Max, 85.0)
    },
    Row {
        what: "plan for 10,000 containers on 1,000 instances; the worst of three loads, each the best of many",
        ..millis("plan", Experiment::Plan, Statistic::Max, 10.0)
    },
];
