//! Added scratch on volumes of every type: what EC2 would refuse of each instance is told before any is made.

use dispatch_model::InstanceType;

/// EC2 takes these only with a number of IOPS, which there is no key for (nor did the Go dispatcher send one).
const WANTS_IOPS: &[&str] = &["io1", "io2"];
/// EC2 makes these no smaller, GiB.
const LARGE: &[&str] = &["st1", "sc1"];
const LARGE_GIB_MIN: u64 = 125;

/// What is wrong with the added scratch of these types on volumes of this type. Without added scratch, no volume is made.
pub(crate) fn problems(volume_type: &str, instance_types: &[&InstanceType]) -> Vec<String> {
    let with_scratch = instance_types
        .iter()
        .filter(|one| one.added_scratch_bytes > 0);
    if WANTS_IOPS.contains(&volume_type) {
        let names: Vec<&str> = with_scratch.map(|one| one.name.as_str()).collect();
        if names.is_empty() {
            return Vec::new();
        }
        let names = names.join(", ");
        return vec![format!(
            "DriverParameters.EBSVolumeType is \"{volume_type}\", which EC2 makes only with a number of IOPS, and \
             there is no key for it: write gp3, or take AddedScratch out of InstanceTypes {names}"
        )];
    }
    if !LARGE.contains(&volume_type) {
        return Vec::new();
    }
    with_scratch
        .filter_map(|one| {
            let gib = one.added_scratch_bytes.div_ceil(1 << 30);
            (gib < LARGE_GIB_MIN).then(|| {
                format!(
                    "DriverParameters.EBSVolumeType is \"{volume_type}\", of which EC2 makes volumes of \
                     {LARGE_GIB_MIN} GiB and more, and InstanceTypes.{}.AddedScratch is {gib} GiB: raise it, or write gp3",
                    one.name
                )
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use dispatch_model::Gpu;

    use super::*;

    fn with_scratch(name: &str, gib: u64) -> InstanceType {
        InstanceType {
            name: name.into(),
            provider_type: "m5.large".to_owned(),
            vcpus: 2,
            ram_bytes: 8 << 30,
            included_scratch_bytes: 0,
            added_scratch_bytes: gib << 30,
            price: 0.1,
            preemptible: false,
            gpu: Gpu::default(),
            image: None,
        }
    }

    #[test]
    fn what_ec2_would_refuse_of_added_scratch_is_told_with_key_value_and_remedy() {
        let (none, small, large) = (
            with_scratch("none", 0),
            with_scratch("small", 124),
            with_scratch("large", 125),
        );
        let all = [&none, &small, &large];
        for volume_type in ["gp2", "gp3", "standard"] {
            assert_eq!(problems(volume_type, &all), [""; 0], "{volume_type}");
        }
        for volume_type in ["io1", "io2"] {
            assert_eq!(problems(volume_type, &[&none]), [""; 0], "{volume_type}");
            let found = problems(volume_type, &all);
            assert_eq!(found.len(), 1);
            for words in [volume_type, "EBSVolumeType", "gp3", "small, large"] {
                assert!(found[0].contains(words), "{words}: {found:?}");
            }
        }
        for volume_type in ["st1", "sc1"] {
            let found = problems(volume_type, &all);
            assert_eq!(found.len(), 1);
            for words in [
                volume_type,
                "InstanceTypes.small.AddedScratch is 124 GiB",
                "gp3",
            ] {
                assert!(found[0].contains(words), "{words}: {found:?}");
            }
        }
    }
}
