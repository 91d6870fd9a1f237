//! Which types share an account limit (facts E20, §2.8.4).

use std::collections::BTreeMap;

/// `InstanceTypeQuotaGroups`: from the beginning of a provider type to the name of its group.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(crate) struct QuotaGroups(pub(crate) BTreeMap<String, String>);

impl QuotaGroups {
    /// The group of a type: named by the longest prefix that covers at least its leading letters ("trn1" is no "t"),
    /// else those letters. Spot instances have limits of their own, of the same groups: whoever is told a group keeps the
    /// two markets apart ([`dispatch_model::CapacityScope::QuotaGroup`]).
    pub(crate) fn of(&self, provider_type: &str) -> String {
        let name = provider_type.to_ascii_lowercase();
        let letters = name
            .find(|c: char| !c.is_ascii_lowercase())
            .unwrap_or(name.len());
        (letters..=name.len())
            .rev()
            .filter(|end| *end > 0 && name.is_char_boundary(*end))
            .find_map(|end| self.0.get(&name[..end]))
            .map_or(&name[..letters], String::as_str)
            .to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_grouped_by_the_longest_prefix_that_is_not_shorter_than_their_letters() {
        let mut groups: BTreeMap<String, String> = "acdhimrtz"
            .chars()
            .map(|c| (c.to_string(), "standard".to_owned()))
            .collect();
        groups.insert("vt".into(), "g".into());
        groups.insert("p5".into(), "p5".into());
        let groups = QuotaGroups(groups);
        for (provider_type, expected) in [
            ("g1.large", "g"),
            ("inf1.2xlarge", "inf"),
            ("a1.small", "standard"),
            ("p4.xlarge", "p"),
            ("p5.xlarge", "p5"),
            ("trn1.large", "trn"),
            ("vt1.3xlarge", "g"),
            ("M5.Large", "standard"),
            ("", ""),
            ("ß", ""),
        ] {
            assert_eq!(groups.of(provider_type), expected, "{provider_type}");
        }
    }
}
