//! One call: sent once, within its deadline and the limiter, its answer bounded and classified.

use std::{
    error::Error as _,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use rand::RngExt;
use reqwest::{
    Method, Response,
    header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue},
};
use serde::Deserialize;
use tokio::time::{Instant, timeout_at};
use tracing::debug;
use url::Url;

use crate::{
    ApiError, ClientSettings, Limiter, Outcome, SetupError, Token,
    encode::{Params, QUERY_LENGTH_MAX},
    gate::Gate,
    tls,
};

/// Longer answers are refused: nothing that we ask for comes near it, but nothing may grow without a bound.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// More of an error's body is not read.
const ERROR_BODY_BYTES_MAX: usize = 64 << 10;

/// More of one of the API's messages is not repeated.
const MESSAGE_CHARS_MAX: usize = 1000;

/// One question to the API.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) verb: Verb,
    /// Below `/arvados/v1/`.
    pub(crate) path: String,
    pub(crate) params: Params,
}

/// The verbs that a dispatcher uses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Verb {
    Get,
    Post,
    Put,
}

/// The way to the API.
pub(crate) struct Transport {
    http: reqwest::Client,
    /// Scheme, host and port, without a slash at the end (facts Q27).
    base: String,
    authorization: HeaderValue,
    token: Token,
    gate: Gate,
    last_503: Mutex<Option<Instant>>,
    /// Whether there was one that nobody has asked about yet.
    untold_503: AtomicBool,
}

impl Transport {
    pub(crate) fn new(settings: &ClientSettings) -> Result<Transport, SetupError> {
        let mut authorization =
            HeaderValue::from_str(&format!("Bearer {}", settings.token.reveal()))
                .map_err(|_| SetupError::Token)?;
        authorization.set_sensitive(true);
        Ok(Transport {
            base: base(&settings.controller)?,
            http: tls::http_client(settings)?,
            authorization,
            token: settings.token.clone(),
            gate: Gate::new(Limiter::new(settings.server_max_concurrent_requests)),
            last_503: Mutex::new(None),
            untold_503: AtomicBool::new(false),
        })
    }

    pub(crate) fn last_503(&self) -> Option<Instant> {
        *self.last_503.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn take_news_of_503(&self) -> bool {
        self.untold_503.swap(false, Ordering::AcqRel)
    }

    /// The body of a successful answer.
    pub(crate) async fn send(&self, call: Call, deadline: Instant) -> Result<Vec<u8>, ApiError> {
        let request_id = request_id();
        let name = format!(
            "{} /arvados/v1/{} ({request_id})",
            call.verb.method(),
            call.path
        );
        let Ok(pass) = timeout_at(deadline, self.gate.enter()).await else {
            return Err(ApiError::NotSent {
                call: name,
                cause: "too many other calls went first".to_owned(),
            });
        };
        let started = Instant::now();
        let answer = timeout_at(deadline, self.exchange(call, &name, &request_id)).await;
        let answer = answer.unwrap_or_else(|_| Err(ApiError::TimedOut { call: name.clone() }));
        pass.finish(self.outcome(&answer));
        debug!(
            call = name,
            ms = started.elapsed().as_millis() as u64,
            failure = answer.as_ref().err().map(tracing::field::display),
            "API call"
        );
        answer
    }

    async fn exchange(
        &self,
        call: Call,
        name: &str,
        request_id: &str,
    ) -> Result<Vec<u8>, ApiError> {
        let encoded = call.params.encoded();
        let url = format!("{}/arvados/v1/{}", self.base, call.path);
        let request = match call.verb {
            Verb::Get if encoded.is_empty() => self.http.get(url),
            Verb::Get if encoded.len() < QUERY_LENGTH_MAX => {
                self.http.get(format!("{url}?{encoded}"))
            }
            Verb::Get => self
                .http
                .post(url)
                .header("X-Http-Method-Override", "GET")
                .body(encoded),
            // Said even where it is 0: some proxies insist.
            Verb::Post | Verb::Put => self
                .http
                .request(call.verb.method(), url)
                .header(CONTENT_LENGTH, encoded.len())
                .body(encoded),
        };
        let response = request
            .header(AUTHORIZATION, self.authorization.clone())
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header("X-Request-Id", request_id)
            .send()
            .await
            .map_err(|error| broken(error, name))?;
        match response.status().as_u16() {
            200 | 204 => read_answer(response, name).await,
            status => Err(ApiError::Status {
                status,
                call: name.to_owned(),
                messages: self.messages(response).await,
            }),
        }
    }

    /// The API's own words. A body that is not what the API sends (a proxy's page, nothing at all) is described.
    async fn messages(&self, response: Response) -> Vec<String> {
        #[derive(Deserialize)]
        struct ErrorBody {
            errors: Vec<String>,
        }
        let body = match read_bounded(response, ERROR_BODY_BYTES_MAX).await {
            Ok(body) => body,
            Err(TooBad::TooLong) => return vec!["a long body that is not the API's".to_owned()],
            Err(TooBad::Broken(_)) => return vec!["a body that broke off".to_owned()],
        };
        if body.is_empty() {
            return vec!["no explanation".to_owned()];
        }
        match serde_json::from_slice::<ErrorBody>(&body) {
            Ok(body) => body.errors.iter().map(|text| self.clean(text)).collect(),
            Err(_) => vec![format!(
                "a body of {} bytes that is not the API's",
                body.len()
            )],
        }
    }

    /// A message as we may repeat it.
    fn clean(&self, message: &str) -> String {
        let token = self.token.reveal();
        let message = if token.is_empty() {
            message.to_owned()
        } else {
            message.replace(token, "(secret)")
        };
        message.chars().take(MESSAGE_CHARS_MAX).collect()
    }

    fn outcome(&self, answer: &Result<Vec<u8>, ApiError>) -> Outcome {
        match answer {
            Ok(_) => Outcome::Served,
            Err(ApiError::Status {
                status: 300..=399, ..
            }) => Outcome::Served,
            Err(error) if is_503(error) => {
                *self.last_503.lock().unwrap_or_else(PoisonError::into_inner) =
                    Some(Instant::now());
                self.untold_503.store(true, Ordering::Release);
                Outcome::Overloaded
            }
            Err(_) => Outcome::Other,
        }
    }
}

impl Verb {
    fn method(self) -> Method {
        match self {
            Verb::Get => Method::GET,
            Verb::Post => Method::POST,
            Verb::Put => Method::PUT,
        }
    }
}

/// A 503 from the API, or from a proxy that was asked for a tunnel to it (facts §2.1.2).
fn is_503(error: &ApiError) -> bool {
    match error {
        ApiError::Status { status, .. } => *status == 503,
        ApiError::NotSent { cause, .. } => cause.contains("Service Unavailable"),
        ApiError::Unreachable { .. } | ApiError::TimedOut { .. } | ApiError::Unusable { .. } => {
            false
        }
    }
}

async fn read_answer(response: Response, name: &str) -> Result<Vec<u8>, ApiError> {
    match read_bounded(response, ANSWER_BYTES_MAX).await {
        Ok(body) => Ok(body),
        Err(TooBad::Broken(error)) => Err(broken(error, name)),
        Err(TooBad::TooLong) => Err(ApiError::Unusable {
            call: name.to_owned(),
            cause: format!("it is longer than {} MiB", ANSWER_BYTES_MAX >> 20),
        }),
    }
}

enum TooBad {
    TooLong,
    Broken(reqwest::Error),
}

async fn read_bounded(mut response: Response, bytes_max: usize) -> Result<Vec<u8>, TooBad> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(TooBad::Broken)? {
        if body.len() + chunk.len() > bytes_max {
            return Err(TooBad::TooLong);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// What a failure without an answer says about the call: a connection that never came up has carried nothing.
fn broken(error: reqwest::Error, name: &str) -> ApiError {
    let (call, error) = (name.to_owned(), error.without_url());
    let mut cause = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        cause = format!("{cause}: {inner}");
        source = inner.source();
    }
    if error.is_connect() || error.is_builder() {
        ApiError::NotSent { call, cause }
    } else if error.is_timeout() {
        ApiError::TimedOut { call }
    } else {
        ApiError::Unreachable { call, cause }
    }
}

/// Scheme, host and port of the API: exactly one slash follows, whatever the configuration says (facts Q27).
fn base(controller: &Url) -> Result<String, SetupError> {
    let url = controller.to_string();
    if !matches!(controller.scheme(), "http" | "https") {
        return Err(SetupError::Scheme { url });
    }
    match controller.host_str() {
        Some(host) if !host.is_empty() => Ok(match controller.port() {
            Some(port) => format!("{}://{host}:{port}", controller.scheme()),
            None => format!("{}://{host}", controller.scheme()),
        }),
        _ => Err(SetupError::NoHost { url }),
    }
}

/// A fresh `X-Request-Id`, by which the call can be found in the API's log.
#[expect(
    clippy::disallowed_methods,
    reason = "an id that only has to differ from others; nothing depends on it"
)]
fn request_id() -> String {
    const DIGITS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
    let mut rng = rand::rng();
    let digits = (0..20).map(|_| char::from(DIGITS[rng.random_range(0..DIGITS.len())]));
    "req-".chars().chain(digits).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_exactly_one_slash_after_the_host() {
        for (url, expected) in [
            (
                "https://zzzzz.example.com/",
                Some("https://zzzzz.example.com"),
            ),
            (
                "https://zzzzz.example.com",
                Some("https://zzzzz.example.com"),
            ),
            (
                "https://zzzzz.example.com:8443//",
                Some("https://zzzzz.example.com:8443"),
            ),
            ("http://[::1]:8000/arvados", Some("http://[::1]:8000")),
            ("https://user:pass@h/", Some("https://h")),
            ("ftp://zzzzz.example.com/", None),
            ("unix:/run/api", None),
        ] {
            let url = Url::parse(url).expect("the test's URL");
            assert_eq!(base(&url).ok().as_deref(), expected, "{url}");
        }
    }

    #[test]
    fn request_ids_are_fresh_and_of_the_usual_form() {
        let (one, other) = (request_id(), request_id());
        assert_ne!(one, other);
        assert_eq!(one.len(), 24);
        assert!(
            one[4..]
                .bytes()
                .all(|c| c.is_ascii_digit() || c.is_ascii_lowercase())
        );
    }
}
