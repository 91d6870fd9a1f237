//! The Arvados API as the world shows it: the rules, with latency and faults around them.

use super::{Event, Happening, World};
use crate::{
    api::{ApiAnswer, ApiRequest, ContainerState},
    faults::Fault,
    time::{Now, Span, When},
};

/// How long a slow answer takes, ms.
const SLOW_MS: Span = Span::between(800, 2500);

/// For how long the API is overloaded, ms.
const OVERLOADED_MS: u64 = 500;
/// It is from this share of the work on, in sixteenths, once so many containers run. A dispatcher that has seen a 503
/// starts no more than ran at that moment, for a minute: the less runs, the less work should be left.
const OVERLOADED_FROM: [(u64, usize); 4] = [(8, 8), (10, 5), (12, 3), (14, 0)];

/// An answer of the API, and when it arrives.
#[derive(Clone, PartialEq, Debug)]
pub struct ApiReply {
    /// What it says. It is there even if it never arrives, for those who look from above.
    pub answer: ApiAnswer,
    /// When it arrives.
    pub when: When,
}

impl World {
    /// One request to the Arvados API.
    pub fn api(&mut self, request: &ApiRequest, now: Now) -> ApiReply {
        self.advance(now);
        self.judge_idle(now);
        let latency = self.settings.api.latency_ms.draw(&mut self.luck);
        // Runners keep out of it: what is tried here is the dispatcher.
        let from_runner = request.headers.contains_key("x-lab-runner");
        let knobs = &mut self.settings.api;
        let spend = |left: &mut u64| {
            !from_runner && *left > 0 && {
                *left -= 1;
                true
            }
        };
        let (too_busy, hangs, lost) = (
            spend(&mut knobs.next_503s),
            spend(&mut knobs.next_hangs),
            spend(&mut knobs.next_lost),
        );
        let overloaded = self.is_overloaded(now);
        let mut strikes = |fault| !from_runner && self.faults.strikes(fault);
        if hangs {
            return ApiReply {
                answer: ApiAnswer::too_busy(),
                when: When::Never,
            };
        }
        if strikes(Fault::ApiHangs) {
            return ApiReply {
                answer: ApiAnswer::too_busy(),
                when: When::Never,
            };
        }
        if too_busy || overloaded && strikes(Fault::Api503) {
            return ApiReply {
                answer: ApiAnswer::too_busy(),
                when: When::After(latency),
            };
        }
        let lost = lost || strikes(Fault::ApiAnswerLost);
        let slow = strikes(Fault::ApiSlow);
        let answer = self.api_now(request, now);
        let when = match (lost, slow) {
            (true, _) => When::Cut(latency),
            (false, true) => When::After(latency + SLOW_MS.draw(&mut self.luck)),
            (false, false) => When::After(latency),
        };
        ApiReply { answer, when }
    }

    /// Whether the API is overloaded, which it is once, for a moment.
    fn is_overloaded(&mut self, now: Now) -> bool {
        if self.finals * 2 <= self.submitted || !self.faults.may_strike(Fault::Api503) {
            return false;
        }
        let runs = |one: &&crate::api::Container| one.state == ContainerState::Running;
        let running = || self.api.containers().values().filter(runs).count();
        let begins = || {
            OVERLOADED_FROM.iter().any(|(share, enough)| {
                self.finals * 16 > self.submitted * share && running() >= *enough
            })
        };
        if self.overloaded_ms.is_none() && begins() {
            self.overloaded_ms = Some(now.ms);
        }
        self.overloaded_ms
            .is_some_and(|from| now.ms <= from + OVERLOADED_MS)
    }

    /// The same without latency and faults, as the lab's own runners see it.
    pub(crate) fn api_now(&mut self, request: &ApiRequest, now: Now) -> ApiAnswer {
        let answer = self.api.handle(request, &self.settings.api, now);
        self.note_changes(now);
        answer
    }

    pub(crate) fn note_changes(&mut self, now: Now) {
        for change in self.api.take_changes() {
            self.judge.changed(&change, now.ms);
            self.finals +=
                u64::from(change.to.is_final() && !change.from.is_some_and(|from| from.is_final()));
            if change.from != Some(change.to) {
                self.tell(Event::Changed {
                    uuid: change.uuid,
                    state: change.to,
                });
            }
        }
    }

    /// A malformed row shows the truth again.
    pub fn heal(&mut self, uuid: &str) {
        if let Some(container) = self.api.container_mut(uuid) {
            container.poison.clear();
        }
    }

    /// Makes a row malformed; it heals after so long.
    pub fn poison(
        &mut self,
        uuid: &str,
        attribute: &str,
        value: serde_json::Value,
        heals_after_ms: Option<u64>,
        now: Now,
    ) {
        if let Some(container) = self.api.container_mut(uuid) {
            container.poison.insert(attribute.into(), value);
        }
        if let Some(ms) = heals_after_ms {
            self.later(ms, Happening::Heal(uuid.into()), now);
        }
    }
}
