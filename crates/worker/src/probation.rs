//! How far ahead of the cloud's answers instances are ordered.
//!
//! A container is locked before an instance is ordered for it, and each lock counts as an attempt (facts S10). What the
//! account allows is known only from refusals (facts S11), and not at all after a start. So few creations are under way
//! at first, one more for each that works: twice as many with each round of answers. A refusal then wastes few locks,
//! and none after a start: the next in line keeps its lock.

/// Creations under way at once to begin with.
const FIRST: usize = 1;

/// The number of creations that may be under way.
#[derive(Debug)]
pub(crate) struct Probation {
    at_once: usize,
}

impl Probation {
    pub(crate) fn new() -> Probation {
        Probation { at_once: FIRST }
    }

    /// A creation has succeeded.
    pub(crate) fn worked(&mut self) {
        self.at_once = self.at_once.saturating_add(1);
    }

    /// The account is full.
    pub(crate) fn refused(&mut self) {
        self.at_once = FIRST;
    }

    /// Nobody knows how a creation ended, and for a while it counts as under way: the others do not wait for that.
    pub(crate) fn unsure(&mut self) {
        self.at_once = self.at_once.saturating_add(1);
    }

    /// How many may be under way.
    pub(crate) fn at_once(&self) -> usize {
        self.at_once
    }
}
