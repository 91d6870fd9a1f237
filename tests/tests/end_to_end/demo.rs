//! The demo as somebody at a terminal meets it: interrupted, killed, asked for what cannot be.

use std::{
    fs,
    path::Path,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::support::{PATIENCE, Ran, daemon_program, eventually, holds, lab_program};

/// A demo that runs, its files, and what it has written.
struct Demo {
    child: Child,
    files: TempDir,
}

impl Demo {
    fn start(arguments: &[&str]) -> Demo {
        let files = tempfile::tempdir().expect("a directory");
        let written = fs::File::create(files.path().join("written")).expect("a file");
        let child = Command::new(lab_program())
            .arg("demo")
            .arg("--daemon")
            .arg(daemon_program())
            .arg("--directory")
            .arg(files.path().join("demo"))
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(written)
            .kill_on_drop(true)
            .spawn()
            .expect("the demo starts");
        Demo { child, files }
    }

    fn written(&self) -> String {
        fs::read_to_string(self.files.path().join("written")).unwrap_or_default()
    }

    async fn says(&self, words: &str) {
        eventually(words, async || holds(self.written().contains(words))).await;
    }

    /// Some containers have completed.
    async fn is_at_work(&self) {
        let complete = |line: &str| {
            let count = line.split(" Complete ").nth(1)?.split(' ').next()?;
            count.parse::<usize>().ok()
        };
        eventually("containers complete", async || {
            let most = self.written().lines().filter_map(complete).max();
            holds(most > Some(0))
        })
        .await;
    }

    fn signal(&self, signal: Signal) {
        let pid = self.child.id().and_then(|id| i32::try_from(id).ok());
        let pid = pid.and_then(Pid::from_raw).expect("it runs");
        kill_process(pid, signal).expect("our own child");
    }

    /// It ends "within seconds".
    async fn ends(&mut self) -> ExitStatus {
        tokio::time::timeout(Duration::from_secs(25), self.child.wait())
            .await
            .unwrap_or_else(|_| panic!("it goes on: {}", self.written()))
            .expect("it is our child")
    }

    /// Nothing that it has started is left: all of that names its directory, or the one of its machines.
    async fn leaves_nothing(&self, machines: Option<&str>) {
        let own = self.files.path().display().to_string();
        for words in [Some(own.as_str()), machines].into_iter().flatten() {
            eventually(&format!("no process of {words}"), async || {
                holds(processes(words).is_empty())
            })
            .await;
        }
    }
}

/// The processes whose command line contains this.
fn processes(words: &str) -> Vec<String> {
    let rows = fs::read_dir("/proc").expect("processes");
    let numbers = rows
        .flatten()
        .filter_map(|row| row.file_name().into_string().ok())
        .filter(|name| name.bytes().all(|byte| byte.is_ascii_digit()));
    numbers
        .filter(|pid| {
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&line).contains(words)
        })
        .collect()
}

/// When a demo is interrupted.
enum Moment {
    AtOnce,
    Says(&'static str),
    AtWork,
}

/// Interrupts a demo; it ends with this exit code and leaves nothing.
async fn check_interrupted(signal: Signal, moment: Moment, code: i32) {
    let mut demo = Demo::start(&["--containers", "20", "--faults", "some"]);
    // Before that it has no ear for signals, and ends by them.
    eventually("it has begun", async || {
        holds(demo.files.path().join("demo").exists())
    })
    .await;
    match moment {
        Moment::AtOnce => {}
        Moment::Says(words) => demo.says(words).await,
        Moment::AtWork => demo.is_at_work().await,
    }
    demo.signal(signal);
    let status = demo.ends().await;
    let written = demo.written();
    assert_eq!(status.code(), Some(code), "{written}");
    assert_eq!(written.contains("interrupted"), code != 0, "{written}");
    demo.leaves_nothing(None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_demo_ends_when_it_is_told_to_at_any_moment() {
    check_interrupted(Signal::TERM, Moment::AtOnce, 130).await;
    check_interrupted(Signal::INT, Moment::Says("management"), 130).await;
    check_interrupted(Signal::TERM, Moment::AtWork, 130).await;
    // Its work was done and judged.
    check_interrupted(Signal::HUP, Moment::Says("all done"), 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_demo_that_is_killed_takes_the_dispatcher_along() {
    let mut demo = Demo::start(&["--containers", "20"]);
    demo.says("management").await;
    let own = demo.files.path().display().to_string();
    assert_eq!(processes(&own).len(), 2, "the demo and the dispatcher");
    demo.signal(Signal::KILL);
    demo.ends().await;
    demo.leaves_nothing(None).await;
}

/// Needs root, openssh-server, sudo and util-linux.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_interrupted_or_killed_demo_on_real_machines_leaves_no_process() {
    for signal in [Signal::INT, Signal::KILL] {
        let mut demo = Demo::start(&["--vms", "sshd", "--containers", "8"]);
        demo.says(" up, ").await;
        let machines = eventually("machines run", async || {
            let pid = processes("/var/tmp/arvados-dispatch-lab-")
                .into_iter()
                .find(|pid| is_descendant(pid, demo.child.id().expect("it runs")))?;
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let line = String::from_utf8_lossy(&line).into_owned();
            let from = line.find("/var/tmp/arvados-dispatch-lab-")?;
            let path = line[from..].split(['/', '\0']).take(4);
            Some(path.collect::<Vec<_>>().join("/"))
        })
        .await;
        demo.signal(signal);
        demo.ends().await;
        demo.leaves_nothing(Some(&machines)).await;
        if signal == Signal::KILL {
            fs::remove_dir_all(&machines).expect("nothing is mounted there");
        }
        assert!(!Path::new(&machines).exists(), "{machines} is left");
        let mounts = fs::read_to_string("/proc/self/mounts").expect("mounts");
        assert!(!mounts.contains(&machines), "{mounts}");
    }
}

/// Whether a process was started by this one, or by one that it has started.
fn is_descendant(pid: &str, of: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let parent = status
        .lines()
        .find_map(|line| line.strip_prefix("PPid:"))
        .map_or("0", str::trim);
    parent == of.to_string() || parent != "0" && parent != "1" && is_descendant(parent, of)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dispatcher_that_dies_ends_the_demo_with_its_last_words() {
    let mut demo = Demo::start(&["--containers", "50"]);
    demo.is_at_work().await;
    let config = demo.files.path().join("demo/config.yml");
    let dispatcher = processes(&format!("run\0--config\0{}", config.display()));
    let pid = dispatcher[0].parse().ok().and_then(Pid::from_raw);
    kill_process(pid.expect("a number"), Signal::KILL).expect("it runs");
    assert_eq!(demo.ends().await.code(), Some(1));
    let written = demo.written();
    for words in ["the dispatcher ended by itself", "SIGKILL", "\"msg\""] {
        assert!(written.contains(words), "{words}: {written}");
    }
    demo.leaves_nothing(None).await;
}

/// Runs the lab's program to its end, with these variables.
async fn run(arguments: &[&str], variables: &[(&str, &str)]) -> Ran {
    let running = Command::new(lab_program())
        .args(arguments)
        .envs(variables.iter().copied())
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(PATIENCE, running)
        .await
        .expect("it ends")
        .expect("it runs");
    Ran {
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_is_refused_with_the_remedy() {
    #[track_caller]
    fn check(ran: &Ran, words: &[&str]) {
        assert!(
            ran.code.is_some_and(|code| code == 1 || code == 2),
            "{ran:?}"
        );
        for words in words {
            assert!(ran.stderr.contains(words), "{words}: {}", ran.stderr);
        }
        assert!(!ran.stderr.contains("panicked"), "{}", ran.stderr);
    }
    let daemon = daemon_program().display().to_string();
    let demo = ["demo", "--daemon", &daemon];
    let with = |more: &[&'static str]| [&demo[..], more].concat();
    for (more, words) in [
        (
            &["--faults", "most"][..],
            &["most", "one of none, some, many"][..],
        ),
        (
            &["--containers", "1000000000"],
            &["a number from 0 to 100000 is needed"],
        ),
        (
            &["--containers=-1"],
            &["a number from 0 to 100000 is needed"],
        ),
        (&["--vms", "docker"], &["possible values: in-process, sshd"]),
        (
            &["--directory", "/proc/demo"],
            &["cannot make /proc/demo", "--directory"],
        ),
    ] {
        check(&run(&with(more), &[]).await, words);
    }
    check(
        &run(&demo, &[("TMPDIR", "/proc/none")]).await,
        &["/proc/none", "set TMPDIR", "--directory"],
    );
    check(
        &run(&["demo", "--daemon", "/no/daemon"], &[]).await,
        &["cannot start /no/daemon", "--daemon"],
    );
    check(
        &run(&["demo", "--daemon", "/bin/false"], &[]).await,
        &["the dispatcher ended by itself: exit status: 1"],
    );
    check(
        &run(&["serve", "--config", "/proc/config.yml"], &[]).await,
        &["cannot write /proc/config.yml", "--config"],
    );
    let folder = tempfile::tempdir().expect("a folder");
    let theirs = folder.path().join("config.yml").display().to_string();
    std::fs::write(&theirs, "Clusters: {}\n").expect("written");
    check(
        &run(&["serve", "--config", &theirs], &[]).await,
        &[&theirs, "did not write it", "--config", "--overwrite"],
    );
    assert_eq!(
        std::fs::read_to_string(&theirs).expect("there"),
        "Clusters: {}\n"
    );
    check(
        &run(&["serve", "--settings", "/no/settings"], &[]).await,
        &["/no/settings", "--settings"],
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_demo_of_nothing_ends_at_once() {
    let daemon = daemon_program().display().to_string();
    let arguments = [
        "demo",
        "--daemon",
        &daemon,
        "--containers",
        "0",
        "--exit-when-done",
        "--json",
    ];
    let ran = run(&arguments, &[]).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.stdout.contains("\"submitted\":0"), "{}", ran.stdout);
}

/// Needs root: a file system with room for nothing but the configuration.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_is_named_with_the_remedy() {
    let mount = tempfile::tempdir().expect("a directory");
    let script = "mount -t tmpfs -o size=64k tmpfs \"$1\" && shift && exec \"$@\"";
    let running = Command::new("unshare")
        .args(["-m", "--propagation", "private", "sh", "-c", script, "sh"])
        .arg(mount.path())
        .arg(lab_program())
        .arg("demo")
        .arg("--daemon")
        .arg(daemon_program())
        .arg("--directory")
        .arg(mount.path())
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(PATIENCE, running)
        .await
        .expect("it ends")
        .expect("unshare comes with util-linux");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    for words in ["cannot write", "No space left on device", "--directory"] {
        assert!(stderr.contains(words), "{words}: {stderr}");
    }
}
