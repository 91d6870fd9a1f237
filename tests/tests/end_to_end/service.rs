//! Started and stopped by systemd (facts K33, M4, §2.6).

use std::time::Duration;

use rustix::process::Signal;
use tokio::net::UnixDatagram;

use crate::support::{PATIENCE, Rig, container, eventually, holds};

/// systemd's end of `NOTIFY_SOCKET`.
struct Systemd {
    socket: UnixDatagram,
    path: String,
}

impl Systemd {
    fn listen(directory: &std::path::Path) -> Systemd {
        let path = directory.join("notify");
        Systemd {
            socket: UnixDatagram::bind(&path).expect("a socket"),
            path: path.display().to_string(),
        }
    }

    async fn hears(&self, what: &str) {
        self.hears_a_line(what, |line| line == what).await;
    }

    async fn hears_a_line(&self, what: &str, is_it: impl Fn(&str) -> bool) {
        let hears = async {
            let mut buffer = [0; 4096];
            loop {
                let n = self.socket.recv(&mut buffer).await.expect("a datagram");
                if String::from_utf8_lossy(&buffer[..n]).lines().any(&is_it) {
                    return;
                }
            }
        };
        tokio::time::timeout(PATIENCE, hears)
            .await
            .unwrap_or_else(|_| panic!("systemd never hears {what}"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_sigterm_it_ends_within_seconds_and_leaves_containers_to_the_next() {
    let directory = tempfile::tempdir().expect("a directory");
    let systemd = Systemd::listen(directory.path());
    let mut rig = Rig::start_with(
        |_| {},
        |launch| launch.with_variable("NOTIFY_SOCKET", &systemd.path),
    )
    .await;
    systemd.hears("READY=1").await;

    let uuids = rig.submit_many(3, &container(1, 6_000));
    rig.all_in_state(&uuids, "Running").await;
    // Some work is half done when the signal comes.
    let late = rig.submit_many(3, &container(2, 500));
    eventually("instances are ordered", async || {
        holds(rig.living_instances().len() > 3)
    })
    .await;
    let runners = rig.runners();

    let status = rig.daemon.terminate().await;
    assert_eq!(status.code(), Some(0));
    systemd.hears("STOPPING=1").await;
    assert!(rig.log().contains("dispatcher stopped"));
    assert!(
        rig.runners().is_superset(&runners),
        "the containers still run"
    );
    assert!(!rig.log().contains("destroying instance"));

    rig.start_again(|launch| launch).await;
    rig.all_in_state(&uuids, "Complete").await;
    rig.all_in_state(&late, "Complete").await;
    rig.everything_completes().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn systemd_is_told_ready_only_when_the_management_api_answers() {
    let directory = tempfile::tempdir().expect("a directory");
    let systemd = Systemd::listen(directory.path());
    let (_lab, management, files) = Rig::prepare(|_| {}).await;
    let launch =
        crate::support::Launch::new(&files.path().join("config.yml"), &files.path().join("log"));
    let mut daemon = launch.with_variable("NOTIFY_SOCKET", &systemd.path).start();
    systemd.hears("READY=1").await;
    let health = management.health().await.expect("it answers at once");
    assert_eq!(health.health, "OK");

    // Also an interrupt from a terminal is a clean end.
    daemon.signal(Signal::INT);
    assert_eq!(daemon.ended().await.code(), Some(0));
    let silence = tokio::time::timeout(Duration::from_secs(5), management.health()).await;
    assert_eq!(silence.expect("refused at once"), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_does_not_work_is_in_the_status_of_the_service_until_it_works_again() {
    let directory = tempfile::tempdir().expect("a directory");
    let systemd = Systemd::listen(directory.path());
    let rig = Rig::start_with(
        |_| {},
        |launch| launch.with_variable("NOTIFY_SOCKET", &systemd.path),
    )
    .await;
    let well = "STATUS=at work, without a lock";
    systemd.hears(well).await;
    let refusing = |times: u64| {
        let patch = serde_json::json!({"api": {"next_503s": times}});
        rig.lab
            .world(|world, _| world.set(&patch).map(drop))
            .expect("a setting");
    };
    refusing(1_000_000);
    let what = "that the queue cannot be read";
    systemd
        .hears_a_line(what, |line| {
            line.starts_with(&format!("{well}; the container queue cannot be read: "))
                && line.contains("503")
        })
        .await;
    refusing(0);
    systemd.hears(well).await;
}
