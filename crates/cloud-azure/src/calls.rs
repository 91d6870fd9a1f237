//! How every call is made: waits for no one, keeps the pace, carries a token, has a deadline, and brings back an answer
//! or a failure.

use std::{
    collections::BTreeMap,
    error::Error as _,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use dispatch_cloud::{Clock, CloudError, Gate};
use dispatch_model::{CloudErrorClass, Time};
use reqwest::{Client, Method, Response};
use serde_json::Value;
use url::Url;

use crate::{
    action::Action,
    atlas::{self, Fault, Kind},
    endpoints::Endpoints,
    failure::Failure,
    lro::Answer,
    masks::Masks,
    pace::Pace,
    retry_after,
    token::Tokens,
};

const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// For so long the kernel tries to bring what was sent across a line that does not answer: no longer than until another
/// dispatcher may act.
const UNACKNOWLEDGED_WITHIN: Duration = Duration::from_secs(5);
/// How long an answer may take. The resource manager itself gives up after 60 s.
const ANSWER_WITHIN: Duration = Duration::from_secs(65);
/// The largest answer that is read: a page of a list is a thousand times smaller.
const ANSWER_BYTES_MAX: usize = 64 << 20;
/// For so long a call waits that was throttled by the one who gives tokens, if it does not say how long.
const NO_TOKEN_FOR: Duration = Duration::from_secs(5);
/// A list that has more pages does not end.
const PAGES_MAX: usize = 2000;

/// What is sent.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Outgoing {
    pub(crate) method: Method,
    pub(crate) if_none_match: Option<String>,
    pub(crate) body: Option<Value>,
}

/// What a list holds.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Rows {
    pub(crate) rows: Vec<Value>,
    /// The cloud's wall clock.
    pub(crate) date: Option<jiff::Timestamp>,
    /// Whether these are all rows: what is not among them may still be there, if not.
    pub(crate) whole: bool,
}

/// What makes calls.
#[derive(Debug)]
pub(crate) struct Calls {
    client: Client,
    /// Uses no proxy.
    direct: Client,
    pub(crate) endpoints: Endpoints,
    tokens: Tokens,
    clock: Clock,
    gate: Gate,
    paces: Mutex<BTreeMap<Action, Pace>>,
    /// What is in no answer that anybody reads.
    pub(crate) masks: Masks,
    /// How much faster than in life clocks run; 1 but in tests.
    pub(crate) scale: u32,
    #[cfg(all(test, feature = "cloud-tests"))]
    pub(crate) mutant: Option<crate::mutants::Mutant>,
}

/// An answer that is a success.
#[derive(Clone, PartialEq, Debug, Default)]
pub(crate) struct Good {
    pub(crate) answer: Answer,
    /// The cloud's wall clock.
    pub(crate) date: Option<jiff::Timestamp>,
}

impl Calls {
    pub(crate) fn new(
        endpoints: Endpoints,
        tokens: Tokens,
        clock: Clock,
        gate: Gate,
        scale: u32,
    ) -> Result<Calls, CloudError> {
        let client = |direct: bool| {
            let mut builder = Client::builder()
                .connect_timeout(CONNECT_WITHIN)
                .timeout(ANSWER_WITHIN)
                .tcp_user_timeout(UNACKNOWLEDGED_WITHIN)
                // A redirect would carry the token along.
                .redirect(reqwest::redirect::Policy::none())
                .user_agent(concat!(
                    "arvados-dispatch-cloud/",
                    env!("CARGO_PKG_VERSION")
                ));
            if direct {
                builder = builder.no_proxy();
            }
            builder.build().map_err(|error| {
                CloudError::new(
                    CloudErrorClass::Refused,
                    format!("cannot make HTTP requests: {error}"),
                )
            })
        };
        let masks = Masks::default();
        if let Some(secret) = tokens.secret() {
            masks.hide_credential(secret.reveal());
        }
        Ok(Calls {
            client: client(false)?,
            direct: client(true)?,
            endpoints,
            tokens,
            clock,
            gate,
            paces: Mutex::default(),
            masks,
            scale: scale.max(1),
            #[cfg(all(test, feature = "cloud-tests"))]
            mutant: None,
        })
    }

    pub(crate) fn now(&self) -> Time {
        self.clock.now()
    }

    /// One call about a path, of those that azure_mgmt_compute has no requests for.
    pub(crate) async fn call(
        &self,
        action: Action,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Good, Failure> {
        let query = [("api-version", action.api_version())];
        let outgoing = Outgoing {
            method: action.method(),
            if_none_match: None,
            body: body.cloned(),
        };
        self.send(action, self.endpoints.arm(path, &query), &outgoing)
            .await
    }

    /// One look at a URL that an answer named.
    pub(crate) async fn follow(&self, action: Action, named: &str) -> Result<Good, Failure> {
        match self.endpoints.follow(named) {
            Some(url) => self.send(action, url, &look()).await,
            None => Err(Failure::NotSent(format!(
                "an answer names {}, which is another host: our token is not sent there",
                named.split('?').next().unwrap_or_default()
            ))),
        }
    }

    /// All rows of a list.
    pub(crate) async fn list(&self, action: Action, path: &str) -> Result<Rows, Failure> {
        let first = self.call(action, path, None).await?;
        self.rest(action, first).await
    }

    /// All rows of a list that begins with this page.
    pub(crate) async fn rest(&self, action: Action, first: Good) -> Result<Rows, Failure> {
        let mut seen = std::collections::BTreeSet::new();
        let mut rows = Vec::new();
        let mut good = first;
        for _ in 0..PAGES_MAX {
            let Some(values) = good.answer.body["value"].as_array() else {
                return Err(Failure::Unknown("the list has no rows in it".to_owned()));
            };
            rows.extend(values.iter().cloned());
            let next = good.answer.body["nextLink"].as_str().unwrap_or_default();
            let date = good.date;
            if next.is_empty() {
                let whole = true;
                return Ok(Rows { rows, date, whole });
            }
            // Facts K27: it would never end. What comes after it, if anything does, is not known.
            if !seen.insert(next.to_owned()) {
                let whole = false;
                return Ok(Rows { rows, date, whole });
            }
            let url = self.endpoints.follow(next).ok_or_else(|| {
                let host = next.split('?').next().unwrap_or_default();
                Failure::NotSent(format!(
                    "the next page of the list is at {host}, which is another host: our token is not sent there"
                ))
            })?;
            good = self.send(action, url, &look()).await?;
        }
        Err(Failure::Unknown(format!(
            "the list has more than {PAGES_MAX} pages"
        )))
    }

    /// One call, with whatever every call needs. What changes something waits for the gate, and ends with it.
    pub(crate) async fn send(
        &self,
        action: Action,
        url: Url,
        outgoing: &Outgoing,
    ) -> Result<Good, Failure> {
        let sent = self.send_now(action, url, outgoing);
        if outgoing.method.is_safe() {
            sent.await
        } else {
            self.gate.acting(sent).await
        }
    }

    async fn send_now(
        &self,
        action: Action,
        url: Url,
        outgoing: &Outgoing,
    ) -> Result<Good, Failure> {
        self.pace(action).turn(self.now()).map_err(Failure::Held)?;
        let is_told = matches!(action, Action::Operation | Action::InstanceView);
        let mut result = self.send_once(url.clone(), outgoing, is_told).await;
        // The token has ended early: once more with another. The call itself had no effect.
        if matches!(&result, Err(Failure::Said { status: 401, .. })) {
            result = self.send_once(url, outgoing, is_told).await;
        }
        if let Err(failure @ Failure::Said { fault, .. }) = &result
            && failure
                .verdict()
                .is_some_and(|verdict| verdict.kind == Kind::Rate)
        {
            let wait = fault.retry_after;
            self.pace(action).throttled(wait, self.scale, self.now());
        }
        result
    }

    /// `is_told`: a success may be the words of a failure.
    async fn send_once(
        &self,
        url: Url,
        outgoing: &Outgoing,
        is_told: bool,
    ) -> Result<Good, Failure> {
        let token = self
            .tokens
            .token(
                &self.client,
                &self.direct,
                &self.endpoints,
                &self.masks,
                self.scale,
                || self.now(),
            )
            .await?;
        let mut request = self
            .client
            .request(outgoing.method.clone(), url)
            .bearer_auth(token.reveal());
        if let Some(body) = &outgoing.body {
            request = request.json(body);
        }
        if let Some(condition) = &outgoing.if_none_match {
            request = request.header("If-None-Match", condition);
        }
        let response = request.send().await.map_err(|error| unanswered(&error))?;
        let status = response.status().as_u16();
        let date = header(&response, "date").and_then(retry_after::moment);
        let retry_after =
            retry_after::wait(header(&response, "retry-after"), header(&response, "date"));
        let named = |name: &str| header(&response, name).map(str::to_owned);
        let (async_operation, location) = (named("azure-asyncoperation"), named("location"));
        let mut bytes = read(response).await?;
        let is_refused = !(200..300).contains(&status);
        if is_refused || is_told {
            bytes = self.masks.mask(&bytes);
        }
        if is_refused {
            let mut fault = Fault::of_bytes(&bytes);
            fault.retry_after = retry_after;
            if status == 401 {
                self.tokens.drop_token(&token).await;
            }
            return Err(Failure::said(status, fault));
        }
        let body = if bytes.is_empty() {
            Value::Null
        } else {
            serde_json::from_slice(&bytes)
                .map_err(|_| Failure::Unknown("the answer is cut off".to_owned()))?
        };
        Ok(Good {
            answer: Answer {
                status,
                body,
                async_operation,
                location,
                retry_after,
            },
            date,
        })
    }

    /// A failure as the pool understands it.
    pub(crate) fn error(
        &self,
        action: Action,
        failure: &Failure,
        if_unknown: CloudErrorClass,
    ) -> CloudError {
        let name = action.name();
        match failure {
            Failure::Held(until) => CloudError::new(
                CloudErrorClass::RateLimited(*until),
                format!("{name}: not called: too many calls"),
            ),
            Failure::NotSent(words) => CloudError::new(
                CloudErrorClass::Transient,
                format!(
                    "{name}: not sent: {words}. Remedy: check the network, CloudEnvironment and the endpoints; \
                     without ClientSecret, the managed identity of this host."
                ),
            ),
            Failure::Unknown(words) => {
                CloudError::new(if_unknown, format!("{name}: outcome unknown: {words}"))
            }
            Failure::NoToken { status, fault } => {
                let verdict = failure
                    .verdict()
                    .unwrap_or_else(|| atlas::judge(fault, *status));
                let wait = fault.retry_after.unwrap_or(NO_TOKEN_FOR) / self.scale;
                CloudError::new(
                    atlas::class(&verdict, self.now() + wait),
                    atlas::words(
                        &format!("{name}: not sent, no token"),
                        fault,
                        *status,
                        &verdict,
                    ),
                )
            }
            Failure::Said { status, fault } => {
                let verdict = atlas::judge(fault, *status);
                let until = self.pace(action).not_before();
                CloudError::new(
                    atlas::class(&verdict, until),
                    atlas::words(name, fault, *status, &verdict),
                )
            }
        }
    }

    /// Until when no call of this kind is sent because one was throttled.
    pub(crate) fn not_before(&self, action: Action) -> Time {
        self.pace(action).not_before()
    }

    fn pace(&self, action: Action) -> PaceGuard<'_> {
        #[cfg(all(test, feature = "cloud-tests"))]
        let action = match self.mutant {
            Some(crate::mutants::Mutant::OnePaceForAll) => Action::PutVm,
            _ => action,
        };
        PaceGuard {
            paces: self.paces.lock().unwrap_or_else(PoisonError::into_inner),
            action,
        }
    }
}

/// One action's pace.
struct PaceGuard<'a> {
    paces: MutexGuard<'a, BTreeMap<Action, Pace>>,
    action: Action,
}

impl PaceGuard<'_> {
    fn turn(&mut self, now: Time) -> Result<(), Time> {
        self.paces.entry(self.action).or_default().turn(now)
    }

    fn throttled(&mut self, wait: Option<Duration>, scale: u32, now: Time) {
        let pace = self.paces.entry(self.action).or_default();
        pace.throttled(wait, scale, now);
    }

    fn not_before(&mut self) -> Time {
        self.paces.entry(self.action).or_default().not_before()
    }
}

fn look() -> Outgoing {
    Outgoing {
        method: Method::GET,
        if_none_match: None,
        body: None,
    }
}

/// A header's text.
pub(crate) fn header<'a>(response: &'a Response, name: &str) -> Option<&'a str> {
    response.headers().get(name)?.to_str().ok()
}

/// An error and its causes, without the URL.
pub(crate) fn words_of(error: &reqwest::Error) -> String {
    let mut words = String::new();
    let mut cause = error.source();
    while let Some(error) = cause {
        if !words.is_empty() {
            words.push_str(": ");
        }
        words.push_str(&error.to_string());
        cause = error.source();
    }
    if words.is_empty() {
        words = if error.is_timeout() {
            "no answer in time".to_owned()
        } else {
            "the connection failed".to_owned()
        };
    }
    words
}

fn unanswered(error: &reqwest::Error) -> Failure {
    let words = words_of(error);
    if error.is_connect() || error.is_builder() {
        Failure::NotSent(words)
    } else {
        Failure::Unknown(words)
    }
}

async fn read(mut response: Response) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    loop {
        match response.chunk().await {
            Ok(None) => return Ok(bytes),
            Ok(Some(chunk)) if bytes.len() + chunk.len() <= ANSWER_BYTES_MAX => {
                bytes.extend_from_slice(&chunk);
            }
            Ok(Some(_)) => {
                return Err(Failure::Unknown("the answer is too large".to_owned()));
            }
            Err(error) => return Err(Failure::Unknown(words_of(&error))),
        }
    }
}
