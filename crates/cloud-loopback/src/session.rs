//! One command in a session of its own: it cannot use the terminal, and is ended as a whole (facts L3).

use std::{collections::BTreeMap, io, process::Stdio};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};

use crate::{processes, user};

/// What commands inherit of the dispatcher's environment: nothing that could be a secret.
const INHERITED: [&str; 6] = ["PATH", "HOME", "USER", "LOGNAME", "LANG", "TMPDIR"];

/// A running command. Dropping it kills it with all that is still in its process group.
#[derive(Debug)]
pub(crate) struct Session {
    child: Child,
    /// The leader's number, which is the group's as well; `None` once the leader has ended.
    group: Option<Pid>,
    /// Whether its processes are root's and we are not.
    is_roots: bool,
}

/// Its three pipes.
#[derive(Debug)]
pub(crate) struct Pipes {
    pub(crate) stdin: ChildStdin,
    pub(crate) stdout: ChildStdout,
    pub(crate) stderr: ChildStderr,
}

impl Session {
    /// Starts a command line. `mark` is what all its descendants carry.
    pub(crate) fn start(line: &str, mark: &str) -> io::Result<(Session, Pipes)> {
        let environment: BTreeMap<_, _> = INHERITED
            .iter()
            .filter_map(|name| Some((*name, std::env::var_os(name)?)))
            .collect();
        let mut child = Command::new("setsid")
            .args(["sh", "-c"])
            .arg(user::runnable(line, user::is_root(), processes::VARIABLE))
            .env_clear()
            .envs(environment)
            .env(processes::VARIABLE, mark)
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let group = child
            .id()
            .and_then(|id| i32::try_from(id).ok())
            .and_then(Pid::from_raw);
        let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let session = Session {
            child,
            group,
            is_roots: user::runs_as_root(line, user::is_root()),
        };
        match pipes {
            (Some(stdin), Some(stdout), Some(stderr)) => Ok((
                session,
                Pipes {
                    stdin,
                    stdout,
                    stderr,
                },
            )),
            _ => Err(io::Error::other("a pipe is missing")),
        }
    }

    /// Waits for the leader's end; what it left behind goes on.
    pub(crate) async fn wait(&mut self) -> io::Result<std::process::ExitStatus> {
        let status = self.child.wait().await?;
        // From here on the number may be another's.
        self.group = None;
        Ok(status)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if let Some(group) = self.group {
            // In vain only in the moment before the child has made its session; then it is killed as our child.
            let _ = kill_process_group(group, Signal::KILL);
            if self.is_roots {
                processes::kill_group_as_root(group);
            }
        }
    }
}
