//! Following a long-running operation as the resource manager prescribes (learn.microsoft.com/azure/azure-resource-manager/
//! management/async-operations): pure. The one who calls polls the URL that it is told, when it is told.
//!
//! ```text
//! 200, 201, 202 ──► Azure-AsyncOperation? ──► its status: Succeeded, Failed, Canceled; anything else: not yet
//!               └─► Location?             ──► 202: not yet; any other success: done
//!               └─► neither               ──► provisioningState of the resource itself
//! ```
//!
//! That an operation may not be asked for (403), or is not known any more (404), says nothing about what it does: from
//! then on the resource itself is asked.

use std::time::Duration;

use dispatch_model::Time;
use serde_json::Value;

use crate::atlas::Fault;

/// Without `Retry-After`, an operation is asked for no more often than this.
pub(crate) const POLL_EVERY: Duration = Duration::from_secs(5);
/// Not even the cloud may make us ask more often, or more rarely, than this.
const SHORTEST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(120);
/// For so long a resource that is being made may not be known everywhere.
const YOUNG: Duration = Duration::from_secs(120);

/// What an answer says that matters here.
#[derive(Clone, PartialEq, Debug, Default)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Value,
    pub(crate) async_operation: Option<String>,
    pub(crate) location: Option<String>,
    pub(crate) retry_after: Option<Duration>,
}

/// Why there is no such answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum No {
    /// Nothing came, or something that passes: too many calls, a server that broke down.
    Passing,
    /// Azure says that there is no such thing.
    Absent,
    /// It is refused.
    Refused,
}

/// What comes next.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Step {
    /// Ask here, at this time.
    Poll { url: String, at: Time },
    /// It is over.
    Ended(End),
}

/// How an operation ended.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum End {
    Succeeded,
    /// It failed or was cancelled, for this reason. Where the resource itself told, there is none: no code.
    Failed(Fault),
    /// What was to be made is not there, and was not for a while.
    Gone,
    /// It has not ended in time, and is not asked for any more.
    TimedOut,
}

/// What an operation is to bring about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Aim {
    Making,
    Ending,
}

/// One operation.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Follow {
    aim: Aim,
    /// The resource itself, for when the operation cannot be asked.
    resource: String,
    source: Source,
    began: Time,
    deadline: Time,
    /// How much slower than in life the clock runs; 1 but in tests.
    scale: u32,
}

#[derive(Clone, PartialEq, Debug)]
enum Source {
    Operation(String),
    Location(String),
    Resource,
}

impl Follow {
    /// Begins with the answer to the request that started it. `resource`: where the resource itself is. `within`: for
    /// how long it is followed, in life.
    pub(crate) fn begin(
        aim: Aim,
        answer: &Answer,
        resource: &str,
        scale: u32,
        within: Duration,
        now: Time,
    ) -> (Follow, Step) {
        let source = match (&answer.async_operation, &answer.location) {
            (Some(url), _) => Source::Operation(url.clone()),
            (None, Some(url)) if answer.status == 202 => Source::Location(url.clone()),
            _ => Source::Resource,
        };
        let scale = scale.max(1);
        let follow = Follow {
            aim,
            resource: resource.to_owned(),
            source,
            began: now,
            deadline: now + within / scale,
            scale,
        };
        let step = match (&follow.source, aim) {
            (Source::Resource, Aim::Making) => {
                follow.by_state(&answer.body, answer.retry_after, now)
            }
            // There was nothing to end.
            (Source::Resource, Aim::Ending) if answer.status == 204 => Step::Ended(End::Succeeded),
            // Even a state that is final is the operation's to tell.
            _ => follow.later(answer.retry_after, now),
        };
        (follow, step)
    }

    /// What was asked for has been answered.
    pub(crate) fn answered(&mut self, answer: &Answer, now: Time) -> Step {
        match (&self.source, answer.status) {
            (Source::Operation(_), _) => match answer.body["status"].as_str() {
                Some(status) if is(status, "Succeeded") => Step::Ended(End::Succeeded),
                Some(status) if is(status, "Failed") || is(status, "Canceled") => {
                    Step::Ended(End::Failed(reason(&answer.body, status)))
                }
                _ => self.later(answer.retry_after, now),
            },
            (Source::Location(_), 202) => {
                // It may move.
                if let Some(url) = &answer.location {
                    self.source = Source::Location(url.clone());
                }
                self.later(answer.retry_after, now)
            }
            (Source::Location(_) | Source::Resource, _) => {
                self.by_state(&answer.body, answer.retry_after, now)
            }
        }
    }

    /// What was asked for was not answered so.
    pub(crate) fn unanswered(&mut self, no: No, wait: Option<Duration>, now: Time) -> Step {
        match (no, &self.source) {
            (No::Passing, _) => self.later(wait, now),
            // Operations are kept for a while only, and may be another's to read; what they make can be seen.
            (No::Absent | No::Refused, Source::Operation(_) | Source::Location(_)) => {
                self.source = Source::Resource;
                self.later(Some(Duration::ZERO), now)
            }
            (No::Absent, Source::Resource) => match self.aim {
                Aim::Ending => Step::Ended(End::Succeeded),
                Aim::Making if now.since(self.began) < YOUNG / self.scale => self.later(wait, now),
                Aim::Making => Step::Ended(End::Gone),
            },
            // That we may not look says nothing about it.
            (No::Refused, Source::Resource) => self.later(wait, now),
        }
    }

    /// Whether the resource itself is asked, since the operation cannot be.
    pub(crate) fn asks_resource(&self) -> bool {
        self.source == Source::Resource
    }

    fn by_state(&self, body: &Value, retry_after: Option<Duration>, now: Time) -> Step {
        match (state(body), self.aim) {
            (Some(state), Aim::Making) if is(state, "Failed") || is(state, "Canceled") => {
                Step::Ended(End::Failed(reason(body, state)))
            }
            (Some(state), Aim::Making) if !is(state, "Succeeded") => self.later(retry_after, now),
            (_, Aim::Making) | (None, Aim::Ending) => Step::Ended(End::Succeeded),
            // It is there, so it has not ended.
            (Some(state), Aim::Ending) if is(state, "Failed") => {
                Step::Ended(End::Failed(reason(body, state)))
            }
            (Some(_), Aim::Ending) => self.later(retry_after, now),
        }
    }

    fn later(&self, wait: Option<Duration>, now: Time) -> Step {
        let at = now + pause(wait, self.scale);
        if at > self.deadline {
            return Step::Ended(End::TimedOut);
        }
        let url = match &self.source {
            Source::Operation(url) | Source::Location(url) => url.clone(),
            Source::Resource => self.resource.clone(),
        };
        Step::Poll { url, at }
    }
}

/// How long to wait before anything that goes on is asked for again.
pub(crate) fn pause(wait: Option<Duration>, scale: u32) -> Duration {
    wait.map_or(POLL_EVERY, |wait| wait.clamp(SHORTEST, LONGEST)) / scale.max(1)
}

/// The state of a resource, wherever it stands.
pub(crate) fn state(body: &Value) -> Option<&str> {
    body["properties"]["provisioningState"]
        .as_str()
        .or_else(|| body["provisioningState"].as_str())
}

fn is(state: &str, wanted: &str) -> bool {
    state.eq_ignore_ascii_case(wanted)
        // Some services write it the British way.
        || (wanted == "Canceled" && state.eq_ignore_ascii_case("Cancelled"))
}

fn reason(body: &Value, state: &str) -> Fault {
    let fault = Fault::read(body);
    if body["error"].is_object() && (!fault.code().is_empty() || !fault.message().is_empty()) {
        fault
    } else {
        Fault::new("", &format!("the operation is {state}, without a reason"))
    }
}

#[cfg(test)]
mod tests;
