//! The exit watch: a held lock, a released one, a missing one, and the end of the watch itself.

use std::{
    fs::{self, File, Permissions},
    io::{BufRead as _, BufReader, Read as _, Write as _},
    os::unix::{fs::PermissionsExt as _, net::UnixListener},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
};

use super::{PATIENCE, eventually, root, shells, start, text, watch_script};

const A: &str = "zzzzz-dz642-00000000000000a";
const B: &str = "zzzzz-dz642-00000000000000b";
const C: &str = "zzzzz-dz642-00000000000000c";

/// A running watch.
struct Watch {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
}

impl Watch {
    fn start(shell: &str, locks: &Path) -> Watch {
        let line = format!("{} 2>&1", watch_script(&root(), &text(locks)));
        let mut child = start(shell, &line);
        let stdout = BufReader::new(child.stdout.take().expect("a pipe"));
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        Watch {
            stdin: child.stdin.take(),
            child,
            lines,
        }
    }

    fn write(&mut self, line: &str) {
        writeln!(self.stdin.as_mut().expect("still open"), "{line}").expect("the script reads");
    }

    #[track_caller]
    fn expect_line(&self, expected: &str) {
        assert_eq!(self.lines.recv_timeout(PATIENCE).as_deref(), Ok(expected));
    }

    /// The output is at its end only when every process that could write to it is gone.
    #[track_caller]
    fn expect_end(mut self, code: i32) {
        drop(self.stdin.take());
        assert_eq!(
            self.lines.recv_timeout(PATIENCE),
            Err(RecvTimeoutError::Disconnected)
        );
        assert_eq!(self.child.wait().expect("the end").code(), Some(code));
    }
}

fn lock_file(locks: &Path, uuid: &str) -> PathBuf {
    locks.join(format!("crunch-run-{uuid}.lock"))
}

/// Holds the lock as a runner does.
fn hold(locks: &Path, uuid: &str) -> File {
    let file = File::create(lock_file(locks, uuid)).expect("a lock file");
    file.try_lock().expect("nobody else holds it");
    file
}

#[test]
fn each_end_is_told_when_its_lock_is_released_and_not_before() {
    for shell in shells() {
        let locks = tempfile::tempdir().expect("a directory");
        let a = hold(locks.path(), A);
        let b = hold(locks.path(), B);
        let mut watch = Watch::start(shell, locks.path());
        watch.write(A);
        watch.write(B);
        watch.write(C);
        watch.expect_line(C);
        drop(b);
        watch.expect_line(B);
        drop(a);
        watch.expect_line(A);
        watch.expect_end(0);
    }
}

#[test]
fn the_lock_is_let_go_before_its_end_is_told() {
    for shell in shells() {
        let locks = tempfile::tempdir().expect("a directory");
        let held = hold(locks.path(), A);
        let mut watch = Watch::start(shell, locks.path());
        watch.write(A);
        watch.write(C);
        watch.expect_line(C);
        drop(held);
        watch.expect_line(A);
        let next_runner = File::open(lock_file(locks.path(), A)).expect("the lock file");
        next_runner.try_lock().expect("free for the next runner");
        watch.expect_end(0);
    }
}

#[test]
fn a_child_that_inherited_the_lock_keeps_its_end_back() {
    let locks = tempfile::tempdir().expect("a directory");
    let held = hold(locks.path(), A);
    let inherited = held.try_clone().expect("a second handle");
    let mut mount = Command::new("cat")
        .stdin(Stdio::piped())
        .stdout(inherited)
        .spawn()
        .expect("cat");
    drop(held);
    let mut watch = Watch::start("sh", locks.path());
    watch.write(A);
    watch.write(C);
    watch.expect_line(C);
    watch.write(B);
    watch.expect_line(B);
    drop(mount.stdin.take());
    mount.wait().expect("cat's end");
    watch.expect_line(A);
    watch.expect_end(0);
}

#[test]
fn a_missing_lock_file_counts_as_ended_and_is_not_created() {
    for shell in shells() {
        let locks = tempfile::tempdir().expect("a directory");
        let mut watch = Watch::start(shell, locks.path());
        for _ in 0..2 {
            watch.write(A);
            watch.expect_line(A);
        }
        watch.expect_end(0);
        let n_files = fs::read_dir(locks.path()).expect("the directory").count();
        assert_eq!(n_files, 0);
    }
}

#[test]
fn closing_the_input_ends_all_waiting_and_leaves_the_runners_alone() {
    for shell in shells() {
        let locks = tempfile::tempdir().expect("a directory");
        let uuids: Vec<String> = (0..20).map(|n| format!("zzzzz-dz642-{n:015}")).collect();
        let held: Vec<File> = uuids.iter().map(|uuid| hold(locks.path(), uuid)).collect();
        let mut watch = Watch::start(shell, locks.path());
        for uuid in &uuids {
            watch.write(uuid);
        }
        watch.write(C);
        watch.expect_line(C);
        watch.expect_end(0);
        for (file, uuid) in held.into_iter().zip(&uuids) {
            let other = File::open(lock_file(locks.path(), uuid)).expect("the lock file");
            other
                .try_lock_shared()
                .expect_err("the runner still holds it");
            drop(file);
            // A process that another test has just forked holds all of this one's files until it executes.
            eventually("no watcher is left", || other.try_lock().is_ok());
        }
    }
}

#[test]
fn a_signal_ends_the_watch_and_its_children() {
    for shell in shells() {
        signal_ends_the_watch(shell, None);
    }
}

/// A signal is lost if it meets a child that is not yet the program that it is to be.
#[test]
fn a_signal_that_a_child_loses_is_sent_again() {
    for shell in shells() {
        let programs = tempfile::tempdir().expect("a directory");
        let flock = programs.path().join("flock");
        let late = "#!/bin/sh\ntrap 'PATH=${PATH#*:}; exec flock \"$@\"' TERM\n: >\"$0.waits\"\n\
                    while :; do sleep 0.01; done\n";
        fs::write(&flock, late).expect("a program");
        fs::set_permissions(&flock, Permissions::from_mode(0o755)).expect("an executable");
        signal_ends_the_watch(shell, Some(programs.path()));
    }
}

/// With programs of its own, the signal is sent when these wait.
fn signal_ends_the_watch(shell: &str, programs: Option<&Path>) {
    let locks = tempfile::tempdir().expect("a directory");
    let _held = hold(locks.path(), A);
    let mut line = watch_script(&root(), &text(locks.path()));
    line = line.replacen("sh -c", &format!("exec {shell} -c"), 1);
    if let Some(programs) = programs {
        line = format!("PATH={}:$PATH; export PATH; {line}", programs.display());
    }
    let mut child = Command::new("sh")
        .arg("-c")
        .arg(line)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("sh");
    let mut stdin = child.stdin.take().expect("a pipe");
    let mut stdout = BufReader::new(child.stdout.take().expect("a pipe"));
    writeln!(stdin, "{A}\n{C}").expect("the script reads");
    let mut line = String::new();
    stdout.read_line(&mut line).expect("a line");
    assert_eq!(line.trim_end(), C);
    if let Some(programs) = programs {
        eventually("the watch waits", || programs.join("flock.waits").exists());
    }
    let kill = Command::new("kill").arg(child.id().to_string()).status();
    assert!(kill.expect("kill").success());
    let (sender, end) = channel();
    std::thread::spawn(move || {
        let code = child.wait().expect("the end").code();
        // At its end only when every process that could write to it is gone.
        let mut rest = String::new();
        stdout.read_to_string(&mut rest).expect("the output's end");
        sender.send((code, rest))
    });
    let expected = Ok((Some(143), String::new()));
    assert_eq!(end.recv_timeout(PATIENCE), expected, "{shell}");
    drop(stdin);
}

#[test]
fn lines_that_are_no_uuids_are_remarked_upon_and_do_no_harm() {
    for shell in shells() {
        let locks = tempfile::tempdir().expect("a directory");
        let mut watch = Watch::start(shell, locks.path());
        for wrong in ["", "../../etc/passwd", "a b", "$(exit)", "*", "é"] {
            watch.write(wrong);
            watch.expect_line("! not a container's UUID");
        }
        watch.write(A);
        watch.expect_line(A);
        watch.expect_end(0);
    }
}

#[test]
fn a_lock_that_cannot_be_opened_is_a_remark_and_not_an_end() {
    for shell in shells() {
        let locks = tempfile::tempdir().expect("a directory");
        // Not even root can open a socket's file.
        let _socket = UnixListener::bind(lock_file(locks.path(), A)).expect("a socket");
        let mut watch = Watch::start(shell, locks.path());
        watch.write(A);
        watch.expect_line(&format!("! {A}: cannot watch its lock"));
        watch.expect_end(0);
    }
}

#[test]
fn without_flock_the_watch_says_so() {
    let empty = tempfile::tempdir().expect("a directory");
    let line = watch_script(&root(), "/var/lock");
    let output = Command::new("/bin/sh")
        .arg("-c")
        .arg(line.replacen("sh -c", "PATH=\"$EMPTY\"; exec /bin/sh -c", 1))
        .env("EMPTY", empty.path())
        .output()
        .expect("sh");
    assert_eq!(output.status.code(), Some(3));
    assert_eq!(output.stdout, b"! flock is not installed\n");
}

#[test]
fn a_relative_directory_is_refused() {
    let watch = Watch::start("sh", Path::new("locks"));
    watch.expect_line("the argument is not an absolute path: locks");
    watch.expect_end(2);
}
