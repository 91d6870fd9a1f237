//! Where queue and pool contradict each other, and how to set it right (facts §8.4).

use std::{collections::BTreeSet, fmt};

use dispatch_model::{
    ContainerId, ContainerState, Now, PoolSnapshot, QueueEntry, QueueSnapshot, RunnerState,
    RunnerView, Time, WorkerId,
};

use crate::{Recovery, UnlockReason};

/// What [`reconcile`] found.
#[must_use]
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Repairs {
    /// What to do, in order of container.
    pub repairs: Vec<Repair>,
    /// When to look again even if nothing happens.
    pub again_at: Option<Time>,
}

/// One thing to set right. Containers that are `busy` are never among them.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Repair {
    /// Cancel the container in the API: it can never end by itself.
    Cancel {
        /// Which one.
        container: ContainerId,
        /// Why; `Display` is fit for `runtime_status.error`.
        reason: CancelReason,
    },
    /// Give the lock back.
    Unlock {
        /// Which container.
        container: ContainerId,
        /// Why.
        reason: UnlockReason,
    },
    /// End the runner on this worker.
    Kill {
        /// Whose runner.
        container: ContainerId,
        /// Where.
        worker: WorkerId,
        /// Why.
        reason: KillReason,
    },
    /// The queue need not keep the container any longer.
    Forget {
        /// Which one.
        container: ContainerId,
    },
    /// The pool need not remember any longer that runners of this container have exited.
    DropExited {
        /// Which one.
        container: ContainerId,
    },
}

/// Why a container is cancelled. `Display` is a sentence for its owner.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum CancelReason {
    /// Its runner is gone, and the API, asked since, still says that it runs.
    RunnerEnded,
    /// The API says that it runs, but no instance knows of it.
    NotFound,
}

/// Why a runner is ended.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum KillReason {
    /// The container's priority is 0.
    PriorityZero,
    /// The container has ended.
    Ended,
    /// The container is Queued again: this is a leftover of an earlier attempt (facts S4).
    PreviousAttempt,
    /// The queue does not know the container (facts Q21).
    NotInQueue,
    /// Another runner of the same container was seen earlier.
    SecondRunner,
}

impl fmt::Display for CancelReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            CancelReason::RunnerEnded => {
                "the process that ran the container ended before the container was finished"
            }
            CancelReason::NotFound => {
                "the container was running, but no process and no instance that runs it could be found"
            }
        })
    }
}

impl fmt::Display for KillReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            KillReason::PriorityZero => "the container's priority is 0",
            KillReason::Ended => "the container has ended",
            KillReason::PreviousAttempt => "the container is queued again",
            KillReason::NotInQueue => "the container is not in the queue",
            KillReason::SecondRunner => "another runner of the container was there first",
        })
    }
}

/// Says where queue and pool contradict each other, and how to set it right. Same input, same answer.
///
/// The order of a container's runners in the pool snapshot matters: the one seen first comes first.
///
/// - A runner is ended when its container is not wanted (priority 0), has ended, is Queued again, is not in the queue,
///   or has another runner that was there first. One whose container is in the queue but cannot be read is left alone.
/// - A Running container is cancelled when its runner has gone and an answer of the API that was asked for since still
///   says Running; or when it is on no worker at all. Neither while a worker may yet turn out to run it, be it by the
///   last start of a dead daemon, which arrives late.
/// - A Locked container is unlocked when its runner has gone and the API, asked since, still says Locked; when its
///   priority is 0; and when it was locked before this daemon started, waiting for silent workers has ended, and the
///   API and the workers that did answer were asked again meanwhile (facts K2). If no worker is silent, such a lock is
///   as good as a new one, and the planner uses it.
pub fn reconcile(
    queue: &QueueSnapshot,
    pool: &PoolSnapshot,
    recovery: &Recovery,
    now: Now,
) -> Repairs {
    let mut look = Look {
        unreadable: &queue.unreadable,
        recovery,
        now: now.time,
        hidden_until: hidden_until(pool, recovery, now.time),
        found: Repairs::default(),
    };
    if !pool.surveyed || queue.listed_at.is_none() {
        return look.found;
    }
    let mut runners = pool.runners.iter().peekable();
    for (id, entry) in &queue.entries {
        while let Some((stranger, views)) = runners.next_if(|(other, _)| *other < id) {
            look.stranger(stranger, views);
        }
        let own = runners.next_if(|(other, _)| *other == id);
        // What its call brings is not known yet (facts S2, S3).
        if !entry.busy {
            look.entry(entry, &Runners::of(own.map_or(&[], |(_, views)| views)));
        }
    }
    for (stranger, views) in runners {
        look.stranger(stranger, views);
    }
    look.found
}

/// Until when some worker may turn out to run a container of which nothing is known; `None`: none may.
fn hidden_until(pool: &PoolSnapshot, recovery: &Recovery, now: Time) -> Option<Time> {
    (pool.workers.values())
        .filter_map(|worker| recovery.may_hide_a_runner(worker, now))
        .min()
}

/// The runners of one container, by what can be done about them.
#[derive(Default)]
struct Runners {
    /// Not told to end yet, the one seen first in front.
    alive: Vec<WorkerId>,
    /// Some have been told to end, and have not.
    ending: bool,
    /// When the last of those that are gone was found to be.
    exited_at: Option<Time>,
}

impl Runners {
    fn of(views: &[RunnerView]) -> Runners {
        let mut runners = Runners::default();
        for view in views {
            match view.state {
                RunnerState::Starting | RunnerState::Alive => runners.alive.push(view.worker),
                RunnerState::Killing | RunnerState::GivenUp => runners.ending = true,
                RunnerState::Exited { at } => {
                    runners.exited_at = runners.exited_at.max(Some(at));
                }
            }
        }
        runners
    }

    fn all_gone(&self) -> bool {
        self.alive.is_empty() && !self.ending
    }
}

struct Look<'a> {
    unreadable: &'a BTreeSet<ContainerId>,
    recovery: &'a Recovery,
    now: Time,
    hidden_until: Option<Time>,
    found: Repairs,
}

impl Look<'_> {
    /// A container that the queue does not know, or knows to be there and no more.
    fn stranger(&mut self, container: &ContainerId, views: &[RunnerView]) {
        if self.unreadable.contains(container) {
            return;
        }
        let runners = Runners::of(views);
        self.kill(container, &runners.alive, KillReason::NotInQueue);
        if runners.all_gone() {
            self.drop_exited(container, &runners);
        }
    }

    fn entry(&mut self, entry: &QueueEntry, runners: &Runners) {
        match entry.state {
            ContainerState::Queued => {
                self.kill(&entry.id, &runners.alive, KillReason::PreviousAttempt);
                if runners.all_gone() {
                    self.drop_exited(&entry.id, runners);
                    if entry.priority < 1 {
                        self.forget(&entry.id);
                    }
                }
            }
            ContainerState::Complete | ContainerState::Cancelled => {
                self.kill(&entry.id, &runners.alive, KillReason::Ended);
                if runners.all_gone() {
                    self.drop_exited(&entry.id, runners);
                    self.forget(&entry.id);
                }
            }
            ContainerState::Locked | ContainerState::Running if !runners.all_gone() => {
                self.kill_unwanted(entry, runners);
            }
            ContainerState::Running => self.running_without_runner(entry, runners),
            ContainerState::Locked => self.locked_without_runner(entry, runners),
        }
    }

    fn kill_unwanted(&mut self, entry: &QueueEntry, runners: &Runners) {
        if entry.priority < 1 {
            self.kill(&entry.id, &runners.alive, KillReason::PriorityZero);
        } else if let [_, later @ ..] = &*runners.alive {
            self.kill(&entry.id, later, KillReason::SecondRunner);
        }
    }

    fn running_without_runner(&mut self, entry: &QueueEntry, runners: &Runners) {
        let late_until = self.recovery.late_starts_until(self.now);
        if let Some(until) = self.hidden_until.max(late_until) {
            self.look_again(until);
            return;
        }
        let (last_news, reason) = match runners.exited_at {
            Some(at) => (Some(at), CancelReason::RunnerEnded),
            None => (self.recovery.news_at(), CancelReason::NotFound),
        };
        if last_news.is_none_or(|news| entry.as_of >= news) {
            let container = entry.id.clone();
            (self.found.repairs).push(Repair::Cancel { container, reason });
        }
    }

    fn locked_without_runner(&mut self, entry: &QueueEntry, runners: &Runners) {
        if let Some(at) = runners.exited_at {
            if entry.as_of >= at {
                self.unlock(&entry.id, UnlockReason::RunnerEnded);
            }
        } else if entry.locked_here || self.recovery.trusts(entry, self.now) {
            if entry.priority < 1 {
                self.unlock(&entry.id, UnlockReason::PriorityZero);
            } else if !entry.locked_here && !self.recovery.silent().is_empty() {
                self.unlock(&entry.id, UnlockReason::StaleLock);
            }
        } else if let Some(deadline) = self.recovery.deadline(self.now) {
            self.look_again(deadline);
        }
    }

    fn kill(&mut self, container: &ContainerId, workers: &[WorkerId], reason: KillReason) {
        for worker in workers {
            self.found.repairs.push(Repair::Kill {
                container: container.clone(),
                worker: *worker,
                reason,
            });
        }
    }

    fn unlock(&mut self, container: &ContainerId, reason: UnlockReason) {
        let container = container.clone();
        (self.found.repairs).push(Repair::Unlock { container, reason });
    }

    fn forget(&mut self, container: &ContainerId) {
        let container = container.clone();
        self.found.repairs.push(Repair::Forget { container });
    }

    fn drop_exited(&mut self, container: &ContainerId, runners: &Runners) {
        if runners.exited_at.is_some() {
            let container = container.clone();
            self.found.repairs.push(Repair::DropExited { container });
        }
    }

    fn look_again(&mut self, at: Time) {
        if at > self.now {
            self.found.again_at = Some(self.found.again_at.map_or(at, |again_at| again_at.min(at)));
        }
    }
}

#[cfg(test)]
mod tests;
