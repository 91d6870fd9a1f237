//! What callers hand to the task that owns the connection.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicU8, Ordering},
};

use bytes::Bytes;
use dispatch_cloud::exec::Output;
use tokio::sync::{Notify, mpsc, oneshot};

use crate::sink::Sink;

/// One command, or nothing but a channel.
pub(crate) struct Job {
    pub(crate) ticket: Arc<Ticket>,
    pub(crate) line: String,
    pub(crate) input: Input,
    pub(crate) stdout: Sink,
    pub(crate) stderr: Sink,
    pub(crate) answer: Answer,
}

/// Who waits for what.
pub(crate) enum Answer {
    /// For the end of the command and all its output.
    Output(oneshot::Sender<Result<Output, JobError>>),
    /// For its start; and if the connection breaks later, the reason is left behind.
    Lines {
        started: Option<oneshot::Sender<Result<(), JobError>>>,
        broken: Arc<OnceLock<String>>,
    },
    /// Nobody: opening a channel and closing it again makes the server show that it lives.
    Nobody,
}

/// Why a job has no output.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum JobError {
    /// It never reached the server; another connection may serve it.
    NotStarted(String),
    /// The server or a limit of ours refuses it. It did not run, and would not on another connection.
    Denied(String),
    /// The connection broke after it was sent.
    Broken(String),
}

impl Answer {
    /// Whether somebody still waits, or reads.
    pub(crate) fn is_awaited(&self) -> bool {
        match self {
            Answer::Output(_) | Answer::Lines { .. } => true,
            Answer::Nobody => false,
        }
    }

    /// Whether somebody reads lines as they come, for as long as it takes.
    pub(crate) fn is_lines(&self) -> bool {
        matches!(self, Answer::Lines { .. })
    }

    /// The command has been started.
    pub(crate) fn started(&mut self) {
        if let Answer::Lines { started, .. } = self
            && let Some(started) = started.take()
        {
            // The caller may have gone; its ticket says so.
            let _ = started.send(Ok(()));
        }
    }

    /// There will be no output.
    pub(crate) fn fail(&mut self, error: JobError) {
        match std::mem::replace(self, Answer::Nobody) {
            Answer::Output(sender) => drop(sender.send(Err(error))),
            Answer::Lines {
                started: Some(sender),
                ..
            } => drop(sender.send(Err(error))),
            Answer::Lines {
                started: None,
                broken,
            } => {
                let (JobError::NotStarted(why) | JobError::Denied(why) | JobError::Broken(why)) =
                    error;
                // Only the first reason counts.
                let _ = broken.set(why);
            }
            Answer::Nobody => {}
        }
    }

    /// The command has ended.
    pub(crate) fn finish(&mut self, output: impl FnOnce() -> Output) {
        if let Answer::Output(sender) = std::mem::replace(self, Answer::Nobody) {
            // The caller may have gone.
            let _ = sender.send(Ok(output()));
        }
    }
}

/// An input of this size fits into the window that servers grant at once, and is sent although nobody waits for the
/// command any more. A runner's document is shorter, its program is not.
const SHORT_BYTES: usize = 1 << 20;

/// The standard input of a command: one block, then perhaps more. The block that was offered to libssh2 stays where it
/// is until it has been taken.
pub(crate) struct Input {
    block: Bytes,
    more: Option<mpsc::Receiver<Bytes>>,
}

impl Input {
    /// This, and then the end.
    pub(crate) fn whole(block: Bytes) -> Self {
        Self { block, more: None }
    }

    /// The end at once.
    pub(crate) fn nothing() -> Self {
        Self::whole(Bytes::new())
    }

    /// Whatever comes, until the sender is dropped.
    pub(crate) fn stream(more: mpsc::Receiver<Bytes>) -> Self {
        Self {
            block: Bytes::new(),
            more: Some(more),
        }
    }

    /// What to send next; empty if there is nothing at present.
    pub(crate) fn block(&mut self) -> &[u8] {
        while self.block.is_empty()
            && let Some(more) = &mut self.more
        {
            match more.try_recv() {
                Ok(block) => self.block = block,
                Err(mpsc::error::TryRecvError::Empty) => break,
                Err(mpsc::error::TryRecvError::Disconnected) => self.more = None,
            }
        }
        &self.block
    }

    /// So much of the block has been taken.
    pub(crate) fn taken(&mut self, n: usize) {
        bytes::Buf::advance(&mut self.block, n);
    }

    /// Whether what is left is little, and all there will be.
    pub(crate) fn is_short(&self) -> bool {
        self.more.is_none() && !self.block.is_empty() && self.block.len() <= SHORT_BYTES
    }

    /// Whether everything has been taken and nothing more can come.
    pub(crate) fn is_finished(&self) -> bool {
        self.block.is_empty() && self.more.is_none()
    }
}

const QUEUED: u8 = 0;
const SENT: u8 = 1;
const CANCELLED: u8 = 2;

/// Settles between caller and connection whether a command was sent before it was cancelled.
#[derive(Default)]
pub(crate) struct Ticket(AtomicU8);

impl Ticket {
    /// The connection is about to send the command: false if it was cancelled before.
    pub(crate) fn send(&self) -> bool {
        self.0
            .compare_exchange(QUEUED, SENT, Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
    }

    /// The caller has lost interest. Says whether the command may have been sent.
    pub(crate) fn cancel(&self) -> bool {
        self.0.swap(CANCELLED, Ordering::AcqRel) != QUEUED
    }

    /// Whether the caller has lost interest.
    pub(crate) fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Acquire) == CANCELLED
    }
}

/// Cancels when dropped, and tells the connection.
pub(crate) struct CancelOnDrop {
    pub(crate) ticket: Arc<Ticket>,
    pub(crate) wake: Arc<Notify>,
}

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.ticket.cancel();
        self.wake.notify_one();
    }
}

/// The way to a live connection. When the last one is dropped, the connection takes no more work, finishes what runs,
/// and ends.
#[derive(Clone)]
pub(crate) struct Lane {
    pub(crate) jobs: mpsc::Sender<Job>,
    pub(crate) wake: Arc<Notify>,
    /// Where it leads.
    pub(crate) address: String,
}

impl Lane {
    /// Whether the connection takes no more work.
    pub(crate) fn has_ended(&self) -> bool {
        self.jobs.is_closed()
    }

    /// Puts a job into the queue; the guard cancels it when dropped.
    pub(crate) fn submit(&self, job: Job) -> Result<CancelOnDrop, JobError> {
        let ticket = Arc::clone(&job.ticket);
        match self.jobs.try_send(job) {
            Ok(()) => Ok(CancelOnDrop {
                ticket,
                wake: Arc::clone(&self.wake),
            }),
            Err(mpsc::error::TrySendError::Full(_)) => Err(JobError::Denied(
                "too many commands wait already".to_owned(),
            )),
            Err(mpsc::error::TrySendError::Closed(_)) => {
                Err(JobError::NotStarted("the connection has ended".to_owned()))
            }
        }
    }
}
