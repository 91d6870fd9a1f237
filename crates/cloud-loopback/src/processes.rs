//! The processes that were started on the instance, found by a variable that they all inherit: runners leave the
//! session and the process group that they were started in, and outlive the dispatcher.

use std::{
    fs::{self, File},
    io::Read as _,
};

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// The variable. Processes that `sudo` started do not have it.
pub(crate) const VARIABLE: &str = "ARVADOS_DISPATCH_LOOPBACK";

/// Longer environments are not ours.
const ENVIRON_BYTES_MAX: u64 = 1 << 20;

/// How many processes there are with this value of the variable. Those that have ended and wait for their parent do
/// not count.
pub(crate) fn count(value: &str) -> usize {
    marked(value).len()
}

/// Sends all of them a signal.
pub(crate) fn signal_all(value: &str, signal: Signal) {
    for pid in marked(value) {
        // The handle is opened first and the process looked at again, since its number may be another's by now.
        let Ok(process) = pidfd_open(pid, PidfdFlags::empty()) else {
            continue;
        };
        if is_marked(pid, &entry(value)) {
            // It may have ended meanwhile, which is what is wanted.
            let _ = pidfd_send_signal(&process, signal);
        }
    }
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
