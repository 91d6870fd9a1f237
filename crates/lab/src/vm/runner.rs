//! A runner process on a virtual machine.

/// How far it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Phase {
    /// It loads the image; the container is Locked.
    Starting,
    /// The container is Running.
    Running,
    /// The container is final; the process has not ended yet.
    Ending,
    /// The process has ended; its children hold the lock.
    Stale,
}

/// When it crashes, if it does.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Crash {
    /// Not.
    #[default]
    Never,
    /// Before Running.
    Early,
    /// While Running.
    Running,
}

/// What will go wrong with it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Fate {
    /// Whether and when it crashes.
    pub crash: Crash,
    /// Whether its children keep the lock after its end (arv-mount).
    pub deadlock: bool,
    /// Whether it ignores SIGTERM.
    pub ignores_term: bool,
    /// Whether the command that starts it never ends.
    pub hangs: bool,
    /// The process begins only after so long, ms: the command was on its way.
    pub late_ms: u64,
}

/// One runner.
#[derive(Clone, Debug)]
pub struct Runner {
    /// The container.
    pub uuid: String,
    /// Its process id; tells it from an earlier runner of the same container here.
    pub pid: u32,
    /// How far it is.
    pub phase: Phase,
    /// What will go wrong.
    pub fate: Fate,
    /// Whether it was told to end and obeys.
    pub terminating: bool,
    /// From when on its lock file is written, ms: before that it has no size and is not listed (facts R13).
    pub listed_from: u64,
    /// The API token that it was given.
    pub(crate) token: String,
    /// The gateway address that it was given.
    pub(crate) gateway_address: String,
}

impl Runner {
    /// Whether its main process lives.
    pub fn alive(&self) -> bool {
        self.phase != Phase::Stale
    }
}
