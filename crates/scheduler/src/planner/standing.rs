//! Where each container of the queue stands: which runners it has, and what that means.

use std::{collections::btree_map, iter::Peekable};

use dispatch_model::{ContainerId, PoolSnapshot, RunnerState, RunnerView, WorkerId};

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
    /// What these runners of one container mean.
    pub(super) fn of(runners: &[RunnerView]) -> Standing {
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

/// The workers on which these runners take up room.
pub(super) fn live(runners: &[RunnerView]) -> impl Iterator<Item = WorkerId> {
    (runners.iter())
        .filter(|runner| is_live(runner.state))
        .map(|runner| runner.worker)
}

/// A walk over the pool's runners in the order of containers.
pub(super) struct Runners<'a> {
    rest: Peekable<btree_map::Iter<'a, ContainerId, Vec<RunnerView>>>,
}

impl<'a> Runners<'a> {
    pub(super) fn new(pool: &'a PoolSnapshot) -> Self {
        Runners {
            rest: pool.runners.iter().peekable(),
        }
    }

    /// Walks on to this container; shows each worker on which one that was passed over takes up room.
    pub(super) fn before(&mut self, container: &ContainerId, mut passed: impl FnMut(WorkerId)) {
        while let Some((_, views)) = self.rest.next_if(|(id, _)| *id < container) {
            live(views).for_each(&mut passed);
        }
    }

    /// The runners of this container, having walked on to it.
    pub(super) fn of(&mut self, container: &ContainerId) -> &'a [RunnerView] {
        (self.rest.next_if(|(id, _)| *id == container)).map_or(&[], |(_, views)| views)
    }

    /// Walks to the end.
    pub(super) fn rest(self, mut passed: impl FnMut(WorkerId)) {
        for (_, views) in self.rest {
            live(views).for_each(&mut passed);
        }
    }
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
