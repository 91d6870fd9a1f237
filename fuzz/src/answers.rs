//! A server that answers each request with whatever it is told to, on a loopback address.

use std::{net::SocketAddr, rc::Rc, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::timeout,
};

/// What is answered: status and body.
pub(crate) type Answer = (u16, Vec<u8>);

/// What is answered, with headers.
#[derive(Clone, Default)]
pub(crate) struct Told {
    pub(crate) status: u16,
    /// Lines without their ends.
    pub(crate) headers: Vec<String>,
    pub(crate) body: Vec<u8>,
}

impl From<Answer> for Told {
    fn from((status, body): Answer) -> Told {
        Told {
            status,
            headers: vec![],
            body,
        }
    }
}

/// A request may take so long to arrive.
const WITHIN: Duration = Duration::from_secs(10);
/// No request is longer.
const LONGEST: usize = 1 << 20;

/// Serves on this thread's runtime until that ends. `answer` is given the request's head and body.
pub(crate) async fn serve<T: Into<Told>>(answer: impl Fn(&str, &str) -> T + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let answer = Rc::new(answer);
    tokio::task::spawn_local(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let answer = Rc::clone(&answer);
            tokio::task::spawn_local(async move {
                // A client that hangs up is its own business.
                let _ = timeout(WITHIN, one(stream, &*answer)).await;
            });
        }
    });
    address
}

async fn one<T: Into<Told>>(
    mut stream: TcpStream,
    answer: &impl Fn(&str, &str) -> T,
) -> std::io::Result<()> {
    let mut request = vec![];
    let (head, body) = loop {
        if stream.read_buf(&mut request).await? == 0 || request.len() > LONGEST {
            return Ok(());
        }
        let text = String::from_utf8_lossy(&request).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        if body.len() >= length(head) {
            break (head.to_owned(), body.to_owned());
        }
    };
    let Told {
        status,
        headers,
        body,
    } = answer(&head, &body).into();
    let headers: String = headers.iter().flat_map(|line| [line, "\r\n"]).collect();
    let head = format!(
        "HTTP/1.1 {status} Fuzz\r\n{headers}Content-Length: {}\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(&body).await?;
    stream.shutdown().await
}

fn length(head: &str) -> usize {
    let line = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then_some(value)
    });
    line.and_then(|value| value.trim().parse().ok())
        .unwrap_or(0)
}
