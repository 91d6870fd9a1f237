//! How calls get to AWS. The SDK's own HTTP client cannot be told what becomes of a call that was sent into a cut line: the
//! kernel would go on with it for minutes, and end an instance that another dispatcher works with by then.

use std::{
    collections::BTreeMap,
    error::Error,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use aws_sdk_ec2::config::{
    HttpClient, RuntimeComponents,
    http::{HttpRequest, HttpResponse},
};
use aws_smithy_runtime_api::client::{
    http::{HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector},
    result::ConnectorError,
};
use http_body_util::BodyExt as _;
use reqwest::Client;

/// For so long the kernel tries to bring what was sent across a line that does not answer: no longer than until another
/// dispatcher may act.
const UNACKNOWLEDGED_WITHIN: Duration = Duration::from_secs(5);
/// The largest answer that is read: a page of a list is ten times smaller.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// The HTTP client: EC2's, and that of whoever gives credentials. Deadlines are the SDK's.
#[derive(Default, Debug)]
pub(crate) struct Http {
    /// By how long a connection may take: one that is kept serves whoever waits as long.
    clients: Mutex<BTreeMap<Option<Duration>, Result<Client, String>>>,
}

impl HttpClient for Http {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        _components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        let within = settings.connect_timeout();
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        let client = clients.entry(within).or_insert_with(|| client(within));
        SharedHttpConnector::new(Connector {
            client: client.clone(),
            answered_within: settings.read_timeout(),
        })
    }
}

/// Whether the call was certainly not sent: there was no connection, since it was refused, or not made in time, or the name
/// was not found; or what should be sent is no request.
pub(crate) fn was_not_sent(error: &(dyn Error + 'static)) -> bool {
    std::iter::successors(Some(error), |&error| error.source())
        .filter_map(|error| error.downcast_ref::<reqwest::Error>())
        .any(|error| error.is_connect() || error.is_builder())
}

fn client(connected_within: Option<Duration>) -> Result<Client, String> {
    let mut builder = Client::builder()
        .tcp_user_timeout(UNACKNOWLEDGED_WITHIN)
        // Both are for others to decide (facts E7).
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .referer(false);
    if let Some(within) = connected_within {
        builder = builder.connect_timeout(within);
    }
    builder
        .build()
        .map_err(|error| format!("cannot make HTTP requests: {error}"))
}

/// What makes the calls of one client.
#[derive(Clone, Debug)]
struct Connector {
    client: Result<Client, String>,
    /// How long an answer may take to begin, if the SDK says so.
    answered_within: Option<Duration>,
}

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        HttpConnectorFuture::new(self.clone().send(request))
    }
}

impl Connector {
    async fn send(self, request: HttpRequest) -> Result<HttpResponse, ConnectorError> {
        let client = self
            .client
            .map_err(|words| ConnectorError::user(words.into()))?;
        let request = request
            .try_into_http1x()
            .map_err(|error| ConnectorError::user(error.into()))?;
        let (head, body) = request.into_parts();
        // The SDK watches whether it is taken, and would think that nobody listens.
        let body = body.collect().await.map_err(ConnectorError::user)?;
        let request = http::Request::from_parts(head, body.to_bytes());
        let request = reqwest::Request::try_from(request).map_err(failure)?;
        let sent = client.execute(request);
        let answered = match self.answered_within {
            None => sent.await,
            Some(within) => tokio::time::timeout(within, sent)
                .await
                .map_err(|late| ConnectorError::timeout(late.into()))?,
        };
        let mut answer = answered.map_err(failure)?;
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(failure)? {
            if body.len() + chunk.len() > ANSWER_BYTES_MAX {
                let words = format!("the answer has more than {ANSWER_BYTES_MAX} bytes");
                return Err(ConnectorError::other(words.into(), None));
            }
            body.extend_from_slice(&chunk);
        }
        let mut whole = HttpResponse::new(answer.status().into(), body.into());
        for (name, value) in answer.headers() {
            if let Ok(value) = value.to_str() {
                let (name, value) = (name.as_str().to_owned(), value.to_owned());
                // Whatever cannot be a header there, nobody reads.
                let _ = whole.headers_mut().try_append(name, value);
            }
        }
        Ok(whole)
    }
}

/// In the classes of the SDK. The URL may have a secret in it, where credentials are asked for.
fn failure(error: reqwest::Error) -> ConnectorError {
    let error = error.without_url();
    if error.is_builder() {
        ConnectorError::user(error.into())
    } else if error.is_timeout() {
        ConnectorError::timeout(error.into())
    } else {
        ConnectorError::io(error.into())
    }
}
