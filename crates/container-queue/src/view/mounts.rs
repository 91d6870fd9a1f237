//! Reads the mounts of new containers, many with one call and several calls side by side (facts P1, Q14).
//!
//! A batch that fails as a whole is tried again in halves, until the culprit is alone; when everything fails, pauses
//! grow, so that an API in trouble is not asked more often for being so.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use dispatch_model::{ContainerId, Now, Time};

use crate::{
    ApiFailure, Effects, Fact, FailureKind, Json, Request, row,
    view::{
        View,
        deeds::pause_after,
        entry::{Mounts, Rank},
    },
};

/// Containers per call: mounts may be megabytes each.
const BATCH_MAX: usize = 50;

/// Calls side by side; the client's limiter may allow fewer.
const CALLS_MAX: usize = 8;

/// Batches that may fail one after the other before all of them pause: enough to corner two culprits.
const FAILURES_FREE: u32 = 3;

/// The longest of these pauses: whoever waits for it is not sized, and nobody can say what it waits for.
const LONGEST_PAUSE: Duration = Duration::from_secs(15);

#[derive(Debug, Default)]
pub(super) struct MountsQueue {
    waiting: BTreeSet<(Rank, ContainerId)>,
    ranks: BTreeMap<ContainerId, Rank>,
    in_calls: BTreeSet<ContainerId>,
    calls: usize,
    suspects: BTreeMap<ContainerId, Suspicion>,
    failed_in_a_row: u32,
    paused_until: Option<Time>,
}

/// A container whose batch has failed.
#[derive(Clone, Copy, Debug)]
struct Suspicion {
    /// The largest batch it may be in.
    batch_max: usize,
    /// Failures when it was alone.
    alone: u32,
    not_before: Time,
}

impl Suspicion {
    const NONE: Suspicion = Suspicion {
        batch_max: BATCH_MAX,
        alone: 0,
        not_before: Time::ZERO,
    };
}

impl MountsQueue {
    pub(super) fn want(&mut self, id: &ContainerId, rank: Rank) {
        if self.in_calls.contains(id) {
            return;
        }
        if let Some(old) = self.ranks.insert(id.clone(), rank) {
            self.waiting.remove(&(old, id.clone()));
        }
        self.waiting.insert((rank, id.clone()));
    }

    pub(super) fn forget(&mut self, id: &ContainerId) {
        if let Some(rank) = self.ranks.remove(id) {
            self.waiting.remove(&(rank, id.clone()));
        }
        self.suspects.remove(id);
    }

    pub(super) fn deadline(&self) -> Option<Time> {
        if self.waiting.is_empty() || self.calls >= CALLS_MAX {
            return None;
        }
        let first = self
            .waiting
            .iter()
            .map(|(_, id)| self.suspicion(id).not_before)
            .min()?;
        Some(first.max(self.paused_until.unwrap_or(Time::ZERO)))
    }

    fn next_batch(&mut self, now: Time) -> Option<Vec<ContainerId>> {
        if self.calls >= CALLS_MAX || self.paused_until.is_some_and(|until| until > now) {
            return None;
        }
        self.paused_until = None;
        let mut batch_max = BATCH_MAX;
        let mut batch: Vec<(Rank, ContainerId)> = Vec::new();
        for (rank, id) in &self.waiting {
            let suspicion = self.suspicion(id);
            if suspicion.not_before > now || batch.len() >= suspicion.batch_max {
                continue;
            }
            batch_max = batch_max.min(suspicion.batch_max);
            batch.push((*rank, id.clone()));
            if batch.len() >= batch_max {
                break;
            }
        }
        if batch.is_empty() {
            return None;
        }
        self.calls += 1;
        Some(
            batch
                .into_iter()
                .map(|(rank, id)| {
                    self.waiting.remove(&(rank, id.clone()));
                    self.ranks.remove(&id);
                    self.in_calls.insert(id.clone());
                    id
                })
                .collect(),
        )
    }

    /// A call has been answered. Whether it was one of ours.
    fn answered(&mut self, ids: &[ContainerId]) -> bool {
        if self.calls == 0 || !ids.iter().all(|id| self.in_calls.contains(id)) {
            return false;
        }
        self.calls -= 1;
        for id in ids {
            self.in_calls.remove(id);
        }
        true
    }

    fn succeeded(&mut self) {
        self.failed_in_a_row = 0;
        self.paused_until = None;
    }

    fn failed(&mut self, ids: &[ContainerId], kind: FailureKind, now: Time) {
        let known_culprit = matches!(ids, [id] if self.suspicion(id).alone > 0);
        let whole_api = match kind {
            // No container's fault.
            FailureKind::NotSent | FailureKind::Status(401 | 403 | 503) => true,
            FailureKind::Status(_)
            | FailureKind::Unreachable
            | FailureKind::TimedOut
            | FailureKind::Undecodable => {
                for id in ids {
                    self.suspect(id, ids.len(), now);
                }
                false
            }
        };
        // A culprit that is known already says nothing about the others, and a call that was sent before a pause began
        // nothing about what comes after it.
        let paused = self.paused_until.is_some_and(|until| until > now);
        if !paused && (whole_api || !known_culprit) {
            self.failed_in_a_row += 1;
            let beyond = self.failed_in_a_row.saturating_sub(FAILURES_FREE);
            if whole_api || beyond > 0 {
                self.paused_until = Some(now + pause_after(beyond.max(1)).min(LONGEST_PAUSE));
            }
        }
    }

    fn suspect(&mut self, id: &ContainerId, in_batch_of: usize, now: Time) {
        let suspicion = self.suspects.entry(id.clone()).or_insert(Suspicion::NONE);
        suspicion.batch_max = (in_batch_of / 2).max(1);
        if in_batch_of == 1 {
            suspicion.alone += 1;
            suspicion.not_before = now + pause_after(suspicion.alone);
        }
    }

    /// It was asked for, and there was no answer about it though there was none missing: it is being deleted, and the
    /// next poll will say so.
    fn put_off(&mut self, id: &ContainerId, now: Time) {
        let suspicion = self.suspects.entry(id.clone()).or_insert(Suspicion::NONE);
        suspicion.not_before = now + Duration::from_secs(5);
    }

    fn suspicion(&self, id: &ContainerId) -> Suspicion {
        self.suspects.get(id).copied().unwrap_or(Suspicion::NONE)
    }
}

impl View {
    pub(super) fn read_mounts_if_due(&mut self, now: Now, out: &mut Effects) {
        while let Some(ids) = self.mounts.next_batch(now.time) {
            out.requests.push(Request::ReadMounts { ids });
        }
    }

    pub(super) fn mounts_read(
        &mut self,
        ids: Vec<ContainerId>,
        result: Result<Vec<Json>, ApiFailure>,
        now: Now,
        out: &mut Effects,
    ) {
        if !self.mounts.answered(&ids) {
            return;
        }
        let answer = result.and_then(|rows| {
            let asked: BTreeSet<&ContainerId> = ids.iter().collect();
            let empty = rows.is_empty();
            let read: Vec<_> = rows
                .iter()
                .filter_map(|raw| row::read_mounts(raw).ok())
                .filter(|(id, _)| asked.contains(id))
                .collect();
            if read.is_empty() && !empty {
                return Err(ApiFailure {
                    kind: FailureKind::Undecodable,
                    message: "a list of mounts says nothing of those asked for".to_owned(),
                });
            }
            Ok(read)
        });
        match answer {
            Ok(read) => {
                self.mounts.succeeded();
                if read.is_empty() {
                    for id in &ids {
                        self.mounts.put_off(id, now.time);
                    }
                }
                for (id, tmp_bytes) in read {
                    if let Some(entry) = self.entries.get_mut(&id) {
                        entry.mounts = match tmp_bytes {
                            Ok(bytes) => Mounts::Read(bytes),
                            Err(problem) => Mounts::Bad(problem.to_string()),
                        };
                        self.size(&id, out);
                    }
                }
            }
            Err(failure) => {
                self.mounts.failed(&ids, failure.kind, now.time);
                if let [id] = ids.as_slice()
                    && let Some(entry) = self.entries.get_mut(id)
                {
                    entry.mounts_trouble = Some(failure.to_string());
                    self.size(id, out);
                }
                out.facts.push(Fact::MountsUnread {
                    ids: ids.clone(),
                    failure,
                });
            }
        }
        for id in &ids {
            // Shows those that are sized, and asks again for the others.
            self.after_update(id, None, out);
            if !self.entries.contains_key(id) {
                self.mounts.forget(id);
            }
        }
    }
}
