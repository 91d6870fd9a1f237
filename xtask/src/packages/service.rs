//! The daemon as its unit starts it: user, variables, rights and view of the file system, and the socket on which it says
//! that it is ready.

use std::{
    fs,
    io::ErrorKind,
    os::unix::{fs::PermissionsExt, net::UnixDatagram},
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use super::{root::Root, unit::Unit, wait::until};
use crate::command::{command, execute_quietly};

/// How long the daemon may take to say something on a busy machine.
const PATIENCE: Duration = Duration::from_secs(90);
/// How often to look whether it still runs.
const EVERY: Duration = Duration::from_millis(100);
/// Where the unit is, and the socket.
const UNIT: &str = "/usr/lib/systemd/system/arvados-dispatch-cloud.service";
const DROP_INS: [&str; 2] = [
    "/etc/systemd/system/arvados-dispatch-cloud.service.d",
    "/run/systemd/system/arvados-dispatch-cloud.service.d",
];
const SOCKET: &str = "/run/notify";
const LOG: &str = "/run/arvados-dispatch-cloud.log";

/// A service that runs.
pub(super) struct Service {
    child: Child,
    notify: UnixDatagram,
    log: PathBuf,
    unit: Unit,
}

impl Service {
    /// Starts it and waits until it is ready.
    pub(super) fn start(root: &Root) -> Result<Service> {
        let mut service = Service::launch(root)?;
        service.hears("READY=1")?;
        Ok(service)
    }

    fn launch(root: &Root) -> Result<Service> {
        let unit = unit(root)?;
        let environment = unit.environment(|path| fs::read_to_string(root.path(path)).ok())?;
        let words = unit.exec_start(&environment)?;
        let (program, arguments) = words.split_first().context("ExecStart is empty")?;
        let socket = root.path(SOCKET);
        match fs::remove_file(&socket) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
        let notify = UnixDatagram::bind(&socket).context("listen for the daemon's readiness")?;
        // Services of every user may tell.
        fs::set_permissions(&socket, fs::Permissions::from_mode(0o777))?;
        let log = root.path(LOG);
        let file = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(&log)?;
        let mut command: Command = root.jailed(&mounts(&unit), &identity(&unit)?, program);
        command
            .args(arguments)
            .envs(environment)
            .env("NOTIFY_SOCKET", SOCKET)
            .stdout(Stdio::null())
            .stderr(file);
        let child = command.spawn().context("start the daemon")?;
        Ok(Service {
            child,
            notify,
            log,
            unit,
        })
    }

    /// Waits until it tells this.
    fn hears(&mut self, message: &str) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                bail!("the daemon never said {message}; its log:\n{}", self.log());
            }
            self.notify.set_read_timeout(Some(left.min(EVERY)))?;
            let mut buffer = [0; 4096];
            match self.notify.recv(&mut buffer) {
                Ok(n)
                    if String::from_utf8_lossy(&buffer[..n])
                        .lines()
                        .any(|l| l == message) =>
                {
                    return Ok(());
                }
                Ok(_) => {}
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) =>
                {
                    // What it said before its end has been read by then.
                    if let Some(status) = self.child.try_wait()? {
                        bail!(
                            "the daemon ended with {status} and never said {message}; its log:\n{}",
                            self.log()
                        );
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// A line of `/proc/PID/status`.
    pub(super) fn status_line(&self, key: &str) -> Result<String> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
        Ok(line.context("a process has this")?.trim().to_owned())
    }

    /// Whether it runs, as it did when it said that it was ready.
    pub(super) fn is_active(&mut self) -> Result<bool> {
        Ok(self.child.try_wait()?.is_none())
    }

    /// Stops it as `systemctl stop` does: SIGTERM, and it ends well within the unit's time.
    pub(super) fn stop(mut self) -> Result<()> {
        let limit: u64 = self
            .unit
            .last("TimeoutStopSec")
            .context("the unit says how long stopping may take")?
            .parse()?;
        execute_quietly(command("kill").args(["-TERM", &self.child.id().to_string()]))?;
        self.hears("STOPPING=1")?;
        let status = ends(&mut self.child, Duration::from_secs(limit))?;
        if !status.success() {
            bail!("it ended with {status}; its log:\n{}", self.log());
        }
        Ok(())
    }

    /// The last lines of its log.
    pub(super) fn log(&self) -> String {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // It has ended already if it was stopped.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The unit in the root, with the operator's drop-ins.
pub(super) fn unit(root: &Root) -> Result<Unit> {
    let mut text = fs::read_to_string(root.path(UNIT)).context("the package has a unit")?;
    for folder in DROP_INS {
        let Ok(entries) = fs::read_dir(root.path(folder)) else {
            continue;
        };
        for entry in entries {
            text.push_str(&format!("\n{}", fs::read_to_string(entry?.path())?));
        }
    }
    Ok(Unit::parse(&text))
}

/// Waits for the end of a process.
pub(super) fn ends(child: &mut Child, limit: Duration) -> Result<ExitStatus> {
    let status = until(limit, || Ok(child.try_wait()?))?;
    status.with_context(|| format!("it did not end within {} s", limit.as_secs()))
}

/// The view of the file system that the unit gives, by commands; `$0` is the root.
fn mounts(unit: &Unit) -> String {
    let mut script = String::new();
    if unit.last("ProtectSystem") == Some("strict") {
        script.push_str("mount --bind \"$0\" \"$0\"; mount -o remount,bind,ro \"$0\"; cd \"$0\"\n");
    }
    if unit.last("ProcSubset") == Some("pid") {
        script.push_str("proc='-o subset=pid'\n");
    }
    if unit.is_on("PrivateTmp") {
        script.push_str("mount -t tmpfs -o mode=1777 tmpfs \"$0/tmp\"\n");
    }
    script
}

/// The program that changes who it is.
pub(super) fn identity(unit: &Unit) -> Result<String> {
    let user = unit.last("User").context("the unit has a user")?;
    let group = unit.last("Group").context("the unit has a group")?;
    let mut words = format!("setpriv --reuid={user} --regid={group} --init-groups");
    if unit.is_on("NoNewPrivileges") {
        words.push_str(" --no-new-privs");
    }
    if unit.last("CapabilityBoundingSet") == Some("") {
        words.push_str(" --bounding-set=-all --inh-caps=-all");
    }
    Ok(words)
}
