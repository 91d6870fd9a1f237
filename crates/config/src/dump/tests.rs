//! Tests of the dump.

use jiff::Timestamp;

use super::*;
use crate::{Context, HostFacts, Source, convert::verbatim, document, load};

const TEXT: &str = r##"
Clusters:
  zzzzz:
    SystemRootToken: 0123456789abcdefghijklmnopqrstuvwxyz
    ManagementToken: 0123456789abcdefghijklmnopqrstuvwxyz
    Collections: {BlobSigningKey: 0123456789abcdefghijklmnopqrstuvwxyz, BlobSigningTTL: 336h}
    PostgreSQL: {Connection: {host: db, password: hunter2}}
    Services:
      Foo: {apiKey: hunter2}
      Controller: {ExternalURL: "https://arvados.example"}
      DispatchCloud: {InternalURLs: {"http://127.0.0.1:9006": {ListenURL: "http://:9006"}}}
    Containers:
      DispatchPrivateKey: "-----BEGIN PRIVATE KEY-----\nhunter2\n-----END PRIVATE KEY-----"
      PreemptiblePriceFactor: 0.5
      CrunchRunArgumentsList: ["--a=b c", "it's", "{}", "~", "yes", "1e3", "#x", "a: b", "\ttab", "multi\nline\n"]
      CloudVMs:
        TimeoutIdle: 0s
        TimeoutKILL: 90s
        InstanceInitCommand: "curl -u joe:hunter2 https://example/setup | sh"
        ResourceTags: {"odd key: #": "null", "": " x "}
        DriverParameters: {SecretAccessKey: hunter2, SubnetID: [a, b]}
    InstanceTypes: {m5.large: {VCPUs: 2, RAM: 8GiB, Price: 0.1}}
    Volumes: {zzzzz-nyw5e-000000000000000: {Driver: S3, DriverParameters: {SecretAccessKey: hunter2}, Replication: 2}}
"##;

fn loaded() -> Loaded {
    let source = Source::from_text(TEXT, Format::Yaml, "config.yml", Timestamp::UNIX_EPOCH);
    let host = HostFacts {
        cpus: 1,
        ram_bytes: 1,
        tmp_bytes: 1,
    };
    load(
        &source,
        &Context {
            known_drivers: &[],
            host,
        },
    )
    .unwrap()
}

#[test]
fn both_syntaxes_read_back_as_the_same_masked_configuration() {
    let loaded = loaded();
    let read_back = |format| {
        let text = dump(&loaded, format);
        assert!(
            !text.contains("hunter2") && !text.contains("0123456789abc"),
            "{text}"
        );
        verbatim(&document::parse(&text, format, "dump").unwrap())
    };
    let yaml = read_back(Format::Yaml);
    assert_eq!(yaml, read_back(Format::Toml));
    let cluster = &yaml["Clusters"]["zzzzz"];
    assert_eq!(cluster["SystemRootToken"], crate::MASK);
    assert_eq!(
        cluster["PostgreSQL"]["Connection"],
        json!({"dbname": "", "host": "db", "password": crate::MASK, "port": "", "user": ""})
    );
    let containers = &cluster["Containers"];
    let arguments = [
        "--a=b c",
        "it's",
        "{}",
        "~",
        "yes",
        "1e3",
        "#x",
        "a: b",
        "\ttab",
        "multi\nline\n",
    ];
    assert_eq!(containers["CrunchRunArgumentsList"], json!(arguments));
    assert_eq!(
        containers["CloudVMs"]["ResourceTags"],
        json!({"odd key: #": "null", "": " x "})
    );
    assert_eq!(
        containers["CloudVMs"]["DriverParameters"]["SecretAccessKey"],
        crate::MASK
    );
    assert_eq!(
        containers["CloudVMs"]["DriverParameters"]["SubnetID"],
        json!(["a", "b"])
    );
}

#[test]
fn the_dump_shows_what_is_in_effect() {
    let loaded = loaded();
    let text = dump(&loaded, Format::Yaml);
    let whole = verbatim(&document::parse(&text, Format::Yaml, "dump").unwrap());
    let cluster = &whole["Clusters"]["zzzzz"];
    let cloud_vms = &cluster["Containers"]["CloudVMs"];
    assert_eq!(cloud_vms["TimeoutIdle"], "1m", "fell back to its default");
    assert_eq!(cloud_vms["TimeoutKILL"], "1m30s", "our own key is there");
    assert_eq!(cloud_vms["MaxInstances"], 64);
    assert_eq!(
        cluster["InstanceTypes"]["m5.large"]["ProviderType"],
        "m5.large"
    );
    assert_eq!(
        cluster["InstanceTypes"]["m5.large.preemptible"]["Price"],
        0.05
    );
}
