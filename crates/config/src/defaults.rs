//! The keys that Arvados knows, and their defaults (`defaults.tsv`).

use std::sync::OnceLock;

use serde_json::{Map, Value};

/// Every key of Arvados with its default, as one object (facts §3.1).
pub(crate) fn arvados() -> &'static Map<String, Value> {
    static TREE: OnceLock<Map<String, Value>> = OnceLock::new();
    TREE.get_or_init(|| tree(rows()))
}

/// Key paths and defaults, in the order of the table.
pub(crate) fn rows() -> impl Iterator<Item = (&'static str, Value)> {
    include_str!("defaults.tsv")
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| {
            let (key, json) = line.split_once('\t').expect("a key, a tab, a value");
            (key, serde_json::from_str(json).expect("a value in JSON"))
        })
}

/// Puts values at their paths.
pub(crate) fn tree<'a>(rows: impl Iterator<Item = (&'a str, Value)>) -> Map<String, Value> {
    let mut root = Map::new();
    for (path, value) in rows {
        let (sections, key) = path
            .rsplit_once('.')
            .map_or((None, path), |(sections, key)| (Some(sections), key));
        let mut section = &mut root;
        for name in sections
            .into_iter()
            .flat_map(|sections| sections.split('.'))
        {
            section = section
                .entry(name)
                .or_insert_with(|| Value::Object(Map::new()))
                .as_object_mut()
                .expect("a key is a section or a value, not both");
        }
        section.insert(key.to_owned(), value);
    }
    root
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_holds_every_key_once() {
        fn leaves(value: &Value) -> usize {
            match value {
                Value::Object(map) if !map.is_empty() => map.values().map(leaves).sum(),
                _ => 1,
            }
        }
        let n_rows = rows().count();
        assert_eq!(n_rows, 312);
        assert_eq!(leaves(&Value::Object(arvados().clone())), n_rows);
        assert_eq!(arvados()["Containers"]["CloudVMs"]["MaxInstances"], 64);
        assert_eq!(arvados()["RemoteClusters"]["*"]["Scheme"], "https");
    }
}
