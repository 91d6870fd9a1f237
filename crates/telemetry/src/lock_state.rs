//! Where a process stands with the lock that keeps a second dispatcher waiting.

/// Where a process stands with the lock.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LockState {
    /// None is configured.
    None,
    /// Another holds it, or the database cannot be asked.
    Waiting,
    /// We hold it, and only look.
    Surveying,
    /// We act.
    InCommand,
}

impl LockState {
    pub(crate) const ALL: [LockState; 4] = [
        LockState::None,
        LockState::Waiting,
        LockState::Surveying,
        LockState::InCommand,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            LockState::None => "none",
            LockState::Waiting => "waiting",
            LockState::Surveying => "surveying",
            LockState::InCommand => "in_command",
        }
    }
}
