//! Whether the GPUs of an instance type will do for a container (facts §8.2, K6, K7).

use std::cmp::Ordering;

use dispatch_model::{Gpu, GpuNeeds};

/// A demand that a container makes on GPUs, in the order in which they are checked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Demand {
    /// The same stack; containers without GPUs do not take types that have some.
    Stack,
    /// Enough devices.
    Devices,
    /// Enough memory on each device (K6).
    Vram,
    /// A driver that is new enough.
    Driver,
    /// The hardware that the program was built for.
    Hardware,
}

impl Demand {
    pub(crate) const ALL: [Demand; 5] = [
        Demand::Stack,
        Demand::Devices,
        Demand::Vram,
        Demand::Driver,
        Demand::Hardware,
    ];

    /// Whether the type meets this demand of the container.
    pub(crate) fn is_met(self, needs: &GpuNeeds, has: &Gpu) -> bool {
        if needs.device_count == 0 {
            return self != Demand::Stack || stack_of(has).is_empty();
        }
        match self {
            Demand::Stack => needs.stack == stack_of(has),
            Demand::Devices => has.device_count >= needs.device_count,
            Demand::Vram => has.vram_bytes >= needs.vram_bytes,
            Demand::Driver => driver_will_do(&needs.driver_version, &has.driver_version),
            Demand::Hardware => hardware_will_do(needs, &has.hardware_target),
        }
    }
}

/// A request for GPUs that no instance type whatever could meet, in words for the container's owner.
pub(crate) fn absurdity(needs: &GpuNeeds) -> Option<String> {
    if needs.device_count == 0 {
        return None;
    }
    let stack = needs.stack.as_str();
    if !matches!(stack, "cuda" | "rocm") {
        return Some(format!(
            "it asks for GPUs of the kind \"{stack}\", but only \"cuda\" and \"rocm\" exist"
        ));
    }
    if needs.hardware_targets.is_empty() {
        return Some(format!(
            "it asks for {stack} GPUs without saying for which hardware (hardware_target is empty)"
        ));
    }
    if !needs.driver_version.is_empty() && Version::parse(&needs.driver_version).is_none() {
        return Some(format!(
            "it asks for the GPU driver version \"{}\", which is not a version number",
            needs.driver_version
        ));
    }
    None
}

/// The type's stack; without devices it has none, whatever it says.
fn stack_of(has: &Gpu) -> &str {
    if has.device_count == 0 {
        ""
    } else {
        &has.stack
    }
}

fn driver_will_do(needed: &str, has: &str) -> bool {
    if needed.is_empty() {
        return true;
    }
    match (Version::parse(needed), Version::parse(has)) {
        (Some(needed), Some(has)) => has >= needed,
        _ => false,
    }
}

/// cuda with one target: that capability or a later one; with several: one of them. rocm: one of them.
fn hardware_will_do(needs: &GpuNeeds, has: &str) -> bool {
    match (needs.stack.as_str(), needs.hardware_targets.as_slice()) {
        ("cuda", [least]) => match (Version::parse(least), Version::parse(has)) {
            (Some(least), Some(has)) => has >= least,
            _ => false,
        },
        (_, targets) => targets.iter().any(|target| target == has),
    }
}

/// "X.Y" compared number by number: 11.10 is later than 11.4 (facts K7).
#[derive(Debug)]
pub(crate) struct Version(Vec<u64>);

impl Version {
    pub(crate) fn parse(text: &str) -> Option<Version> {
        let numbers: Option<Vec<u64>> = text
            .trim()
            .split('.')
            .map(|number| {
                let digits = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
                digits.then(|| number.parse().ok()).flatten()
            })
            .collect();
        Some(Version(numbers?))
    }
}

impl Ord for Version {
    fn cmp(&self, other: &Version) -> Ordering {
        // Numbers that are left out are zeros.
        (0..self.0.len().max(other.0.len()))
            .map(|i| {
                let number = |version: &Version| version.0.get(i).copied().unwrap_or(0);
                number(self).cmp(&number(other))
            })
            .find(|ordering| ordering.is_ne())
            .unwrap_or(Ordering::Equal)
    }
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Version) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Version {
    fn eq(&self, other: &Version) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Version {}

#[cfg(test)]
mod tests {
    use dispatch_model::units::GIB;

    use super::*;

    fn needs(stack: &str, driver: &str, targets: &[&str], count: u32, vram_bytes: u64) -> GpuNeeds {
        GpuNeeds {
            stack: stack.to_owned(),
            driver_version: driver.to_owned(),
            hardware_targets: targets.iter().map(|t| (*t).to_owned()).collect(),
            device_count: count,
            vram_bytes,
        }
    }

    fn has(stack: &str, driver: &str, target: &str, count: u32, vram_bytes: u64) -> Gpu {
        Gpu {
            stack: stack.to_owned(),
            driver_version: driver.to_owned(),
            hardware_target: target.to_owned(),
            device_count: count,
            vram_bytes,
        }
    }

    #[test]
    fn the_matrix_of_gpus() {
        let cuda = has("cuda", "11.10", "8.6", 2, 16 * GIB);
        let rocm = has("rocm", "6.2", "gfx1100", 1, 0);
        let none = Gpu::default();
        for (what, needs, has, unmet) in [
            ("no GPU anywhere", GpuNeeds::default(), &none, None),
            (
                "no GPU needed",
                GpuNeeds::default(),
                &cuda,
                Some(Demand::Stack),
            ),
            (
                "no type without",
                needs("cuda", "11.0", &["8.0"], 1, 0),
                &none,
                Some(Demand::Stack),
            ),
            (
                "another stack",
                needs("rocm", "6.0", &["gfx1100"], 1, 0),
                &cuda,
                Some(Demand::Stack),
            ),
            (
                "enough",
                needs("cuda", "11.0", &["8.0"], 1, GIB),
                &cuda,
                None,
            ),
            (
                "the same",
                needs("cuda", "11.10", &["8.6"], 2, 16 * GIB),
                &cuda,
                None,
            ),
            // As decimals, 11.10 would be older than 11.4 (facts K7).
            (
                "a later driver",
                needs("cuda", "11.4", &["8.0"], 1, 0),
                &cuda,
                None,
            ),
            (
                "an old driver",
                needs("cuda", "12.0", &["8.0"], 1, 0),
                &cuda,
                Some(Demand::Driver),
            ),
            ("any driver", needs("cuda", "", &["8.0"], 1, 0), &cuda, None),
            (
                "old hardware",
                needs("cuda", "11.0", &["9.0"], 1, 0),
                &cuda,
                Some(Demand::Hardware),
            ),
            (
                "one of several",
                needs("cuda", "11.0", &["8.0", "8.6"], 1, 0),
                &cuda,
                None,
            ),
            (
                "none of several",
                needs("cuda", "11.0", &["8.0", "8.5"], 1, 0),
                &cuda,
                Some(Demand::Hardware),
            ),
            (
                "no target",
                needs("cuda", "11.0", &[], 1, 0),
                &cuda,
                Some(Demand::Hardware),
            ),
            (
                "too many devices",
                needs("cuda", "11.0", &["8.0"], 3, 0),
                &cuda,
                Some(Demand::Devices),
            ),
            // Memory is that of each device, not of all together (facts K6).
            (
                "too much memory",
                needs("cuda", "11.0", &["8.0"], 1, 17 * GIB),
                &cuda,
                Some(Demand::Vram),
            ),
            (
                "rocm, any of",
                needs("rocm", "6.1", &["gfx900", "gfx1100"], 1, 0),
                &rocm,
                None,
            ),
            (
                "rocm, none of",
                needs("rocm", "6.1", &["gfx900"], 1, 0),
                &rocm,
                Some(Demand::Hardware),
            ),
            (
                "memory unknown",
                needs("rocm", "6.1", &["gfx1100"], 1, GIB),
                &rocm,
                Some(Demand::Vram),
            ),
        ] {
            let first = Demand::ALL
                .into_iter()
                .find(|demand| !demand.is_met(&needs, has));
            assert_eq!(first, unmet, "{what}");
        }
    }

    #[test]
    fn a_type_without_devices_has_no_stack() {
        let odd = has("cuda", "12.0", "8.0", 0, 0);
        assert!(Demand::Stack.is_met(&GpuNeeds::default(), &odd));
        assert!(!Demand::Stack.is_met(&needs("cuda", "", &["8.0"], 1, 0), &odd));
    }

    #[test]
    fn versions_are_compared_number_by_number() {
        let order = ["8", "8.6", "11.4", "11.10", "11.10.1", "535.104"];
        for pair in order.windows(2) {
            assert!(
                Version::parse(pair[0]) < Version::parse(pair[1]),
                "{pair:?}"
            );
        }
        assert_eq!(Version::parse("8"), Version::parse("8.0"));
        for text in ["", "x", "8.", ".8", "8.x", "+8", "8 .0"] {
            assert!(Version::parse(text).is_none(), "{text:?}");
        }
    }

    #[test]
    fn requests_that_make_no_sense_are_explained() {
        for (needs, expected) in [
            (
                needs("opencl", "1.0", &["x"], 1, 0),
                Some("kind \"opencl\""),
            ),
            (needs("", "", &["x"], 1, 0), Some("kind \"\"")),
            (
                needs("cuda", "12.0", &[], 1, 0),
                Some("hardware_target is empty"),
            ),
            (
                needs("cuda", "new", &["8.0"], 1, 0),
                Some("version \"new\""),
            ),
            (needs("opencl", "", &[], 0, 0), None),
            (needs("rocm", "", &["gfx900"], 1, 0), None),
        ] {
            let absurdity = absurdity(&needs);
            match expected {
                Some(part) => assert!(absurdity.is_some_and(|text| text.contains(part)), "{part}"),
                None => assert_eq!(absurdity, None),
            }
        }
    }
}
