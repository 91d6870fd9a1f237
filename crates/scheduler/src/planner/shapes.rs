//! The kinds of containers seen in one pass: those of one kind are alike to the planner.

use std::{collections::BTreeMap, sync::Arc};

use dispatch_model::{InstanceTypeName, Resources, Sizing};

use super::{
    creation::{Creatable, Creation},
    places::Search,
};

/// All kinds, numbered as they are met.
#[derive(Default)]
pub(super) struct Shapes<'a> {
    list: Vec<Shape<'a>>,
    /// By address, for those that share a sizing, as nearly all do. Only looked up, never walked.
    by_address: BTreeMap<usize, usize>,
    by_value: BTreeMap<(&'a Resources, &'a [InstanceTypeName]), usize>,
}

/// What containers need and where they may run, and what this pass has found out about that.
struct Shape<'a> {
    search: Search<'a>,
    creatable: Option<Creatable>,
    /// No more workers can be kept for containers of this shape.
    hopeless: bool,
}

impl<'a> Shapes<'a> {
    /// The number of the shape of containers with this sizing.
    pub(super) fn of(&mut self, sizing: &'a Arc<Sizing>) -> usize {
        let address = Arc::as_ptr(sizing).addr();
        if let Some(shape) = self.by_address.get(&address) {
            return *shape;
        }
        let next = self.list.len();
        let shape = *(self.by_value)
            .entry((&sizing.needs, &sizing.types))
            .or_insert(next);
        if shape == next {
            self.list.push(Shape {
                search: Search::new(sizing),
                creatable: None,
                hopeless: false,
            });
        }
        self.by_address.insert(address, shape);
        shape
    }

    /// The search for places with room for one.
    pub(super) fn search(&mut self, shape: usize) -> &mut Search<'a> {
        &mut self.list[shape].search
    }

    /// Which type would be created for one.
    pub(super) fn creatable(&mut self, shape: usize, creation: &Creation<'_>) -> Creatable {
        let shape = &mut self.list[shape];
        let sizing = shape.search.sizing();
        (shape.creatable)
            .get_or_insert_with(|| creation.creatable(sizing))
            .clone()
    }

    /// Whether no more workers can be kept for such containers.
    pub(super) fn is_hopeless(&self, shape: usize) -> bool {
        self.list[shape].hopeless
    }

    pub(super) fn give_up_keeping(&mut self, shape: usize) {
        self.list[shape].hopeless = true;
    }
}
