//! Following a long-running operation as the resource manager prescribes (learn.microsoft.com/azure/azure-resource-manager/
//! management/async-operations): pure. The one who calls polls the URL that it is told, when it is told.
//!
//! ```text
//! 200, 201, 202 ──► Azure-AsyncOperation? ──► its status: Succeeded, Failed, Canceled; anything else: not yet
//!               └─► Location?             ──► 202: not yet; any other success: done
//!               └─► neither               ──► provisioningState of the resource itself
//! ```

use std::time::Duration;

use dispatch_model::Time;
use serde_json::Value;

use crate::atlas::Fault;

/// Without `Retry-After`, an operation is asked for no more often than this.
pub(crate) const POLL_EVERY: Duration = Duration::from_secs(5);
/// Not even the cloud may make us ask more often, or more rarely, than this.
const SHORTEST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(120);

/// What an answer says that matters here.
#[derive(Clone, PartialEq, Debug, Default)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Value,
    pub(crate) async_operation: Option<String>,
    pub(crate) location: Option<String>,
    pub(crate) retry_after: Option<Duration>,
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
    /// It failed or was cancelled, for this reason.
    Failed(Fault),
    /// It has not ended in time, and is not asked for any more.
    TimedOut,
}

/// One operation.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Follow {
    /// The resource itself, for when the operation cannot be asked.
    resource: String,
    source: Source,
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
    /// Begins with the answer to the request that started it. `resource`: where the resource itself is.
    pub(crate) fn begin(
        answer: &Answer,
        resource: &str,
        scale: u32,
        deadline: Time,
        now: Time,
    ) -> (Follow, Step) {
        let source = match (&answer.async_operation, &answer.location) {
            (Some(url), _) => Source::Operation(url.clone()),
            (None, Some(url)) if answer.status == 202 => Source::Location(url.clone()),
            _ => Source::Resource,
        };
        let follow = Follow {
            resource: resource.to_owned(),
            source,
            deadline,
            scale: scale.max(1),
        };
        let step = match &follow.source {
            Source::Resource => follow.by_state(&answer.body, answer.retry_after, now),
            // Even a state that is final is the operation's to tell.
            Source::Operation(_) | Source::Location(_) => follow.later(answer.retry_after, now),
        };
        (follow, step)
    }

    /// What was asked for has been answered.
    pub(crate) fn answered(&mut self, answer: &Answer, now: Time) -> Step {
        match (&self.source, answer.status) {
            (_, 408 | 429 | 500..=599) => self.later(answer.retry_after, now),
            // Operations are kept for a while only; what they have made stays.
            (Source::Operation(_) | Source::Location(_), 404 | 410) => {
                self.source = Source::Resource;
                self.later(Some(Duration::ZERO), now)
            }
            (Source::Resource, 404) => Step::Ended(End::Failed(Fault::new(
                "ResourceNotFound",
                "the resource is gone before it was finished",
            ))),
            (_, 400..=499) => Step::Ended(End::Failed(Fault::read(&answer.body))),
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

    /// What was asked for was not answered.
    pub(crate) fn unanswered(&self, now: Time) -> Step {
        self.later(None, now)
    }

    fn by_state(&self, body: &Value, retry_after: Option<Duration>, now: Time) -> Step {
        match state(body) {
            None => Step::Ended(End::Succeeded),
            Some(state) if is(state, "Succeeded") => Step::Ended(End::Succeeded),
            Some(state) if is(state, "Failed") || is(state, "Canceled") => {
                Step::Ended(End::Failed(reason(body, state)))
            }
            Some(_) => self.later(retry_after, now),
        }
    }

    fn later(&self, wait: Option<Duration>, now: Time) -> Step {
        let wait = wait.map_or(POLL_EVERY, |wait| wait.clamp(SHORTEST, LONGEST)) / self.scale;
        let at = now + wait;
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
mod tests {
    use expect_test::{Expect, expect};
    use serde_json::json;

    use super::*;

    fn plain(status: u16, body: Value) -> Answer {
        Answer {
            status,
            body,
            ..Answer::default()
        }
    }

    fn retry(mut answer: Answer, secs: u64) -> Answer {
        answer.retry_after = Some(Duration::from_secs(secs));
        answer
    }

    fn operation(mut answer: Answer) -> Answer {
        answer.async_operation = Some("op".to_owned());
        answer
    }

    fn location(mut answer: Answer, url: &str) -> Answer {
        answer.location = Some(url.to_owned());
        answer
    }

    fn show(step: &Step) -> String {
        match step {
            Step::Poll { url, at } => format!("{at} ask {url}\n"),
            Step::Ended(End::Succeeded) => "succeeded\n".to_owned(),
            Step::Ended(End::TimedOut) => "timed out\n".to_owned(),
            Step::Ended(End::Failed(fault)) => {
                format!("failed: {:?} {}\n", fault.code(), fault.message())
            }
        }
    }

    /// Plays the answers, each at the moment it was asked for.
    #[track_caller]
    fn check(first: Answer, then: &[Option<Answer>], expected: Expect) {
        let deadline = Time::from_secs(60);
        let (mut follow, mut step) = Follow::begin(&first, "resource", 1, deadline, Time::ZERO);
        let mut text = show(&step);
        for answer in then {
            let Step::Poll { at, .. } = step else {
                panic!("nothing is asked any more: {text}");
            };
            step = match answer {
                Some(answer) => follow.answered(answer, at),
                None => follow.unanswered(at),
            };
            text.push_str(&show(&step));
        }
        expected.assert_eq(&text);
    }

    #[test]
    fn an_operation_is_asked_at_retry_after_and_otherwise_every_five_seconds() {
        let running = || json!({"status": "InProgress"});
        check(
            retry(
                operation(plain(
                    201,
                    json!({"properties": {"provisioningState": "Creating"}}),
                )),
                3,
            ),
            &[
                Some(plain(200, running())),
                Some(retry(plain(200, running()), 10)),
                Some(plain(200, json!({"status": "Succeeded"}))),
            ],
            expect![[r#"
                3.000s ask op
                8.000s ask op
                18.000s ask op
                succeeded
            "#]],
        );
    }

    #[test]
    fn k27_an_operation_that_fails_says_why() {
        check(
            operation(plain(201, json!({}))),
            &[Some(plain(
                200,
                json!({"status": "Failed", "error": {"code": "AllocationFailed", "message": "none left"}}),
            ))],
            expect![[r#"
                5.000s ask op
                failed: "AllocationFailed" none left
            "#]],
        );
        check(
            operation(plain(201, json!({}))),
            &[Some(plain(200, json!({"status": "Canceled"})))],
            expect![[r#"
                5.000s ask op
                failed: "" the operation is Canceled, without a reason
            "#]],
        );
    }

    #[test]
    fn an_answer_that_is_final_at_once_needs_no_asking() {
        check(
            plain(204, Value::Null),
            &[],
            expect![[r#"
            succeeded
        "#]],
        );
        check(
            plain(
                200,
                json!({"properties": {"provisioningState": "Succeeded"}}),
            ),
            &[],
            expect![[r#"
                succeeded
            "#]],
        );
        check(
            plain(200, json!({"properties": {"provisioningState": "Failed"}})),
            &[],
            expect![[r#"
                failed: "" the operation is Failed, without a reason
            "#]],
        );
    }

    #[test]
    fn without_headers_the_resource_itself_is_asked() {
        check(
            plain(
                201,
                json!({"properties": {"provisioningState": "Updating"}}),
            ),
            &[
                Some(plain(
                    200,
                    json!({"properties": {"provisioningState": "Updating"}}),
                )),
                Some(plain(
                    200,
                    json!({"properties": {"provisioningState": "Succeeded"}}),
                )),
            ],
            expect![[r#"
                5.000s ask resource
                10.000s ask resource
                succeeded
            "#]],
        );
    }

    #[test]
    fn a_location_is_followed_while_it_says_202_wherever_it_moves() {
        check(
            retry(location(plain(202, Value::Null), "l1"), 1),
            &[
                Some(location(plain(202, Value::Null), "l2")),
                Some(plain(204, Value::Null)),
            ],
            expect![[r#"
                1.000s ask l1
                6.000s ask l2
                succeeded
            "#]],
        );
    }

    #[test]
    fn what_passes_is_waited_for_and_a_forgotten_operation_is_read_from_the_resource() {
        check(
            operation(plain(202, Value::Null)),
            &[
                None,
                Some(retry(plain(429, Value::Null), 7)),
                Some(plain(503, Value::Null)),
                Some(plain(404, Value::Null)),
                Some(plain(
                    200,
                    json!({"properties": {"provisioningState": "Succeeded"}}),
                )),
            ],
            expect![[r#"
                5.000s ask op
                10.000s ask op
                17.000s ask op
                22.000s ask op
                22.100s ask resource
                succeeded
            "#]],
        );
        check(
            operation(plain(202, Value::Null)),
            &[Some(plain(404, Value::Null)), Some(plain(404, Value::Null))],
            expect![[r#"
                5.000s ask op
                5.100s ask resource
                failed: "ResourceNotFound" the resource is gone before it was finished
            "#]],
        );
        check(
            operation(plain(202, Value::Null)),
            &[Some(plain(
                403,
                json!({"error": {"code": "AuthorizationFailed", "message": "no"}}),
            ))],
            expect![[r#"
                5.000s ask op
                failed: "AuthorizationFailed" no
            "#]],
        );
    }

    #[test]
    fn it_ends_in_time_whatever_the_cloud_says() {
        let mut answers = vec![Some(retry(plain(200, json!({"status": null})), 3600)); 1];
        check(
            operation(plain(202, Value::Null)),
            &answers,
            expect![[r#"
                5.000s ask op
                timed out
            "#]],
        );
        // It is not hammered either.
        answers = vec![Some(retry(plain(200, json!({})), 0)); 2];
        check(
            operation(plain(202, Value::Null)),
            &answers,
            expect![[r#"
                5.000s ask op
                5.100s ask op
                5.200s ask op
            "#]],
        );
    }
}
