//! The server against a backend that remembers what it was asked, over real connections.

use std::sync::Mutex;

use async_trait::async_trait;
use dispatch_model::{ContainerId, IdleBehavior, InstanceId, WorkerState};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::Notify,
};

use super::*;
use crate::NotFound;

const TOKEN: &str = "aaaabbbbccccddddeeeeffffgggghhhhiiii";

#[derive(Default)]
struct Fake {
    wishes: Mutex<Vec<String>>,
    records: Mutex<Vec<RequestRecord>>,
    sick: bool,
    /// While set, questions about instances wait for this.
    gate: Option<Arc<Notify>>,
}

impl Fake {
    fn wish(&self, known: bool, wish: String) -> Result<(), NotFound> {
        if !known {
            return Err(NotFound);
        }
        self.wishes.lock().expect("not poisoned").push(wish);
        Ok(())
    }
}

#[async_trait]
impl Backend for Fake {
    fn containers(&self) -> Vec<wire::Container> {
        vec![]
    }

    fn container(&self, _: &ContainerId) -> Option<wire::Container> {
        None
    }

    fn instances(&self) -> Vec<wire::Instance> {
        vec![wire::Instance {
            instance: "i-1".to_owned(),
            address: "127.10.1.2".to_owned(),
            price: 0.1,
            arvados_instance_type: "small".to_owned(),
            provider_instance_type: "m5.small".to_owned(),
            last_container_uuid: String::new(),
            last_busy: "2026-11-22T11:31:36.285441362Z".to_owned(),
            running_container_uuids: Some(vec![]),
            worker_state: WorkerState::Booting,
            idle_behavior: IdleBehavior::Run,
            remark: None,
            image: None,
        }]
    }

    async fn kill_container(&self, id: ContainerId, reason: String) -> Result<(), NotFound> {
        if let Some(gate) = &self.gate {
            gate.notified().await;
        }
        self.wish(id.as_str() == "c-1", format!("kill {id}: {reason}"))
    }

    async fn set_idle_behavior(
        &self,
        id: InstanceId,
        behavior: IdleBehavior,
    ) -> Result<(), NotFound> {
        self.wish(id.as_str() == "/sub/i 1", format!("{behavior} {id}"))
    }

    async fn kill_instance(&self, id: InstanceId, reason: String) -> Result<(), NotFound> {
        self.wish(id.as_str() == "/sub/i 1", format!("destroy {id}: {reason}"))
    }

    fn metrics_text(&self) -> String {
        "m 1\n".to_owned()
    }

    fn metrics_json(&self) -> serde_json::Value {
        serde_json::json!([])
    }

    fn health(&self) -> Result<(), String> {
        if self.sick {
            Err("the queue has not been polled for 90 s".to_owned())
        } else {
            Ok(())
        }
    }

    fn answered(&self, record: RequestRecord) {
        self.records.lock().expect("not poisoned").push(record);
    }
}

struct Served {
    url: String,
    fake: Arc<Fake>,
    stop: watch::Sender<bool>,
    task: tokio::task::JoinHandle<()>,
    load: Box<dyn Fn() -> Load + Send + Sync>,
}

async fn serve_with(fake: Fake, token: &str, max_concurrent: usize, max_queued: usize) -> Served {
    serve_at(fake, token, max_concurrent, max_queued, MAX_CONNECTIONS).await
}

async fn serve_at(
    fake: Fake,
    token: &str,
    max_concurrent: usize,
    max_queued: usize,
    places: usize,
) -> Served {
    let fake = Arc::new(fake);
    let settings = Settings {
        token: Token::new(token),
        max_concurrent,
        max_queued,
        request_timeout: Duration::from_secs(20),
    };
    let listen = Listen {
        address: "127.0.0.1:0".to_owned(),
        tls: None,
    };
    let mut server = Server::bind(listen, settings, Arc::clone(&fake) as Arc<dyn Backend>)
        .await
        .expect("a free port");
    server.places = places;
    let (stop, stopped) = watch::channel(false);
    let (url, load) = (
        format!("http://{}", server.address()),
        Box::new(server.load()),
    );
    Served {
        url,
        fake,
        stop,
        load,
        task: tokio::spawn(server.run(stopped)),
    }
}

async fn ask(served: &Served, line: &str, token: Option<&str>) -> String {
    let (method, rest) = line.split_once(' ').expect("a verb");
    let (path, body) = rest.split_once(' ').unwrap_or((rest, ""));
    let method = reqwest::Method::from_bytes(method.as_bytes()).expect("a verb");
    let client = reqwest::Client::builder()
        .timeout(Duration::from_secs(20))
        .build()
        .expect("a client");
    let mut request = client
        .request(method, format!("{}{path}", served.url))
        .body(body.to_owned());
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    let answer = request.send().await.expect("an answer");
    let header = |name: &str| {
        answer
            .headers()
            .get(name)
            .map_or("-", |v| v.to_str().expect("text"))
            .to_owned()
    };
    let summary = format!(
        "{} {} {}",
        answer.status().as_u16(),
        header("content-type"),
        header("x-content-type-options")
    );
    assert!(
        header("x-request-id").starts_with("req-"),
        "{line}: no request id"
    );
    let allow = answer
        .headers()
        .get("allow")
        .map(|v| format!(" allow={}", v.to_str().expect("text")))
        .unwrap_or_default();
    format!(
        "{summary}{allow} {:?}",
        answer.text().await.expect("a body")
    )
}

/// The recorded answers of the Go dispatcher (facts §2.6), texts of errors apart.
#[tokio::test]
async fn every_route_answers_as_recorded() {
    let served = serve_with(Fake::default(), TOKEN, 64, 128).await;
    let table = [
        (
            "GET /arvados/v1/dispatch/containers",
            "200 application/json - \"{\\\"items\\\":[]}\\n\"",
        ),
        (
            "GET /arvados/v1/dispatch/container?container_uuid=c-9",
            "404 application/json nosniff",
        ),
        (
            "GET /arvados/v1/dispatch/container",
            "400 application/json nosniff",
        ),
        (
            "POST /arvados/v1/dispatch/containers/kill container_uuid=c-1&reason=too+long",
            "200 - - \"\"",
        ),
        (
            "POST /arvados/v1/dispatch/containers/kill container_uuid=c-9",
            "404 application/json nosniff",
        ),
        (
            "POST /arvados/v1/dispatch/containers/kill",
            "400 application/json nosniff",
        ),
        (
            "POST /arvados/v1/dispatch/instances/hold instance_id=%2Fsub%2Fi+1",
            "200 - - \"\"",
        ),
        (
            "POST /arvados/v1/dispatch/instances/drain?instance_id=%2Fsub%2Fi+1",
            "200 - - \"\"",
        ),
        (
            "POST /arvados/v1/dispatch/instances/run instance_id=/sub/i%201",
            "200 - - \"\"",
        ),
        (
            "POST /arvados/v1/dispatch/instances/kill instance_id=%2Fsub%2Fi+1&reason=broken",
            "200 - - \"\"",
        ),
        (
            "POST /arvados/v1/dispatch/instances/hold instance_id=i-nope",
            "404 application/json nosniff",
        ),
        (
            "POST /arvados/v1/dispatch/instances/hold",
            "400 application/json nosniff",
        ),
        (
            "POST /arvados/v1/dispatch/instances/kill",
            "400 application/json nosniff",
        ),
        (
            "GET /arvados/v1/dispatch/nope",
            "404 text/plain; charset=utf-8 nosniff \"404 page not found\\n\"",
        ),
        (
            "GET /nope",
            "404 text/plain; charset=utf-8 nosniff \"404 page not found\\n\"",
        ),
        (
            "POST /arvados/v1/dispatch/instances",
            "405 text/plain; charset=utf-8 nosniff allow=GET, OPTIONS \"Method Not Allowed\\n\"",
        ),
        (
            "GET /metrics",
            "200 text/plain; version=0.0.4; charset=utf-8 - \"m 1\\n\"",
        ),
        ("GET /metrics.json", "200 application/json - \"[]\\n\""),
        (
            "GET /_health/ping",
            "200 application/json - \"{\\\"health\\\":\\\"OK\\\"}\\n\"",
        ),
        (
            "GET /_health/nope",
            "404 text/plain; charset=utf-8 nosniff \"404 page not found\\n\"",
        ),
        ("GET /_inspect/requests", "200 application/json - \"[]\\n\""),
    ];
    for (line, expected) in table {
        let got = ask(&served, line, Some(TOKEN)).await;
        assert!(
            got.starts_with(expected),
            "{line}\n  got      {got}\n  expected {expected}"
        );
    }
    let wishes = served.fake.wishes.lock().expect("not poisoned").clone();
    assert_eq!(
        wishes,
        [
            "kill c-1: too long",
            "hold /sub/i 1",
            "drain /sub/i 1",
            "run /sub/i 1",
            "destroy /sub/i 1: broken"
        ]
    );
    let instances = ask(&served, "GET /arvados/v1/dispatch/instances", Some(TOKEN)).await;
    assert!(
        instances.contains(r#"\"worker_state\":\"booting\",\"idle_behavior\":\"run\""#),
        "{instances}"
    );
    assert!(!instances.contains("remark"), "{instances}");
}

#[tokio::test]
async fn nobody_without_the_token_learns_or_changes_anything() {
    let served = serve_with(Fake::default(), TOKEN, 64, 128).await;
    let routes = [
        "GET /arvados/v1/dispatch/containers",
        "GET /arvados/v1/dispatch/container?container_uuid=c-1",
        "POST /arvados/v1/dispatch/containers/kill container_uuid=c-1",
        "GET /arvados/v1/dispatch/instances",
        "POST /arvados/v1/dispatch/instances/hold instance_id=%2Fsub%2Fi+1",
        "POST /arvados/v1/dispatch/instances/drain instance_id=%2Fsub%2Fi+1",
        "POST /arvados/v1/dispatch/instances/run instance_id=%2Fsub%2Fi+1",
        "POST /arvados/v1/dispatch/instances/kill instance_id=%2Fsub%2Fi+1",
        "GET /metrics",
        "GET /metrics.json",
        "GET /_inspect/requests",
    ];
    for line in routes {
        let anonymous = ask(&served, line, None).await;
        assert_eq!(
            anonymous, "401 text/plain; charset=utf-8 nosniff \"Unauthorized\\n\"",
            "{line}"
        );
        let wrong = ask(&served, line, Some("wrong")).await;
        assert_eq!(
            wrong, "403 text/plain; charset=utf-8 nosniff \"Forbidden\\n\"",
            "{line}"
        );
    }
    let health = ask(&served, "GET /_health/ping", None).await;
    assert_eq!(
        health,
        "401 text/plain; charset=utf-8 nosniff \"authorization required\\n\""
    );
    assert!(
        ask(&served, "GET /_health/ping", Some("wrong"))
            .await
            .starts_with("403")
    );
    assert!(served.fake.wishes.lock().expect("not poisoned").is_empty());
}

#[tokio::test]
async fn without_a_management_token_everything_is_closed() {
    let served = serve_with(Fake::default(), "", 64, 128).await;
    for line in [
        "GET /arvados/v1/dispatch/instances",
        "GET /arvados/v1/dispatch/nope",
        "GET /metrics",
        "GET /_inspect/requests",
    ] {
        assert!(
            ask(&served, line, Some(""))
                .await
                .starts_with("403 text/plain"),
            "{line}"
        );
        assert!(
            ask(&served, line, None).await.starts_with("403 text/plain"),
            "{line}"
        );
    }
    assert!(
        ask(&served, "GET /_health/ping", None)
            .await
            .starts_with("404 text/plain; charset=utf-8 nosniff \"disabled")
    );
}

#[tokio::test]
async fn health_tells_what_is_wrong_with_status_200() {
    let served = serve_with(
        Fake {
            sick: true,
            ..Fake::default()
        },
        TOKEN,
        64,
        128,
    )
    .await;
    let health = ask(&served, "GET /_health/ping", Some(TOKEN)).await;
    assert!(health.starts_with("200 application/json"), "{health}");
    assert!(
        health.contains("ERROR") && health.contains("90 s"),
        "{health}"
    );
}

#[tokio::test]
async fn when_all_turns_are_taken_more_wait_then_503_while_metrics_and_health_answer() {
    let gate = Arc::new(Notify::new());
    let served = serve_with(
        Fake {
            gate: Some(Arc::clone(&gate)),
            ..Fake::default()
        },
        TOKEN,
        1,
        1,
    )
    .await;
    let served = Arc::new(served);
    let slow = || {
        let served = Arc::clone(&served);
        let line = "POST /arvados/v1/dispatch/containers/kill container_uuid=c-1";
        tokio::spawn(async move { ask(&served, line, Some(TOKEN)).await })
    };
    let first = slow();
    until(|| (served.load)().concurrent == 1).await;
    let second = slow();
    until(|| (served.load)().queued == 1).await;
    assert_eq!(
        ask(&served, "GET /arvados/v1/dispatch/instances", Some(TOKEN)).await,
        "503 - - \"\""
    );
    assert!(
        ask(&served, "GET /_health/ping", Some(TOKEN))
            .await
            .starts_with("200")
    );
    assert!(
        ask(&served, "GET /metrics", Some(TOKEN))
            .await
            .starts_with("200")
    );
    assert!(
        ask(&served, "GET /_inspect/requests", Some(TOKEN))
            .await
            .contains("containers/kill")
    );
    gate.notify_one();
    assert!(first.await.expect("ended").starts_with("200"));
    gate.notify_one();
    assert!(second.await.expect("ended").starts_with("200"));
    let gave_up = served
        .fake
        .records
        .lock()
        .expect("not poisoned")
        .iter()
        .filter(|r| r.gave_up)
        .count();
    assert_eq!(gave_up, 1);
}

/// The clock stands still but where everybody waits.
#[tokio::test(start_paused = true)]
async fn those_who_connect_and_say_nothing_do_not_keep_health_from_answering() {
    let served = serve_at(Fake::default(), TOKEN, 64, 128, 8).await;
    let address = served.url.trim_start_matches("http://");
    let began = tokio::time::Instant::now();
    let mut silent = vec![];
    for _ in 0..12 {
        silent.push(TcpStream::connect(address).await.expect("a connection"));
    }
    let mut asker = TcpStream::connect(address).await.expect("a connection");
    let request =
        format!("GET /_health/ping HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {TOKEN}\r\n\r\n");
    asker.write_all(request.as_bytes()).await.expect("sent");
    let mut first = [0; 12];
    asker.read_exact(&mut first).await.expect("an answer");
    assert_eq!(&first, b"HTTP/1.1 200");
    let waited = began.elapsed();
    assert!(waited < SEND_TIMEOUT / 2, "health took {waited:?}");
}

#[tokio::test]
async fn a_form_that_is_too_large_is_refused() {
    let served = serve_with(Fake::default(), TOKEN, 64, 128).await;
    let line = format!(
        "POST /arvados/v1/dispatch/instances/kill instance_id=i-1&reason={}",
        "x".repeat(MAX_BODY_BYTES)
    );
    assert!(
        ask(&served, &line, Some(TOKEN))
            .await
            .starts_with("413 application/json")
    );
}

#[tokio::test]
async fn a_stop_closes_idle_connections_at_once() {
    let served = serve_with(Fake::default(), TOKEN, 64, 128).await;
    let mut idle = TcpStream::connect(served.url.trim_start_matches("http://"))
        .await
        .expect("a connection");
    idle.write_all(b"GET /_health/ping HTTP/1.1\r\nhost: x\r\n\r\n")
        .await
        .expect("sent");
    let mut first = [0; 12];
    idle.read_exact(&mut first).await.expect("an answer");
    assert_eq!(&first, b"HTTP/1.1 401");
    served.stop.send(true).expect("the server listens");
    tokio::time::timeout(Duration::from_secs(5), served.task)
        .await
        .expect("stopped in time")
        .expect("no panic");
    let mut rest = Vec::new();
    idle.read_to_end(&mut rest).await.expect("closed in order");
}

async fn until(predicate: impl Fn() -> bool) {
    let wait = async {
        while !predicate() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), wait)
        .await
        .expect("in time");
}
