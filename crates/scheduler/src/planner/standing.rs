//! Where each container of the queue stands: which runners it has, and what that means.

use std::sync::Arc;

use dispatch_model::{PoolSnapshot, QueueEntry, RunnerState, RunnerView, WorkerId};

/// Where a container stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Standing {
    /// It has no runner, and the pool remembers none.
    Nowhere,
    /// It has a runner.
    Alive(WorkerId),
    /// It has a runner that has been told to end.
    Ending(WorkerId),
    /// It had a runner, which is gone.
    Ended(WorkerId),
}

impl Standing {
    fn of(runners: &[RunnerView]) -> Standing {
        let mut standing = Standing::Nowhere;
        for runner in runners {
            let worker = runner.worker;
            match (runner.state, standing) {
                (RunnerState::Starting | RunnerState::Alive, _) => return Standing::Alive(worker),
                (RunnerState::Killing | RunnerState::GivenUp, _) => {
                    standing = Standing::Ending(worker);
                }
                (RunnerState::Exited { .. }, Standing::Nowhere) => {
                    standing = Standing::Ended(worker);
                }
                (RunnerState::Exited { .. }, _) => {}
            }
        }
        standing
    }

    /// Whether a runner of it is on a worker, wanted or not.
    pub(super) fn has_live_runner(self) -> bool {
        match self {
            Standing::Alive(_) | Standing::Ending(_) => true,
            Standing::Nowhere | Standing::Ended(_) => false,
        }
    }
}

/// Walks the queue and the pool's runners side by side, both being in the order of ids, and says where each entry
/// stands. Each runner that takes up room is shown to `occupied`, with its container if the queue knows that.
pub(super) fn of_all<'a>(
    entries: &[&'a Arc<QueueEntry>],
    pool: &PoolSnapshot,
    mut occupied: impl FnMut(WorkerId, Option<&'a QueueEntry>),
) -> Vec<Standing> {
    let mut occupy = |runners: &[RunnerView], entry: Option<&'a QueueEntry>| {
        for runner in runners.iter().filter(|runner| is_live(runner.state)) {
            occupied(runner.worker, entry);
        }
    };
    let mut runners = pool.runners.iter().peekable();
    let mut standings = Vec::with_capacity(entries.len());
    for entry in entries {
        while let Some((_, strangers)) = runners.next_if(|(id, _)| **id < entry.id) {
            occupy(strangers, None);
        }
        standings.push(match runners.next_if(|(id, _)| **id == entry.id) {
            Some((_, own)) => {
                occupy(own, Some(entry));
                Standing::of(own)
            }
            None => Standing::Nowhere,
        });
    }
    for (_, strangers) in runners {
        occupy(strangers, None);
    }
    standings
}

fn is_live(state: RunnerState) -> bool {
    match state {
        RunnerState::Starting
        | RunnerState::Alive
        | RunnerState::Killing
        | RunnerState::GivenUp => true,
        RunnerState::Exited { .. } => false,
    }
}
