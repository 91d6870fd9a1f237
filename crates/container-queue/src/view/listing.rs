//! Polls: what to ask for, and what to make of the rows.

use std::collections::{BTreeMap, BTreeSet};

use dispatch_model::{ContainerId, ContainerState, Now};

use crate::{
    ApiFailure, Deed, Effects, Fact, Leaving, PollRows, Request,
    row::{self, Row},
    view::{View, entry::Entry, pace::Polling},
};

/// What cannot be read is told once; of more than this many things it is forgotten that they were told.
const UNREADABLE_MAX: usize = 10_000;

impl View {
    pub(super) fn poll_if_due(&mut self, now: Now, out: &mut Effects) {
        let Some(token_uuid) = self.identity.known() else {
            return;
        };
        if self.pace.deadline().is_none_or(|at| at > now.time) {
            return;
        }
        let token_uuid = token_uuid.to_owned();
        let queued_wanted = self.pace.begin(now.time, self.step);
        self.left_during_poll.clear();
        out.requests.push(Request::Poll {
            token_uuid,
            known: self.known(),
            queued_wanted,
        });
    }

    /// Everything that may still change, the most important first.
    fn known(&self) -> Vec<ContainerId> {
        let mut known: Vec<_> = self
            .entries
            .iter()
            .filter(|(_, entry)| !entry.state.is_final())
            .map(|(id, entry)| (entry.rank(), id))
            .collect();
        known.sort_unstable();
        known.into_iter().map(|(_, id)| id.clone()).collect()
    }

    pub(super) fn polled(
        &mut self,
        result: Result<PollRows, ApiFailure>,
        now: Now,
        out: &mut Effects,
    ) {
        let Some(polling) = self.pace.end() else {
            return;
        };
        match result {
            Ok(rows) => {
                self.pace.succeeded(polling, rows.truncated, now.time);
                out.facts.push(Fact::Polled {
                    rows: rows.rows.len(),
                    took: now.time.since(polling.asked_at),
                });
                self.take_list(rows, polling, now, out);
            }
            Err(failure) => {
                let in_a_row = self.pace.failed(polling, now.time);
                out.facts.push(Fact::PollFailed { failure, in_a_row });
            }
        }
        self.left_during_poll.clear();
    }

    fn take_list(&mut self, list: PollRows, polling: Polling, now: Now, out: &mut Effects) {
        let mut unreadable = BTreeSet::new();
        let mut unread = BTreeSet::new();
        let mut rows: BTreeMap<ContainerId, Row> = BTreeMap::new();
        for raw in &list.rows {
            match row::read_row(raw) {
                Ok(row) => {
                    if let Err(problem) = &row.request {
                        unreadable.insert((Some(row.id.clone()), problem.to_string()));
                    }
                    rows.insert(row.id.clone(), row);
                }
                Err((id, problem)) => {
                    unread.extend(id.clone());
                    unreadable.insert((id, problem.to_string()));
                }
            }
        }
        // Another call of the same poll may have brought it whole.
        unread.retain(|id| !rows.contains_key(id));
        self.tell_unreadable(unreadable, out);
        for (id, row) in rows {
            self.take_row(&id, row, polling, now, out);
        }
        for id in &list.gone {
            if self.may_be_told_by(id, polling) {
                self.remove(id, Leaving::Deleted, out);
            }
        }
        for id in &list.unasked {
            let queued = |entry: &Entry| entry.state == ContainerState::Queued;
            if self.entries.get(id).is_some_and(queued) && self.may_be_told_by(id, polling) {
                self.remove(id, Leaving::FarDown, out);
            }
        }
        self.snapshot.unreadable = unread;
        self.snapshot.listed_at = Some(polling.asked_at);
    }

    fn take_row(
        &mut self,
        id: &ContainerId,
        row: Row,
        polling: Polling,
        now: Now,
        out: &mut Effects,
    ) {
        if !self.entries.contains_key(id) {
            return self.take_new_row(id, row, polling, now, out);
        }
        if !self.may_be_told_by(id, polling) {
            return;
        }
        if let Some(stranger) = self.stranger(row.state, row.locked_by.as_deref()) {
            return self.remove(id, Leaving::LockedBy(stranger), out);
        }
        let Some(entry) = self.entries.get_mut(id) else {
            return;
        };
        entry.read_wanted = entry.read_wanted.filter(|since| *since > polling.step);
        let before = entry.update(
            row.state,
            Some(row.priority),
            row.locked_by,
            polling.asked_at,
        );
        if entry.update_request(row.request) {
            self.size(id, out);
        }
        self.after_update(id, before, out);
    }

    fn take_new_row(
        &mut self,
        id: &ContainerId,
        row: Row,
        polling: Polling,
        now: Now,
        out: &mut Effects,
    ) {
        let concerns_us = match row.state {
            ContainerState::Queued => row.priority > 0,
            ContainerState::Locked | ContainerState::Running => {
                self.stranger(row.state, row.locked_by.as_deref()).is_none()
            }
            ContainerState::Complete | ContainerState::Cancelled => false,
        };
        if !concerns_us || self.left_during_poll.contains(id) {
            return;
        }
        out.facts.push(Fact::Appeared {
            id: id.clone(),
            state: row.state,
        });
        self.entries
            .insert(id.clone(), Entry::new(row, polling.asked_at, now));
        self.size(id, out);
        self.after_update(id, None, out);
    }

    /// What follows from news about a container: facts, mounts to read, a call to make.
    pub(super) fn after_update(
        &mut self,
        id: &ContainerId,
        before: Option<ContainerState>,
        out: &mut Effects,
    ) {
        let Some(entry) = self.entries.get_mut(id) else {
            return;
        };
        if let Some(failure) = entry.cancel_refused.take()
            && !entry.state.is_final()
        {
            out.facts.push(Fact::DeedFailed {
                id: id.clone(),
                deed: Deed::Cancel,
                failure,
            });
        }
        if let Some(from) = before {
            out.facts.push(Fact::Changed {
                id: id.clone(),
                from,
                to: entry.state,
            });
        }
        if entry.wants_mounts() {
            self.mounts.want(id, entry.rank());
        } else {
            self.mounts.forget(id);
        }
        self.go_on_with(id);
    }

    /// Whether a poll knows more of a container than we do: nothing was under way or told since it began (facts Q1).
    fn may_be_told_by(&self, id: &ContainerId, polling: Polling) -> bool {
        self.entries
            .get(id)
            .is_some_and(|entry| entry.doing.is_none() && entry.told_at <= polling.step)
    }

    /// Who holds a lock that is not ours (facts K13).
    pub(super) fn stranger(
        &self,
        state: ContainerState,
        locked_by: Option<&str>,
    ) -> Option<String> {
        let is_held = matches!(state, ContainerState::Locked | ContainerState::Running);
        locked_by
            .filter(|by| is_held && self.identity.known() != Some(by))
            .map(str::to_owned)
    }

    fn tell_unreadable(
        &mut self,
        unreadable: BTreeSet<(Option<ContainerId>, String)>,
        out: &mut Effects,
    ) {
        for (id, problem) in unreadable.difference(&self.unreadable) {
            out.facts.push(Fact::Unusable {
                id: id.clone(),
                problem: problem.clone(),
            });
        }
        self.unreadable = unreadable.into_iter().take(UNREADABLE_MAX).collect();
    }
}
