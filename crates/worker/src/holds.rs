//! What keeps instances from being created, and for how long (facts §8.6, W20–W27, S11, S25, K10, K11, K16).

use std::{collections::BTreeMap, time::Duration};

use dispatch_model::{
    CapacityScope, CloudErrorClass, Hold, HoldCause, InstanceType, InstanceTypeName, Time, WorkerId,
};

use crate::{
    BootOutcome,
    desk::{Boot, growing_pause},
    fallback::Fallbacks,
    wide::WideRefusals,
};

/// How long a type, or a group of types, counts as sold out (facts S25).
const CAPACITY_PAUSE: Duration = Duration::from_secs(60);
/// How long the account counts as full, if it refused even the first instance (facts W20).
const EMPTY_QUOTA_PAUSE: Duration = Duration::from_secs(60);
/// How long it does if it refused one more, unless one of ours goes (facts K16). A try costs one refused call: a first
/// one soon, since quotas are shared and others come and go, then ever more rarely.
const QUOTA_PAUSE: Duration = Duration::from_secs(30);
/// The longest of these, after one refusal upon the other.
const LONGEST_QUOTA_PAUSE: Duration = Duration::from_secs(600);
/// How long a quota is remembered that has not been heard of again: until then it is exceeded one at a time (facts S11).
const QUOTA_MEMORY: Duration = Duration::from_secs(3600);
/// The first pause after a creation that failed in passing, or whose outcome is unknown.
const TRANSIENT_PAUSE: Duration = Duration::from_secs(1);
/// The first pause after a creation that the cloud will not do.
const REFUSED_PAUSE: Duration = Duration::from_secs(5);
/// After so many failures in passing, orders that wait are dropped: who knows whether they will still be wanted when
/// the pause is over.
const PASSING_FAILURES: u32 = 2;
/// The longest pause between failing creations (facts K10), and the longest that a cloud may ask for.
const LONGEST_PAUSE: Duration = Duration::from_secs(600);
/// So many boots must fail in a row before a type is paused (facts K11).
const MAX_BOOT_FAILURES: u32 = 3;
/// A type is paused for TimeoutBooting, then for twice as long, and so on up to this many times as long.
const MAX_BOOT_PAUSES: u32 = 6;

/// Everything that keeps instances from being created.
#[derive(Debug)]
pub(crate) struct Holds {
    max_instances: Option<usize>,
    boot_pause: Duration,
    pub(crate) stopping: bool,
    /// Why the runner's binary cannot be read.
    pub(crate) runner_unreadable: Option<String>,
    rate: Option<Timed>,
    quota: Option<Quota>,
    capacity: BTreeMap<Shortage, Timed>,
    /// Which quota group a type belongs to, as far as refusals have told.
    groups: BTreeMap<InstanceTypeName, String>,
    failing: BTreeMap<(InstanceTypeName, Reason), Failing>,
    wide: WideRefusals,
    boots: BTreeMap<InstanceTypeName, Boots>,
    fallbacks: Fallbacks,
}

#[derive(Debug)]
struct Timed {
    until: Time,
    message: String,
}

/// The account is full.
#[derive(Debug)]
struct Quota {
    /// So many instances there have been.
    proven: usize,
    /// Not even one more is tried before this.
    until: Option<Time>,
    refused_at: Time,
    refusals: u32,
    message: String,
}

/// What is sold out. Spot and on-demand are sold apart (facts S29).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Shortage {
    Group { name: String, preemptible: bool },
    Type { name: String, preemptible: bool },
    Market { preemptible: bool },
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Reason {
    Refused,
    Transient,
    Unknown,
}

#[derive(Debug)]
struct Failing {
    failures: u32,
    began: Time,
    until: Time,
    message: String,
}

/// Boots of one type that failed, one after the other.
#[derive(Debug)]
struct Boots {
    failures: u32,
    pauses: u32,
    stage: BootStage,
}

#[derive(Debug)]
enum BootStage {
    Counting,
    Paused {
        until: Time,
    },
    /// One instance may try; this is it.
    Trial(Option<WorkerId>),
}

impl Holds {
    pub(crate) fn new(
        max_instances: Option<usize>,
        boot_timeout: Duration,
        fallbacks: Fallbacks,
    ) -> Holds {
        Holds {
            max_instances,
            boot_pause: boot_timeout,
            stopping: false,
            runner_unreadable: None,
            rate: None,
            quota: None,
            capacity: BTreeMap::new(),
            groups: BTreeMap::new(),
            failing: BTreeMap::new(),
            wide: WideRefusals::default(),
            boots: BTreeMap::new(),
            fallbacks,
        }
    }

    /// What keeps any instance from being created while there are this many workers, tickets included.
    pub(crate) fn any(&self, n_workers: usize) -> Option<Hold> {
        let hold = |cause, until, detail: String| {
            Some(Hold {
                cause,
                until,
                detail,
            })
        };
        if self.stopping {
            return hold(HoldCause::Stopping, None, "the daemon is stopping".into());
        }
        if let Some(reason) = &self.runner_unreadable {
            return hold(HoldCause::RunnerUnreadable, None, reason.clone());
        }
        if let Some(hold) = self.wide.hold() {
            return Some(hold);
        }
        if let Some(quota) = &self.quota
            && n_workers >= quota.limit()
        {
            return hold(HoldCause::Quota, quota.until, quota.in_words());
        }
        if let Some(max) = self.max_instances
            && n_workers >= max
        {
            let detail = format!("there are {n_workers} instances; MaxInstances is {max}");
            return hold(HoldCause::MaxInstances, None, detail);
        }
        let rate = self.rate.as_ref()?;
        hold(HoldCause::RateLimit, Some(rate.until), rate.message.clone())
    }

    /// What keeps an instance of this type from being created for this worker, or for a new one.
    pub(crate) fn of_type(
        &self,
        instance_type: &InstanceType,
        worker: Option<WorkerId>,
    ) -> Option<Hold> {
        let preemptible = instance_type.preemptible;
        let by_type = Shortage::Type {
            name: instance_type.provider_type.clone(),
            preemptible,
        };
        let by_group = self
            .groups
            .get(&instance_type.name)
            .map(|name| Shortage::Group {
                name: name.clone(),
                preemptible,
            });
        let by_market = Shortage::Market { preemptible };
        let shortage = [Some(by_type), by_group, Some(by_market)]
            .into_iter()
            .flatten()
            .filter_map(|shortage| self.capacity.get(&shortage))
            .max_by_key(|timed| timed.until);
        if let Some(timed) = shortage {
            return Some(Hold {
                cause: HoldCause::Capacity,
                until: Some(timed.until),
                detail: timed.message.clone(),
            });
        }
        if let Some(hold) = self.fallbacks.hold(&instance_type.name) {
            return Some(hold);
        }
        if let Some(hold) = self.boot_hold(&instance_type.name, worker) {
            return Some(hold);
        }
        if let Some(hold) = self.wide.hold_of_type(instance_type) {
            return Some(hold);
        }
        let reasons = [Reason::Refused, Reason::Transient, Reason::Unknown];
        reasons
            .into_iter()
            .filter_map(|reason| self.failing.get(&(instance_type.name.clone(), reason)))
            .filter(|failing| failing.until > failing.began)
            .max_by_key(|failing| failing.until)
            .map(|failing| Hold {
                cause: HoldCause::CreateFailing,
                until: Some(failing.until),
                detail: failing.message.clone(),
            })
    }

    /// Whether orders of this type that have not been sent are better dropped, so that others can be chosen.
    pub(crate) fn is_lasting(&self, instance_type: &InstanceType, hold: &Hold) -> bool {
        match hold.cause {
            HoldCause::Capacity | HoldCause::SpotInterrupted | HoldCause::BootFailing => true,
            HoldCause::CreateFailing => {
                if self.wide.hold_of_type(instance_type).is_some() {
                    return true;
                }
                let lasts = |(reason, patience): (Reason, u32)| {
                    let key = (instance_type.name.clone(), reason);
                    self.failing.get(&key).is_some_and(|failing| {
                        failing.until > failing.began && failing.failures > patience
                    })
                };
                [
                    (Reason::Refused, 0),
                    (Reason::Transient, PASSING_FAILURES),
                    (Reason::Unknown, PASSING_FAILURES),
                ]
                .into_iter()
                .any(lasts)
            }
            HoldCause::MaxInstances
            | HoldCause::SpendingLimit
            | HoldCause::TooDear
            | HoldCause::Quota
            | HoldCause::RateLimit
            | HoldCause::RunnerUnreadable
            | HoldCause::Stopping => false,
        }
    }

    /// What somebody has to mend before any instance can be created, so that no order need wait for it.
    pub(crate) fn nothing_before_mended(&self) -> Option<String> {
        let refused = || {
            let hold = self.wide.hold()?;
            Some(format!("{}: {}", hold.cause, hold.detail))
        };
        self.runner_unreadable.clone().or_else(refused)
    }

    /// When the cloud last said that the account is full.
    pub(crate) fn quota_refused_at(&self) -> Option<Time> {
        self.quota.as_ref().map(|quota| quota.refused_at)
    }

    /// How many instances there may be.
    pub(crate) fn limit(&self) -> Option<usize> {
        let quota = self.quota.as_ref().map(Quota::limit);
        [self.max_instances, quota].into_iter().flatten().min()
    }

    /// A creation that was asked for at `asked_at` has failed while the cloud knew this many instances of ours.
    pub(crate) fn create_failed(
        &mut self,
        instance_type: &InstanceType,
        class: &CloudErrorClass,
        message: &str,
        n_instances: usize,
        asked_at: Time,
        now: Time,
    ) {
        let message = message.to_owned();
        match class {
            CloudErrorClass::Quota => self.refuse_for_quota(message, n_instances, now),
            CloudErrorClass::Capacity(scope) => {
                let preemptible = instance_type.preemptible;
                let shortage = match scope {
                    CapacityScope::QuotaGroup(group) => {
                        self.groups
                            .insert(instance_type.name.clone(), group.clone());
                        Shortage::Group {
                            name: group.clone(),
                            preemptible,
                        }
                    }
                    CapacityScope::Type => Shortage::Type {
                        name: instance_type.provider_type.clone(),
                        preemptible,
                    },
                    CapacityScope::Market => Shortage::Market { preemptible },
                };
                let until = now + CAPACITY_PAUSE;
                self.capacity.insert(shortage, Timed { until, message });
            }
            CloudErrorClass::RateLimited(until) => {
                let soonest = now + Duration::from_millis(1);
                let until = (*until).clamp(soonest, now + LONGEST_PAUSE);
                self.rate = Some(Timed { until, message });
            }
            CloudErrorClass::RefusedWidely(scope) if self.wide.concerns_others(instance_type) => {
                (self.wide).refused(instance_type, *scope, message, asked_at, now);
            }
            CloudErrorClass::Refused | CloudErrorClass::RefusedWidely(_) => {
                self.back_off(instance_type, Reason::Refused, message, asked_at, now);
            }
            CloudErrorClass::Transient => {
                self.back_off(instance_type, Reason::Transient, message, asked_at, now);
            }
            CloudErrorClass::OutcomeUnknown => {
                self.back_off(instance_type, Reason::Unknown, message, asked_at, now);
            }
        }
    }

    /// A creation has succeeded; there are this many instances with it.
    pub(crate) fn created(&mut self, instance_type: &InstanceType, n_instances: usize) {
        (self.failing).retain(|(name, _), _| *name != instance_type.name);
        self.wide.created(instance_type);
        if let Some(quota) = &mut self.quota
            && n_instances > quota.proven
        {
            quota.proven = n_instances;
            quota.refusals = 0;
        }
    }

    /// This type is part of a group that the driver names in refusals.
    pub(crate) fn set_group(&mut self, instance_type: InstanceTypeName, group: String) {
        self.groups.insert(instance_type, group);
    }

    /// An order of this type has been taken.
    pub(crate) fn ordered(&mut self, instance_type: &InstanceTypeName, worker: WorkerId) {
        if let Some(boots) = self.boots.get_mut(instance_type)
            && let BootStage::Trial(trial @ None) = &mut boots.stage
        {
            *trial = Some(worker);
        }
    }

    /// This worker is gone, or has been given up: if it was the one that tried, another may.
    pub(crate) fn trial_over(&mut self, instance_type: &InstanceTypeName, worker: WorkerId) {
        if let Some(boots) = self.boots.get_mut(instance_type)
            && let BootStage::Trial(trial) = &mut boots.stage
        {
            trial.take_if(|one| *one == worker);
        }
    }

    /// An instance has booted, or not.
    pub(crate) fn booted(&mut self, boot: &Boot, now: Time) {
        match boot.outcome {
            BootOutcome::Success => {
                self.boots.remove(&boot.instance_type);
            }
            BootOutcome::Aborted => self.trial_over(&boot.instance_type, boot.worker),
            BootOutcome::Failure | BootOutcome::Disappeared => self.boot_failed(boot, now),
        }
    }

    fn boot_failed(&mut self, boot: &Boot, now: Time) {
        let boots = self
            .boots
            .entry(boot.instance_type.clone())
            .or_insert(Boots {
                failures: 0,
                pauses: 0,
                stage: BootStage::Counting,
            });
        let pause = match &boots.stage {
            BootStage::Counting => {
                boots.failures += 1;
                boots.failures >= MAX_BOOT_FAILURES
            }
            // Those that were ordered before the pause say nothing new.
            BootStage::Paused { .. } => false,
            BootStage::Trial(trial) => {
                let is_trial = *trial == Some(boot.worker);
                boots.failures += u32::from(is_trial);
                is_trial
            }
        };
        if pause {
            boots.pauses += 1;
            let longest = self.boot_pause.saturating_mul(MAX_BOOT_PAUSES);
            boots.stage = BootStage::Paused {
                until: now + growing_pause(self.boot_pause, boots.pauses, longest),
            };
        }
    }

    fn boot_hold(&self, name: &InstanceTypeName, worker: Option<WorkerId>) -> Option<Hold> {
        let boots = self.boots.get(name)?;
        let n = boots.failures;
        let (until, detail) = match &boots.stage {
            BootStage::Counting | BootStage::Trial(None) => return None,
            BootStage::Trial(trial) if *trial == worker => return None,
            BootStage::Trial(_) => (None, format!("{n} failed to boot in a row; one is trying")),
            BootStage::Paused { until } => (Some(*until), format!("{n} failed to boot in a row")),
        };
        Some(Hold {
            cause: HoldCause::BootFailing,
            until,
            detail,
        })
    }

    fn refuse_for_quota(&mut self, message: String, n_instances: usize, now: Time) {
        let refusals = self.quota.as_ref().map_or(0, |quota| quota.refusals) + 1;
        let pause = if n_instances == 0 {
            EMPTY_QUOTA_PAUSE
        } else {
            growing_pause(QUOTA_PAUSE, refusals, LONGEST_QUOTA_PAUSE)
        };
        self.quota = Some(Quota {
            proven: n_instances,
            until: Some(now + pause),
            refused_at: now,
            refusals,
            message,
        });
    }

    fn back_off(
        &mut self,
        instance_type: &InstanceType,
        reason: Reason,
        message: String,
        asked_at: Time,
        now: Time,
    ) {
        let first = match reason {
            Reason::Refused => REFUSED_PAUSE,
            Reason::Transient | Reason::Unknown => TRANSIENT_PAUSE,
        };
        let key = (instance_type.name.clone(), reason);
        let failing = self.failing.entry(key).or_insert(Failing {
            failures: 0,
            began: Time::ZERO,
            until: Time::ZERO,
            message: String::new(),
        });
        failing.message = message;
        // Calls that were under way together fail together: that counts once.
        if failing.failures == 0 || asked_at >= failing.began {
            failing.failures += 1;
            failing.began = now;
            failing.until = now + growing_pause(first, failing.failures, LONGEST_PAUSE);
        }
    }

    /// The cloud has taken back an instance of this type.
    pub(crate) fn taken_back(&mut self, instance_type: &InstanceTypeName, now: Time) {
        self.fallbacks.taken_back(instance_type, now);
    }

    /// Which types' containers may go to another type now, given what is held.
    pub(crate) fn substitutes(
        &mut self,
        held: &BTreeMap<InstanceTypeName, Hold>,
        now: Time,
    ) -> BTreeMap<InstanceTypeName, InstanceTypeName> {
        self.fallbacks.substitutes(held, now)
    }

    /// Whether there may be any such.
    pub(crate) fn shares_any(&self) -> bool {
        self.fallbacks.shares_any()
    }

    /// Ends what has lasted long enough.
    pub(crate) fn expire(&mut self, now: Time) {
        self.fallbacks.expire(now);
        self.wide.expire(now);
        self.rate.take_if(|rate| rate.until <= now);
        self.capacity.retain(|_, timed| timed.until > now);
        if let Some(quota) = &mut self.quota {
            quota.until.take_if(|until| *until <= now);
        }
        self.quota
            .take_if(|quota| quota.refused_at + QUOTA_MEMORY <= now);
        for failing in self.failing.values_mut() {
            if failing.until <= now {
                // Over, but remembered: if the next one fails too, the pause is longer.
                failing.began = failing.until;
            }
        }
        self.failing
            .retain(|_, failing| failing.until + LONGEST_PAUSE * 2 > now);
        for boots in self.boots.values_mut() {
            if matches!(boots.stage, BootStage::Paused { until } if until <= now) {
                boots.stage = BootStage::Trial(None);
            }
        }
    }

    /// When something ends by itself.
    pub(crate) fn deadline(&self) -> Option<Time> {
        let quota = self
            .quota
            .as_ref()
            .map(|quota| quota.until.unwrap_or(quota.refused_at + QUOTA_MEMORY));
        let capacity = self.capacity.values().map(|timed| timed.until);
        let failing = self.failing.values().map(|failing| {
            if failing.until > failing.began {
                failing.until
            } else {
                failing.until + LONGEST_PAUSE * 2
            }
        });
        let boots = self.boots.values().filter_map(|boots| match boots.stage {
            BootStage::Paused { until } => Some(until),
            BootStage::Counting | BootStage::Trial(_) => None,
        });
        let rate = self.rate.as_ref().map(|rate| rate.until);
        let others = [self.fallbacks.deadline(), self.wide.deadline()];
        [rate, quota]
            .into_iter()
            .chain(others)
            .flatten()
            .chain(capacity)
            .chain(failing)
            .chain(boots)
            .min()
    }

    /// Whether any type may be held, so that nobody need ask about each.
    pub(crate) fn any_type(&self) -> bool {
        !(self.capacity.is_empty()
            && self.failing.is_empty()
            && self.wide.is_empty()
            && self.boots.is_empty()
            && !self.fallbacks.avoids_any())
    }
}

impl Quota {
    fn limit(&self) -> usize {
        if self.until.is_some() {
            self.proven
        } else {
            self.proven + 1
        }
    }

    fn in_words(&self) -> String {
        if self.until.is_some() {
            return self.message.clone();
        }
        format!(
            "more than {} instances are created one at a time, since the cloud refused that before: {}",
            self.proven, self.message
        )
    }
}
