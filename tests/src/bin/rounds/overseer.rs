//! Notes when calls that change something arrive in the lab, and from whom: each daemon has entrances of its own.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    task::JoinSet,
    time::Instant,
};

/// A call that changes something.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Deed {
    pub(crate) at: Instant,
    /// Which daemon.
    pub(crate) by: usize,
    /// The call.
    pub(crate) what: String,
}

/// All that was noted.
#[derive(Clone, Default)]
pub(crate) struct Overseer(Arc<Mutex<Vec<Deed>>>);

impl Overseer {
    pub(crate) fn note(&self, by: usize, what: &str) {
        let deed = Deed {
            at: Instant::now(),
            by,
            what: what.to_owned(),
        };
        (self.0.lock().unwrap_or_else(PoisonError::into_inner)).push(deed);
    }

    /// Everything from this index on.
    pub(crate) fn since(&self, index: usize) -> Vec<Deed> {
        let deeds = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        deeds.get(index..).unwrap_or_default().to_vec()
    }

    /// How many so far.
    pub(crate) fn n(&self) -> usize {
        (self.0.lock().unwrap_or_else(PoisonError::into_inner)).len()
    }

    /// Makes this door an entrance to this service for this daemon: where it is.
    pub(crate) fn entrance(
        &self,
        by: usize,
        door: std::net::TcpListener,
        service: SocketAddr,
        tasks: &mut JoinSet<()>,
    ) -> anyhow::Result<SocketAddr> {
        let listener = TcpListener::from_std(door)?;
        let address = listener.local_addr()?;
        let overseer = self.clone();
        tasks.spawn(async move {
            let mut lines = JoinSet::new();
            loop {
                tokio::select! {
                    Ok((stream, _)) = listener.accept() => {
                        lines.spawn(overseer.clone().line(by, stream, service));
                    }
                    Some(_) = lines.join_next() => {}
                }
            }
        });
        Ok(address)
    }

    async fn line(self, by: usize, client: TcpStream, service: SocketAddr) {
        let Ok(server) = TcpStream::connect(service).await else {
            return;
        };
        let _ = (client.set_nodelay(true), server.set_nodelay(true));
        let (from_client, to_client) = client.into_split();
        let (from_server, to_server) = server.into_split();
        tokio::select! {
            () = pass_on(from_client, to_server, |bytes| {
                if let Some(what) = change(bytes) {
                    self.note(by, &what);
                }
            }) => {}
            () = pass_on(from_server, to_client, |_| {}) => {}
        }
    }
}

async fn pass_on(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut see: impl FnMut(&[u8])) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(n @ 1..) = from.read(&mut buffer).await {
        see(&buffer[..n]);
        if to.write_all(&buffer[..n]).await.is_err() {
            return;
        }
    }
}

/// The first line of a request that changes something. A client sends the head of a request in one piece, and no
/// request before the last was answered.
fn change(bytes: &[u8]) -> Option<String> {
    let verbs: [&[u8]; 4] = [b"POST /", b"PUT /", b"PATCH /", b"DELETE /"];
    if !verbs.iter().any(|verb| bytes.starts_with(verb)) {
        return None;
    }
    let head = String::from_utf8_lossy(&bytes[..bytes.len().min(4096)]).into_owned();
    let head = head.split("\r\n\r\n").next().unwrap_or_default();
    // Long questions are asked in a POST (facts §2.1).
    let is_question = (head.to_lowercase().lines())
        .any(|line| line.replace(' ', "") == "x-http-method-override:get");
    (!is_question).then(|| head.lines().next().unwrap_or_default().to_owned())
}
