//! What must hold beyond each value being of its kind.

mod database;
mod key_files;
mod prices;

use std::collections::BTreeMap;

use dispatch_model::{InstanceType, InstanceTypeName};
use serde_json::Value;

use crate::{
    Address, ListenCandidate, SpotFallback, mask, nearest::nearest, path::KeyPath, reader::Reader,
};

pub(crate) use database::connection;
pub(crate) use key_files::{file_path, private_key, server_tls};
pub(crate) use prices::price_limit;

/// Shorter tokens can be guessed (facts §3.1).
const TOKEN_LEN_MIN: usize = 32;

const TOKEN_REMEDY: &str = "write one of 32 or more letters and digits, as `tr -dc A-Za-z0-9 </dev/urandom | head -c 48` makes";

/// The tokens of the cluster (facts §3.1).
pub(crate) fn tokens(reader: &mut Reader<'_>) {
    let stores = reader.count("Containers.LocalKeepBlobBuffersPerVCPU") > 0
        && !reader.section("Volumes").is_empty();
    for name in [
        "SystemRootToken",
        "ManagementToken",
        "Collections.BlobSigningKey",
    ] {
        let path = KeyPath::dotted(name);
        let token = reader.text(name);
        let value = Some(mask::masked(&path, token));
        if token.is_empty() {
            match name {
                "SystemRootToken" => {
                    let message = "is missing, and nothing works without it";
                    reader.report.error(
                        &path,
                        None,
                        message,
                        "copy it from the configuration of the cluster",
                    );
                }
                "ManagementToken" => {
                    let message =
                        "is missing, so the management API, metrics and health are closed";
                    reader.report.warning(&path, None, message, TOKEN_REMEDY);
                }
                _ if stores => {
                    let message = "is missing, so keepstores beside containers cannot serve";
                    reader.report.warning(
                        &path,
                        None,
                        message,
                        "copy it from the configuration of the cluster",
                    );
                }
                _ => {}
            }
        } else if !token.bytes().all(|b| b.is_ascii_alphanumeric()) {
            reader.report.error(
                &path,
                value,
                "has characters other than letters and digits",
                TOKEN_REMEDY,
            );
        } else if token.len() < TOKEN_LEN_MIN {
            let length = match token.len() {
                1 => "1 character".to_owned(),
                n => format!("{n} characters"),
            };
            let message = format!("has {length}, which is few for a secret");
            reader.report.warning(&path, value, message, TOKEN_REMEDY);
        }
    }
}

/// `Services.Controller.ExternalURL`.
pub(crate) fn controller(reader: &mut Reader<'_>) -> Option<Address> {
    const KEY: &str = "Services.Controller.ExternalURL";
    const REMEDY: &str = "write where the API is, as in https://arvados.example.com";
    let (path, text) = (KeyPath::dotted(KEY), reader.text(KEY));
    if text.is_empty() {
        reader.report.error(&path, None, "is missing", REMEDY);
        return None;
    }
    match Address::parse(text) {
        Ok(address) if address.host.is_empty() => {
            reader
                .report
                .error(&path, Some(mask::quoted(text)), "has no host", REMEDY);
            None
        }
        Ok(address) => Some(address),
        Err(error) => {
            reader.report.error(
                &path,
                Some(mask::quoted(&mask::masked(&path, text))),
                error.to_string(),
                REMEDY,
            );
            None
        }
    }
}

/// `Services.DispatchCloud.InternalURLs`.
pub(crate) fn listen_candidates(reader: &mut Reader<'_>) -> Vec<ListenCandidate> {
    const KEY: &str = "Services.DispatchCloud.InternalURLs";
    const REMEDY: &str = "write an address as in http://10.0.0.5:9006";
    let section = KeyPath::dotted(KEY);
    let mut candidates = Vec::new();
    for (url, entry) in reader.section(KEY) {
        let path = section.child(url);
        let internal = match Address::parse(url) {
            Ok(address) => address,
            Err(error) => {
                reader.report.error(&path, None, error.to_string(), REMEDY);
                continue;
            }
        };
        let listen_url = entry
            .get("ListenURL")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let listen = match Address::parse(if listen_url.is_empty() {
            url
        } else {
            listen_url
        }) {
            Ok(address) => address,
            Err(error) => {
                let path = path.child("ListenURL");
                let value = Some(mask::quoted(&mask::masked(&path, listen_url)));
                reader.report.error(&path, value, error.to_string(), REMEDY);
                continue;
            }
        };
        candidates.push(ListenCandidate {
            internal_url: url.clone(),
            internal,
            listen,
        });
    }
    if reader.section(KEY).is_empty() {
        let message = "is empty, so there is nowhere to listen: no management API, no metrics";
        reader.report.warning(
            &section,
            None,
            message,
            "add this host, as in `\"http://10.0.0.5:9006\": {}`",
        );
    }
    candidates
}

/// Tells that a text is none of those that have a meaning.
pub(crate) fn not_one_of(reader: &mut Reader<'_>, key: &str, allowed: &[&str]) {
    let text = reader.text(key);
    let mut remedy = format!("write one of {}", allowed.join(", "));
    if let Some(near) = nearest(text, allowed.iter().copied()) {
        remedy = format!("did you mean {near}? {remedy}");
    }
    reader.report.error(
        &KeyPath::dotted(key),
        Some(mask::quoted(text)),
        "has no meaning here",
        remedy,
    );
}

/// Drivers that this program can be built with.
const BUILDABLE_DRIVERS: [&str; 4] = ["ec2", "azure", "loopback", "lab"];

/// Tells that there is no such driver, or that it was left out of this build.
pub(crate) fn unknown_driver(reader: &mut Reader<'_>, known: &[&str]) {
    const KEY: &str = "Containers.CloudVMs.Driver";
    let driver = reader.text(KEY);
    if !BUILDABLE_DRIVERS.contains(&driver) {
        not_one_of(reader, KEY, known);
        return;
    }
    let remedy = format!(
        "install a program that was built with the cargo feature `{driver}`, or write one of {}",
        known.join(", ")
    );
    reader.report.error(
        &KeyPath::dotted(KEY),
        Some(mask::quoted(driver)),
        "is a driver that this program was built without",
        remedy,
    );
}

/// A port, which Arvados writes as a text: a number or a name.
pub(crate) fn port(reader: &mut Reader<'_>, key: &str) -> u16 {
    let text = reader.text(key);
    let services = || std::fs::read_to_string("/etc/services").unwrap_or_default();
    dispatch_model::tcp_port(text, services).unwrap_or_else(|| {
        reader.report.error(
            &KeyPath::dotted(key),
            Some(mask::quoted(text)),
            "is not a port",
            "write a number from 1 to 65535, \"ssh\", or a TCP service of /etc/services",
        );
        22
    })
}

/// `DeployRunnerDirectory`.
pub(crate) fn deploy_directory(reader: &mut Reader<'_>) -> String {
    const KEY: &str = "Containers.CloudVMs.DeployRunnerDirectory";
    let text = reader.text(KEY);
    if !text.starts_with('/')
        && !reader
            .text("Containers.CloudVMs.DeployRunnerBinary")
            .is_empty()
    {
        let remedy =
            "write a directory that may be made on the instances, as in /tmp/arvados-crunch-run";
        reader.report.error(
            &KeyPath::dotted(KEY),
            Some(mask::quoted(text)),
            "is not an absolute path",
            remedy,
        );
    }
    text.to_owned()
}

/// `MaxCommandOutput`: the answers of run probes must fit.
pub(crate) fn command_output(reader: &mut Reader<'_>) -> u64 {
    const KEY: &str = "Containers.CloudVMs.MaxCommandOutput";
    const MIN: u64 = 64 * 1024;
    let bytes = reader.bytes(KEY);
    if bytes < MIN {
        let message = "is less than the answers of runners may need";
        reader.report.error(
            &KeyPath::dotted(KEY),
            Some(bytes.to_string()),
            message,
            "write at least 64KiB",
        );
    }
    bytes
}

/// `FormerInstanceSetIDs`: others than the present one (facts K21).
pub(crate) fn former_set_ids(reader: &mut Reader<'_>, present: &str) -> Vec<String> {
    const KEY: &str = "Containers.CloudVMs.FormerInstanceSetIDs";
    let mut ids: Vec<String> = Vec::new();
    for id in reader.texts(KEY) {
        let id = id.trim().to_owned();
        let problem = if id.is_empty() {
            "has an empty entry, which is ignored"
        } else if id == present {
            "names the set id of the present SystemRootToken, which needs no mention"
        } else if ids.contains(&id) {
            "names a set id twice"
        } else {
            ids.push(id);
            continue;
        };
        reader
            .report
            .warning(&KeyPath::dotted(KEY), Some(id), problem, "leave it out");
    }
    ids
}

/// `SupervisorFraction`: a share.
pub(crate) fn supervisor_fraction(reader: &mut Reader<'_>) -> f64 {
    const KEY: &str = "Containers.CloudVMs.SupervisorFraction";
    let fraction = reader.number(KEY);
    if fraction > 1.0 {
        reader.report.warning(
            &KeyPath::dotted(KEY),
            Some(fraction.to_string()),
            "is more than all instances, so it limits nothing",
            "write a share such as 0.5, or 0 if no limit is meant",
        );
    }
    fraction
}

/// `SpotFallbackPriceFactor`: it must fit something (facts K34).
pub(crate) fn spot_fallback(
    reader: &mut Reader<'_>,
    fallback: &SpotFallback,
    types: &BTreeMap<InstanceTypeName, InstanceType>,
) {
    if !ratios(types, fallback.price_factor).is_empty() {
        return;
    }
    let least = (ratios(types, f64::INFINITY).into_iter()).min_by(f64::total_cmp);
    let remedy = match least {
        Some(least) if least.is_finite() => {
            format!("write at least {:.2}", (least * 100.0).ceil() / 100.0)
        }
        _ => "configure a spot type and an on-demand type of the same ProviderType, at least as large".to_owned(),
    };
    reader.report.warning(
        &KeyPath::dotted("Containers.CloudVMs.SpotFallbackPriceFactor"),
        Some(fallback.price_factor.to_string()),
        "has no effect: no on-demand type can take the place of any spot type at that price",
        remedy,
    );
}

/// How many times as dear as a spot type each on-demand type is that can take its place.
fn ratios(types: &BTreeMap<InstanceTypeName, InstanceType>, price_factor: f64) -> Vec<f64> {
    let spot_types = types.values().filter(|one| one.preemptible);
    let mut ratios = Vec::new();
    for spot in spot_types {
        let twins = types.values();
        let twins = twins.filter(|one| one.stands_in_for(spot, price_factor));
        ratios.extend(twins.map(|twin| twin.price / spot.price));
    }
    ratios
}

/// `TagKeyPrefix`: what tells our tags from those of others.
pub(crate) fn tag_key_prefix(reader: &mut Reader<'_>) -> String {
    const KEY: &str = "Containers.CloudVMs.TagKeyPrefix";
    let prefix = reader.text(KEY);
    if prefix.is_empty() {
        reader.report.warning(
            &KeyPath::dotted(KEY),
            None,
            "is empty, so our tags have names such as InstanceType that others may use too",
            "write a prefix, or remove the key for Arvados",
        );
    }
    prefix.to_owned()
}

/// Keys that the Go dispatcher honours and we do not.
pub(crate) fn not_honoured(reader: &mut Reader<'_>) {
    const KEY: &str = "SystemLogs.RequestQueueDumpDirectory";
    let directory = reader.text(KEY);
    if !directory.is_empty() {
        reader.report.warning(
            &KeyPath::dotted(KEY),
            Some(mask::quoted(directory)),
            "has no effect on the dispatcher",
            "look at /_inspect/requests of the management API instead; other services may still use it",
        );
    }
}

/// `ResourceTags`, without those that our own tags would hide.
pub(crate) fn resource_tags(reader: &mut Reader<'_>, prefix: &str) -> BTreeMap<String, String> {
    const KEY: &str = "Containers.CloudVMs.ResourceTags";
    const OURS: [&str; 7] = [
        "InstanceSetID",
        "InstanceType",
        "IdleBehavior",
        "InstanceSecret",
        "GPUs",
        "VMImage",
        "RunnerUser",
    ];
    let mut tags = BTreeMap::new();
    for (name, value) in reader.section(KEY) {
        if OURS
            .iter()
            .any(|ours| name.strip_prefix(prefix) == Some(ours))
        {
            let path = KeyPath::dotted(KEY).child(name);
            let message = "collides with a tag of ours, which goes first";
            reader
                .report
                .warning(&path, None, message, "rename it, or change TagKeyPrefix");
            continue;
        }
        tags.insert(name.clone(), value.as_str().unwrap_or_default().to_owned());
    }
    tags
}

/// Whether keepstores beside containers can work (facts §2.2.2, §3.1). Other services own these keys: warnings only.
pub(crate) fn volumes(reader: &mut Reader<'_>) {
    let classes = reader.section("StorageClasses");
    if !classes
        .values()
        .any(|class| class.get("Default") == Some(&Value::Bool(true)))
    {
        let message = "has no class with Default: true";
        reader.report.warning(
            &KeyPath::dotted("StorageClasses"),
            None,
            message,
            "mark one as the default",
        );
    }
    let wanted = reader.count("Containers.LocalKeepBlobBuffersPerVCPU") > 0;
    let replication = reader
        .value("Collections.DefaultReplication")
        .as_i64()
        .unwrap_or(0);
    for (uuid, volume) in reader.section("Volumes") {
        let path = KeyPath::dotted("Volumes").child(uuid);
        let of_volume = volume.get("StorageClasses").and_then(Value::as_object);
        for class in of_volume
            .into_iter()
            .flat_map(|map| map.keys())
            .filter(|class| !classes.contains_key(*class))
        {
            let path = path.child("StorageClasses").child(class);
            reader.report.warning(
                &path,
                None,
                "is not one of StorageClasses",
                "add it there, or correct the name",
            );
        }
        let by_hosts = volume
            .get("AccessViaHosts")
            .and_then(Value::as_object)
            .is_some_and(|hosts| !hosts.is_empty());
        let writable = volume.get("ReadOnly") != Some(&Value::Bool(true));
        let copies = volume
            .get("Replication")
            .and_then(Value::as_i64)
            .unwrap_or(1)
            .max(1);
        let why = if by_hosts {
            "has AccessViaHosts"
        } else if writable && copies < replication {
            "has a Replication below Collections.DefaultReplication"
        } else {
            continue;
        };
        if wanted {
            let message = format!("{why}, so no keepstore runs beside containers");
            let remedy = "set Containers.LocalKeepBlobBuffersPerVCPU: 0 if that is meant";
            reader.report.warning(&path, None, message, remedy);
        }
    }
}
