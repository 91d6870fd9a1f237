//! The life of a container, as the API tells it (facts §5.2).

use std::fmt;

use serde::{Deserialize, Serialize};

/// Where a container is in its life.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum ContainerState {
    /// Waits for a dispatcher to lock it.
    Queued,
    /// A dispatcher has locked it and nobody else may run it.
    Locked,
    /// Its runner has said that it runs.
    Running,
    /// Ended by itself.
    Complete,
    /// Ended by somebody.
    Cancelled,
}

impl ContainerState {
    /// All states, in the order of life.
    pub const ALL: [ContainerState; 5] = [
        ContainerState::Queued,
        ContainerState::Locked,
        ContainerState::Running,
        ContainerState::Complete,
        ContainerState::Cancelled,
    ];

    /// Whether nothing can happen to the container any more.
    pub const fn is_final(self) -> bool {
        matches!(self, ContainerState::Complete | ContainerState::Cancelled)
    }
}

impl fmt::Display for ContainerState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            ContainerState::Queued => "Queued",
            ContainerState::Locked => "Locked",
            ContainerState::Running => "Running",
            ContainerState::Complete => "Complete",
            ContainerState::Cancelled => "Cancelled",
        })
    }
}
