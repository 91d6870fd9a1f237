//! Keeping workers for those that have waited long, so that going past them starves nobody.
//!
//! Lower containers may go past one that waits for an instance, since idle room helps nobody (facts K17). A steady
//! stream of small ones could then keep every worker busy for ever. So once a container has waited for longer than
//! the patience, the worker nearest to having room for it takes nothing that comes after it. What that worker lacks
//! can only get less; another is kept instead only when it lacks still less; so the container's turn comes when
//! enough of those that run there now have ended. The container is locked meanwhile, since Locked ones go first: else
//! those that were locked a moment ago for some other room could take what has just become free.

use super::places::{Nearest, Places};

use dispatch_model::{PoolSnapshot, Sizing, WorkerState};

/// The workers kept in one pass.
#[derive(Debug)]
pub(super) struct Keeping {
    /// How many more may be kept.
    left: usize,
    /// Instances on their way out that nobody counts on yet.
    slots_coming: usize,
    /// Kept until there is room on them.
    for_room: Vec<usize>,
    /// Kept until they are empty, to be shut down in favour of another instance.
    for_slot: Vec<usize>,
}

/// What became of a wish to keep a worker.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kept {
    /// This one is kept.
    Place(usize),
    /// None is, but there may be one for others of the same shape.
    Nothing,
    /// There will be none for any other of the same shape in this pass either.
    Hopeless,
}

/// Looking for a worker to keep costs a walk over the workers; this bounds what a pass spends on it.
const MOST: usize = 64;

impl Keeping {
    /// At most one worker in four is kept, and at least one: the others go on at full load.
    pub(super) fn new(pool: &PoolSnapshot, places: &Places<'_>) -> Keeping {
        let going = (pool.workers.values())
            .filter(|worker| worker.state == WorkerState::Shutdown)
            .count();
        Keeping {
            left: (places.existing().count() / 4).clamp(1, MOST),
            slots_coming: going,
            for_room: Vec::new(),
            for_slot: Vec::new(),
        }
    }

    /// Keeps a worker for a container of this shape. With `a_slot_would_do`, an instance less would allow another to
    /// be created.
    pub(super) fn keep(
        &mut self,
        places: &mut Places<'_>,
        sizing: &Sizing,
        a_slot_would_do: bool,
    ) -> Kept {
        if self.left == 0 {
            return Kept::Hopeless;
        }
        let index = match places.nearest(sizing) {
            Nearest::Place(index) => {
                self.for_room.push(index);
                index
            }
            Nearest::AllTaken => return Kept::Hopeless,
            Nearest::None if !a_slot_would_do => return Kept::Hopeless,
            Nearest::None if self.slots_coming > 0 => {
                self.slots_coming -= 1;
                return Kept::Nothing;
            }
            Nearest::None => match places.nearest_to_empty() {
                Some(index) => {
                    self.for_slot.push(index);
                    index
                }
                None => return Kept::Hopeless,
            },
        };
        places.close(index);
        self.left -= 1;
        Kept::Place(index)
    }

    /// Whether it is kept for a container that will start on it.
    pub(super) fn is_kept_for_room(&self, place: usize) -> bool {
        self.for_room.contains(&place)
    }

    /// Whether it is kept so that it becomes empty and makes way.
    pub(super) fn is_kept_for_slot(&self, place: usize) -> bool {
        self.for_slot.contains(&place)
    }
}
