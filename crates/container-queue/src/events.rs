//! What goes into the view and what comes out of it.

use std::{fmt, time::Duration};

use dispatch_model::{ContainerId, ContainerState};
use serde::Serialize;
use serde_json::value::RawValue;

/// JSON as the API sent it: decoded here, piece by piece, so that one bad piece spoils no other (facts K12).
pub type Json = Box<RawValue>;

/// A value as [`Json`], for tests and simulations.
///
/// # Panics
///
/// If the value cannot be written as JSON.
pub fn json(value: impl Serialize) -> Json {
    serde_json::value::to_raw_value(&value).expect("a value that can be written as JSON")
}

/// Something the view should know or do.
#[derive(Clone, Debug)]
pub enum Event {
    /// The planner wants to lock a Queued container. Ignored unless it is Queued and not busy.
    Lock(ContainerId),
    /// The planner wants to give a Locked container back. Ignored unless it is Locked and not busy.
    Unlock(ContainerId),
    /// The planner wants to cancel a container that is not final. Ignored if it is busy.
    Cancel {
        /// Which one.
        id: ContainerId,
        /// Why, in words for the user: becomes `runtime_status.error`.
        reason: String,
    },
    /// The planner has no more use for a container that is final, or Queued with priority 0 (facts Q19).
    Forget(ContainerId),
    /// Something happened to this container (its runner ended): read it again now instead of at the next poll.
    Refresh(ContainerId),
    /// How many queued rows could be started now; never fewer than 100 are asked for (facts Q16).
    WantedRows(usize),
    /// Something happened in the API that a poll would bring: poll soon.
    Poke,
    /// The deadline has passed.
    Tick,

    /// Answers [`Request::WhoAmI`]: the row of our own token.
    WhoAmI(Result<Json, ApiFailure>),
    /// Answers [`Request::Poll`].
    Polled(Result<PollRows, ApiFailure>),
    /// Answers [`Request::ReadMounts`].
    MountsRead {
        /// The containers asked for.
        ids: Vec<ContainerId>,
        /// Rows of `uuid` and `mounts`, as one call gave them: some may be missing.
        result: Result<Vec<Json>, ApiFailure>,
    },
    /// Answers [`Request::Lock`].
    Locked {
        /// Which one.
        id: ContainerId,
        /// The container afterwards: `state`, `priority`, `locked_by_uuid` (facts Q6).
        result: Result<Json, ApiFailure>,
    },
    /// Answers [`Request::Unlock`].
    Unlocked {
        /// Which one.
        id: ContainerId,
        /// The container afterwards.
        result: Result<Json, ApiFailure>,
    },
    /// Answers [`Request::Cancel`].
    Cancelled {
        /// Which one.
        id: ContainerId,
        /// The container afterwards.
        result: Result<Json, ApiFailure>,
    },
    /// Answers [`Request::Read`].
    Read {
        /// Which one.
        id: ContainerId,
        /// `state`, `priority`, `locked_by_uuid` and `runtime_status`.
        result: Result<Json, ApiFailure>,
    },
}

/// What one poll brought.
#[derive(Clone, Debug, Default)]
pub struct PollRows {
    /// The rows of calls 2, 3 and 4 of facts §2.1.1, in this order: later rows replace earlier ones.
    pub rows: Vec<Json>,
    /// Known containers that the API has no more (facts Q8).
    pub gone: Vec<ContainerId>,
    /// Known containers that were not looked up, because there were too many.
    pub unasked: Vec<ContainerId>,
    /// There are more queued rows than were fetched.
    pub truncated: bool,
}

/// A call to the API. Each is answered by exactly one event: success, failure or time-out.
#[derive(Clone, PartialEq, Debug)]
pub enum Request {
    /// Ask for the UUID of our own token.
    WhoAmI,
    /// List our containers, the queue's head, and the known containers that these two lists do not bring.
    Poll {
        /// The token whose locks are ours.
        token_uuid: String,
        /// Containers that must be accounted for, the most important first.
        known: Vec<ContainerId>,
        /// Stop after this many queued rows that are not supervisors'.
        queued_wanted: usize,
    },
    /// Read `uuid` and `mounts` of these with one list call.
    ReadMounts {
        /// Which ones.
        ids: Vec<ContainerId>,
    },
    /// Lock a container.
    Lock {
        /// Which one.
        id: ContainerId,
    },
    /// Unlock a container.
    Unlock {
        /// Which one.
        id: ContainerId,
    },
    /// Set a container's state to Cancelled and say why, with one call (facts §5.4).
    Cancel {
        /// Which one.
        id: ContainerId,
        /// The whole new `runtime_status`; `None`: leave it as it is.
        runtime_status: Option<serde_json::Value>,
    },
    /// Read `state`, `priority`, `locked_by_uuid` and `runtime_status` of one container.
    Read {
        /// Which one.
        id: ContainerId,
    },
}

/// Why a call failed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ApiFailure {
    /// What kind of failure: decides what the view does next.
    pub kind: FailureKind,
    /// The API's own words or ours, for people. Holds no secret.
    pub message: String,
}

impl fmt::Display for ApiFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// A failure, by what it says about the call's effect.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum FailureKind {
    /// The API answered with this HTTP status.
    Status(u16),
    /// The call was never sent: no connection, or no turn in the limiter before its deadline.
    NotSent,
    /// The connection broke: nobody knows whether the call had an effect.
    Unreachable,
    /// No answer in time: nobody knows whether the call had an effect.
    TimedOut,
    /// There was an answer that cannot be understood, or that is too long.
    Undecodable,
}

/// What one event leads to.
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct Effects {
    /// Calls to make.
    pub requests: Vec<Request>,
    /// What has become known, for the log and the counters.
    pub facts: Vec<Fact>,
}

/// Something that was done to a container, for the log.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Deed {
    /// Locked.
    Lock,
    /// Unlocked.
    Unlock,
    /// Cancelled.
    Cancel,
    /// Read again.
    Read,
}

impl fmt::Display for Deed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Deed::Lock => "lock",
            Deed::Unlock => "unlock",
            Deed::Cancel => "cancel",
            Deed::Read => "read",
        })
    }
}

/// Something that became known: the shell logs and counts it.
#[derive(Clone, PartialEq, Debug)]
pub enum Fact {
    /// We know who we are.
    Identified {
        /// The UUID of our token.
        token_uuid: String,
    },
    /// The call that tells who we are failed; it is repeated.
    NotIdentified {
        /// Why.
        failure: ApiFailure,
    },
    /// A poll came back.
    Polled {
        /// How many rows it brought.
        rows: usize,
        /// From request to answer.
        took: Duration,
    },
    /// A poll failed; it is repeated.
    PollFailed {
        /// Why.
        failure: ApiFailure,
        /// How many have failed without a success in between.
        in_a_row: u32,
    },
    /// A container appeared.
    Appeared {
        /// Which one.
        id: ContainerId,
        /// Where it is in its life.
        state: ContainerState,
    },
    /// A container's state changed.
    Changed {
        /// Which one.
        id: ContainerId,
        /// Before.
        from: ContainerState,
        /// After.
        to: ContainerState,
    },
    /// A container concerns us no more.
    Left {
        /// Which one.
        id: ContainerId,
        /// Why.
        why: Leaving,
    },
    /// A row or a value of a container cannot be used: the container stays as it is. Told once for each problem.
    Unusable {
        /// Which one, if the row says so.
        id: Option<ContainerId>,
        /// What is wrong with it.
        problem: String,
    },
    /// A container fits no instance type. It is cancelled, unless it runs already. Told once.
    Impossible {
        /// Which one.
        id: ContainerId,
        /// Why, in words for its owner.
        reason: String,
    },
    /// A container asks for an image that is not allowed, and gets the cluster's. Told once.
    ImageNotAllowed {
        /// Which one.
        id: ContainerId,
        /// What it asks for and what there is, in words for its owner.
        remark: String,
    },
    /// A call about one container failed; the view looks again after a pause.
    DeedFailed {
        /// Which one.
        id: ContainerId,
        /// What was tried.
        deed: Deed,
        /// Why it failed.
        failure: ApiFailure,
    },
    /// The mounts of these containers could not be read; they are tried again, in smaller batches if that may help.
    MountsUnread {
        /// Which ones.
        ids: Vec<ContainerId>,
        /// Why.
        failure: ApiFailure,
    },
}

/// Why a container left the view.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Leaving {
    /// The planner has no more use for it.
    Forgotten,
    /// The API has it no more (facts Q8).
    Deleted,
    /// Somebody else has locked it (facts K13).
    LockedBy(String),
    /// It waits so far down the queue that it is not worth keeping; it comes back when its turn is nearer.
    FarDown,
}
