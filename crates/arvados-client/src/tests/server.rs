//! An API that answers what a test tells it to, and remembers what it was asked.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Request, Response, body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;

/// One request, as the API saw it.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) query: String,
    /// From the query or the body, whichever there was.
    pub(super) params: BTreeMap<String, String>,
    pub(super) headers: BTreeMap<String, String>,
}

/// What to answer.
pub(super) enum Answer {
    Json(Value),
    Status(u16, &'static str),
    Long(usize),
    /// Nothing, ever.
    Silence,
}

pub(super) struct Api {
    pub(super) port: u16,
    seen: Arc<Mutex<Vec<Seen>>>,
    /// Ends with the test.
    _serving: JoinSet<()>,
}

impl Api {
    pub(super) async fn serve(answer: impl Fn(&Seen) -> Answer + Send + Sync + 'static) -> Api {
        Api::start(answer, None).await
    }

    pub(super) async fn serve_tls(
        acceptor: TlsAcceptor,
        answer: impl Fn(&Seen) -> Answer + Send + Sync + 'static,
    ) -> Api {
        Api::start(answer, Some(acceptor)).await
    }

    async fn start(
        answer: impl Fn(&Seen) -> Answer + Send + Sync + 'static,
        acceptor: Option<TlsAcceptor>,
    ) -> Api {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let answer = Arc::new(answer);
        let mut serving = JoinSet::new();
        let log = Arc::clone(&seen);
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.expect("a connection");
                let (answer, log, acceptor) = (answer.clone(), log.clone(), acceptor.clone());
                connections.spawn(async move {
                    match acceptor {
                        None => talk(stream, answer, log).await,
                        Some(acceptor) => {
                            if let Ok(stream) = acceptor.accept(stream).await {
                                talk(stream, answer, log).await;
                            }
                        }
                    }
                });
            }
        });
        Api {
            port,
            seen,
            _serving: serving,
        }
    }

    pub(super) fn url(&self) -> String {
        format!("http://127.0.0.1:{}/", self.port)
    }

    pub(super) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().expect("no panic").clone()
    }
}

async fn talk<S, F>(stream: S, answer: Arc<F>, log: Arc<Mutex<Vec<Seen>>>)
where
    S: AsyncRead + AsyncWrite + Unpin,
    F: Fn(&Seen) -> Answer,
{
    let service = service_fn(|request: Request<Incoming>| async {
        let seen = see(request).await;
        let answer = answer(&seen);
        log.lock().expect("no panic").push(seen);
        let (status, body) = match answer {
            Answer::Json(value) => (200, Bytes::from(value.to_string())),
            Answer::Status(status, body) => (status, Bytes::from_static(body.as_bytes())),
            Answer::Long(bytes) => (200, Bytes::from(vec![b' '; bytes])),
            Answer::Silence => std::future::pending().await,
        };
        let mut response = Response::new(Full::new(body));
        *response.status_mut() = status.try_into().expect("a status");
        response.headers_mut().insert(
            "Location",
            "/arvados/v1/elsewhere".parse().expect("a header"),
        );
        Ok::<_, Infallible>(response)
    });
    // A client that goes away in the middle is part of the tests.
    let _ = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

async fn see(request: Request<Incoming>) -> Seen {
    let (head, body) = request.into_parts();
    let body = body.collect().await.expect("a body").to_bytes();
    let query = head.uri.query().unwrap_or_default().to_owned();
    let encoded = if query.is_empty() {
        body.as_ref()
    } else {
        query.as_bytes()
    };
    Seen {
        method: head.method.to_string(),
        path: head.uri.path().to_owned(),
        params: url::form_urlencoded::parse(encoded).into_owned().collect(),
        headers: head
            .headers
            .iter()
            .map(|(name, value)| {
                let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
                (name.to_string(), value)
            })
            .collect(),
        query,
    }
}
