//! The state machine.

use std::{collections::BTreeMap, sync::Arc};

use dispatch_model::{ContainerId, Now, QueueSnapshot, Time};

use crate::{Details, Effects, Event, Settings};

/// The containers as we know them. See the crate's description.
#[derive(Debug)]
pub struct View {
    #[expect(dead_code, reason = "the bodies follow in the next commit")]
    settings: Settings,
    snapshot: QueueSnapshot,
    details: BTreeMap<ContainerId, Arc<Details>>,
}

impl View {
    /// A view that knows nothing yet. Its first deadline is at once.
    pub fn new(settings: Settings) -> View {
        View {
            settings,
            snapshot: QueueSnapshot::default(),
            details: BTreeMap::new(),
        }
    }

    /// Takes one event in.
    pub fn handle(&mut self, event: Event, now: Now) -> Effects {
        let _ = (event, now);
        Effects::default()
    }

    /// When to send [`Event::Tick`] if nothing else happens first; `None`: an answer must come first.
    pub fn deadline(&self) -> Option<Time> {
        None
    }

    /// The containers, for the planner. Kept up to date as things change, so that asking costs nothing; readers who
    /// need one of their own may clone it (the entries are shared).
    pub fn snapshot(&self) -> &QueueSnapshot {
        &self.snapshot
    }

    /// The rest of a container's record, for readers.
    pub fn details(&self, id: &ContainerId) -> Option<&Arc<Details>> {
        self.details.get(id)
    }
}
