//! Requests to the management API, byte by byte, over a connection.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use dispatch_management_api::{
    Backend, Listen, NotFound, RequestRecord, Server, Settings, Token, wire,
};
use dispatch_model::{ContainerId, IdleBehavior, InstanceId};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    runtime::Runtime,
    sync::watch,
    task::LocalSet,
};

use super::{Target, WITHIN, runtime};

const TOKEN: &str = "managementmanagementmanagementmanagement";
/// A request of this kind is answered before and after every other.
const GOOD: &str = "GET /_health/ping HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer \
                    managementmanagementmanagementmanagement\r\nConnection: close\r\n\r\n";

pub(super) struct Management {
    runtime: Runtime,
    local: LocalSet,
    address: SocketAddr,
    backend: Arc<Counting>,
    _stop: watch::Sender<bool>,
}

impl Management {
    pub(super) fn new() -> Management {
        let (runtime, local) = runtime();
        let backend = Arc::<Counting>::default();
        let (stop, stopped) = watch::channel(false);
        let settings = Settings {
            token: Token::new(TOKEN),
            max_concurrent: 8,
            max_queued: 8,
            request_timeout: Duration::from_secs(5),
        };
        let listen = Listen {
            address: "127.0.0.1:0".into(),
            tls: None,
        };
        let served: Arc<dyn Backend> = backend.clone();
        let address = local.block_on(&runtime, async {
            let server = Server::bind(listen, settings, served)
                .await
                .expect("a server");
            let address = server.address();
            tokio::task::spawn_local(server.run(stopped));
            address
        });
        Management {
            runtime,
            local,
            address,
            backend,
            _stop: stop,
        }
    }
}

impl Target for Management {
    fn name(&self) -> &'static str {
        "management"
    }

    fn words(&self) -> &'static [&'static str] {
        &[
            "GET ",
            "POST ",
            "HTTP/1.1\r\n",
            "/arvados/v1/dispatch/instances/kill",
            "/arvados/v1/dispatch/container",
            "?container_uuid=",
            "instance_id=",
            "Authorization: Bearer ",
            "Content-Length: ",
            "Transfer-Encoding: chunked\r\n",
            "%zz",
            "+",
            "&",
            ";",
            "Expect: 100-continue\r\n",
            "/_inspect/requests",
            "/metrics.json",
            TOKEN,
        ]
    }

    fn check(&mut self, input: &[u8]) -> Result<(), String> {
        let before = self.backend.orders.load(Ordering::Relaxed);
        let (address, backend) = (self.address, Arc::clone(&self.backend));
        self.local.block_on(&self.runtime, async move {
            let work = async {
                let answer = ask(address, input).await;
                // Nothing at all is an answer to what is no HTTP.
                if !answer.is_empty() && !answer.starts_with(b"HTTP/1.") {
                    return Err(format!(
                        "answered with {:?}",
                        String::from_utf8_lossy(&answer)
                    ));
                }
                let ordered = backend.orders.load(Ordering::Relaxed) > before;
                let knew = input
                    .windows(TOKEN.len())
                    .any(|part| part == TOKEN.as_bytes());
                if ordered && !knew {
                    return Err("an order was carried out without the token".into());
                }
                let good = ask(address, GOOD.as_bytes()).await;
                if !good.starts_with(b"HTTP/1.1 200") {
                    return Err(format!(
                        "then a good request got {:?}",
                        String::from_utf8_lossy(&good)
                    ));
                }
                Ok(())
            };
            let done = tokio::time::timeout(WITHIN, work).await;
            done.map_err(|_| "it takes too long".to_owned())?
        })
    }

    fn understood(&self) -> u64 {
        self.backend.orders.load(Ordering::Relaxed)
    }
}

/// What comes back until the connection ends.
async fn ask(address: SocketAddr, request: &[u8]) -> Vec<u8> {
    let mut answer = vec![];
    if let Ok(mut stream) = TcpStream::connect(address).await {
        // The server may have heard enough before the end.
        let _ = stream.write_all(request).await;
        let _ = stream.shutdown().await;
        let _ = stream.read_to_end(&mut answer).await;
    }
    answer
}

/// Counts what it is told to do.
#[derive(Default)]
struct Counting {
    orders: AtomicU64,
}

impl Counting {
    fn order(&self) -> Result<(), NotFound> {
        self.orders.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

#[async_trait]
impl Backend for Counting {
    fn containers(&self) -> Vec<wire::Container> {
        vec![]
    }

    fn container(&self, _: &ContainerId) -> Option<wire::Container> {
        None
    }

    fn instances(&self) -> Vec<wire::Instance> {
        vec![]
    }

    async fn kill_container(&self, _: ContainerId, _: String) -> Result<(), NotFound> {
        self.order()
    }

    async fn set_idle_behavior(&self, _: InstanceId, _: IdleBehavior) -> Result<(), NotFound> {
        self.order()
    }

    async fn kill_instance(&self, _: InstanceId, _: String) -> Result<(), NotFound> {
        self.order()
    }

    fn metrics_text(&self) -> String {
        String::new()
    }

    fn metrics_json(&self) -> serde_json::Value {
        serde_json::Value::Null
    }

    fn health(&self) -> Result<(), String> {
        Ok(())
    }

    fn answered(&self, _: RequestRecord) {}
}
