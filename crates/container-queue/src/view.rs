//! The state machine: what is known of each container, and who asks the API what and when.
//!
//! ```text
//!   poll ──► a row nobody knew ──► its mounts are read ──► it is sized ──► the planner sees it
//!                                                             │
//!                                                             └─ fits nowhere ──► cancelled, with the reason
//!   planner ──► wish (lock, unlock, cancel) ──► call ──► answer ──► the planner sees the new state
//!                                                 └─ failed ──► a pause, then it is read again
//! ```
//!
//! Containers that are Locked or Running are shown before their mounts are read, without types: nothing is started for
//! them, but nobody takes their runners for strangers' either (facts Q21).

mod deeds;
mod entry;
mod identity;
mod listing;
mod mounts;
mod pace;
mod wakes;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use dispatch_model::{ContainerId, ContainerState, Now, QueueSnapshot, Time};

use crate::{
    Details, Effects, Event, Fact, Leaving, Settings,
    choice::Chooser,
    view::{
        deeds::Deeds, entry::Entry, identity::Identity, mounts::MountsQueue, pace::PollPace,
        wakes::Wakes,
    },
};

/// The containers as we know them. See the crate's description.
#[derive(Debug)]
pub struct View {
    chooser: Chooser,
    identity: Identity,
    pace: PollPace,
    mounts: MountsQueue,
    deeds: Deeds,
    wakes: Wakes,
    entries: BTreeMap<ContainerId, Entry>,
    snapshot: QueueSnapshot,
    /// Counts events: says exactly what was known before what, also within one millisecond.
    step: Step,
    /// Containers that left while a poll was under way: its rows must not bring them back (facts Q1).
    left_during_poll: BTreeSet<ContainerId>,
    /// What the last poll could not read, so that it is told once.
    unreadable: BTreeSet<(Option<ContainerId>, String)>,
}

/// How many events had been handled.
type Step = u64;

impl View {
    /// A view that knows nothing yet. Its first deadline is at once.
    pub fn new(settings: Settings) -> View {
        View {
            chooser: Chooser::new(&settings),
            identity: Identity::new(settings.poll_interval),
            pace: PollPace::new(settings.poll_interval),
            mounts: MountsQueue::default(),
            deeds: Deeds::default(),
            wakes: Wakes::default(),
            entries: BTreeMap::new(),
            snapshot: QueueSnapshot::default(),
            step: 0,
            left_during_poll: BTreeSet::new(),
            unreadable: BTreeSet::new(),
        }
    }

    /// Takes one event in, and does what is due.
    pub fn handle(&mut self, event: Event, now: Now) -> Effects {
        self.step += 1;
        let mut effects = Effects::default();
        let out = &mut effects;
        match event {
            Event::Lock(id) => self.wish_lock(&id),
            Event::Unlock(id) => self.wish_unlock(&id),
            Event::Cancel { id, reason } => self.wish_cancel(&id, reason),
            Event::Forget(id) => self.wish_forget(&id, out),
            Event::Refresh(id) => self.wish_refresh(&id),
            Event::WantedRows(wanted) => self.pace.want(wanted, now.time),
            Event::Poke => self.pace.poke(now.time),
            Event::Tick => {}
            Event::WhoAmI(result) => self.identity.answered(result, now.time, out),
            Event::Polled(result) => self.polled(result, now, out),
            Event::MountsRead { ids, result } => self.mounts_read(ids, result, now, out),
            Event::Locked { id, result } => self.lock_answered(&id, result, now, out),
            Event::Unlocked { id, result } => self.unlock_answered(&id, result, now, out),
            Event::Cancelled { id, result } => self.cancel_answered(&id, result, now, out),
            Event::Read { id, result } => self.read_answered(&id, result, now, out),
        }
        self.do_what_is_due(now, out);
        effects
    }

    /// When to send [`Event::Tick`] if nothing else happens first; `None`: an answer must come first.
    pub fn deadline(&self) -> Option<Time> {
        [
            self.identity.deadline(),
            self.identity.known().and(self.pace.deadline()),
            self.mounts.deadline(),
            self.wakes.deadline(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// The containers, for the planner. Kept up to date as things change, so that asking costs nothing; readers who
    /// need one of their own may clone it (the entries are shared).
    pub fn snapshot(&self) -> &QueueSnapshot {
        &self.snapshot
    }

    /// The rest of a container's record, for readers.
    pub fn details(&self, id: &ContainerId) -> Option<&Arc<Details>> {
        self.entries.get(id).map(|entry| &entry.details)
    }

    fn do_what_is_due(&mut self, now: Now, out: &mut Effects) {
        while let Some(id) = self.wakes.next_due(now.time) {
            self.pause_is_over(&id);
        }
        self.identity.ask_if_due(now.time, out);
        self.poll_if_due(now, out);
        self.read_mounts_if_due(now, out);
        self.send_deeds(now, out);
    }

    /// Shows the planner what has changed of a container.
    fn publish(&mut self, id: &ContainerId) {
        let entry = self.entries.get(id).and_then(|entry| entry.shown(id));
        match entry {
            None => {
                self.snapshot.entries.remove(id);
            }
            Some(shown) => match self.snapshot.entries.get_mut(id) {
                Some(old) if **old == shown => {}
                Some(old) => *old = Arc::new(shown),
                None => {
                    self.snapshot.entries.insert(id.clone(), Arc::new(shown));
                }
            },
        }
    }

    /// Works out what a container needs and where it can run, as far as is known.
    fn size(&mut self, id: &ContainerId, out: &mut Effects) {
        if let Some(entry) = self.entries.get_mut(id) {
            entry.size(id, &mut self.chooser, &mut out.facts);
        }
    }

    fn remove(&mut self, id: &ContainerId, why: Leaving, out: &mut Effects) {
        if self.entries.remove(id).is_none() {
            return;
        }
        self.mounts.forget(id);
        self.wakes.forget(id);
        if self.pace.is_polling() {
            self.left_during_poll.insert(id.clone());
        }
        self.snapshot.entries.remove(id);
        out.facts.push(Fact::Left {
            id: id.clone(),
            why,
        });
    }

    /// The planner has no more use for a container (facts Q19).
    fn wish_forget(&mut self, id: &ContainerId, out: &mut Effects) {
        let Some(entry) = self.entries.get(id) else {
            return;
        };
        let held = entry.state == ContainerState::Queued && entry.priority <= 0;
        if !entry.is_busy() && (entry.state.is_final() || held) {
            self.remove(id, Leaving::Forgotten, out);
        }
    }
}

#[cfg(test)]
mod tests;
