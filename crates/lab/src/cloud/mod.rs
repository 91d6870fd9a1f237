//! The cloud: instances that are ordered, listed, tagged and destroyed. Knows nothing of what runs on them.

mod call;
mod refusal;

use std::collections::BTreeMap;

use serde::Serialize;

pub use call::{CloudAnswer, CloudCall, Order};
pub use refusal::{Class, CloudRefusal, quota_group};

use crate::{
    luck::Luck,
    settings::InstanceType,
    time::{Now, rfc3339},
};

/// The cloud's own record of an instance.
#[derive(Clone, Debug)]
pub struct Instance {
    /// The cloud's name for it.
    pub id: String,
    /// Where it will be or is.
    pub address: String,
    /// From when on the cloud shows its address, ms.
    pub address_from: u64,
    /// From when on lists show it, ms.
    pub listed_from: u64,
    /// Until when lists show it, ms; none while it lives.
    pub listed_until: Option<u64>,
    /// Its type.
    pub instance_type: InstanceType,
    /// The image asked for.
    pub image_id: String,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
    /// What lists show where tag reads are stale, and until when (ms).
    pub stale_tags: Option<(BTreeMap<String, String>, u64)>,
    /// When it was ordered, ms.
    pub created_ms: u64,
    /// When it was ordered.
    pub created: jiff::Timestamp,
    /// Whether it is somebody else's.
    pub bystander: bool,
}

impl Instance {
    /// Whether it still costs money.
    pub fn alive(&self) -> bool {
        self.listed_until.is_none()
    }

    fn tags_shown(&self, now: Now) -> &BTreeMap<String, String> {
        match &self.stale_tags {
            Some((tags, until)) if now.ms < *until => tags,
            _ => &self.tags,
        }
    }

    fn listed(&self, now: Now) -> bool {
        self.listed_from <= now.ms && self.listed_until.is_none_or(|until| now.ms < until)
    }

    /// As the cloud describes it.
    pub fn described(&self, now: Now) -> InstanceText {
        let pending = now.ms < self.address_from;
        InstanceText {
            id: self.id.clone(),
            address: if pending {
                String::new()
            } else {
                self.address.clone()
            },
            provider_type: self.instance_type.provider_type.clone(),
            image_id: self.image_id.clone(),
            preemptible: self.instance_type.preemptible,
            state: match (self.alive(), pending) {
                (false, _) => "shutting-down",
                (true, true) => "pending",
                (true, false) => "running",
            },
            launched_at: rfc3339(self.created),
            tags: self.tags_shown(now).clone(),
        }
    }
}

/// An instance as the cloud describes it.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct InstanceText {
    /// The cloud's name for it.
    pub id: String,
    /// host:port, or "".
    pub address: String,
    /// The cloud's name of its type.
    pub provider_type: String,
    /// The image asked for.
    pub image_id: String,
    /// Whether it is a spot instance.
    pub preemptible: bool,
    /// pending, running or shutting-down.
    pub state: &'static str,
    /// RFC 3339.
    pub launched_at: String,
    /// All its tags.
    pub tags: BTreeMap<String, String>,
}

/// The account.
pub struct Cloud {
    net: [u8; 2],
    port: u16,
    instances: BTreeMap<String, Instance>,
    by_client_token: BTreeMap<String, String>,
    last_create_ms: Option<u64>,
    last_list_ms: Option<u64>,
    ordered: u32,
    luck: Luck,
}

impl Cloud {
    /// An empty account.
    pub fn new(net: [u8; 2], port: u16, luck: Luck) -> Cloud {
        Cloud {
            net,
            port,
            instances: BTreeMap::new(),
            by_client_token: BTreeMap::new(),
            last_create_ms: None,
            last_list_ms: None,
            ordered: 0,
            luck,
        }
    }

    /// All instances ever ordered whose lists may still matter, by id.
    pub fn instances(&self) -> &BTreeMap<String, Instance> {
        &self.instances
    }

    /// One instance that is alive.
    pub fn alive(&self, id: &str) -> Option<&Instance> {
        self.instances.get(id).filter(|instance| instance.alive())
    }

    pub(crate) fn instance_mut(&mut self, id: &str) -> Option<&mut Instance> {
        self.instances.get_mut(id)
    }

    /// Whether `create` (or `list`) is called too fast; if so, for how long to wait, ms.
    pub(crate) fn too_fast(&mut self, list: bool, min_ms: u64, now: Now) -> Option<u64> {
        let last = if list {
            &mut self.last_list_ms
        } else {
            &mut self.last_create_ms
        };
        let until = last.map_or(0, |last| last + min_ms);
        if now.ms < until {
            return Some(until - now.ms);
        }
        *last = Some(now.ms);
        None
    }

    /// The instance that an earlier order with this token made.
    pub fn by_token(&self, client_token: &str) -> Option<&Instance> {
        self.instances.get(self.by_client_token.get(client_token)?)
    }

    /// Makes an instance.
    pub(crate) fn make(
        &mut self,
        order: &Order,
        instance_type: InstanceType,
        address_after: u64,
        missing_for: u64,
        now: Now,
    ) -> Instance {
        self.ordered += 1;
        let n = self.ordered;
        // Some 60 000 addresses: none is used again while anybody remembers it.
        let [_, _, _, low] = n.to_be_bytes();
        let high = (n >> 8) % 250;
        let address = format!(
            "{}.{}.{}.{}:{}",
            self.net[0], self.net[1], high, low, self.port
        );
        let id = format!("i-{}{:05x}", self.luck.hex(12), n);
        if let Some(token) = &order.client_token {
            self.by_client_token.insert(token.clone(), id.clone());
        }
        let instance = Instance {
            id: id.clone(),
            address,
            address_from: now.ms + address_after,
            listed_from: now.ms + missing_for,
            listed_until: None,
            instance_type,
            image_id: order.image_id.clone(),
            tags: order.tags.clone(),
            stale_tags: None,
            created_ms: now.ms,
            created: now.wall,
            bystander: false,
        };
        self.instances.insert(id, instance.clone());
        instance
    }

    /// What a list shows.
    pub(crate) fn list(&self, tags: &BTreeMap<String, String>, now: Now) -> Vec<InstanceText> {
        self.instances
            .values()
            .filter(|instance| instance.listed(now))
            .map(|instance| instance.described(now))
            .filter(|shown| {
                tags.iter()
                    .all(|(key, value)| shown.tags.get(key) == Some(value))
            })
            .collect()
    }

    pub(crate) fn set_tags(
        &mut self,
        id: &str,
        tags: &BTreeMap<String, String>,
        stale_for: u64,
        now: Now,
    ) -> Result<(), CloudRefusal> {
        let Some(instance) = self
            .instances
            .get_mut(id)
            .filter(|instance| instance.alive())
        else {
            return Err(CloudRefusal::not_found(id));
        };
        if stale_for > 0 {
            instance.stale_tags = Some((instance.tags_shown(now).clone(), now.ms + stale_for));
        }
        instance.tags.extend(tags.clone());
        Ok(())
    }

    /// Ends an instance; it is still listed for a while. True if it was alive.
    pub(crate) fn end(&mut self, id: &str, listed_for: u64, now: Now) -> bool {
        match self
            .instances
            .get_mut(id)
            .filter(|instance| instance.alive())
        {
            Some(instance) => {
                instance.listed_until = Some(now.ms + listed_for);
                true
            }
            None => false,
        }
    }

    /// How many instances of this provider type and of this quota group are alive.
    pub(crate) fn in_use(&self, provider_type: &str, group: &str) -> (usize, usize) {
        let alive = || {
            self.instances
                .values()
                .filter(|instance| instance.alive() && !instance.bystander)
        };
        (
            alive()
                .filter(|i| i.instance_type.provider_type == provider_type)
                .count(),
            alive()
                .filter(|i| {
                    quota_group(&i.instance_type.provider_type, i.instance_type.preemptible)
                        == group
                })
                .count(),
        )
    }

    /// How many of ours are alive.
    pub fn count(&self) -> usize {
        self.instances
            .values()
            .filter(|instance| instance.alive() && !instance.bystander)
            .count()
    }
}
