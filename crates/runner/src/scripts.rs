//! The dispatcher's own scripts: deployment, exit watch, check of the runner's user, first boot. Contract: docs/reference/scripts.md.

use dispatch_model::{ContainerId, InstanceSecret, UserName};

use crate::{DeployPath, Login, shell};

const DEPLOY: &str = include_str!("deploy.sh");
const WATCH: &str = include_str!("watch.sh");
const USER: &str = include_str!("user.sh");
/// Where FUSE is told what mounts may be seen by others.
const FUSE_CONF: &str = "/etc/fuse.conf";

/// Where runners keep their lock files (facts §2.2.1).
pub const WATCH_DIRECTORY: &str = "/var/lock";

/// The command that puts the runner's binary to its place; standard input must be the binary.
pub fn deploy_script(login: &Login, path: &DeployPath) -> String {
    shell::script_line(
        &login.as_runner(),
        DEPLOY,
        "arvados-dispatch-deploy",
        &[path.md5(), path.directory()],
    )
}

/// The command that waits for runners to end: reads UUIDs, one a line, and answers with [`WatchLine`]s. `locks` is
/// [`WATCH_DIRECTORY`].
pub fn watch_script(login: &Login, locks: &str) -> String {
    shell::script_line(
        &login.as_runner(),
        WATCH,
        "arvados-dispatch-watch",
        &[locks],
    )
}

/// The command that tells whether the runners' user is there and may use what runners need; `None` if that is root, who
/// may use everything. `engine` is `RuntimeEngine`.
pub fn user_check_script(login: &Login, engine: &str) -> Option<String> {
    let user = login.runner_user()?;
    Some(shell::script_line(
        &login.as_runner(),
        USER,
        "arvados-dispatch-user",
        &[user.as_str(), engine, WATCH_DIRECTORY, FUSE_CONF],
    ))
}

/// What an operator can do if that command fails, which says by itself what is missing on the instance, if it was run
/// at all.
pub fn user_check_remedy(user: &UserName) -> String {
    format!(
        "runners cannot run as {user} (RunnerUser): the image must have this user, the login must be allowed to become it \
         by sudo without a password, and it must be allowed to use Docker or Singularity, FUSE and {WATCH_DIRECTORY}"
    )
}

/// What the exit watch says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum WatchLine {
    /// This runner has ended, or so it seems: a hint that a list must confirm.
    Ended(ContainerId),
    /// It cannot do what it was asked, in words for people.
    Remark(String),
}

impl WatchLine {
    /// Reads one line, without its end.
    pub fn parse(line: &str) -> WatchLine {
        let is_uuid = |c: char| c.is_ascii_alphanumeric() || c == '-';
        if !line.is_empty() && line.chars().all(is_uuid) {
            WatchLine::Ended(line.into())
        } else {
            let words = line.strip_prefix("! ").unwrap_or(line);
            WatchLine::Remark(words.chars().take(200).collect())
        }
    }
}

/// The script that an instance runs at its first boot: it keeps the instance's secret where only root reads it, then
/// does what `InstanceInitCommand` says, under the usual umask (facts §2.4, K23).
pub fn init_script(secret: &InstanceSecret, init_command: &str) -> String {
    format!(
        "#!/bin/sh\n(umask 0177 && printf %s {} >/var/run/arvados-instance-secret)\n{init_command}\n",
        shell::quote(secret.reveal())
    )
}

#[cfg(test)]
mod tests;
