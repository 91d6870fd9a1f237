//! How the parts are put together: what the driver is given, where the management API listens, what it answers from.

use std::{net::TcpListener, sync::Mutex};

use async_trait::async_trait;
use dispatch_config::{Context, Format, HostFacts, Source, load};
use dispatch_lock::Term;
use dispatch_management_api::Backend;

use super::*;
use crate::assembly::open_cloud;
use dispatch_cloud::{CloudError, DriverContext, InstanceSet};
use std::time::Duration;

/// The example key of RFC 8410.
const KEY: &str = "-----BEGIN PRIVATE KEY-----\\nMC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\\n-----END PRIVATE KEY-----\\n";

/// A configuration with these lines below CloudVMs, which listens at these addresses.
fn config(cloud_vms: &str, internal_urls: &[String]) -> ClusterConfig {
    let urls: Vec<String> = internal_urls
        .iter()
        .map(|url| format!("{url:?}: {{}}"))
        .collect();
    let text = format!(
        "Clusters:\n  zzzzz:\n    SystemRootToken: 0123456789abcdefghijklmnopqrstuvwxyzABCD\n    \
         ManagementToken: m0123456789abcdefghijklmnopqrstuvwxyzABCD\n    Services:\n      \
         Controller: {{ExternalURL: \"https://arvados.example:8443/\"}}\n      DispatchCloud: \
         {{InternalURLs: {{{}}}}}\n    Containers:\n      DispatchPrivateKey: \"{KEY}\"\n      CloudVMs: \
         {{Driver: fake, {cloud_vms}}}\n    InstanceTypes: {{small: {{VCPUs: 2, RAM: 4GiB, Price: 0.1}}}}\n",
        urls.join(", ")
    );
    let source = Source::from_text(
        text.as_str(),
        Format::Yaml,
        "config.yml",
        jiff::Timestamp::UNIX_EPOCH,
    );
    let context = Context {
        known_drivers: &["fake"],
        host: HostFacts {
            cpus: 4,
            ram_bytes: 8 << 30,
            tmp_bytes: 100 << 30,
        },
    };
    load(&source, &context).expect("a configuration").config
}

/// A driver that notes what it is given, and does not open.
#[derive(Default)]
struct Fake(Mutex<Option<DriverContext>>);

#[async_trait]
impl Driver for Fake {
    fn name(&self) -> &'static str {
        "fake"
    }

    fn check(&self, _: &serde_json::Value) -> Vec<String> {
        vec![]
    }

    async fn open(
        &self,
        _: &serde_json::Value,
        context: DriverContext,
    ) -> Result<Arc<dyn InstanceSet>, CloudError> {
        *self.0.lock().expect("no panic") = Some(context);
        Err(CloudError::new(
            dispatch_model::CloudErrorClass::Refused,
            "a fake",
        ))
    }
}

/// What the driver is given for this term.
async fn given(cloud_vms: &str, term: &Term) -> DriverContext {
    let config = config(cloud_vms, &[]);
    let fake = Arc::new(Fake::default());
    let drivers: [Arc<dyn Driver>; 1] = [Arc::clone(&fake) as _];
    let key = private_key(&config).expect("a key");
    let (metrics, clock) = (Arc::new(Metrics::new()), Clock::start());
    let opened = open_cloud(&config, &drivers, key.as_ref(), &metrics, clock, term).await;
    assert!(matches!(opened, Err(StartError::Cloud(_))));
    let context = fake.0.lock().expect("no panic").take();
    context.expect("it was opened")
}

#[tokio::test]
async fn the_driver_gets_our_public_key_only_if_it_is_to_be_deployed() {
    // Facts X11.
    let given = async |cloud_vms: &str| given(cloud_vms, &Term::without_lock()).await.public_key;
    let line = given("ImageID: i").await.expect("the default is to deploy");
    assert!(line.starts_with("ssh-ed25519 "), "{line}");
    assert_eq!(given("DeployPublicKey: false").await, None);
}

#[tokio::test(start_paused = true)]
async fn the_driver_may_change_something_by_itself_only_while_the_term_allows_it() {
    // Facts M6, K8.
    let second = Duration::from_secs(1);
    let term = Term::lasting(4 * second, 10 * second);
    let gate = given("ImageID: i", &term).await.gate;
    assert!(!gate.may_act(), "it only surveys");
    tokio::time::advance(4 * second).await;
    assert!(gate.may_act());
    tokio::time::advance(6 * second).await;
    assert!(!gate.may_act(), "the lock has run out");
}

/// Answers of a daemon whose loop does not turn.
fn answers(config: &ClusterConfig) -> Arc<Answers> {
    let clock = Clock::start();
    let types = settings::types(config);
    let brain = fresh_brain(config, &types, clock);
    let (_, snapshots) = watch::channel(Arc::new(brain.snapshot()));
    let (_, wishes) = watch::channel(None);
    let interval = Duration::from_secs(10);
    Arc::new(Answers {
        snapshots,
        wishes,
        types,
        health: Arc::new(Health::new(clock, interval, interval, interval)),
        metrics: Arc::new(Metrics::new()),
        clock,
        load: Arc::new(OnceLock::new()),
    })
}

#[tokio::test]
async fn readers_are_answered_from_the_last_snapshot_although_the_loop_does_not_turn() {
    // Facts P3: no reader waits for the loop, and the loop for no reader.
    let config = config("ImageID: i", &[]);
    let answers = answers(&config);
    assert_eq!(answers.containers().len(), 0);
    assert_eq!(answers.instances().len(), 0);
    assert!(answers.metrics_text().contains("arvados_dispatchcloud"));
    // Nobody takes wishes any more: they are told so, instead of waiting.
    let killed = answers.kill_instance("i-1".into(), "test".to_owned()).await;
    assert_eq!(killed, Err(dispatch_management_api::NotFound));
}

#[tokio::test]
async fn of_several_addresses_the_chosen_or_the_first_that_is_ours_is_listened_at() {
    // Facts §6.5.15. What is taken is as good as another host's.
    // The hosts are this test's own, so that nobody takes what is free.
    let bind = |host: u8| {
        let listener = TcpListener::bind((format!("127.6.5.{host}"), 0)).expect("a port");
        let address = listener.local_addr().expect("an address");
        (listener, format!("http://{address}"))
    };
    let free = [1, 2].map(|host| bind(host).1);
    let ((_one, foreign), (_other, taken)) = (bind(3), bind(4));
    let listened = async |urls: &[&String], chosen: Option<&str>| {
        let urls: Vec<String> = urls.iter().map(|url| (*url).clone()).collect();
        let config = config("ImageID: i", &urls);
        let environment = Environment {
            service_internal_url: chosen.map(str::to_owned),
            ..Environment::default()
        };
        let server = listen(&config, &environment, None, answers(&config)).await;
        server.map(|server| server.map(|server| server.address().ip().to_string()))
    };
    let with_slash = format!("{}/", free[1]);
    for (urls, chosen, expected) in [
        (vec![&free[0]], None, Some("127.6.5.1")),
        (vec![&foreign, &free[1]], None, Some("127.6.5.2")),
        (vec![&taken, &free[1]], None, Some("127.6.5.2")),
        (vec![&free[0], &free[1]], Some(&*free[1]), Some("127.6.5.2")),
        (
            vec![&free[0], &free[1]],
            Some(&*with_slash),
            Some("127.6.5.2"),
        ),
        (vec![], None, None),
    ] {
        let found = listened(&urls, chosen).await;
        let found = found.unwrap_or_else(|error| panic!("{urls:?} {chosen:?}: {error}"));
        assert_eq!(found.as_deref(), expected, "{urls:?} {chosen:?}");
    }
    for (urls, chosen) in [
        (vec![&foreign], None),
        (vec![&free[0]], Some("http://127.6.5.9:1")),
        // Whoever chose an address does not get another one.
        (vec![&free[0], &taken], Some(taken.as_str())),
    ] {
        let found = listened(&urls, chosen).await;
        assert!(
            matches!(found, Err(StartError::Management(_))),
            "{urls:?} {chosen:?}"
        );
    }
}
