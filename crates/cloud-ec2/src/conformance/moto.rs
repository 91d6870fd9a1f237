//! The driver on moto, a stand-in for EC2 from PyPI that nobody here wrote (`cargo xtask setup` installs it).

use std::{
    collections::BTreeSet,
    io::{Read as _, Write as _},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use dispatch_cloud::{CloudError, CreateOrder, Instance, InstanceSet, Tags};
use dispatch_cloud_conformance::{Fault, Hooks};
use dispatch_lab_net::free_port;
use dispatch_model::{InstanceId, InstanceSecret};
use serde_json::{Value, json};

use super::{
    checks,
    policy::allowed_actions,
    sent::{CALLED, Called, called},
    stage::{PATIENCE, TestClock, account, order},
    suite::is_documented,
};
use crate::{Ec2Driver, account::Account};

tokio::task_local! {
    /// The moto of the check that runs.
    pub(super) static MOTO: Arc<Moto>;
}

/// A server that ends with its owner.
pub(super) struct Moto {
    process: Child,
    address: String,
}

impl Moto {
    async fn start() -> Moto {
        let port = free_port().expect("a port");
        let process = Command::new(python())
            .args([
                "-m",
                "moto.server",
                "-H",
                "127.0.0.1",
                "-p",
                &port.to_string(),
            ])
            .env("MOTO_ENABLE_AMI_VALIDATION", "true")
            .env("MOTO_EC2_ENABLE_INSTANCE_TYPE_VALIDATION", "true")
            .env("MOTO_ENABLE_KEYPAIR_VALIDATION", "true")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("moto: run cargo xtask setup");
        let moto = Moto {
            process,
            address: format!("127.0.0.1:{port}"),
        };
        let began = tokio::time::Instant::now();
        while TcpStream::connect(&moto.address).is_err() {
            assert!(
                began.elapsed() < Duration::from_secs(60),
                "moto does not answer: run cargo xtask setup"
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        moto
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The driver on it.
    pub(super) async fn account(&self, parameters: &Value, public_key: Option<&str>) -> Account {
        self.account_by(parameters, public_key, &TestClock::start())
            .await
    }

    pub(super) async fn account_by(
        &self,
        parameters: &Value,
        public_key: Option<&str>,
        clock: &TestClock,
    ) -> Account {
        account(&Ec2Driver::at(self.url()), parameters, public_key, clock).await
    }

    /// An image that it has.
    pub(super) fn image(&self) -> String {
        self.texts("Action=DescribeImages&Owner.1=amazon", "imageId")
            .swap_remove(0)
    }

    pub(super) fn subnets(&self) -> Vec<String> {
        self.texts("Action=DescribeSubnets", "subnetId")
    }

    pub(super) fn groups(&self) -> Vec<String> {
        self.texts("Action=DescribeSecurityGroups", "groupId")
    }

    /// The answer to a call without the SDK.
    pub(super) fn call(&self, form: &str) -> String {
        let mut stream = TcpStream::connect(&self.address).expect("moto");
        let request = format!(
            "POST / HTTP/1.0\r\nHost: ec2.us-east-1.amazonaws.com\r\nContent-Type: application/x-www-form-urlencoded\r\nAuthorization: \
             AWS4-HMAC-SHA256 Credential=x/20260101/us-east-1/ec2/aws4_request, SignedHeaders=host, Signature=0\r\n\
             Content-Length: {}\r\n\r\n{form}&Version=2016-11-15",
            form.len() + "&Version=2016-11-15".len()
        );
        stream.write_all(request.as_bytes()).expect("a request");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        answer
    }

    /// The texts of all elements of this name.
    pub(super) fn texts(&self, form: &str, element: &str) -> Vec<String> {
        let answer = self.call(form);
        let opening = format!("<{element}>");
        let parts = answer.split(&opening).skip(1);
        parts
            .filter_map(|part| Some(part.split_once('<')?.0.to_owned()))
            .collect()
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The interpreter that has moto: the project's own, else the system's.
pub(super) fn python() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.tools/moto/bin/python");
    if own.exists() {
        own
    } else {
        PathBuf::from("python3")
    }
}

/// moto fails the second end of an instance that has a network interface, which EC2 allows.
struct EndsOnce {
    account: Arc<Account>,
    ended: Mutex<BTreeSet<InstanceId>>,
}

#[async_trait]
impl InstanceSet for EndsOnce {
    async fn create(&self, order: CreateOrder) -> Result<Instance, CloudError> {
        self.account.create(&order).await
    }

    async fn list(&self, tags: &Tags) -> Result<Vec<Instance>, CloudError> {
        self.account.list(tags).await
    }

    async fn set_tags(&self, id: &InstanceId, tags: &Tags) -> Result<(), CloudError> {
        self.account.set_tags(id, tags).await
    }

    async fn destroy(&self, id: &InstanceId) -> Result<(), CloudError> {
        if !self.ended.lock().expect("ids").insert(id.clone()) {
            return Ok(());
        }
        self.account.destroy(id).await
    }

    fn remote_user(&self) -> String {
        "crunch".to_owned()
    }
}

struct OnMoto {
    image: String,
    wrong_image: AtomicBool,
}

#[async_trait]
impl Hooks for OnMoto {
    fn run_id(&self) -> String {
        "moto".to_owned()
    }

    fn order(&self, tags: Tags, secret: InstanceSecret) -> CreateOrder {
        let wrong = self.wrong_image.load(Ordering::SeqCst);
        CreateOrder {
            tags,
            image_id: if wrong {
                "ami-00000000000000000".to_owned()
            } else {
                self.image.clone()
            },
            secret: secret.clone(),
            ..order("m5.large", secret.reveal())
        }
    }

    fn unknown_id(&self) -> InstanceId {
        "i-00000000deadbeef0".into()
    }

    fn instances_max(&self) -> Option<usize> {
        None
    }

    fn knows_repeated_creates(&self) -> Result<(), String> {
        Err("moto ignores ClientToken".to_owned())
    }

    async fn arrange(&self, fault: Fault) -> Result<(), String> {
        match fault {
            Fault::Refusal => {
                self.wrong_image.store(true, Ordering::SeqCst);
                Ok(())
            }
            Fault::RateLimit => Err("moto throttles nothing".to_owned()),
            Fault::Quota | Fault::CapacityOfType | Fault::CapacityOfGroup => {
                Err("moto lacks nothing".to_owned())
            }
            Fault::Passing | Fault::LostAnswer => Err("moto has no bad days".to_owned()),
        }
    }

    async fn settle(&self) {
        self.wrong_image.store(false, Ordering::SeqCst);
    }

    fn patience(&self) -> Duration {
        PATIENCE
    }

    fn look_every(&self) -> Duration {
        Duration::from_millis(100)
    }
}

pub(super) fn public_key(kind: &str) -> String {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("key");
    let made = Command::new("ssh-keygen")
        .args(["-q", "-t", kind, "-N", "", "-f"])
        .arg(&path)
        .status();
    assert!(made.expect("ssh-keygen").success());
    std::fs::read_to_string(path.with_extension("pub")).expect("a public key")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_driver_keeps_to_the_contract_on_moto() {
    let moto = Arc::new(Moto::start().await);
    let parameters = json!({"SubnetID": moto.subnets(), "SecurityGroupIDs": moto.groups()});
    let set: Arc<dyn InstanceSet> = Arc::new(EndsOnce {
        account: Arc::new(
            moto.account(&parameters, Some(&public_key("ed25519")))
                .await,
        ),
        ended: Mutex::default(),
    });
    let hooks = OnMoto {
        image: moto.image(),
        wrong_image: AtomicBool::new(false),
    };
    let suite = Called::default();
    let run = dispatch_cloud_conformance::run(set, &hooks);
    let mut report = CALLED.scope(Arc::clone(&suite), run).await;
    let again = "destroying_again_succeeds";
    report.passed.retain(|name| *name != again);
    report.cannot_show.push((
        again,
        "moto fails the second end of an instance with a network interface".to_owned(),
    ));
    let scoped = |check| {
        let on_moto = MOTO.scope(Arc::clone(&moto), check);
        CALLED.scope(Arc::clone(&suite), on_moto)
    };
    checks::run_all(&mut report, |check| check.moto, scoped).await;
    report.tell("ec2", "moto");
    assert_eq!(report.failed, [], "{report}");
    assert!(report.passed.len() >= 25, "{}", report.passed.len());
    is_documented("moto", &report);
    assert_eq!(called(&suite), allowed_actions());
    let states: BTreeSet<String> = moto
        .texts("Action=DescribeInstances", "name")
        .into_iter()
        .collect();
    let left = |state: &String| state == "running" || state == "pending";
    assert!(!states.iter().any(left), "{states:?}");
}
