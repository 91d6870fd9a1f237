//! Why a container waits: as data, and as one line for its owner (facts §2.6, `scheduling_status`).

use std::{fmt, sync::Arc};

use dispatch_model::{HoldCause, InstanceTypeName, Time, WorkerId};

/// Why a container does not run yet. `Display` gives the line that its owner sees.
///
/// A position counts, from 1, the containers that wait without a worker, in the order in which they will be served;
/// supervisors beyond their limit have a numbering of their own.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Wait {
    /// Its runner is on this worker and prepares it.
    Preparing {
        /// Where.
        worker: WorkerId,
    },
    /// Its priority is 0.
    OnHold,
    /// There is room on a worker that is ready; the lock or the start is under way.
    AboutToStart {
        /// Where.
        worker: WorkerId,
    },
    /// It has been given room on an instance that is not ready yet.
    Boot {
        /// The worker; `None` if its creation has yet to be asked for.
        worker: Option<WorkerId>,
        /// Of which type.
        instance_type: InstanceTypeName,
    },
    /// It has been given room on an instance that was ready and has not answered since it was last asked.
    NotAnswering {
        /// Where.
        worker: WorkerId,
        /// Of which type.
        instance_type: InstanceTypeName,
    },
    /// A runner of an earlier attempt has not gone yet (facts S4).
    PreviousAttempt {
        /// Where.
        worker: WorkerId,
    },
    /// Its runner has ended and the API has not been asked since how (facts Q2).
    RunnerEnded {
        /// Where it was.
        worker: WorkerId,
    },
    /// As many supervisors run as may.
    SupervisorLimit {
        /// How many may.
        limit: usize,
        /// Its place among the supervisors that wait for this.
        position: usize,
    },
    /// As many containers run as the API bears (facts S18).
    ContainerLimit {
        /// How many may.
        limit: usize,
        /// Its place in the queue.
        position: usize,
    },
    /// No instance of any type that can run it is to be had now.
    TypesHeld {
        /// These types, best first, and what keeps each from being created.
        types: Arc<[TypeHeld]>,
        /// A worker that is kept for this container because it has waited for long: it takes nothing lower.
        kept: Option<WorkerId>,
        /// Its place in the queue.
        position: usize,
    },
    /// No more instances may be created at all, or none now.
    NoMoreInstances {
        /// Why not.
        cause: HoldCause,
        /// When that ends by itself, if it does.
        until: Option<Time>,
        /// A worker that is kept for this container because it has waited for long: it takes nothing lower.
        kept: Option<WorkerId>,
        /// Its place in the queue.
        position: usize,
    },
    /// No configured instance type can run it; the queue is about to cancel it.
    NoType,
    /// It was locked before this daemon started, and not every instance has said what runs on it (facts S5, K2).
    Recovering,
    /// The queue or the instances have not been listed yet since this daemon started (facts S6).
    NotSurveyed,
}

/// An instance type that can run the container but is not to be had now.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TypeHeld {
    /// Which.
    pub name: InstanceTypeName,
    /// Why not.
    pub cause: HoldCause,
}

impl fmt::Display for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Wait::Preparing { .. } => f.write_str("Preparing the container's environment on an instance."),
            Wait::OnHold => f.write_str("Not in the queue because its priority is 0."),
            Wait::AboutToStart { .. } => f.write_str("About to start on an instance that has room for it."),
            Wait::Boot {
                worker, instance_type, ..
            } => {
                let what = if worker.is_some() {
                    "to boot and accept work"
                } else {
                    "to be created"
                };
                write!(f, "Waiting for an instance of type {instance_type} {what}.")
            }
            Wait::NotAnswering { instance_type, .. } => write!(
                f,
                "Waiting for an instance of type {instance_type} to answer again."
            ),
            Wait::PreviousAttempt { .. } => f.write_str("Waiting for the process of the previous attempt to exit."),
            Wait::RunnerEnded { .. } => f.write_str("Its process has ended; waiting for the API to say how."),
            Wait::SupervisorLimit { limit, position } => write!(
                f,
                "Waiting at position {position} among the workflow runners: {limit} may run at a time, and {limit} do."
            ),
            Wait::ContainerLimit { limit, position } => write!(
                f,
                "Waiting in queue at position {position}. The API server is busy, so only {limit} containers may run at a time."
            ),
            Wait::TypesHeld {
                types,
                kept,
                position,
            } => {
                write!(f, "Waiting in queue at position {position}. No instance type that can run it is available now: ")?;
                for (index, held) in types.iter().enumerate() {
                    if index > 0 {
                        f.write_str(", ")?;
                    }
                    write!(f, "{} ({})", held.name, type_held_for_people(held.cause))?;
                }
                f.write_str(".")?;
                write_kept(f, *kept)
            }
            Wait::NoMoreInstances {
                cause, kept, position, ..
            } => {
                write!(f, "Waiting in queue at position {position}. {}.", no_more_for_people(*cause))?;
                write_kept(f, *kept)
            }
            Wait::NoType => f.write_str("No configured instance type can run it."),
            Wait::Recovering => {
                f.write_str("The dispatcher has just started and is finding out which instances run which containers.")
            }
            Wait::NotSurveyed => f.write_str("The dispatcher has just started and is looking for its instances."),
        }
    }
}

fn write_kept(f: &mut fmt::Formatter<'_>, kept: Option<WorkerId>) -> fmt::Result {
    match kept {
        Some(_) => f.write_str(" It has waited long, so an instance is being kept free for it."),
        None => Ok(()),
    }
}

fn type_held_for_people(cause: HoldCause) -> &'static str {
    match cause {
        HoldCause::Capacity => "at capacity",
        HoldCause::SpotInterrupted => "taken back by the cloud too often",
        HoldCause::BootFailing => "instances fail to boot",
        HoldCause::CreateFailing => "creation fails",
        HoldCause::RateLimit => "the cloud asked to slow down",
        HoldCause::Quota => "at the account's quota",
        HoldCause::MaxInstances => "at the configured maximum",
        HoldCause::SpendingLimit => "beyond the spending limit",
        HoldCause::TooDear => "costs more than MaxPricePerHour allows",
        HoldCause::RunnerUnreadable => "the runner program cannot be read",
        HoldCause::Stopping => "the dispatcher is stopping",
    }
}

fn no_more_for_people(cause: HoldCause) -> &'static str {
    match cause {
        HoldCause::MaxInstances => "The cluster is at capacity and cannot start more instances now",
        HoldCause::SpendingLimit => {
            "The cluster has reached its spending limit and cannot start more instances now"
        }
        HoldCause::TooDear => "Instances cost more than MaxPricePerHour allows",
        HoldCause::Quota => "The cloud account has reached its limit of instances",
        HoldCause::Capacity => "The cloud has no more instances to give now",
        HoldCause::SpotInterrupted => "The cloud takes back its spot instances too often now",
        HoldCause::RateLimit => "The cloud has asked to create instances more slowly",
        HoldCause::CreateFailing => "Creating instances fails now and will be tried again",
        HoldCause::BootFailing => "New instances fail to boot and will be tried again",
        HoldCause::RunnerUnreadable => {
            "Instances cannot be set up because the runner program cannot be read"
        }
        HoldCause::Stopping => "The dispatcher is stopping",
    }
}
