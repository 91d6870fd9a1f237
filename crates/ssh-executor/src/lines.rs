//! The caller's end of a long-lived command.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use dispatch_cloud::exec::{ExecError, Lines};
use tokio::{sync::mpsc, time::timeout};

use crate::job::CancelOnDrop;

/// Lines on their way, in each direction.
pub(crate) const LINES_MAX: usize = 256;

/// Dropping it closes the command's standard input and its channel.
pub(crate) struct LineEnds {
    /// Gone once the caller's end is.
    pub(crate) input: mpsc::Sender<Bytes>,
    pub(crate) output: mpsc::Receiver<String>,
    pub(crate) broken: Arc<OnceLock<String>>,
    pub(crate) write_deadline: Duration,
    pub(crate) guard: CancelOnDrop,
}

#[async_trait]
impl Lines for LineEnds {
    async fn write(&mut self, line: &str) -> Result<(), ExecError> {
        let line = Bytes::from(format!("{line}\n"));
        let sent = timeout(self.write_deadline, self.input.send(line)).await;
        self.guard.wake.notify_one();
        match sent {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(self
                .broken()
                .unwrap_or_else(|| ExecError::Disconnected("the command has ended".to_owned()))),
            Err(_) => Err(ExecError::TimedOut(self.write_deadline)),
        }
    }

    async fn next(&mut self) -> Result<Option<String>, ExecError> {
        match self.output.recv().await {
            Some(line) => {
                // There is room for more.
                self.guard.wake.notify_one();
                Ok(Some(line))
            }
            None => self.broken().map_or(Ok(None), Err),
        }
    }
}

impl LineEnds {
    fn broken(&self) -> Option<ExecError> {
        self.broken.get().cloned().map(ExecError::Disconnected)
    }
}
