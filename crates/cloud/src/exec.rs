//! How commands get onto an instance: over SSH, or straight onto this host (loopback).
//!
//! The face is small on purpose, so that a change of SSH library stays a change of one crate.

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use dispatch_model::InstanceSecret;

/// Opens connections to instances.
pub trait Executor: Send + Sync {
    /// A handle for one instance. Connects when first needed, reconnects by itself with a growing pause, and costs
    /// next to nothing while idle.
    fn connection(&self, target: Target) -> Arc<dyn Connection>;
}

/// Where to connect, and how to know that it is the right host.
#[derive(Clone, Debug)]
pub struct Target {
    /// host or host:port; "" while the instance has none.
    pub address: String,
    /// The secret that the instance must show before it is told anything (facts X3).
    pub secret: Option<InstanceSecret>,
}

/// One instance's connection. Dropping a call's future cancels the call.
#[async_trait]
pub trait Connection: Send + Sync {
    /// The instance moved: from the next connect on, go there (facts X6). A running command is left alone.
    fn set_address(&self, address: &str);

    /// Connects and verifies the host unless that is done, within `deadline`. Does not run a command of the caller's.
    async fn connect(&self, deadline: Duration) -> Result<(), ExecError>;

    /// Runs one command by the remote user's shell and waits for its end, at most `deadline` from now
    /// (connecting and waiting for a free channel included).
    async fn run(&self, command: Command) -> Result<Output, ExecError>;

    /// As `run`, on a short-lived verified connection of its own: for standard input of many megabytes.
    async fn upload(&self, command: Command) -> Result<Output, ExecError>;

    /// Starts a command that reads lines and writes lines until either side ends.
    async fn lines(&self, command: &str, deadline: Duration) -> Result<Box<dyn Lines>, ExecError>;

    /// Closes now; every call under way fails with `Disconnected`. Later calls fail as well.
    fn close(&self);
}

/// The two ends of a command that speaks in lines. Dropping it closes its standard input and ends the command.
#[async_trait]
pub trait Lines: Send {
    /// Writes one line (without its end).
    async fn write(&mut self, line: &str) -> Result<(), ExecError>;
    /// The next line (without its end); `None` when the command has closed its output. Cancel-safe.
    async fn next(&mut self) -> Result<Option<String>, ExecError>;
}

/// One command.
#[derive(Clone)]
pub struct Command {
    /// What the remote shell gets. Never contains a secret.
    pub line: String,
    /// Its whole standard input. May contain secrets.
    pub stdin: Bytes,
    /// How long it may take.
    pub deadline: Duration,
}

impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Command")
            .field("line", &self.line)
            .field("stdin_bytes", &self.stdin.len())
            .field("deadline", &self.deadline)
            .finish()
    }
}

/// How a command ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Exit {
    /// With this status.
    Status(i32),
    /// By this signal, such as "KILL".
    Signal(String),
}

/// What a command left behind.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Output {
    /// How it ended.
    pub exit: Exit,
    /// Its standard output, at most the executor's limit.
    pub stdout: Bytes,
    /// Its standard error, at most the executor's limit.
    pub stderr: Bytes,
    /// Whether output beyond the limit was dropped.
    pub truncated: bool,
}

impl Output {
    /// Whether it ended with status 0.
    pub fn success(&self) -> bool {
        self.exit == Exit::Status(0)
    }
}

/// Why a command has no output.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ExecError {
    /// Normal while an instance boots.
    #[error("the instance has no address yet")]
    NoAddress,
    /// Nobody answers at the address, or the connection broke before the command was sent. It did not run.
    #[error("cannot connect to {address}: {reason}")]
    Connect {
        /// Where.
        address: String,
        /// The system's words.
        reason: String,
    },
    /// The host does not accept our key.
    #[error("{address} does not accept the dispatcher's key: {reason}")]
    Refused {
        /// Where.
        address: String,
        /// The server's words.
        reason: String,
    },
    /// The host could not show that it is the instance: nothing was sent to it.
    #[error("{address} could not show that it is the instance: {reason}")]
    Unverified {
        /// Where.
        address: String,
        /// What it answered, without secrets.
        reason: String,
    },
    /// Not done in time. It may still be running.
    #[error("no answer within {} ms", .0.as_millis())]
    TimedOut(Duration),
    /// The connection broke while the command ran. It may still be running.
    #[error("the connection broke: {0}")]
    Disconnected(String),
}

impl ExecError {
    /// Whether the command certainly did not run.
    pub fn did_not_run(&self) -> bool {
        matches!(
            self,
            ExecError::NoAddress
                | ExecError::Connect { .. }
                | ExecError::Refused { .. }
                | ExecError::Unverified { .. }
        )
    }
}
