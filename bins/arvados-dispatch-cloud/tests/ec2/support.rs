//! A lab with an EC2 API, a configuration, and a daemon at work on it.

use std::{
    collections::BTreeMap,
    fs::OpenOptions,
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};

use dispatch_lab_net::{
    ClusterConfig, Ec2Api, Ec2Settings, Lab, LabHandle, Subnet,
    world::{Settings, Span, judge::Report, world::Submission},
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::Instant;

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(180);
/// How often to look.
const EVERY: Duration = Duration::from_millis(20);
/// Lines of the daemon's log that are shown when a test fails.
const LAST_LINES: usize = 80;

/// Looks until it is true.
#[track_caller]
pub(crate) fn eventually(what: &str, mut look: impl FnMut() -> bool) -> impl Future<Output = ()> {
    let place = std::panic::Location::caller();
    async move {
        let deadline = Instant::now() + PATIENCE;
        while !look() {
            assert!(Instant::now() < deadline, "never: {what} ({place})");
            tokio::time::sleep(EVERY).await;
        }
    }
}

/// What to set up.
pub(crate) struct Order {
    pub(crate) lab: Lab,
    pub(crate) ec2: Ec2Settings,
    /// Under `DriverParameters`, in YAML.
    pub(crate) parameters: BTreeMap<&'static str, String>,
    /// Under `Containers.CloudVMs`, in YAML.
    pub(crate) cloud_vms: BTreeMap<&'static str, String>,
    /// Where the daemon finds EC2; the lab's own if not said.
    pub(crate) endpoint: Option<String>,
    /// Variables of the daemon's environment.
    pub(crate) environment: BTreeMap<&'static str, String>,
    /// Changes the configuration as a text, when all else is in it.
    pub(crate) edit: Box<dyn Fn(String) -> String + Send>,
}

impl Order {
    /// A quick lab, three subnets in two zones, a daemon in a hurry.
    fn usual() -> Order {
        let mut settings = Settings::default();
        settings.vm.port = 0;
        settings.vm.boot_ms = Span::between(50, 150);
        settings.vm.boot_probe_fails_ms = Span::between(0, 100);
        settings.cloud.create_latency_ms = Span::between(20, 60);
        settings.cloud.address_ms = Span::between(20, 60);
        settings.timeout_probe_ms = 20_000;
        // EC2 goes on listing what has ended.
        settings.cloud.gone_listed_ms = Span::exactly(60_000);
        let text = |pairs: &[(&'static str, &str)]| {
            let pairs = pairs.iter();
            pairs
                .map(|(key, value)| (*key, (*value).to_owned()))
                .collect()
        };
        Order {
            lab: Lab::new(1, settings),
            ec2: Ec2Settings {
                subnets: vec![
                    Subnet::new("subnet-a1", "lab-1a"),
                    Subnet::new("subnet-a2", "lab-1a"),
                    Subnet::new("subnet-b1", "lab-1b"),
                ],
                ..Ec2Settings::default()
            },
            parameters: text(&[
                ("Region", "us-east-1"),
                ("AccessKeyID", "AKIALABLABLABLABLABL"),
                ("SecretAccessKey", "not-a-secret-but-masked"),
                ("SubnetID", "[subnet-a1, subnet-a2, subnet-b1]"),
                ("SecurityGroupIDs", "[sg-1]"),
                ("AdminUsername", "crunch"),
            ]),
            cloud_vms: text(&[
                ("BootProbeCommand", "systemctl is-system-running"),
                ("MaxInstances", "16"),
                ("PollInterval", "500ms"),
                ("SyncInterval", "1s"),
                ("ProbeInterval", "1s"),
                ("MaxProbesPerSecond", "100"),
                ("MaxCloudOpsPerSecond", "100"),
                ("MaxConcurrentInstanceCreateOps", "0"),
                ("TimeoutIdle", "1s"),
                ("TimeoutBooting", "20s"),
                ("TimeoutProbe", "20s"),
                ("TimeoutShutdown", "2s"),
                ("TimeoutSignal", "1s"),
                ("TimeoutTERM", "10s"),
                ("TimeoutStaleRunLock", "2s"),
            ]),
            endpoint: None,
            environment: text(&[("AWS_EC2_METADATA_DISABLED", "true")]),
            edit: Box::new(|text| text),
        }
    }

    pub(crate) fn vms(&mut self, key: &'static str, value: &str) {
        self.cloud_vms.insert(key, value.to_owned());
    }

    pub(crate) fn parameter(&mut self, key: &'static str, value: &str) {
        self.parameters.insert(key, value.to_owned());
    }
}

/// A lab with its EC2 API and its daemon.
pub(crate) struct Rig {
    pub(crate) lab: LabHandle,
    pub(crate) ec2: Ec2Api,
    daemon: Child,
    directory: TempDir,
    endpoint: String,
    environment: BTreeMap<&'static str, String>,
    management: String,
    token: String,
}

impl Rig {
    /// Sets all up, and waits until the daemon listens.
    pub(crate) async fn start(change: impl FnOnce(&mut Order)) -> Rig {
        let mut rig = Rig::start_unchecked(change).await;
        rig.listens().await;
        rig
    }

    /// The same for a daemon that may not come up.
    pub(crate) async fn start_unchecked(change: impl FnOnce(&mut Order)) -> Rig {
        let mut order = Order::usual();
        change(&mut order);
        let management = free_address();
        let mut lab = order.lab;
        let lines = order.cloud_vms.into_iter();
        lab.config = ClusterConfig {
            management_address: management.clone(),
            cloud_vms: lines.map(|(key, value)| (key.to_owned(), value)).collect(),
            containers: vec![("StaleLockTimeout".to_owned(), "5s".to_owned())],
            ..lab.config
        };
        let token = lab.config.management_token.clone();
        let lab = lab.start().await.expect("the lab starts");
        let ec2 = lab.serve_ec2(order.ec2).await.expect("the lab's EC2");
        let directory = tempfile::tempdir().expect("a directory");
        let parameters: String = (order.parameters.iter())
            .map(|(key, value)| format!("          {key}: {value}\n"))
            .collect();
        let text = with_ec2(lab.config_yaml(), &parameters);
        std::fs::write(directory.path().join("config.yml"), (order.edit)(text)).expect("written");
        let endpoint = order.endpoint.unwrap_or_else(|| ec2.url().to_owned());
        let daemon = daemon(&directory, &endpoint, &order.environment);
        Rig {
            lab,
            ec2,
            daemon,
            directory,
            endpoint,
            environment: order.environment,
            management,
            token,
        }
    }

    async fn listens(&mut self) {
        let (daemon, address) = (&mut self.daemon, &self.management);
        eventually("the daemon listens", || {
            if let Some(status) = daemon.try_wait().expect("a child") {
                panic!("the daemon ended by itself: {status}");
            }
            TcpStream::connect(address).is_ok()
        })
        .await;
    }

    /// Kills the daemon without warning and starts another.
    pub(crate) async fn kill_and_start_again(&mut self) {
        self.daemon.kill().expect("killed");
        self.daemon.wait().expect("a child");
        self.lab.world(|world, _| world.dispatcher_restarted());
        self.daemon = daemon(&self.directory, &self.endpoint, &self.environment);
        self.listens().await;
    }

    /// The daemon has ended by itself.
    pub(crate) async fn ends(&mut self) -> ExitStatus {
        let mut status = None;
        eventually("the daemon ends", || {
            status = self.daemon.try_wait().expect("a child");
            status.is_some()
        })
        .await;
        status.expect("it has ended")
    }

    /// The daemon's log so far.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }

    /// The body of an answer of the management API; "" if there was none.
    pub(crate) fn management(&self, method: &str, path: &str) -> String {
        let ask = || -> std::io::Result<String> {
            let mut stream = TcpStream::connect(&self.management)?;
            stream.set_read_timeout(Some(Duration::from_secs(10)))?;
            let (address, token) = (&self.management, &self.token);
            write!(
                stream,
                "{method} {path} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\n\
                 Content-Length: 0\r\nConnection: close\r\n\r\n"
            )?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer)?;
            Ok(answer)
        };
        let answer = ask().unwrap_or_default();
        let body = answer.split_once("\r\n\r\n");
        body.map_or_else(String::new, |(_, body)| body.to_owned())
    }

    /// The instances, as the management API shows them.
    pub(crate) fn instances(&self) -> Vec<Value> {
        let text = self.management("GET", "/arvados/v1/dispatch/instances");
        let value: Value = serde_json::from_str(json_of(&text)).unwrap_or_default();
        value["items"].as_array().cloned().unwrap_or_default()
    }

    pub(crate) fn submit(&self, submission: &Submission) -> String {
        self.lab
            .world(|world, now| world.submit(submission, now))
            .expect("a good container")
    }

    pub(crate) fn submit_many(&self, n: usize, submission: &Submission) -> Vec<String> {
        (0..n).map(|_| self.submit(submission)).collect()
    }

    /// "Queued", "Locked", …
    pub(crate) fn state(&self, uuid: &str) -> &'static str {
        self.lab
            .world(|world, _| world.containers().containers()[uuid].state.name())
    }

    pub(crate) async fn all_in_state(&self, uuids: &[String], state: &str) {
        eventually(&format!("all are {state}"), || {
            uuids.iter().all(|uuid| self.state(uuid) == state)
        })
        .await;
    }

    /// The instances that cost money, and what EC2 calls their types.
    pub(crate) fn living(&self) -> BTreeMap<String, (String, bool)> {
        self.lab.world(|world, _| {
            let instances = world.instances().instances().values();
            instances
                .filter(|instance| instance.alive() && !instance.bystander)
                .map(|one| {
                    let kind = &one.instance_type;
                    let kind = (kind.provider_type.clone(), kind.preemptible);
                    (one.id.clone(), kind)
                })
                .collect()
        })
    }

    /// The judgement so far. Nothing that must never happen has happened.
    pub(crate) fn judge(&self) -> Report {
        let report = self.lab.world(|world, now| world.report(now));
        assert_eq!(report.breaches, Vec::<String>::new());
        assert_eq!(report.run_twice, 0);
        report
    }

    /// Every container is final, no instance is left, and nothing was cancelled without a cause.
    pub(crate) async fn all_is_done(&self) -> Report {
        eventually("all is done and paid", || {
            let report = self.judge();
            report.complete + report.cancelled == report.submitted && report.instances_left == 0
        })
        .await;
        let report = self.judge();
        assert_eq!(report.failures(), Vec::<String>::new());
        report
    }

    /// Each volume that was asked for goes with its instance.
    pub(crate) fn volumes_go_with_their_instances(&self) {
        let forms = self.ec2.forms();
        let runs: Vec<_> = (forms.iter())
            .filter(|form| form["Action"] == "RunInstances")
            .collect();
        assert!(!runs.is_empty());
        for form in runs {
            let key = "BlockDeviceMapping.1.Ebs.DeleteOnTermination";
            if form.contains_key("BlockDeviceMapping.1.DeviceName") {
                assert_eq!(form.get(key).map(String::as_str), Some("true"), "{form:?}");
            }
            assert_eq!(form["InstanceInitiatedShutdownBehavior"], "terminate");
        }
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        // What has ended already cannot be killed.
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = (log.lines())
                .filter(|line| !line.contains(r#""msg":"response""#))
                .collect();
            let last = &lines[lines.len().saturating_sub(LAST_LINES)..];
            // Nobody listens if standard error is closed.
            let _ = writeln!(std::io::stderr(), "the daemon's log:\n{}", last.join("\n"));
        }
    }
}

/// The lab's configuration with the driver `ec2` in the place of the lab's own.
fn with_ec2(text: &str, parameters: &str) -> String {
    let mut lines = String::new();
    for line in text.lines() {
        match line.trim().split_once(':') {
            Some(("Driver", _)) => lines.push_str("        Driver: ec2\n"),
            Some(("Endpoint", _)) => lines.push_str(parameters),
            // In its place: among the parameters.
            Some(("AdminUsername", _)) => {}
            _ => {
                lines.push_str(line);
                lines.push('\n');
            }
        }
    }
    lines
}

fn daemon(
    directory: &TempDir,
    endpoint: &str,
    environment: &BTreeMap<&'static str, String>,
) -> Child {
    let log = OpenOptions::new()
        .create(true)
        .append(true)
        .open(directory.path().join("log"))
        .expect("a log file");
    Command::new(PathBuf::from(env!("CARGO_BIN_EXE_arvados-dispatch-cloud")))
        .args(["run", "--config"])
        .arg(directory.path().join("config.yml"))
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("AWS_ENDPOINT_URL", endpoint)
        .envs(environment)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .expect("the daemon starts")
}

/// A loopback address that is free at this moment.
fn free_address() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("an address").to_string()
}

/// The JSON in a body that may be sent in chunks.
fn json_of(body: &str) -> &str {
    let (Some(from), Some(to)) = (body.find('{'), body.rfind('}')) else {
        return "null";
    };
    &body[from..=to]
}

/// A container of so many cores that runs for so long, ms.
pub(crate) fn container(vcpus: u32, run_ms: u64) -> Submission {
    let constraints = json!({"API": false, "ram": 256 << 20, "vcpus": vcpus, "keep_cache_ram": 0, "keep_cache_disk": 0});
    Submission {
        attributes: [("runtime_constraints".to_owned(), constraints)]
            .into_iter()
            .collect(),
        run_ms: Some(run_ms),
        exit_code: 0,
    }
}
