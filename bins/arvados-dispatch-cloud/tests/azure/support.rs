//! A lab with an Azure API, a configuration, and a daemon at work on it.

use std::{
    fs::OpenOptions,
    io::Write as _,
    net::{TcpListener, TcpStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use dispatch_lab_net::{
    AzureApi, AzureSettings, ClusterConfig, Lab, LabHandle,
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

/// Under `Containers.CloudVMs`: a daemon in a hurry.
const CLOUD_VMS: &[(&str, &str)] = &[
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
];

/// A lab with its Azure API and its daemon.
pub(crate) struct Rig {
    pub(crate) lab: LabHandle,
    pub(crate) azure: AzureApi,
    daemon: Child,
    directory: TempDir,
    management: String,
}

impl Rig {
    /// Sets all up, and waits until the daemon listens.
    pub(crate) async fn start(change: impl FnOnce(&mut Lab, &mut AzureSettings)) -> Rig {
        let mut settings = Settings::default();
        settings.vm.port = 0;
        settings.vm.boot_ms = Span::between(50, 150);
        settings.vm.boot_probe_fails_ms = Span::between(0, 100);
        settings.cloud.create_latency_ms = Span::between(20, 60);
        settings.cloud.address_ms = Span::between(20, 60);
        settings.timeout_probe_ms = 20_000;
        let mut lab = Lab::new(7, settings);
        let mut azure = AzureSettings::default();
        change(&mut lab, &mut azure);
        let management = free_address();
        let lines = CLOUD_VMS.iter();
        lab.config = ClusterConfig {
            management_address: management.clone(),
            cloud_vms: lines
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
                .collect(),
            containers: vec![("StaleLockTimeout".to_owned(), "5s".to_owned())],
            ..lab.config
        };
        let lab = lab.start().await.expect("the lab starts");
        let azure = lab.serve_azure(azure).await.expect("the lab's Azure");
        let directory = tempfile::tempdir().expect("a directory");
        let text = with_azure(lab.config_yaml(), &azure.settings());
        std::fs::write(directory.path().join("config.yml"), text).expect("written");
        let daemon = daemon(&directory, azure.url());
        let mut rig = Rig {
            lab,
            azure,
            daemon,
            directory,
            management,
        };
        rig.listens().await;
        rig
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
        self.daemon = daemon(&self.directory, self.azure.url());
        self.listens().await;
    }

    /// The daemon's log so far.
    fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
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

    /// No VM, network interface or disk is left.
    pub(crate) async fn nothing_is_left(&self) {
        let azure = &self.azure;
        let left = || [azure.vms(), azure.nics(), azure.disks()].concat();
        // The lab brings itself up to date with each request, and the daemon goes on listing.
        eventually("nothing is left", || left().is_empty()).await;
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

/// The lab's configuration with the driver `azure` in the place of the lab's own.
fn with_azure(text: &str, azure: &AzureSettings) -> String {
    let parameters = [
        ("SubscriptionID", azure.subscription.as_str()),
        ("TenantID", &azure.tenant),
        ("ClientID", &azure.client_id),
        ("ClientSecret", &azure.client_secret),
        ("Location", &azure.location),
        ("ResourceGroup", "vms"),
        ("NetworkResourceGroup", "net"),
        ("ImageResourceGroup", "images"),
        ("Network", "vnet"),
        ("Subnet", "subnet"),
        ("AdminUsername", "crunch"),
    ];
    let mut lines = String::new();
    for line in text.lines() {
        match line.trim().split_once(':') {
            Some(("Driver", _)) => lines.push_str("        Driver: azure\n"),
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

fn daemon(directory: &TempDir, url: &str) -> Child {
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
        .env("AZURE_AUTHORITY_HOST", url)
        .env("AZURE_RESOURCE_MANAGER_ENDPOINT", url)
        .env("AZURE_POD_IDENTITY_AUTHORITY_HOST", url)
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
