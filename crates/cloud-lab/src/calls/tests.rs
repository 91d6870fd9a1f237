//! The calls, against a server that answers what it is told to and remembers what it was sent.

use std::{collections::VecDeque, sync::Arc};

use dispatch_cloud::{Driver as _, DriverContext};
use dispatch_model::{CapacityScope, Gpu, InstanceSecret, InstanceType};
use expect_test::expect;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

use super::*;
use crate::LabDriver;

/// Serves one answer for each request, on a connection each; an empty one closes the connection instead. Gives back
/// the requests: first line and body.
async fn serve(answers: &[&str]) -> (String, JoinHandle<Vec<(String, String)>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let endpoint = format!("http://{}", listener.local_addr().expect("an address"));
    let mut answers: VecDeque<String> = answers.iter().map(|&answer| answer.to_owned()).collect();
    let server = tokio::spawn(async move {
        let mut requests = Vec::new();
        while let Some(answer) = answers.pop_front() {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            requests.push(read_request(&mut stream).await);
            stream.write_all(answer.as_bytes()).await.expect("a reader");
        }
        requests
    });
    (endpoint, server)
}

async fn read_request(stream: &mut TcpStream) -> (String, String) {
    let mut bytes = Vec::new();
    loop {
        stream.read_buf(&mut bytes).await.expect("a request");
        let text = String::from_utf8_lossy(&bytes);
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        let length = head
            .lines()
            .find_map(|line| {
                line.to_lowercase()
                    .strip_prefix("content-length: ")
                    .map(str::to_owned)
            })
            .map_or(0, |length| length.parse().expect("a number"));
        if body.len() >= length {
            let first = head.lines().next().unwrap_or_default();
            return (first.to_owned(), body.to_owned());
        }
    }
}

fn http(status: u16, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status} X\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}")
}

async fn open(endpoint: &str) -> Arc<dyn InstanceSet> {
    let context = DriverContext {
        instance_set_id: "set".to_owned(),
        tag_key_prefix: "Arvados".to_owned(),
        image_id: "img".to_owned(),
        public_key: Some("ssh-ed25519 AAAA dispatch".to_owned()),
        clock: Clock::start(),
        gate: dispatch_cloud::Gate::open(),
    };
    let parameters = json!({ "Endpoint": endpoint });
    assert_eq!(LabDriver.check(&parameters), Vec::<String>::new());
    LabDriver.open(&parameters, context).await.expect("a set")
}

fn order() -> CreateOrder {
    CreateOrder {
        instance_type: InstanceType {
            name: "two".into(),
            provider_type: "lab.2".to_owned(),
            image: None,
            vcpus: 2,
            ram_bytes: 4 << 30,
            included_scratch_bytes: 0,
            added_scratch_bytes: 1000,
            price: 0.25,
            preemptible: true,
            gpu: Gpu::default(),
        },
        image_id: "img".to_owned(),
        tags: [("a".to_owned(), "b".to_owned())].into(),
        init_script: "#!/bin/sh\n".to_owned(),
        secret: InstanceSecret::new("secret"),
    }
}

#[tokio::test]
async fn each_call_is_sent_as_the_contract_says() {
    let row = r#"{"id": "i/1", "address": "", "provider_type": "lab.2", "tags": {"a": "b"}}"#;
    let list = format!(r#"{{"instances": [{row}, {{"address": "no id"}}, 7]}}"#);
    let (endpoint, server) = serve(&[
        &http(200, row),
        &http(200, &list),
        &http(200, "{}"),
        &http(200, "{}"),
    ])
    .await;
    let set = open(&endpoint).await;
    let tags: Tags = [("a".to_owned(), "b c&d".to_owned())].into();

    let made = set.create(order()).await.expect("an instance");
    let listed = set.list(&tags).await.expect("a list");
    set.set_tags(&made.id, &tags).await.expect("tags set");
    set.destroy(&made.id).await.expect("destroyed");

    assert_eq!(listed, [made]);
    let requests = server.await.expect("no panic");
    let lines: Vec<String> = requests
        .iter()
        .map(|(line, body)| format!("{line}\n{body}\n"))
        .collect();
    expect![[r##"
        POST /instances HTTP/1.1
        {"provider_type":"lab.2","image_id":"img","preemptible":true,"max_price":0.25,"added_scratch_bytes":1000,"tags":{"a":"b"},"init_script":"#!/bin/sh\n","public_key":"ssh-ed25519 AAAA dispatch","client_token":"2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b"}
        GET /instances?tag.a=b+c%26d HTTP/1.1

        POST /instances/i%2F1/tags HTTP/1.1
        {"tags":{"a":"b c&d"}}
        DELETE /instances/i%2F1 HTTP/1.1

    "##]]
    .assert_eq(&lines.concat());
}

#[test]
fn rows_without_an_id_are_told_of_when_their_number_changes() {
    let unread = Unread::default();
    let told = [0, 2, 2, 2, 3, 0, 0, 3].map(|n| unread.is_news(n));
    let expected = [false, true, false, false, true, false, false, true];
    assert_eq!(told, expected);
}

#[tokio::test]
async fn refusals_carry_the_class_of_the_answer() {
    let group =
        r#"{"error": {"class": "capacity", "scope": "group", "group": "g", "message": "m"}}"#;
    let gone = r#"{"error": {"class": "not_found", "message": "gone"}}"#;
    let (endpoint, server) = serve(&[&http(409, group), &http(404, gone), &http(404, gone)]).await;
    let set = open(&endpoint).await;
    let id = InstanceId::from("i-1");
    let refused = set.create(order()).await.expect_err("refused").class;
    let scope = CapacityScope::QuotaGroup("g".to_owned());
    assert_eq!(refused, CloudErrorClass::Capacity(scope));
    set.destroy(&id).await.expect("gone is destroyed");
    let refused = set
        .set_tags(&id, &Tags::new())
        .await
        .expect_err("gone")
        .class;
    assert_eq!(refused, CloudErrorClass::Refused);
    server.await.expect("no panic");
}

#[tokio::test]
async fn an_answer_that_is_cut_off_leaves_a_create_in_doubt() {
    let cut = "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"id\"";
    let (endpoint, server) = serve(&["", cut, &http(200, "{}"), &http(502, "<html>"), ""]).await;
    let set = open(&endpoint).await;
    for what in [
        "no answer",
        "half an answer",
        "no instance",
        "a proxy's words",
    ] {
        let error = set.create(order()).await.expect_err(what);
        assert_eq!(
            error.class,
            CloudErrorClass::OutcomeUnknown,
            "{what}: {error}"
        );
    }
    let error = set.list(&Tags::new()).await.expect_err("no answer");
    assert_eq!(error.class, CloudErrorClass::Transient, "{error}");
    server.await.expect("no panic");
}

#[tokio::test]
async fn a_cloud_that_is_not_there_was_not_asked() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let endpoint = format!("http://{}", listener.local_addr().expect("an address"));
    drop(listener);
    let error = open(&endpoint)
        .await
        .create(order())
        .await
        .expect_err("nobody");
    assert_eq!(error.class, CloudErrorClass::Transient, "{error}");
    assert!(!error.message.contains("secret"), "{error}");
}
