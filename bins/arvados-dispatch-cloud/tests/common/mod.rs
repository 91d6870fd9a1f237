//! What the tests of the daemon on a cloud have in common: the daemon as a process of its own, the lab it works on, and
//! the lab's judgement.

pub(crate) mod lives;

use std::{
    collections::BTreeMap,
    fs::OpenOptions,
    io::{Read as _, Write as _},
    net::TcpStream,
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};

use dispatch_lab_net::{
    ClusterConfig, Lab, LabHandle, free_address,
    world::{Settings, Span, judge::Report, world::Submission},
};
use serde_json::json;
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

/// A quick lab.
pub(crate) fn quick_settings() -> Settings {
    let mut settings = Settings::default();
    settings.vm.port = 0;
    settings.vm.boot_ms = Span::between(50, 150);
    settings.vm.boot_probe_fails_ms = Span::between(0, 100);
    settings.cloud.create_latency_ms = Span::between(20, 60);
    settings.cloud.address_ms = Span::between(20, 60);
    settings.timeout_probe_ms = 20_000;
    settings
}

/// Under `Containers.CloudVMs`, in YAML: a daemon in a hurry.
pub(crate) fn hurried_cloud_vms() -> BTreeMap<&'static str, String> {
    text(&[
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
    ])
}

/// Pairs of texts.
pub(crate) fn text(pairs: &[(&'static str, &str)]) -> BTreeMap<&'static str, String> {
    let pairs = pairs.iter();
    pairs
        .map(|(key, value)| (*key, (*value).to_owned()))
        .collect()
}

/// The lab, and a daemon at work on it.
pub(crate) struct Cluster {
    pub(crate) lab: LabHandle,
    pub(crate) daemon: Child,
    pub(crate) directory: TempDir,
    environment: BTreeMap<&'static str, String>,
    management: String,
    token: String,
}

/// A lab that is served, with a configuration for a daemon that is not started yet.
pub(crate) struct Prepared {
    pub(crate) lab: LabHandle,
    management: String,
    token: String,
}

impl Prepared {
    /// Serves this lab.
    pub(crate) async fn start(mut lab: Lab, cloud_vms: BTreeMap<&'static str, String>) -> Prepared {
        let management = free_address().expect("a free port");
        let lines = cloud_vms.into_iter();
        lab.config = ClusterConfig {
            management_address: management.clone(),
            cloud_vms: lines.map(|(key, value)| (key.to_owned(), value)).collect(),
            containers: vec![("StaleLockTimeout".to_owned(), "5s".to_owned())],
            ..lab.config
        };
        let token = lab.config.management_token.clone();
        let lab = lab.start().await.expect("the lab starts");
        Prepared {
            lab,
            management,
            token,
        }
    }

    /// The lab's configuration with this driver in the place of the lab's own, with these `DriverParameters`.
    pub(crate) fn config(&self, driver: &str, parameters: &BTreeMap<&str, String>) -> String {
        let mut lines = String::new();
        for line in self.lab.config_yaml().lines() {
            match line.trim().split_once(':') {
                Some(("Driver", _)) => lines.push_str(&format!("        Driver: {driver}\n")),
                Some(("Endpoint", _)) => {
                    for (key, value) in parameters {
                        lines.push_str(&format!("          {key}: {value}\n"));
                    }
                }
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

    /// Starts the daemon with this configuration, in this environment, and does not wait for it.
    pub(crate) fn run(self, config: &str, environment: BTreeMap<&'static str, String>) -> Cluster {
        let directory = tempfile::tempdir().expect("a directory");
        std::fs::write(directory.path().join("config.yml"), config).expect("written");
        let daemon = daemon(&directory, &environment);
        Cluster {
            lab: self.lab,
            daemon,
            directory,
            environment,
            management: self.management,
            token: self.token,
        }
    }
}

impl Cluster {
    /// Waits until the daemon listens.
    pub(crate) async fn listens(&mut self) {
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
        self.kill_and_start();
        self.listens().await;
    }

    /// The same, without waiting for the other.
    pub(crate) fn kill_and_start(&mut self) {
        self.daemon.kill().expect("killed");
        self.daemon.wait().expect("a child");
        self.lab.world(|world, _| world.dispatcher_restarted());
        self.daemon = daemon(&self.directory, &self.environment);
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

    pub(crate) fn submit(&self, submission: &Submission) -> String {
        self.lab
            .world(|world, now| world.submit(submission, now))
            .expect("a good container")
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

    /// What the log says of the containers that are named here.
    fn story(&self, failures: &[String]) -> String {
        let words = failures
            .iter()
            .flat_map(|failure| failure.split([' ', ',']));
        let named: Vec<&str> = words.filter(|word| word.contains("-dz642-")).collect();
        let log = self.log();
        let lines = log
            .lines()
            .filter(|line| named.iter().any(|uuid| line.contains(uuid)));
        lines.collect::<Vec<_>>().join("\n")
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
        let failures = report.failures();
        assert!(
            failures.is_empty(),
            "{failures:?}: {}",
            self.story(&failures)
        );
        report
    }
}

impl Drop for Cluster {
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

fn daemon(directory: &TempDir, environment: &BTreeMap<&'static str, String>) -> Child {
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
        .envs(environment)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .expect("the daemon starts")
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
