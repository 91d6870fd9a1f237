//! The dispatcher as a process of its own.

use std::{
    fs::{File, OpenOptions},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context, bail};
use tokio::{
    net::TcpStream,
    process::{Child, Command},
    time::Instant,
};

/// How long it has to end after SIGTERM.
const STOP_WITHIN: Duration = Duration::from_secs(10);
/// Lines of its log that are shown when it ends by itself.
const LAST_LINES: usize = 15;

/// The process, its configuration and its log.
pub(crate) struct Daemon {
    program: PathBuf,
    config: PathBuf,
    log: PathBuf,
    child: Child,
}

impl Daemon {
    /// Starts it. It dies with this process.
    pub(crate) fn start(program: PathBuf, config: PathBuf, log: PathBuf) -> anyhow::Result<Daemon> {
        File::create(&log).with_context(|| {
            format!(
                "cannot write {}; make room there, or name another directory with --directory",
                log.display()
            )
        })?;
        let child = spawn(&program, &config, &log)?;
        Ok(Daemon {
            program,
            config,
            log,
            child,
        })
    }

    /// Starts it once more, after `kill`.
    pub(crate) fn start_again(&mut self) -> anyhow::Result<()> {
        self.child = spawn(&self.program, &self.config, &self.log)?;
        Ok(())
    }

    /// Waits until its management API takes connections.
    pub(crate) async fn ready(&mut self, management: &str, within: Duration) -> anyhow::Result<()> {
        let until = Instant::now() + within;
        while TcpStream::connect(management).await.is_err() {
            self.check()?;
            if Instant::now() > until {
                bail!(
                    "the dispatcher does not listen on {management} after {} s\n{}",
                    within.as_secs(),
                    last_lines(&self.log)
                );
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    /// An error if it has ended by itself.
    pub(crate) fn check(&mut self) -> anyhow::Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => bail!(
                "the dispatcher ended by itself: {status}\n{}",
                last_lines(&self.log)
            ),
        }
    }

    /// Kills it without warning.
    pub(crate) async fn kill(&mut self) -> anyhow::Result<()> {
        self.child.kill().await.context("kill the dispatcher")
    }

    /// Asks it to end, and kills it if it does not.
    pub(crate) async fn stop(&mut self) {
        if let Some(pid) = self.child.id().and_then(|pid| i32::try_from(pid).ok()) {
            terminate(pid);
        }
        if tokio::time::timeout(STOP_WITHIN, self.child.wait())
            .await
            .is_err()
        {
            let _ = self.child.kill().await;
        }
    }
}

#[expect(
    unsafe_code,
    reason = "the standard library sends no signal but SIGKILL"
)]
fn terminate(pid: i32) {
    // SAFETY: kill(2) takes two integers and touches no memory of ours; the child has not been waited for, so the
    // number is still its own.
    unsafe { libc::kill(pid, libc::SIGTERM) };
}

fn spawn(program: &Path, config: &Path, log: &Path) -> anyhow::Result<Child> {
    let log_file = OpenOptions::new()
        .append(true)
        .open(log)
        .with_context(|| format!("open {}", log.display()))?;
    let mut command = Command::new(program);
    die_with_us(&mut command);
    command
        .arg("run")
        .arg("--config")
        .arg(config)
        .stdin(Stdio::null())
        .stdout(log_file.try_clone()?)
        .stderr(log_file)
        .kill_on_drop(true)
        .spawn()
        .with_context(|| {
            format!(
                "cannot start {}; name the dispatcher's program with --daemon",
                program.display()
            )
        })
}

/// Should this process be killed, nobody else would end the dispatcher.
#[expect(
    unsafe_code,
    reason = "the standard library has no name for the signal at a parent's death"
)]
fn die_with_us(command: &mut Command) {
    let us = std::process::id();
    let ask = move || {
        // SAFETY: both take or give a number and touch no memory; they may be called after a fork.
        let parent = unsafe {
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
            libc::getppid()
        };
        // We may have been killed before this.
        if u32::try_from(parent) == Ok(us) {
            Ok(())
        } else {
            Err(std::io::ErrorKind::Interrupted.into())
        }
    };
    // SAFETY: the closure makes one system call and neither allocates nor locks.
    unsafe { command.pre_exec(ask) };
}

fn last_lines(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LAST_LINES)..].join("\n")
}
