//! The planner: one pass over the waiting containers, in the order of [`order::Rank`].
//!
//! Each container gets, in this order of preference, room on a worker that is ready, on one that is coming, or on an
//! instance to be created. Room given to one is gone for all that follow, whether or not anything is done about it
//! now (facts S21, S22). What cannot be placed is passed over, and lower containers that fit elsewhere go ahead
//! (facts K17); see [`keeping`] for why the big ones do not starve.

mod creation;
mod keeping;
mod order;
mod places;
mod room;
mod shedding;
mod standing;

use std::{collections::BTreeMap, sync::Arc};

use dispatch_model::{
    ContainerState, HoldCause, InstanceType, InstanceTypeName, Now, PoolSnapshot, QueueEntry,
    QueueSnapshot, Resources, Sizing, Time, WorkerId,
};

use crate::{Create, Limits, Plan, Recovery, UnlockReason, Wait};
use creation::{Creatable, Creation, Obstacle};
use keeping::{Keeping, Kept};
use order::Rank;
use places::{Places, Readiness, Shape};
use standing::Standing;

/// The instance types that may be created, by name.
pub type InstanceTypes = BTreeMap<InstanceTypeName, Arc<InstanceType>>;

/// Says what to do now, and why each container that waits does. Same input, same plan.
///
/// To be called whenever queue, pool or limits have changed or [`Plan::again_at`] has come, after what
/// [`reconcile`](crate::reconcile()) says for the same snapshots has been done to queue and pool.
///
/// - **Order.** Locked containers go before Queued ones; within each, higher priority first, then what was seen
///   earlier, then the id.
/// - **Locks** are taken ahead of time: as soon as there is room on a worker that is there or will be. Once the lock
///   is answered, the next plan starts the container or creates the instance.
/// - **Packing.** Among the workers with room for every resource, one that is ready comes first, then the fullest,
///   then the cheapest.
/// - **At quota** whatever fits on the workers there are goes on running. Locked containers without room are given
///   back, but for the first; if there is not one instance, that too (facts S10). Idle workers that no waiting
///   container can use are shut down to make room for others.
/// - **Nobody starves.** A container that waits for an instance lets lower ones pass for as long as
///   [`Limits::patience`], counted from when it was first seen. After that, the worker nearest to having room for it
///   is kept for it, and it is locked: the worker takes nothing that comes after it, so each end of a container there
///   brings it nearer. If no worker is of a type that it can use, the one nearest to being empty is kept, so that its
///   instance makes way. At most one worker in four is kept (and at most 64), and at least one.
pub fn plan(
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
    if pool
        .hold
        .as_ref()
        .is_some_and(|hold| hold.cause == HoldCause::Stopping)
    {
        return pass.all_wait(|position| Wait::NoMoreInstances {
            cause: HoldCause::Stopping,
            until: None,
            kept: None,
            position,
        });
    }
    pass.waiting.sort_unstable();
    for rank in std::mem::take(&mut pass.waiting) {
        pass.place(rank.index);
    }
    pass.shed();
    pass.finish()
}

/// All that one pass knows.
struct Pass<'a> {
    pool: &'a PoolSnapshot,
    limits: &'a Limits,
    recovery: &'a Recovery,
    now: Now,
    /// The queue's entries, in the order of ids; other fields speak of them by index.
    entries: Vec<&'a Arc<QueueEntry>>,
    waits: Vec<Option<Wait>>,
    waiting: Vec<Rank>,
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
    /// Containers for which the cloud allows no instance, in order.
    over_quota: Vec<usize>,
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
        let places = Places::new(pool, limits.containers_per_instance);
        Pass {
            pool,
            limits,
            recovery,
            now,
            entries: queue.entries.values().collect(),
            waits: vec![None; queue.entries.len()],
            waiting: Vec::new(),
            keeping: Keeping::new(pool, &places),
            places,
            shapes: Shapes::default(),
            creation: Creation::new(pool, types, now.time),
            n_active: 0,
            n_supervisors: 0,
            n_unplaced: 0,
            n_supervisors_over_limit: 0,
            over_quota: Vec::new(),
            plan: Plan::default(),
        }
    }

    /// Counts what runs and takes it off the rooms, and finds out who waits.
    fn look_around(&mut self) {
        let entries = std::mem::take(&mut self.entries);
        let standings = standing::of_all(&entries, self.pool, |worker, entry| {
            self.places
                .occupy(worker, entry.map(|entry| &entry.sizing.needs));
        });
        for worker in self.places.vacate_where_more_are_listed() {
            for container in &worker.containers {
                let found = entries.binary_search_by(|entry| entry.id.cmp(container));
                let needs = found.ok().map(|index| &entries[index].sizing.needs);
                self.places.occupy(worker.id, needs);
            }
        }
        for (index, (entry, standing)) in entries.iter().zip(standings).enumerate() {
            self.stand(entry, standing, index);
        }
        self.entries = entries;
    }

    /// Notes where one container stands.
    fn stand(&mut self, entry: &QueueEntry, standing: Standing, index: usize) {
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
                return;
            }
        };
        if entry.priority > 0 && !standing.has_live_runner() {
            let oldest = &mut self.plan.figures.oldest_waiting;
            *oldest = match (*oldest, entry.created_at) {
                (Some(oldest), Some(created_at)) => Some(oldest.min(created_at)),
                (oldest, created_at) => oldest.or(created_at),
            };
        }
        self.waits[index] = match standing {
            Standing::Alive(worker) if locked => Some(Wait::Preparing { worker }),
            Standing::Ended(worker) if locked => Some(Wait::RunnerEnded { worker }),
            // A Queued container is not locked before the pool has forgotten the earlier attempt altogether, or its
            // end would be taken for the end of the next one.
            Standing::Alive(worker) | Standing::Ended(worker) | Standing::Ending(worker) => {
                Some(Wait::PreviousAttempt { worker })
            }
            Standing::Nowhere if entry.priority < 1 => Some(Wait::OnHold),
            Standing::Nowhere => {
                self.waiting.push(Rank::of(entry, index));
                None
            }
        };
    }

    /// Finds room for one container, or says why there is none.
    fn place(&mut self, index: usize) {
        let entry = self.entries[index];
        if entry.supervisor
            && let Some(limit) = self.limits.supervisors
            && self.n_supervisors >= limit
        {
            self.n_supervisors_over_limit += 1;
            let position = self.n_supervisors_over_limit;
            self.waits[index] = Some(Wait::SupervisorLimit { limit, position });
            self.unlock(index, UnlockReason::SupervisorLimit);
            return;
        }
        if let Some(limit) = self.limits.containers
            && self.n_active >= limit
        {
            let position = self.next_position();
            self.waits[index] = Some(Wait::ContainerLimit { limit, position });
            return;
        }
        let shape = self.shapes.of(&entry.sizing);
        if let Some(place) = self.places.best(&mut self.shapes.list[shape].shape) {
            self.map(index, place);
            return;
        }
        let creatable = self.shapes.creatable(shape, &self.creation);
        match creatable {
            Creatable::NoType => self.waits[index] = Some(Wait::NoType),
            Creatable::Held(types) => {
                self.wait_for_release(self.creation.first_release(&types));
                let kept = self.keep_for(index, shape, false);
                let position = self.next_position();
                self.waits[index] = Some(Wait::TypesHeld {
                    types,
                    kept,
                    position,
                });
            }
            Creatable::Type(instance_type) => match self.creation.obstacle() {
                None => {
                    self.creation.count();
                    let place = self.places.add_new(&instance_type);
                    self.map(index, place);
                }
                Some(obstacle) => self.wait_for_instance(index, shape, obstacle),
            },
        }
    }

    /// Gives a container room, and orders what brings it there.
    fn map(&mut self, index: usize, place_index: usize) {
        let entry = self.entries[index];
        self.places.take(place_index, &entry.sizing.needs);
        self.n_active += 1;
        self.n_supervisors += usize::from(entry.supervisor);
        let place = self.places.get(place_index);
        let worker = place.worker.map(|worker| worker.id);
        let readiness = place.readiness;
        let instance_type = place.instance_type.name.clone();
        self.plan.figures.allocated_not_started += usize::from(readiness != Readiness::Ready);
        let locked = entry.state == ContainerState::Locked;
        let usable = self.is_usable(entry);
        self.waits[index] = Some(match (worker, readiness) {
            _ if locked && !usable => Wait::Recovering,
            (Some(worker), Readiness::Ready) => Wait::AboutToStart { worker },
            (worker, _) => Wait::Boot {
                worker,
                instance_type: instance_type.clone(),
            },
        });
        if entry.busy {
            // It keeps its room; what is to be done is seen when the call has been answered (facts S2).
        } else if !locked {
            self.plan.lock.push(entry.id.clone());
        } else if !usable {
            self.wait_for_release(self.recovery.deadline(self.now.time));
        } else if let (Some(worker), Readiness::Ready) = (worker, readiness) {
            self.plan.start.push((entry.id.clone(), worker));
        } else if worker.is_none() && self.places.order(place_index) {
            self.plan.create.push(Create {
                instance_type,
                container: entry.id.clone(),
            });
        }
    }

    /// Notes that a container waits because no instance may be created.
    fn wait_for_instance(&mut self, index: usize, shape: usize, obstacle: Obstacle) {
        self.wait_for_release(obstacle.until);
        // A rate limit is over before anything that is kept could be of use.
        let kept = match obstacle.cause {
            HoldCause::RateLimit => None,
            _ => self.keep_for(index, shape, obstacle.is_quota()),
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
            self.unlock(index, UnlockReason::NoInstances);
        } else if !self.over_quota.is_empty() && kept.is_none() {
            self.unlock(index, UnlockReason::AtQuota);
        }
        self.over_quota.push(index);
    }

    /// Keeps a worker for a container that has waited for long, and locks the container, so that it goes before all
    /// that are not locked until its turn has come.
    fn keep_for(&mut self, index: usize, shape: usize, a_slot_would_do: bool) -> Option<WorkerId> {
        let entry = self.entries[index];
        let patient_until = entry.first_seen + self.limits.patience;
        if self.now.time < patient_until {
            self.wait_for_release(Some(patient_until));
            return None;
        }
        let hopeless = &mut self.shapes.list[shape].hopeless;
        if *hopeless {
            return None;
        }
        match self
            .keeping
            .keep(&mut self.places, &entry.sizing, a_slot_would_do)
        {
            Kept::Place(place) => {
                if entry.state == ContainerState::Queued && !entry.busy {
                    self.plan.lock.push(entry.id.clone());
                }
                Some(self.places.get(place).worker?.id)
            }
            Kept::Nothing => None,
            Kept::Hopeless => {
                *hopeless = true;
                None
            }
        }
    }

    fn unlock(&mut self, index: usize, reason: UnlockReason) {
        let entry = self.entries[index];
        if entry.state == ContainerState::Locked && !entry.busy && self.is_usable(entry) {
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
        self.plan.shut_down = shedding::shed(
            self.pool,
            &self.places,
            &self.keeping,
            self.over_quota.len(),
        );
    }

    /// A plan that does nothing.
    fn all_wait(mut self, wait: impl Fn(usize) -> Wait) -> Plan {
        self.waiting.sort_unstable();
        for (place, rank) in std::mem::take(&mut self.waiting).into_iter().enumerate() {
            self.waits[rank.index] = Some(wait(place + 1));
        }
        self.finish()
    }

    fn finish(mut self) -> Plan {
        let figures = &mut self.plan.figures;
        figures.not_allocated_over_quota = self.over_quota.len() + self.n_supervisors_over_limit;
        // In the order of ids already, which makes building the map cheap.
        self.plan.waits = (self.entries.iter().zip(self.waits))
            .filter_map(|(entry, wait)| Some((entry.id.clone(), wait?)))
            .collect();
        self.plan
    }
}

/// The shapes of containers seen in this pass.
#[derive(Default)]
struct Shapes<'a> {
    list: Vec<ShapeOfPass>,
    /// By address, for those that share a sizing, as nearly all do.
    by_address: BTreeMap<usize, usize>,
    by_value: BTreeMap<(&'a Resources, &'a [InstanceTypeName]), usize>,
    last: Option<(usize, usize)>,
}

struct ShapeOfPass {
    shape: Shape,
    creatable: Option<Creatable>,
    /// No more workers can be kept for containers of this shape.
    hopeless: bool,
}

impl<'a> Shapes<'a> {
    fn of(&mut self, sizing: &'a Arc<Sizing>) -> usize {
        let address = Arc::as_ptr(sizing).addr();
        if let Some((last, shape)) = self.last
            && last == address
        {
            return shape;
        }
        let shape = match self.by_address.get(&address) {
            Some(shape) => *shape,
            None => {
                let next = self.list.len();
                let shape = *self
                    .by_value
                    .entry((&sizing.needs, &sizing.types))
                    .or_insert(next);
                if shape == next {
                    self.list.push(ShapeOfPass {
                        shape: Shape::new(sizing),
                        creatable: None,
                        hopeless: false,
                    });
                }
                self.by_address.insert(address, shape);
                shape
            }
        };
        self.last = Some((address, shape));
        shape
    }

    fn creatable(&mut self, shape: usize, creation: &Creation<'_>) -> Creatable {
        let of_pass = &mut self.list[shape];
        (of_pass.creatable)
            .get_or_insert_with(|| creation.creatable(&of_pass.shape.sizing))
            .clone()
    }
}

#[cfg(test)]
mod tests;
