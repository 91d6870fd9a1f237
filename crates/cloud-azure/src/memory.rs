//! What is remembered between calls. Nothing of it need survive a restart: names come from secrets, and lists are the
//! truth.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use dispatch_cloud::Ended;
use dispatch_model::Time;

#[cfg(feature = "sdk")]
use crate::rows::VmRow;
use crate::{
    garbage::{Place, Spared},
    watch::Watch,
};

/// For so long after it was made, Azure may not know a VM that it is asked for.
const FRESH: Duration = Duration::from_secs(120);
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
    /// VMs of which a delete was accepted and came to nothing.
    staying: BTreeSet<String>,
    /// By the lower-case name of the network interface.
    addresses: BTreeMap<String, String>,
    /// What was shown after the last whole list, by lower-case name; `None`: there was no whole list yet.
    #[cfg(feature = "sdk")]
    shown: Option<BTreeMap<String, VmRow>>,
    /// What was made since, or is so fresh that it may not have been on it.
    #[cfg(feature = "sdk")]
    made_since: BTreeMap<String, VmRow>,
    /// VMs that were seen well.
    well: BTreeSet<String>,
    /// VMs that failed before they came to be, which has been told.
    stillborn: BTreeSet<String>,
    /// What was odd in the last list.
    odd: BTreeSet<String>,
    /// What is told once.
    told: BTreeSet<String>,
    /// Network interfaces of creates of this process that have come to nothing, and could not be deleted.
    left_behind: BTreeSet<String>,
    /// VMs that Azure is deleting, and since when we know.
    going: BTreeMap<String, Time>,
    /// The garbage that was tried last.
    pub(crate) collected: Place,
    /// When VMs that had stopped answering were looked into.
    looked: BTreeMap<String, Time>,
    /// Somebody sees to these VMs.
    attended: BTreeSet<String>,
    creates_of_image: BTreeMap<String, usize>,
    /// Families of sizes that nobody has been told of.
    groups: BTreeMap<String, String>,
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
        forget(&mut self.made, FRESH, now);
        self.made.insert(vm.to_owned(), now);
    }

    /// Whether Azure may not know this VM yet, so that what it says of its absence counts for little.
    pub(crate) fn may_be_unknown(&self, vm: &str, now: Time) -> bool {
        let young = self.made.get(vm).is_some_and(|at| now.since(*at) < FRESH);
        young && !self.deleted.contains_key(vm)
    }

    /// For tests: time has passed since it was made.
    #[cfg(all(test, feature = "cloud-tests"))]
    pub(crate) fn is_old(&mut self, id: &dispatch_model::InstanceId) {
        self.made.remove(crate::places::name_in(id.as_str()));
    }

    /// The end of a VM was accepted and came to nothing.
    pub(crate) fn end_failed(&mut self, vm: &str) {
        self.deleted.remove(vm);
        self.going.remove(vm);
        if self.staying.len() < MOST {
            self.staying.insert(vm.to_owned());
        }
    }

    /// Whether its end was accepted less than this long ago, and none before came to nothing.
    pub(crate) fn is_ending(&self, vm: &str, within: Duration, now: Time) -> bool {
        let at = self.deleted.get(vm);
        at.is_some_and(|at| now.since(*at) < within) && !self.staying.contains(vm)
    }

    #[cfg(feature = "sdk")]
    pub(crate) fn is_deleted(&self, vm: &str) -> bool {
        self.deleted.contains_key(vm)
    }

    pub(crate) fn deleted(&mut self, vm: &str, now: Time) {
        forget(&mut self.deleted, KEPT, now);
        self.deleted.insert(vm.to_owned(), now);
    }

    /// What is odd in this list and was not in the last.
    pub(crate) fn odd_news(&mut self, odd: BTreeSet<String>) -> Vec<String> {
        let news = odd.difference(&self.odd).cloned().collect();
        self.odd = odd;
        news
    }

    /// Whether nobody has been told this yet; from now on somebody has.
    pub(crate) fn is_news(&mut self, what: &str) -> bool {
        if self.told.len() >= MOST {
            self.told.clear();
        }
        self.told.insert(what.to_owned())
    }

    /// This network interface may be left of a create.
    pub(crate) fn left_behind(&mut self, nic: &str) {
        if self.left_behind.len() < MOST {
            self.left_behind.insert(nic.to_owned());
        }
    }

    /// All such.
    pub(crate) fn all_left_behind(&self) -> Vec<String> {
        self.left_behind.iter().cloned().collect()
    }

    /// It is not there any more, or belongs to a VM.
    pub(crate) fn not_left_behind(&mut self, nic: &str) {
        self.left_behind.remove(nic);
    }

    /// Which of these VMs, all that Azure is deleting, have been deleted for longer than this: they hang.
    pub(crate) fn hanging(
        &mut self,
        going: &BTreeSet<&str>,
        longer_than: Duration,
        now: Time,
    ) -> BTreeSet<String> {
        self.going.retain(|vm, _| going.contains(vm.as_str()));
        for &vm in going {
            self.going.entry(vm.to_owned()).or_insert(now);
        }
        let hanging = self
            .going
            .iter()
            .filter(|(_, since)| now.since(**since) >= longer_than);
        hanging.map(|(vm, _)| vm.clone()).collect()
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

    /// What there is by a whole list: VMs, those of them that are well, and their network interfaces. The rest is forgotten.
    pub(crate) fn listed<'a>(
        &mut self,
        all: &BTreeSet<&str>,
        well: impl Iterator<Item = &'a str>,
        nics: &BTreeSet<&str>,
    ) {
        self.addresses.retain(|nic, _| nics.contains(nic.as_str()));
        self.stillborn.retain(|vm| all.contains(vm.as_str()));
        self.staying.retain(|vm| all.contains(vm.as_str()));
        self.well.retain(|vm| all.contains(vm.as_str()));
        self.well.extend(well.map(str::to_owned));
    }

    /// What is shown after a whole list.
    #[cfg(feature = "sdk")]
    pub(crate) fn shown(&mut self, rows: &[VmRow], now: Time) {
        let rows = rows
            .iter()
            .map(|row| (row.name.to_ascii_lowercase(), row.clone()));
        let shown: BTreeMap<String, VmRow> = rows.take(MOST).collect();
        // It may have been asked for before a VM was made.
        let mut made = std::mem::take(&mut self.made_since);
        made.retain(|name, row| {
            !shown.contains_key(name)
                && self.may_be_unknown(&row.name, now)
                && !self.is_stillborn(&row.name)
        });
        self.made_since = made;
        self.shown = Some(shown);
    }

    /// A VM that was made a moment ago.
    #[cfg(feature = "sdk")]
    pub(crate) fn made_row(&mut self, row: VmRow) {
        if self.made_since.len() < MOST {
            self.made_since.insert(row.name.to_ascii_lowercase(), row);
        }
    }

    /// It is gone, as Azure has it.
    #[cfg(feature = "sdk")]
    pub(crate) fn is_gone(&mut self, vm: &str) {
        let name = vm.to_ascii_lowercase();
        self.made_since.remove(&name);
        if let Some(shown) = &mut self.shown {
            shown.remove(&name);
        }
    }

    /// A VM as it was shown after the last whole list; `None`: it was not, or is known to be gone.
    #[cfg(feature = "sdk")]
    pub(crate) fn last_shown(&self, vm: &str) -> Option<VmRow> {
        let row = self.shown.as_ref()?.get(&vm.to_ascii_lowercase())?;
        self.is_there(row).then(|| row.clone())
    }

    /// What was shown after the last whole list or was made since, and is not among these. `None`: there was no whole list
    /// yet, so nobody knows.
    #[cfg(feature = "sdk")]
    pub(crate) fn unseen(&self, names: &BTreeSet<String>) -> Option<Vec<VmRow>> {
        let mut unseen = self.shown.clone()?;
        let made = self.made_since.iter();
        let made = made.filter(|(_, row)| !self.is_stillborn(&row.name));
        unseen.extend(made.map(|(name, row)| (name.clone(), row.clone())));
        unseen.retain(|name, row| !names.contains(name) && self.is_there(row));
        Some(unseen.into_values().collect())
    }

    /// Neither ended by us nor gone without our doing, as far as is known.
    #[cfg(feature = "sdk")]
    fn is_there(&self, row: &VmRow) -> bool {
        !self.is_deleted(&row.name) && !self.watch.is_told(&row.name)
    }

    /// Whether a create of this process made this VM.
    pub(crate) fn is_ours(&self, vm: &str) -> bool {
        self.sent.contains_key(vm)
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

    /// For tests: whether somebody sees to this VM, or to its end.
    #[cfg(all(test, feature = "cloud-tests"))]
    pub(crate) fn is_attended(&self, vm: &str) -> bool {
        self.attended.iter().any(|who| who.ends_with(vm))
    }

    /// Whether somebody sees to this.
    #[cfg(feature = "sdk")]
    pub(crate) fn is_seen_to(&self, what: &str) -> bool {
        self.attended.contains(what)
    }

    /// Whether nobody sees to this VM yet; from now on somebody does.
    pub(crate) fn attend(&mut self, vm: &str) -> bool {
        self.attended.len() < MOST && self.attended.insert(vm.to_owned())
    }

    pub(crate) fn leave(&mut self, vm: &str) {
        self.attended.remove(vm);
    }

    /// Counts one more create of the image, if the image takes one more (facts W23).
    pub(crate) fn create_begins(&mut self, image: &str) -> bool {
        let count = self.creates_of_image.entry(image.to_owned()).or_default();
        let takes_one = *count < CREATES_OF_IMAGE_MAX;
        if takes_one {
            *count += 1;
        }
        takes_one
    }

    pub(crate) fn create_ends(&mut self, image: &str) {
        if let Some(count) = self.creates_of_image.get_mut(image) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.creates_of_image.remove(image);
            }
        }
    }

    pub(crate) fn learn_groups(&mut self, groups: BTreeMap<String, String>) {
        self.groups = groups;
    }

    pub(crate) fn take_groups(&mut self) -> BTreeMap<String, String> {
        std::mem::take(&mut self.groups)
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
            assert!(memory.create_begins("i"));
        }
        assert!(!memory.create_begins("i") && memory.create_begins("j"));
        memory.create_ends("i");
        assert!(memory.create_begins("i") && !memory.create_begins("i"));
        for _ in 0..CREATES_OF_IMAGE_MAX {
            memory.create_ends("i");
        }
        assert!(!memory.creates_of_image.contains_key("i"));
    }

    #[test]
    fn what_is_odd_is_told_when_it_begins() {
        let mut memory = Memory::default();
        let odd = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        assert_eq!(memory.odd_news(odd(&["a", "b"])), ["a", "b"]);
        assert_eq!(memory.odd_news(odd(&["b", "c"])), ["c"]);
        assert_eq!(memory.odd_news(odd(&[])), [] as [&str; 0]);
        assert_eq!(memory.odd_news(odd(&["b"])), ["b"]);
    }

    #[test]
    fn a_vm_that_is_being_deleted_for_too_long_hangs_until_it_is_gone_or_well() {
        let mut memory = Memory::default();
        let mut at = |secs: u64, going: &[&str]| {
            let going = going.iter().copied().collect();
            let hanging = memory.hanging(&going, Duration::from_secs(900), Time::from_secs(secs));
            hanging.into_iter().collect::<Vec<_>>()
        };
        assert_eq!(at(0, &["a"]), [] as [&str; 0]);
        assert_eq!(at(899, &["a", "b"]), [] as [&str; 0]);
        assert_eq!(at(900, &["a", "b"]), ["a"]);
        assert_eq!(at(901, &["b"]), [] as [&str; 0]);
        assert_eq!(at(902, &["a", "b"]), [] as [&str; 0]);
    }

    #[test]
    fn a_vm_whose_end_was_accepted_is_ending_for_a_while_and_never_again_after_that_came_to_nothing()
     {
        let mut memory = Memory::default();
        let (at, within) = (Time::from_secs, Duration::from_secs(100));
        assert!(!memory.is_ending("vm", within, at(0)));
        memory.deleted("vm", at(0));
        assert!(memory.is_ending("vm", within, at(99)) && !memory.is_ending("vm", within, at(100)));
        memory.end_failed("vm");
        assert!(!memory.is_ending("vm", within, at(1)));
        memory.deleted("vm", at(1));
        assert!(!memory.is_ending("vm", within, at(1)));
        // A VM of that name is gone, and there may be another.
        memory.listed(&BTreeSet::new(), [].into_iter(), &BTreeSet::new());
        assert!(memory.is_ending("vm", within, at(1)));
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
