//! What the planner sees of the container queue.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use crate::{ContainerId, ContainerState, InstanceTypeName, Resources, Time};

/// The container queue at one moment.
#[derive(Clone, Debug, Default)]
pub struct QueueSnapshot {
    /// When the newest complete list was asked for; `None` before the first has come.
    pub listed_at: Option<Time>,
    /// Every container that concerns us.
    pub entries: BTreeMap<ContainerId, Arc<QueueEntry>>,
    /// Containers that are in that list and of which nothing more could be read. Those that were read earlier are among
    /// the entries as well; of the others nobody knows whether they are wanted, so their runners are left alone (facts
    /// K12).
    pub unreadable: BTreeSet<ContainerId>,
}

/// One container, as the planner needs it.
#[derive(Clone, PartialEq, Debug)]
pub struct QueueEntry {
    /// Which one.
    pub id: ContainerId,
    /// Where it is in its life.
    pub state: ContainerState,
    /// Higher goes first; 0 means that nobody wants it now.
    pub priority: i64,
    /// When the API says that it was made.
    pub created_at: Option<jiff::Timestamp>,
    /// When we first saw it: breaks ties of priority (facts Q22).
    pub first_seen: Time,
    /// The wall clock's reading of `first_seen`.
    pub first_seen_wall: jiff::Timestamp,
    /// Starts other containers and mostly waits for them.
    pub supervisor: bool,
    /// What it needs, and where it may run.
    pub sizing: Arc<Sizing>,
    /// What it needs could be read. If not, `sizing` says nothing, and nothing more may join it where it runs (facts
    /// S35).
    pub needs_known: bool,
    /// It is Locked, and since this daemon started it has been seen in another state: so the lock is this daemon's own,
    /// and no runner of an earlier daemon can be behind it. `false` for a lock found at the start (facts K2, S5).
    pub locked_here: bool,
    /// A call that changes it is under way: nothing more may be asked until that is answered (facts S2).
    pub busy: bool,
    /// When the newest answer about this container was asked for: what happened after it is not in it (facts Q2).
    pub as_of: Time,
}

/// What a container needs. Containers of one shape share one of these, which lets the planner treat them alike.
#[derive(Clone, PartialEq, PartialOrd, Debug, Default)]
pub struct Sizing {
    /// How much of everything.
    pub needs: Resources,
    /// The instance types that can run it within the price factor, best first (facts S28); empty if none can.
    pub types: Vec<InstanceTypeName>,
}
