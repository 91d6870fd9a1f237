//! Who may call the cloud when many want to at once: so many calls are under way, and the others stand in line.
//!
//! Each worker has one place, and keeps it until its turn comes. So none waits for more calls than there are workers
//! ahead of it, whatever the cloud makes of them, and what the cloud has been asked for twice stands behind what it has
//! not been asked for at all.

use std::collections::{BTreeMap, BTreeSet};

use dispatch_model::WorkerId;

/// One line, for calls of one kind.
#[derive(Debug)]
pub(crate) struct Line {
    /// So many may be under way.
    most: usize,
    under_way: BTreeSet<WorkerId>,
    /// Those who stand in line, in the order in which they came.
    waiting: BTreeMap<u64, WorkerId>,
    places: BTreeMap<WorkerId, u64>,
    last_place: u64,
}

impl Line {
    /// For at least one call at a time.
    pub(crate) fn new(most: usize) -> Line {
        Line {
            most: most.max(1),
            under_way: BTreeSet::new(),
            waiting: BTreeMap::new(),
            places: BTreeMap::new(),
            last_place: 0,
        }
    }

    /// This worker wants to call: whether it may now. Otherwise it has its place, which it keeps.
    pub(crate) fn enter(&mut self, worker: WorkerId) -> bool {
        let first = self.waiting.values().next();
        if self.under_way.len() < self.most && first.is_none_or(|first| *first == worker) {
            self.leave(worker);
            self.under_way.insert(worker);
            return true;
        }
        if !self.places.contains_key(&worker) {
            self.last_place += 1;
            self.waiting.insert(self.last_place, worker);
            self.places.insert(worker, self.last_place);
        }
        false
    }

    /// Its call is over, or it wants none any more.
    pub(crate) fn leave(&mut self, worker: WorkerId) {
        self.under_way.remove(&worker);
        if let Some(place) = self.places.remove(&worker) {
            self.waiting.remove(&place);
        }
    }

    /// Whether it stands in line.
    pub(crate) fn waits(&self, worker: WorkerId) -> bool {
        self.places.contains_key(&worker)
    }

    /// Who may call now.
    pub(crate) fn next(&self) -> Option<WorkerId> {
        let first = self.waiting.values().next().copied();
        first.filter(|_| self.under_way.len() < self.most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_keeps_one_place_and_the_first_goes_first() {
        let mut line = Line::new(2);
        let [a, b, c, d] = [1, 2, 3, 4].map(WorkerId);
        assert_eq!(
            [a, b, c, d].map(|one| line.enter(one)),
            [true, true, false, false]
        );
        assert!(
            !line.enter(d) && !line.enter(c),
            "asking again changes nothing"
        );
        assert_eq!(
            (line.next(), line.waits(b), line.waits(c)),
            (None, false, true)
        );
        line.leave(a);
        assert!(
            !line.enter(a),
            "who has just been served does not pass the others"
        );
        assert_eq!(line.next(), Some(c));
        assert!(!line.enter(d));
        assert!(line.enter(c));
        // One that wants nothing any more holds up nobody.
        line.leave(d);
        line.leave(b);
        assert_eq!(line.next(), Some(a));
        assert!(line.enter(a));
        assert_eq!(line.next(), None);
    }
}
