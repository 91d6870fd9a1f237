//! The names of what belongs to one instance, derived from its secret, so that after a crash everything is found again
//! (facts §2.9; there the last part is random).

use dispatch_model::InstanceSecret;
use sha2::{Digest as _, Sha256};

/// How long the last part of a VM's name is. 36^15 is more than 2^77.
const UNIQUE_CHARS: usize = 15;
/// Linux VMs have host names of at most 64 characters, which is the VM's name; "compute-", "-" and the last part take 24.
const SET_CHARS_MAX: usize = 40;

/// One instance's names.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Names {
    /// `compute-SET-xxxxxxxxxxxxxxx`.
    pub(crate) vm: String,
}

impl Names {
    /// The names that belong to this secret. They do not tell it.
    pub(crate) fn of(instance_set_id: &str, secret: &InstanceSecret) -> Names {
        let mut vm = prefix(instance_set_id);
        vm.extend(base36(&["name of a VM", secret.reveal()], UNIQUE_CHARS));
        Names { vm }
    }

    /// The names of what belongs to a VM of this name.
    #[cfg(test)]
    pub(crate) fn of_vm(name: &str) -> Names {
        Names {
            vm: name.to_owned(),
        }
    }

    /// The network interface.
    pub(crate) fn nic(&self) -> String {
        format!("{}-nic", self.vm)
    }

    /// The OS disk.
    pub(crate) fn disk(&self) -> String {
        format!("{}-os", self.vm)
    }
}

/// What the names of all our VMs, network interfaces and disks begin with.
pub(crate) fn prefix(instance_set_id: &str) -> String {
    let fits = !instance_set_id.is_empty()
        && instance_set_id.len() <= SET_CHARS_MAX
        && instance_set_id
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    if fits {
        format!("compute-{instance_set_id}-")
    } else {
        // Not what the dispatcher gives, but cloudtest and other embedders may; a VM's name may hold little.
        let hash: String = base36(&["name of a set", instance_set_id], 25).collect();
        format!("compute-{hash}-")
    }
}

/// Characters of `[0-9a-z]` from a one-way hash.
fn base36(parts: &[&str], chars: usize) -> impl Iterator<Item = char> {
    const DIGITS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.len().to_be_bytes());
        hash.update(part.as_bytes());
    }
    // Division from the top: the remainder of all 256 bits by 36 each time.
    let mut number: Vec<u8> = hash.finalize().to_vec();
    (0..chars).map(move |_| {
        let mut rest = 0_u32;
        for byte in &mut number {
            let value = (rest << 8) | u32::from(*byte);
            *byte = u8::try_from(value / 36).unwrap_or_default();
            rest = value % 36;
        }
        char::from(DIGITS[rest as usize])
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const SET: &str = "4858c03088f4135a038ef1dc9aa72f94";

    fn vm(set: &str, secret: &str) -> String {
        Names::of(set, &InstanceSecret::new(secret)).vm
    }

    #[test]
    fn a_secret_always_has_the_same_names_and_they_look_as_they_always_did() {
        let names = Names::of(SET, &InstanceSecret::new("s3cret"));
        assert_eq!(
            names,
            Names::of(SET, &InstanceSecret::new("s3cret".to_owned()))
        );
        let unique = names
            .vm
            .strip_prefix("compute-4858c03088f4135a038ef1dc9aa72f94-")
            .expect("the prefix");
        assert_eq!(unique.len(), 15);
        assert!(
            unique
                .chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit())
        );
        assert_eq!(names.nic(), format!("{}-nic", names.vm));
        assert_eq!(names.disk(), format!("{}-os", names.vm));
        assert_eq!(Names::of_vm(&names.vm), names);
    }

    #[test]
    fn different_secrets_and_sets_have_different_names_that_do_not_tell_the_secret() {
        let mut seen = BTreeSet::new();
        for n in 0..2000 {
            let secret = format!("secret{n}");
            let name = vm(SET, &secret);
            assert!(!name.contains(&secret));
            assert!(seen.insert(name));
        }
        assert_ne!(vm("set1", "a"), vm("set2", "a"));
    }

    #[test]
    fn sets_that_do_not_fit_into_a_name_are_hashed() {
        for set in [
            "",
            "UPPER",
            "with-dash",
            "a/b",
            "x".repeat(41).as_str(),
            "ü",
        ] {
            let name = vm(set, "s");
            assert!(name.len() <= 64, "{name}");
            assert!(
                name.chars()
                    .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'),
                "{name}"
            );
            assert!(name.starts_with(&prefix(set)));
        }
        assert_ne!(prefix("UPPER"), prefix("upper"));
        assert!(vm(&"x".repeat(40), "s").len() <= 64);
    }
}
