//! What the view knows of one container.

use std::sync::Arc;

use dispatch_model::{ContainerId, ContainerState, Now, QueueEntry, Sizing, Time};

use crate::{
    ApiFailure, Details, Fact,
    choice::{Chooser, Impossible},
    reason,
    row::{ContainerRequest, Problem, Row},
    view::{Step, deeds::Doing},
};

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) state: ContainerState,
    pub(super) priority: i64,
    pub(super) details: Arc<Details>,
    pub(super) mounts: Mounts,
    /// Why its mounts could not be read so far, though it was asked for alone.
    pub(super) mounts_trouble: Option<String>,
    pub(super) as_of: Time,
    /// When something else than a poll last told or changed something: rows that were asked for earlier are old (Q1).
    pub(super) told_at: Step,
    /// The call that is under way, or waits for its turn.
    pub(super) doing: Option<Doing>,
    /// Calls that failed without a success in between.
    pub(super) failures: u32,
    pub(super) last_failed_at: Time,
    /// A call failed: nothing is tried before this time.
    pub(super) paused_until: Option<Time>,
    /// It is to be read again as soon as nothing else is under way and no pause; since when.
    pub(super) read_wanted: Option<Step>,
    /// The API refused to cancel it. Told only if it turns out that it is not cancelled anyway (facts Q7).
    pub(super) cancel_refused: Option<ApiFailure>,
    /// The API refused to take a reason together with the cancellation.
    pub(super) cancel_without_reason: bool,
    /// It can run nowhere: the reason, for its owner.
    pub(super) impossible: Option<String>,
    request: ContainerRequest,
    request_problem: Option<Problem>,
    created_at: Option<jiff::Timestamp>,
    first_seen: Now,
    sizing: Arc<Sizing>,
    /// Since this daemon started it has been seen in another state than Locked.
    seen_unlocked: bool,
}

/// What is known of a container's mounts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Mounts {
    Unread,
    /// The sum of its `tmp` mounts, bytes.
    Read(u64),
    /// They cannot be understood, and never will be (facts Q15).
    Bad(String),
}

impl Entry {
    /// A container that nobody knew. It has yet to be sized.
    pub(super) fn new(row: Row, asked_at: Time, now: Now) -> Entry {
        let (request, problem) = match row.request {
            Ok(request) => (request, None),
            Err(problem) => (ContainerRequest::default(), Some(problem)),
        };
        Entry {
            state: row.state,
            priority: row.priority,
            details: Arc::new(details_of(&request, row.locked_by)),
            mounts: Mounts::Unread,
            mounts_trouble: None,
            as_of: asked_at,
            told_at: 0,
            doing: None,
            failures: 0,
            last_failed_at: Time::ZERO,
            paused_until: None,
            read_wanted: None,
            cancel_refused: None,
            cancel_without_reason: false,
            impossible: None,
            created_at: request.created_at,
            request,
            request_problem: problem,
            first_seen: now,
            sizing: Arc::default(),
            seen_unlocked: row.state != ContainerState::Locked,
        }
    }

    /// What the API says of the part that changes. The state before, if it is another one now.
    pub(super) fn update(
        &mut self,
        state: ContainerState,
        priority: Option<i64>,
        locked_by: Option<String>,
        asked_at: Time,
    ) -> Option<ContainerState> {
        let before = self.state;
        self.state = state;
        self.priority = priority.unwrap_or(self.priority);
        self.as_of = self.as_of.max(asked_at);
        self.seen_unlocked |= state != ContainerState::Locked;
        if self.details.locked_by != locked_by {
            Arc::make_mut(&mut self.details).locked_by = locked_by;
        }
        (before != state).then_some(before)
    }

    /// What the API says of the part that never changes, unless it was damaged and has healed, or the other way round.
    /// Whether it must be sized again.
    pub(super) fn update_request(&mut self, request: Result<ContainerRequest, Problem>) -> bool {
        match request {
            Ok(request) if request != self.request || self.request_problem.is_some() => {
                let locked_by = self.details.locked_by.clone();
                self.details = Arc::new(details_of(&request, locked_by));
                self.created_at = request.created_at;
                self.request = request;
                self.request_problem = None;
                true
            }
            // What was read before is kept.
            Ok(_) | Err(_) => false,
        }
    }

    /// Works out needs and types, and tells what was not known: that it can run nowhere, or with another image.
    pub(super) fn size(&mut self, id: &ContainerId, chooser: &mut Chooser, facts: &mut Vec<Fact>) {
        let mut problem = None;
        let mut impossible = None;
        match (&self.request_problem, &self.mounts) {
            (Some(bad), _) => {
                problem = Some(format!("the container's record cannot be read: {bad}"));
                self.sizing = Arc::default();
            }
            (None, Mounts::Unread) => {
                self.sizing = chooser.size_without_mounts(&self.request);
                problem = (self.mounts_trouble.as_ref()).map(|trouble| {
                    format!(
                        "the container's mounts cannot be read, which is tried again: {trouble}"
                    )
                });
            }
            (None, Mounts::Bad(bad)) => {
                self.sizing = chooser.size_without_mounts(&self.request);
                impossible = Some(reason::cannot_be_run(&format!(
                    "its mounts cannot be understood ({bad})"
                )));
            }
            (None, Mounts::Read(tmp_bytes)) => {
                let (sizing, unplaced) = chooser.size(&self.request, *tmp_bytes);
                self.sizing = sizing;
                match unplaced {
                    None => {}
                    Some(Impossible::Unfit(reason)) => impossible = Some(reason),
                    Some(Impossible::NoTypes) => {
                        problem = Some(
                            "no instance types are configured on this cluster (InstanceTypes is empty)"
                                .to_owned(),
                        );
                    }
                }
            }
        }
        let image_remark = chooser.image_remark(&self.request);
        if self.details.image_remark != image_remark {
            facts.extend(image_remark.clone().map(|remark| Fact::ImageNotAllowed {
                id: id.clone(),
                remark,
            }));
            Arc::make_mut(&mut self.details).image_remark = image_remark;
        }
        if self.details.problem != problem {
            Arc::make_mut(&mut self.details).problem = problem;
        }
        if self.impossible == impossible {
            return;
        }
        self.impossible = impossible;
        let reason = self.impossible.clone();
        facts.extend(reason.map(|reason| Fact::Impossible {
            id: id.clone(),
            reason,
        }));
    }

    /// What the planner sees of it, if anything yet.
    pub(super) fn shown(&self, id: &ContainerId) -> Option<QueueEntry> {
        let waits_to_be_sized = self.mounts == Mounts::Unread && self.details.problem.is_none();
        if self.state == ContainerState::Queued && waits_to_be_sized {
            return None;
        }
        Some(QueueEntry {
            id: id.clone(),
            state: self.state,
            priority: self.priority,
            created_at: self.created_at,
            first_seen: self.first_seen.time,
            first_seen_wall: self.first_seen.wall,
            supervisor: self.details.parameters.supervisor,
            sizing: Arc::clone(&self.sizing),
            needs_known: self.needs_known(),
            locked_here: self.state == ContainerState::Locked && self.seen_unlocked,
            busy: self.is_busy(),
            as_of: self.as_of,
        })
    }

    /// Whether what it takes up where it runs is known, except its temporary space before its mounts have been read.
    fn needs_known(&self) -> bool {
        self.request_problem.is_none() && !matches!(self.mounts, Mounts::Bad(_))
    }

    /// Nothing may be asked of it now: a call is under way, one has just failed, or it is about to be cancelled.
    pub(super) fn is_busy(&self) -> bool {
        self.doing.is_some() || self.paused_until.is_some() || self.must_be_cancelled()
    }

    /// It can never run, it has not begun to, and somebody waits for it.
    pub(super) fn must_be_cancelled(&self) -> bool {
        self.impossible.is_some()
            && self.priority > 0
            && matches!(self.state, ContainerState::Queued | ContainerState::Locked)
    }

    /// Whether it is worth knowing its mounts.
    pub(super) fn wants_mounts(&self) -> bool {
        self.mounts == Mounts::Unread && !self.state.is_final()
    }

    /// What comes first where not everything can be done at once: those under way, then those of high priority, then
    /// those that have waited long.
    pub(super) fn rank(&self) -> Rank {
        (
            self.state == ContainerState::Queued,
            std::cmp::Reverse(self.priority),
            self.first_seen.time,
        )
    }
}

pub(super) type Rank = (bool, std::cmp::Reverse<i64>, Time);

fn details_of(request: &ContainerRequest, locked_by: Option<String>) -> Details {
    Details {
        constraints: request.constraints.clone(),
        parameters: request.parameters.clone(),
        container_image: request.container_image.clone(),
        locked_by,
        problem: None,
        image_remark: None,
    }
}
