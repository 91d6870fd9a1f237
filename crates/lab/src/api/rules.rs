//! The tables of the state machine: which changes of state there are, and what may be written in which state
//! (facts §5.2, §5.3).

use super::ContainerState::{self, Cancelled, Complete, Locked, Queued, Running};

/// What a runner reports as it goes.
pub(crate) const PROGRESS: &[&str] = &[
    "progress",
    "runtime_status",
    "cost",
    "subrequests_cost",
    "log",
    "output",
    "output_properties",
    "exit_code",
    "gateway_address",
];

/// Whether the API knows this change of state.
pub(crate) fn allowed(from: ContainerState, to: ContainerState) -> bool {
    matches!(
        (from, to),
        (Queued, Locked | Cancelled)
            | (Locked, Queued | Running | Cancelled)
            | (Running, Complete | Cancelled)
            | (Complete, Cancelled)
    )
}

/// Whether an attribute may be changed on the way from one state to another (or within one).
pub(crate) fn writable(attribute: &str, from: ContainerState, to: ContainerState) -> bool {
    let progress = || PROGRESS.contains(&attribute);
    attribute == "state"
        || match (from, to) {
            (_, Queued) => attribute == "priority",
            (_, Locked) => matches!(attribute, "priority" | "runtime_status" | "log"),
            (_, Running) => {
                attribute == "priority" || attribute == "interactive_session_started" || progress()
            }
            (Running, Complete | Cancelled) => attribute == "finished_at" || progress(),
            (Queued | Locked, Cancelled) => {
                matches!(attribute, "finished_at" | "log" | "runtime_status" | "cost")
            }
            (_, Complete | Cancelled) => false,
        }
}

/// Keys of `runtime_status` that must hold text.
pub(crate) const STATUS_TEXTS: &[&str] = &[
    "error",
    "errorDetail",
    "warning",
    "warningDetail",
    "activity",
    "preemptionNotice",
];
