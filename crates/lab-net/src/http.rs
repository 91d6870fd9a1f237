//! HTTP/1.1 servers whose answers may also be late, lost or never given.

use std::{convert::Infallible, future::Future, pin::Pin, sync::Arc, time::Duration};

use bytes::Bytes;
use dispatch_lab::When;
use http::{Request, Response};
use http_body_util::{BodyExt, Full, Limited};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;

/// Larger requests are refused.
const BODY_MAX_BYTES: usize = 64 << 20;
/// How long a client may take for its headers or its TLS handshake.
const PATIENCE: Duration = Duration::from_secs(30);

/// An answer, and when it is given.
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) content_type: &'static str,
    pub(crate) body: Vec<u8>,
    pub(crate) when: When,
}

impl Reply {
    /// JSON, at once.
    pub(crate) fn json(status: u16, body: &serde_json::Value) -> Reply {
        Reply {
            status,
            content_type: "application/json",
            body: body.to_string().into_bytes(),
            when: When::After(0),
        }
    }
}

/// Headers beside the content type.
pub(crate) type Headers = Vec<(&'static str, String)>;

/// Answers one request.
pub(crate) type Handler = Arc<dyn Fn(Request<Bytes>) -> Reply + Send + Sync>;

/// Answers one request, with headers.
pub(crate) type HandlerWithHeaders = Arc<dyn Fn(Request<Bytes>) -> (Reply, Headers) + Send + Sync>;

/// Serves until it is dropped, connections included.
pub(crate) async fn serve(listener: TcpListener, tls: Option<TlsAcceptor>, handler: Handler) {
    let handler = Arc::new(move |request| (handler(request), Headers::new()));
    serve_with_headers(listener, tls, handler).await;
}

/// Serves until it is dropped, connections included.
pub(crate) async fn serve_with_headers(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    handler: HandlerWithHeaders,
) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(connection(stream, tls.clone(), handler.clone()));
                }
                // Out of file descriptors, most likely: wait for some connection to end.
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn connection(stream: TcpStream, tls: Option<TlsAcceptor>, handler: HandlerWithHeaders) {
    let _ = stream.set_nodelay(true);
    match tls {
        None => exchange(stream, handler).await,
        Some(tls) => {
            if let Ok(Ok(stream)) = tokio::time::timeout(PATIENCE, tls.accept(stream)).await {
                exchange(stream, handler).await;
            }
        }
    }
}

type Exchange = Pin<Box<dyn Future<Output = Result<Response<Full<Bytes>>, Lost>> + Send>>;

/// The answer is lost: the connection ends without one.
#[derive(Debug, thiserror::Error)]
#[error("the lab loses this answer")]
struct Lost;

impl From<Infallible> for Lost {
    fn from(never: Infallible) -> Lost {
        match never {}
    }
}

async fn exchange<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: S,
    handler: HandlerWithHeaders,
) {
    let service = service_fn(move |request: Request<Incoming>| -> Exchange {
        let handler = handler.clone();
        Box::pin(answer(request, handler))
    });
    let served = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        tracing::trace!(%error, "a connection ended");
    }
}

async fn answer(
    request: Request<Incoming>,
    handler: HandlerWithHeaders,
) -> Result<Response<Full<Bytes>>, Lost> {
    let (parts, body) = request.into_parts();
    let Ok(body) = Limited::new(body, BODY_MAX_BYTES).collect().await else {
        return Ok(response(413, "text/plain", b"request too large\n".to_vec()));
    };
    let (reply, headers) = handler(Request::from_parts(parts, body.to_bytes()));
    match reply.when {
        When::After(0) => {}
        When::After(ms) => tokio::time::sleep(Duration::from_millis(ms)).await,
        When::Cut(ms) => {
            tokio::time::sleep(Duration::from_millis(ms)).await;
            return Err(Lost);
        }
        // Ends when the client does.
        When::Never => std::future::pending().await,
    }
    let mut response = response(reply.status, reply.content_type, reply.body);
    for (name, value) in headers {
        if let Ok(value) = http::HeaderValue::from_str(&value) {
            response.headers_mut().append(name, value);
        }
    }
    Ok(response)
}

fn response(status: u16, content_type: &'static str, body: Vec<u8>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() =
        http::StatusCode::from_u16(status).unwrap_or(http::StatusCode::INTERNAL_SERVER_ERROR);
    if !content_type.is_empty() {
        let value = http::HeaderValue::from_static(content_type);
        response
            .headers_mut()
            .insert(http::header::CONTENT_TYPE, value);
    }
    response
}
