//! What the shell logs and counts: things that happened, which no snapshot shows.

use std::time::Duration;

use dispatch_model::{
    CloudErrorClass, ContainerId, EndCause, Hold, HoldCause, IdleBehavior, InstanceId,
    InstanceTypeName, WorkerId, WorkerState,
};

use crate::{Failure, ProbeFailure, ProbeStep};

/// One thing that happened.
#[derive(Clone, PartialEq, Debug)]
pub enum Fact {
    /// To one worker.
    Worker {
        /// To which.
        about: About,
        /// What.
        news: WorkerNews,
    },
    /// To the pool.
    Pool(PoolNews),
}

/// Names a worker in a log, even one that is gone.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct About {
    /// Our number.
    pub worker: WorkerId,
    /// The cloud's name, if it has one.
    pub instance: Option<InstanceId>,
    /// Its type.
    pub instance_type: InstanceTypeName,
    /// Its address, if it has one.
    pub address: Option<String>,
}

/// What happened to a worker.
#[derive(Clone, PartialEq, Debug)]
pub enum WorkerNews {
    /// Its creation was decided; the call waits for its turn.
    Ordered,
    /// The cloud has made the instance, or has listed it before it answered.
    Created {
        /// From the call to its answer (or to the list).
        took: Duration,
    },
    /// The creation failed, and the worker is gone (except when the cloud only asked us to wait).
    CreateFailed {
        /// What the cloud meant.
        class: CloudErrorClass,
        /// What the cloud said.
        message: String,
        /// From the call to its answer, or to the list that settled it: time spent for nothing.
        took: Duration,
    },
    /// Nobody knows whether the creation took effect; lists will tell: `Created` follows, or `CreateFailed`.
    CreateUnsure {
        /// Why nobody knows.
        message: String,
    },
    /// The order was dropped: before it was sent, or since its instance is known as another worker's.
    CreateDropped {
        /// Why.
        reason: String,
    },
    /// An instance with our tags was found that we did not know.
    Adopted {
        /// What its tags say the operators want.
        idle_behavior: IdleBehavior,
        /// What is odd about it, such as a type that is no longer configured (facts W15).
        remark: Option<String>,
    },
    /// It has an address, or another one.
    Address {
        /// host or host:port.
        address: String,
    },
    /// It changed its state.
    State {
        /// From.
        from: WorkerState,
        /// To.
        to: WorkerState,
        /// Why, for people.
        reason: String,
    },
    /// How booting ended: exactly one per worker that got an instance (facts §4).
    BootEnded(BootOutcome),
    /// The first connection of an instance that this daemon created (facts W36).
    SshUp {
        /// From its appearance.
        after: Duration,
    },
    /// An instance that this daemon created is ready for containers.
    Ready {
        /// From the first connection.
        after: Duration,
    },
    /// It did not come up in time and is destroyed.
    BootGivenUp {
        /// Since it appeared.
        after: Duration,
        /// What failed last, if anything was tried at all (facts W31).
        last: Option<(ProbeStep, ProbeFailure)>,
    },
    /// It has not answered for TimeoutProbe and is destroyed.
    Unresponsive {
        /// Since its last good probe.
        silent_for: Duration,
        /// What failed last.
        last: Option<(ProbeStep, ProbeFailure)>,
    },
    /// A probe failed.
    ProbeFailed {
        /// Where.
        step: ProbeStep,
        /// How.
        failure: ProbeFailure,
        /// Not worth more than a line for debugging: the instance is booting, and this is how that looks.
        expected: bool,
    },
    /// A list of runners was answered, or failed.
    ListProbe {
        /// Which.
        ok: bool,
        /// How long it took.
        took: Duration,
    },
    /// It takes no more work: it said that it is broken, a dead runner's lock stays held, or a runner cannot be killed.
    Broken {
        /// Which of these.
        reason: String,
    },
    /// What is wanted of it changed.
    IdleBehavior {
        /// From.
        from: IdleBehavior,
        /// To.
        to: IdleBehavior,
        /// By whom or why.
        reason: String,
    },
    /// A start command was sent.
    Starting {
        /// Which container.
        container: ContainerId,
        /// On which devices.
        gpus: Vec<u32>,
    },
    /// A start command has ended, or is regarded as ended.
    StartAnswered {
        /// Which container.
        container: ContainerId,
        /// Whether it succeeded; in either case the next list decides.
        result: Result<(), String>,
        /// How long it took.
        took: Duration,
    },
    /// A start was not possible any more, and nothing was sent.
    StartRefused {
        /// Which container.
        container: ContainerId,
        /// Why.
        reason: String,
    },
    /// A list showed this runner for the first time.
    RunnerSeen {
        /// Which container.
        container: ContainerId,
        /// We did not start it: found after a restart, or a late start of a dead daemon.
        found: bool,
    },
    /// This runner is no more.
    RunnerEnded {
        /// Which container.
        container: ContainerId,
        /// How we know.
        how: HowEnded,
    },
    /// A runner is told to end.
    KillBegan {
        /// Which container.
        container: ContainerId,
        /// Why.
        reason: String,
    },
    /// A kill command failed; it is repeated.
    KillFailed {
        /// Which container.
        container: ContainerId,
        /// How.
        message: String,
    },
    /// A runner did not end within TimeoutTERM; the worker takes no more work (facts W19).
    KillGivenUp {
        /// Which container.
        container: ContainerId,
    },
    /// A runner of another cluster was seen for the first time; it is left alone (facts W14).
    ForeignRunner {
        /// Which container.
        container: ContainerId,
    },
    /// A destroy call was sent.
    Destroying,
    /// A destroy call failed; it is repeated after TimeoutShutdown.
    DestroyFailed(Failure),
    /// Tags could not be saved; it is tried again.
    TagsFailed(Failure),
    /// The cloud says that it has ended, or is ending, without our doing.
    Died {
        /// What became of it.
        cause: EndCause,
        /// The cloud's words.
        reason: String,
    },
    /// The cloud does not list it any more, and the worker is gone.
    Gone {
        /// Its state at that time: Shutdown is as it should be, anything else is a disappearance.
        state: WorkerState,
        /// From the first destroy call, if there was one (facts W35, K26).
        after_shutdown: Option<Duration>,
    },
}

/// How booting ended.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum BootOutcome {
    /// It came into service.
    Success,
    /// It did not in time, or said that it is broken.
    Failure,
    /// It was shut down before.
    Aborted,
    /// It vanished before.
    Disappeared,
}

/// How we know that a runner is no more.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum HowEnded {
    /// A list does not show it any more.
    Unlisted,
    /// The kill command says so.
    Killed,
    /// Its instance is gone.
    InstanceGone,
    /// It was called off before the start command was sent.
    NeverSent,
}

/// What happened to the pool.
#[derive(Clone, PartialEq, Debug)]
pub enum PoolNews {
    /// The first complete list has come.
    Surveyed {
        /// How many instances there are.
        instances: usize,
    },
    /// There is no list; it is asked for again.
    ListFailed(Failure),
    /// Instances are not created for now: of one type, or any.
    HoldBegan {
        /// Which type; `None`: any.
        instance_type: Option<InstanceTypeName>,
        /// Why and until when.
        hold: Hold,
    },
    /// They may be created again.
    HoldEnded {
        /// Which type; `None`: any.
        instance_type: Option<InstanceTypeName>,
        /// Why they were not.
        cause: HoldCause,
    },
    /// An order of the planner was refused, because the world has changed since it looked.
    CreateRefused {
        /// Which type.
        instance_type: InstanceTypeName,
        /// Why.
        reason: String,
    },
    /// A listed instance is left alone, said once per instance: it lacks our InstanceSetID.
    Ignored {
        /// Which one.
        instance: InstanceId,
        /// Why.
        reason: String,
    },
    /// Something that cannot be; what it concerns was set aside.
    Violation {
        /// What.
        message: String,
    },
}
