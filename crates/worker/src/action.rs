//! What the pool orders: typed, without words for a shell, without secrets that print.

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use dispatch_model::{
    ContainerId, InstanceId, InstanceSecret, InstanceType, Sizing, UserName, WorkerId,
};

use crate::Fact;

/// What comes of one event.
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct Effects {
    /// To be obeyed, in this order where two concern one worker.
    pub actions: Vec<Action>,
    /// To be logged and counted.
    pub facts: Vec<Fact>,
}

/// Names one call, so that its answer can be told from a late answer to another.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId(pub u64);

impl fmt::Display for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}

impl fmt::Debug for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// One order. Those with a `call` are answered by exactly one event, within `within` (or what their order says);
/// `Attach`, `Detach` and `Watch` set a state, may be repeated, and are not answered.
#[derive(Clone, Debug)]
pub enum Action {
    /// List all our instances; answered by `Event::Listed`.
    List {
        /// To be echoed.
        call: CallId,
        /// Its deadline.
        within: Duration,
    },
    /// Create an instance; answered by `Event::Created`.
    Create {
        /// To be echoed.
        call: CallId,
        /// Which worker it is for.
        worker: WorkerId,
        /// What to create.
        instance_type: Arc<InstanceType>,
        /// All tags but the secret, which the shell adds as `<TagKeyPrefix>InstanceSecret`.
        tags: BTreeMap<String, String>,
        /// The instance's secret.
        secret: InstanceSecret,
        /// Its deadline. A call that misses it has an unknown outcome.
        within: Duration,
    },
    /// Destroy an instance; answered by `Event::Destroyed`.
    Destroy {
        /// To be echoed.
        call: CallId,
        /// Which worker.
        worker: WorkerId,
        /// Which instance.
        instance: InstanceId,
        /// Its deadline.
        within: Duration,
    },
    /// Set these tags and leave all others (facts W17); answered by `Event::Tagged`.
    SetTags {
        /// To be echoed.
        call: CallId,
        /// Which worker.
        worker: WorkerId,
        /// Which instance.
        instance: InstanceId,
        /// Only those that differ.
        tags: BTreeMap<String, String>,
        /// Its deadline.
        within: Duration,
    },
    /// Keep a connection handle for this worker. Again with another address when the instance moves: that takes
    /// effect with the next connect (facts X6). Not answered.
    Attach {
        /// Which worker.
        worker: WorkerId,
        /// Which instance.
        instance: InstanceId,
        /// host or host:port, never empty.
        address: String,
        /// What the instance must show; `None` if its tag is lost, so that the driver's own check must do.
        secret: Option<InstanceSecret>,
        /// Whom runners there run as; `None`: root.
        runner_user: Option<UserName>,
    },
    /// The worker is gone: close its connection and end its commands. Calls under way are still answered; the
    /// answers are ignored. Not answered itself.
    Detach {
        /// Which worker.
        worker: WorkerId,
    },
    /// Look after one instance; answered by `Event::Probed`.
    Probe {
        /// To be echoed.
        call: CallId,
        /// Which worker.
        worker: WorkerId,
        /// What to look at.
        order: ProbeOrder,
    },
    /// Run the start command; answered by `Event::Started`.
    Start {
        /// To be echoed.
        call: CallId,
        /// Where.
        worker: WorkerId,
        /// Which container.
        container: ContainerId,
        /// What it needs: how many buffers it gets depends on its VCPUs (facts K5).
        sizing: Arc<Sizing>,
        /// The GPU devices it gets, by number.
        gpus: Vec<u32>,
        /// What it is started on.
        instance_type: Arc<InstanceType>,
        /// Its deadline.
        within: Duration,
    },
    /// Run the kill command; answered by `Event::Signalled`.
    Signal {
        /// To be echoed.
        call: CallId,
        /// Where.
        worker: WorkerId,
        /// Which container.
        container: ContainerId,
        /// Which signal.
        signal: SignalKind,
        /// Its deadline.
        within: Duration,
    },
    /// Watch these runners, and no others, for their end. Not answered; brings `Event::Ended` and `Event::WatchLost`.
    Watch {
        /// Where.
        worker: WorkerId,
        /// All that are to be watched, sorted.
        containers: Vec<ContainerId>,
    },
}

/// What a probe looks at. The steps are described at [`crate::ProbeReport`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProbeOrder {
    /// Run the boot probe command.
    pub boot: bool,
    /// See that the runner is in its place.
    pub deploy: bool,
    /// When to ask for the runners.
    pub list: ListWhen,
    /// How long connecting and verifying may take.
    pub connect_within: Duration,
    /// How long the boot probe may take, and how long the list.
    pub command_within: Duration,
    /// How long the deployment may take.
    pub deploy_within: Duration,
}

impl ProbeOrder {
    /// How long the whole probe may take.
    pub fn within(&self) -> Duration {
        let boot = if self.boot {
            self.command_within
        } else {
            Duration::ZERO
        };
        let deploy = if self.deploy {
            self.deploy_within
        } else {
            Duration::ZERO
        };
        self.connect_within + boot + deploy + self.command_within
    }
}

/// Whether a failed boot probe keeps the runners from being listed (facts §8.5).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ListWhen {
    /// Never mind the boot probe.
    Always,
    /// Only after a boot probe (and deployment) that succeeded.
    IfBooted,
}

/// A signal to a runner.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum SignalKind {
    /// SIGTERM, number 15.
    Term,
    /// SIGKILL, number 9; only where the operator has asked for it.
    Kill,
}

impl SignalKind {
    /// The number on the command line.
    pub const fn number(self) -> i32 {
        match self {
            SignalKind::Term => 15,
            SignalKind::Kill => 9,
        }
    }
}
