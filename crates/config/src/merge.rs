//! The operator's values over the defaults (facts §3.1): sections are merged, everything else is replaced, nothing
//! (`null`) changes nothing. Values of a known kind come out in the form that Arvados itself writes.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::{
    Severity,
    convert::{convert, verbatim},
    document::{Content, Entry, Node},
    keys::Kind,
    mask,
    nearest::nearest,
    path::KeyPath,
    report::Report,
    schema,
};

/// Merges a cluster's section over all defaults, ours included.
pub(crate) fn merge(cluster: &Node, report: &mut Report) -> Map<String, Value> {
    let root = KeyPath::default();
    let mut merged = schema::defaults().clone();
    match &cluster.content {
        Content::Null => {}
        Content::Map(entries) => {
            merged = section(&root, schema::defaults(), merged, entries, report)
        }
        _ => wrong_kind(&root, cluster, report),
    }
    merged
}

/// A section whose keys are known. `base` is what it holds before.
fn section(
    path: &KeyPath,
    known: &Map<String, Value>,
    mut base: Map<String, Value>,
    entries: &[Entry],
    report: &mut Report,
) -> Map<String, Value> {
    for entry in once_each(path, entries, report) {
        let child = path.child(&entry.key);
        report.place(&child, entry.key_line);
        let value = match known.get(&entry.key) {
            Some(default) => {
                merged_value(&child, default, base.get(&entry.key), &entry.value, report)
            }
            None => unknown(path, known, entry, report),
        };
        if let Some(value) = value {
            base.insert(entry.key.clone(), value);
        }
    }
    base
}

/// One value of a known key; `None` if it changes nothing.
fn merged_value(
    path: &KeyPath,
    default: &Value,
    base: Option<&Value>,
    node: &Node,
    report: &mut Report,
) -> Option<Value> {
    let base_map = || base.and_then(Value::as_object).cloned().unwrap_or_default();
    match (default, &node.content) {
        (_, Content::Null) => None,
        (Value::Object(known), Content::Map(entries)) if schema::is_open(path, known) => Some(
            Value::Object(open_section(path, base_map(), entries, report)),
        ),
        (Value::Object(known), Content::Map(entries)) => Some(Value::Object(section(
            path,
            known,
            base_map(),
            entries,
            report,
        ))),
        // Other services take a list of names as well where they want a set of them, and so do drivers.
        (Value::Object(_), Content::List(_)) if schema::may_be_list(path, default) => {
            Some(open_value(path, None, node, report))
        }
        // Drivers read their own parameters and say what is wrong with them, so nothing is dropped here.
        (Value::Object(_), _) if path.starts_with("Containers.CloudVMs.DriverParameters.*") => {
            Some(open_value(path, None, node, report))
        }
        (Value::Object(_), _) => {
            wrong_kind(path, node, report);
            None
        }
        _ => match schema::kind_of(path, default) {
            Kind::Verbatim => Some(open_value(path, None, node, report)),
            kind => leaf(path, kind, node, report),
        },
    }
}

/// A section with names of the operator's own.
fn open_section(
    path: &KeyPath,
    mut base: Map<String, Value>,
    entries: &[Entry],
    report: &mut Report,
) -> Map<String, Value> {
    let template = schema::entry_template(path);
    let texts = schema::read_by_us(path).is_some_and(|key| key.kind == Kind::Texts);
    // The class `default` is there unless the operator names classes (facts §3.1).
    if path.matches("StorageClasses") && !entries.is_empty() {
        base.clear();
    }
    let entries = once_each(path, entries, report);
    tell_names_that_differ_by_case(path, &entries, report);
    for entry in entries {
        let child = path.child(&entry.key);
        report.place(&child, entry.key_line);
        if texts && !base.contains_key(&entry.key) && other_case(&entry.key, &base).is_some() {
            unknown(path, &base, entry, report);
            continue;
        }
        let value = match &entry.value.content {
            // A name without anything below it, such as a URL where a service listens.
            Content::Null if schema::names_are_sections(path) && !base.contains_key(&entry.key) => {
                Some(Value::Object(Map::new()))
            }
            Content::Null => None,
            Content::Map(fields) if !template.is_empty() => {
                let before = base
                    .get(&entry.key)
                    .and_then(Value::as_object)
                    .cloned()
                    .unwrap_or_default();
                Some(Value::Object(section(
                    &child, &template, before, fields, report,
                )))
            }
            _ if !template.is_empty() => {
                wrong_kind(&child, &entry.value, report);
                None
            }
            _ if texts => leaf(&child, Kind::Text, &entry.value, report),
            _ => Some(open_value(
                &child,
                base.get(&entry.key),
                &entry.value,
                report,
            )),
        };
        if let Some(value) = value {
            base.insert(entry.key.clone(), value);
        }
    }
    base
}

/// Something that only other services or drivers read. Not null.
fn open_value(path: &KeyPath, base: Option<&Value>, node: &Node, report: &mut Report) -> Value {
    match &node.content {
        Content::Map(entries) => {
            let base = base.and_then(Value::as_object).cloned().unwrap_or_default();
            Value::Object(open_section(path, base, entries, report))
        }
        Content::List(items) => {
            let given = items.iter().filter(|item| item.content != Content::Null);
            given
                .map(|item| open_value(path, None, item, report))
                .collect()
        }
        _ => verbatim(node),
    }
}

fn leaf(path: &KeyPath, kind: Kind, node: &Node, report: &mut Report) -> Option<Value> {
    match convert(kind, node) {
        Ok(value) => Some(value),
        Err(wrong) => {
            let value = mask::shown(path, node);
            if schema::concerns_us(path) {
                report.error(path, value, wrong.message, wrong.remedy);
                None
            } else {
                report.warning(path, value, wrong.message, wrong.remedy);
                Some(verbatim(node))
            }
        }
    }
}

fn wrong_kind(path: &KeyPath, node: &Node, report: &mut Report) {
    let severity = if schema::concerns_us(path) {
        Severity::Error
    } else {
        Severity::Warning
    };
    let mut remedy = "write the keys below it, indented".to_owned();
    if path.matches("InstanceTypes") && matches!(node.content, Content::List(_)) {
        remedy =
            "write each type under its name, as in `InstanceTypes: {small: {VCPUs: 2, RAM: 4GiB}}`"
                .to_owned();
    }
    report.tell(
        severity,
        path,
        mask::shown(path, node),
        format!("is {} where a section is needed", node.kind()),
        remedy,
    );
}

/// The entries whose keys count: those that are examples or repetitions do not.
fn once_each<'a>(path: &KeyPath, entries: &'a [Entry], report: &mut Report) -> Vec<&'a Entry> {
    let mut first: BTreeMap<&str, u32> = BTreeMap::new();
    let mut kept = Vec::new();
    for entry in entries.iter().filter(|entry| entry.key != "SAMPLE") {
        if let Some(line) = first.get(entry.key.as_str()) {
            let message = format!(
                "is there twice, in line {line} and in line {}",
                entry.key_line
            );
            let child = path.child(&entry.key);
            report.place(&child, *line);
            report.error(&child, None, message, "keep one of the two");
        } else {
            first.insert(&entry.key, entry.key_line);
            kept.push(entry);
        }
    }
    kept
}

/// Names that differ only by case are one name to a database, and to whoever reads the list of instance types.
fn tell_names_that_differ_by_case(path: &KeyPath, entries: &[&Entry], report: &mut Report) {
    if !path.matches("InstanceTypes") && !path.matches("PostgreSQL.Connection") {
        return;
    }
    let mut seen: BTreeMap<String, &Entry> = BTreeMap::new();
    for entry in entries {
        if let Some(first) = seen.insert(entry.key.to_lowercase(), entry) {
            let child = path.child(&entry.key);
            report.place(&child, entry.key_line);
            let message = format!(
                "collides with {:?} in line {}: they differ only by case",
                first.key, first.key_line
            );
            report.error(&child, None, message, "rename or remove one of the two");
        }
    }
}

fn other_case<'a>(key: &str, known: &'a Map<String, Value>) -> Option<&'a str> {
    known
        .keys()
        .map(String::as_str)
        .find(|name| name.eq_ignore_ascii_case(key) && *name != key)
}

/// A key that nobody knows: told with what may have been meant. Its value goes to the runner all the same, since a
/// newer Arvados may know it; but a key that differs only by case is dropped (C1).
fn unknown(
    section: &KeyPath,
    known: &Map<String, Value>,
    entry: &Entry,
    report: &mut Report,
) -> Option<Value> {
    let path = section.child(&entry.key);
    if let Some(name) = other_case(&entry.key, known) {
        report.warning(
            &path,
            None,
            "is ignored: its upper and lower case is wrong",
            format!("write {name}"),
        );
        return None;
    }
    if section.matches("InstanceTypes.*") && matches!(entry.key.as_str(), "Name" | "Scratch") {
        let remedy = "remove it; Scratch is IncludedScratch plus AddedScratch";
        report.warning(
            &path,
            None,
            "is ignored: it follows from other keys",
            remedy,
        );
        return None;
    }
    let near = nearest(&entry.key, known.keys().map(String::as_str));
    if section.starts_with("Containers.CloudVMs.DriverParameters") {
        // Each driver has keys of its own and checks them; only a likely slip is told here.
        if let Some(near) = near {
            report.warning(
                &path,
                None,
                "is not a key of Arvados",
                format!("did you mean {near}?"),
            );
        }
        return (entry.value.content != Content::Null)
            .then(|| open_value(&path, None, &entry.value, report));
    }
    let remedy = if let Some(legacy) = legacy(&entry.key) {
        legacy.to_owned()
    } else if let Some(elsewhere) = elsewhere(&entry.key) {
        format!("did you mean {elsewhere}?")
    } else if let Some(near) = near {
        format!("did you mean {near}?")
    } else {
        "remove it, unless a newer Arvados knows it".to_owned()
    };
    report.warning(
        &path,
        None,
        "is not a key of Arvados and has no effect on the dispatcher",
        remedy,
    );
    (entry.value.content != Content::Null).then(|| open_value(&path, None, &entry.value, report))
}

/// What became of keys that Arvados once had.
fn legacy(key: &str) -> Option<&'static str> {
    match key {
        "CUDA" => Some("write a section GPU with Stack: cuda instead"),
        "MaxCloudVMs" | "MaxComputeVMs" => Some("use Containers.CloudVMs.MaxInstances instead"),
        _ => None,
    }
}

/// The place where a key of exactly this name belongs.
fn elsewhere(key: &str) -> Option<&'static str> {
    let mut places = crate::defaults::rows()
        .map(|(path, _)| path)
        .chain(crate::keys::OWN.iter().map(|(key, _)| key.path))
        .filter(|path| path.rsplit('.').next() == Some(key));
    let place = places.next()?;
    places.next().is_none().then_some(place)
}

#[cfg(test)]
mod tests;
