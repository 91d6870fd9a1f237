//! The scripts, run for real under the shells that are on this host.

mod deploy;
mod user;
mod watch;

use std::{
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use super::*;

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// `sh`, and bash as it is where it is `sh`.
fn shells() -> Vec<&'static str> {
    let has_bash = Command::new("bash")
        .arg("-c")
        .arg("true")
        .status()
        .is_ok_and(|status| status.success());
    if has_bash {
        vec!["sh", "bash --posix"]
    } else {
        vec!["sh"]
    }
}

/// Runs a command line as sshd would, with `shell` in the place of `sh`.
fn start(shell: &str, line: &str) -> Child {
    let line = line
        .strip_prefix("sh ")
        .expect("root's scripts begin with sh");
    Command::new("sh")
        .arg("-c")
        .arg(format!("{shell} {line}"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("sh")
}

/// Waits until something is true.
#[track_caller]
#[expect(clippy::disallowed_methods, reason = "a process has nobody to tell")]
fn eventually(what: &str, is_true: impl Fn() -> bool) {
    let tick = Duration::from_millis(2);
    for _ in 0..PATIENCE.as_millis() / tick.as_millis() {
        if is_true() {
            return;
        }
        std::thread::sleep(tick);
    }
    panic!("in vain: {what}");
}

fn root() -> Login {
    Login::new("root")
}

fn text(path: &Path) -> String {
    path.to_str().expect("a path of text").to_owned()
}

#[test]
fn the_first_line_of_a_script_is_its_marker() {
    let path = DeployPath::new("/tmp/my dir", "e344479d0a97f7ed2228c4ab04d54c9a");
    let deploy = deploy_script(&Login::new("crunch"), &path);
    assert!(
        deploy.starts_with("sudo sh -c ': arvados-dispatch deploy v1\n"),
        "{deploy}"
    );
    assert!(
        deploy
            .ends_with("' arvados-dispatch-deploy e344479d0a97f7ed2228c4ab04d54c9a '/tmp/my dir'"),
        "{deploy}"
    );
    let watch = watch_script(&root(), WATCH_DIRECTORY);
    assert!(
        watch.starts_with("sh -c ': arvados-dispatch watch v1\n"),
        "{watch}"
    );
    assert!(
        watch.ends_with("' arvados-dispatch-watch /var/lock"),
        "{watch}"
    );
}

#[test]
fn lines_of_the_watch_are_ends_or_remarks() {
    let uuid = "zzzzz-dz642-000000000000001";
    assert_eq!(WatchLine::parse(uuid), WatchLine::Ended(uuid.into()));
    for (line, remark) in [
        ("! flock is not installed", "flock is not installed"),
        (
            "sudo: a password is required",
            "sudo: a password is required",
        ),
        ("", ""),
    ] {
        assert_eq!(WatchLine::parse(line), WatchLine::Remark(remark.to_owned()));
    }
}

#[test]
fn the_first_boot_keeps_the_secret_private_and_leaves_the_umask_alone() {
    let dir = tempfile::tempdir().expect("a directory");
    let script = init_script(&InstanceSecret::new("5c9759"), "umask >\"$DIR/umask\"");
    assert!(script.starts_with("#!/bin/sh\n"), "{script}");
    let script = script.replace("/var/run/", "\"$DIR\"/");
    let status = Command::new("sh")
        .arg("-c")
        .arg(format!("umask 0022\n{script}"))
        .env("DIR", dir.path())
        .status()
        .expect("sh");
    assert!(status.success());
    let secret = dir.path().join("arvados-instance-secret");
    assert_eq!(
        std::fs::read_to_string(&secret).expect("the secret"),
        "5c9759"
    );
    assert_eq!(deploy::mode(&secret), 0o600);
    let umask = std::fs::read_to_string(dir.path().join("umask")).expect("the umask");
    assert_eq!(umask, "0022\n");
}
