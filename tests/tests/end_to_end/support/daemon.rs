//! The daemon as a process.

use std::{
    fs::{File, OpenOptions},
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};

use super::{daemon_program, eventually};

/// "Within seconds": a busy machine is given a few more than the daemon gives itself.
const STOPS_WITHIN: Duration = Duration::from_secs(15);

/// How to start it.
pub(crate) struct Launch {
    config: PathBuf,
    log: PathBuf,
    environment: Vec<(String, String)>,
    stderr: Option<Stdio>,
}

impl Launch {
    /// With this configuration, logging to this file.
    pub(crate) fn new(config: &Path, log: &Path) -> Launch {
        Launch {
            config: config.to_owned(),
            log: log.to_owned(),
            environment: Vec::new(),
            stderr: None,
        }
    }

    pub(crate) fn with_variable(mut self, name: &str, value: &str) -> Launch {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Standard error goes there instead of into the log file.
    pub(crate) fn with_stderr(mut self, stderr: impl Into<Stdio>) -> Launch {
        self.stderr = Some(stderr.into());
        self
    }

    pub(crate) fn start(self) -> Daemon {
        let log = |path: &Path| {
            let mut options = OpenOptions::new();
            options.create(true).append(true).open(path)
        };
        let stderr = match self.stderr {
            Some(stderr) => stderr,
            None => log(&self.log).expect("a log file").into(),
        };
        let child = Command::new(daemon_program())
            .args(["run", "--config"])
            .arg(&self.config)
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .envs(self.environment)
            .stdin(Stdio::null())
            .stdout(File::create("/dev/null").expect("/dev/null"))
            .stderr(stderr)
            .kill_on_drop(true)
            .spawn()
            .expect("the daemon starts");
        Daemon { child }
    }
}

/// A daemon that runs. Dropping it kills it.
pub(crate) struct Daemon {
    child: Child,
}

impl Daemon {
    /// Waits until it takes connections there.
    pub(crate) async fn listens_on(&mut self, address: &str) {
        eventually("the daemon listens", async || {
            if let Some(status) = self.child.try_wait().expect("a child") {
                panic!("the daemon ended by itself: {status}");
            }
            tokio::net::TcpStream::connect(address).await.ok()
        })
        .await;
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id().expect("it runs")
    }

    /// Without warning.
    pub(crate) async fn kill_without_warning(&mut self) {
        self.child.kill().await.expect("killed");
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.pid()).ok().and_then(Pid::from_raw);
        kill_process(pid.expect("a process"), signal).expect("it can be signalled");
    }

    /// SIGTERM, as systemd does it.
    pub(crate) async fn terminate(&mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.ended().await
    }

    pub(crate) async fn ended(&mut self) -> ExitStatus {
        tokio::time::timeout(STOPS_WITHIN, self.child.wait())
            .await
            .expect("it ends within seconds")
            .expect("a child")
    }

    /// It has not ended by itself.
    pub(crate) fn is_alive(&mut self) -> bool {
        self.child.try_wait().expect("a child").is_none()
    }
}
