//! Listens, bounds connections, headers, bodies and time, and answers.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{HeaderValue, Request, StatusCode};
use http_body_util::{BodyExt, Limited};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use rand::RngExt;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
    task::JoinSet,
};

use crate::{
    answer::{self, Answer},
    auth::Token,
    backend::{Backend, RequestRecord},
    limiter::{Limiter, Load},
    parameters,
    router::{self, Ask},
    tls::Tls,
    wire,
};

/// Connections that may be open at once; more wait in the kernel.
const MAX_CONNECTIONS: usize = 512;
/// Bytes of a form: an instance id and a reason.
const MAX_BODY_BYTES: usize = 64 * 1024;
/// How long a client may take to send a request's head, and its body.
const SEND_TIMEOUT: Duration = Duration::from_secs(15);
/// As long as that, and a handshake, when half of the places are taken: whoever says nothing then makes way for those
/// who ask for health or metrics, which is known only once they have asked.
const CROWDED_TIMEOUT: Duration = Duration::from_secs(2);
/// How long requests under way get to finish when the server stops.
const STOP_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a TLS handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// How to serve.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `ManagementToken`; "" closes everything.
    pub token: Token,
    /// `API.MaxConcurrentRequests`.
    pub max_concurrent: usize,
    /// `API.MaxQueuedRequests`.
    pub max_queued: usize,
    /// `API.RequestTimeout`.
    pub request_timeout: Duration,
}

/// One address to listen at.
pub struct Listen {
    /// host:port, such as "0.0.0.0:9006".
    pub address: String,
    /// With TLS, if the URL says https.
    pub tls: Option<Arc<Tls>>,
}

/// The server cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// None of the addresses could be bound.
    #[error("cannot listen at {address}: {source}")]
    Bind {
        /// The address.
        address: String,
        /// The system's words.
        source: std::io::Error,
    },
}

/// A bound server, not yet serving.
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    tls: Option<Arc<Tls>>,
    /// Connections that may be open at once.
    places: usize,
    shared: Arc<Shared>,
}

struct Shared {
    token: Token,
    request_timeout: Duration,
    limiter: Arc<Limiter>,
    backend: Arc<dyn Backend>,
}

impl Server {
    /// Binds the address.
    pub async fn bind(
        listen: Listen,
        settings: Settings,
        backend: Arc<dyn Backend>,
    ) -> Result<Server, ServerError> {
        let bind_error = |source| ServerError::Bind {
            address: listen.address.clone(),
            source,
        };
        let listener = TcpListener::bind(&listen.address)
            .await
            .map_err(bind_error)?;
        let address = listener.local_addr().map_err(bind_error)?;
        let limiter = Limiter::new(settings.max_concurrent, settings.max_queued);
        let shared = Shared {
            token: settings.token,
            request_timeout: settings.request_timeout,
            limiter,
            backend,
        };
        Ok(Server {
            listener,
            address,
            tls: listen.tls,
            places: MAX_CONNECTIONS,
            shared: Arc::new(shared),
        })
    }

    /// Where it listens, the port filled in.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// A way to ask how busy the server is.
    #[expect(
        clippy::disallowed_methods,
        reason = "the age of requests is for people, nothing is decided by it"
    )]
    pub fn load(&self) -> impl Fn() -> Load + Send + Sync + use<> {
        let limiter = Arc::clone(&self.shared.limiter);
        move || limiter.load(Instant::now())
    }

    /// Serves until `stop` becomes true, then gives requests under way two seconds to finish.
    pub async fn run(self, mut stop: watch::Receiver<bool>) {
        let slots = Arc::new(Semaphore::new(self.places));
        let mut connections = JoinSet::new();
        let mut should_stop = stop.clone();
        loop {
            let slot = tokio::select! {
                biased;
                () = stopped(&mut should_stop) => break,
                slot = Arc::clone(&slots).acquire_owned() => slot,
                Some(_) = connections.join_next() => continue,
            };
            let accepted = tokio::select! {
                biased;
                () = stopped(&mut stop) => break,
                accepted = self.listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, remote)) => {
                    let (shared, tls, stop) =
                        (Arc::clone(&self.shared), self.tls.clone(), stop.clone());
                    let patience = if slots.available_permits() >= self.places / 2 {
                        SEND_TIMEOUT
                    } else {
                        CROWDED_TIMEOUT
                    };
                    connections.spawn(async move {
                        serve(stream, remote, tls, patience, shared, stop).await;
                        drop(slot);
                    });
                }
                Err(error) => {
                    // Out of descriptors, most likely: let some close before trying again.
                    tracing::warn!(%error, "cannot accept a connection to the management API");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
        drop(self.listener);
        let _ = tokio::time::timeout(STOP_TIMEOUT, async {
            while connections.join_next().await.is_some() {}
        })
        .await;
    }
}

/// Waits until `stop` is true or nobody can set it any more.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

async fn serve(
    stream: TcpStream,
    remote: SocketAddr,
    tls: Option<Arc<Tls>>,
    patience: Duration,
    shared: Arc<Shared>,
    mut stop: watch::Receiver<bool>,
) {
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request| {
        let shared = Arc::clone(&shared);
        async move { Ok::<_, Infallible>(respond(request, remote, &shared).await) }
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(patience)
        .max_buf_size(64 * 1024);
    macro_rules! drive {
        ($io:expr) => {{
            let mut connection = std::pin::pin!(http.serve_connection(TokioIo::new($io), service));
            tokio::select! {
                result = connection.as_mut() => result,
                () = stopped(&mut stop) => {
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            }
        }};
    }
    let result = match tls {
        None => drive!(stream),
        Some(tls) => {
            let patience = patience.min(HANDSHAKE_TIMEOUT);
            match tokio::time::timeout(patience, tls.acceptor().accept(stream)).await {
                Ok(Ok(stream)) => drive!(stream),
                Ok(Err(error)) => return tracing::debug!(%remote, %error, "TLS handshake failed"),
                Err(_) => return tracing::debug!(%remote, "TLS handshake timed out"),
            }
        }
    };
    if let Err(error) = result {
        tracing::debug!(%remote, %error, "a connection to the management API ended early");
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "durations of requests are for log and metrics, nothing is decided by them"
)]
async fn respond(request: Request<Incoming>, remote: SocketAddr, shared: &Arc<Shared>) -> Answer {
    let began = Instant::now();
    let (head, body) = request.into_parts();
    let path = head.uri.path().to_owned();
    let request_id = request_id(&head.headers);
    let limited = !router::is_exempt(&path);
    let mut queued = Duration::ZERO;
    let mut gave_up = false;
    let mut answer = {
        let query = parameters::parse(head.uri.query().unwrap_or(""));
        let ask = Ask {
            method: &head.method,
            path: &path,
            query: &query,
            headers: &head.headers,
        };
        if limited {
            let record = wire::RequestUnderWay {
                request_id: request_id.clone(),
                method: head.method.to_string(),
                path: path.clone(),
                elapsed: 0.0,
            };
            let work = async {
                let _turn = shared.limiter.turn(record, began).await?;
                queued = began.elapsed();
                Some(answer(&ask, body, shared).await)
            };
            match tokio::time::timeout(shared.request_timeout, work).await {
                Ok(Some(answer)) => answer,
                Ok(None) | Err(_) => {
                    gave_up = true;
                    answer::empty(StatusCode::SERVICE_UNAVAILABLE)
                }
            }
        } else {
            answer(&ask, body, shared).await
        }
    };
    if let Ok(value) = HeaderValue::from_str(&request_id) {
        answer.headers_mut().insert("x-request-id", value);
    }
    shared.backend.answered(RequestRecord {
        request_id,
        method: head.method.to_string(),
        path,
        remote: remote.to_string(),
        status: answer.status().as_u16(),
        body_bytes: hyper::body::Body::size_hint(answer.body())
            .exact()
            .unwrap_or(0) as usize,
        queued,
        total: began.elapsed(),
        gave_up,
        limited,
    });
    answer
}

async fn answer(ask: &Ask<'_>, body: Incoming, shared: &Arc<Shared>) -> Answer {
    if let Some(answer) =
        router::without_body(ask, &shared.token, &*shared.backend, &shared.limiter)
    {
        return answer;
    }
    let form = match tokio::time::timeout(
        SEND_TIMEOUT,
        Limited::new(body, MAX_BODY_BYTES).collect(),
    )
    .await
    {
        Ok(Ok(collected)) => collected.to_bytes(),
        Ok(Err(_)) => {
            return answer::error(
                StatusCode::PAYLOAD_TOO_LARGE,
                format!("the form cannot be read, or has more than {MAX_BODY_BYTES} bytes"),
            );
        }
        Err(_) => {
            return answer::error(
                StatusCode::REQUEST_TIMEOUT,
                "the form did not arrive in time",
            );
        }
    };
    let mut parameters = parameters::parse(&text(&form));
    parameters.extend(ask.query.iter().cloned());
    router::with_form(ask.path, &parameters, &shared.backend).await
}

fn text(bytes: &Bytes) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The client's request id if it has one that can be logged, else a fresh one.
#[expect(
    clippy::disallowed_methods,
    reason = "an id for logs; nothing is decided by it"
)]
fn request_id(headers: &http::HeaderMap) -> String {
    const ALPHABET: &[u8] = b"0123456789abcdefghijklmnopqrstuvwxyz";
    let given = headers
        .get("x-request-id")
        .and_then(|value| value.to_str().ok());
    if let Some(given) = given
        .filter(|id| id.len() <= 64 && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'))
    {
        return given.to_owned();
    }
    let mut rng = rand::rng();
    let random = (0..20).map(|_| char::from(ALPHABET[rng.random_range(0..ALPHABET.len())]));
    std::iter::once("req-".to_owned())
        .chain(random.map(String::from))
        .collect()
}

#[cfg(test)]
mod tests;
