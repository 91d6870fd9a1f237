//! What the operators and the API allow at once.

use std::time::Duration;

/// Limits beside those of the cloud, which the pool snapshot carries (`hold`, `type_holds`, `instance_limit`).
///
/// Containers and instances are limited apart, so that packing goes on when the account is at its quota (facts K4).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// How many containers may run at once, because the API bears no more (facts S19); `None`: no limit.
    pub containers: Option<usize>,
    /// How many supervisors may run at once (facts S15); `None`: no limit.
    pub supervisors: Option<usize>,
    /// `MaxRunningContainersPerInstance`; `None`: as many as there is room for.
    pub containers_per_instance: Option<usize>,
    /// For how long, counted from when it was first seen, a container that waits for an instance lets lower ones pass.
    /// After that a worker is kept for it; see [`plan`](crate::plan()).
    pub patience: Duration,
}

impl Limits {
    /// What [`Limits::none`] takes for `patience`: long beside a boot, short beside a day's work.
    pub const PATIENCE: Duration = Duration::from_secs(300);

    /// No limit on anything.
    pub const fn none() -> Limits {
        Limits {
            containers: None,
            supervisors: None,
            containers_per_instance: None,
            patience: Limits::PATIENCE,
        }
    }
}
