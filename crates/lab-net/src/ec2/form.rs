//! The calls' parameters: a form whose names have numbers in them (`Filter.1.Value.2`).

use std::collections::BTreeMap;

use crate::faces::decoded;

/// One call.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Form(pub(super) BTreeMap<String, String>);

impl Form {
    pub(super) fn read(body: &[u8]) -> Form {
        let text = String::from_utf8_lossy(body);
        let pairs = text.split('&').filter_map(|pair| pair.split_once('='));
        Form(
            pairs
                .map(|(key, value)| (decoded(key), decoded(value)))
                .collect(),
        )
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    pub(super) fn action(&self) -> &str {
        self.get("Action").unwrap_or_default()
    }

    /// `name.1`, `name.2`, and so on.
    pub(super) fn list(&self, name: &str) -> Vec<String> {
        (1..)
            .map_while(|n| self.0.get(&format!("{name}.{n}")).cloned())
            .collect()
    }

    /// `prefix.1.Key` and `prefix.1.Value`, and so on.
    pub(super) fn tags(&self, prefix: &str) -> BTreeMap<String, String> {
        (1..)
            .map_while(|n| {
                let key = self.0.get(&format!("{prefix}.{n}.Key"))?;
                let value = self.get(&format!("{prefix}.{n}.Value")).unwrap_or_default();
                Some((key.clone(), value.to_owned()))
            })
            .collect()
    }

    /// The tags of one kind of resource.
    pub(super) fn tags_for(&self, kind: &str) -> BTreeMap<String, String> {
        (1..)
            .map_while(|n| Some((n, self.get(&format!("TagSpecification.{n}.ResourceType"))?)))
            .find(|(_, found)| *found == kind)
            .map(|(n, _)| self.tags(&format!("TagSpecification.{n}.Tag")))
            .unwrap_or_default()
    }

    /// Names and values of the filters.
    pub(super) fn filters(&self) -> Vec<(String, Vec<String>)> {
        (1..)
            .map_while(|n| {
                let name = self.get(&format!("Filter.{n}.Name"))?.to_owned();
                Some((name, self.list(&format!("Filter.{n}.Value"))))
            })
            .collect()
    }

    /// Everything that a repeated call must share with the first.
    pub(super) fn parameters(&self) -> String {
        format!("{:?}", self.0)
    }
}
