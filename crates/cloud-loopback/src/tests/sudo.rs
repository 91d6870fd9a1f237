//! A dispatcher that is not root, with a real `sudo`. Needs root and the package sudo, which `cargo xtask test`
//! installs: the tests run themselves once more as another user, whom a mount namespace of their own makes known.

use std::{
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::Path,
    process::{Command as Process, Stdio},
};

use super::*;

/// Says that the test runs as the other user.
const INNER: &str = "LOOPBACK_TEST_USER";
/// A number that hosts hardly use.
const USER_ID: u32 = 64_322;

/// What the first process of the namespace does: makes the user known, and runs the rest as that user.
const SET_UP: &str = r#"
set -e
files=$1 id=$2
shift 2
for file in passwd shadow group; do
    cat /etc/$file > "$files/$file"
done
echo "loopy:x:$id:$id::/tmp:/bin/sh" >> "$files/passwd"
echo "loopy:x:$id:" >> "$files/group"
# Without a password field sudo takes the account for a locked one.
echo "loopy:*:19000:0:99999:7:::" >> "$files/shadow"
chmod 0644 "$files/passwd" "$files/group"
for file in passwd shadow group; do
    mount --bind "$files/$file" /etc/$file
done
mount -t tmpfs -o mode=0750 tmpfs /etc/sudoers.d
echo 'loopy ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/loopy
chmod 0440 /etc/sudoers.d/loopy
exec setpriv --reuid="$id" --regid="$id" --clear-groups "$@""#;

/// Runs this test as a user who is not root. False: this is that run.
fn as_another_user(test: &str) -> bool {
    if std::env::var_os(INNER).is_some() {
        return false;
    }
    assert!(
        crate::user::is_root() && Path::new("/usr/bin/sudo").exists(),
        "this test needs root and sudo; install it with: apt-get install sudo"
    );
    let files = tempfile::tempdir_in("/var/tmp").expect("a directory");
    let readable = |path: &Path| fs::set_permissions(path, fs::Permissions::from_mode(0o755));
    readable(files.path()).expect("permitted");
    // The user need not be able to read where this program was built.
    let program = files.path().join("tests");
    fs::copy(std::env::current_exe().expect("a program"), &program).expect("copied");
    readable(&program).expect("permitted");
    let output = Process::new("unshare")
        .args(["-m", "--propagation", "private", "sh", "-c", SET_UP, "sh"])
        .arg(files.path())
        .arg(USER_ID.to_string())
        .arg(&program)
        .args(["--exact", test, "--nocapture"])
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env(INNER, "loopy")
        .current_dir("/")
        .stdin(Stdio::null())
        .output()
        .expect("unshare comes with util-linux");
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(
        output.status.success() && said.contains("1 passed"),
        "{said}"
    );
    true
}

/// Starts a process by `sudo` that outlives its command; its number.
async fn leave_behind(set: &LoopbackSet, script: &str) -> String {
    let line = format!("sudo sh -c '{script} </dev/null >/dev/null 2>&1 & echo $!'");
    let output = connection(set, "a").run(command(&line)).await;
    let output = output.expect("an output");
    assert!(output.success(), "{output:?}");
    let pid = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    let owner = fs::metadata(format!("/proc/{pid}")).expect("it runs").uid();
    assert_eq!(owner, 0, "it is root's");
    pid
}

fn is_there(pid: &str) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    status
        .lines()
        .any(|line| line.starts_with("State:") && !line.contains('Z'))
}

#[tokio::test]
async fn runners_that_sudo_started_go_with_the_instance() {
    if as_another_user("tests::sudo::runners_that_sudo_started_go_with_the_instance") {
        return;
    }
    let host = Host::new();
    let set = host.open();
    let made = set.create(order("a")).await.expect("an instance");
    let runner = leave_behind(&set, "setsid sleep 600").await;
    drop(set);
    let set = host.open();
    set.destroy(&made.id).await.expect("destroyed");
    assert!(!is_there(&runner));
    assert_eq!(set.list(&Tags::new()).await.expect("a list"), []);
    set.create(order("b")).await.expect("room again");
}

#[tokio::test]
async fn an_instance_keeps_its_place_while_roots_processes_are_there() {
    if as_another_user("tests::sudo::an_instance_keeps_its_place_while_roots_processes_are_there") {
        return;
    }
    let host = Host::new();
    let set = host.open();
    let made = set.create(order("a")).await.expect("an instance");
    let stubborn = "trap \"\" TERM; setsid sleep 600";
    let runner = leave_behind(&set, stubborn).await;
    set.destroy(&made.id).await.expect("told to go");
    assert!(is_there(&runner));
    assert_eq!(set.list(&Tags::new()).await.expect("a list").len(), 1);
    let refused = set.create(order("b")).await.expect_err("no room");
    assert_eq!(refused.class, CloudErrorClass::Quota);
    set.destroy(&made.id).await.expect("destroyed");
    assert!(!is_there(&runner));
    assert_eq!(set.list(&Tags::new()).await.expect("a list"), []);
}

#[tokio::test]
async fn a_command_by_sudo_is_killed_when_its_time_is_up() {
    if as_another_user("tests::sudo::a_command_by_sudo_is_killed_when_its_time_is_up") {
        return;
    }
    let host = Host::new();
    let set = host.open();
    set.create(order("a")).await.expect("an instance");
    let pid_file = host.0.path().join("pid");
    let line = format!("sudo sh -c 'echo $$ > {}; sleep 600'", pid_file.display());
    let late = Command {
        deadline: Duration::from_secs(2),
        ..command(&line)
    };
    let error = connection(&set, "a").run(late).await;
    assert!(matches!(error, Err(ExecError::TimedOut(_))), "{error:?}");
    let pid = fs::read_to_string(pid_file).expect("it had begun");
    eventually("it is killed", || !is_there(pid.trim())).await;
}
