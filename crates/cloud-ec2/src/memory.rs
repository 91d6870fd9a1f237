//! What must be remembered between calls: where a create of unknown outcome was sent, which instances are young, which
//! deaths have been told. Nothing of it need survive a restart.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use dispatch_cloud::{Ended, Instance, Tags};
use dispatch_model::{InstanceId, InstanceSecret, Time};

use crate::prices::PriceKey;

/// EC2 may not know an instance for some minutes after it was made: it advises to go on asking for up to five (EC2's
/// developer guide, "Eventual consistency"). This is about calls that name an instance; for how long lists may lack a
/// fresh one is the pool's to decide (facts K15), which adopts what appears later still.
pub(crate) const UNKNOWN_AT_MOST: Duration = Duration::from_secs(300);
/// EC2 remembers client tokens and shows terminated instances for about so long.
const KEPT: Duration = Duration::from_secs(3600);
/// What failed in passing is tried again after so long.
const SOON: Duration = Duration::from_secs(60);
/// More than this of anything is not kept.
const MOST: usize = 20_000;

/// The memory.
#[derive(Default, Debug)]
pub(crate) struct Memory {
    /// The creates that may have made something, by their secrets.
    sent: BTreeMap<InstanceSecret, Sent>,
    /// The instances that were made or shown, and until when each is young.
    young_until: BTreeMap<InstanceId, Time>,
    /// What we ended ourselves, so that its end is no news; since when, and whether EC2 has agreed.
    destroyed: BTreeMap<InstanceId, (Time, bool)>,
    /// The instances that a list has shown alive, as the last one did; since when lists omit it.
    alive: BTreeMap<InstanceId, (Instance, Option<Time>)>,
    /// Ends that have been told.
    told: BTreeSet<InstanceId>,
    /// Ends that wait to be asked for, the oldest first.
    ended: VecDeque<Ended>,
    /// The instances that a list has shown to run, and when one did last.
    ran: BTreeMap<InstanceId, Time>,
    /// The instances that are going, and no list has said why yet.
    silent: BTreeSet<InstanceId>,
    /// The spot instances of the last list.
    spot: BTreeMap<InstanceId, PriceKey>,
    /// The provider types that were ordered or listed, and of them those whose quota groups nobody has asked for yet.
    types: BTreeSet<String>,
    new_types: BTreeSet<String>,
    /// The images of which it has been told that they leave volumes behind.
    leaving: BTreeSet<String>,
    ask_for_zones_at: Time,
}

/// A create that was sent.
#[derive(Debug)]
struct Sent {
    subnet: Option<String>,
    at: Time,
    /// When the last call was given up whose outcome is not known.
    doubted_at: Option<Time>,
}

impl Memory {
    /// Where a create with this secret was sent whose outcome may be unknown: EC2 knows client tokens by zone, so it
    /// must be repeated there and nowhere else.
    pub(crate) fn sent_to(&self, secret: &InstanceSecret) -> Option<Option<String>> {
        self.sent.get(secret).map(|sent| sent.subnet.clone())
    }

    /// Since when nobody knows what a create with this secret has made.
    pub(crate) fn in_doubt_since(&self, secret: &InstanceSecret) -> Option<Time> {
        let sent = self.sent.get(secret)?;
        Some(sent.doubted_at.unwrap_or(sent.at))
    }

    pub(crate) fn sending(&mut self, secret: &InstanceSecret, subnet: Option<&str>, now: Time) {
        if self.sent.len() >= MOST {
            self.sent.retain(|_, sent| now.since(sent.at) < KEPT);
        }
        if self.sent.len() < MOST {
            let sent = Sent {
                subnet: subnet.map(str::to_owned),
                at: now,
                doubted_at: self.in_doubt_since(secret),
            };
            self.sent.insert(secret.clone(), sent);
        }
    }

    /// The call that was sent last has been given up, and nobody knows its outcome.
    pub(crate) fn doubted(&mut self, secret: &InstanceSecret, now: Time) {
        if let Some(sent) = self.sent.get_mut(secret) {
            sent.doubted_at = Some(now);
        }
    }

    /// EC2 has refused the create for certain.
    pub(crate) fn refused(&mut self, secret: &InstanceSecret) {
        self.sent.remove(secret);
    }

    /// This instance is so old; what is known of it already stays.
    pub(crate) fn aged(&mut self, id: &InstanceId, age: Duration, now: Time) {
        let until = now + UNKNOWN_AT_MOST.saturating_sub(age);
        self.young_until.entry(id.clone()).or_insert(until);
    }

    pub(crate) fn is_young(&self, id: &InstanceId, now: Time) -> bool {
        self.young_until.get(id).is_some_and(|until| now < *until)
    }

    /// Whether this process has made it, or has seen it alive.
    pub(crate) fn has_known(&self, id: &InstanceId) -> bool {
        self.young_until.contains_key(id)
    }

    /// Whether no list before has shown that this instance is going, and not why.
    pub(crate) fn is_first_silence(&mut self, id: &InstanceId) -> bool {
        self.silent.insert(id.clone())
    }

    pub(crate) fn was_silent(&self, id: &InstanceId) -> bool {
        self.silent.contains(id)
    }

    pub(crate) fn destroyed(&mut self, id: &InstanceId, now: Time) {
        if self.destroyed.len() >= MOST {
            self.destroyed.retain(|_, (at, _)| now.since(*at) < KEPT);
        }
        if self.destroyed.len() < MOST {
            let agreed = self.destroyed.get(id).is_some_and(|(_, agreed)| *agreed);
            self.destroyed.insert(id.clone(), (now, agreed));
        }
    }

    /// EC2 has agreed to end it: from now on, that lists omit it means that it is gone.
    pub(crate) fn ends(&mut self, id: &InstanceId) {
        self.alive.remove(id);
        if let Some((_, agreed)) = self.destroyed.get_mut(id) {
            *agreed = true;
        }
    }

    pub(crate) fn is_our_doing(&self, id: &InstanceId) -> bool {
        self.destroyed.contains_key(id)
    }

    /// EC2 shows it alive.
    pub(crate) fn shown_alive(&mut self, instance: &Instance, omitted_since: Option<Time>) {
        let ends = self.destroyed.get(&instance.id);
        if self.alive.len() < MOST && !ends.is_some_and(|(_, agreed)| *agreed) {
            let known = (instance.clone(), omitted_since);
            self.alive.insert(instance.id.clone(), known);
        }
    }

    /// It is not alive, or none of ours.
    pub(crate) fn shown_gone(&mut self, id: &InstanceId) {
        self.alive.remove(id);
    }

    /// What a list of these tags, which has just shown these instances, omits although it was alive; since when, the
    /// longest first.
    pub(crate) fn omitted(
        &mut self,
        tags: &Tags,
        shown: &BTreeSet<InstanceId>,
        now: Time,
    ) -> Vec<(Instance, Time)> {
        let mut omitted: Vec<(Instance, Time)> = (self.alive.iter_mut())
            .filter(|(id, (instance, _))| !shown.contains(*id) && has(instance, tags))
            .map(|(_, (instance, since))| (instance.clone(), *since.get_or_insert(now)))
            .collect();
        omitted.sort_by_key(|(_, since)| *since);
        omitted
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

    /// This instance runs.
    pub(crate) fn runs(&mut self, id: InstanceId, now: Time) {
        self.ran.insert(id, now);
    }

    /// Whether it was ever shown to run.
    pub(crate) fn ran(&self, id: &InstanceId) -> bool {
        self.ran.contains_key(id)
    }

    /// The spot instances that a list has shown.
    pub(crate) fn spot_shown(&mut self, spot: BTreeMap<InstanceId, PriceKey>) {
        self.spot = spot;
    }

    pub(crate) fn price_key(&self, id: &InstanceId) -> Option<&PriceKey> {
        self.spot.get(id)
    }

    /// This provider type was ordered or listed.
    pub(crate) fn met(&mut self, provider_type: &str) {
        if self.types.len() < MOST && self.types.insert(provider_type.to_owned()) {
            self.new_types.insert(provider_type.to_owned());
        }
    }

    pub(crate) fn take_new_types(&mut self) -> BTreeSet<String> {
        std::mem::take(&mut self.new_types)
    }

    /// Whether nobody has been told yet that instances of this image leave volumes behind.
    pub(crate) fn is_first_to_leave(&mut self, image: &str) -> bool {
        self.leaving.len() < MOST && self.leaving.insert(image.to_owned())
    }

    /// Whether this death is news.
    pub(crate) fn is_news(&mut self, id: &InstanceId) -> bool {
        if self.told.len() >= MOST {
            self.told.clear();
        }
        self.told.insert(id.clone())
    }

    /// What lists do not show any more need not be remembered.
    pub(crate) fn shown(&mut self, shown: &BTreeSet<InstanceId>, now: Time) {
        self.told.retain(|id| shown.contains(id));
        self.silent.retain(|id| shown.contains(id));
        self.ran
            .retain(|id, at| shown.contains(id) || now.since(*at) < KEPT);
        self.young_until
            .retain(|id, until| shown.contains(id) || now < *until);
    }

    /// Whether to ask for the zones of the subnets: at first, and again some time after it failed.
    pub(crate) fn asks_for_zones(&mut self, now: Time) -> bool {
        let due = now >= self.ask_for_zones_at;
        if due {
            self.ask_for_zones_at = now + KEPT;
        }
        due
    }

    /// It failed in a way that may pass.
    pub(crate) fn asks_for_zones_soon(&mut self, now: Time) {
        self.ask_for_zones_at = now + SOON;
    }
}

/// Whether a list of these tags shows it.
pub(crate) fn has(instance: &Instance, tags: &Tags) -> bool {
    let mut tags = tags.iter();
    tags.all(|(key, value)| instance.tags.get(key) == Some(value))
}
