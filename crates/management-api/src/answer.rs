//! The few shapes of answers.

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::Full;
use serde::Serialize;

use crate::wire;

/// A whole answer.
pub(crate) type Answer = Response<Full<Bytes>>;

const NOSNIFF: (&str, HeaderValue) = (
    "x-content-type-options",
    HeaderValue::from_static("nosniff"),
);

/// 200 with JSON and a line end.
pub(crate) fn json(value: &impl Serialize) -> Answer {
    let mut body = serde_json::to_vec(value).unwrap_or_else(|error| {
        tracing::error!(%error, "an answer could not be written as JSON");
        br#"{"errors":["internal error"]}"#.to_vec()
    });
    body.push(b'\n');
    with_type(StatusCode::OK, "application/json", body)
}

/// 200 without a body.
pub(crate) fn done() -> Answer {
    Response::new(Full::default())
}

/// 200 with a body of this type.
pub(crate) fn body(content_type: &'static str, body: String) -> Answer {
    with_type(StatusCode::OK, content_type, body.into_bytes())
}

/// A refusal in plain text.
pub(crate) fn text(status: StatusCode, text: &str) -> Answer {
    let mut answer = with_type(
        status,
        "text/plain; charset=utf-8",
        format!("{text}\n").into_bytes(),
    );
    answer.headers_mut().insert(NOSNIFF.0, NOSNIFF.1);
    answer
}

/// A refusal as `{"errors": ["…"]}`.
pub(crate) fn error(status: StatusCode, message: impl Into<String>) -> Answer {
    let mut answer = json(&wire::Errors {
        errors: vec![message.into()],
    });
    *answer.status_mut() = status;
    answer.headers_mut().insert(NOSNIFF.0, NOSNIFF.1);
    answer
}

/// A refusal without a body.
pub(crate) fn empty(status: StatusCode) -> Answer {
    let mut answer = done();
    *answer.status_mut() = status;
    answer
}

fn with_type(status: StatusCode, content_type: &'static str, body: Vec<u8>) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::from(body)));
    *answer.status_mut() = status;
    answer
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer
}
