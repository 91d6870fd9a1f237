//! What must be remembered between calls: where a create of unknown outcome was sent, which instances are young, which
//! deaths have been told. Nothing of it need survive a restart.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use dispatch_cloud::Ended;
use dispatch_model::{InstanceId, InstanceSecret, Time};

use crate::prices::PriceKey;

/// EC2 may not know an instance for some minutes after it was made.
const YOUNG: Duration = Duration::from_secs(300);
/// EC2 remembers client tokens and shows terminated instances for about so long.
const KEPT: Duration = Duration::from_secs(3600);
/// More than this of anything is not kept.
const MOST: usize = 20_000;

/// The memory.
#[derive(Default, Debug)]
pub(crate) struct Memory {
    /// To which subnet the create with this secret was sent.
    sent: BTreeMap<InstanceSecret, (Option<String>, Time)>,
    made: BTreeMap<InstanceId, Time>,
    /// What we ended ourselves, so that its end is no news.
    destroyed: BTreeMap<InstanceId, Time>,
    /// Ends that have been told.
    told: BTreeSet<InstanceId>,
    /// Ends that wait to be asked for, the oldest first.
    ended: VecDeque<Ended>,
    /// The instances that ran in the last list.
    running: BTreeSet<InstanceId>,
    /// The spot instances of the last list.
    spot: BTreeMap<InstanceId, PriceKey>,
    zones_asked_at: Option<Time>,
}

impl Memory {
    /// Where a create with this secret was sent whose outcome may be unknown: EC2 knows client tokens by zone, so it
    /// must be repeated there and nowhere else.
    pub(crate) fn sent_to(&self, secret: &InstanceSecret) -> Option<Option<String>> {
        self.sent.get(secret).map(|(subnet, _)| subnet.clone())
    }

    pub(crate) fn sending(&mut self, secret: &InstanceSecret, subnet: Option<&str>, now: Time) {
        if self.sent.len() >= MOST {
            self.sent.retain(|_, (_, at)| now.since(*at) < KEPT);
        }
        if self.sent.len() < MOST {
            self.sent
                .insert(secret.clone(), (subnet.map(str::to_owned), now));
        }
    }

    /// EC2 has refused the create for certain.
    pub(crate) fn refused(&mut self, secret: &InstanceSecret) {
        self.sent.remove(secret);
    }

    pub(crate) fn made(&mut self, id: &InstanceId, now: Time) {
        self.made.retain(|_, at| now.since(*at) < YOUNG);
        self.made.insert(id.clone(), now);
    }

    pub(crate) fn is_young(&self, id: &InstanceId, now: Time) -> bool {
        self.made.get(id).is_some_and(|at| now.since(*at) < YOUNG)
    }

    pub(crate) fn destroyed(&mut self, id: &InstanceId, now: Time) {
        if self.destroyed.len() >= MOST {
            self.destroyed.retain(|_, at| now.since(*at) < KEPT);
        }
        if self.destroyed.len() < MOST {
            self.destroyed.insert(id.clone(), now);
        }
    }

    pub(crate) fn is_our_doing(&self, id: &InstanceId) -> bool {
        self.destroyed.contains_key(id)
    }

    /// Keeps the news of an end for whoever asks; if nobody does, the oldest go.
    pub(crate) fn ended(&mut self, end: Ended) {
        if self.ended.len() >= MOST {
            self.ended.pop_front();
        }
        self.ended.push_back(end);
    }

    pub(crate) fn take_ended(&mut self) -> Vec<Ended> {
        std::mem::take(&mut self.ended).into()
    }

    /// The instances that a list has shown to run.
    pub(crate) fn running_shown(&mut self, running: BTreeSet<InstanceId>) {
        self.running = running;
    }

    pub(crate) fn ran(&self, id: &InstanceId) -> bool {
        self.running.contains(id)
    }

    /// The spot instances that a list has shown.
    pub(crate) fn spot_shown(&mut self, spot: BTreeMap<InstanceId, PriceKey>) {
        self.spot = spot;
    }

    pub(crate) fn price_key(&self, id: &InstanceId) -> Option<&PriceKey> {
        self.spot.get(id)
    }

    /// Whether this death is news.
    pub(crate) fn is_news(&mut self, id: &InstanceId) -> bool {
        if self.told.len() >= MOST {
            self.told.clear();
        }
        self.told.insert(id.clone())
    }

    /// What lists do not show any more need not be remembered.
    pub(crate) fn dead_shown(&mut self, shown: &BTreeSet<InstanceId>) {
        self.told.retain(|id| shown.contains(id));
    }

    /// Whether to ask for the zones of the subnets: at first, and again some time after it failed.
    pub(crate) fn asks_for_zones(&mut self, now: Time) -> bool {
        let due = self.zones_asked_at.is_none_or(|at| now.since(at) >= KEPT);
        if due {
            self.zones_asked_at = Some(now);
        }
        due
    }
}
