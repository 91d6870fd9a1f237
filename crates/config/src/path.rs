//! Where a value stands in the configuration: the keys from the cluster down to it.

use std::fmt;

use crate::mask;

/// Keys below `Clusters.<id>`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub(crate) struct KeyPath(Vec<String>);

impl KeyPath {
    /// Reads "A.B.C". No key of Arvados has a dot; keys of the operator's own go through `child`.
    pub(crate) fn dotted(text: &str) -> KeyPath {
        KeyPath(text.split('.').map(str::to_owned).collect())
    }

    pub(crate) fn child(&self, key: &str) -> KeyPath {
        let mut keys = self.0.clone();
        keys.push(key.to_owned());
        KeyPath(keys)
    }

    /// This path, then what it lies in, up to the cluster's own sections.
    pub(crate) fn and_parents(&self) -> impl Iterator<Item = KeyPath> {
        (1..=self.0.len())
            .rev()
            .map(|n| KeyPath(self.0[..n].to_vec()))
    }

    pub(crate) fn keys(&self) -> &[String] {
        &self.0
    }

    /// Whether "A.*.C" describes this path; `*` stands for any one key.
    pub(crate) fn matches(&self, pattern: &str) -> bool {
        self.0.len() == pattern.split('.').count() && self.starts_with(pattern)
    }

    /// Whether this path is what the pattern describes or lies below it.
    pub(crate) fn starts_with(&self, pattern: &str) -> bool {
        let mut keys = self.0.iter();
        pattern
            .split('.')
            .all(|part| keys.next().is_some_and(|key| part == "*" || part == key))
    }

    /// Whether something that the pattern describes lies below this path.
    pub(crate) fn leads_to(&self, pattern: &str) -> bool {
        let mut parts = pattern.split('.');
        self.0
            .iter()
            .all(|key| parts.next().is_some_and(|part| part == "*" || part == key))
    }
}

/// Keys with dots or spaces in them are quoted: `InstanceTypes."m5.large".RAM`. A password in a URL is masked.
impl fmt::Display for KeyPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, key) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str(".")?;
            }
            if key.is_empty()
                || key.contains(|c: char| {
                    matches!(c, '.' | '@') || c.is_whitespace() || c.is_control()
                })
            {
                write!(f, "{:?}", mask::without_user_info(key))?;
            } else {
                f.write_str(key)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_matched_key_by_key() {
        let path = KeyPath::dotted("InstanceTypes")
            .child("m5.large")
            .child("RAM");
        assert_eq!(path.to_string(), "InstanceTypes.\"m5.large\".RAM");
        let with_password = KeyPath::default().child("http://joe:hunter2@h");
        assert_eq!(with_password.to_string(), "\"http://(secret)@h\"");
        assert!(path.matches("InstanceTypes.*.RAM"));
        assert!(!path.matches("InstanceTypes.*"));
        assert!(path.starts_with("InstanceTypes.*"));
        assert!(path.starts_with("InstanceTypes"));
        assert!(!path.starts_with("InstanceTypes.*.RAM.x"));
        assert!(KeyPath::dotted("InstanceTypes").leads_to("InstanceTypes.*.RAM"));
        assert!(!KeyPath::dotted("Volumes").leads_to("InstanceTypes.*.RAM"));
    }
}
