//! Why a call to EC2 brought no answer that can be used: what EC2 said, or that nothing was sent, or that nobody knows.

use std::{error::Error, time::Duration};

use aws_sdk_ec2::{
    config::http::HttpResponse,
    error::{DisplayErrorContext, ProvideErrorMetadata, SdkError},
};
use dispatch_model::Time;

/// A failed call.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Failure {
    /// EC2 refused it.
    Said {
        code: Option<String>,
        status: u16,
        message: String,
        /// The header `retry-after`.
        wait: Option<Duration>,
    },
    /// Our own pace forbids it until then.
    Held(Time),
    /// It was certainly not carried out.
    NotSent(String),
    /// It was sent, and nobody knows whether it was carried out.
    Unknown(String),
}

impl Failure {
    pub(crate) fn of<E>(error: SdkError<E, HttpResponse>) -> Failure
    where
        E: Error + ProvideErrorMetadata + Send + Sync + 'static,
    {
        let words = || DisplayErrorContext(&error).to_string();
        match &error {
            SdkError::ServiceError(refusal) => {
                let meta = refusal.err().meta();
                let status = refusal.raw().status().as_u16();
                let wait = refusal.raw().headers().get("retry-after");
                let code = meta.code().map(str::to_owned);
                if code.is_none() && !is_kept_back(status) {
                    // Not EC2's words: something between us and it gave up, or answered in its place.
                    return Failure::Unknown(format!("HTTP status {status} without an error code"));
                }
                Failure::Said {
                    code,
                    status,
                    message: meta.message().unwrap_or_default().to_owned(),
                    wait: wait
                        .and_then(|text| text.parse().ok())
                        .map(Duration::from_secs),
                }
            }
            SdkError::ConstructionFailure(_) => Failure::NotSent(words()),
            SdkError::DispatchFailure(_) | SdkError::TimeoutError(_) if never_left(&words()) => {
                Failure::NotSent(words())
            }
            SdkError::DispatchFailure(_) => Failure::Unknown(words()),
            SdkError::TimeoutError(_) => Failure::Unknown("no answer in time".to_owned()),
            _ => Failure::Unknown(words()),
        }
    }

    /// The error's code, without prefix; "" if it has none.
    pub(crate) fn code(&self) -> &str {
        match self {
            Failure::Said {
                code: Some(code), ..
            } => crate::atlas::bare(code),
            _ => "",
        }
    }
}

/// Whether whatever answers so in place of EC2 says that it passed nothing on: a request it does not take, a password
/// that is wanted, a limit of its own. A proxy that gave up waiting (408, 499) does not know.
fn is_kept_back(status: u16) -> bool {
    matches!(
        status,
        400 | 401 | 403 | 404 | 405 | 407 | 413 | 414 | 429 | 431
    )
}

/// Whether the connection was never made, or the request never signed, by the words of the causes: the SDK's types do
/// not tell.
fn never_left(words: &str) -> bool {
    [
        "client error (Connect)",
        "tcp connect error",
        "Connection refused",
        "ConnectionRefused",
        "dns error",
        "HTTP connect timeout",
        "credential",
    ]
    .iter()
    .any(|sign| words.contains(sign))
}
