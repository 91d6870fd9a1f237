//! What else can go wrong on the daemon's own host.

use std::{fs::OpenOptions, io};

use crate::support::{Rig, container};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_nobody_takes_stops_nothing() {
    let (reader, closed_pipe) = io::pipe().expect("a pipe");
    drop(reader);
    let full_disk = OpenOptions::new()
        .write(true)
        .open("/dev/full")
        .expect("/dev/full");
    // Kept open and never read: full after 64 KiB.
    let (_never_read, stuck_pipe) = io::pipe().expect("a pipe");
    let stderrs = [
        ("a closed pipe", std::process::Stdio::from(closed_pipe)),
        ("a full disk", full_disk.into()),
        ("a pipe that nobody reads", stuck_pipe.into()),
    ];
    for (what, stderr) in stderrs {
        let mut rig = Rig::start_with(
            |order| order.cluster = "SystemLogs:\n  LogLevel: debug\n".to_owned(),
            |launch| launch.with_stderr(stderr),
        )
        .await;
        // More requests are logged than any pipe holds.
        for _ in 0..400 {
            assert!(rig.management.health().await.is_some(), "{what}");
        }
        rig.submit_many(4, &container(1, 200));
        rig.everything_completes().await;
        assert!(rig.daemon.is_alive(), "{what}");
        assert_eq!(rig.daemon.terminate().await.code(), Some(0), "{what}");
    }
}
