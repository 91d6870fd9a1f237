//! Processes and signals: what the standard library does not offer.

use std::{
    os::unix::process::CommandExt,
    process::Command,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

static TERMINATED: AtomicBool = AtomicBool::new(false);

/// Whether SIGTERM or SIGINT has come.
pub(crate) fn was_terminated() -> bool {
    TERMINATED.load(Ordering::SeqCst)
}

/// Waits so long, ms.
#[expect(
    clippy::disallowed_methods,
    reason = "a small program with one thread and no runtime"
)]
pub(crate) fn pause(ms: u64) {
    std::thread::sleep(Duration::from_millis(ms));
}

/// Whether a process lives; one that waits to be reaped does not.
pub(crate) fn is_alive(pid: i32) -> bool {
    let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else {
        return false;
    };
    // The state follows the program's name, which may contain anything but ends with the last parenthesis.
    stat.rsplit_once(')')
        .is_some_and(|(_, rest)| !matches!(rest.trim_start().chars().next(), Some('Z' | 'X')))
}

/// Sends a signal.
#[expect(unsafe_code, reason = "the standard library sends no signals")]
pub(crate) fn send(pid: i32, signal: i32) {
    // SAFETY: kill(2) takes two integers and touches no memory of ours.
    unsafe { libc::kill(pid, signal) };
}

/// flock(2).
#[expect(
    unsafe_code,
    reason = "the standard library's locks cannot be inherited by intent"
)]
pub(crate) fn flock(number: i32, how: i32) -> i32 {
    // SAFETY: flock(2) takes two integers and touches no memory of ours.
    unsafe { libc::flock(number, how) }
}

extern "C" fn on_terminate(_: i32) {
    TERMINATED.store(true, Ordering::SeqCst);
}

/// From here on, SIGTERM and SIGINT are noted (or ignored), and SIGUSR2 does no harm.
#[expect(unsafe_code, reason = "the standard library handles no signals")]
pub(crate) fn handle_signals(ignore_terminate: bool) {
    let handler = on_terminate as extern "C" fn(i32) as libc::sighandler_t;
    let terminate = if ignore_terminate {
        libc::SIG_IGN
    } else {
        handler
    };
    // SAFETY: the handler only stores to an atomic, which is allowed in a signal handler.
    unsafe {
        libc::signal(libc::SIGTERM, terminate);
        libc::signal(libc::SIGINT, terminate);
        libc::signal(libc::SIGUSR2, libc::SIG_IGN);
    }
}

/// The command runs in a session of its own and inherits this file descriptor.
#[expect(
    unsafe_code,
    reason = "a session of its own and an inherited descriptor need code between fork and exec"
)]
pub(crate) fn detached(command: &mut Command, inherited: i32) {
    // SAFETY: setsid(2), fcntl(2) and signal(2) may be called between fork and exec, and touch no memory of ours.
    // SIGUSR2 is ignored from before the program starts: a `--list` may come at any time.
    unsafe {
        command.pre_exec(move || {
            libc::setsid();
            libc::signal(libc::SIGUSR2, libc::SIG_IGN);
            if libc::fcntl(inherited, libc::F_SETFD, 0) < 0 {
                Err(std::io::Error::last_os_error())
            } else {
                Ok(())
            }
        });
    }
}

/// Closes standard output, which tells the parent that all input has been read.
#[expect(
    unsafe_code,
    reason = "the standard library never closes standard output"
)]
pub(crate) fn close_output() {
    // SAFETY: nothing writes to standard output afterwards in this process.
    unsafe { libc::close(1) };
}
