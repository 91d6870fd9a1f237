//! Watches on an instance for the end of its runners: one channel, held while there is something to watch.
//!
//! What it says is a hint (`docs/reference/scripts.md`): a list of runners follows, and only that decides.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use dispatch_brain::Input;
use dispatch_cloud::exec::{Connection, ExecError, Lines};
use dispatch_model::{ContainerId, WorkerId};
use dispatch_runner::WatchLine;
use dispatch_worker::Event;
use tokio::{
    sync::{mpsc, watch},
    task::AbortHandle,
};

/// How long opening the channel may take.
const OPEN_WITHIN: Duration = Duration::from_secs(30);
/// How long one line may take to be sent.
const WRITE_WITHIN: Duration = Duration::from_secs(30);

/// The watch on one instance. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct ExitWatch {
    wanted: watch::Sender<BTreeSet<ContainerId>>,
    task: AbortHandle,
}

impl Drop for ExitWatch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl ExitWatch {
    /// Starts to watch these. The task ends, after saying so, when the channel breaks.
    pub(crate) fn start(
        worker: WorkerId,
        wanted: BTreeSet<ContainerId>,
        connection: Arc<dyn Connection>,
        script: Arc<str>,
        inputs: mpsc::Sender<Input>,
    ) -> ExitWatch {
        let (sender, receiver) = watch::channel(wanted);
        let task = tokio::spawn(async move {
            let reason = keep_watching(worker, &*connection, &script, receiver, &inputs).await;
            if let Err(reason) = reason {
                tracing::debug!(%worker, %reason, "the exit watch ended");
                let _ = inputs.send(Input::Pool(Event::WatchLost { worker })).await;
            }
        });
        ExitWatch {
            wanted: sender,
            task: task.abort_handle(),
        }
    }

    /// Watch these and no others. `false` if the task has ended: start another.
    pub(crate) fn set(&self, wanted: BTreeSet<ContainerId>) -> bool {
        !self.task.is_finished() && self.wanted.send(wanted).is_ok()
    }
}

/// Runs until the channel breaks (`Err`) or nobody wants it any more (`Ok`).
async fn keep_watching(
    worker: WorkerId,
    connection: &dyn Connection,
    script: &str,
    mut wanted: watch::Receiver<BTreeSet<ContainerId>>,
    inputs: &mpsc::Sender<Input>,
) -> Result<(), ExecError> {
    loop {
        if wanted.wait_for(|wanted| !wanted.is_empty()).await.is_err() {
            return Ok(());
        }
        let lines = connection.lines(script, OPEN_WITHIN).await?;
        if !one_channel(worker, lines, &mut wanted, inputs).await? {
            return Ok(());
        }
    }
}

/// Uses one channel until it must be opened anew, because something is to be watched no more (`true`), or nobody wants
/// it any more (`false`).
async fn one_channel(
    worker: WorkerId,
    mut lines: Box<dyn Lines>,
    wanted: &mut watch::Receiver<BTreeSet<ContainerId>>,
    inputs: &mpsc::Sender<Input>,
) -> Result<bool, ExecError> {
    let mut watched: BTreeSet<ContainerId> = BTreeSet::new();
    let mut reported: BTreeSet<ContainerId> = BTreeSet::new();
    loop {
        let now_wanted = wanted.borrow_and_update().clone();
        if watched.iter().any(|id| !now_wanted.contains(id)) || now_wanted.is_empty() {
            return Ok(true);
        }
        reported.retain(|id| now_wanted.contains(id));
        for id in now_wanted {
            if !reported.contains(&id) && !watched.contains(&id) {
                let write = tokio::time::timeout(WRITE_WITHIN, lines.write(id.as_str()));
                write
                    .await
                    .map_err(|_| ExecError::TimedOut(WRITE_WITHIN))??;
                watched.insert(id);
            }
        }
        tokio::select! {
            biased;
            changed = wanted.changed() => {
                if changed.is_err() {
                    return Ok(false);
                }
            }
            line = lines.next() => {
                let Some(line) = line? else {
                    return Err(ExecError::Disconnected("the exit watch ended by itself".to_owned()));
                };
                match WatchLine::parse(&line) {
                    WatchLine::Ended(container) if watched.remove(&container) => {
                        reported.insert(container.clone());
                        let ended = Event::Ended { worker, container };
                        if inputs.send(Input::Pool(ended)).await.is_err() {
                            return Ok(false);
                        }
                    }
                    WatchLine::Ended(_) => {}
                    WatchLine::Remark(words) => tracing::debug!(%worker, words, "the exit watch remarks"),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
