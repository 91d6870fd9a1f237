//! What is left behind and may go (facts A3, A4, K27): decides from lists, names, tags and ages. Pure.
//!
//! Network interfaces and OS disks go with their VM (`deleteOption: Delete`). What this finds is the rest: network
//! interfaces of VMs that were never made, disks of VMs that never came up, and what the Go dispatcher left.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use dispatch_cloud::Tags;
use dispatch_model::Time;

/// The ages that count. In life: [`Ages::IN_LIFE`].
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Ages {
    /// How long a create may take, from the first PUT to the VM's being listed: nothing younger is touched, whatever
    /// `DeleteDanglingResourcesAfter` says, whose 20 s would take the network interface from a create in flight.
    pub(crate) create_deadline: Duration,
    /// For how long a failed create keeps its network interface reserved (NicReservedForAnotherVm).
    pub(crate) reserved: Duration,
    /// How often to look.
    pub(crate) every: Duration,
}

impl Ages {
    pub(crate) const IN_LIFE: Ages = Ages {
        create_deadline: Duration::from_secs(600),
        reserved: Duration::from_secs(180),
        every: Duration::from_secs(300),
    };

    /// So many times shorter than in life.
    pub(crate) fn scaled(scale: u32) -> Ages {
        let life = Ages::IN_LIFE;
        Ages {
            create_deadline: life.create_deadline / scale,
            reserved: life.reserved / scale,
            every: life.every / scale,
        }
    }
}

/// A network interface, as lists show it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Nic {
    pub(crate) name: String,
    pub(crate) tags: Tags,
    /// Whether it belongs to a VM.
    pub(crate) attached: bool,
}

/// A disk, as lists show it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Disk {
    pub(crate) name: String,
    pub(crate) tags: Tags,
    pub(crate) unattached: bool,
    pub(crate) created: Option<jiff::Timestamp>,
}

/// What may go.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Garbage {
    pub(crate) nics: Vec<String>,
    pub(crate) disks: Vec<String>,
}

/// What was tried last, for each kind by itself: there may be many of one and few of the other.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Place {
    nic: String,
    disk: String,
}

impl Place {
    /// Where the next round begins, after this one.
    pub(crate) fn go_on(&mut self, round: &[(Kind, String)]) {
        for (kind, name) in round {
            match kind {
                Kind::Nic => self.nic.clone_from(name),
                Kind::Disk => self.disk.clone_from(name),
            }
        }
    }
}

/// What may go, one of each kind in turn, beginning after the one of its kind that was tried last: whatever cannot be
/// deleted keeps none of the others from their turn.
pub(crate) fn round(garbage: &Garbage, most: usize, after: &Place) -> Vec<(Kind, String)> {
    let mut nics = garbage.nics.clone();
    let mut disks = garbage.disks.clone();
    for (names, after) in [(&mut nics, &after.nic), (&mut disks, &after.disk)] {
        names.sort();
        let start = names.partition_point(|name| name <= after);
        let start = if start == names.len() { 0 } else { start };
        names.rotate_left(start);
    }
    let (mut nics, mut disks) = (nics.into_iter(), disks.into_iter());
    let mut round = Vec::new();
    loop {
        let before = round.len();
        round.extend(nics.next().map(|name| (Kind::Nic, name)));
        round.extend(disks.next().map(|name| (Kind::Disk, name)));
        if round.len() == before || round.len() >= most {
            round.truncate(most);
            return round;
        }
    }
}

/// What kind of garbage.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Nic,
    Disk,
}

/// Whose garbage, and how old it must be.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Rule {
    /// What our names begin with.
    pub(crate) prefix: String,
    /// The tag that says whose something is, and our value of it.
    pub(crate) owner: (String, String),
    /// `DeleteDanglingResourcesAfter`.
    pub(crate) dangling_after: Duration,
    pub(crate) ages: Ages,
}

/// The tag with the time of creation that network interfaces carry: Azure does not tell (facts §2.3).
pub(crate) const CREATED_AT: &str = "created-at";

impl Rule {
    /// `vms`: the names of all VMs that are listed. `now`: the cloud's wall clock.
    pub(crate) fn garbage(
        &self,
        nics: &[Nic],
        disks: &[Disk],
        vms: &BTreeSet<String>,
        memory: &Spared,
        now: jiff::Timestamp,
        time: Time,
    ) -> Garbage {
        let nics = nics.iter().filter(|nic| {
            let created = nic.tags.get(CREATED_AT).and_then(|text| text.parse().ok());
            // Without a date nobody knows its age; it has our name but may be somebody's work of this minute.
            !nic.attached
                && self.is_ours(&nic.tags, true)
                && self.is_old(created, now)
                && self.vm_of(&nic.name, "-nic").is_some_and(|vm| {
                    !vms.contains(vm) && !memory.spares(vm, &nic.name, self.ages, time)
                })
        });
        let disks = disks.iter().filter(|disk| {
            disk.unattached
                && self.is_ours(&disk.tags, false)
                && self.is_old(disk.created, now)
                && self.vm_of(&disk.name, "-os").is_some_and(|vm| {
                    !vms.contains(vm) && !memory.spares(vm, &disk.name, self.ages, time)
                })
        });
        Garbage {
            nics: nics.map(|nic| nic.name.clone()).collect(),
            disks: disks.map(|disk| disk.name.clone()).collect(),
        }
    }

    /// The name of the VM that something of this name belongs to.
    fn vm_of<'a>(&self, name: &'a str, suffix: &str) -> Option<&'a str> {
        let vm = name.strip_suffix(suffix)?;
        self.names_vm(vm).then_some(vm)
    }

    /// Whether this is the name of a VM of ours. Another set's prefix may begin with ours.
    pub(crate) fn names_vm(&self, name: &str) -> bool {
        let unique = name.strip_prefix(self.prefix.as_str());
        unique.is_some_and(|unique| !unique.is_empty() && !unique.contains('-'))
    }

    /// Azure gives disks no tags of their VM, so a disk without the tag is known by its name alone.
    fn is_ours(&self, tags: &Tags, must_be_tagged: bool) -> bool {
        match tags.get(&self.owner.0) {
            Some(value) => *value == self.owner.1,
            None => !must_be_tagged,
        }
    }

    fn is_old(&self, created: Option<jiff::Timestamp>, now: jiff::Timestamp) -> bool {
        let Some(created) = created else {
            return false;
        };
        let age = Duration::try_from(now.duration_since(created)).unwrap_or_default();
        age >= self.dangling_after.max(self.ages.create_deadline)
    }
}

/// What must not go although it looks like it: creates in flight, and what Azure has just refused to let go.
#[derive(Clone, PartialEq, Debug, Default)]
pub(crate) struct Spared {
    /// VMs whose create is in flight, and how many calls are about them.
    in_flight: BTreeMap<String, u32>,
    /// Names that are reserved, and since when we know.
    reserved: BTreeMap<String, Time>,
}

impl Spared {
    pub(crate) fn begin(&mut self, vm: &str) {
        *self.in_flight.entry(vm.to_owned()).or_default() += 1;
    }

    pub(crate) fn end(&mut self, vm: &str) {
        if let Some(count) = self.in_flight.get_mut(vm) {
            *count -= 1;
            if *count == 0 {
                self.in_flight.remove(vm);
            }
        }
    }

    #[cfg(test)]
    pub(crate) fn is_in_flight(&self, vm: &str) -> bool {
        self.in_flight.contains_key(vm)
    }

    /// Azure keeps this for a VM that failed.
    pub(crate) fn is_reserved(&mut self, name: &str, ages: Ages, now: Time) {
        self.reserved
            .retain(|_, since| now.since(*since) < ages.reserved);
        self.reserved.insert(name.to_owned(), now);
    }

    fn spares(&self, vm: &str, name: &str, ages: Ages, now: Time) -> bool {
        self.in_flight.contains_key(vm)
            || self
                .reserved
                .get(name)
                .is_some_and(|since| now.since(*since) < ages.reserved)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PREFIX: &str = "compute-zzzzz-";
    const NOW: &str = "2026-11-22T12:00:00Z";

    fn rule(dangling_secs: u64) -> Rule {
        Rule {
            prefix: PREFIX.to_owned(),
            owner: ("ArvadosInstanceSetID".to_owned(), "zzzzz".to_owned()),
            dangling_after: Duration::from_secs(dangling_secs),
            ages: Ages::IN_LIFE,
        }
    }

    fn nic(name: &str, secs_old: i64) -> Nic {
        let created = now() - jiff::SignedDuration::from_secs(secs_old);
        Nic {
            name: name.to_owned(),
            tags: [
                ("ArvadosInstanceSetID".to_owned(), "zzzzz".to_owned()),
                (CREATED_AT.to_owned(), created.to_string()),
            ]
            .into(),
            attached: false,
        }
    }

    fn disk(name: &str, secs_old: i64) -> Disk {
        Disk {
            name: name.to_owned(),
            tags: Tags::new(),
            unattached: true,
            created: Some(now() - jiff::SignedDuration::from_secs(secs_old)),
        }
    }

    fn now() -> jiff::Timestamp {
        NOW.parse().expect("a time")
    }

    fn found(
        nics: &[Nic],
        disks: &[Disk],
        vms: &[&str],
        spared: &Spared,
        time: Time,
    ) -> Vec<String> {
        let vms = vms.iter().map(|&name| name.to_owned()).collect();
        let garbage = rule(20).garbage(nics, disks, &vms, spared, now(), time);
        garbage.nics.into_iter().chain(garbage.disks).collect()
    }

    const OLD: i64 = 601;

    #[test]
    fn a4_what_has_our_name_and_tag_and_is_old_and_belongs_to_no_vm_goes() {
        let spared = Spared::default();
        let nics = [
            nic("compute-zzzzz-a-nic", OLD),
            nic("compute-zzzzz-b-nic", OLD),
            nic("compute-other-a-nic", OLD),
            nic("compute-zzzzz-a-b-nic", OLD),
            nic("compute-zzzzz--nic", OLD),
            nic("gateway-nic", OLD),
            Nic {
                attached: true,
                ..nic("compute-zzzzz-c-nic", OLD)
            },
        ];
        let disks = [
            disk("compute-zzzzz-a-os", OLD),
            disk("compute-zzzzz-b-os", OLD),
            disk("compute-zzzzz-a-data", OLD),
            Disk {
                unattached: false,
                ..disk("compute-zzzzz-c-os", OLD)
            },
        ];
        assert_eq!(
            found(&nics, &disks, &["compute-zzzzz-b"], &spared, Time::ZERO),
            ["compute-zzzzz-a-nic", "compute-zzzzz-a-os"]
        );
    }

    #[test]
    fn nothing_younger_than_a_create_may_take_goes_whatever_the_parameter_says() {
        let spared = Spared::default();
        for (secs, goes) in [(0, 0), (21, 0), (599, 0), (600, 2), (100_000, 2)] {
            let found = found(
                &[nic("compute-zzzzz-a-nic", secs)],
                &[disk("compute-zzzzz-a-os", secs)],
                &[],
                &spared,
                Time::ZERO,
            );
            assert_eq!(found.len(), goes, "{secs} s");
        }
        // A longer one counts.
        let garbage = rule(86_400).garbage(
            &[nic("compute-zzzzz-a-nic", 80_000)],
            &[],
            &BTreeSet::new(),
            &spared,
            now(),
            Time::ZERO,
        );
        assert_eq!(garbage, Garbage::default());
    }

    #[test]
    fn k27_what_has_no_readable_age_or_another_owner_stays() {
        let spared = Spared::default();
        let with = |key: &str, value: Option<&str>| {
            let mut nic = nic("compute-zzzzz-a-nic", OLD);
            nic.tags.remove(key);
            if let Some(value) = value {
                nic.tags.insert(key.to_owned(), value.to_owned());
            }
            nic
        };
        for nic in [
            with(CREATED_AT, None),
            with(CREATED_AT, Some("")),
            with(CREATED_AT, Some("yesterday")),
            with(CREATED_AT, Some("2999-01-01T00:00:00Z")),
            with("ArvadosInstanceSetID", None),
            with("ArvadosInstanceSetID", Some("another")),
        ] {
            assert!(
                found(std::slice::from_ref(&nic), &[], &[], &spared, Time::ZERO).is_empty(),
                "{nic:?}"
            );
        }
        let mut undated = disk("compute-zzzzz-a-os", OLD);
        undated.created = None;
        let mut others = disk("compute-zzzzz-a-os", OLD);
        others
            .tags
            .insert("ArvadosInstanceSetID".into(), "another".into());
        assert!(found(&[], &[undated, others], &[], &spared, Time::ZERO).is_empty());
        // The Go dispatcher wrote nanoseconds.
        let go = with(CREATED_AT, Some("2026-11-22T10:00:00.123456789Z"));
        assert_eq!(found(&[go], &[], &[], &spared, Time::ZERO).len(), 1);
    }

    #[test]
    fn everything_has_its_turn_however_much_cannot_be_deleted() {
        let names =
            |kind: &str, count: usize| (0..count).map(|n| format!("vm-{n:03}-{kind}")).collect();
        for (nics, disks, rounds) in [(250, 30, 5), (2, 250, 4), (250, 2, 4), (0, 250, 3)] {
            let garbage = Garbage {
                nics: names("nic", nics),
                disks: names("os", disks),
            };
            let mut tried = BTreeSet::new();
            let mut place = Place::default();
            for _ in 0..rounds {
                let round = round(&garbage, 100, &place);
                assert_eq!(round.len(), 100);
                place.go_on(&round);
                tried.extend(round.into_iter().map(|(_, name)| name));
            }
            assert_eq!(
                tried.len(),
                nics + disks,
                "{nics} interfaces, {disks} disks"
            );
        }
        let few = Garbage {
            nics: names("nic", 2),
            disks: Vec::new(),
        };
        let mut place = Place::default();
        place.go_on(&[(Kind::Nic, "vm-000-nic".to_owned())]);
        assert_eq!(round(&few, 100, &place).len(), 2);
        assert_eq!(round(&few, 100, &place)[0].1, "vm-001-nic");
        assert_eq!(round(&Garbage::default(), 100, &place), []);
    }

    #[test]
    fn a_create_in_flight_keeps_what_is_its_own() {
        let mut spared = Spared::default();
        spared.begin("compute-zzzzz-a");
        spared.begin("compute-zzzzz-a");
        let nics = [nic("compute-zzzzz-a-nic", OLD)];
        let disks = [disk("compute-zzzzz-a-os", OLD)];
        spared.end("compute-zzzzz-a");
        assert!(spared.is_in_flight("compute-zzzzz-a"));
        assert!(found(&nics, &disks, &[], &spared, Time::ZERO).is_empty());
        spared.end("compute-zzzzz-a");
        spared.end("compute-zzzzz-a");
        assert_eq!(found(&nics, &disks, &[], &spared, Time::ZERO).len(), 2);
        assert!(!spared.is_in_flight("compute-zzzzz-a"));
    }

    #[test]
    fn a_reserved_network_interface_is_left_alone_for_180_seconds() {
        let mut spared = Spared::default();
        let nics = [nic("compute-zzzzz-a-nic", OLD)];
        spared.is_reserved("compute-zzzzz-a-nic", Ages::IN_LIFE, Time::from_secs(10));
        for (secs, goes) in [(10, 0), (189, 0), (190, 1)] {
            let found = found(&nics, &[], &[], &spared, Time::from_secs(secs));
            assert_eq!(found.len(), goes, "{secs} s");
        }
    }
}
