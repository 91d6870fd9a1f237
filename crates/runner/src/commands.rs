//! Command lines for crunch-run and around it (facts §2.2).

use std::{borrow::Cow, fmt};

use dispatch_model::{ContainerId, InstanceSecret, UserName};
use subtle::ConstantTimeEq;

use crate::shell::{quote, quote_if_needed};

/// The user whom the dispatcher logs in as, and whom the runner runs as: root, who is reached by `sudo` if the login is
/// another (facts §2.2, X5), or somebody whom the operator has chosen (`RunnerUser`).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Login {
    user: String,
    runner_user: Option<UserName>,
}

impl Login {
    /// The login of this user, with runners that run as root.
    pub fn new(user: impl Into<String>) -> Login {
        Login {
            user: user.into(),
            runner_user: None,
        }
    }

    /// The same login, with runners that run as this user; `None`: root.
    pub fn with_runner(&self, runner_user: Option<UserName>) -> Login {
        Login {
            user: self.user.clone(),
            runner_user: runner_user.filter(|user| !user.is_root()),
        }
    }

    /// Whom runners run as; `None`: root.
    pub fn runner_user(&self) -> Option<&UserName> {
        self.runner_user.as_ref()
    }

    /// What stands in front of commands that need root: "sudo " or nothing.
    pub fn sudo(&self) -> &'static str {
        if self.user == "root" { "" } else { "sudo " }
    }

    /// What stands in front of everything that concerns runners: `sudo` to their user, or nothing if that is the login.
    pub(crate) fn as_runner(&self) -> Cow<'static, str> {
        match &self.runner_user {
            None => Cow::Borrowed(self.sudo()),
            Some(user) if user.as_str() == self.user => Cow::Borrowed(""),
            Some(user) => Cow::Owned(format!("sudo -H -u {user} ")),
        }
    }

    /// The command that reads the instance's secret.
    pub fn secret_command(&self) -> String {
        format!("{}cat /var/run/arvados-instance-secret", self.sudo())
    }

    /// Whether that command's output shows that the instance is the one with this secret: exactly, and in a time that
    /// tells nothing about where a wrong answer differs.
    pub fn shows_secret(stdout: &[u8], secret: &InstanceSecret) -> bool {
        !secret.reveal().is_empty() && bool::from(stdout.ct_eq(secret.reveal().as_bytes()))
    }
}

/// The command that tells whether an instance has booted: `BootProbeCommand` as it is, "true" if that is empty.
pub fn boot_probe(command: &str) -> &str {
    if command.trim().is_empty() {
        "true"
    } else {
        command
    }
}

/// Where a deployed binary lies on instances: the same path as Go's, so that each adopts what the other left.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DeployPath {
    directory: String,
    md5: String,
}

impl DeployPath {
    /// `directory` is `DeployRunnerDirectory`, `md5` the binary's hash in lowercase hexadecimal digits.
    ///
    /// # Panics
    ///
    /// If `md5` is not 32 lowercase hexadecimal digits: it comes from [`crate::BinaryHash`].
    pub fn new(directory: &str, md5: &str) -> DeployPath {
        let is_digit = |c: u8| matches!(c, b'0'..=b'9' | b'a'..=b'f');
        assert!(
            md5.len() == 32 && md5.bytes().all(is_digit),
            "not an MD5: {md5:?}"
        );
        DeployPath {
            directory: directory.trim_end_matches('/').to_owned(),
            md5: md5.to_owned(),
        }
    }

    /// `DeployRunnerDirectory` without trailing slashes.
    pub fn directory(&self) -> &str {
        &self.directory
    }

    /// The binary's hash.
    pub fn md5(&self) -> &str {
        &self.md5
    }

    /// The command that asks whether the binary is in place.
    pub fn check_command(&self) -> String {
        format!("md5sum {}", quote_if_needed(&self.to_string()))
    }

    /// Whether that command's answer says so. (Its exit code must have been 0 as well.)
    pub fn check_passed(&self, stdout: &[u8], stderr: &[u8]) -> bool {
        stderr.is_empty() && stdout == format!("{}  {self}\n", self.md5).as_bytes()
    }
}

impl fmt::Display for DeployPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/crunch-run~{}", self.directory, self.md5)
    }
}

/// Which runner to call on instances.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum RunnerCommand {
    /// The one that the dispatcher deploys.
    Deployed(DeployPath),
    /// `CrunchRunCommand`, which is installed on the instances. May hold arguments, so it is not quoted.
    Installed(String),
}

/// The command lines of one runner, for one login.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RunnerCommands {
    /// The runner, with `sudo` in front where its user is not the login.
    runner: String,
    /// The quoted arguments of a start, without the container.
    start_arguments: String,
}

impl RunnerCommands {
    /// `engine` is `Containers.RuntimeEngine`, `arguments` is `CrunchRunArgumentsList`.
    pub fn new(
        runner: &RunnerCommand,
        login: &Login,
        engine: &str,
        arguments: &[String],
    ) -> RunnerCommands {
        let runner = match runner {
            RunnerCommand::Deployed(path) => quote_if_needed(&path.to_string()).into_owned(),
            RunnerCommand::Installed(command) => command.clone(),
        };
        let mut start_arguments = quote(&format!("--runtime-engine={engine}"));
        for argument in arguments {
            start_arguments.push(' ');
            start_arguments.push_str(&quote(argument));
        }
        RunnerCommands {
            runner: format!("{}{runner}", login.as_runner()),
            start_arguments,
        }
    }

    /// Lists the runners on the instance. With `prices`, standard input must be a price document, otherwise nothing
    /// (facts W37).
    pub fn list(&self, prices: bool) -> String {
        let prices = if prices { " --stdin-prices" } else { "" };
        format!("{} --list{prices}", self.runner)
    }

    /// Starts a runner; standard input must be a start document.
    pub fn start(&self, container: &ContainerId) -> String {
        format!(
            "{} --detach --stdin-config {} {}",
            self.runner,
            self.start_arguments,
            quote(container.as_str())
        )
    }

    /// Sends a runner a signal and waits about a second for its end (facts R3, R7). Exit code 0: it is gone or never
    /// was; 1: it is still alive.
    pub fn kill(&self, container: &ContainerId, signal: u8) -> String {
        format!(
            "{} --kill {signal} {}",
            self.runner,
            quote_if_needed(container.as_str())
        )
    }
}

#[cfg(test)]
mod tests;
