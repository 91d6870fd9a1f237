//! Spot instances that the cloud keeps taking back, or does not have: which types are left alone for a while, and what
//! is used in their place (facts K34). Only if the operator has asked for it.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use dispatch_model::{Hold, HoldCause, InstanceType, InstanceTypeName, Time};

use crate::SpotFallback;

/// Which spot types have on-demand twins, and when those are used.
#[derive(Debug, Default)]
pub(crate) struct Fallbacks {
    policy: Option<SpotFallback>,
    twins: BTreeMap<InstanceTypeName, InstanceTypeName>,
    /// When instances of a type were taken back: the newest, no more than it takes to avoid the type.
    taken_back: BTreeMap<InstanceTypeName, VecDeque<Time>>,
    /// Types that are not created before this.
    avoided: BTreeMap<InstanceTypeName, Time>,
    /// Until when a type's containers may go to its twin. Longer than the twin is created in its place, since one that
    /// boots when a hold ends is there to be used.
    shared_until: BTreeMap<InstanceTypeName, Time>,
}

impl Fallbacks {
    pub(crate) fn new(
        policy: Option<SpotFallback>,
        types: &BTreeMap<InstanceTypeName, Arc<InstanceType>>,
    ) -> Fallbacks {
        let twins = policy.map_or_else(BTreeMap::new, |policy| {
            let spot = types.values().filter(|one| one.preemptible);
            spot.filter_map(|one| Some((one.name.clone(), twin(one, types, policy)?)))
                .collect()
        });
        Fallbacks {
            policy,
            twins,
            ..Fallbacks::default()
        }
    }

    /// The cloud has taken back an instance of this type. A type without a twin is used all the same.
    pub(crate) fn taken_back(&mut self, instance_type: &InstanceTypeName, now: Time) {
        let Some(policy) = self.policy else {
            return;
        };
        if !self.twins.contains_key(instance_type) {
            return;
        }
        let times = self.taken_back.entry(instance_type.clone()).or_default();
        times.push_back(now);
        times.retain(|at| now.since(*at) < policy.window);
        while times.len() > policy.interruptions.max(1) as usize {
            times.pop_front();
        }
        if times.len() >= policy.interruptions.max(1) as usize {
            self.avoided
                .insert(instance_type.clone(), now + policy.window);
        }
    }

    /// What keeps a spot type from being created because too many of its instances were taken back.
    pub(crate) fn hold(&self, instance_type: &InstanceTypeName) -> Option<Hold> {
        let until = *self.avoided.get(instance_type)?;
        let policy = self.policy?;
        let twin = self.twins.get(instance_type)?;
        Some(Hold {
            cause: HoldCause::SpotInterrupted,
            until: Some(until),
            detail: format!(
                "the cloud has taken back {} of its instances within {} s; {twin} is used in its place",
                policy.interruptions.max(1),
                policy.window.as_secs(),
            ),
        })
    }

    /// Which types' containers may go to another type now, given what is held.
    pub(crate) fn substitutes(
        &mut self,
        held: &BTreeMap<InstanceTypeName, Hold>,
        now: Time,
    ) -> BTreeMap<InstanceTypeName, InstanceTypeName> {
        let Some(policy) = self.policy else {
            return BTreeMap::new();
        };
        for (name, hold) in held {
            if hold.cause.calls_for_substitute() && self.twins.contains_key(name) {
                self.shared_until.insert(name.clone(), now + policy.window);
            }
        }
        let shared = self.shared_until.keys();
        shared
            .filter_map(|name| Some((name.clone(), self.twins.get(name)?.clone())))
            .collect()
    }

    /// Ends what has lasted long enough.
    pub(crate) fn expire(&mut self, now: Time) {
        self.avoided.retain(|_, until| *until > now);
        self.shared_until.retain(|_, until| *until > now);
    }

    /// When something ends by itself.
    pub(crate) fn deadline(&self) -> Option<Time> {
        let ends = self.avoided.values().chain(self.shared_until.values());
        ends.min().copied()
    }

    /// Whether any type is avoided.
    pub(crate) fn avoids_any(&self) -> bool {
        !self.avoided.is_empty()
    }

    /// Whether a type's containers may go to its twin, or may soon.
    pub(crate) fn shares_any(&self) -> bool {
        !self.shared_until.is_empty()
    }
}

/// The cheapest on-demand type that is the same to the cloud and to containers, if it is cheap enough.
fn twin(
    spot: &InstanceType,
    types: &BTreeMap<InstanceTypeName, Arc<InstanceType>>,
    policy: SpotFallback,
) -> Option<InstanceTypeName> {
    types
        .values()
        .filter(|one| one.stands_in_for(spot, policy.price_factor))
        .min_by(|a, b| a.price.total_cmp(&b.price).then(a.name.cmp(&b.name)))
        .map(|one| one.name.clone())
}
