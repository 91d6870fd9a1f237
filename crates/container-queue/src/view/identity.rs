//! Who we are: the token whose locks are ours (facts §2.1.1 call 1). Asked until it is known, then never again.

use std::time::Duration;

use dispatch_model::Time;

use crate::{
    ApiFailure, Effects, Fact, FailureKind, Json, Request, row,
    view::pace::{interval_or_default, retry_pause},
};

#[derive(Debug)]
pub(super) struct Identity {
    pause: Duration,
    state: State,
}

#[derive(Debug)]
enum State {
    Unknown { ask_at: Time },
    Asked,
    Known { token_uuid: String },
}

impl Identity {
    pub(super) fn new(poll_interval: Duration) -> Identity {
        Identity {
            pause: retry_pause(interval_or_default(poll_interval)),
            state: State::Unknown { ask_at: Time::ZERO },
        }
    }

    pub(super) fn known(&self) -> Option<&str> {
        match &self.state {
            State::Known { token_uuid } => Some(token_uuid),
            State::Unknown { .. } | State::Asked => None,
        }
    }

    pub(super) fn deadline(&self) -> Option<Time> {
        match self.state {
            State::Unknown { ask_at } => Some(ask_at),
            State::Asked | State::Known { .. } => None,
        }
    }

    pub(super) fn ask_if_due(&mut self, now: Time, out: &mut Effects) {
        if self.deadline().is_some_and(|at| at <= now) {
            self.state = State::Asked;
            out.requests.push(Request::WhoAmI);
        }
    }

    pub(super) fn answered(
        &mut self,
        result: Result<Json, ApiFailure>,
        now: Time,
        out: &mut Effects,
    ) {
        if !matches!(self.state, State::Asked) {
            return;
        }
        let uuid = result.and_then(|row| {
            row::read_token_uuid(&row).map_err(|problem| ApiFailure {
                kind: FailureKind::Undecodable,
                message: format!("the API's answer about our token: {problem}"),
            })
        });
        match uuid {
            Ok(token_uuid) => {
                out.facts.push(Fact::Identified {
                    token_uuid: token_uuid.clone(),
                });
                self.state = State::Known { token_uuid };
            }
            Err(failure) => {
                out.facts.push(Fact::NotIdentified { failure });
                self.state = State::Unknown {
                    ask_at: now + self.pause,
                };
            }
        }
    }
}
