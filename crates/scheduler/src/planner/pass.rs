//! One pass over the waiting containers.

use std::{sync::Arc, time::Duration};

use dispatch_model::{
    ContainerState, HoldCause, Now, PoolSnapshot, QueueEntry, QueueSnapshot, Resources, Time,
    WorkerId,
};

use super::{
    InstanceTypes,
    creation::{Creatable, Creation, Obstacle},
    keeping::{Keeping, Kept},
    order::Rank,
    places::{Places, Readiness},
    shapes::Shapes,
    shedding,
    standing::{self, Runners, Standing},
};
use crate::{Create, Limits, Plan, Recovery, UnlockReason, Wait};

/// A container about which a call is under way keeps others from ordering an instance no longer than this after the
/// last news of it.
const CALL_PATIENCE: Duration = Duration::from_secs(10);

/// Makes a plan.
pub(super) fn run(
    queue: &QueueSnapshot,
    pool: &PoolSnapshot,
    types: &InstanceTypes,
    limits: &Limits,
    recovery: &Recovery,
    now: Now,
) -> Plan {
    let mut pass = Pass::new(queue, pool, types, limits, recovery, now);
    pass.look_around();
    if !pool.surveyed || queue.listed_at.is_none() {
        return pass.all_wait(|_| Wait::NotSurveyed);
    }
    let stopping = (pool.hold.as_ref()).is_some_and(|hold| hold.cause == HoldCause::Stopping);
    if stopping {
        return pass.all_wait(|position| Wait::NoMoreInstances {
            cause: HoldCause::Stopping,
            until: None,
            kept: None,
            position,
        });
    }
    for waiting in pass.in_order() {
        pass.place(waiting);
    }
    pass.shed();
    pass.finish()
}

/// A container that waits, with what is needed to pass over it without looking at its entry again.
#[derive(Clone, Copy)]
struct Waiting {
    rank: Rank,
    shape: usize,
    supervisor: bool,
}

/// All that one pass knows.
struct Pass<'a> {
    pool: &'a PoolSnapshot,
    limits: &'a Limits,
    recovery: &'a Recovery,
    now: Now,
    /// The queue's entries, in the order of ids; other fields speak of them by index.
    entries: Vec<&'a QueueEntry>,
    waits: Vec<Option<Wait>>,
    waiting: Vec<Waiting>,
    places: Places<'a>,
    shapes: Shapes<'a>,
    creation: Creation<'a>,
    keeping: Keeping,
    /// Containers that run or have been given room, and supervisors among them.
    n_active: usize,
    n_supervisors: usize,
    /// Containers without room so far.
    n_unplaced: usize,
    n_supervisors_over_limit: usize,
    /// Containers for which the cloud allows no instance.
    n_over_quota: usize,
    plan: Plan,
}

impl<'a> Pass<'a> {
    fn new(
        queue: &'a QueueSnapshot,
        pool: &'a PoolSnapshot,
        types: &'a InstanceTypes,
        limits: &'a Limits,
        recovery: &'a Recovery,
        now: Now,
    ) -> Self {
        let places = Places::new(pool, types, limits.containers_per_instance);
        Pass {
            pool,
            limits,
            recovery,
            now,
            entries: queue.entries.values().map(Arc::as_ref).collect(),
            waits: Vec::with_capacity(queue.entries.len()),
            waiting: Vec::new(),
            keeping: Keeping::new(pool, &places),
            places,
            shapes: Shapes::default(),
            creation: Creation::new(pool, types, now.time),
            n_active: 0,
            n_supervisors: 0,
            n_unplaced: 0,
            n_supervisors_over_limit: 0,
            n_over_quota: 0,
            plan: Plan::default(),
        }
    }

    /// Counts what runs and takes it off the rooms, and finds out who waits. Walks the queue and the pool's runners
    /// side by side, both being in the order of ids.
    fn look_around(&mut self) {
        let mut runners = Runners::new(self.pool);
        for index in 0..self.entries.len() {
            let entry = self.entries[index];
            runners.before(&entry.id, |stranger| self.places.occupy(stranger, None));
            let own = runners.of(&entry.id);
            for worker in standing::live(own) {
                self.places.occupy(worker, known_needs(entry));
            }
            let wait = self.stand(entry, Standing::of(own), index);
            self.waits.push(wait);
        }
        runners.rest(|stranger| self.places.occupy(stranger, None));
        for worker in self.places.vacate_where_more_are_listed() {
            for container in &worker.containers {
                let found = (self.entries).binary_search_by(|entry| entry.id.cmp(container));
                let needs = (found.ok()).and_then(|index| known_needs(self.entries[index]));
                self.places.occupy(worker.id, needs);
            }
        }
    }

    /// Notes where one container stands.
    fn stand(&mut self, entry: &'a QueueEntry, standing: Standing, index: usize) -> Option<Wait> {
        let running = entry.state == ContainerState::Running;
        if running || standing.has_live_runner() {
            self.n_active += 1;
            self.n_supervisors += usize::from(entry.supervisor);
            self.plan.figures.running += 1;
        }
        let locked = match entry.state {
            ContainerState::Queued => false,
            ContainerState::Locked => true,
            ContainerState::Running | ContainerState::Complete | ContainerState::Cancelled => {
                return None;
            }
        };
        if entry.priority > 0 && !standing.has_live_runner() {
            let oldest = &mut self.plan.figures.oldest_waiting;
            *oldest = match (*oldest, entry.created_at) {
                (Some(oldest), Some(created_at)) => Some(oldest.min(created_at)),
                (oldest, created_at) => oldest.or(created_at),
            };
        }
        match standing {
            Standing::Alive(worker) if locked => Some(Wait::Preparing { worker }),
            Standing::Ended(worker) if locked => Some(Wait::RunnerEnded { worker }),
            // A Queued container is not locked before the pool has forgotten the earlier attempt altogether, or its
            // end would be taken for the end of the next one.
            Standing::Alive(worker) | Standing::Ended(worker) | Standing::Ending(worker) => {
                Some(Wait::PreviousAttempt { worker })
            }
            Standing::Nowhere if entry.priority < 1 => Some(Wait::OnHold),
            Standing::Nowhere => {
                self.waiting.push(Waiting {
                    rank: Rank::of(entry, index),
                    shape: self.shapes.of(&entry.sizing),
                    supervisor: entry.supervisor,
                });
                None
            }
        }
    }

    /// Finds room for one container, or says why there is none.
    fn place(&mut self, waiting: Waiting) {
        let (index, shape) = (waiting.rank.index, waiting.shape);
        if waiting.supervisor
            && let Some(limit) = self.limits.supervisors
            && self.n_supervisors >= limit
        {
            self.n_supervisors_over_limit += 1;
            let position = self.n_supervisors_over_limit;
            self.waits[index] = Some(Wait::SupervisorLimit { limit, position });
            self.unlock(waiting, UnlockReason::SupervisorLimit);
            return;
        }
        if let Some(limit) = self.limits.containers
            && self.n_active >= limit
        {
            let position = self.next_position();
            self.waits[index] = Some(Wait::ContainerLimit { limit, position });
            return;
        }
        if let Some(place) = self.places.best(self.shapes.search(shape)) {
            self.map(index, place);
            return;
        }
        let creatable = self.shapes.creatable(shape, &self.creation);
        match creatable {
            Creatable::NoType => self.waits[index] = Some(Wait::NoType),
            Creatable::Held(types) => {
                self.wait_for_release(self.creation.first_release(&types));
                let kept = self.keep_for(waiting, false);
                let position = self.next_position();
                self.waits[index] = Some(Wait::TypesHeld {
                    types,
                    kept,
                    position,
                });
            }
            Creatable::Type(instance_type) => match self.creation.obstacle(&instance_type) {
                None if self.is_long_unclear(index) => {
                    self.wait_for_release(self.recovery.deadline(self.now.time));
                    self.waits[index] = Some(Wait::Recovering);
                }
                None => {
                    self.creation.count(&instance_type);
                    let later = !self.is_locked_long_since(index) && !self.creation.may_order();
                    let place = self.places.add_new(&instance_type, later);
                    self.map(index, place);
                }
                Some(obstacle) => self.wait_for_instance(waiting, obstacle),
            },
        }
    }

    /// Whether a call about a container takes so long that others should not wait for what it brings (facts S1).
    fn is_locked_long_since(&mut self, index: usize) -> bool {
        let entry = self.entries[index];
        let patient_until = entry.as_of + CALL_PATIENCE;
        if entry.busy {
            self.wait_for_release(Some(patient_until));
        }
        entry.busy && self.now.time >= patient_until
    }

    /// Whether an earlier daemon locked a container and it takes long to learn what became of that (facts K2): others
    /// are not to wait for its turn.
    fn is_long_unclear(&self, index: usize) -> bool {
        let entry = self.entries[index];
        if entry.busy || entry.state != ContainerState::Locked || self.is_usable(entry) {
            return false;
        }
        self.recovery.usual_until(self.now.time).is_none()
    }

    /// Gives a container room, and orders what brings it there.
    fn map(&mut self, index: usize, place_index: usize) {
        let entry = self.entries[index];
        self.places.take(place_index, &entry.sizing.needs);
        self.n_active += 1;
        self.n_supervisors += usize::from(entry.supervisor);
        let place = self.places.get(place_index);
        let worker = place.worker.map(|worker| worker.id);
        let (readiness, was_ready) = (place.readiness, place.was_ready());
        // An attempt is not risked on an instance that may never answer again, nor more than one on an instance that
        // the account may not allow.
        let risky = self.pool.orders_at_once.is_some() && place.is_unsure();
        // Nor on those that were found while these have not said what runs on them: the room that they seem to have
        // may be taken; nor, for a moment, on new ones.
        let recovering = self.recovery.over_since(self.now.time).is_none();
        let lock = match readiness {
            Readiness::Ready => true,
            Readiness::Coming | Readiness::New => {
                let soon_clear = self.recovery.usual_until(self.now.time).is_some();
                let unknown = recovering && (worker.is_some() || soon_clear);
                !was_ready && !place.later && !unknown && (!risky || place.mapped == 1)
            }
        };
        let order = worker.is_none() && !place.later;
        let instance_type = place.instance_type.name.clone();
        self.plan.figures.allocated_not_started += usize::from(readiness != Readiness::Ready);
        let locked = entry.state == ContainerState::Locked;
        let usable = self.is_usable(entry);
        self.waits[index] = Some(match (worker, readiness) {
            _ if locked && !usable => Wait::Recovering,
            (Some(worker), Readiness::Ready) => Wait::AboutToStart { worker },
            (Some(worker), _) if was_ready => Wait::NotAnswering {
                worker,
                instance_type: instance_type.clone(),
            },
            (worker, _) => Wait::Boot {
                worker,
                instance_type: instance_type.clone(),
            },
        });
        if entry.busy {
            // It keeps its room; what is to be done is seen when the call has been answered (facts S2).
        } else if !locked {
            if lock {
                self.plan.lock.push(entry.id.clone());
            }
        } else if !usable {
            let (recovery, now) = (self.recovery, self.now.time);
            self.wait_for_release(recovery.usual_until(now).or(recovery.deadline(now)));
        } else if let (Some(worker), Readiness::Ready) = (worker, readiness) {
            self.plan.start.push((entry.id.clone(), worker));
        } else if order && self.places.order(place_index) {
            self.plan.create.push(Create {
                instance_type,
                container: entry.id.clone(),
            });
        }
    }

    /// Notes that a container waits because no instance may be created.
    fn wait_for_instance(&mut self, waiting: Waiting, obstacle: Obstacle) {
        let index = waiting.rank.index;
        self.wait_for_release(obstacle.until);
        // A rate limit is over before anything that is kept could be of use.
        let kept = match obstacle.cause {
            HoldCause::RateLimit => None,
            _ => self.keep_for(waiting, obstacle.is_quota()),
        };
        let position = self.next_position();
        self.waits[index] = Some(Wait::NoMoreInstances {
            cause: obstacle.cause,
            until: obstacle.until,
            kept,
            position,
        });
        if !obstacle.is_quota() {
            return;
        }
        // The next in line keeps its lock: giving it back would only wear out its attempts (facts S10).
        if self.creation.n_instances() == 0 {
            self.unlock(waiting, UnlockReason::NoInstances);
        } else if self.n_over_quota > 0 && kept.is_none() {
            self.unlock(waiting, UnlockReason::AtQuota);
        }
        self.n_over_quota += 1;
    }

    /// Keeps a worker for a container that has waited for long, and locks the container, so that it goes before all
    /// that are not locked until its turn has come.
    fn keep_for(&mut self, waiting: Waiting, a_slot_would_do: bool) -> Option<WorkerId> {
        let patient_until = waiting.rank.first_seen + self.limits.patience;
        if self.now.time < patient_until {
            self.wait_for_release(Some(patient_until));
            return None;
        }
        if self.shapes.is_hopeless(waiting.shape) {
            return None;
        }
        let entry = self.entries[waiting.rank.index];
        let kept = (self.keeping).keep(&mut self.places, &entry.sizing, a_slot_would_do);
        match kept {
            Kept::Place(place) => {
                if waiting.rank.queued && !entry.busy {
                    self.plan.lock.push(entry.id.clone());
                }
                Some(self.places.get(place).worker?.id)
            }
            Kept::Nothing => None,
            Kept::Hopeless => {
                self.shapes.give_up_keeping(waiting.shape);
                None
            }
        }
    }

    fn unlock(&mut self, waiting: Waiting, reason: UnlockReason) {
        if waiting.rank.queued {
            return;
        }
        let entry = self.entries[waiting.rank.index];
        if !entry.busy && self.is_usable(entry) {
            self.plan.unlock.push((entry.id.clone(), reason));
        }
    }

    /// Whether a lock may be acted upon: it is this daemon's own, or it is known that nothing hides behind it.
    fn is_usable(&self, entry: &QueueEntry) -> bool {
        entry.locked_here || self.recovery.may_use(entry, self.now.time)
    }

    fn next_position(&mut self) -> usize {
        self.n_unplaced += 1;
        self.n_unplaced
    }

    fn wait_for_release(&mut self, until: Option<Time>) {
        let until = until.filter(|until| *until > self.now.time);
        self.plan.again_at = match (self.plan.again_at, until) {
            (Some(again_at), Some(until)) => Some(again_at.min(until)),
            (again_at, until) => again_at.or(until),
        };
    }

    fn shed(&mut self) {
        self.plan.shut_down =
            shedding::shed(self.pool, &self.places, &self.keeping, self.n_over_quota);
    }

    /// Those that wait, in the order in which they are served.
    fn in_order(&mut self) -> Vec<Waiting> {
        let mut waiting = std::mem::take(&mut self.waiting);
        waiting.sort_unstable_by_key(|waiting| waiting.rank);
        waiting
    }

    /// A plan that does nothing.
    fn all_wait(mut self, wait: impl Fn(usize) -> Wait) -> Plan {
        for (place, waiting) in self.in_order().into_iter().enumerate() {
            self.waits[waiting.rank.index] = Some(wait(place + 1));
        }
        self.finish()
    }

    fn finish(mut self) -> Plan {
        let figures = &mut self.plan.figures;
        figures.not_allocated_over_quota = self.n_over_quota + self.n_supervisors_over_limit;
        figures.at_quota = self.n_over_quota > 0;
        // In the order of ids already, which makes building the map cheap.
        self.plan.waits = (self.entries.iter().zip(self.waits))
            .filter_map(|(entry, wait)| Some((entry.id.clone(), wait?)))
            .collect();
        self.plan
    }
}

/// What a container takes up where it runs, if that is known.
fn known_needs(entry: &QueueEntry) -> Option<&Resources> {
    entry.needs_known.then_some(&entry.sizing.needs)
}
