//! Tests of the merge.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::{Format, defaults, document};

/// The merged configuration, and what was told.
fn merged(text: &str) -> (Value, Vec<String>) {
    let node = document::parse(text, Format::Yaml, "f").unwrap();
    let mut report = Report::new("f", "zzzzz");
    let merged = Value::Object(merge(&node, &mut report));
    (
        merged,
        report
            .into_problems()
            .iter()
            .map(ToString::to_string)
            .collect(),
    )
}

/// Paths and values of everything that is not a section with something in it.
fn leaves(value: &Value) -> BTreeMap<String, Value> {
    fn walk(path: &str, value: &Value, out: &mut BTreeMap<String, Value>) {
        match value {
            Value::Object(map) if !map.is_empty() => {
                map.iter()
                    .for_each(|(key, value)| walk(&format!("{path}/{key}"), value, out));
            }
            _ => {
                out.insert(path.to_owned(), value.clone());
            }
        }
    }
    let mut out = BTreeMap::new();
    walk("", value, &mut out);
    out
}

#[test]
fn the_result_is_the_operators_values_over_the_defaults_leaf_by_leaf() {
    let text = r#"
SystemRootToken: abc
ManagementToken: def
Services:
  Controller: {ExternalURL: "https://a.example", InternalURLs: {"http://c:1": ~, SAMPLE: {}}}
  Keepstore: {InternalURLs: {"http://k1": {Rendezvous: x}, "http://k2": {}}}
RemoteClusters: {abcde: {Host: h, Proxy: true}}
API: {RequestTimeout: 90s, MaxRequestSize: 5, DisabledAPIs: [jobs.list]}
StorageClasses: {fast: {Default: true, Priority: 7}}
Volumes:
  zzzzz-nyw5e-0: {AccessViaHosts: {"http://k1": {ReadOnly: true}}, Driver: S3, ReadOnly: no, DriverParameters: {Bucket: b, RaceWindow: 24h, PartSize: 5}}
Login: {Test: {Users: {joe: {Email: j@x, Password: p}}}, PAM: ~}
Users: {AutoSetupUsernameBlacklist: {joe: {}}, SyncIgnoredGroups: [a]}
Containers:
  ReserveExtraRAM: 1.5 GiB
  CrunchRunArgumentsList: [-x, "5"]
  SLURM: {SbatchEnvironmentVariables: {A: b}}
  CloudVMs:
    TimeoutIdle: 120s
    ProbeInterval:
    ResourceTags: {a: b}
    DriverParameters: {Region: r, SecurityGroupIDs: [sg-1], InstanceTypeQuotaGroups: {x: y}, DeleteDanglingResourcesAfter: 60s}
InstanceTypes: {m5.large: {VCPUs: 2, RAM: 8 GB, Price: 0.25}}
PostgreSQL: {Connection: {host: db, sslmode: disable}}
"#;
    let over = json!({
        "/SystemRootToken": "abc",
        "/ManagementToken": "def",
        "/Services/Controller/ExternalURL": "https://a.example",
        "/Services/Controller/InternalURLs/http://c:1": {},
        "/Services/Keepstore/InternalURLs/http://k1/Rendezvous": "x",
        "/Services/Keepstore/InternalURLs/http://k2": {},
        "/RemoteClusters/abcde/Host": "h",
        "/RemoteClusters/abcde/Proxy": true,
        "/API/RequestTimeout": "1m30s",
        "/API/MaxRequestSize": 5,
        "/API/DisabledAPIs": ["jobs.list"],
        "/StorageClasses/fast/Default": true,
        "/StorageClasses/fast/Priority": 7,
        "/Volumes/zzzzz-nyw5e-0/AccessViaHosts/http://k1/ReadOnly": true,
        "/Volumes/zzzzz-nyw5e-0/ReadOnly": false,
        "/Volumes/zzzzz-nyw5e-0/Driver": "S3",
        "/Volumes/zzzzz-nyw5e-0/DriverParameters/Bucket": "b",
        "/Volumes/zzzzz-nyw5e-0/DriverParameters/RaceWindow": "24h",
        "/Volumes/zzzzz-nyw5e-0/DriverParameters/PartSize": 5,
        "/Login/Test/Users/joe/Email": "j@x",
        "/Login/Test/Users/joe/Password": "p",
        "/Users/AutoSetupUsernameBlacklist/joe": {},
        "/Users/SyncIgnoredGroups": ["a"],
        "/Containers/ReserveExtraRAM": 1_610_612_736,
        "/Containers/CrunchRunArgumentsList": ["-x", "5"],
        "/Containers/SLURM/SbatchEnvironmentVariables/A": "b",
        "/Containers/CloudVMs/TimeoutIdle": "2m",
        "/Containers/CloudVMs/ResourceTags/a": "b",
        "/Containers/CloudVMs/DriverParameters/Region": "r",
        "/Containers/CloudVMs/DriverParameters/SecurityGroupIDs": ["sg-1"],
        "/Containers/CloudVMs/DriverParameters/InstanceTypeQuotaGroups/x": "y",
        "/Containers/CloudVMs/DriverParameters/DeleteDanglingResourcesAfter": "60s",
        "/InstanceTypes/m5.large/VCPUs": 2,
        "/InstanceTypes/m5.large/RAM": 8_000_000_000u64,
        "/InstanceTypes/m5.large/Price": 0.25,
        "/PostgreSQL/Connection/host": "db",
        "/PostgreSQL/Connection/sslmode": "disable",
    });
    // Sections that are empty by default are no leaves any more, and the class `default` goes when others are named.
    let gone = [
        "/Services/Controller/InternalURLs",
        "/Services/Keepstore/InternalURLs",
        "/StorageClasses/default/Default",
        "/StorageClasses/default/Priority",
        "/Volumes",
        "/Login/Test/Users",
        "/Containers/SLURM/SbatchEnvironmentVariables",
        "/Containers/CloudVMs/ResourceTags",
        "/InstanceTypes",
    ];
    let mut expected = leaves(&Value::Object(defaults::arvados().clone()));
    gone.iter()
        .for_each(|path| assert!(expected.remove(*path).is_some(), "{path}"));
    for (path, value) in over.as_object().unwrap() {
        expected.insert(path.clone(), value.clone());
    }
    // Keys of our own.
    expected.insert("/Containers/CloudVMs/TimeoutAPI".into(), json!("1m"));
    expected.insert("/Containers/CloudVMs/TimeoutKILL".into(), json!("0s"));
    expected.insert(
        "/Containers/CloudVMs/MaxCommandOutput".into(),
        json!(16_777_216),
    );
    expected.insert(
        "/Containers/CloudVMs/SpotFallbackPriceFactor".into(),
        json!(0),
    );
    expected.insert(
        "/Containers/CloudVMs/SpotFallbackInterruptions".into(),
        json!(3),
    );
    expected.insert(
        "/Containers/CloudVMs/SpotFallbackWindow".into(),
        json!("1h"),
    );
    expected.insert("/Containers/CloudVMs/MaxPricePerHour".into(), json!(0));
    expected.insert(
        "/Containers/CloudVMs/FormerInstanceSetIDs".into(),
        json!([]),
    );
    expected.insert("/Containers/CloudVMs/RunnerUser".into(), json!(""));
    expected.insert("/Containers/CloudVMs/AllowedImages".into(), json!({}));
    let (merged, told) = merged(text);
    assert_eq!(told, Vec::<String>::new());
    let actual = leaves(&merged);
    let paths: std::collections::BTreeSet<&String> = actual.keys().chain(expected.keys()).collect();
    for path in paths {
        assert_eq!(actual.get(path), expected.get(path), "{path}");
    }
}

#[test]
fn an_empty_cluster_is_the_defaults() {
    for text in [
        "",
        "Containers:\n",
        "Containers: {CloudVMs: ~}\nAPI: {RequestTimeout: null}\n",
        "SAMPLE: {a: b}\n",
    ] {
        let (merged, told) = merged(text);
        assert_eq!(
            (merged, told),
            (Value::Object(schema::defaults().clone()), vec![]),
            "{text}"
        );
    }
}

#[test]
fn unknown_keys_pass_through_and_those_of_wrong_case_do_not() {
    let (merged, told) = merged(
        "NewSection: {A: 1, B: ~, SAMPLE: 3}\nContainers: {NewKey: [1, ~], reserveExtraRAM: 5, ReserveExtraRam: 6, Gone: ~}\n",
    );
    assert_eq!(merged["NewSection"], json!({"A": 1}));
    assert_eq!(merged["Containers"]["NewKey"], json!([1]));
    assert!(merged["Containers"].get("reserveExtraRAM").is_none());
    assert!(merged["Containers"].get("Gone").is_none());
    assert_eq!(merged["Containers"]["ReserveExtraRAM"], 576_716_800);
    assert_eq!(told.len(), 5, "{told:#?}");
}

#[test]
fn mistakes_in_keys_of_other_services_are_warnings_and_pass_through() {
    let (merged, told) = merged("Collections: {BlobTrash: maybe, BlobSigningTTL: 5}\nLogin: 7\n");
    assert_eq!(merged["Collections"]["BlobTrash"], "maybe");
    assert_eq!(merged["Collections"]["BlobSigningTTL"], 5);
    assert_eq!(merged["Login"]["PAM"]["Enable"], false);
    assert!(
        told.iter().all(|line| line.contains(": warning: ")),
        "{told:#?}"
    );
    assert_eq!(told.len(), 3, "{told:#?}");
}

#[test]
fn null_changes_nothing_but_may_stand_for_an_empty_section() {
    let (merged, told) = merged(
        "Volumes: {v: {ReadOnly: ~, Replication: null, StorageClasses: {a: ~}, AccessViaHosts: {h: ~}, L: [~, 1]}}\n\
         API: {DisabledAPIs: {x: ~}}\nLogin: {OpenIDConnect: {AuthenticationRequestParameters: {p: ~}}}\n\
         Containers: {CloudVMs: {DriverParameters: {SubnetID: ~, SecurityGroupIDs: {sg-1: ~}}}}\n",
    );
    assert_eq!(told, Vec::<String>::new());
    assert_eq!(
        merged["Volumes"]["v"],
        json!({"StorageClasses": {"a": {}}, "AccessViaHosts": {"h": {}}, "L": [1]})
    );
    assert_eq!(merged["API"]["DisabledAPIs"], json!({"x": {}}));
    assert_eq!(
        merged["Login"]["OpenIDConnect"]["AuthenticationRequestParameters"],
        json!({})
    );
    let parameters = &merged["Containers"]["CloudVMs"]["DriverParameters"];
    assert_eq!(
        (&parameters["SubnetID"], &parameters["SecurityGroupIDs"]),
        (&json!(""), &json!({"sg-1": {}}))
    );
}

#[test]
fn what_drivers_read_reaches_them_in_whatever_form_it_is_written() {
    let (merged, told) = merged(
        "Containers: {CloudVMs: {DriverParameters: {SecurityGroupIDs: sg-1, InstanceTypeQuotaGroups: [m]}}}\n",
    );
    assert_eq!(told, Vec::<String>::new());
    let parameters = &merged["Containers"]["CloudVMs"]["DriverParameters"];
    assert_eq!(parameters["SecurityGroupIDs"], "sg-1");
    assert_eq!(parameters["InstanceTypeQuotaGroups"], json!(["m"]));
}

#[test]
fn a_key_that_is_there_twice_is_found_at_any_depth() {
    let (_, told) = merged(
        "API: {A: 1, A: 2}\nVolumes: {v: {D: {x: 1, x: 2}}, v: {}}\nContainers: {CloudVMs: {DriverParameters: {Q: [{y: 1, y: 2}]}}}\n",
    );
    let twice = told
        .iter()
        .filter(|line| line.contains("is there twice"))
        .count();
    assert_eq!(twice, 4, "{told:#?}");
}

proptest! {
    /// Whatever is written over any one default, all other leaves stay, and that one holds what was written.
    #[test]
    fn one_value_changes_one_leaf(row in 0..defaults::rows().count(), number in 1u32..1000) {
        let (path, default) = defaults::rows().nth(row).unwrap();
        let written = match &default {
            Value::Bool(value) => json!(!value),
            Value::Number(_) => json!(number),
            Value::String(text) if crate::duration::parse(text).is_ok() => json!(crate::duration::canonical(i64::from(number) * 1_000_000_000)),
            Value::String(_) => json!(format!("x{number}")),
            Value::Array(_) => json!([format!("x{number}")]),
            _ => return Ok(()),
        };
        let tree = defaults::tree([(path, written.clone())].into_iter());
        let (merged, told) = merged(&serde_json::to_string(&tree).unwrap());
        prop_assert_eq!(told, Vec::<String>::new());
        let mut expected = leaves(&Value::Object(schema::defaults().clone()));
        if path.starts_with("StorageClasses.") {
            expected.retain(|leaf, _| !leaf.starts_with("/StorageClasses/"));
        }
        expected.insert(format!("/{}", path.replace('.', "/")), written);
        prop_assert_eq!(leaves(&merged), expected);
    }
}
