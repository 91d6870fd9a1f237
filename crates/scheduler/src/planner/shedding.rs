//! Which idle workers make way when the cloud allows no more instances (facts S8, S17).

use std::cmp::Reverse;

use dispatch_model::{PoolSnapshot, WorkerId, WorkerState};

use super::{
    keeping::Keeping,
    places::{Place, Places},
};

/// The workers to shut down so that `wanted` containers get instances, less those already on their way out. Only
/// workers that no waiting container has been given room on: idle or booting, wanted to run, known to the cloud.
pub(super) fn shed(
    pool: &PoolSnapshot,
    places: &Places<'_>,
    keeping: &Keeping,
    wanted: usize,
) -> Vec<WorkerId> {
    if wanted == 0 {
        return Vec::new();
    }
    let going = (pool.workers.values())
        .filter(|worker| worker.state == WorkerState::Shutdown)
        .count();
    let mut idle: Vec<_> = (places.existing())
        .filter(|(index, place)| is_idle(place) && !keeping.is_kept_for_room(*index))
        .collect();
    // Those that were emptied for this, then the idle ones, then the dearest, then the ones last in the planner's eyes.
    idle.sort_by(|(a, place_a), (b, place_b)| {
        let key = |index: usize, place: &Place<'_>| {
            let booting = (place.worker).is_some_and(|worker| worker.state != WorkerState::Idle);
            (!keeping.is_kept_for_slot(index), booting)
        };
        (key(*a, place_a).cmp(&key(*b, place_b)))
            .then(
                place_b
                    .instance_type
                    .price
                    .total_cmp(&place_a.instance_type.price),
            )
            .then(Reverse(a).cmp(&Reverse(b)))
    });
    (idle.into_iter())
        .filter_map(|(_, place)| Some(place.worker?.id))
        .take(wanted.saturating_sub(going))
        .collect()
}

fn is_idle(place: &Place<'_>) -> bool {
    place.worker.is_some_and(|worker| {
        place.mapped == 0
            && worker.containers.is_empty()
            && worker.instance.is_some()
            && matches!(worker.state, WorkerState::Idle | WorkerState::Booting)
    })
}
