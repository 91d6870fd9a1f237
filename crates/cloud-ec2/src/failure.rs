//! Why a call to EC2 brought no answer that can be used: what EC2 said, or that nothing was sent, or that nobody knows.

use std::{cell::Cell, error::Error, future::Future, time::Duration};

use aws_sdk_ec2::{
    config::{
        ConfigBag, Intercept, RuntimeComponents, http::HttpResponse,
        interceptors::BeforeTransmitInterceptorContextRef,
    },
    error::{BoxError, ProvideErrorMetadata, SdkError},
};
use dispatch_model::Time;

use crate::{atlas::shortened, http::was_not_sent};

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

tokio::task_local! {
    /// Whether the call under way has been signed and given to the connection.
    static HANDED_OVER: Cell<bool>;
}

/// Makes one call; what is not handed over, for want of credentials, say, is not sent.
pub(crate) async fn sent<T, E>(
    send: impl Future<Output = Result<T, SdkError<E, HttpResponse>>>,
) -> Result<T, Failure>
where
    E: Error + ProvideErrorMetadata + Send + Sync + 'static,
{
    let call = async {
        send.await
            .map_err(|error| match HANDED_OVER.with(Cell::get) {
                true => Failure::of(error),
                false => Failure::NotSent(words_of(&error)),
            })
    };
    HANDED_OVER.scope(Cell::new(false), call).await
}

/// Notes that a call is handed over.
#[derive(Debug)]
pub(crate) struct HandedOver;

impl Intercept for HandedOver {
    fn name(&self) -> &'static str {
        "HandedOver"
    }

    fn read_before_transmit(
        &self,
        _context: &BeforeTransmitInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        _bag: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        // Whoever calls without `sent` does not ask.
        let _ = HANDED_OVER.try_with(|handed_over| handed_over.set(true));
        Ok(())
    }
}

impl Failure {
    fn of<E>(error: SdkError<E, HttpResponse>) -> Failure
    where
        E: Error + ProvideErrorMetadata + Send + Sync + 'static,
    {
        let words = || words_of(&error);
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
            SdkError::DispatchFailure(failure)
                if failure.is_user()
                    || (failure.as_connector_error()).is_some_and(|error| was_not_sent(error)) =>
            {
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

/// An error and its causes, without their `Debug` forms: those have whole answers in them, with the secrets of all
/// instances.
fn words_of(error: &(dyn Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |&error| error.source());
    let words: Vec<String> = causes.map(ToString::to_string).collect();
    shortened(&words.join(": "))
}

/// Whether whatever answers so in place of EC2 says that it passed nothing on: a request it does not take, a password
/// that is wanted, a limit of its own. A proxy that gave up waiting (408, 499) does not know.
fn is_kept_back(status: u16) -> bool {
    matches!(
        status,
        400 | 401 | 403 | 404 | 405 | 407 | 413 | 414 | 429 | 431
    )
}
