//! The loopback driver: containers on this host, without SSH (facts §1.8).
//!
//! Runners keep their locks in /var/lock, so the daemon runs in namespaces of its own, with a private /run, /var/lock
//! and /tmp. This needs root, as the machines that are real sshd processes do.

use std::process::Stdio;

use dispatch_lab::Settings;
use dispatch_lab_net::{Lab, Scheme, free_address};
use serde_json::json;
use tokio::process::Command;

use crate::support::{
    Management, container, daemon_program, eventually, holds, run_ctl, stand_in_runner,
};

const TOKEN: &str = "managementtokenmanagementtokenmanagementtoken";

/// What an operator writes who tries Arvados on one machine.
fn config(root_token: &str, api_url: &str, management: &str, runner: &str) -> String {
    format!(
        r#"
Clusters:
  zzzzz:
    SystemRootToken: {root_token}
    ManagementToken: {TOKEN}
    Services:
      Controller:
        ExternalURL: {api_url}
      DispatchCloud:
        InternalURLs:
          "http://{management}": {{}}
    Containers:
      LocalKeepBlobBuffersPerVCPU: 0
      ReserveExtraRAM: 0
      CloudVMs:
        Enable: true
        Driver: loopback
        BootProbeCommand: "true"
        DeployRunnerBinary: {runner}
        PollInterval: 500ms
        SyncInterval: 1s
        ProbeInterval: 1s
        TimeoutIdle: 1s
"#
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn containers_run_on_this_host_without_ssh_or_a_key() {
    let lab = Lab {
        scheme: Scheme::Http,
        ..Lab::new(1, Settings::default())
    };
    let lab = lab.start().await.expect("the lab starts");
    // Not below the /tmp that the daemon sees: that is a private one.
    let files = tempfile::tempdir_in("/var/tmp").expect("a directory");
    let path = |name: &str| files.path().join(name).display().to_string();
    let address = free_address().expect("a free port");
    // Neither are the programs, wherever they were built.
    std::fs::copy(daemon_program(), path("arvados-dispatch-cloud")).expect("copied");
    std::fs::copy(stand_in_runner(), path("lab-crunch-run")).expect("copied");
    let runner = path("lab-crunch-run");
    let root_token = &lab.lab().settings.system_root_token;
    std::fs::write(
        path("config.yml"),
        config(root_token, lab.api_url(), &address, &runner),
    )
    .expect("written");
    let about = json!({"api_url": lab.api_url(), "control_url": lab.control_url(), "instance": "loopback-1"});
    std::fs::write(path("lab.json"), about.to_string()).expect("written");
    // Not by exec: as the first process, the shell reaps what loses its parent.
    let script = format!(
        "set -e\n\
         mount -t tmpfs tmpfs /run\n\
         mkdir -p /run/lock\n\
         [ -L /var/lock ] || mount --bind /run/lock /var/lock\n\
         mount -t tmpfs tmpfs /tmp\n\
         cp {lab_json} /run/lab.json\n\
         {daemon} run --config {config} 2>{log} &\n\
         wait\n",
        lab_json = path("lab.json"),
        daemon = path("arvados-dispatch-cloud"),
        config = path("config.yml"),
        log = path("log"),
    );
    let mut host = Command::new("/usr/bin/unshare")
        .args([
            "-m",
            "-p",
            "--fork",
            "--kill-child",
            "--mount-proc",
            "/bin/sh",
            "-c",
        ])
        .arg(script)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("unshare runs");
    let management = Management::new(&address, TOKEN);
    let log = || std::fs::read_to_string(path("log")).unwrap_or_default();
    eventually("the daemon listens", async || {
        let ended = host.try_wait().expect("a child");
        assert!(
            ended.is_none(),
            "unshare needs root, or the daemon ended: {}",
            log()
        );
        management.health().await
    })
    .await;

    let uuids: Vec<String> = (0..5)
        .map(|_| {
            lab.world(|world, now| world.submit(&container(1, 300), now))
                .expect("a good container")
        })
        .collect();
    eventually("this host is listed as the one instance", async || {
        let instances = management.instances().await;
        let only = instances.first()?;
        let is_busy = only
            .running_container_uuids
            .as_ref()
            .is_some_and(|list| !list.is_empty());
        holds(instances.len() == 1 && only.arvados_instance_type == "localhost" && is_busy)
    })
    .await;
    eventually("all are Complete", async || {
        let states: Vec<&str> = lab.world(|world, _| {
            let containers = world.containers().containers();
            uuids
                .iter()
                .map(|uuid| containers[uuid].state.name())
                .collect()
        });
        assert!(!states.contains(&"Cancelled"), "{states:?}: {}", log());
        holds(states.iter().all(|state| *state == "Complete"))
    })
    .await;
    let report = lab.world(|world, now| world.report(now));
    assert_eq!((report.complete, report.run_twice), (5, 0));
    eventually("the idle instance goes", async || {
        holds(management.instances().await.is_empty())
    })
    .await;
    let ran = run_ctl(&files.path().join("config.yml"), &["list"]).await;
    assert_eq!(
        (ran.code, ran.stdout.as_str()),
        (Some(0), "no instances\n"),
        "{ran:?}"
    );
}
