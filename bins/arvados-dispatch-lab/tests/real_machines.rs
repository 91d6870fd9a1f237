//! Machines that are real `sshd` processes, with the stand-in runner: over the system's own ssh, sudo, flock and locks.
//! Needs root and the packages openssh-server, openssh-client and sudo, which `cargo xtask test` installs.

use std::{
    fs,
    io::Write,
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    process::{Command, Output, Stdio},
    time::Duration,
};

use dispatch_lab::{
    Settings, Span,
    cloud::{CloudAnswer, CloudCall, Order},
    vm::example_start_document,
    world::Submission,
};
use dispatch_lab_net::{Lab, LabHandle, VmKind};
use tokio::time::Instant;

const DEADLINE: Duration = Duration::from_secs(60);
const RUNNER: &str = "/tmp/crunch-run";

struct Bench {
    lab: LabHandle,
    _directory: tempfile::TempDir,
    key: PathBuf,
    host: String,
    port: String,
    instance: String,
}

impl Bench {
    /// A lab with one machine that answers, and the runner on it.
    /// Each test has a seed of its own, and so UUIDs of its own: they share the host's process table.
    async fn start(seed: u64, change: impl FnOnce(&mut Settings)) -> Bench {
        let directory = tempfile::Builder::new()
            .prefix("lab-real-")
            .tempdir_in("/var/tmp")
            .unwrap();
        let mut settings = Settings::default();
        settings.vm.port = 0;
        settings.vm.net = [127, 78];
        settings.vm.boot_ms = Span::exactly(10);
        settings.cloud.address_ms = Span::exactly(0);
        settings.runner.start_ms = Span::exactly(200);
        change(&mut settings);
        let mut lab = Lab::new(seed, settings);
        lab.vms = VmKind::Sshd(directory.path().to_owned());
        let lab = lab.start().await.unwrap();
        let key = directory.path().join("dispatcher_key");
        fs::write(&key, lab.private_key()).unwrap();
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
        let order = Order {
            provider_type: "lab.8".into(),
            init_script:
                "#!/bin/sh\n(umask 0177; printf s3cret > /var/run/arvados-instance-secret)\n".into(),
            ..Order::default()
        };
        let made = lab
            .world(|world, now| world.cloud(&CloudCall::Create(order), now))
            .answer;
        let CloudAnswer::Created(instance) = made else {
            panic!("not created: {made:?}")
        };
        let (host, port) = instance.address.split_once(':').unwrap();
        let bench = Bench {
            lab,
            _directory: directory,
            key,
            host: host.into(),
            port: port.into(),
            instance: instance.id,
        };
        bench
            .until("it lets us in", || {
                bench
                    .ssh("crunch", "test -e /run/lab-booted", b"")
                    .status
                    .success()
            })
            .await;
        let binary = fs::read(env!("CARGO_BIN_EXE_lab-crunch-run")).unwrap();
        assert!(
            bench
                .ssh(
                    "root",
                    &format!("cat > {RUNNER} && chmod 0755 {RUNNER}"),
                    &binary
                )
                .status
                .success()
        );
        bench
    }

    async fn until(&self, what: &str, mut is_true: impl FnMut() -> bool) {
        let until = Instant::now() + DEADLINE;
        while !tokio::task::block_in_place(&mut is_true) {
            assert!(Instant::now() < until, "not within {DEADLINE:?}: {what}");
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
    }

    fn ssh(&self, user: &str, command: &str, stdin: &[u8]) -> Output {
        let mut child = Command::new("ssh")
            .args([
                "-F",
                "none",
                "-o",
                "BatchMode=yes",
                "-o",
                "StrictHostKeyChecking=no",
                "-o",
                "UserKnownHostsFile=/dev/null",
            ])
            .args([
                "-o",
                "LogLevel=ERROR",
                "-o",
                "ConnectTimeout=10",
                "-p",
                &self.port,
                "-i",
            ])
            .arg(&self.key)
            .arg(format!("{user}@{}", self.host))
            .arg(command)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the package openssh-client is installed");
        // A command may end without having read all.
        let _ = child.stdin.take().unwrap().write_all(stdin);
        child.wait_with_output().unwrap()
    }

    /// As the user crunch: exit code and standard output.
    fn run(&self, command: &str, stdin: &[u8]) -> (i32, String) {
        let output = tokio::task::block_in_place(|| self.ssh("crunch", command, stdin));
        (
            output.status.code().unwrap_or(-1),
            String::from_utf8_lossy(&output.stdout).into_owned(),
        )
    }

    fn list(&self) -> String {
        let (status, listed) = self.run(&format!("sudo {RUNNER} --list"), b"");
        assert_eq!(status, 0);
        listed
    }

    fn locked_container(&self, run_ms: u64) -> String {
        self.lab.world(|world, now| {
            let uuid = world
                .submit(
                    &Submission {
                        run_ms: Some(run_ms),
                        ..Submission::default()
                    },
                    now,
                )
                .unwrap();
            let token = world.settings().system_root_token.clone();
            let path = format!("/arvados/v1/containers/{uuid}/lock");
            let request = dispatch_lab::api::ApiRequest::new("POST", &path, &token, &[]);
            assert_eq!(world.api(&request, now).answer.status, 200);
            uuid
        })
    }

    fn start_container(&self, uuid: &str) -> (i32, String) {
        let token = self
            .lab
            .world(|world, _| world.settings().system_root_token.clone());
        let document = example_start_document(uuid, &token);
        let command =
            format!("sudo {RUNNER} --detach --stdin-config '--runtime-engine=docker' '{uuid}'");
        self.run(&command, document.as_bytes())
    }

    fn state(&self, uuid: &str) -> &'static str {
        self.lab
            .world(|world, _| world.containers().containers()[uuid].state.name())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_runner_keeps_its_lock_from_start_to_end() {
    let bench = Bench::start(1, |_| {}).await;
    assert_eq!(
        bench.run("sudo cat /var/run/arvados-instance-secret", b""),
        (0, "s3cret".into())
    );
    assert_eq!(bench.run("cat /var/run/arvados-instance-secret", b"").0, 1);
    assert_eq!(bench.list(), "");
    let uuid = bench.locked_container(3000);
    let (status, started) = bench.start_container(&uuid);
    assert_eq!(status, 0);
    assert!(
        started.starts_with(&format!("{{\"UUID\":\"{uuid}\",\"PID\":")),
        "{started}"
    );
    assert_eq!(bench.list(), format!("{uuid}\n"));
    assert_eq!(bench.start_container(&uuid).0, 1, "its lock is held");
    // What the exit watch does: a shared lock on the file, opened for reading only, comes when the runner has ended.
    let lock = format!("/var/lock/crunch-run-{uuid}.lock");
    assert_eq!(
        bench
            .run(
                &format!("sudo sh -c 'flock -s -n 3 3< {lock}' 3< {lock}"),
                b""
            )
            .0,
        1
    );
    bench
        .until("Running", || bench.state(&uuid) == "Running")
        .await;
    assert_eq!(
        bench.run(
            &format!("sudo sh -c 'exec 3< {lock}; flock -s 3; echo free'"),
            b""
        ),
        (0, "free\n".into())
    );
    assert_eq!(
        (bench.state(&uuid), bench.list()),
        ("Complete", String::new())
    );
    let report = bench.lab.world(|world, now| world.report(now));
    assert_eq!(
        (report.run_twice, report.breaches.len()),
        (0, 0),
        "{report:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_ends_the_runner_and_its_container() {
    let bench = Bench::start(2, |_| {}).await;
    let uuid = bench.locked_container(60_000);
    assert_eq!(bench.start_container(&uuid).0, 0);
    bench
        .until("Running", || bench.state(&uuid) == "Running")
        .await;
    assert_eq!(
        bench.run(&format!("sudo {RUNNER} --kill 15 {uuid}"), b"").0,
        0
    );
    assert_eq!(
        (bench.state(&uuid), bench.list()),
        ("Cancelled", String::new())
    );
    assert_eq!(
        bench.run(&format!("sudo {RUNNER} --kill 15 {uuid}"), b"").0,
        0,
        "it never existed"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stuck_child_makes_it_stale_and_a_marker_makes_the_machine_broken() {
    let bench = Bench::start(3, |settings| settings.runner.deadlock_rate = 1.0).await;
    let uuid = bench.locked_container(100);
    assert_eq!(bench.start_container(&uuid).0, 0);
    bench
        .until("stale", || bench.list() == format!("{uuid} stale\n"))
        .await;
    assert_eq!(bench.state(&uuid), "Complete");
    bench
        .lab
        .world(|world, _| world.report_broken(&bench.instance));
    assert_eq!(bench.list(), format!("broken\n{uuid} stale\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_destroyed_machine_takes_all_its_processes_along() {
    let bench = Bench::start(4, |_| {}).await;
    let uuid = bench.locked_container(60_000);
    assert_eq!(bench.start_container(&uuid).0, 0);
    bench
        .until("Running", || bench.state(&uuid) == "Running")
        .await;
    let instance = bench.instance.clone();
    tokio::task::block_in_place(|| bench.lab.world(|world, now| world.reclaim(&instance, now)));
    bench
        .until("nobody answers", || {
            !bench.ssh("crunch", "true", b"").status.success()
        })
        .await;
    let ours = |pid: &str| {
        fs::read_to_string(format!("/proc/{pid}/cmdline"))
            .unwrap_or_default()
            .contains(&uuid)
    };
    let left: Vec<String> = fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|pid| pid.chars().all(|c| c.is_ascii_digit()) && ours(pid))
        .collect();
    assert_eq!(left, Vec::<String>::new());
    assert_eq!(bench.lab.world(|world, now| world.report(now)).doomed, 1);
}
