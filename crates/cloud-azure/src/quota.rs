//! Which quota is full, where Azure does not say: from the usages of the region and the families of the sizes
//! (learn.microsoft.com/rest/api/compute/usage/list and …/resource-skus/list). Pure.

use std::collections::BTreeMap;

use azure_mgmt_compute::package_2024_07_01::models::{ResourceSku, Usage};
use serde_json::Value;

use crate::atlas::Reach;

/// Families and processors of sizes.
#[derive(Clone, PartialEq, Debug, Default)]
pub(crate) struct Sizes(BTreeMap<String, Size>);

#[derive(Clone, PartialEq, Debug)]
struct Size {
    family: String,
    vcpus: u64,
}

impl Sizes {
    /// Adds rows of Resource SKUs. Those that are odd are passed over.
    pub(crate) fn add(&mut self, rows: Vec<Value>) {
        for row in rows {
            let Ok(row) = serde_json::from_value::<ResourceSku>(row) else {
                continue;
            };
            let is_vm = row
                .resource_type
                .is_some_and(|kind| kind.eq_ignore_ascii_case("virtualMachines"));
            let (Some(name), Some(family), true) = (row.name, row.family, is_vm) else {
                continue;
            };
            let vcpus = row
                .capabilities
                .iter()
                .find(|capability| capability.name.as_deref() == Some("vCPUs"))
                .and_then(|capability| capability.value.as_deref()?.parse().ok());
            let size = Size {
                family,
                vcpus: vcpus.unwrap_or(1),
            };
            self.0.insert(name.to_ascii_lowercase(), size);
        }
    }

    /// The family of each size, by the size's lower-case name.
    pub(crate) fn families(&self) -> BTreeMap<String, String> {
        let families = self.0.iter();
        families
            .map(|(name, size)| (name.clone(), size.family.clone()))
            .collect()
    }

    /// The family of a size, as quotas name it.
    pub(crate) fn family(&self, size: &str) -> Option<&str> {
        let found = self.0.get(&size.to_ascii_lowercase())?;
        Some(found.family.as_str())
    }

    fn vcpus(&self, size: &str) -> u64 {
        self.0
            .get(&size.to_ascii_lowercase())
            .map_or(1, |size| size.vcpus)
    }
}

/// The quotas of a region.
#[derive(Clone, PartialEq, Debug, Default)]
pub(crate) struct Usages(BTreeMap<String, (u64, u64)>);

impl Usages {
    /// Adds rows of usages. Those that are odd are passed over.
    pub(crate) fn add(&mut self, rows: Vec<Value>) {
        for row in rows {
            let Ok(row) = serde_json::from_value::<Usage>(row) else {
                continue;
            };
            let used = u64::try_from(row.current_value);
            let limit = u64::try_from(row.limit);
            if let (Some(name), Ok(used), Ok(limit)) = (row.name.value, used, limit) {
                self.0.insert(name.to_ascii_lowercase(), (used, limit));
            }
        }
    }

    fn lacks(&self, name: &str, more: u64) -> bool {
        self.room(name).is_some_and(|room| more > room)
    }

    /// How many more; `None`: there is no such row.
    fn room(&self, name: &str) -> Option<u64> {
        let (used, limit) = self.0.get(&name.to_ascii_lowercase())?;
        Some(limit.saturating_sub(*used))
    }
}

/// What of it keeps one more VM of this size from being made. `None`: nothing that is in sight, and the size is held.
pub(crate) fn full(sizes: &Sizes, usages: &Usages, size: &str, spot: bool) -> Option<Reach> {
    let vcpus = sizes.vcpus(size);
    // Spot VMs count against their own quota alone.
    let market = spot.then(|| ("lowPriorityCores".to_owned(), vcpus, Reach::Market));
    let family = sizes.family(size).filter(|_| !spot).map(|family| {
        let reach = Reach::Family(Some(family.to_owned()));
        (family.to_owned(), vcpus, reach)
    });
    let cores = (!spot).then(|| ("cores".to_owned(), vcpus, Reach::Everything));
    let vms = Some(("virtualMachines".to_owned(), 1, Reach::Everything));
    // The widest first: what is full for all is full for the family as well.
    let rows: Vec<(String, u64, Reach)> =
        [vms, cores, market, family].into_iter().flatten().collect();
    if let Some((_, _, reach)) = rows.iter().find(|(row, more, _)| usages.lacks(row, *more)) {
        return Some(reach.clone());
    }
    // Without a row of its own, nobody knows whether it is that one.
    let own = rows
        .last()
        .filter(|(_, _, reach)| *reach != Reach::Everything);
    own.and_then(|(row, ..)| usages.room(row))?;
    // The numbers are minutes old. Something is full all the same, and what was nearest to it is the likeliest; of two
    // that were as near, the narrower.
    let rooms = rows.iter().rev().filter_map(|(row, more, reach)| {
        let room = usages.room(row)?;
        Some((room / (*more).max(1), reach))
    });
    let nearest = rooms.min_by_key(|(room, _)| *room);
    nearest.map(|(_, reach)| reach.clone())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn sizes() -> Sizes {
        let mut sizes = Sizes::default();
        let rows = json!([
            {"resourceType": "virtualMachines", "name": "Standard_D4s_v3", "family": "standardDSv3Family",
             "capabilities": [{"name": "vCPUs", "value": "4"}]},
            {"resourceType": "disks", "name": "Premium_LRS", "family": "x"},
            {"resourceType": "virtualMachines", "name": null},
            null, 7,
        ]);
        sizes.add(rows.as_array().cloned().unwrap_or_default());
        sizes
    }

    fn usages(rows: &[(&str, u64, u64)]) -> Usages {
        let rows: Vec<Value> = rows
            .iter()
            .map(|(name, used, limit)| json!({"unit": "Count", "name": {"value": name}, "currentValue": used, "limit": limit}))
            .chain([json!(null), json!({"name": null})])
            .collect();
        let mut usages = Usages::default();
        usages.add(rows);
        usages
    }

    #[test]
    fn a6_the_usages_tell_which_quota_is_full() {
        let room = [
            ("cores", 0, 100),
            ("lowPriorityCores", 0, 100),
            ("virtualMachines", 0, 100),
            ("standardDSv3Family", 0, 100),
        ];
        let full_of = |name: &str, used: u64| {
            room.map(|(row, _, limit)| (row, if row == name { used } else { 0 }, limit))
        };
        let size = "standard_d4S_v3";
        for (rows, spot, expected) in [
            (full_of("cores", 97), false, Some(Reach::Everything)),
            (full_of("cores", 97), true, Some(Reach::Market)),
            (full_of("lowPriorityCores", 97), true, Some(Reach::Market)),
            (
                full_of("virtualMachines", 100),
                true,
                Some(Reach::Everything),
            ),
            (
                full_of("standardDSv3Family", 97),
                false,
                Some(Reach::Family(Some("standardDSv3Family".to_owned()))),
            ),
            // Nothing is full as the rows have it: what is nearest to it.
            (
                room,
                false,
                Some(Reach::Family(Some("standardDSv3Family".to_owned()))),
            ),
            (full_of("cores", 92), false, Some(Reach::Everything)),
            (
                full_of("standardDSv3Family", 92),
                false,
                Some(Reach::Family(Some("standardDSv3Family".to_owned()))),
            ),
            (full_of("standardDSv3Family", 97), true, Some(Reach::Market)),
        ] {
            assert_eq!(
                full(&sizes(), &usages(&rows), size, spot),
                expected,
                "{rows:?}"
            );
        }
        // Without the permission to read the sizes, only what the usages alone tell is known.
        assert_eq!(full(&Sizes::default(), &usages(&room), size, false), None);
        let cores = usages(&full_of("cores", 97));
        let reach = full(&Sizes::default(), &cores, size, false);
        assert_eq!(reach, None, "one core more would do");
        let cores = usages(&full_of("cores", 100));
        let reach = full(&Sizes::default(), &cores, size, false);
        assert_eq!(reach, Some(Reach::Everything));
        let family = usages(&[("standardDSv3Family", 100, 100)]);
        assert_eq!(full(&Sizes::default(), &family, size, false), None);
        // Without the usages, nothing.
        assert_eq!(full(&sizes(), &Usages::default(), size, false), None);
        assert_eq!(
            full(&Sizes::default(), &Usages::default(), size, true),
            None
        );
    }
}
