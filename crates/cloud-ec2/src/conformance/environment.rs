//! What the host decides: environment variables and stray files. A process of its own for each, since this one's
//! environment is everybody's.

use std::{
    path::Path,
    process::{Command, Output},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use dispatch_cloud::{Clock, Driver, InstanceSet};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    task::JoinSet,
};

use super::stage::{Setup, context, order, wall_clock};
use crate::Ec2Driver;

/// Set in the environment of a child: which subnet and image to use; empty: only open the account.
const CHILD: &str = "DISPATCH_EC2_CHILD";

/// Whatever is set here, nobody asks the host that would know more.
const NO_HOST: (&str, &str) = ("AWS_EC2_METADATA_DISABLED", "true");

/// Facts E15: no keys and no region in the parameters, no endpoint in the driver.
pub(super) async fn the_default_chain_and_the_endpoint_variables_are_honoured() {
    let stage = Setup::default().start().await;
    for variable in ["AWS_ENDPOINT_URL_EC2", "AWS_ENDPOINT_URL"] {
        let before = stage.alive().len();
        let what = ["subnet-a1", "ami-lab", "m5.small"];
        creates_by_environment(variable, stage.ec2.url(), what).await;
        assert_eq!(stage.alive().len(), before + 1, "{variable}");
    }
}

/// Starts a driver that knows its endpoint and credentials from the environment alone, and has it create an instance.
pub(super) async fn creates_by_environment(variable: &str, url: &str, what: [&str; 3]) {
    let [subnet, image, provider_type] = what;
    let what = json!({"SubnetID": subnet, "ImageID": image, "type": provider_type});
    let what = what.to_string();
    let output = child(&[
        (CHILD, &what),
        (variable, url),
        ("AWS_ACCESS_KEY_ID", "AKIAFORTESTS"),
        ("AWS_SECRET_ACCESS_KEY", "not-a-secret"),
        ("AWS_REGION", "us-east-1"),
        NO_HOST,
    ])
    .await;
    assert!(output.status.success(), "{variable}: {output:?}");
}

/// Facts E15: minutes before they expire, and not at every call. The child makes two calls.
pub(super) async fn credentials_are_renewed_before_they_expire() {
    for (minutes, expected) in [(2, 2), (10, 1)] {
        let stage = Setup::default().start().await;
        let host = Host::start(Duration::from_secs(minutes * 60)).await;
        let what = json!({"SubnetID": "subnet-a1", "ImageID": "ami-lab", "type": "m5.small"});
        let output = child(&[
            (CHILD, &what.to_string()),
            ("AWS_ENDPOINT_URL_EC2", stage.ec2.url()),
            ("AWS_CONTAINER_CREDENTIALS_FULL_URI", &host.url),
            ("AWS_REGION", "us-east-1"),
            ("HOME", "/nonexistent"),
            NO_HOST,
        ])
        .await;
        assert!(output.status.success(), "{output:?}");
        let asked = host.asked.load(Ordering::SeqCst);
        assert_eq!(asked, expected, "that expire in {minutes} min");
    }
}

/// Gives credentials to whoever asks, until it is dropped.
struct Host {
    url: String,
    asked: Arc<AtomicU64>,
    _task: JoinSet<()>,
}

impl Host {
    async fn start(expiring_in: Duration) -> Host {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/", listener.local_addr().expect("a port"));
        let asked = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&asked);
        let mut task = JoinSet::new();
        task.spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::SeqCst);
                let mut request = [0; 4096];
                let _ = stream.read(&mut request).await;
                let until = wall_clock() + expiring_in;
                let keys = json!({"AccessKeyId": "AKIAFORTESTS", "SecretAccessKey": "not-a-secret",
                    "Token": "t", "Expiration": until.to_string()});
                let keys = keys.to_string();
                let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close";
                let answer = format!("{head}\r\nContent-Length: {}\r\n\r\n{keys}", keys.len());
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
        Host {
            url,
            asked,
            _task: task,
        }
    }
}

/// Nor does anybody take it for an outcome that nobody knows.
pub(super) async fn without_credentials_nothing_is_sent() {
    let stage = Setup::default().start().await;
    let what = json!({"SubnetID": "subnet-a1", "ImageID": "ami-lab", "type": "m5.small"});
    let output = child(&[
        (CHILD, &what.to_string()),
        ("AWS_ENDPOINT_URL_EC2", stage.ec2.url()),
        ("AWS_REGION", "us-east-1"),
        ("HOME", "/nonexistent"),
        NO_HOST,
    ])
    .await;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        said.contains("Transient") && said.contains("RunInstances: not sent"),
        "{said}"
    );
    assert!(said.contains("the host's role"), "the remedy: {said}");
    assert_eq!(stage.calls("RunInstances"), 0);
}

/// Facts E23: with the two variables of the unit file, what somebody left in `~/.aws` does nothing.
pub(super) async fn stray_files_do_not_take_over() {
    let home = tempfile::tempdir().expect("a directory");
    let folder = home.path().join(".aws");
    std::fs::create_dir(&folder).expect("a folder");
    std::fs::write(folder.join("config"), "[default]\nregion = stray-1\n").expect("a file");
    let path = |path: &Path| path.to_str().expect("text").to_owned();
    let home = path(home.path());
    let stray = [(CHILD, "{}"), ("HOME", home.as_str()), NO_HOST];
    assert!(
        child(&stray).await.status.success(),
        "the stray file names a region"
    );
    let guarded = [
        stray.as_slice(),
        &[
            ("AWS_CONFIG_FILE", "/dev/null"),
            ("AWS_SHARED_CREDENTIALS_FILE", "/dev/null"),
        ],
    ]
    .concat();
    let output = child(&guarded).await;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        !output.status.success() && said.contains("Region is empty"),
        "{said}"
    );
}

/// Runs the one test below in a process with this environment and no other.
async fn child(environment: &[(&str, &str)]) -> Output {
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command
        .args(["--exact", "--nocapture"])
        .arg("conformance::environment::a_driver_is_opened_by_its_environment")
        .env_clear()
        .envs(environment.iter().copied());
    let run = tokio::task::spawn_blocking(move || command.output());
    run.await.expect("a thread").expect("a child")
}

/// As a child of another test: with what the environment says. By itself: with an environment that says nothing, which
/// is refused in words that help.
#[tokio::test]
async fn a_driver_is_opened_by_its_environment() {
    let Ok(what) = std::env::var(CHILD) else {
        let output = child(&[(CHILD, "{}"), ("HOME", "/nonexistent"), NO_HOST]).await;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains("DriverParameters.Region is empty"), "{said}");
        return;
    };
    let what: Value = serde_json::from_str(&what).expect("JSON");
    let parameters = json!({"SubnetID": what["SubnetID"]});
    let opened = Ec2Driver::default()
        .open(&parameters, context(None, Clock::start()))
        .await;
    let account: Arc<dyn InstanceSet> = match opened {
        Ok(account) => account,
        Err(error) => panic!("{error}"),
    };
    if let Some(image) = what["ImageID"].as_str() {
        let provider_type = what["type"].as_str().unwrap_or_default();
        let mut order = order(
            provider_type,
            &format!("a secret of process {}", std::process::id()),
        );
        order.image_id = image.to_owned();
        account.create(order).await.expect("an instance");
    }
}
