//! A way to an endpoint that can be shut: then nobody listens at its address, and what was connected is cut. It writes
//! down which actions pass.

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

/// The way.
pub(crate) struct Door {
    address: SocketAddr,
    to: String,
    called: Arc<Mutex<BTreeSet<String>>>,
    tasks: JoinSet<()>,
}

impl Door {
    /// Opens one, at an address of its own, to this URL.
    pub(crate) async fn open(url: &str) -> Door {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let mut door = Door {
            address: listener.local_addr().expect("an address"),
            to: url.trim_start_matches("http://").to_owned(),
            called: Arc::default(),
            tasks: JoinSet::new(),
        };
        door.serve(listener);
        door
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The actions that were called through it.
    pub(crate) fn called(&self) -> BTreeSet<String> {
        (self.called.lock())
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// From now on connections are refused.
    pub(crate) async fn shut(&mut self) {
        self.tasks.shutdown().await;
    }

    /// Lets through again what comes to the same address.
    pub(crate) async fn open_again(&mut self) {
        let listener = TcpListener::bind(self.address).await;
        self.serve(listener.expect("the same port"));
    }

    fn serve(&mut self, listener: TcpListener) {
        let (to, called) = (self.to.clone(), Arc::clone(&self.called));
        self.tasks.spawn(async move {
            let mut through = JoinSet::new();
            while let Ok((from, _)) = listener.accept().await {
                while through.try_join_next().is_some() {}
                let (to, called) = (to.clone(), Arc::clone(&called));
                through.spawn(async move {
                    if let Ok(there) = TcpStream::connect(to).await {
                        let (mut requests, mut replies_to) = from.into_split();
                        let (mut replies, requests_to) = there.into_split();
                        // Either side may end it.
                        let _ =
                            tokio::join!(overheard(&mut requests, requests_to, &called), async {
                                let copied = tokio::io::copy(&mut replies, &mut replies_to);
                                let _ = copied.await;
                                let _ = replies_to.shutdown().await;
                            },);
                    }
                });
            }
        });
    }
}

/// Passes requests on until they end, and writes down their actions.
async fn overheard(
    from: &mut (impl AsyncRead + Unpin),
    mut to: impl AsyncWrite + Unpin,
    called: &Mutex<BTreeSet<String>>,
) {
    let mut buffer = [0; 16_384];
    // What has passed since the last whole name; an action stands first in the body of its request.
    let mut heard = String::new();
    while let Ok(n @ 1..) = from.read(&mut buffer).await {
        heard.push_str(&String::from_utf8_lossy(&buffer[..n]));
        while let Some((_, rest)) = heard.split_once("Action=") {
            let Some((name, after)) = rest.split_once('&') else {
                break;
            };
            let mut called = called.lock().unwrap_or_else(PoisonError::into_inner);
            called.insert(name.to_owned());
            heard = after.to_owned();
        }
        if to.write_all(&buffer[..n]).await.is_err() {
            break;
        }
    }
    let _ = to.shutdown().await;
}
