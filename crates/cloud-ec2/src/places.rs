//! Which subnets to try, in which order, and what is known to be exhausted where (facts E9–E12): pure.
//!
//! A lack is remembered where it was met: for a subnet, for a zone, or for a type in a zone, so that one zone without
//! a type does not keep the others from being used.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use dispatch_model::{CapacityScope, CloudErrorClass, Time};

use crate::atlas::Reach;

/// How long a lack is remembered (facts S25); longer with each one that follows soon, up to `LONGEST`.
const PAUSE: Duration = Duration::from_secs(60);
const LONGEST: Duration = Duration::from_secs(600);
/// So many instances of a type must die while they launch before it is held.
const DEATHS_MAX: u32 = 3;
/// A lack that has not been met again for so long after its end is forgotten.
const MEMORY: Duration = Duration::from_secs(300);
/// More refusals that have been told are not kept.
const TOLD_MOST: usize = 1000;

/// What is asked for, as far as it matters here.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Wish {
    pub(crate) provider_type: String,
    pub(crate) preemptible: bool,
}

/// The subnets.
#[derive(Debug)]
pub(crate) struct Places {
    /// Empty: EC2 chooses.
    subnets: Vec<String>,
    /// Where the next create begins: the last that worked, or the one after the last that did not.
    start: usize,
    /// The zone of each subnet, as far as it could be learned.
    zones: BTreeMap<String, String>,
    lacks: BTreeMap<Site, Lack>,
    /// Refusals that have been told, by their codes.
    told: BTreeSet<(Site, String)>,
    /// Where an instance was taken back, until when others come first: there may be more of that, but it is no refusal.
    shunned: BTreeMap<Site, Time>,
    /// Instances of each type that died while they launched, one after the other.
    deaths: BTreeMap<Wish, Deaths>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Deaths {
    times: u32,
    /// When the latest of the dead was launched, in EC2's time.
    launched: i128,
}

/// How an instance ended by itself.
pub(crate) struct Death<'a> {
    pub(crate) subnet: Option<&'a str>,
    pub(crate) zone: &'a str,
    /// How far its reason reaches, if it is a lack.
    pub(crate) reach: Option<Reach>,
    /// When it was launched, if it died of that; otherwise it was taken back.
    pub(crate) launched: Option<i128>,
    /// What its reason would have meant as the answer to its creation.
    pub(crate) class: CloudErrorClass,
    pub(crate) why: &'a str,
}

/// What is known to be lacking, as the refusal of a call that need not be made.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Known {
    pub(crate) class: CloudErrorClass,
    pub(crate) message: String,
}

/// Where one create goes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Route {
    /// The subnets to try, each at most once; `None` lets EC2 choose.
    pub(crate) subnets: Vec<Option<String>>,
    /// What is lacking where it does not go, for that reason.
    pub(crate) lack: Option<Known>,
}

/// Where something is lacking. A subnet whose zone is not known is a zone of its own.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Site {
    Subnet(String),
    Zone(String),
    TypeInZone(Wish, String),
    Type(Wish),
}

#[derive(Clone, PartialEq, Eq, Debug)]
struct Lack {
    until: Time,
    times: u32,
    known: Known,
}

/// Of everything that is local, others may be had: for the pool it is a lack of the type.
const LOCAL: CloudErrorClass = CloudErrorClass::Capacity(CapacityScope::Type);

impl Places {
    pub(crate) fn new(subnets: Vec<String>) -> Places {
        Places {
            subnets,
            start: 0,
            zones: BTreeMap::new(),
            lacks: BTreeMap::new(),
            told: BTreeSet::new(),
            shunned: BTreeMap::new(),
            deaths: BTreeMap::new(),
        }
    }

    /// What DescribeSubnets told.
    pub(crate) fn set_zones(&mut self, zones: BTreeMap<String, String>) {
        self.zones = zones;
    }

    /// Where one create goes. `Err`: what is lacking in all subnets, so that no call need be made.
    pub(crate) fn route(&self, wish: &Wish, now: Time) -> Result<Route, Known> {
        if self.subnets.is_empty() {
            let lack = self.lacks.get(&Site::Type(wish.clone()));
            return match lack.filter(|lack| now < lack.until) {
                Some(lack) => Err(lack.known.clone()),
                None => Ok(Route {
                    subnets: vec![None],
                    lack: None,
                }),
            };
        }
        let n = self.subnets.len();
        let in_turn = (0..n).filter_map(|step| self.subnets.get((self.start + step) % n));
        let (open, lacking): (Vec<_>, Vec<_>) =
            in_turn.partition(|subnet| self.lack(wish, subnet, now).is_none());
        let first_lack = lacking
            .first()
            .and_then(|subnet| self.lacking(wish, Some(subnet.as_str()), now));
        match first_lack {
            Some(known) if open.is_empty() => Err(known),
            lack => {
                let (last, first): (Vec<_>, Vec<_>) =
                    (open.into_iter()).partition(|subnet| self.is_shunned(wish, subnet, now));
                let subnets = first.into_iter().chain(last).cloned().map(Some).collect();
                Ok(Route { subnets, lack })
            }
        }
    }

    fn is_shunned(&self, wish: &Wish, subnet: &str, now: Time) -> bool {
        let sites = self.sites(wish, subnet);
        let mut ends = sites.iter().filter_map(|site| self.shunned.get(site));
        ends.any(|until| now < *until)
    }

    /// An instance was made there.
    pub(crate) fn worked(&mut self, wish: &Wish, subnet: Option<&str>) {
        let Some(subnet) = subnet else { return };
        if let Some(index) = self.index(subnet) {
            self.start = index;
        }
        for reach in [Reach::Subnet, Reach::Zone, Reach::TypeInZone] {
            let site = self.site(wish, subnet, reach);
            self.lacks.remove(&site);
            self.shunned.remove(&site);
            self.told.retain(|(refusing, _)| *refusing != site);
        }
    }

    /// Whether nobody has been told that creates are refused there with this code, since one worked there.
    pub(crate) fn is_news(&mut self, wish: &Wish, subnet: &str, reach: Reach, code: &str) -> bool {
        if self.told.len() >= TOLD_MOST {
            self.told.clear();
        }
        let site = self.site(wish, subnet, reach);
        self.told.insert((site, code.to_owned()))
    }

    /// A create was refused there.
    pub(crate) fn refused(
        &mut self,
        wish: &Wish,
        subnet: Option<&str>,
        reach: Reach,
        lacks: bool,
        message: &str,
        now: Time,
    ) {
        let Some(subnet) = subnet else { return };
        if !reach.is_local() {
            return;
        }
        if let Some(index) = self.index(subnet) {
            self.start = (index + 1) % self.subnets.len();
        }
        if lacks {
            self.note(self.site(wish, subnet, reach), LOCAL, message, now);
        }
    }

    /// An instance ended by itself. If it died while it was launched, a local reason counts like a refusal there, and,
    /// whatever the reason, a type of which several die one after the other is held. Where one was taken back is tried
    /// last for a while.
    pub(crate) fn died(&mut self, wish: &Wish, death: &Death<'_>, now: Time) {
        // While the zones are not known, lacks are kept by subnet.
        let subnet = death.subnet.filter(|subnet| self.index(subnet).is_some());
        let site = match (death.reach, subnet) {
            (Some(reach), Some(subnet)) => Some(self.site(wish, subnet, reach)),
            (Some(Reach::TypeInZone), None) => {
                Some(Site::TypeInZone(wish.clone(), death.zone.to_owned()))
            }
            (Some(Reach::Zone), None) => Some(Site::Zone(death.zone.to_owned())),
            _ => None,
        };
        let Some(launched) = death.launched else {
            self.shunned.retain(|_, until| now < *until);
            self.shunned.extend(site.map(|site| (site, now + PAUSE)));
            return;
        };
        if let Some(site) = site {
            self.note(site, LOCAL, death.why, now);
        }
        let deaths = self
            .deaths
            .entry(wish.clone())
            .or_insert(Deaths { times: 0, launched });
        deaths.times += 1;
        deaths.launched = deaths.launched.max(launched);
        if deaths.times >= DEATHS_MAX {
            let class = match &death.class {
                // So many of them are no chance: there is none to be had, whatever it is.
                CloudErrorClass::Transient | CloudErrorClass::RateLimited(_) => LOCAL,
                class => class.clone(),
            };
            self.note(Site::Type(wish.clone()), class, death.why, now);
        }
    }

    /// An instance of this type runs that was launched then. One that is older than the dead says nothing of what can
    /// be launched now.
    pub(crate) fn runs(&mut self, wish: &Wish, launched: i128) {
        let died = self.deaths.get(wish);
        if died.is_some_and(|deaths| deaths.launched < launched) {
            self.deaths.remove(wish);
            self.lacks.remove(&Site::Type(wish.clone()));
        }
    }

    /// All subnets have refused: the next create begins elsewhere, so that the errors of all are seen over time
    /// (facts E11).
    pub(crate) fn all_refused(&mut self) {
        if !self.subnets.is_empty() {
            self.start = (self.start + 1) % self.subnets.len();
        }
    }

    fn note(&mut self, site: Site, class: CloudErrorClass, message: &str, now: Time) {
        self.lacks.retain(|_, lack| now < lack.until + MEMORY);
        let lack = self.lacks.entry(site).or_insert(Lack {
            until: Time::ZERO,
            times: 0,
            known: Known {
                class: LOCAL,
                message: String::new(),
            },
        });
        // Calls that were under way together are refused together: that counts once.
        if lack.times == 0 || lack.until <= now {
            let pause = PAUSE.saturating_mul(1 << lack.times.min(4)).min(LONGEST);
            lack.times += 1;
            lack.until = now + pause;
        }
        message.clone_into(&mut lack.known.message);
        lack.known.class = class;
    }

    /// What is known to be lacking there now.
    pub(crate) fn lacking(&self, wish: &Wish, subnet: Option<&str>, now: Time) -> Option<Known> {
        self.lack(wish, subnet?, now).map(|lack| lack.known.clone())
    }

    fn lack(&self, wish: &Wish, subnet: &str, now: Time) -> Option<&Lack> {
        self.sites(wish, subnet)
            .iter()
            .filter_map(|site| self.lacks.get(site))
            .find(|lack| now < lack.until)
    }

    fn sites(&self, wish: &Wish, subnet: &str) -> [Site; 4] {
        [Reach::Subnet, Reach::Zone, Reach::TypeInZone, Reach::Type]
            .map(|reach| self.site(wish, subnet, reach))
    }

    fn site(&self, wish: &Wish, subnet: &str, reach: Reach) -> Site {
        let zone = self.zones.get(subnet).map_or(subnet, String::as_str);
        match reach {
            Reach::Zone => Site::Zone(zone.to_owned()),
            Reach::TypeInZone => Site::TypeInZone(wish.clone(), zone.to_owned()),
            Reach::Type => Site::Type(wish.clone()),
            _ => Site::Subnet(subnet.to_owned()),
        }
    }

    fn index(&self, subnet: &str) -> Option<usize> {
        self.subnets.iter().position(|known| known == subnet)
    }
}

#[cfg(test)]
mod tests;
