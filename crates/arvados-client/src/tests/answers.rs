//! What is made of good and bad answers, and of none.

use std::time::Duration;

use serde_json::json;
use tokio::{io::AsyncWriteExt, net::TcpListener, time::Instant};

use super::{
    TOKEN, client, id,
    server::{Answer, Api},
    settings, soon,
};
use crate::{ApiError, Client, SetupError, Token};

async fn lock_error(answer: impl Fn() -> Answer + Send + Sync + 'static) -> (ApiError, Client) {
    let api = Api::serve(move |_| answer()).await;
    let client = client(&api.url());
    let error = client.lock(&id(1), soon()).await.expect_err("a failure");
    assert_eq!(api.seen().len(), 1, "exactly one attempt");
    (error, client)
}

#[tokio::test]
async fn anything_but_200_is_an_error_with_the_apis_words() {
    for (status, body, expected) in [
        (
            422,
            r#"{"errors":["cannot lock when Locked (req-x)","twice"],"error_token":"1+2"}"#,
            "cannot lock when Locked (req-x); twice",
        ),
        (403, r#"{"errors":["Forbidden"]}"#, "Forbidden"),
        (503, "", "no explanation"),
        (
            502,
            "<html>Bad gateway</html>",
            "a body of 24 bytes that is not the API's",
        ),
        (
            500,
            r#"{"errors":7}"#,
            "a body of 12 bytes that is not the API's",
        ),
        (201, "{}", "a body of 2 bytes that is not the API's"),
        // Redirects are not followed.
        (302, "", "no explanation"),
    ] {
        let (error, _) = lock_error(move || Answer::Status(status, body)).await;
        assert_eq!(error.status(), Some(status));
        let text = error.to_string();
        let head = format!(
            "the API answered {status} to POST /arvados/v1/containers/{}/lock (req-",
            id(1)
        );
        assert!(text.starts_with(&head), "{text}");
        assert!(text.ends_with(&format!("): {expected}")), "{text}");
    }
}

#[tokio::test]
async fn the_latest_503_is_remembered() {
    let before = Instant::now();
    let (_, client) = lock_error(|| Answer::Status(503, "")).await;
    assert!(client.last_503().is_some_and(|at| at >= before));
    assert!(client.take_news_of_503());
    assert!(!client.take_news_of_503(), "each is told once");
    let (_, client) = lock_error(|| Answer::Status(500, "")).await;
    assert_eq!(client.last_503(), None);
}

#[tokio::test]
async fn answers_that_cannot_be_understood_are_told_apart() {
    for body in ["", "<html>", r#"{"state":"#] {
        let (error, _) = lock_error(move || Answer::Status(200, body)).await;
        assert!(matches!(error, ApiError::Unusable { .. }), "{error}");
    }
    let api = Api::serve(|_| Answer::Json(json!({"items": 7}))).await;
    let error = client(&api.url())
        .mounts(&[id(1)], soon())
        .await
        .expect_err("a failure");
    assert!(matches!(error, ApiError::Unusable { .. }), "{error}");
}

#[tokio::test]
async fn answers_without_end_are_cut() {
    let (error, _) = lock_error(|| Answer::Long((64 << 20) + 1)).await;
    assert!(
        error.to_string().ends_with("it is longer than 64 MiB"),
        "{error}"
    );
}

#[tokio::test]
async fn silence_ends_at_the_deadline_with_an_unknown_outcome() {
    let api = Api::serve(|_| Answer::Silence).await;
    let deadline = Instant::now() + Duration::from_millis(100);
    let error = client(&api.url())
        .lock(&id(1), deadline)
        .await
        .expect_err("a failure");
    assert!(matches!(error, ApiError::TimedOut { .. }), "{error}");
}

#[tokio::test]
async fn a_call_that_waits_too_long_for_its_turn_is_not_sent() {
    let api = Api::serve(|_| Answer::Silence).await;
    let mut settings = settings(&api.url());
    settings.server_max_concurrent_requests = 4;
    let client = Client::new(&settings).expect("a client");
    let deadline = Instant::now() + Duration::from_millis(200);
    let (first_id, second_id) = (id(1), id(2));
    let first = client.lock(&first_id, deadline + Duration::from_millis(200));
    let second = client.lock(&second_id, deadline);
    let (first, second) = tokio::join!(first, second);
    assert!(matches!(first, Err(ApiError::TimedOut { .. })), "{first:?}");
    assert!(
        matches!(second, Err(ApiError::NotSent { .. })),
        "{second:?}"
    );
    assert_eq!(api.seen().len(), 1);
}

#[tokio::test]
async fn who_is_not_there_was_sent_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    drop(listener);
    let client = client(&format!("http://127.0.0.1:{port}/"));
    let error = client.lock(&id(1), soon()).await.expect_err("a failure");
    assert!(matches!(error, ApiError::NotSent { .. }), "{error}");
}

#[tokio::test]
async fn a_connection_that_breaks_leaves_the_outcome_open() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let server = async {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        let part = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{";
        stream.write_all(part).await.expect("half an answer");
        stream.shutdown().await.expect("the end");
    };
    let client = client(&format!("http://127.0.0.1:{port}/"));
    let id = id(1);
    let (error, ()) = tokio::join!(client.lock(&id, soon()), server);
    let error = error.expect_err("a failure");
    assert!(matches!(error, ApiError::Unreachable { .. }), "{error}");
}

#[tokio::test]
async fn the_token_is_nowhere_to_be_read() {
    let (error, client) = lock_error(|| {
        Answer::Status(
            401,
            r#"{"errors":["Bearer thetokenthatnobodymaysee is not valid"]}"#,
        )
    })
    .await;
    let shown = format!("{error} {error:?} {client:?} {:?}", settings("http://h/"));
    assert!(!shown.contains(TOKEN), "{shown}");
    assert!(shown.contains("Bearer (secret) is not valid"));
}

#[test]
fn settings_that_cannot_work_are_refused_with_the_remedy() {
    let refused = |url: &str, token: &str, dial: Option<&str>| {
        let mut settings = settings(url);
        settings.token = Token::new(token);
        settings.dial_instead = dial.map(str::to_owned);
        Client::new(&settings).expect_err("a refusal")
    };
    assert!(matches!(
        refused("ftp://h/", "t", None),
        SetupError::Scheme { .. }
    ));
    assert!(matches!(
        refused("http://h/", "two\nlines", None),
        SetupError::Token
    ));
    let error = refused("http://127.0.0.1/", "t", Some("10.0.0.1"));
    assert!(
        error.to_string().contains("unset ARVADOS_SERVER_ADDRESS"),
        "{error}"
    );
}

#[tokio::test]
async fn connections_can_be_diverted_to_another_address() {
    let api = Api::serve(|_| Answer::Json(json!({"state": "Locked"}))).await;
    let mut settings = settings(&format!("http://zzzzz.example.invalid:{}/", api.port));
    settings.dial_instead = Some("127.0.0.1".to_owned());
    let client = Client::new(&settings).expect("a client");
    client.lock(&id(1), soon()).await.expect("a lock");
    assert_eq!(
        api.seen()[0].headers["host"],
        format!("zzzzz.example.invalid:{}", api.port)
    );
}
