//! Whether the host is the instance. Host keys of fresh instances are random, so any is accepted in the handshake, and
//! then the host has to show that it is the instance, before it is told anything else (facts X3).

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use dispatch_cloud::exec::{Command, ExecError, Exit, Output};
use dispatch_model::InstanceSecret;
use subtle::ConstantTimeEq;

use crate::{call::run_on, fault::tidy, job::Lane};

/// A server's public key, as it showed it in the handshake (and proved to have its private half).
#[derive(Clone, PartialEq, Eq)]
pub struct HostKey {
    /// As RFC 4253 encodes it.
    pub blob: Bytes,
    /// "SHA256:…", as OpenSSH prints it.
    pub fingerprint: String,
}

impl fmt::Debug for HostKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.fingerprint)
    }
}

/// A host that is yet to show that it is the instance.
pub struct UnverifiedHost {
    /// host:port.
    pub address: String,
    /// Its key.
    pub key: HostKey,
    /// What the instance is expected to know.
    pub secret: Option<InstanceSecret>,
    pub(crate) lane: Lane,
    pub(crate) output_bytes_max: usize,
}

impl UnverifiedHost {
    /// Runs a command that tells the host nothing and lets it prove itself.
    pub async fn run(&self, command: Command) -> Result<Output, ExecError> {
        run_on(
            &self.lane,
            &command,
            tokio::time::Instant::now() + command.deadline,
            self.output_bytes_max,
        )
        .await
        .map_err(|failure| failure.into_error(&self.address, command.deadline))
    }
}

/// How hosts are verified. Asked once per host key and connection handle; a new key is a new question (facts X4).
#[async_trait]
pub trait VerifyHost: Send + Sync {
    /// Whether there is anything to compare with: false makes every attempt fail before it begins.
    fn can_verify(&self, secret: Option<&InstanceSecret>) -> bool;

    /// Fails with the reason, which must contain no secret.
    async fn verify(&self, host: &UnverifiedHost) -> Result<(), String>;
}

/// The default: the host must be able to read the secret that its first boot wrote to a file.
pub(crate) struct SecretFile {
    pub(crate) command: Command,
}

/// The command that shows the secret (facts §2.2). `sudo` is "sudo " or "".
pub fn secret_command(sudo: &str) -> String {
    format!("{sudo}cat /var/run/arvados-instance-secret")
}

#[async_trait]
impl VerifyHost for SecretFile {
    fn can_verify(&self, secret: Option<&InstanceSecret>) -> bool {
        secret.is_some_and(|secret| !secret.reveal().is_empty())
    }

    async fn verify(&self, host: &UnverifiedHost) -> Result<(), String> {
        let secret = host
            .secret
            .as_ref()
            .ok_or("there is no secret to compare with")?
            .reveal();
        let output = host
            .run(self.command.clone())
            .await
            .map_err(|error| without(secret, &error.to_string()))?;
        match output.exit {
            Exit::Status(0) if bool::from(output.stdout.as_ref().ct_eq(secret.as_bytes())) => {
                Ok(())
            }
            Exit::Status(0) => Err("it shows another secret".to_owned()),
            Exit::Status(status) => {
                let said = without(secret, &tidy(&String::from_utf8_lossy(&output.stderr)));
                Err(format!(
                    "its secret cannot be read (exit status {status}: {said})"
                ))
            }
            Exit::Signal(signal) => Err(format!("its secret cannot be read (killed by {signal})")),
        }
    }
}

/// What the host said, unless the secret is in it.
fn without(secret: &str, said: &str) -> String {
    if said.contains(secret) {
        "(not shown)".to_owned()
    } else {
        said.to_owned()
    }
}

/// The default verification for a login user.
pub(crate) fn by_secret_file(settings: &crate::Settings) -> Arc<dyn VerifyHost> {
    let command = Command {
        line: secret_command(settings.sudo()),
        stdin: Bytes::new(),
        deadline: settings.verify,
    };
    Arc::new(SecretFile { command })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_root_reads_the_secret_without_sudo() {
        let command = |user: &str| secret_command(crate::Settings::new(user, 22).sudo());
        assert_eq!(command("root"), "cat /var/run/arvados-instance-secret");
        assert_eq!(
            command("crunch"),
            "sudo cat /var/run/arvados-instance-secret"
        );
    }

    #[test]
    fn an_error_text_with_the_secret_in_it_is_not_shown() {
        assert_eq!(
            without("5ecret", "cat: 5ecret: no such file"),
            "(not shown)"
        );
        assert_eq!(without("5ecret", "cat: no such file"), "cat: no such file");
    }
}
