//! What goes wrong on its own: kinds of faults, and a plan from the seed that says when each strikes.
//!
//! A kind is asked whether it strikes at each opportunity (a create call, the birth of a machine, …). With
//! `many`, each kind has an early opportunity at which it must strike, so that none stays out; more follow by luck, up
//! to a bound, so that every world comes to its end.

use std::collections::BTreeMap;

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
    ($($(#[$doc:meta])* $variant:ident => $name:literal, first $first:literal, some $some:literal, many $many:literal, at_most $most:literal;)*) => {
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

            /// The latest opportunity (from 1) at which it strikes with `many`; its rates; and how often at most.
            fn plan(self) -> Plan {
                match self { $(Fault::$variant => Plan { first: $first, some: $some, many: $many, most: $most },)* }
            }
        }
    };
}

struct Plan {
    first: u64,
    some: f64,
    many: f64,
    most: u64,
}

kinds! {
    /// A create fails without effect.
    CreateError => "create_error", first 6, some 0.05, many 0.08, at_most 8;
    /// A create is refused for coming too fast.
    CreateRateLimited => "create_rate_limited", first 8, some 0.02, many 0.05, at_most 6;
    /// A create is refused for the account's quota.
    CreateQuota => "create_quota", first 3, some 0.0, many 0.0, at_most 1;
    /// A create is refused for lack of this type. A dispatcher remembers that for a minute, so once must do, early.
    CreateTypeCapacity => "create_type_capacity", first 4, some 0.01, many 0.0, at_most 1;
    /// A create is refused for lack of this quota group.
    CreateGroupCapacity => "create_group_capacity", first 4, some 0.0, many 0.0, at_most 1;
    /// A create is carried out, its answer is lost.
    CreateAnswerLost => "create_answer_lost", first 7, some 0.02, many 0.04, at_most 4;
    /// A create is not answered, and carried out late.
    CreateLate => "create_late", first 11, some 0.0, many 0.02, at_most 2;
    /// A list fails.
    ListError => "list_error", first 4, some 0.02, many 0.04, at_most 6;
    /// A list is not answered until somebody on the way loses patience.
    ListHangs => "list_hangs", first 9, some 0.0, many 0.01, at_most 2;
    /// A fresh instance is missing in lists for a while.
    ListOmitsFresh => "list_omits_fresh", first 4, some 0.05, many 0.15, at_most 10;
    /// A gone instance is still listed for a while.
    ListShowsGone => "list_shows_gone", first 3, some 0.05, many 0.15, at_most 10;
    /// A destroy fails without effect.
    DestroyError => "destroy_error", first 4, some 0.05, many 0.1, at_most 10;
    /// A destroy is not answered until somebody on the way loses patience, and has no effect.
    DestroyHangs => "destroy_hangs", first 6, some 0.0, many 0.03, at_most 3;
    /// A call that sets tags fails without effect.
    TagsError => "tags_error", first 1, some 0.0, many 0.1, at_most 3;
    /// A machine never boots.
    NeverBoots => "never_boots", first 3, some 0.02, many 0.03, at_most 4;
    /// A whole type does not boot for a while (facts I6).
    TypeDoesNotBoot => "type_does_not_boot", first 5, some 0.0, many 0.0, at_most 1;
    /// A machine accepts connections and never speaks.
    SilentBoot => "silent_boot", first 4, some 0.01, many 0.03, at_most 3;
    /// A machine's boot probe never succeeds.
    BootProbeFails => "boot_probe_fails", first 5, some 0.01, many 0.03, at_most 3;
    /// A machine shows another secret than it was given.
    WrongSecret => "wrong_secret", first 6, some 0.0, many 0.02, at_most 2;
    /// A machine has no runner and takes none.
    RunnerMissing => "runner_missing", first 7, some 0.01, many 0.03, at_most 3;
    /// A machine's handshakes are slow.
    SlowHandshake => "slow_handshake", first 5, some 0.05, many 0.08, at_most 6;
    /// A busy machine falls silent for good.
    GoesSilent => "goes_silent", first 1, some 0.0, many 0.0, at_most 2;
    /// A busy machine falls silent for less than the time that it is given.
    FallsSilentBriefly => "falls_silent_briefly", first 1, some 0.0, many 0.0, at_most 2;
    /// A busy machine reports itself broken.
    ReportsBroken => "reports_broken", first 1, some 0.0, many 0.0, at_most 2;
    /// A busy machine is taken away.
    SpotReclaim => "spot_reclaim", first 1, some 0.0, many 0.0, at_most 2;
    /// A command never ends.
    CommandHangs => "command_hangs", first 20, some 0.001, many 0.003, at_most 6;
    /// A start is carried out, but its command never ends.
    StartHangs => "start_hangs", first 9, some 0.0, many 0.01, at_most 3;
    /// A start arrives late.
    StartLate => "start_late", first 12, some 0.0, many 0.01, at_most 3;
    /// A runner crashes before Running.
    RunnerCrashEarly => "runner_crash_early", first 8, some 0.02, many 0.03, at_most 8;
    /// A runner crashes while Running.
    RunnerCrashRunning => "runner_crash_running", first 10, some 0.02, many 0.03, at_most 8;
    /// A runner's children keep its lock.
    StaleLock => "stale_lock", first 14, some 0.01, many 0.03, at_most 6;
    /// The API answers 503 when half of the work is done (facts §6.1). Not earlier: a dispatcher that has seen one
    /// starts no more than ran at that moment, for a minute.
    Api503 => "api_503", first 20, some 0.001, many 0.0, at_most 1;
    /// The API answers slowly.
    ApiSlow => "api_slow", first 20, some 0.01, many 0.02, at_most 30;
    /// The API does nothing, and does not answer until somebody on the way loses patience.
    ApiHangs => "api_hangs", first 60, some 0.0, many 0.001, at_most 2;
    /// The API does it, and the answer is lost.
    ApiAnswerLost => "api_answer_lost", first 50, some 0.001, many 0.003, at_most 4;
    /// A row is malformed for a while.
    MalformedRow => "malformed_row", first 5, some 0.0, many 0.01, at_most 3;
    /// A container that fits no type is submitted.
    Impossible => "impossible_container", first 10, some 0.0, many 0.01, at_most 3;
    /// The dispatcher is killed and started again.
    DispatcherRestart => "dispatcher_restart", first 1, some 0.0, many 0.0, at_most 1;
}

/// The plan, and what has struck so far.
pub struct Faults {
    level: Level,
    luck: Luck,
    due: BTreeMap<Fault, u64>,
    seen: BTreeMap<Fault, u64>,
    struck: BTreeMap<Fault, u64>,
}

impl Faults {
    /// A plan of this level from the seed.
    pub fn new(level: Level, mut luck: Luck) -> Faults {
        let due = Fault::ALL
            .iter()
            .map(|fault| (*fault, 1 + luck.below(fault.plan().first)))
            .collect();
        Faults {
            level,
            luck,
            due,
            seen: BTreeMap::new(),
            struck: BTreeMap::new(),
        }
    }

    /// Changes the level from here on.
    pub fn set_level(&mut self, level: Level) {
        self.level = level;
    }

    /// The level.
    pub fn level(&self) -> Level {
        self.level
    }

    /// An opportunity: whether this kind strikes at it. If so, it is counted.
    pub fn strikes(&mut self, fault: Fault) -> bool {
        let plan = fault.plan();
        let lucky = self.luck.draw();
        if self.level == Level::None || self.count(fault) >= plan.most {
            return false;
        }
        let seen = self.seen.entry(fault).or_insert(0);
        *seen += 1;
        let rate = if self.level == Level::Many {
            plan.many
        } else {
            plan.some
        };
        let due = self.level == Level::Many && self.due.get(&fault) == Some(seen);
        // The same 53 bits that `Luck::chance` uses.
        let strikes = due || ((lucky >> 11) as f64 / (1_u64 << 53) as f64) < rate;
        if strikes {
            self.count_one(fault);
        }
        strikes
    }

    /// Counts one that was brought about in another way.
    pub fn count_one(&mut self, fault: Fault) {
        *self.struck.entry(fault).or_insert(0) += 1;
    }

    /// How often this kind struck.
    pub fn count(&self, fault: Fault) -> u64 {
        self.struck.get(&fault).copied().unwrap_or(0)
    }

    /// How often each kind struck that struck at all, by name.
    pub fn counts(&self) -> BTreeMap<&'static str, u64> {
        self.struck
            .iter()
            .map(|(fault, n)| (fault.name(), *n))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn with_many_each_kind_strikes_within_its_first_opportunities() {
        for seed in 1..=20 {
            let mut faults = Faults::new(Level::Many, Luck::new(seed, "faults"));
            for fault in Fault::ALL {
                let struck = (0..fault.plan().first)
                    .filter(|_| faults.strikes(*fault))
                    .count();
                assert!(struck >= 1, "seed {seed}: {}", fault.name());
            }
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
