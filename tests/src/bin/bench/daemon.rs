//! The dispatcher as a process of its own, and what it costs.

use std::{
    fs::{self, OpenOptions},
    path::PathBuf,
    process::Stdio,
    time::Duration,
};

use anyhow::{Context, bail};
use tokio::process::{Child, Command};

/// Ticks per second of the times in `/proc`, whatever the kernel's own are.
const TICKS_PER_SEC: f64 = 100.0;

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
        let child = spawn(&program, &config, &log)?;
        Ok(Daemon {
            program,
            config,
            log,
            child,
        })
    }

    /// Kills it as `kill -9` does, and starts it again.
    pub(crate) async fn kill_and_start_again(&mut self) -> anyhow::Result<()> {
        self.child.kill().await.context("kill the dispatcher")?;
        self.child = spawn(&self.program, &self.config, &self.log)?;
        Ok(())
    }

    /// An error if it has ended by itself.
    pub(crate) fn check(&mut self) -> anyhow::Result<()> {
        if let Some(status) = self.child.try_wait()? {
            let log = fs::read_to_string(&self.log).unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            let last = lines[lines.len().saturating_sub(10)..].join("\n");
            bail!("the dispatcher ended by itself: {status}\n{last}");
        }
        Ok(())
    }

    /// Processor time that it has used.
    pub(crate) fn cpu(&self) -> anyhow::Result<Duration> {
        let stat = self.proc("stat")?;
        // What is in parentheses is its name, which may hold anything.
        let fields: Vec<&str> = stat
            .rsplit_once(')')
            .map_or("", |(_, rest)| rest)
            .split_whitespace()
            .collect();
        let ticks = |index: usize| -> anyhow::Result<f64> {
            let field = fields.get(index).context("/proc/…/stat is too short")?;
            Ok(field.parse()?)
        };
        // utime and stime, the 14th and 15th field.
        Ok(Duration::from_secs_f64(
            (ticks(11)? + ticks(12)?) / TICKS_PER_SEC,
        ))
    }

    /// Resident memory, MiB.
    pub(crate) fn resident_mib(&self) -> anyhow::Result<f64> {
        let status = self.proc("status")?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.split_whitespace().next());
        let kib: f64 = kib.context("/proc/…/status has no VmRSS")?.parse()?;
        Ok(kib / 1024.0)
    }

    fn proc(&self, file: &str) -> anyhow::Result<String> {
        let pid = self.child.id().context("the dispatcher has ended")?;
        let path = format!("/proc/{pid}/{file}");
        fs::read_to_string(&path).with_context(|| format!("read {path}"))
    }
}

fn spawn(program: &PathBuf, config: &PathBuf, log: &PathBuf) -> anyhow::Result<Child> {
    let log_file = OpenOptions::new()
        .create(true)
        .append(true)
        .open(log)
        .with_context(|| format!("open {}", log.display()))?;
    Command::new(program)
        .arg("run")
        .arg("--config")
        .arg(config)
        .stdin(Stdio::null())
        .stdout(log_file.try_clone()?)
        .stderr(log_file)
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("start {}", program.display()))
}
