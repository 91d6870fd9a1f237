//! Two daemons and a real PostgreSQL (facts M6, K8): a backend that is ended, a line that is cut, and a holder
//! that is stopped. More of it, and more often, with `cargo xtask rounds`.

use std::process::Stdio;

use tokio::process::Command;

use crate::support::daemon_program;

/// The rounds run in a network namespace of their own, where root may make and cut lines.
#[tokio::test]
async fn another_daemon_takes_over_and_never_two_act_at_once() {
    let programs = daemon_program();
    let programs = programs.parent().expect("a folder");
    let output = Command::new("unshare")
        .args(["--net", "--", env!("CARGO_BIN_EXE_rounds"), "takeover"])
        .args([
            "--rounds",
            "3",
            "--blows",
            "backend,cut,freeze",
            "--programs",
        ])
        .arg(programs)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .expect("unshare, of the package util-linux, runs");
    assert!(
        output.status.success(),
        "{}{}\nthis test makes network namespaces: it needs root (in a container: --privileged)",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}
