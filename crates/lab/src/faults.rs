//! What goes wrong on its own: kinds of faults, and a plan from the seed that says when each strikes.
//!
//! A kind is asked whether it strikes at each opportunity (a create call, the birth of a machine, …). With
//! `many`, each kind has early opportunities at which it must strike, so that none stays out; more follow by luck, up
//! to a bound, so that every world comes to its end.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::luck::Luck;

/// How much goes wrong.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Nothing.
    #[default]
    None,
    /// What happens on any cloud in a week.
    Some,
    /// Everything, at least once each.
    Many,
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $variant:ident => $name:literal, sure $sure:literal of $first:literal, some $some:literal, many $many:literal, at_most $most:literal;)*) => {
        /// Kinds of faults.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
        pub enum Fault { $($(#[$doc])* $variant,)* }

        impl Fault {
            /// All kinds.
            pub const ALL: &[Fault] = &[$(Fault::$variant,)*];

            /// As reports name it.
            pub fn name(self) -> &'static str {
                match self { $(Fault::$variant => $name,)* }
            }

            /// When and how often it strikes.
            fn plan(self) -> Plan {
                match self { $(Fault::$variant => Plan { sure: $sure, first: $first, some: $some, many: $many, most: $most },)* }
            }
        }
    };
}

/// With `many`, a kind strikes at `sure` of its `first` opportunities, by luck at others, and `most` times in all.
struct Plan {
    sure: u64,
    first: u64,
    some: f64,
    many: f64,
    most: u64,
}

// What waits for a dispatcher's own deadline (a minute for destroys, ten for creates) strikes early, so that a demo of
// two minutes sees how it ends; so does what a dispatcher remembers for a minute.
kinds! {
    /// A create fails without effect (facts §6.1: one in ten).
    CreateError => "create_error", sure 1 of 10, some 0.05, many 0.1, at_most 15;
    /// A create is refused for coming too fast.
    CreateRateLimited => "create_rate_limited", sure 2 of 14, some 0.02, many 0.05, at_most 8;
    /// A create is refused for the account's quota before that is reached. Once: a dispatcher waits twice as long each time.
    CreateQuota => "create_quota", sure 1 of 12, some 0.0, many 0.0, at_most 1;
    /// A create is refused for lack of this type, of which there is none for a minute (facts §6.1). One type only: there are few.
    CreateTypeCapacity => "create_type_capacity", sure 1 of 10, some 0.01, many 0.0, at_most 1;
    /// A create is refused for lack of this quota group. One group only.
    CreateGroupCapacity => "create_group_capacity", sure 1 of 10, some 0.0, many 0.0, at_most 1;
    /// A create is carried out, its answer is lost.
    CreateAnswerLost => "create_answer_lost", sure 1 of 10, some 0.02, many 0.04, at_most 5;
    /// A create is never answered, and carried out late.
    CreateLate => "create_late", sure 1 of 15, some 0.0, many 0.02, at_most 2;
    /// A list fails.
    ListError => "list_error", sure 1 of 4, some 0.02, many 0.06, at_most 8;
    /// A list is refused for coming too fast.
    ListRateLimited => "list_rate_limited", sure 1 of 6, some 0.0, many 0.04, at_most 3;
    /// A list is never answered.
    ListHangs => "list_hangs", sure 1 of 6, some 0.0, many 0.01, at_most 2;
    /// A fresh instance is missing in lists for a while.
    ListOmitsFresh => "list_omits_fresh", sure 1 of 4, some 0.05, many 0.15, at_most 15;
    /// A gone instance is still listed for a while.
    ListShowsGone => "list_shows_gone", sure 1 of 3, some 0.05, many 0.15, at_most 15;
    /// A destroy fails without effect (facts §6.1: one in ten).
    DestroyError => "destroy_error", sure 1 of 4, some 0.05, many 0.1, at_most 15;
    /// A destroy is never answered, and has no effect.
    DestroyHangs => "destroy_hangs", sure 2 of 10, some 0.0, many 0.0, at_most 2;
    /// A call that sets tags fails without effect.
    TagsError => "tags_error", sure 1 of 1, some 0.0, many 0.1, at_most 4;
    /// The cloud answers slowly.
    CloudSlow => "cloud_slow", sure 2 of 12, some 0.01, many 0.03, at_most 10;
    /// A machine never boots.
    NeverBoots => "never_boots", sure 1 of 16, some 0.02, many 0.01, at_most 3;
    /// A whole type does not boot for a while (facts I6).
    TypeDoesNotBoot => "type_does_not_boot", sure 1 of 12, some 0.0, many 0.0, at_most 1;
    /// A machine accepts connections and never speaks.
    SilentBoot => "silent_boot", sure 1 of 18, some 0.01, many 0.01, at_most 3;
    /// A machine's boot probe never succeeds.
    BootProbeFails => "boot_probe_fails", sure 1 of 20, some 0.01, many 0.01, at_most 3;
    /// A machine shows another secret than it was given.
    WrongSecret => "wrong_secret", sure 1 of 22, some 0.0, many 0.01, at_most 3;
    /// A machine has no runner and takes none (facts §6.1: one in seven).
    RunnerMissing => "runner_missing", sure 1 of 12, some 0.01, many 0.1, at_most 8;
    /// A machine's handshakes are slow.
    SlowHandshake => "slow_handshake", sure 1 of 8, some 0.05, many 0.1, at_most 10;
    /// A busy machine falls silent for good (facts §6.1).
    GoesSilent => "goes_silent", sure 1 of 1, some 0.0, many 0.0, at_most 4;
    /// A busy machine falls silent for less than the time that it is given.
    FallsSilentBriefly => "falls_silent_briefly", sure 1 of 1, some 0.0, many 0.0, at_most 4;
    /// A busy machine reports itself broken (facts §6.1).
    ReportsBroken => "reports_broken", sure 1 of 1, some 0.0, many 0.0, at_most 4;
    /// A busy machine is taken away.
    SpotReclaim => "spot_reclaim", sure 1 of 1, some 0.0, many 0.0, at_most 4;
    /// A command never ends.
    CommandHangs => "command_hangs", sure 2 of 40, some 0.001, many 0.003, at_most 8;
    /// A start is carried out, but its command never ends.
    StartHangs => "start_hangs", sure 1 of 9, some 0.0, many 0.01, at_most 4;
    /// A start arrives late.
    StartLate => "start_late", sure 1 of 12, some 0.0, many 0.01, at_most 4;
    /// A runner crashes before Running (facts §6.1: half of one in ten).
    RunnerCrashEarly => "runner_crash_early", sure 1 of 8, some 0.02, many 0.05, at_most 15;
    /// A runner crashes while Running (facts §6.1: half of one in ten).
    RunnerCrashRunning => "runner_crash_running", sure 1 of 10, some 0.02, many 0.05, at_most 15;
    /// A runner's children keep its lock (facts §6.1: one in ten).
    StaleLock => "stale_lock", sure 1 of 14, some 0.01, many 0.1, at_most 15;
    /// The API is overloaded for a moment when half of the work is done (facts §6.1), and answers 503.
    Api503 => "api_503", sure 4 of 4, some 0.001, many 0.0, at_most 4;
    /// The API answers slowly.
    ApiSlow => "api_slow", sure 2 of 20, some 0.01, many 0.02, at_most 30;
    /// The API does nothing and never answers.
    ApiHangs => "api_hangs", sure 2 of 60, some 0.0, many 0.001, at_most 4;
    /// The API does it, and the answer is lost.
    ApiAnswerLost => "api_answer_lost", sure 2 of 50, some 0.001, many 0.003, at_most 6;
    /// A row is malformed for a while.
    MalformedRow => "malformed_row", sure 1 of 5, some 0.0, many 0.01, at_most 4;
    /// A container that fits no type is submitted.
    Impossible => "impossible_container", sure 1 of 10, some 0.0, many 0.01, at_most 4;
    /// The dispatcher is killed and started again.
    DispatcherRestart => "dispatcher_restart", sure 1 of 1, some 0.0, many 0.0, at_most 2;
}

/// The plan, and what has struck so far.
pub struct Faults {
    level: Level,
    luck: Luck,
    due: BTreeMap<Fault, BTreeSet<u64>>,
    /// Kinds that must strike as with `many`.
    insisted: BTreeSet<Fault>,
    seen: BTreeMap<Fault, u64>,
    struck: BTreeMap<Fault, u64>,
    /// Those that were brought about in another way.
    also: BTreeMap<Fault, u64>,
}

impl Faults {
    /// A plan of this level from the seed.
    pub fn new(level: Level, mut luck: Luck) -> Faults {
        let mut draw = |fault: Fault| {
            let Plan { sure, first, .. } = fault.plan();
            let mut due = BTreeSet::new();
            while (due.len() as u64) < sure.min(first) {
                due.insert(1 + luck.below(first));
            }
            due
        };
        let due = Fault::ALL
            .iter()
            .map(|fault| (*fault, draw(*fault)))
            .collect();
        Faults {
            level,
            luck,
            due,
            insisted: BTreeSet::new(),
            seen: BTreeMap::new(),
            struck: BTreeMap::new(),
            also: BTreeMap::new(),
        }
    }

    /// Changes the level from here on.
    pub fn set_level(&mut self, level: Level) {
        self.level = level;
    }

    /// These kinds strike early, as often as with `many`, at whatever level but `none`.
    pub fn insist_on(&mut self, kinds: &[Fault]) {
        self.insisted.extend(kinds);
    }

    /// The level.
    pub fn level(&self) -> Level {
        self.level
    }

    /// An opportunity: whether this kind strikes at it. If so, it is counted.
    pub fn strikes(&mut self, fault: Fault) -> bool {
        let plan = fault.plan();
        let lucky = self.luck.draw();
        if !self.may_strike(fault) {
            return false;
        }
        let seen = self.seen.entry(fault).or_insert(0);
        *seen += 1;
        let rate = if self.level == Level::Many {
            plan.many
        } else {
            plan.some
        };
        let is_sure = self.level == Level::Many || self.insisted.contains(&fault);
        let due = is_sure && self.due.get(&fault).is_some_and(|due| due.contains(seen));
        // The same 53 bits that `Luck::chance` uses.
        let strikes = due || ((lucky >> 11) as f64 / (1_u64 << 53) as f64) < rate;
        if strikes {
            *self.struck.entry(fault).or_insert(0) += 1;
        }
        strikes
    }

    /// Whether this kind may strike again.
    pub fn may_strike(&self, fault: Fault) -> bool {
        self.level != Level::None && self.struck.get(&fault) < Some(&fault.plan().most)
    }

    /// Counts one that was brought about in another way: by a knob, or by a plan of its own.
    pub fn count_one(&mut self, fault: Fault) {
        *self.also.entry(fault).or_insert(0) += 1;
    }

    /// How often this kind struck.
    pub fn count(&self, fault: Fault) -> u64 {
        let count = |of: &BTreeMap<Fault, u64>| of.get(&fault).copied().unwrap_or(0);
        count(&self.struck) + count(&self.also)
    }

    /// How often each kind struck that struck at all, by name.
    pub fn counts(&self) -> BTreeMap<&'static str, u64> {
        Fault::ALL
            .iter()
            .map(|fault| (fault.name(), self.count(*fault)))
            .filter(|(_, n)| *n > 0)
            .collect()
    }

    /// Kinds that have not struck.
    pub fn missing(&self) -> Vec<&'static str> {
        let missing = Fault::ALL.iter().filter(|fault| self.count(**fault) == 0);
        missing.map(|fault| fault.name()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn with_many_each_kind_strikes_within_its_first_opportunities() {
        let struck_at_least = |fault: Fault, n: u64| n >= fault.plan().sure && n > 0;
        for seed in 1..=20 {
            let mut faults = Faults::new(Level::Many, Luck::new(seed, "faults"));
            for fault in Fault::ALL {
                let struck = (0..fault.plan().first)
                    .filter(|_| faults.strikes(*fault))
                    .count();
                assert!(
                    struck_at_least(*fault, struck as u64),
                    "seed {seed}: {} struck {struck} times",
                    fault.name()
                );
            }
            assert_eq!(faults.missing(), Vec::<&str>::new());
        }
    }

    #[test]
    fn what_is_insisted_on_strikes_at_any_level_that_has_faults() {
        for (level, expected) in [(Level::None, 0), (Level::Some, 1), (Level::Many, 1)] {
            let fault = Fault::CreateQuota;
            let mut faults = Faults::new(level, Luck::new(5, "faults"));
            faults.insist_on(&[fault]);
            let n = (0..fault.plan().first).filter(|_| faults.strikes(fault));
            assert_eq!(n.count(), expected, "{level:?}");
        }
    }

    #[test]
    fn no_kind_strikes_more_often_than_it_may() {
        let mut faults = Faults::new(Level::Many, Luck::new(3, "faults"));
        for fault in Fault::ALL {
            for _ in 0..100_000 {
                faults.strikes(*fault);
            }
            assert!(
                faults.count(*fault) <= fault.plan().most,
                "{}",
                fault.name()
            );
        }
    }

    #[test]
    fn with_none_nothing_strikes() {
        let mut faults = Faults::new(Level::None, Luck::new(3, "faults"));
        assert!((0..1000).all(|_| Fault::ALL.iter().all(|fault| !faults.strikes(*fault))));
        assert!(faults.counts().is_empty());
    }
}
