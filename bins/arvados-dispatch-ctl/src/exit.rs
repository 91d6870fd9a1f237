//! What the exit code says (facts §2.6).

use std::process::ExitCode;

/// How a call of the tool ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    /// Everything that was asked for was done.
    Done = 0,
    /// Something was not done, and standard error says what.
    Failed = 1,
    /// The command line makes no sense; nothing was tried.
    Usage = 2,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit as u8)
    }
}
