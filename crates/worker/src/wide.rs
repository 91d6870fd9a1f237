//! Refusals that say that other types will meet them too: missing permissions, wrong credentials (facts K10). They hold
//! what they reach, so that not every type has to fail by itself; but they are not believed against the evidence, since
//! a permission may well be missing for some types alone.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use dispatch_model::{
    CloudErrorClass, Hold, HoldCause, InstanceType, InstanceTypeName, RefusalScope, Time,
};

use crate::desk::growing_pause;

/// The first pause; twice as long with each refusal that follows, up to `LONGEST_PAUSE`. Types that were refused wait
/// twice as long: ten minutes at most.
const PAUSE: Duration = Duration::from_secs(5);
const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// How long after all that is over a refusal makes the pause after the next one longer.
const MEMORY: Duration = Duration::from_secs(1200);

/// What such refusals hold.
#[derive(Debug, Default)]
pub(crate) struct WideRefusals {
    held: BTreeMap<Reach, Refused>,
    /// Types that were refused so while another was created: their refusals concern them alone.
    alone: BTreeSet<InstanceTypeName>,
    now: Time,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Reach {
    Everything,
    Market { preemptible: bool },
}

impl Reach {
    fn of(scope: RefusalScope, instance_type: &InstanceType) -> Reach {
        match scope {
            RefusalScope::Everything => Reach::Everything,
            RefusalScope::Market => Reach::market(instance_type),
        }
    }

    fn market(instance_type: &InstanceType) -> Reach {
        Reach::Market {
            preemptible: instance_type.preemptible,
        }
    }
}

#[derive(Debug)]
struct Refused {
    failures: u32,
    /// All that it reaches is held until then, …
    until: Time,
    /// … and these, which have been refused, until then: so that others show whether it is true.
    others_first_until: Time,
    tried: BTreeSet<InstanceTypeName>,
    message: String,
}

impl WideRefusals {
    /// Whether to believe it if this type is refused for a reason that is said to concern others too.
    pub(crate) fn concerns_others(&self, instance_type: &InstanceType) -> bool {
        !self.alone.contains(&instance_type.name)
    }

    /// A creation of this type that was asked for at `asked_at` was refused.
    pub(crate) fn refused(
        &mut self,
        instance_type: &InstanceType,
        scope: RefusalScope,
        message: String,
        asked_at: Time,
        now: Time,
    ) {
        let reach = Reach::of(scope, instance_type);
        let refused = self.held.entry(reach).or_insert_with(|| Refused {
            failures: 0,
            until: now,
            others_first_until: now,
            tried: BTreeSet::new(),
            message: String::new(),
        });
        refused.message = message;
        refused.tried.insert(instance_type.name.clone());
        // Calls that were under way together fail together: that counts once.
        if refused.failures == 0 || asked_at >= refused.until {
            refused.failures += 1;
            let pause = growing_pause(PAUSE, refused.failures, LONGEST_PAUSE);
            refused.until = now + pause;
            refused.others_first_until = now + pause * 2;
        }
    }

    /// One of this type was created: what reaches it is over, or was never true.
    pub(crate) fn created(&mut self, instance_type: &InstanceType) {
        for reach in [Reach::Everything, Reach::market(instance_type)] {
            let refused = self.held.remove(&reach);
            (self.alone).extend(refused.into_iter().flat_map(|refused| refused.tried));
        }
        self.alone.remove(&instance_type.name);
    }

    /// What keeps any instance from being created.
    pub(crate) fn hold(&self) -> Option<Hold> {
        let refused = self.held.get(&Reach::Everything)?;
        (self.now < refused.until).then(|| refused.hold(refused.until))
    }

    /// What keeps instances of this type from being created, beyond what keeps all.
    pub(crate) fn hold_of_type(&self, instance_type: &InstanceType) -> Option<Hold> {
        let of_market = self.held.get(&Reach::market(instance_type));
        if let Some(refused) = of_market.filter(|refused| self.now < refused.until) {
            return Some(refused.hold(refused.until));
        }
        let all = [self.held.get(&Reach::Everything), of_market];
        all.into_iter()
            .flatten()
            .filter(|refused| refused.tried.contains(&instance_type.name))
            .find(|refused| self.now < refused.others_first_until)
            .map(|refused| refused.hold(refused.others_first_until))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// Ends what has lasted long enough.
    pub(crate) fn expire(&mut self, now: Time) {
        self.now = now;
        self.held.retain(|_, refused| refused.forgotten_at() > now);
        for refused in self.held.values_mut() {
            if refused.others_first_until <= now {
                refused.tried.clear();
            }
        }
    }

    /// When something ends by itself.
    pub(crate) fn deadline(&self) -> Option<Time> {
        let ends = self.held.values().flat_map(|refused| {
            [
                refused.until,
                refused.others_first_until,
                refused.forgotten_at(),
            ]
        });
        ends.filter(|at| *at > self.now).min()
    }
}

impl Refused {
    fn hold(&self, until: Time) -> Hold {
        Hold {
            cause: HoldCause::CreateFailing,
            until: Some(until),
            detail: self.message.clone(),
        }
    }

    fn forgotten_at(&self) -> Time {
        self.others_first_until + MEMORY
    }
}

/// What a refusal of a type with an image of its own says of others: nothing. It may be for that image, which they do not
/// have; if it is not, they will be refused themselves.
pub(crate) fn of_one_image(
    class: CloudErrorClass,
    instance_type: &InstanceType,
) -> CloudErrorClass {
    match class {
        CloudErrorClass::RefusedWidely(_) if instance_type.image.is_some() => {
            CloudErrorClass::Refused
        }
        class => class,
    }
}
