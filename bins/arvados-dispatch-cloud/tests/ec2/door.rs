//! A way to an endpoint that can be shut: then nobody listens at its address, and what was connected is cut.

use std::net::SocketAddr;

use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

/// The way.
pub(crate) struct Door {
    address: SocketAddr,
    to: String,
    tasks: JoinSet<()>,
}

impl Door {
    /// Opens one, at an address of its own, to this URL.
    pub(crate) async fn open(url: &str) -> Door {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let mut door = Door {
            address: listener.local_addr().expect("an address"),
            to: url.trim_start_matches("http://").to_owned(),
            tasks: JoinSet::new(),
        };
        door.serve(listener);
        door
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
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
        let to = self.to.clone();
        self.tasks.spawn(async move {
            let mut through = JoinSet::new();
            while let Ok((mut from, _)) = listener.accept().await {
                while through.try_join_next().is_some() {}
                let to = to.clone();
                through.spawn(async move {
                    if let Ok(mut there) = TcpStream::connect(to).await {
                        // Either side may end it.
                        let _ = tokio::io::copy_bidirectional(&mut from, &mut there).await;
                    }
                });
            }
        });
    }
}
