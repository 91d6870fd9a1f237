//! The client against a small API on a loopback address.

mod answers;
mod calls;
mod poll;
mod server;
mod tls;

use std::time::Duration;

use dispatch_model::ContainerId;
use tokio::time::Instant;
use url::Url;

use crate::{CaRoots, Client, ClientSettings, Token};

/// Long enough for anything on a busy machine; nothing here waits for it.
fn soon() -> Instant {
    Instant::now() + Duration::from_secs(60)
}

const TOKEN: &str = "thetokenthatnobodymaysee";

fn settings(controller: &str) -> ClientSettings {
    ClientSettings {
        cluster_id: "zzzzz".to_owned(),
        controller: Url::parse(controller).expect("the test's URL"),
        token: Token::new(TOKEN),
        insecure: false,
        roots: CaRoots::System,
        dial_instead: None,
        environment_proxies: false,
        server_max_concurrent_requests: 64,
    }
}

fn client(controller: &str) -> Client {
    Client::new(&settings(controller)).expect("a client")
}

fn id(n: usize) -> ContainerId {
    ContainerId::from(format!("zzzzz-dz642-{n:015}"))
}
