//! A tiny dispatcher: answers what it was told to, and remembers what it was asked.

use std::{collections::BTreeMap, sync::Arc};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    sync::Mutex,
    task::JoinHandle,
};

pub(super) const TOKEN: &str = "00000000000000000000000000000000management";
pub(super) const RECORDED: &str = include_str!("../../../../../tests/transcripts/management.jsonl");

const PREFIX: &str = "/arvados/v1/dispatch/";

/// What it answers: by "GET instances" or "POST instances/hold instance_id=i-1"; anything else is a 404.
pub(super) type Script = BTreeMap<String, (u16, String)>;

pub(super) struct StandIn {
    address: String,
    asked: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl StandIn {
    pub(super) async fn new(script: Script) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let asked = Arc::<Mutex<Vec<String>>>::default();
        let remembered = Arc::clone(&asked);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                // A client that hangs up is its own business.
                let _ = serve(stream, &script, &remembered).await;
            }
        });
        StandIn {
            address,
            asked,
            task,
        }
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(super) fn host(&self) -> &str {
        &self.address
    }

    /// The requests so far, in the words of the script.
    pub(super) async fn asked(&self) -> Vec<String> {
        self.asked.lock().await.clone()
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(
    stream: TcpStream,
    script: &Script,
    asked: &Mutex<Vec<String>>,
) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    stream.read_line(&mut line).await?;
    let mut words = line.split(' ');
    let (verb, target) = (
        words.next().unwrap_or_default().to_owned(),
        words.next().unwrap_or_default().to_owned(),
    );
    let (mut authorized, mut length) = (None, 0);
    loop {
        line.clear();
        stream.read_line(&mut line).await?;
        let Some((name, value)) = line.trim_end().split_once(": ") else {
            break;
        };
        match name.to_lowercase().as_str() {
            "authorization" => authorized = Some(value == format!("Bearer {TOKEN}")),
            "content-length" => length = value.parse().unwrap_or(0),
            _ => {}
        }
    }
    let mut form = vec![0; length];
    stream.read_exact(&mut form).await?;
    let request = format!(
        "{verb} {} {}",
        target.strip_prefix(PREFIX).unwrap_or(&target),
        String::from_utf8_lossy(&form)
    );
    let request = request.trim_end().to_owned();
    let (status, body) = match authorized {
        None => (401, "Unauthorized\n".to_owned()),
        Some(false) => (403, "Forbidden\n".to_owned()),
        Some(true) => script
            .get(&request)
            .cloned()
            .unwrap_or((404, r#"{"errors":["not found"]}"#.into())),
    };
    asked.lock().await.push(request);
    let answer = format!(
        "HTTP/1.1 {status} X\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await
}

/// The recorded answer that a line of the recording names.
pub(super) fn recorded(request: &str) -> String {
    let line = RECORDED
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).expect("JSON"))
        .find(|line| line["request"] == request)
        .unwrap_or_else(|| panic!("no recording of {request}"));
    serde_json::json!({ "items": line["items"] }).to_string()
}
