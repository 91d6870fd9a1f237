//! A lab, a configuration, and a daemon at work on it.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Write,
    path::{Path, PathBuf},
};

use dispatch_lab::{Settings, Span, judge::Report, world::Submission};
use dispatch_lab_net::{ClusterConfig, Lab, LabHandle, Scheme, free_address};
use serde_json::json;
use tempfile::TempDir;

use super::{Daemon, Launch, Management, Ran, eventually, holds, run_ctl};

/// Lines of the daemon's log that are shown when a test fails.
const LAST_LINES: usize = 60;

/// What to set up.
pub(crate) struct Order {
    /// The lab.
    pub(crate) lab: Lab,
    /// Under `Containers.CloudVMs`.
    pub(crate) cloud_vms: BTreeMap<&'static str, String>,
    /// Under `Containers`.
    pub(crate) containers: BTreeMap<&'static str, String>,
    /// Lines of YAML under the cluster, not indented.
    pub(crate) cluster: String,
    /// Changes the configuration as a text, when all else is in it.
    pub(crate) edit: Box<dyn Fn(String) -> String + Send>,
}

impl Order {
    /// A quick lab, and a daemon in a hurry.
    fn usual() -> Order {
        let mut settings = Settings::default();
        settings.vm.port = 0;
        settings.vm.boot_ms = Span::between(50, 150);
        settings.vm.boot_probe_fails_ms = Span::between(0, 100);
        settings.cloud.create_latency_ms = Span::between(20, 60);
        settings.cloud.address_ms = Span::between(20, 60);
        settings.timeout_probe_ms = 20_000;
        let cloud_vms = [
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
        Order {
            lab: Lab {
                scheme: Scheme::Https,
                ..Lab::new(1, settings)
            },
            cloud_vms: cloud_vms
                .into_iter()
                .map(|(key, value)| (key, value.to_owned()))
                .collect(),
            containers: BTreeMap::from([("StaleLockTimeout", "5s".to_owned())]),
            cluster: String::new(),
            edit: Box::new(|text| text),
        }
    }

    pub(crate) fn vms(&mut self, key: &'static str, value: &str) {
        self.cloud_vms.insert(key, value.to_owned());
    }
}

/// A lab with its daemon.
pub(crate) struct Rig {
    pub(crate) lab: LabHandle,
    pub(crate) daemon: Daemon,
    pub(crate) management: Management,
    pub(crate) directory: TempDir,
}

impl Rig {
    /// Sets all up, and waits until the daemon listens.
    pub(crate) async fn start(change: impl FnOnce(&mut Order)) -> Rig {
        Rig::start_with(change, |launch| launch).await
    }

    /// The same, with a say in how the daemon is started.
    pub(crate) async fn start_with(
        change: impl FnOnce(&mut Order),
        how: impl FnOnce(Launch) -> Launch,
    ) -> Rig {
        let (lab, management, directory) = Rig::prepare(change).await;
        let daemon = how(launch(directory.path())).start();
        let mut rig = Rig {
            lab,
            daemon,
            management,
            directory,
        };
        rig.daemon.listens_on(&rig.management.address).await;
        rig
    }

    /// All but the daemon: the lab, where the management API will be, and the directory with `config.yml`.
    pub(crate) async fn prepare(
        change: impl FnOnce(&mut Order),
    ) -> (LabHandle, Management, TempDir) {
        let mut order = Order::usual();
        change(&mut order);
        let management_address = free_address().expect("a free port");
        let lines = |lines: BTreeMap<&'static str, String>| {
            lines
                .into_iter()
                .map(|(key, value)| (key.to_owned(), value))
                .collect()
        };
        let mut lab = order.lab;
        lab.config = ClusterConfig {
            management_address: management_address.clone(),
            cloud_vms: lines(order.cloud_vms),
            containers: lines(order.containers),
            ..lab.config
        };
        let token = lab.config.management_token.clone();
        let lab = lab.start().await.expect("the lab starts");
        let directory = tempfile::tempdir().expect("a directory");
        let further: String = order
            .cluster
            .lines()
            .map(|line| format!("    {line}\n"))
            .collect();
        let text = (order.edit)(lab.config_yaml().to_owned() + &further);
        std::fs::write(directory.path().join("config.yml"), text).expect("written");
        let management = Management::new(&management_address, &token);
        (lab, management, directory)
    }

    /// The configuration file.
    pub(crate) fn config(&self) -> PathBuf {
        self.directory.path().join("config.yml")
    }

    /// The daemon's log so far.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }

    /// Starts the daemon again after its end.
    pub(crate) async fn start_again(&mut self, how: impl FnOnce(Launch) -> Launch) {
        self.daemon = how(launch(self.directory.path())).start();
        self.daemon.listens_on(&self.management.address).await;
    }

    pub(crate) async fn ctl(&self, arguments: &[&str]) -> Ran {
        run_ctl(&self.config(), arguments).await
    }

    /// Submits one; its UUID.
    pub(crate) fn submit(&self, submission: &Submission) -> String {
        self.lab
            .world(|world, now| world.submit(submission, now))
            .expect("a good container")
    }

    /// Submits so many that are alike.
    pub(crate) fn submit_many(&self, n: usize, submission: &Submission) -> Vec<String> {
        (0..n).map(|_| self.submit(submission)).collect()
    }

    /// "Queued", "Locked", …
    pub(crate) fn state(&self, uuid: &str) -> &'static str {
        self.lab
            .world(|world, _| world.containers().containers()[uuid].state.name())
    }

    pub(crate) async fn all_in_state(&self, uuids: &[String], state: &str) {
        eventually(&format!("all are {state}"), async || {
            holds(uuids.iter().all(|uuid| self.state(uuid) == state))
        })
        .await;
    }

    /// The runner processes that live, as the world knows them: container, instance and process.
    pub(crate) fn runners(&self) -> BTreeSet<(String, String, u32)> {
        self.lab.world(|world, now| {
            world.advance(now);
            let containers = world.containers().containers().keys();
            containers
                .filter_map(|uuid| Some((uuid, world.judge().story(uuid)?)))
                .flat_map(|(uuid, story)| {
                    let runners = story.runners.keys();
                    runners.map(|(instance, pid)| (uuid.clone(), instance.clone(), *pid))
                })
                .collect()
        })
    }

    /// The instances that cost money.
    pub(crate) fn living_instances(&self) -> BTreeSet<String> {
        self.lab.world(|world, _| {
            let instances = world.instances().instances().values();
            instances
                .filter(|instance| instance.alive() && !instance.bystander)
                .map(|instance| instance.id.clone())
                .collect()
        })
    }

    /// A tag as the cloud has it; "" if it has none.
    pub(crate) fn tag(&self, instance: &str, key: &str) -> String {
        self.lab.world(|world, _| {
            let tags = &world.instances().instances()[instance].tags;
            tags.get(key).cloned().unwrap_or_default()
        })
    }

    /// The judgement so far. Nothing that must never happen has happened.
    pub(crate) fn judge(&self) -> Report {
        let report = self.lab.world(|world, now| world.report(now));
        assert_eq!(report.breaches, Vec::<String>::new());
        assert_eq!(report.run_twice, 0);
        report
    }

    /// Every container is Complete after one run, and no instance is left.
    pub(crate) async fn everything_completes(&self) {
        eventually("all is done and paid", async || {
            let report = self.judge();
            holds(report.complete == report.submitted && report.instances_left == 0)
        })
        .await;
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.log();
            // Tests ask again and again; the answers say nothing.
            let lines: Vec<&str> = log
                .lines()
                .filter(|line| !line.contains(r#""msg":"response""#))
                .collect();
            let last = &lines[lines.len().saturating_sub(LAST_LINES)..];
            // Nobody listens if standard error is closed.
            let _ = writeln!(std::io::stderr(), "the daemon's log:\n{}", last.join("\n"));
        }
    }
}

fn launch(directory: &Path) -> Launch {
    Launch::new(&directory.join("config.yml"), &directory.join("log"))
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
