//! What is known of each key: its kind, who reads it, and whether a section takes names of the operator's own.

use std::sync::OnceLock;

use serde_json::{Map, Value};

use crate::{
    defaults, duration,
    keys::{self, Key, Kind},
    path::KeyPath,
};

/// Keys that take a size and that only other services read; elsewhere a number in the defaults is a plain number.
const OTHER_SIZES: [&str; 4] = [
    "Collections.WebDAVCache.MaxCollectionBytes",
    "Collections.WebDAVOutputBuffer",
    "Containers.DefaultKeepCacheRAM",
    "Containers.Logging.LogUpdateSize",
];

/// Sections with defaults to which an operator adds names; a section that is empty by default takes any name as well.
const OPEN: [&str; 9] = [
    "RemoteClusters",
    "StorageClasses",
    "PostgreSQL.Connection",
    "Containers.SupportedDockerImageFormats",
    "Containers.CloudVMs.DriverParameters.InstanceTypeQuotaGroups",
    "Users.AutoSetupUsernameBlacklist",
    "Login.Google.AuthenticationRequestParameters",
    "Login.OpenIDConnect.AuthenticationRequestParameters",
    "InstanceTypes",
];

/// The defaults of all keys: those of Arvados and our own.
pub(crate) fn defaults() -> &'static Map<String, Value> {
    static TREE: OnceLock<Map<String, Value>> = OnceLock::new();
    TREE.get_or_init(|| {
        let mut tree = defaults::arvados().clone();
        overlay(&mut tree, keys::own_defaults());
        tree
    })
}

/// The default of a key or section that a table of ours names.
pub(crate) fn default_at(path: &str) -> Option<&'static Value> {
    default_of(path.split('.'))
}

fn default_of<'a>(mut keys: impl Iterator<Item = &'a str>) -> Option<&'static Value> {
    let first = defaults().get(keys.next()?)?;
    keys.try_fold(first, |section, key| section.get(key))
}

fn overlay(under: &mut Map<String, Value>, over: Map<String, Value>) {
    for (key, value) in over {
        match (under.get_mut(&key), value) {
            (Some(Value::Object(under)), Value::Object(over)) => overlay(under, over),
            (_, value) => {
                under.insert(key, value);
            }
        }
    }
}

/// The entry of our table for a key that the dispatcher reads.
pub(crate) fn read_by_us(path: &KeyPath) -> Option<&'static Key> {
    keys::all().find(|key| path.matches(key.path))
}

/// Whether a mistake at this key, or in this section, concerns the dispatcher.
pub(crate) fn concerns_us(path: &KeyPath) -> bool {
    let in_texts = |key: &Key| key.kind == Kind::Texts && path.starts_with(key.path);
    keys::all().any(|key| path.leads_to(key.path) || in_texts(key))
}

/// Whether a section takes names of the operator's own.
pub(crate) fn is_open(path: &KeyPath, default: &Map<String, Value>) -> bool {
    default.is_empty() || OPEN.iter().any(|open| path.matches(open))
}

/// Sections in which the operator's names have texts.
const WITH_TEXTS: [&str; 6] = [
    "PostgreSQL.Connection",
    "Containers.CloudVMs.ResourceTags",
    "Containers.CloudVMs.DriverParameters.InstanceTypeQuotaGroups",
    "Containers.SLURM.SbatchEnvironmentVariables",
    "Login.Google.AuthenticationRequestParameters",
    "Login.OpenIDConnect.AuthenticationRequestParameters",
];

/// Sections of names within what only other services know.
const INNER_SETS: [&str; 2] = ["Volumes.*.AccessViaHosts", "Volumes.*.StorageClasses"];

/// Whether the operator's names in this open section have sections below them, so that a name alone means something.
pub(crate) fn names_are_sections(path: &KeyPath) -> bool {
    let default = default_of(path.keys().iter().map(String::as_str));
    let known_open = default
        .and_then(Value::as_object)
        .is_some_and(|map| is_open(path, map));
    let holds_texts = WITH_TEXTS.iter().any(|section| path.matches(section));
    known_open && !holds_texts || INNER_SETS.iter().any(|section| path.matches(section))
}

/// Whether a list of names does where a set of them is wanted.
pub(crate) fn may_be_list(path: &KeyPath, default: &Value) -> bool {
    let is_empty = default.as_object().is_some_and(Map::is_empty);
    is_empty && read_by_us(path).is_none() && entry_template(path).is_empty()
}

/// What a value must be.
pub(crate) fn kind_of(path: &KeyPath, default: &Value) -> Kind {
    if let Some(key) = read_by_us(path).filter(|key| key.kind != Kind::Verbatim) {
        return key.kind;
    }
    if path.starts_with("Containers.CloudVMs.DriverParameters.*") {
        return Kind::Verbatim;
    }
    if OTHER_SIZES.iter().any(|size| path.matches(size)) {
        return Kind::Size;
    }
    match default {
        Value::Bool(_) => Kind::Bool,
        Value::Number(number) if number.is_f64() => Kind::Number,
        Value::Number(_) => Kind::Int,
        Value::String(text) if text != "0" && duration::parse(text).is_ok() => Kind::Duration,
        Value::String(_) => Kind::Text,
        Value::Array(_) => Kind::List,
        Value::Object(_) => Kind::Map,
        Value::Null => Kind::Verbatim,
    }
}

/// What the entries of an open section may have below them; empty if anything.
pub(crate) fn entry_template(section: &KeyPath) -> Map<String, Value> {
    let default_entry = |section: &str, name: &str| {
        defaults::arvados()[section][name]
            .as_object()
            .cloned()
            .unwrap_or_default()
    };
    if section.matches("InstanceTypes") {
        keys::template("InstanceTypes")
    } else if section.matches("Services.*.InternalURLs") {
        keys::template("InternalURLs")
    } else if section.matches("RemoteClusters") {
        default_entry("RemoteClusters", "*")
    } else if section.matches("StorageClasses") {
        default_entry("StorageClasses", "default")
    } else {
        Map::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_follow_from_the_table_and_the_defaults() {
        let kind = |path: &str| {
            let path = KeyPath::dotted(path);
            let mut default = &Value::Object(defaults().clone());
            for key in path.keys() {
                default = &default[key.as_str()];
            }
            kind_of(&path, default)
        };
        assert_eq!(kind("Collections.BlobSigningTTL"), Kind::Duration);
        assert_eq!(kind("Containers.ReserveExtraRAM"), Kind::Size);
        assert_eq!(kind("Containers.Logging.LogUpdateSize"), Kind::Size);
        assert_eq!(kind("Containers.CloudVMs.SSHPort"), Kind::Text);
        assert_eq!(kind("Containers.CloudVMs.MaxInstances"), Kind::Count);
        assert_eq!(kind("Containers.CloudVMs.TimeoutKILL"), Kind::Duration);
        assert_eq!(
            kind("Containers.CloudVMs.DriverParameters.DeleteDanglingResourcesAfter"),
            Kind::Verbatim
        );
        assert_eq!(kind("Containers.CloudVMs.DriverParameters"), Kind::Map);
        assert_eq!(kind("Containers.PreemptiblePriceFactor"), Kind::Number);
        assert_eq!(kind("Collections.WebDAVCache.DiskCacheSize"), Kind::Text);
        assert_eq!(kind("API.DisabledAPIs"), Kind::Map);
        assert_eq!(kind("Users.SyncIgnoredGroups"), Kind::List);
    }
}
