//! The journal: what happened when, for those who measure. Nothing is written down before somebody asks for it.

use super::World;

/// Entries beyond which nothing more is written down.
const ENTRIES_MAX: usize = 1_000_000;

/// Something that happened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Moment {
    /// A container was submitted.
    Submitted {
        /// Which.
        uuid: String,
    },
    /// A request to the Arvados API arrived over the network.
    Asked {
        /// GET, POST, …
        method: String,
        /// From the first slash to the question mark.
        path: String,
    },
    /// An order for an instance arrived over the network.
    CreateAsked,
    /// A machine's SSH server answers from here on.
    Up {
        /// The instance.
        instance: String,
    },
    /// The runners of a machine were listed.
    Listed {
        /// The instance.
        instance: String,
    },
    /// A start command arrived whole, and its runner began.
    Began {
        /// The instance.
        instance: String,
        /// The container.
        uuid: String,
    },
    /// A runner has ended: nobody holds its lock any more.
    Ended {
        /// The instance.
        instance: String,
        /// The container.
        uuid: String,
    },
    /// A call that destroys an instance arrived over the network.
    DestroyAsked {
        /// The instance.
        instance: String,
    },
}

/// One line of the journal.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// When it could be seen from outside, ms after the world began.
    pub ms: u64,
    /// What.
    pub moment: Moment,
}

/// What was written down, and the present.
#[derive(Debug, Default)]
pub(crate) struct Journal {
    kept: Option<Vec<Entry>>,
    /// What is due late is seen late, whatever time the agenda had for it.
    pub(crate) present_ms: u64,
}

impl Journal {
    pub(crate) fn write(&mut self, moment: impl FnOnce() -> Moment) {
        if let Some(entries) = self
            .kept
            .as_mut()
            .filter(|entries| entries.len() < ENTRIES_MAX)
        {
            entries.push(Entry {
                ms: self.present_ms,
                moment: moment(),
            });
        }
    }
}

impl World {
    /// Keeps a journal from here on; one that was kept begins anew.
    pub fn keep_journal(&mut self) {
        self.journal.kept = Some(Vec::new());
    }

    /// The journal so far; empty if none is kept.
    pub fn journal(&self) -> &[Entry] {
        self.journal.kept.as_deref().unwrap_or_default()
    }

    /// For whoever carries requests into this world: something arrived.
    pub fn arrived(&mut self, moment: Moment, now: crate::Now) {
        self.advance(now);
        self.journal.write(|| moment);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Now, Settings,
        cloud::{CloudCall, Order},
        world::Submission,
    };

    #[test]
    fn a_journal_tells_what_happened_since_it_is_kept() {
        let mut world = World::new(1, Settings::default());
        let submit = |world: &mut World, ms| world.submit(&Submission::default(), Now::at(ms));
        submit(&mut world, 5).expect("a good container");
        assert_eq!(world.journal(), []);

        world.keep_journal();
        let uuid = submit(&mut world, 10).expect("a good container");
        world.arrived(Moment::CreateAsked, Now::at(20));
        let order = Order {
            provider_type: "lab.1".into(),
            ..Order::default()
        };
        world.cloud(&CloudCall::Create(order), Now::at(20));
        let instance = world.vms().keys().next().expect("a machine").clone();
        // It was due long before anybody looked.
        world.advance(Now::at(60_000));
        let entry = |ms, moment| Entry { ms, moment };
        assert_eq!(
            world.journal(),
            [
                entry(10, Moment::Submitted { uuid }),
                entry(20, Moment::CreateAsked),
                entry(60_000, Moment::Up { instance }),
            ]
        );
    }
}
