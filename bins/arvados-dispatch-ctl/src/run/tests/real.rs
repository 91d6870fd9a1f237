//! The tool and the management API that the dispatcher really serves, over TLS.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use dispatch_management_api::{
    Backend, Listen, NotFound, RequestRecord, Server, Settings, Tls, Token,
    wire::{Container, Instance},
};
use dispatch_model::{ContainerId, IdleBehavior, InstanceId, WorkerState};
use tokio::sync::watch;

use super::{Call, Environment, Exit, call_in, stand_in::TOKEN};

#[derive(Default)]
struct OneInstance {
    behaviors: Mutex<Vec<IdleBehavior>>,
}

#[async_trait]
impl Backend for OneInstance {
    fn containers(&self) -> Vec<Container> {
        vec![]
    }

    fn container(&self, _: &ContainerId) -> Option<Container> {
        None
    }

    fn instances(&self) -> Vec<Instance> {
        vec![Instance {
            instance: "i-1".into(),
            address: "127.10.1.2:22".into(),
            price: 0.25,
            arvados_instance_type: "small".into(),
            provider_instance_type: "m5.small".into(),
            last_container_uuid: String::new(),
            last_busy: "2026-11-22T11:31:36.285441362Z".into(),
            running_container_uuids: Some(vec![]),
            worker_state: WorkerState::Idle,
            idle_behavior: IdleBehavior::Run,
            remark: None,
            image: None,
        }]
    }

    async fn kill_container(&self, _: ContainerId, _: String) -> Result<(), NotFound> {
        Err(NotFound)
    }

    async fn set_idle_behavior(&self, id: InstanceId, to: IdleBehavior) -> Result<(), NotFound> {
        if id.as_str() != "i-1" {
            return Err(NotFound);
        }
        self.behaviors.lock().expect("not poisoned").push(to);
        Ok(())
    }

    async fn kill_instance(&self, _: InstanceId, _: String) -> Result<(), NotFound> {
        Err(NotFound)
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

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("src/run/tests/tls")
        .join(name)
}

/// The management API with this certificate, and what calls the tool on it.
struct Served {
    url: String,
    backend: Arc<OneInstance>,
    stop: watch::Sender<bool>,
    serving: tokio::task::JoinHandle<()>,
}

impl Served {
    async fn with(certificate: &str, key: &str) -> Served {
        let backend = Arc::new(OneInstance::default());
        let tls = Tls::load(&text(fixture(certificate)), &text(fixture(key)));
        let listen = Listen {
            address: "127.0.0.1:0".into(),
            tls: Some(Arc::new(tls.expect("a certificate"))),
        };
        let settings = Settings {
            token: Token::new(TOKEN),
            max_concurrent: 4,
            max_queued: 4,
            request_timeout: Duration::from_secs(20),
        };
        let server = Server::bind(listen, settings, backend.clone())
            .await
            .expect("a port");
        let url = format!("https://{}", server.address());
        let (stop, stopped) = watch::channel(false);
        Served {
            url,
            backend,
            stop,
            serving: tokio::spawn(server.run(stopped)),
        }
    }

    async fn call(&self, more: &[&str]) -> Call {
        let environment = Environment {
            cert_file: true,
            ..Environment::default()
        };
        let words = [&["--url", &self.url, "--token", TOKEN], more].concat();
        call_in(&environment, &words).await
    }

    async fn stop(self) {
        self.stop.send(true).expect("it still serves");
        self.serving.await.expect("it ends");
    }
}

fn text(path: PathBuf) -> String {
    path.to_str().expect("text").to_owned()
}

#[tokio::test]
async fn a_cas_own_certificate_that_serves_is_refused_with_the_remedy() {
    // As `openssl req -x509` makes it: signed by itself, and with CA:TRUE.
    let served = Served::with("self-signed.pem", "self-signed-key.pem").await;
    let ca = text(fixture("self-signed.pem"));
    let refused = served.call(&["--ca", &ca, "list"]).await;
    assert_eq!((refused.exit, refused.stdout.as_str()), (Exit::Failed, ""));
    for said in ["CA:TRUE", "CA:FALSE", "--insecure"] {
        assert!(refused.stderr.contains(said), "{}", refused.stderr);
    }
    served.stop().await;
}

#[tokio::test]
async fn over_tls_the_real_api_is_believed_only_with_its_ca_or_when_told_to() {
    let served = Served::with("server.pem", "server-key.pem").await;
    let ca = text(fixture("ca.pem"));

    let refused = served.call(&["hold", "i-1"]).await;
    assert_eq!(refused.exit, Exit::Failed, "{refused:?}");
    assert!(refused.stderr.contains("certificate"), "{}", refused.stderr);

    let held = served.call(&["--ca", &ca, "hold", "i-1", "i-2"]).await;
    assert_eq!(held.exit, Exit::Failed, "{held:?}");
    assert!(held.stderr.starts_with("i-1: 200 OK ("), "{}", held.stderr);
    assert!(
        held.stderr.contains("i-2: 404 Not Found ("),
        "{}",
        held.stderr
    );

    let listed = served.call(&["--insecure", "list", "--tsv"]).await;
    assert_eq!(listed.exit, Exit::Done, "{listed:?}");
    assert_eq!(
        listed.stdout,
        "i-1\t127.10.1.2:22\tidle\trun\tsmall\tm5.small\t0.250000\t-\n"
    );
    assert_eq!(
        *served.backend.behaviors.lock().expect("not poisoned"),
        [IdleBehavior::Hold]
    );

    served.stop().await;
}
