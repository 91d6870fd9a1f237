//! Every metric name and the form of the log, in one place.
//!
//! Metrics have exactly the names, types and labels of facts §4 and a few of our own (see [`CATALOG`]). Values are
//! handed in as plain figures or as snapshots; nothing here decides anything or asks anybody. There is no global
//! recorder: each [`Metrics`] is a world of its own.

mod catalog;
mod exposition;
mod gauges;
mod lock_state;
mod logging;
mod metrics;
mod outlet;

pub use catalog::{CATALOG, Kind, Metric};
pub use lock_state::LockState;
pub use logging::{LogError, LogSettings, init_logging};
pub use metrics::{Metrics, PlanFigures, ServerLoad};
pub use outlet::LogGuard;
