//! Which instances may be created now, and if none, why.

use std::sync::Arc;

use dispatch_model::{HoldCause, InstanceType, InstanceTypeName, PoolSnapshot, Sizing, Time};

use super::{InstanceTypes, room::Room};
use crate::TypeHeld;

/// What keeps instances from being created.
#[derive(Clone, Copy, Debug)]
pub(super) struct Obstacle {
    pub(super) cause: HoldCause,
    pub(super) until: Option<Time>,
}

impl Obstacle {
    /// Whether fewer instances would help, so that idle ones should make room (facts S8).
    pub(super) fn is_quota(self) -> bool {
        matches!(
            self.cause,
            HoldCause::MaxInstances | HoldCause::SpendingLimit | HoldCause::Quota
        )
    }
}

/// The answer for one shape; it holds for the whole pass, so that a hold which ends meanwhile turns no priorities
/// upside down (facts S25).
#[derive(Clone, Debug)]
pub(super) enum Creatable {
    /// The cheapest type that can be had.
    Type(Arc<InstanceType>),
    /// All are held.
    Held(Arc<[TypeHeld]>),
    /// There is none.
    NoType,
}

/// Counts the instances.
#[derive(Debug)]
pub(super) struct Creation<'a> {
    pool: &'a PoolSnapshot,
    types: &'a InstanceTypes,
    now: Time,
    n_instances: usize,
    /// What all of them cost, dollars an hour.
    spent: f64,
    /// A container was refused an instance for its price: whoever comes later does not take what it waits for.
    saving: bool,
    /// Creations that are under way or ordered by this plan.
    n_orders: usize,
}

impl<'a> Creation<'a> {
    pub(super) fn new(pool: &'a PoolSnapshot, types: &'a InstanceTypes, now: Time) -> Self {
        Creation {
            pool,
            types,
            now,
            n_instances: pool.workers.len(),
            spent: pool.price_per_hour(),
            saving: false,
            n_orders: (pool.workers.values())
                .filter(|worker| worker.instance.is_none())
                .count(),
        }
    }

    /// What keeps one more instance of this type from being created. Instances that are booting, shutting down or being
    /// created count (facts W21).
    pub(super) fn obstacle(&mut self, instance_type: &InstanceType) -> Option<Obstacle> {
        let lasts = |until: &Option<Time>| until.is_none_or(|until| until > self.now);
        if let Some(hold) = self.pool.hold.as_ref().filter(|hold| lasts(&hold.until)) {
            return Some(Obstacle {
                cause: hold.cause,
                until: hold.until,
            });
        }
        let full = (self.pool.instance_limit).is_some_and(|limit| self.n_instances >= limit);
        let obstacle = |cause| Some(Obstacle { cause, until: None });
        if full {
            return obstacle(HoldCause::MaxInstances);
        }
        self.saving |= !self.pool.affords(self.spent, instance_type.price);
        if self.saving {
            return obstacle(HoldCause::SpendingLimit);
        }
        None
    }

    /// One more is to be created.
    pub(super) fn count(&mut self, instance_type: &InstanceType) {
        self.n_instances += 1;
        self.spent += instance_type.price;
    }

    /// Whether one more creation may be under way now (facts S10, S11); counts it if so.
    pub(super) fn may_order(&mut self) -> bool {
        let may = (self.pool.orders_at_once).is_none_or(|most| self.n_orders < most);
        self.n_orders += usize::from(may);
        may
    }

    /// How many instances there are, including those that are to be created.
    pub(super) fn n_instances(&self) -> usize {
        self.n_instances
    }

    /// Which type would be created for a container of this shape: the cheapest that is not held (facts S27, S29), or
    /// else the substitute of one that is.
    pub(super) fn creatable(&self, sizing: &Sizing) -> Creatable {
        let mut held = Vec::new();
        for name in &sizing.types {
            let Some(instance_type) = self.types.get(name) else {
                continue;
            };
            if !Room::empty(instance_type).fits(&sizing.needs) {
                continue;
            }
            match self.hold_of(name) {
                Some(cause) => held.push(TypeHeld {
                    name: name.clone(),
                    cause,
                }),
                None => return Creatable::Type(Arc::clone(instance_type)),
            }
        }
        for index in 0..held.len() {
            match self.substitute(&held[index], sizing) {
                Some(Ok(instance_type)) => return Creatable::Type(instance_type),
                Some(Err(hold)) if !held.contains(&hold) => held.push(hold),
                Some(Err(_)) | None => {}
            }
        }
        if held.is_empty() {
            Creatable::NoType
        } else {
            Creatable::Held(held.into())
        }
    }

    /// The type that would be created in the place of this one, or what keeps that from being created too.
    fn substitute(
        &self,
        held: &TypeHeld,
        sizing: &Sizing,
    ) -> Option<Result<Arc<InstanceType>, TypeHeld>> {
        let name = (self.pool.substitutes.get(&held.name))
            .filter(|_| held.cause.calls_for_substitute())?;
        let instance_type = self.types.get(name)?;
        if !Room::empty(instance_type).fits(&sizing.needs) {
            return None;
        }
        Some(match self.hold_of(name) {
            Some(cause) => Err(TypeHeld {
                name: name.clone(),
                cause,
            }),
            None => Ok(Arc::clone(instance_type)),
        })
    }

    /// A type that the spending limit can never pay for is as good as none: nobody saves for it, and nothing makes room
    /// for it.
    fn hold_of(&self, name: &InstanceTypeName) -> Option<HoldCause> {
        let price = self.types.get(name).map(|one| one.price);
        if price.is_some_and(|price| self.pool.is_too_dear(price)) {
            return Some(HoldCause::TooDear);
        }
        let hold = self.pool.type_holds.get(name)?;
        (hold.until.is_none_or(|until| until > self.now)).then_some(hold.cause)
    }

    /// When the first hold on one of these types ends.
    pub(super) fn first_release(&self, held: &[TypeHeld]) -> Option<Time> {
        (held.iter())
            .filter_map(|held| self.pool.type_holds.get(&held.name)?.until)
            .min()
    }
}
