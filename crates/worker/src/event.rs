//! All that can happen to the pool.

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use dispatch_model::{
    CloudErrorClass, ContainerId, EndCause, IdleBehavior, InstanceId, InstanceSecret,
    InstanceTypeName, RunnerReport, Sizing, Time, WorkerId,
};

use crate::CallId;

/// One thing that happens: a wish, an answer, or news.
///
/// Each action that carries a [`CallId`] is answered by exactly one event with the same id, success or failure.
/// Answers to calls that have been given up in the meantime, and answers that come twice, change nothing; but that a
/// destroy was accepted, or an instance created, counts however late it is said.
#[derive(Clone, Debug)]
pub enum Event {
    // Wishes of the planner.
    /// Order an instance. It is a worker from now on; the call waits until its turn comes (facts P7).
    Create {
        /// Of which type.
        instance_type: InstanceTypeName,
        /// Fresh and random.
        secret: InstanceSecret,
    },
    /// Let it go, unless containers are on it or it is held. A creation that has not been sent is dropped.
    ShutDown {
        /// Which one.
        worker: WorkerId,
        /// For people.
        reason: String,
    },
    /// Start a container's runner.
    Start {
        /// Where.
        worker: WorkerId,
        /// Which container.
        container: ContainerId,
        /// What it needs; its GPU devices are chosen here.
        sizing: Arc<Sizing>,
    },
    /// End the runners of this container, and forget those that have exited.
    Kill {
        /// Which container.
        container: ContainerId,
        /// On which worker alone; `None`: wherever one is.
        worker: Option<WorkerId>,
        /// For people.
        reason: String,
    },
    /// The exit of this container's runner has been dealt with (facts W10).
    Forget {
        /// Which container.
        container: ContainerId,
    },

    // Wishes of operators.
    /// Hold, drain or run.
    SetIdleBehavior {
        /// Which one.
        worker: WorkerId,
        /// What is wanted.
        behavior: IdleBehavior,
    },
    /// Destroy it at once, whatever runs on it.
    KillInstance {
        /// Which one.
        worker: WorkerId,
        /// For people.
        reason: String,
    },

    // Answers.
    /// To `Action::List`.
    Listed {
        /// The call.
        call: CallId,
        /// Every instance, or why there is no list. A partial list is a failure.
        result: Result<Vec<ListedInstance>, Failure>,
    },
    /// To `Action::Create`.
    Created {
        /// The call.
        call: CallId,
        /// Which worker it is for.
        worker: WorkerId,
        /// What the cloud made of it.
        result: Result<ListedInstance, Failure>,
    },
    /// To `Action::Destroy`.
    Destroyed {
        /// The call.
        call: CallId,
        /// Which one.
        worker: WorkerId,
        /// Whether the cloud has accepted it.
        result: Result<(), Failure>,
    },
    /// To `Action::SetTags`.
    Tagged {
        /// The call.
        call: CallId,
        /// Which one.
        worker: WorkerId,
        /// Whether they are set.
        result: Result<(), Failure>,
    },
    /// To `Action::Probe`.
    Probed {
        /// The call.
        call: CallId,
        /// Which one.
        worker: WorkerId,
        /// What came of each step.
        report: ProbeReport,
    },
    /// To `Action::Start`: the start command has ended. Whatever it says, the next list decides (facts W9).
    Started {
        /// The call.
        call: CallId,
        /// Where.
        worker: WorkerId,
        /// Which container.
        container: ContainerId,
        /// Exit status 0, or what went wrong, with standard error.
        result: Result<(), String>,
    },
    /// To `Action::Signal`.
    Signalled {
        /// The call.
        call: CallId,
        /// Where.
        worker: WorkerId,
        /// Which container.
        container: ContainerId,
        /// What the command said.
        outcome: SignalOutcome,
    },

    // News.
    /// The exit watch saw this container's runner end: a hint, which hurries the next list.
    Ended {
        /// Where.
        worker: WorkerId,
        /// Which container.
        container: ContainerId,
    },
    /// The exit watch on this worker has ended by itself; what it was told to watch is watched no more.
    WatchLost {
        /// Where.
        worker: WorkerId,
    },
    /// The cloud says that an instance has ended, or is ending, without our doing: it is gone at once, with all that
    /// ran on it (facts E5, K34).
    Died(InstanceEnd),
    /// Which quota group the cloud's types belong to, by the cloud's name of the type, as far as the driver knows by now.
    QuotaGroups(BTreeMap<String, String>),
    /// Whether the runner's binary can be read (facts W27). `Ok` until told otherwise.
    RunnerBinary(Result<(), String>),
    /// The daemon stops: nothing is created, started or destroyed any more.
    Stopping,
    /// A deadline has passed. (Every event fires the deadlines that are due; this one does nothing else.)
    Tick,
}

/// How an instance ended that nobody here has destroyed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct InstanceEnd {
    /// The cloud's name for it.
    pub instance: InstanceId,
    /// What became of it.
    pub cause: EndCause,
    /// What its end says about creating others, beyond what the driver keeps in mind by itself.
    pub class: Option<CloudErrorClass>,
    /// The cloud's code and words, for people; "" if it does not say why yet, and may be told again when it does.
    pub reason: String,
}

/// A call to the cloud failed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failure {
    /// What to do next.
    pub class: CloudErrorClass,
    /// The cloud's words, for people.
    pub message: String,
}

/// One instance, as the cloud describes it.
#[derive(Clone, PartialEq, Eq)]
pub struct ListedInstance {
    /// The cloud's name for it.
    pub id: InstanceId,
    /// host or host:port; "" while it has none.
    pub address: String,
    /// The cloud's name of its type.
    pub provider_type: String,
    /// All its tags, the secret among them.
    pub tags: BTreeMap<String, String>,
}

impl fmt::Debug for ListedInstance {
    /// Shows the keys of the tags only: one of the values is a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ListedInstance")
            .field("id", &self.id)
            .field("address", &self.address)
            .field("provider_type", &self.provider_type)
            .field("tags", &self.tags.keys())
            .finish()
    }
}

/// What came of a probe, step by step. A step that was not asked for, or was not reached, is `None`.
///
/// The shell does them in this order: connect, boot probe, deploy, list. Without a connection nothing follows; the
/// runner is deployed even if the boot probe failed where the order says `list: Always` (facts W29); without a
/// deployed runner there is no list.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProbeReport {
    /// When this instance's connection first came up, at this probe or before; `None` if it never has.
    pub connected_at: Option<Time>,
    /// The connection, verified.
    pub connect: Result<(), ProbeFailure>,
    /// The boot probe command: exit status 0.
    pub boot: Option<Result<(), ProbeFailure>>,
    /// The runner is in its place.
    pub deploy: Option<Result<(), ProbeFailure>>,
    /// What `--list` said.
    pub list: Option<Result<RunnerReport, ProbeFailure>>,
    /// How long `--list` took, if it was run.
    pub list_took: Option<Duration>,
}

/// A step of a probe.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum ProbeStep {
    /// Connect and verify.
    Connect,
    /// The boot probe.
    Boot,
    /// The deployment of the runner.
    Deploy,
    /// `--list`.
    List,
}

impl fmt::Display for ProbeStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            ProbeStep::Connect => "connect",
            ProbeStep::Boot => "boot probe",
            ProbeStep::Deploy => "deployment",
            ProbeStep::List => "list of runners",
        })
    }
}

/// Why a step of a probe failed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProbeFailure {
    /// Normal while an instance boots: no address, no connection, a time-out, a non-zero exit. Anything else (a key
    /// refused, a host that cannot identify itself) is worth a warning at once (facts W31).
    pub expected_while_booting: bool,
    /// What happened, in words.
    pub message: String,
    /// The command's standard error, shortened and without secrets; "" if it has none.
    pub stderr: String,
}

/// What came of a kill command (facts R7).
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SignalOutcome {
    /// Exit status 0: no such process any more, or it never was.
    Gone,
    /// Exit status 1: it was told and lives on.
    StillThere,
    /// Nobody knows.
    Failed(String),
}
