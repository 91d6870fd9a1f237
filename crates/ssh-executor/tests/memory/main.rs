//! What commands leave behind in memory. A program of its own: what other tests keep would be counted, too.

#[path = "../sshd/support.rs"]
#[expect(
    dead_code,
    reason = "shared with the tests against sshd, which use more of it"
)]
mod support;

use dispatch_cloud::exec::Exit;
use support::{Sshd, command};

/// Memory of this process that is in use, in KiB.
fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux tells");
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let size = line.and_then(|line| line.split_whitespace().nth(1));
    size.and_then(|size| size.parse().ok()).expect("in KiB")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_thousand_commands_on_one_connection_leave_nothing_behind() {
    const WARM_UP: i32 = 400;
    const COMMANDS: i32 = 2000;
    /// Less than one byte in ten of what the commands said.
    const GROWTH_KIB_MAX: u64 = 1024;
    let sshd = Sshd::start();
    let connection = sshd.connection(|_| {});
    let mut before = 0;
    for n in 0..COMMANDS {
        if n == WARM_UP {
            before = resident_kib();
        }
        let line = format!("printf %8192d 0; exit {}", n % 7);
        let output = connection.run(command(&line)).await.expect("an answer");
        assert_eq!(output.stdout.len(), 8192);
        assert_eq!(output.exit, Exit::Status(n % 7));
    }
    let after = resident_kib();
    assert!(
        after <= before + GROWTH_KIB_MAX,
        "{before} KiB after {WARM_UP} commands, {after} KiB after {COMMANDS}"
    );
    assert_eq!(sshd.n_logins(), 1);
}
