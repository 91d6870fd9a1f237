//! One call on a live connection, within the caller's deadline.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use bytes::Bytes;
use dispatch_cloud::exec::{Command, ExecError, Output};
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, timeout_at},
};

use crate::{
    job::{Answer, CancelOnDrop, Input, Job, JobError, Lane, Ticket},
    lines::{LINES_MAX, LineEnds},
    sink::{Sink, Splitter},
};

/// So much of what a long-lived command says on standard error goes to the log when it ends.
const LINES_STDERR_BYTES_MAX: usize = 4 << 10;

/// Why a command that had a connection has no output.
pub(crate) enum Failure {
    Job(JobError),
    /// In time; and whether it may have been sent.
    Late {
        sent: bool,
    },
}

impl Failure {
    /// Whether the connection ended before the command was sent, so that a new one may serve it.
    pub(crate) fn is_worth_another_try(&self) -> bool {
        matches!(self, Failure::Job(JobError::NotStarted(_)))
    }

    /// In the caller's terms.
    pub(crate) fn into_error(self, address: &str, deadline: Duration) -> ExecError {
        let address = address.to_owned();
        match self {
            Failure::Job(JobError::NotStarted(reason) | JobError::Denied(reason)) => {
                ExecError::Connect { address, reason }
            }
            Failure::Job(JobError::Broken(reason)) => ExecError::Disconnected(reason),
            Failure::Late { sent: true } => ExecError::TimedOut(deadline),
            Failure::Late { sent: false } => {
                let reason = format!("no free channel within {} ms", deadline.as_millis());
                ExecError::Connect { address, reason }
            }
        }
    }
}

/// Runs a command on a live connection.
pub(crate) async fn run_on(
    lane: &Lane,
    command: &Command,
    until: Instant,
    bytes_max: usize,
) -> Result<Output, Failure> {
    let (sender, answer) = oneshot::channel();
    let job = Job {
        ticket: Arc::default(),
        line: command.line.clone(),
        input: Input::whole(command.stdin.clone()),
        stdout: Sink::capture(bytes_max),
        stderr: Sink::capture(bytes_max),
        answer: Answer::Output(sender),
    };
    let guard = lane.submit(job).map_err(Failure::Job)?;
    await_answer(answer, &guard, until).await
}

/// Starts a long-lived command on a live connection.
pub(crate) async fn lines_on(
    lane: &Lane,
    line: &str,
    until: Instant,
    write_deadline: Duration,
) -> Result<LineEnds, Failure> {
    let (sender, started) = oneshot::channel();
    let (input, from_caller) = mpsc::channel::<Bytes>(LINES_MAX);
    let (to_caller, output) = mpsc::channel(LINES_MAX);
    let broken = Arc::new(OnceLock::new());
    let job = Job {
        ticket: Arc::default(),
        line: line.to_owned(),
        input: Input::stream(from_caller),
        stdout: Sink::Lines(Splitter::new(to_caller)),
        stderr: Sink::capture(LINES_STDERR_BYTES_MAX),
        answer: Answer::Lines {
            started: Some(sender),
            broken: Arc::clone(&broken),
        },
    };
    let guard = lane.submit(job).map_err(Failure::Job)?;
    await_answer(started, &guard, until).await?;
    Ok(LineEnds {
        input,
        output,
        broken,
        write_deadline,
        guard,
    })
}

async fn await_answer<T>(
    answer: oneshot::Receiver<Result<T, JobError>>,
    guard: &CancelOnDrop,
    until: Instant,
) -> Result<T, Failure> {
    match timeout_at(until, answer).await {
        Ok(Ok(answer)) => answer.map_err(Failure::Job),
        Ok(Err(_)) => Err(Failure::Job(JobError::Broken(
            "the connection was abandoned".to_owned(),
        ))),
        Err(_) => Err(Failure::Late {
            sent: Ticket::cancel(&guard.ticket),
        }),
    }
}
