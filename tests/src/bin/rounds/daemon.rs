//! A dispatcher as a process of its own.

use std::{
    fs::{self, OpenOptions},
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::Stdio,
};

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};

/// Lines of a log that are shown when something fails.
const LAST_LINES: usize = 40;

/// The process, its configuration and its log. Dropping it kills it.
pub(crate) struct Daemon {
    program: PathBuf,
    config: PathBuf,
    log: PathBuf,
    child: Child,
}

impl Daemon {
    /// Starts it with this configuration; `name` is for its files.
    pub(crate) fn start(
        programs: &Path,
        folder: &Path,
        name: &str,
        config: &str,
    ) -> anyhow::Result<Daemon> {
        let program = programs.join("arvados-dispatch-cloud");
        if !program.is_file() {
            bail!("{} is missing: build it first", program.display());
        }
        let path = folder.join(format!("{name}.yml"));
        fs::write(&path, config)?;
        let log = folder.join(format!("{name}.log"));
        let child = spawn(&program, &path, &log)?;
        Ok(Daemon {
            program,
            config: path,
            log,
            child,
        })
    }

    /// As `kill -9` does.
    pub(crate) async fn kill(&mut self) -> anyhow::Result<()> {
        self.child.kill().await.context("kill the dispatcher")
    }

    /// After its end.
    pub(crate) fn start_again(&mut self) -> anyhow::Result<()> {
        self.child = spawn(&self.program, &self.config, &self.log)?;
        Ok(())
    }

    /// SIGTERM, and waits.
    pub(crate) async fn terminate(&mut self) -> anyhow::Result<()> {
        self.signal(Signal::TERM)?;
        let patience = std::time::Duration::from_secs(15);
        let status = tokio::time::timeout(patience, self.child.wait()).await;
        let status = status.context("the dispatcher does not stop")??;
        if status.success() {
            Ok(())
        } else {
            bail!("the dispatcher stopped with {status}")
        }
    }

    pub(crate) fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let pid = self.child.id().and_then(|pid| i32::try_from(pid).ok());
        let pid = pid.and_then(Pid::from_raw).context("it has ended")?;
        kill_process(pid, signal).context("signal the dispatcher")
    }

    /// Whether a SIGKILL that was not ours has ended it.
    pub(crate) fn was_killed(&mut self) -> anyhow::Result<bool> {
        let status = self.child.try_wait()?;
        Ok(status.and_then(|status| status.signal()) == Some(Signal::KILL.as_raw()))
    }

    /// An error if it has ended by itself.
    pub(crate) fn check(&mut self) -> anyhow::Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => bail!("the dispatcher ended by itself: {status}\n{}", self.last()),
        }
    }

    /// The end of its log.
    pub(crate) fn last(&self) -> String {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(LAST_LINES)..].join("\n")
    }
}

fn spawn(program: &Path, config: &Path, log: &Path) -> anyhow::Result<Child> {
    let log = OpenOptions::new().create(true).append(true).open(log)?;
    Command::new(program)
        .args(["run", "--config"])
        .arg(config)
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("start {}", program.display()))
}
