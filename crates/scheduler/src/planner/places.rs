//! Where containers can go: the workers, what is left on each, and for each shape of container the best one.
//!
//! Within one pass rooms only ever shrink, so a worker that is too small for a shape once stays so. The [`Search`] of
//! each shape therefore keeps a heap of the workers that fitted when it last looked, and catches up with what has changed since
//! by reading a log for each type. Finding the best worker costs a few heap steps, never a walk over all workers.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
    sync::Arc,
};

use dispatch_model::{
    IdleBehavior, InstanceType, InstanceTypeName, PoolSnapshot, Resources, Sizing, WorkerId,
    WorkerState, WorkerView,
};

use super::{
    InstanceTypes,
    room::{Missing, Room},
};

/// How soon a container could start there. Sooner is better, whatever else (facts S36).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Readiness {
    /// Now.
    Ready,
    /// When it has booted, has said what runs on it (facts S33), or answers again.
    Coming,
    /// When it has been created.
    New,
}

/// How good a place is: the order of the fields is the policy (facts S36), the last one is unique. Small, since it is
/// sorted and compared more than anything else.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Score {
    readiness: Readiness,
    /// The fullest first, so that others can go.
    containers: Reverse<u32>,
    /// Its index: existing ones are numbered by price up, VCPUs down, RAM down, scratch down, id up.
    index: u32,
}

/// A worker that takes containers, or one that is to be created.
#[derive(Debug)]
pub(super) struct Place<'a> {
    /// `None` for one that is to be created.
    pub(super) worker: Option<&'a WorkerView>,
    pub(super) instance_type: Arc<InstanceType>,
    pub(super) readiness: Readiness,
    /// Containers that this pass has put here.
    pub(super) mapped: usize,
    pub(super) room: Room,
    kind: usize,
    containers: u32,
    index: u32,
    /// Whether its creation has been ordered.
    ordered: bool,
    /// Whether its creation must wait for the answers to others.
    pub(super) later: bool,
    /// Where in the log it was last mentioned.
    logged: usize,
}

impl Place<'_> {
    fn score(&self) -> Score {
        Score {
            readiness: self.readiness,
            containers: Reverse(self.containers),
            index: self.index,
        }
    }

    /// Whether it was ready and has not answered since.
    pub(super) fn was_ready(&self) -> bool {
        let state = self.worker.map(|worker| worker.state);
        let in_service = matches!(state, Some(WorkerState::Idle | WorkerState::Running));
        in_service && self.readiness != Readiness::Ready
    }

    /// Whether the cloud may yet refuse the instance.
    pub(super) fn is_unsure(&self) -> bool {
        self.worker.is_none_or(|worker| worker.instance.is_none())
    }

    /// Whether it would have room if it were empty.
    fn could_hold(&self, needs: &Resources) -> bool {
        Room::empty(&self.instance_type).fits(needs)
    }

    /// How far it is from having room for these needs; compares as "how soon", the best first.
    fn distance(&self, needs: &Resources) -> (Missing, u32, u32) {
        (self.room.missing(needs), self.containers, self.index)
    }
}

/// What [`Places::nearest`] found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Nearest {
    /// This one.
    Place(usize),
    /// Workers that could hold it when empty, but nothing more is let in on any of them.
    AllTaken,
    /// No worker is of a type that could hold it.
    None,
}

/// All places.
#[derive(Debug)]
pub(super) struct Places<'a> {
    places: Vec<Place<'a>>,
    /// Places of existing workers, in the order of workers.
    by_worker: Vec<(WorkerId, usize)>,
    kinds: Vec<Kind>,
    /// The number of the kind of each type.
    by_type: BTreeMap<&'a InstanceTypeName, usize>,
    /// Types whose containers may go to another as well.
    substitutes: &'a BTreeMap<InstanceTypeName, InstanceTypeName>,
    containers_per_instance: u32,
}

/// The places of one instance type.
#[derive(Debug, Default)]
struct Kind {
    members: Vec<usize>,
    /// Members that have changed, oldest first.
    log: Vec<usize>,
}

/// A search for places of containers that are alike. It goes on where it has stopped.
#[derive(Debug)]
pub(super) struct Search<'a> {
    sizing: &'a Sizing,
    /// The kinds of places where they may go, and how much of the log of each has been read; `None` before the first
    /// search.
    kinds: Option<Vec<(usize, usize)>>,
    /// The places that fitted at the first search, the best last. Entries whose score is no longer true are skipped.
    first: Vec<Score>,
    /// Places that have changed since. Again, only true scores count.
    changed: BinaryHeap<Reverse<Score>>,
}

impl<'a> Search<'a> {
    pub(super) fn new(sizing: &'a Sizing) -> Self {
        Search {
            sizing,
            kinds: None,
            first: Vec::new(),
            changed: BinaryHeap::new(),
        }
    }

    pub(super) fn sizing(&self) -> &'a Sizing {
        self.sizing
    }
}

impl<'a> Places<'a> {
    /// The workers that take containers or will, with nothing on them yet.
    pub(super) fn new(
        pool: &'a PoolSnapshot,
        types: &'a InstanceTypes,
        containers_per_instance: Option<usize>,
    ) -> Self {
        let mut workers: Vec<(&'a WorkerView, Readiness)> = (pool.workers.values())
            .filter_map(|worker| Some((worker.as_ref(), readiness(worker)?)))
            .collect();
        workers.sort_by(|(a, _), (b, _)| {
            let (type_a, type_b) = (&a.instance_type, &b.instance_type);
            (type_a.price.total_cmp(&type_b.price))
                .then(type_b.vcpus.cmp(&type_a.vcpus))
                .then(type_b.ram_bytes.cmp(&type_a.ram_bytes))
                .then(type_b.scratch_bytes().cmp(&type_a.scratch_bytes()))
                .then(a.id.cmp(&b.id))
        });
        let mut places = Places {
            places: Vec::with_capacity(workers.len()),
            by_worker: Vec::new(),
            kinds: Vec::new(),
            by_type: BTreeMap::new(),
            substitutes: &pool.substitutes,
            containers_per_instance: containers_per_instance
                .and_then(|limit| u32::try_from(limit).ok())
                .unwrap_or(u32::MAX),
        };
        for name in types.keys() {
            places.kind_of(name);
        }
        for (worker, readiness) in workers {
            let kind = places.kind_of(&worker.instance_type.name);
            places.push(kind, Some(worker), &worker.instance_type, readiness);
        }
        places.by_worker = (places.places.iter().enumerate())
            .filter_map(|(index, place)| Some((place.worker?.id, index)))
            .collect();
        places.by_worker.sort_unstable();
        places
    }

    fn kind_of(&mut self, name: &'a InstanceTypeName) -> usize {
        *self.by_type.entry(name).or_insert_with(|| {
            self.kinds.push(Kind::default());
            self.kinds.len() - 1
        })
    }

    /// The kinds of workers where such containers may go: those of their types, and of what stands in for these.
    fn kinds_for(&self, sizing: &Sizing) -> Vec<usize> {
        let own = sizing.types.iter();
        let others = (sizing.types.iter()).filter_map(|name| self.substitutes.get(name));
        let mut kinds: Vec<usize> = own
            .chain(others)
            .filter_map(|name| self.by_type.get(name).copied())
            .collect();
        if !self.substitutes.is_empty() {
            let mut seen = std::collections::BTreeSet::new();
            kinds.retain(|kind| seen.insert(*kind));
        }
        kinds
    }

    fn push(
        &mut self,
        kind: usize,
        worker: Option<&'a WorkerView>,
        instance_type: &Arc<InstanceType>,
        readiness: Readiness,
    ) -> usize {
        let index = self.places.len();
        let room = match worker {
            Some(worker) => fresh_room(worker, readiness),
            None => Room::empty(instance_type),
        };
        self.places.push(Place {
            worker,
            instance_type: Arc::clone(instance_type),
            kind,
            readiness,
            mapped: 0,
            room,
            containers: 0,
            index: index as u32,
            ordered: false,
            later: false,
            logged: usize::MAX,
        });
        self.kinds[kind].members.push(index);
        index
    }

    /// Notes that a container is already on this worker; `None`: one whose needs nobody knows (facts S35). To be
    /// called before the first search.
    pub(super) fn occupy(&mut self, worker: WorkerId, needs: Option<&Resources>) {
        let Ok(found) = (self.by_worker).binary_search_by_key(&worker, |(id, _)| *id) else {
            return;
        };
        let place = &mut self.places[self.by_worker[found].1];
        place.containers += 1;
        match needs {
            // The devices in use are known from the worker itself where it says how many are free.
            Some(needs)
                if place
                    .worker
                    .is_some_and(|worker| worker.free_gpus.is_some()) =>
            {
                place.room.take(&Resources { gpus: 0, ..*needs });
            }
            Some(needs) => place.room.take(needs),
            None => place.room.close(),
        }
    }

    /// Forgets what was noted for each worker that lists more containers than were noted for it, and returns these
    /// workers, so that their own lists can be used instead. (Whoever embeds us may not list runners one by one.)
    pub(super) fn vacate_where_more_are_listed(&mut self) -> Vec<&'a WorkerView> {
        let mut vacated = Vec::new();
        for index in 0..self.places.len() {
            let place = &self.places[index];
            if let Some(worker) = place.worker
                && worker.containers.len() > place.containers as usize
            {
                self.places[index].room = fresh_room(worker, place.readiness);
                self.places[index].containers = 0;
                vacated.push(worker);
            }
        }
        vacated
    }

    /// Adds an instance that is to be created, of a type that may be.
    pub(super) fn add_new(&mut self, instance_type: &Arc<InstanceType>, later: bool) -> usize {
        let kind = self.by_type[&instance_type.name];
        let index = self.push(kind, None, instance_type, Readiness::New);
        self.places[index].later = later;
        self.changed(index);
        index
    }

    /// The best place with room for one more.
    pub(super) fn best(&self, search: &mut Search<'_>) -> Option<usize> {
        let needs = &search.sizing.needs;
        match &mut search.kinds {
            Some(kinds) => {
                for (kind, read) in kinds {
                    let log = &self.kinds[*kind].log;
                    for (at, index) in log.iter().enumerate().skip(*read) {
                        let place = &self.places[*index];
                        // Later mentions of the same place will do.
                        if place.logged == at && self.fits(place, needs) {
                            search.changed.push(Reverse(place.score()));
                        }
                    }
                    *read = log.len();
                }
            }
            none => {
                let kinds: Vec<(usize, usize)> = (self.kinds_for(search.sizing).into_iter())
                    .map(|kind| (kind, self.kinds[kind].log.len()))
                    .collect();
                search.first = (kinds.iter())
                    .flat_map(|(kind, _)| &self.kinds[*kind].members)
                    .map(|index| &self.places[*index])
                    .filter(|place| self.fits(place, needs))
                    .map(Place::score)
                    .collect();
                search.first.sort_unstable_by_key(|score| Reverse(*score));
                *none = Some(kinds);
            }
        }
        let is_true = |score: &Score| {
            let place = &self.places[score.index as usize];
            place.score() == *score && self.fits(place, needs)
        };
        while search.first.pop_if(|score| !is_true(score)).is_some() {}
        while (search.changed.peek()).is_some_and(|Reverse(score)| !is_true(score)) {
            search.changed.pop();
        }
        let first = search.first.last().copied();
        let changed = search.changed.peek().map(|Reverse(score)| *score);
        let best = match (first, changed) {
            (Some(first), Some(changed)) => Some(first.min(changed)),
            (first, changed) => first.or(changed),
        };
        best.map(|score| score.index as usize)
    }

    fn fits(&self, place: &Place<'_>, needs: &Resources) -> bool {
        place.containers < self.containers_per_instance && place.room.fits(needs)
    }

    /// Puts one container there.
    pub(super) fn take(&mut self, index: usize, needs: &Resources) {
        let place = &mut self.places[index];
        place.room.take(needs);
        place.containers += 1;
        place.mapped += 1;
        self.changed(index);
    }

    /// Notes that its creation is ordered; whether that is news.
    pub(super) fn order(&mut self, index: usize) -> bool {
        !std::mem::replace(&mut self.places[index].ordered, true)
    }

    /// Lets nothing lower in any more.
    pub(super) fn close(&mut self, index: usize) {
        self.places[index].room.close();
    }

    fn changed(&mut self, index: usize) {
        let place = &mut self.places[index];
        let log = &mut self.kinds[place.kind].log;
        place.logged = log.len();
        log.push(index);
    }

    pub(super) fn get(&self, index: usize) -> &Place<'a> {
        &self.places[index]
    }

    /// The existing workers among the places.
    pub(super) fn existing(&self) -> impl Iterator<Item = (usize, &Place<'a>)> {
        (self.places.iter().enumerate()).filter(|(_, place)| place.worker.is_some())
    }

    /// The worker that is nearest to having room for this shape, among those that would have it when empty.
    pub(super) fn nearest(&self, sizing: &Sizing) -> Nearest {
        let mut nearest = None;
        let mut any = false;
        for kind in self.kinds_for(sizing) {
            for index in &self.kinds[kind].members {
                let place = &self.places[*index];
                if place.worker.is_none() || !place.could_hold(&sizing.needs) {
                    continue;
                }
                any = true;
                let distance = place.distance(&sizing.needs);
                if !place.room.is_closed()
                    && nearest.as_ref().is_none_or(|(least, _)| distance < *least)
                {
                    nearest = Some((distance, *index));
                }
            }
        }
        match nearest {
            Some((_, index)) => Nearest::Place(index),
            None if any => Nearest::AllTaken,
            None => Nearest::None,
        }
    }

    /// The worker that is nearest to being empty, of whatever type.
    pub(super) fn nearest_to_empty(&self) -> Option<usize> {
        self.existing()
            .filter(|(_, place)| !place.room.is_closed())
            .min_by_key(|(_, place)| (place.containers, place.readiness, place.index))
            .map(|(index, _)| index)
    }
}

/// The room on a worker, before its containers are counted.
fn fresh_room(worker: &WorkerView, readiness: Readiness) -> Room {
    let mut room = Room::empty(&worker.instance_type);
    match worker.free_gpus {
        Some(free) => room.limit_gpus(free),
        None if readiness == Readiness::Ready => room.limit_gpus(0),
        // Before it is ready nobody can know, and it may well have them.
        None => {}
    }
    room
}

/// Whether a worker takes containers, now or later; `None`: not as things are (facts S33, W18).
fn readiness(worker: &WorkerView) -> Option<Readiness> {
    if worker.idle_behavior != IdleBehavior::Run {
        return None;
    }
    match worker.state {
        WorkerState::Idle | WorkerState::Running if worker.takes_work => Some(Readiness::Ready),
        WorkerState::Unknown | WorkerState::Booting | WorkerState::Idle | WorkerState::Running => {
            worker.will_take_work.then_some(Readiness::Coming)
        }
        WorkerState::Shutdown => None,
    }
}
