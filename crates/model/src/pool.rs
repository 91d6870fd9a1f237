//! What the planner sees of the worker pool.

use std::{collections::BTreeMap, fmt, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::{ContainerId, InstanceId, InstanceType, InstanceTypeName, Time, WorkerId};

/// Where a worker is in its life (facts §8.5).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WorkerState {
    /// Found when we started; what it does is not known yet.
    Unknown,
    /// Created by us and not ready yet; includes those whose creation has not been answered.
    Booting,
    /// Ready, with nothing to do.
    Idle,
    /// Runs containers.
    Running,
    /// Told to go; stays until the cloud no longer lists it.
    Shutdown,
}

impl WorkerState {
    /// All states, in the order of life.
    pub const ALL: [WorkerState; 5] = [
        WorkerState::Unknown,
        WorkerState::Booting,
        WorkerState::Idle,
        WorkerState::Running,
        WorkerState::Shutdown,
    ];
}

impl fmt::Display for WorkerState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            WorkerState::Unknown => "unknown",
            WorkerState::Booting => "booting",
            WorkerState::Idle => "idle",
            WorkerState::Running => "running",
            WorkerState::Shutdown => "shutdown",
        })
    }
}

/// What the operators want of an instance.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum IdleBehavior {
    /// Takes containers; destroyed when idle for long.
    #[default]
    Run,
    /// Takes no containers; never destroyed but by the kill call.
    Hold,
    /// Takes no containers; destroyed when the last one has ended.
    Drain,
}

impl IdleBehavior {
    /// Reads the text of a tag or of a request.
    pub fn parse(text: &str) -> Option<IdleBehavior> {
        match text {
            "run" => Some(IdleBehavior::Run),
            "hold" => Some(IdleBehavior::Hold),
            "drain" => Some(IdleBehavior::Drain),
            _ => None,
        }
    }
}

impl fmt::Display for IdleBehavior {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            IdleBehavior::Run => "run",
            IdleBehavior::Hold => "hold",
            IdleBehavior::Drain => "drain",
        })
    }
}

/// The worker pool at one moment.
#[derive(Clone, Debug, Default)]
pub struct PoolSnapshot {
    /// Whether the cloud has listed our instances at least once: before that nothing may be planned (facts S6).
    pub surveyed: bool,
    /// Every worker, creations under way included, by id. Shared, so that ten thousand are cheap to hand to readers.
    pub workers: BTreeMap<WorkerId, Arc<WorkerView>>,
    /// Every runner that is or was just on a worker. More than one only when a late start of a dead daemon arrived.
    pub runners: BTreeMap<ContainerId, Vec<RunnerView>>,
    /// What keeps any instance from being created.
    pub hold: Option<Hold>,
    /// What keeps instances of one type from being created.
    pub type_holds: BTreeMap<InstanceTypeName, Hold>,
    /// Types whose containers may go to another type as well for now, and which: the spot types that the cloud takes
    /// back often or does not have, and their on-demand twins. While such a type itself is held for one of these two
    /// causes ([`HoldCause::calls_for_substitute`]), the other is created in its place.
    pub substitutes: BTreeMap<InstanceTypeName, InstanceTypeName>,
    /// How many instances there may be, from the configuration and from what the cloud has refused; `None`: no limit.
    pub instance_limit: Option<usize>,
    /// What all instances together may cost, dollars an hour, creations under way and shutdowns included; `None`: no
    /// limit.
    pub price_limit: Option<f64>,
    /// How many creations may be under way at once, because nobody knows how many instances the account allows: a
    /// container that is locked for an instance which is then refused has wasted an attempt (facts S10, S11). `None`:
    /// any number.
    pub orders_at_once: Option<usize>,
}

/// Prices are sums of fractions that a computer cannot write down exactly.
const PRICE_TOLERANCE: f64 = 1e-9;

impl PoolSnapshot {
    /// What all instances cost together by their types' prices, dollars an hour, creations under way and shutdowns
    /// included.
    pub fn price_per_hour(&self) -> f64 {
        // Not `sum`, which of nothing is -0.
        let prices = self.workers.values().map(|one| one.instance_type.price);
        prices.fold(0.0, |sum, price| sum + price)
    }

    /// Whether the spending limit leaves room for one more of this price, while all others cost so much.
    pub fn affords(&self, spent: f64, price: f64) -> bool {
        self.price_limit
            .is_none_or(|limit| spent + price <= limit + PRICE_TOLERANCE)
    }

    /// Whether one of this price costs more than the spending limit by itself, so that it can never be created.
    pub fn is_too_dear(&self, price: f64) -> bool {
        !self.affords(0.0, price)
    }
}

/// One worker, as the planner and the readers need it.
#[derive(Clone, PartialEq, Debug)]
pub struct WorkerView {
    /// Our number for it.
    pub id: WorkerId,
    /// The cloud's name for it; `None` while its creation is under way.
    pub instance: Option<InstanceId>,
    /// Its address, if it has one yet.
    pub address: Option<String>,
    /// Its type; for a type that is no longer configured, what is known of it (facts W15).
    pub instance_type: Arc<InstanceType>,
    /// Where it is in its life.
    pub state: WorkerState,
    /// What the operators want of it.
    pub idle_behavior: IdleBehavior,
    /// Containers whose runner is on it or is being started, sorted; exited ones are not among them.
    pub containers: Vec<ContainerId>,
    /// A container may be started on it now: probed, wanted, not broken, no forgotten runner, nothing unknown on it.
    pub takes_work: bool,
    /// It will take containers when it has booted or has been surveyed, so it counts as future capacity.
    pub will_take_work: bool,
    /// A list of its runners has been answered, so `containers` is what really is on it. An adopted worker that fails
    /// its boot probe while containers run on it stays `Unknown`, but its runners are known (facts S5, W4).
    pub runners_known: bool,
    /// How many GPU devices are free; `None` if nobody knows, so that no GPU work may start there (facts K6).
    pub free_gpus: Option<u32>,
    /// Since when it is in its state.
    pub state_since: Time,
    /// When it last had something to do.
    pub last_busy: jiff::Timestamp,
    /// The last container on it.
    pub last_container: Option<ContainerId>,
    /// Why it takes no work or what is wrong with it, in words for people.
    pub remark: Option<String>,
}

/// One runner on one worker.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RunnerView {
    /// Where it is.
    pub worker: WorkerId,
    /// How it is.
    pub state: RunnerState,
}

/// What is known of a runner.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RunnerState {
    /// The start command is under way or has not been confirmed by a list.
    Starting,
    /// Seen alive.
    Alive,
    /// Told to end.
    Killing,
    /// Told to end for as long as TimeoutTERM, in vain: its worker takes no more work (facts W19).
    GivenUp,
    /// Gone since; kept until the planner has dealt with it (facts W10).
    Exited {
        /// When that was seen. Only what the API said of a later time tells how it ended (facts Q2).
        at: Time,
    },
}

/// Something that keeps instances from being created.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Hold {
    /// Why.
    pub cause: HoldCause,
    /// When it ends by itself; `None`: when something else happens.
    pub until: Option<Time>,
    /// The cloud's own words, or ours, for people.
    pub detail: String,
}

/// Why instances are not created.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum HoldCause {
    /// MaxInstances is reached.
    MaxInstances,
    /// MaxPricePerHour leaves no room for it.
    SpendingLimit,
    /// One instance of the type costs more than MaxPricePerHour by itself.
    TooDear,
    /// The cloud says that the account is at its quota.
    Quota,
    /// The cloud has none of this kind now.
    Capacity,
    /// The cloud has taken back many spot instances of this type lately (facts K34).
    SpotInterrupted,
    /// The cloud says that calls come too fast.
    RateLimit,
    /// Creations of this type fail for another reason, again and again (facts K10).
    CreateFailing,
    /// Instances of this type do not come up, again and again (facts K11).
    BootFailing,
    /// The runner's binary cannot be read, so no instance could come up (facts W27).
    RunnerUnreadable,
    /// The daemon is stopping.
    Stopping,
}

impl HoldCause {
    /// Whether the type's on-demand twin may be created in its place, if the operator allows that.
    pub const fn calls_for_substitute(self) -> bool {
        matches!(self, HoldCause::Capacity | HoldCause::SpotInterrupted)
    }
}

impl fmt::Display for HoldCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            HoldCause::MaxInstances => "max-instances",
            HoldCause::SpendingLimit => "spending-limit",
            HoldCause::TooDear => "too-dear",
            HoldCause::Quota => "quota",
            HoldCause::Capacity => "capacity",
            HoldCause::SpotInterrupted => "spot-interrupted",
            HoldCause::RateLimit => "rate-limit",
            HoldCause::CreateFailing => "create-failing",
            HoldCause::BootFailing => "boot-failing",
            HoldCause::RunnerUnreadable => "runner-unreadable",
            HoldCause::Stopping => "stopping",
        })
    }
}

/// What a runner's `--list` said about one instance (facts §2.2.1).
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct RunnerReport {
    /// The instance says that it is broken.
    pub broken: bool,
    /// Containers whose runner is alive, of any cluster.
    pub alive: Vec<ContainerId>,
    /// Containers whose runner has ended while something still holds its lock.
    pub stale: Vec<ContainerId>,
}
