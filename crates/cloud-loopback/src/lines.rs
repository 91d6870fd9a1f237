//! A command that speaks in lines.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::{Buf as _, BytesMut};
use dispatch_cloud::exec::{ExecError, Lines};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    process::{ChildStdin, ChildStdout},
    sync::watch,
};

use crate::{connection::until_closed, session::Session};

/// Longer lines end the conversation.
const LINE_BYTES_MAX: usize = 64 << 10;

/// The two ends. Dropping it kills the command.
#[derive(Debug)]
pub(crate) struct LoopbackLines {
    pub(crate) _session: Session,
    pub(crate) stdin: ChildStdin,
    pub(crate) stdout: ChildStdout,
    pub(crate) buffer: BytesMut,
    /// Shared with the connection, which may be dropped earlier.
    pub(crate) closed: Arc<watch::Sender<bool>>,
}

#[async_trait]
impl Lines for LoopbackLines {
    async fn write(&mut self, line: &str) -> Result<(), ExecError> {
        let line = format!("{line}\n");
        let mut closed = self.closed.subscribe();
        tokio::select! {
            biased;
            () = until_closed(&mut closed) => Err(closed_by_us()),
            written = self.stdin.write_all(line.as_bytes()) => written.map_err(broken),
        }
    }

    async fn next(&mut self) -> Result<Option<String>, ExecError> {
        loop {
            if let Some(end) = self.buffer.iter().position(|&byte| byte == b'\n') {
                let line = self.buffer.split_to(end);
                self.buffer.advance(1);
                return Ok(Some(String::from_utf8_lossy(&line).into_owned()));
            }
            if self.buffer.len() > LINE_BYTES_MAX {
                return Err(ExecError::Disconnected(
                    "a line is unreasonably long".to_owned(),
                ));
            }
            let mut closed = self.closed.subscribe();
            let n_read = tokio::select! {
                biased;
                () = until_closed(&mut closed) => return Err(closed_by_us()),
                n_read = self.stdout.read_buf(&mut self.buffer) => n_read.map_err(broken)?,
            };
            if n_read == 0 {
                return Ok(None);
            }
        }
    }
}

fn broken(error: std::io::Error) -> ExecError {
    ExecError::Disconnected(error.to_string())
}

pub(crate) fn closed_by_us() -> ExecError {
    ExecError::Disconnected("it was closed".to_owned())
}
