//! What is remembered between calls. Nothing of it need survive a restart: names come from secrets, and lists are the
//! truth.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use dispatch_cloud::Ended;
use dispatch_model::Time;

use crate::{garbage::Spared, watch::Watch};

/// For so long Azure may not know a VM everywhere.
const YOUNG: Duration = Duration::from_secs(120);
/// Nobody repeats a create after this.
const KEPT: Duration = Duration::from_secs(3600);
/// More than this of anything is not kept.
const MOST: usize = 20_000;
/// A managed image takes so many creates at a time (facts W23).
const CREATES_OF_IMAGE_MAX: usize = 20;

/// The memory. VMs are called by their names.
#[derive(Default, Debug)]
pub(crate) struct Memory {
    pub(crate) spared: Spared,
    pub(crate) watch: Watch,
    /// Creates that were sent and have not been refused.
    sent: BTreeMap<String, Time>,
    /// Creates that were accepted.
    made: BTreeMap<String, Time>,
    /// Deletes that were accepted.
    deleted: BTreeMap<String, Time>,
    /// By the lower-case name of the network interface.
    addresses: BTreeMap<String, String>,
    /// VMs that were seen well.
    well: BTreeSet<String>,
    /// VMs that failed before they came to be; they are as good as gone.
    stillborn: BTreeSet<String>,
    /// How many rows of the last list were odd.
    n_odd: usize,
    /// When VMs that had stopped answering were looked into.
    looked: BTreeMap<String, Time>,
    /// Somebody sees to these VMs.
    attended: BTreeSet<String>,
    creates_of_image: BTreeMap<String, usize>,
    ended: Vec<Ended>,
}

impl Memory {
    /// Whether a create of this VM was sent whose outcome may be unknown; from now on one is.
    pub(crate) fn sending(&mut self, vm: &str, now: Time) -> bool {
        forget(&mut self.sent, KEPT, now);
        self.sent.insert(vm.to_owned(), now).is_some()
    }

    /// Azure has refused the create for certain.
    pub(crate) fn refused(&mut self, vm: &str) {
        self.sent.remove(vm);
    }

    pub(crate) fn made(&mut self, vm: &str, now: Time) {
        forget(&mut self.made, YOUNG, now);
        self.made.insert(vm.to_owned(), now);
    }

    /// Whether Azure may not know this VM yet, so that what it says of its absence counts for little.
    pub(crate) fn may_be_unknown(&self, vm: &str, now: Time) -> bool {
        let young = self.made.get(vm).is_some_and(|at| now.since(*at) < YOUNG);
        young && !self.deleted.contains_key(vm)
    }

    /// For tests: time has passed since it was made.
    #[cfg(test)]
    pub(crate) fn is_old(&mut self, id: &dispatch_model::InstanceId) {
        self.made.remove(crate::places::name_in(id.as_str()));
    }

    pub(crate) fn deleted(&mut self, vm: &str, now: Time) {
        forget(&mut self.deleted, KEPT, now);
        self.deleted.insert(vm.to_owned(), now);
    }

    /// The last list had so many odd rows; whether that is news.
    pub(crate) fn n_odd_is_news(&mut self, n_odd: usize) -> bool {
        std::mem::replace(&mut self.n_odd, n_odd) != n_odd
    }

    /// Whether it is time to look into a VM that does not answer; from now on it is not.
    pub(crate) fn may_look(&mut self, vm: &str, every: Duration, now: Time) -> bool {
        let due = (self.looked.get(vm)).is_none_or(|at| now.since(*at) >= every);
        if due {
            forget(&mut self.looked, every, now);
            self.looked.insert(vm.to_owned(), now);
        }
        due
    }

    pub(crate) fn address(&self, nic: &str) -> Option<&String> {
        self.addresses.get(nic)
    }

    pub(crate) fn learn_addresses(&mut self, found: impl Iterator<Item = (String, String)>) {
        for (nic, address) in found {
            if !address.is_empty() && self.addresses.len() < MOST {
                self.addresses.insert(nic, address);
            }
        }
    }

    /// What a whole list shows: VMs, those of them that are well, and their network interfaces. The rest is forgotten.
    pub(crate) fn listed<'a>(
        &mut self,
        all: &BTreeSet<&str>,
        well: impl Iterator<Item = &'a str>,
        nics: &BTreeSet<&str>,
    ) {
        self.addresses.retain(|nic, _| nics.contains(nic.as_str()));
        self.stillborn.retain(|vm| all.contains(vm.as_str()));
        self.well.retain(|vm| all.contains(vm.as_str()));
        self.well.extend(well.map(str::to_owned));
    }

    pub(crate) fn was_well(&self, vm: &str) -> bool {
        self.well.contains(vm)
    }

    pub(crate) fn is_stillborn(&self, vm: &str) -> bool {
        self.stillborn.contains(vm)
    }

    /// This one never came to be; whether that is news.
    pub(crate) fn stillborn(&mut self, vm: &str) -> bool {
        self.stillborn.insert(vm.to_owned())
    }

    /// Whether nobody sees to this VM yet; from now on somebody does.
    pub(crate) fn attend(&mut self, vm: &str) -> bool {
        self.attended.len() < MOST && self.attended.insert(vm.to_owned())
    }

    pub(crate) fn leave(&mut self, vm: &str) {
        self.attended.remove(vm);
    }

    /// Whether the image takes one more create (facts W23).
    pub(crate) fn image_takes_one(&self, image: &str) -> bool {
        self.creates_of_image
            .get(image)
            .is_none_or(|count| *count < CREATES_OF_IMAGE_MAX)
    }

    pub(crate) fn create_begins(&mut self, image: &str) {
        *self.creates_of_image.entry(image.to_owned()).or_default() += 1;
    }

    pub(crate) fn create_ends(&mut self, image: &str) {
        if let Some(count) = self.creates_of_image.get_mut(image) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.creates_of_image.remove(image);
            }
        }
    }

    pub(crate) fn tell(&mut self, ended: Ended) {
        if self.ended.len() < MOST {
            self.ended.push(ended);
        }
    }

    pub(crate) fn take_ended(&mut self) -> Vec<Ended> {
        std::mem::take(&mut self.ended)
    }
}

fn forget(map: &mut BTreeMap<String, Time>, after: Duration, now: Time) {
    if map.len() >= MOST {
        map.retain(|_, at| now.since(*at) < after);
    }
    while map.len() >= MOST {
        map.pop_first();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn w23_a_managed_image_takes_twenty_creates_at_a_time() {
        let mut memory = Memory::default();
        for _ in 0..CREATES_OF_IMAGE_MAX {
            assert!(memory.image_takes_one("i"));
            memory.create_begins("i");
        }
        assert!(!memory.image_takes_one("i") && memory.image_takes_one("j"));
        memory.create_ends("i");
        assert!(memory.image_takes_one("i"));
    }

    #[test]
    fn a_fresh_vm_may_be_unknown_until_its_delete_was_accepted() {
        let mut memory = Memory::default();
        let at = Time::from_secs;
        memory.made("vm", at(0));
        assert!(memory.may_be_unknown("vm", at(119)));
        assert!(!memory.may_be_unknown("vm", at(120)) && !memory.may_be_unknown("other", at(0)));
        memory.deleted("vm", at(1));
        assert!(!memory.may_be_unknown("vm", at(2)));
        assert!(!memory.sending("vm", at(3)) && memory.sending("vm", at(4)));
        memory.refused("vm");
        assert!(!memory.sending("vm", at(5)));
    }
}
