//! The history of the fleet: each fact becomes a line of the log and a count.

use std::sync::Arc;

use dispatch_brain::{BrainNews, Fact};
use dispatch_container_queue as queue;
use dispatch_model::{CloudErrorClass, ContainerState, HoldCause};
use dispatch_telemetry::Metrics;
use dispatch_worker::{About, BootOutcome, PoolNews, WorkerNews};
use tracing::{debug, error, info, warn};

use crate::clock::Clock;

/// Writes facts down.
pub(crate) struct Reporter {
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) clock: Clock,
}

impl Reporter {
    /// Logs and counts one fact.
    pub(crate) fn report(&self, fact: &Fact) {
        match fact {
            Fact::Queue(fact) => self.container(fact),
            Fact::Pool(dispatch_worker::Fact::Worker { about, news }) => self.worker(about, news),
            Fact::Pool(dispatch_worker::Fact::Pool(news)) => self.pool(news),
            Fact::Brain(news) => self.decision(news),
        }
    }

    fn container(&self, fact: &queue::Fact) {
        use queue::Fact;
        match fact {
            Fact::Identified { token_uuid } => info!(TokenUUID = token_uuid, "the API knows us"),
            Fact::NotIdentified { failure } => {
                warn!(Error = %failure, "the API does not say who we are; trying again")
            }
            Fact::Polled { rows, took } => debug!(
                Rows = rows,
                Duration = took.as_secs_f64(),
                "container queue read"
            ),
            Fact::PollFailed { failure, in_a_row } => {
                warn!(Error = %failure, InARow = in_a_row, "the container queue cannot be read; trying again");
            }
            Fact::Appeared { id, state } => {
                info!(ContainerUUID = %id, State = %state, "container appeared in the queue")
            }
            Fact::Changed { id, from, to } => {
                info!(ContainerUUID = %id, From = %from, State = %to, "container changed state");
            }
            Fact::Left { id, why } => {
                info!(ContainerUUID = %id, Reason = ?why, "container left the queue")
            }
            Fact::Unusable { id, problem } => {
                let id = id.as_ref().map_or("", |id| id.as_str());
                warn!(
                    ContainerUUID = id,
                    Error = problem,
                    "a container's record cannot be used; it is left as it is"
                );
            }
            Fact::Impossible { id, reason } => {
                warn!(ContainerUUID = %id, Reason = reason, "container can never run here; cancelling it");
            }
            Fact::ImageNotAllowed { id, remark } => {
                warn!(ContainerUUID = %id, Reason = remark, "container gets another image than it asks for");
            }
            Fact::DeedFailed { id, deed, failure } => {
                warn!(ContainerUUID = %id, Deed = %deed, Error = %failure, "a call about a container failed");
            }
            Fact::MountsUnread { ids, failure } => {
                warn!(Containers = ids.len(), Error = %failure, "mounts cannot be read; trying again");
            }
        }
    }

    fn worker(&self, about: &About, news: &WorkerNews) {
        let instance = about.instance.as_ref().map_or("", |id| id.as_str());
        let (worker, kind) = (about.worker.to_string(), about.instance_type.as_str());
        let address = about.address.as_deref().unwrap_or("");
        macro_rules! log {
            ($level:ident, $($rest:tt)*) => {
                $level!(Worker = worker, Instance = instance, InstanceType = kind, Address = address, $($rest)*)
            };
        }
        self.count(about, news);
        match news {
            WorkerNews::Ordered => log!(info, "instance ordered"),
            WorkerNews::Created { took } => {
                log!(info, Duration = took.as_secs_f64(), "instance created")
            }
            WorkerNews::CreateFailed {
                class,
                message,
                took,
            } => {
                // Until when a rate limit lasts is counted from this program's start, which no reader knows.
                let (class, wait) = match class {
                    CloudErrorClass::RateLimited(until) => {
                        let wait = until.since(self.clock.time()).as_secs_f64();
                        ("RateLimited".to_owned(), Some(wait))
                    }
                    other => (format!("{other:?}"), None),
                };
                log!(
                    warn,
                    Class = class,
                    Wait = wait,
                    Error = message,
                    Duration = took.as_secs_f64(),
                    "instance could not be created"
                );
            }
            WorkerNews::CreateUnsure { message } => {
                log!(
                    warn,
                    Error = message,
                    "nobody knows whether the instance was created; the next lists will tell"
                );
            }
            WorkerNews::CreateDropped { reason } => {
                log!(info, Reason = reason, "order dropped")
            }
            WorkerNews::Adopted {
                idle_behavior,
                remark,
            } => {
                log!(info, IdleBehavior = %idle_behavior, Remark = remark.as_deref().unwrap_or(""), "instance adopted");
            }
            WorkerNews::Address { address } => {
                log!(info, NewAddress = address, "instance has an address")
            }
            WorkerNews::State { from, to, reason } => {
                log!(info, From = %from, State = %to, Reason = reason, "instance changed state");
            }
            WorkerNews::BootEnded(outcome) => match outcome {
                BootOutcome::Success | BootOutcome::Aborted => {
                    log!(debug, Outcome = ?outcome, "boot ended")
                }
                BootOutcome::Failure | BootOutcome::Disappeared => {
                    log!(warn, Outcome = ?outcome, "boot failed")
                }
            },
            WorkerNews::SshUp { after } => {
                log!(info, Duration = after.as_secs_f64(), "SSH answers")
            }
            WorkerNews::Ready { after } => log!(
                info,
                Duration = after.as_secs_f64(),
                "instance ready for containers"
            ),
            WorkerNews::BootGivenUp { after, last } => {
                let (step, failure) = in_words(last);
                log!(
                    warn,
                    Duration = after.as_secs_f64(),
                    Step = step,
                    Error = failure.0,
                    stderr = failure.1,
                    "instance did not boot in time; destroying it"
                );
            }
            WorkerNews::Unresponsive { silent_for, last } => {
                let (step, failure) = in_words(last);
                log!(
                    warn,
                    Duration = silent_for.as_secs_f64(),
                    Step = step,
                    Error = failure.0,
                    stderr = failure.1,
                    "instance does not answer; destroying it"
                );
            }
            WorkerNews::ProbeFailed {
                step,
                failure,
                expected,
            } => {
                if *expected {
                    log!(debug, Step = ?step, Error = failure.message, stderr = failure.stderr, "probe failed");
                } else {
                    log!(warn, Step = ?step, Error = failure.message, stderr = failure.stderr, "probe failed");
                }
            }
            WorkerNews::ListProbe { .. } => {}
            WorkerNews::Broken { reason } => log!(
                warn,
                Reason = reason,
                "instance is broken; it takes no more containers"
            ),
            WorkerNews::IdleBehavior { from, to, reason } => {
                log!(info, From = %from, IdleBehavior = %to, Reason = reason, "instance's idle behavior changed");
            }
            WorkerNews::Starting { container, gpus } => {
                log!(info, ContainerUUID = %container, GPUs = ?gpus, "starting container");
            }
            WorkerNews::StartAnswered {
                container,
                result,
                took,
            } => match result {
                Ok(()) => {
                    log!(info, ContainerUUID = %container, Duration = took.as_secs_f64(), "container's runner started")
                }
                Err(reason) => {
                    log!(warn, ContainerUUID = %container, Error = reason, Duration = took.as_secs_f64(), "start command failed; the instance will tell whether it runs");
                }
            },
            WorkerNews::StartRefused { container, reason } => {
                log!(info, ContainerUUID = %container, Reason = reason, "start not possible any more");
            }
            WorkerNews::RunnerSeen { container, found } => {
                log!(info, ContainerUUID = %container, Found = found, "runner seen on the instance");
            }
            WorkerNews::RunnerEnded { container, how } => {
                log!(info, ContainerUUID = %container, How = ?how, "runner ended");
            }
            WorkerNews::KillBegan { container, reason } => {
                log!(info, ContainerUUID = %container, Reason = reason, "ending runner");
            }
            WorkerNews::KillFailed { container, message } => {
                log!(warn, ContainerUUID = %container, Error = message, "kill command failed; trying again");
            }
            WorkerNews::KillGivenUp { container } => {
                log!(warn, ContainerUUID = %container, "runner does not end; its instance takes no more containers");
            }
            WorkerNews::ForeignRunner { container } => {
                log!(info, ContainerUUID = %container, "runner of another cluster left alone");
            }
            WorkerNews::Destroying => log!(info, "destroying instance"),
            WorkerNews::DestroyFailed(failure) => {
                log!(
                    warn,
                    Error = failure.message,
                    "instance could not be destroyed; trying again"
                );
            }
            WorkerNews::TagsFailed(failure) => {
                log!(
                    warn,
                    Error = failure.message,
                    "tags could not be saved; trying again"
                );
            }
            WorkerNews::Died { cause, reason } => log!(
                warn,
                Cause = cause.name(),
                Error = reason,
                "instance has ended without our doing"
            ),
            WorkerNews::Gone {
                state,
                after_shutdown,
            } => {
                let duration = after_shutdown.map_or(0.0, |after| after.as_secs_f64());
                if *state == dispatch_model::WorkerState::Shutdown {
                    log!(info, Duration = duration, "instance is gone");
                } else {
                    log!(warn, State = %state, "instance disappeared");
                }
            }
        }
    }

    fn count(&self, about: &About, news: &WorkerNews) {
        let metrics = &self.metrics;
        match news {
            WorkerNews::Ordered | WorkerNews::Adopted { .. } => metrics.appeared(about.worker),
            WorkerNews::CreateFailed { class, took, .. } => {
                metrics.create_failed(about.instance_type.as_str(), reason(class), *took);
            }
            WorkerNews::BootEnded(outcome) => metrics.boot_ended(match outcome {
                BootOutcome::Success => "success",
                BootOutcome::Failure => "failure",
                BootOutcome::Aborted => "aborted",
                BootOutcome::Disappeared => "disappeared",
            }),
            WorkerNews::SshUp { after } => metrics.ssh_up(*after),
            WorkerNews::Ready { after } => metrics.ready(*after),
            WorkerNews::ListProbe { ok, took } => {
                metrics.run_probe(about.worker, *ok, *took, self.clock.time())
            }
            WorkerNews::Died { cause, .. } => {
                metrics.died(about.instance_type.as_str(), cause.name());
            }
            WorkerNews::Gone {
                state,
                after_shutdown,
            } => {
                metrics.gone(*state, about.instance_type.as_str(), *after_shutdown);
            }
            _ => {}
        }
    }

    fn pool(&self, news: &PoolNews) {
        match news {
            PoolNews::Surveyed { instances } => {
                info!(Instances = instances, "the cloud has listed our instances")
            }
            PoolNews::ListFailed(failure) => warn!(
                Error = failure.message,
                "the cloud cannot list our instances; trying again"
            ),
            PoolNews::HoldBegan {
                instance_type,
                hold,
            } => {
                let kind = instance_type.as_ref().map_or("any", |name| name.as_str());
                if hold.cause == HoldCause::Stopping {
                    info!("no more instances are created: the daemon is stopping");
                } else {
                    warn!(InstanceType = kind, Cause = %hold.cause, Error = hold.detail, "no instances are created for now");
                }
            }
            PoolNews::HoldEnded {
                instance_type,
                cause,
            } => {
                let kind = instance_type.as_ref().map_or("any", |name| name.as_str());
                if *cause == HoldCause::Quota {
                    info!(InstanceType = kind, Cause = %cause, "instances may be created again, more than the cloud allowed only one at a time");
                } else {
                    info!(InstanceType = kind, Cause = %cause, "instances may be created again");
                }
            }
            PoolNews::CreateRefused {
                instance_type,
                reason,
            } => {
                debug!(InstanceType = %instance_type, Reason = reason, "order refused");
            }
            PoolNews::Ignored { instance, reason } => {
                info!(Instance = %instance, Reason = reason, "listed instance left alone");
            }
            PoolNews::Violation { message } => {
                self.metrics.violation();
                error!(
                    Violation = message,
                    "invariant about to be broken; set aside"
                );
            }
        }
    }

    fn decision(&self, news: &BrainNews) {
        match news {
            BrainNews::ContainerLimit { from, to } => {
                info!(From = ?from, To = ?to, "the limit on containers moved with the API's load");
            }
            BrainNews::Recovered { after, silent } => {
                info!(
                    Duration = after.as_secs_f64(),
                    Silent = silent,
                    "what was found at the start is known"
                );
            }
            BrainNews::Unlocking { container, reason } => {
                info!(ContainerUUID = %container, State = %ContainerState::Locked, Reason = %reason, "unlocking container");
            }
            BrainNews::Cancelling { container, reason } => {
                warn!(ContainerUUID = %container, Reason = reason, "cancelling container");
            }
            BrainNews::Killing {
                container,
                worker,
                reason,
            } => {
                info!(ContainerUUID = %container, Worker = %worker, Reason = %reason, "runner must end");
            }
            BrainNews::Violation { container, message } => {
                self.metrics.violation();
                let id = container.as_ref().map_or("", |id| id.as_str());
                error!(
                    ContainerUUID = id,
                    Violation = message,
                    "invariant about to be broken; command withheld"
                );
            }
        }
    }
}

fn in_words(
    last: &Option<(dispatch_worker::ProbeStep, dispatch_worker::ProbeFailure)>,
) -> (String, (&str, &str)) {
    match last {
        Some((step, failure)) => (format!("{step:?}"), (&failure.message, &failure.stderr)),
        None => ("none".to_owned(), ("it was never tried", "")),
    }
}

/// The label of the metrics of failed creations.
fn reason(class: &CloudErrorClass) -> &'static str {
    match class {
        CloudErrorClass::Quota => "quota",
        CloudErrorClass::Capacity(_) => "capacity",
        CloudErrorClass::RateLimited(_) => "rate_limit",
        CloudErrorClass::Refused | CloudErrorClass::RefusedWidely(_) => "refused",
        CloudErrorClass::Transient => "transient",
        CloudErrorClass::OutcomeUnknown => "unknown_outcome",
    }
}

#[cfg(test)]
mod tests;
