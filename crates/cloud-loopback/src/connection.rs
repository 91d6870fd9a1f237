//! Commands on this host, behind the executor's contract.

use std::{
    io, os::unix::process::ExitStatusExt as _, process::ExitStatus, sync::Arc, time::Duration,
};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use dispatch_cloud::exec::{Command, Connection, ExecError, Executor, Exit, Lines, Output, Target};
use dispatch_model::InstanceSecret;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _},
    process::ChildStdin,
    sync::{Semaphore, watch},
    time::timeout,
};

use crate::{
    lines::{LoopbackLines, closed_by_us},
    session::Session,
    set::Shared,
};

/// How much of each output is kept.
const OUTPUT_BYTES_MAX: usize = 16 << 20;

/// How many commands run at once; the rest wait their turn.
const COMMANDS_AT_ONCE: usize = 16;

/// How long to read on after a command's end, if it has left somebody behind who holds its output.
const READ_ON_FOR: Duration = Duration::from_secs(1);

/// Makes connections to the one instance.
#[derive(Debug)]
pub(crate) struct LoopbackExecutor(pub(crate) Arc<Shared>);

impl Executor for LoopbackExecutor {
    fn connection(&self, target: Target) -> Arc<dyn Connection> {
        Arc::new(LoopbackConnection {
            shared: Arc::clone(&self.0),
            secret: target.secret,
            turns: Semaphore::new(COMMANDS_AT_ONCE),
            closed: Arc::new(watch::Sender::new(false)),
        })
    }
}

/// A connection is a right to run commands as long as the instance is the one it was opened for.
struct LoopbackConnection {
    shared: Arc<Shared>,
    secret: Option<InstanceSecret>,
    turns: Semaphore,
    closed: Arc<watch::Sender<bool>>,
}

#[async_trait]
impl Connection for LoopbackConnection {
    fn set_address(&self, _: &str) {}

    async fn connect(&self, _: Duration) -> Result<(), ExecError> {
        self.mark().map(|_| ())
    }

    async fn run(&self, command: Command) -> Result<Output, ExecError> {
        let mut closed = self.closed.subscribe();
        tokio::select! {
            biased;
            () = until_closed(&mut closed) => Err(closed_by_us()),
            output = timeout(command.deadline, self.run_now(&command)) => match output {
                Ok(output) => output,
                Err(_) => Err(ExecError::TimedOut(command.deadline)),
            },
        }
    }

    async fn upload(&self, command: Command) -> Result<Output, ExecError> {
        self.run(command).await
    }

    async fn lines(&self, command: &str, _: Duration) -> Result<Box<dyn Lines>, ExecError> {
        if *self.closed.borrow() {
            return Err(closed_by_us());
        }
        let (session, pipes) = Session::start(command, &self.mark()?).map_err(cannot_start)?;
        Ok(Box::new(LoopbackLines {
            _session: session,
            stdin: pipes.stdin,
            stdout: pipes.stdout,
            buffer: BytesMut::new(),
            closed: Arc::clone(&self.closed),
        }))
    }

    fn close(&self) {
        self.closed.send_replace(true);
    }
}

impl LoopbackConnection {
    /// The mark of the instance's processes, if it is still the one this connection is for.
    fn mark(&self) -> Result<String, ExecError> {
        self.shared.mark(self.secret.as_ref())
    }

    async fn run_now(&self, command: &Command) -> Result<Output, ExecError> {
        let _turn = self.turns.acquire().await.map_err(|_| closed_by_us())?;
        let (mut session, pipes) =
            Session::start(&command.line, &self.mark()?).map_err(cannot_start)?;
        let mut stdout = Kept::default();
        let mut stderr = Kept::default();
        let status = {
            let reading =
                async { tokio::join!(stdout.read(pipes.stdout), stderr.read(pipes.stderr)) };
            let ending = end_of(&mut session, pipes.stdin, &command.stdin);
            tokio::pin!(reading, ending);
            tokio::select! {
                status = &mut ending => {
                    let _ = timeout(READ_ON_FOR, reading).await;
                    status
                }
                _ = &mut reading => ending.await,
            }
        };
        let status = status.map_err(|error| ExecError::Disconnected(error.to_string()))?;
        Ok(Output {
            exit: exit(status),
            truncated: stdout.truncated || stderr.truncated,
            stdout: stdout.bytes.freeze(),
            stderr: stderr.bytes.freeze(),
        })
    }
}

/// Resolves when the connection is closed, also by being dropped.
pub(crate) async fn until_closed(closed: &mut watch::Receiver<bool>) {
    // An error means that the connection is gone: closed as well.
    let _ = closed.wait_for(|closed| *closed).await;
}

/// The part of an output that is kept.
#[derive(Default)]
struct Kept {
    bytes: BytesMut,
    truncated: bool,
}

impl Kept {
    /// Reads to the end; what is beyond the limit is read and dropped, so that the command does not wait.
    async fn read(&mut self, mut pipe: impl AsyncRead + Unpin) {
        let mut piece = BytesMut::with_capacity(64 << 10);
        loop {
            piece.clear();
            // A pipe of ours does not fail; if it did, there would be no more to read.
            let n_read = pipe.read_buf(&mut piece).await.unwrap_or(0);
            if n_read == 0 {
                return;
            }
            let room = OUTPUT_BYTES_MAX - self.bytes.len();
            self.bytes.extend_from_slice(&piece[..n_read.min(room)]);
            self.truncated |= n_read > room;
        }
    }
}

/// Feeds the command and waits for its end; it need not read its input.
async fn end_of(
    session: &mut Session,
    mut stdin: ChildStdin,
    bytes: &Bytes,
) -> io::Result<ExitStatus> {
    let feeding = async move {
        // Fails if the command closes its input early, which is its right.
        let _ = stdin.write_all(bytes).await;
    };
    tokio::select! {
        status = session.wait() => return status,
        () = feeding => {}
    }
    session.wait().await
}

fn cannot_start(error: io::Error) -> ExecError {
    ExecError::Connect {
        address: "this host".to_owned(),
        reason: format!("cannot start setsid and sh: {error}"),
    }
}

fn exit(status: ExitStatus) -> Exit {
    match (status.code(), status.signal()) {
        (Some(code), _) => Exit::Status(code),
        (None, Some(signal)) => Exit::Signal(signal_name(signal)),
        (None, None) => Exit::Status(255),
    }
}

/// As SSH names signals.
fn signal_name(signal: i32) -> String {
    const NAMES: [(i32, &str); 12] = [
        (1, "HUP"),
        (2, "INT"),
        (3, "QUIT"),
        (4, "ILL"),
        (6, "ABRT"),
        (8, "FPE"),
        (9, "KILL"),
        (10, "USR1"),
        (11, "SEGV"),
        (12, "USR2"),
        (13, "PIPE"),
        (15, "TERM"),
    ];
    let known = NAMES.iter().find(|(number, _)| *number == signal);
    known.map_or_else(|| signal.to_string(), |(_, name)| (*name).to_owned())
}
