//! The processes that were started on the instance, found by a variable that they all inherit: runners leave the
//! session and the process group that they were started in, and outlive the dispatcher.
//!
//! Where the dispatcher is not root, those that `sudo` started are root's: they are looked for and signalled by `sudo`
//! as well.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::{self, Read as _},
    process::Stdio,
    time::Duration,
};

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use tokio::{process::Command, time::timeout};

use crate::user;

/// The variable.
pub(crate) const VARIABLE: &str = "ARVADOS_DISPATCH_LOOPBACK";

/// Longer environments are not ours.
const ENVIRON_BYTES_MAX: u64 = 1 << 20;

/// How long `sudo` may take.
const SUDO_WITHIN: Duration = Duration::from_secs(10);

/// Prints the processes with the entry `$1` in their environment; those that have ended and wait for their parent have
/// none. With a signal as `$2`, sends it to them.
const AS_ROOT: &str = r#"
for environ in $(grep -slzxFe "$1" /proc/[0-9]*/environ); do
    pid=${environ#/proc/}
    pid=${pid%/environ}
    if [ -n "$2" ]; then
        kill -s "$2" "$pid" 2>/dev/null
    fi
    echo "$pid"
done"#;

/// Whether any process has this value of the variable. Those that have ended and wait for their parent do not count.
/// An error: that cannot be known, and why.
pub(crate) async fn any(value: &str) -> Result<bool, String> {
    Ok(!marked(value).is_empty() || !user::is_root() && !as_root(value, "").await?.is_empty())
}

/// Sends all of them a signal. An error: some cannot be reached, and why.
pub(crate) async fn signal_all(value: &str, signal: Signal) -> Result<(), String> {
    for pid in marked(value) {
        // The handle is opened first and the process looked at again, since its number may be another's by now.
        let Ok(process) = pidfd_open(pid, PidfdFlags::empty()) else {
            continue;
        };
        if is_marked(pid, &entry(value)) {
            // It may have ended meanwhile, which is what is wanted; root's are seen to below.
            let _ = pidfd_send_signal(&process, signal);
        }
    }
    if !user::is_root() {
        let name = if signal == Signal::KILL {
            "KILL"
        } else {
            "TERM"
        };
        as_root(value, name).await?;
    }
    Ok(())
}

/// Kills what is left of a command's process group, without waiting for it.
pub(crate) fn kill_group_as_root(group: Pid) {
    let line = ["-n", "kill", "-s", "KILL", "--"];
    let mut sudo = Command::new("sudo");
    sudo.args(line).arg(format!("-{}", group.as_raw_nonzero()));
    quiet(&mut sudo);
    // The group may be gone already. Without a runtime we are about to end, and what is left ends with its input.
    if tokio::runtime::Handle::try_current().is_ok() {
        let _ = sudo.spawn();
    }
}

fn quiet(sudo: &mut Command) {
    sudo.stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
}

/// Root's processes with this value of the variable; with a signal, sends it to them.
async fn as_root(value: &str, signal: &str) -> Result<BTreeSet<String>, String> {
    let mut sudo = Command::new("sudo");
    quiet(&mut sudo);
    sudo.args(["-n", "sh", "-c", AS_ROOT, "arvados-dispatch-loopback"])
        .arg(format!("{VARIABLE}={value}"))
        .arg(signal)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let output = match timeout(SUDO_WITHIN, sudo.output()).await {
        Ok(Ok(output)) => output,
        // Without `sudo` nothing was started by it.
        Ok(Err(error)) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeSet::new()),
        Ok(Err(error)) => return Err(format!("cannot start sudo: {error}")),
        Err(_) => {
            return Err(format!(
                "sudo has not answered within {} s",
                SUDO_WITHIN.as_secs()
            ));
        }
    };
    // Who may not run this by `sudo` could not start anything by it either.
    let stderr = String::from_utf8_lossy(&output.stderr);
    if stderr.starts_with("sudo: ") {
        tracing::warn!(stderr = %stderr.trim(), "nothing can be run by sudo on this host");
    }
    let stdout = String::from_utf8_lossy(&output.stdout);
    Ok(stdout.lines().map(str::to_owned).collect())
}

fn marked(value: &str) -> Vec<Pid> {
    let entry = entry(value);
    let Ok(rows) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    rows.flatten()
        .filter_map(|row| row.file_name().to_str()?.parse().ok())
        .filter_map(Pid::from_raw)
        .filter(|pid| is_marked(*pid, &entry))
        .collect()
}

fn entry(value: &str) -> Vec<u8> {
    format!("{VARIABLE}={value}").into_bytes()
}

fn is_marked(pid: Pid, entry: &[u8]) -> bool {
    let mut environ = Vec::new();
    let read = File::open(format!("/proc/{}/environ", pid.as_raw_nonzero()))
        .and_then(|file| file.take(ENVIRON_BYTES_MAX).read_to_end(&mut environ));
    read.is_ok()
        && environ
            .split(|&byte| byte == 0)
            .any(|variable| variable == entry)
}
