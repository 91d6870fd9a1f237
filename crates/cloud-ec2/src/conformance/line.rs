//! What the kernel does with what was sent when the line is cut, read from the sockets themselves.

use std::{fs, time::Duration};

use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};
use socket2::SockRef;

use dispatch_lab_net::{Bad, Injection};

use super::stage::Setup;

/// A holder of the dispatchers' lock stops within 3 s after its line was cut, and another may act 13 s after. Whatever was
/// handed to the kernel before must be gone by then.
const GONE_WITHIN: Duration = Duration::from_secs(10);

pub(super) async fn a_cut_line_holds_no_call_back_for_long() {
    let stage = Setup::default().start().await;
    stage.list().await.expect("a list");
    let (_, port) = stage.ec2.url().rsplit_once(':').expect("a port");
    let kept = kept_by_connections_to(port.parse().expect("a port"));
    assert!(!kept.is_empty(), "the connection is kept for the next call");
    for kept in kept {
        let is_short = kept.is_some_and(|kept| kept <= GONE_WITHIN);
        assert!(is_short, "the kernel goes on for {kept:?}");
    }
}

/// Longer than the SDK waits for those who seem not to take what is sent to them.
#[tokio::test]
async fn an_answer_that_takes_long_is_waited_for() {
    let slow = Injection::next("RunInstances", Bad::Slow(9_000));
    let setup = Setup::default().ec2(|s| s.injections = vec![slow]);
    let stage = setup.start().await;
    stage.create("m5.small", "s").await.expect("an instance");
    assert_eq!(stage.calls("RunInstances"), 1);
}

/// For how long the kernel goes on with what was sent and is not acknowledged, on each connection of this process to that
/// port; `None`: for minutes.
fn kept_by_connections_to(port: u16) -> Vec<Option<Duration>> {
    let remote = format!(":{port:04X}");
    let sockets = fs::read_to_string("/proc/self/net/tcp").expect("the kernel's table");
    let sockets: Vec<String> = sockets
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .filter(|fields| fields.get(2).is_some_and(|to| to.ends_with(&remote)))
        .filter_map(|fields| Some(format!("socket:[{}]", fields.get(9)?)))
        .collect();
    let this_process = pidfd_open(getpid(), PidfdFlags::empty()).expect("this process");
    let files = fs::read_dir("/proc/self/fd").expect("this process");
    files
        .filter_map(|file| {
            let path = file.ok()?.path();
            let socket = fs::read_link(&path).ok()?;
            if !sockets.iter().any(|one| socket.as_os_str() == one.as_str()) {
                return None;
            }
            let number = path.file_name()?.to_str()?.parse().ok()?;
            let socket = pidfd_getfd(&this_process, number, PidfdGetfdFlags::empty()).ok()?;
            SockRef::from(&socket).tcp_user_timeout().ok()
        })
        .collect()
}
