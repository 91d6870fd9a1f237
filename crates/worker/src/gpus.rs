//! Which container has which GPU devices of an instance (facts K6).
//!
//! The assignment is decided here and written to the tag `<TagKeyPrefix>GPUs` before a start command is sent, so that it
//! survives a restart: `uuid=0,1;uuid2=2`. A container without devices on such an instance is listed with none
//! (`uuid=`). A container that the tag does not name has unknown devices.

use std::collections::{BTreeMap, BTreeSet};

use dispatch_model::ContainerId;

/// The longest value that every cloud accepts for a tag (EC2 and Azure: 256 characters).
const LONGEST_TAG: usize = 256;

/// Devices by container. `None`: has some, nobody knows which.
pub(crate) type Assignments<'a> = BTreeMap<&'a ContainerId, Option<&'a [u32]>>;

/// How many devices are free; `None` if nobody knows.
pub(crate) fn free(n_devices: u32, assigned: &Assignments<'_>) -> Option<u32> {
    if n_devices == 0 {
        return Some(0);
    }
    let mut used: BTreeSet<u32> = BTreeSet::new();
    for devices in assigned.values() {
        used.extend((*devices)?);
    }
    Some(n_devices.saturating_sub(u32::try_from(used.len()).unwrap_or(u32::MAX)))
}

/// The lowest free devices, as many as needed.
pub(crate) fn assign(
    n_devices: u32,
    needed: u32,
    assigned: &Assignments<'_>,
) -> Result<Vec<u32>, String> {
    if needed == 0 {
        return Ok(Vec::new());
    }
    let mut used: BTreeSet<u32> = BTreeSet::new();
    for (container, devices) in assigned {
        let devices =
            devices.ok_or_else(|| format!("the GPU devices of {container} are unknown"))?;
        used.extend(devices);
    }
    let chosen: Vec<u32> = (0..n_devices)
        .filter(|device| !used.contains(device))
        .take(needed as usize)
        .collect();
    if chosen.len() < needed as usize {
        let free = chosen.len();
        return Err(format!(
            "{needed} GPU devices are needed and {free} are free"
        ));
    }
    Ok(chosen)
}

/// The tag's text; `None` if it would be too long for a tag.
pub(crate) fn to_tag(assigned: &Assignments<'_>) -> Option<String> {
    let text = assigned
        .iter()
        .filter_map(|(container, devices)| Some((container, (*devices)?)))
        .map(|(container, devices)| {
            let devices: Vec<String> = devices.iter().map(u32::to_string).collect();
            format!("{container}={}", devices.join(","))
        })
        .collect::<Vec<_>>()
        .join(";");
    (text.len() <= LONGEST_TAG).then_some(text)
}

/// Whether the tag can take one more container, even one that gets all devices which are free.
pub(crate) fn has_room(n_devices: u32, assigned: &Assignments<'_>) -> bool {
    let newcomer = ContainerId::from("zzzzz-dz642-zzzzzzzzzzzzzzz");
    let used: BTreeSet<u32> = (assigned.values().flatten().copied().flatten().copied()).collect();
    let rest: Vec<u32> = (0..n_devices)
        .filter(|device| !used.contains(device))
        .collect();
    let mut all = assigned.clone();
    all.insert(&newcomer, Some(&rest));
    to_tag(&all).is_some()
}

/// Reads the tag. An entry that cannot be read, names a device that is not there, or one that another entry has, is
/// left out: the devices of its container are then unknown.
pub(crate) fn from_tag(text: &str, n_devices: u32) -> BTreeMap<ContainerId, Vec<u32>> {
    let mut claims: BTreeMap<u32, u32> = BTreeMap::new();
    let mut read = BTreeMap::new();
    for entry in text.split(';') {
        let Some((container, devices)) = entry.split_once('=') else {
            continue;
        };
        let devices: Option<Vec<u32>> = devices
            .split(',')
            .map(str::trim)
            .filter(|device| !device.is_empty())
            .map(|device| device.parse().ok().filter(|device| *device < n_devices))
            .collect();
        if let Some(devices) = devices {
            for device in &devices {
                *claims.entry(*device).or_default() += 1;
            }
            read.insert(ContainerId::from(container.trim()), devices);
        }
    }
    read.retain(|_, devices| devices.iter().all(|device| claims[device] == 1));
    read
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(tag: &str, n_devices: u32, expected: &str) {
        let read = from_tag(tag, n_devices);
        let assigned: Assignments<'_> = read
            .iter()
            .map(|(container, devices)| (container, Some(devices.as_slice())))
            .collect();
        let shown = format!(
            "{} free {:?}",
            to_tag(&assigned).unwrap_or_default(),
            free(n_devices, &assigned)
        );
        assert_eq!(shown, expected, "{tag}");
    }

    #[test]
    fn a_tag_is_read_and_written_and_bad_entries_are_left_out() {
        check("", 4, " free Some(4)");
        check("a=0,1;b=2", 4, "a=0,1;b=2 free Some(1)");
        check("a=;b=3", 4, "a=;b=3 free Some(3)");
        check(" a = 0 , 1 ; ", 4, "a=0,1 free Some(2)");
        check("a=0;b=x;c", 4, "a=0 free Some(3)");
        check("a=0;b=4", 4, "a=0 free Some(3)");
        check("a=0;b=0;c=1", 4, "c=1 free Some(3)");
        check("a=1,1", 4, " free Some(4)");
    }

    #[test]
    fn the_lowest_free_devices_are_assigned() {
        let (a, b) = (ContainerId::from("a"), ContainerId::from("b"));
        let assigned = Assignments::from([(&a, Some([0, 2].as_slice()))]);
        assert_eq!(assign(4, 2, &assigned), Ok(vec![1, 3]));
        assert_eq!(
            assign(4, 3, &assigned),
            Err("3 GPU devices are needed and 2 are free".into())
        );
        let unknown = Assignments::from([(&a, Some([0].as_slice())), (&b, None)]);
        assert_eq!(
            assign(4, 1, &unknown),
            Err("the GPU devices of b are unknown".into())
        );
        assert_eq!(assign(4, 0, &unknown), Ok(vec![]));
        assert_eq!(free(4, &unknown), None);
    }

    #[test]
    fn a_text_too_long_for_a_tag_is_none() {
        let containers: Vec<ContainerId> = (0..9)
            .map(|n| ContainerId::from(format!("zzzzz-dz642-{n:015}")))
            .collect();
        let assigned = |n: usize| -> Assignments<'_> {
            containers[..n]
                .iter()
                .map(|id| (id, Some([0].as_slice())))
                .collect()
        };
        assert_eq!(to_tag(&assigned(8)).map(|tag| tag.len()), Some(239));
        assert_eq!(to_tag(&assigned(9)), None);
        assert!(has_room(8, &assigned(7)));
        assert!(!has_room(8, &assigned(8)));
        assert!(!has_room(16, &assigned(7)), "one that gets fifteen devices");
    }
}
