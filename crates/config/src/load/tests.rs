//! Tests of whole files: what is told of them, and what comes out.

use expect_test::{Expect, expect};

use super::*;
use crate::Format;

pub(crate) const TOKEN: &str = "0123456789abcdefghijklmnopqrstuvwxyzABCD";
const KEY: &str = "-----BEGIN RSA PRIVATE KEY-----\\nMIIB\\n-----END RSA PRIVATE KEY-----\\n";
const HOST: HostFacts = HostFacts {
    cpus: 4,
    ram_bytes: 8 << 30,
    tmp_bytes: 100 << 30,
};

/// A file that has all it needs, with more below the cluster.
fn file(more: &str) -> String {
    format!(
        "Clusters:\n  zzzzz:\n    SystemRootToken: {TOKEN}\n    ManagementToken: m{TOKEN}\n    Services:\n      \
         Controller: {{ExternalURL: \"https://arvados.example:8443/\"}}\n      DispatchCloud: {{InternalURLs: \
         {{\"http://127.0.0.1:9006\": ~}}}}\n    Containers:\n      DispatchPrivateKey: \"{KEY}\"\n    \
         InstanceTypes: {{small: {{VCPUs: 2, RAM: 4GiB, Price: 0.1}}}}\n{more}"
    )
}

fn read(text: &str) -> Result<Loaded, Vec<Problem>> {
    let source = Source::from_text(text, Format::Yaml, "config.yml", Timestamp::UNIX_EPOCH);
    load(
        &source,
        &Context {
            known_drivers: &["ec2", "azure", "loopback"],
            host: HOST,
        },
    )
}

fn told(text: &str) -> String {
    match read(text) {
        Ok(loaded) => {
            loaded
                .warnings
                .iter()
                .map(|p| format!("{p}\n"))
                .collect::<String>()
                + "loaded\n"
        }
        Err(problems) => problems.iter().map(|p| format!("{p}\n")).collect(),
    }
}

#[track_caller]
fn check_told(text: &str, expected: Expect) {
    expected.assert_eq(&told(text));
}

/// Replaces the section Containers of the usual file.
fn with_cloud_vms(lines: &str) -> String {
    file("").replace(
        "    InstanceTypes:",
        &format!(
            "      CloudVMs:\n{}    InstanceTypes:",
            lines
                .lines()
                .map(|l| format!("        {l}\n"))
                .collect::<String>()
        ),
    )
}

#[test]
fn a_plain_file_loads_without_a_word() {
    let loaded = read(&file("")).unwrap();
    assert_eq!(loaded.warnings, vec![]);
    let config = &loaded.config;
    assert_eq!(config.cluster_id, "zzzzz");
    assert_eq!(config.system_root_token.reveal(), TOKEN);
    assert_eq!(config.controller.host_port(), "arvados.example:8443");
    assert_eq!(config.listen[0].listen.socket(), "127.0.0.1:9006");
    assert_eq!(config.instance_set_id, instance_set_id_of(TOKEN));
    assert_eq!(config.cloud_vms.max_instances, Some(64));
    assert_eq!(config.cloud_vms.max_running_containers_per_instance, None);
    assert_eq!(config.cloud_vms.timeout_idle.as_secs(), 60);
    assert_eq!(config.cloud_vms.timeout_kill, None);
    assert_eq!(config.cloud_vms.max_command_output_bytes, 16 << 20);
    assert_eq!(config.cloud_vms.supervisor_fraction, Some(0.5));
    assert_eq!(config.containers.reserve_extra_ram_bytes, 550 << 20);
    assert_eq!(config.instance_types["small"].ram_bytes, 4 << 30);
    assert_eq!(config.instance_types["small"].provider_type, "small");
    assert!(
        config
            .containers
            .dispatch_private_key
            .as_ref()
            .unwrap()
            .reveal()
            .starts_with("-----BEGIN")
    );
}

fn instance_set_id_of(token: &str) -> String {
    crate::instance_set_id(token)
}

#[test]
fn the_same_keys_in_toml_give_the_same_configuration() {
    let yaml = read(&file("")).unwrap();
    let text = crate::dump(&yaml, Format::Toml);
    let key = KEY.replace("\\n", "\n");
    let text = text
        .replace(
            "DispatchPrivateKey = \"(secret)\"",
            &format!("DispatchPrivateKey = \"\"\"{key}\"\"\""),
        )
        .replace(
            "SystemRootToken = \"(secret)\"",
            &format!("SystemRootToken = \"{TOKEN}\""),
        )
        .replace(
            "ManagementToken = \"(secret)\"",
            &format!("ManagementToken = \"m{TOKEN}\""),
        );
    let source = Source::from_text(&text, Format::Toml, "config.toml", Timestamp::UNIX_EPOCH);
    let toml = load(
        &source,
        &Context {
            known_drivers: &["ec2"],
            host: HOST,
        },
    )
    .unwrap();
    assert_eq!(toml.warnings, vec![]);
    assert_eq!(format!("{:#?}", toml.config), format!("{:#?}", yaml.config));
    let mut expected = yaml.cluster_json.clone();
    expected["InstanceTypes"] = toml.cluster_json["InstanceTypes"].clone();
    assert_eq!(toml.cluster_json, expected);
}

#[test]
fn every_mistake_is_told_in_one_run_with_its_place_and_remedy() {
    check_told(
        "Clusters:\n  zzzzz:\n    ManagementToken: \"bad token\"\n    Containers:\n      DispatchPrivateKey: file:///nonexistent/key\n      \
         ReserveExtraRAM: 550MIB\n      MaximumPriceFactor: -1\n      RuntimeEngine: podman\n      CloudVMs:\n        \
         PollInterval: 10\n        TimeoutIdle: 1d\n        MaxInstances: -3\n        MaxInstances: 4\n        SSHPort: ssh\n        \
         Driver: ec3\n        DeployPublicKey: \"true\"\n        ResourceTags: [a]\n    InstanceTypes:\n      a: {RAM: 1GiB, Price: 1}\n      \
         b: {VCPUs: 1, RAM: 0, Price: 1}\n      B: {VCPUs: x, RAM: 4 gigs, Price: 1}\n    SystemLogs: {LogLevel: inof, Format: xml}\n    \
         Services: {Controller: {ExternalURL: \"https:///x\"}, DispatchCloud: {InternalURLs: {\"127.0.0.1:9006\": {}}}}\n",
        expect![[r#"
            config.yml:3: error: Clusters.zzzzz.ManagementToken = (secret): has characters other than letters and digits; write one of 32 or more letters and digits, as `tr -dc A-Za-z0-9 </dev/urandom | head -c 48` makes
            config.yml:5: error: Clusters.zzzzz.Containers.DispatchPrivateKey = "file:///nonexistent/key": cannot be read: No such file or directory (os error 2); name a file that the dispatcher's user may read
            config.yml:6: error: Clusters.zzzzz.Containers.ReserveExtraRAM = "550MIB": has the unknown unit "MIB"; write a number of bytes, or a number with one of the units KB, KiB, MB, MiB, GB, GiB, …, as in 1.5GiB
            config.yml:7: error: Clusters.zzzzz.Containers.MaximumPriceFactor = -1: is negative; write 0 or a positive number
            config.yml:8: warning: Clusters.zzzzz.Containers.RuntimeEngine = "podman": is not a runtime that Arvados documents; write docker or singularity
            config.yml:10: error: Clusters.zzzzz.Containers.CloudVMs.PollInterval = 10: lacks the unit of a duration; write 10s if seconds are meant
            config.yml:11: error: Clusters.zzzzz.Containers.CloudVMs.TimeoutIdle = "1d": has the unknown unit "d"; write numbers with the units h, m, s or ms, as in 1h30m or 10s
            config.yml:12: error: Clusters.zzzzz.Containers.CloudVMs.MaxInstances: is there twice, in line 12 and in line 13; keep one of the two
            config.yml:12: error: Clusters.zzzzz.Containers.CloudVMs.MaxInstances = -3: is negative; write 0 or a positive number
            config.yml:14: error: Clusters.zzzzz.Containers.CloudVMs.SSHPort = "ssh": is not a port; write a number from 1 to 65535
            config.yml:15: error: Clusters.zzzzz.Containers.CloudVMs.Driver = "ec3": has no meaning here; did you mean ec2? write one of ec2, azure, loopback
            config.yml:16: error: Clusters.zzzzz.Containers.CloudVMs.DeployPublicKey = "true": is a text where true or false is needed; write true or false, without quotes
            config.yml:17: error: Clusters.zzzzz.Containers.CloudVMs.ResourceTags = [a list of 1]: is a list where a section is needed; write the keys below it, indented
            config.yml:19: error: Clusters.zzzzz.InstanceTypes.a.VCPUs: is missing; write how much the type has, as in VCPUs: 4
            config.yml:20: error: Clusters.zzzzz.InstanceTypes.b.RAM = 0: must not be zero; write how much the type has, as in RAM: 8GiB
            config.yml:21: error: Clusters.zzzzz.InstanceTypes.B: collides with "b" in line 20: they differ only by case; rename or remove one of the two
            config.yml:21: error: Clusters.zzzzz.InstanceTypes.B.VCPUs = "x": is a text where a whole number is needed; write a whole number, without quotes
            config.yml:21: error: Clusters.zzzzz.InstanceTypes.B.RAM = "4 gigs": has the unknown unit "gigs"; write a number of bytes, or a number with one of the units KB, KiB, MB, MiB, GB, GiB, …, as in 1.5GiB
            config.yml:22: error: Clusters.zzzzz.SystemLogs.LogLevel = "inof": has no meaning here; did you mean info? write one of panic, fatal, error, warn, info, debug, trace
            config.yml:22: error: Clusters.zzzzz.SystemLogs.Format = "xml": has no meaning here; write one of json, text
            config.yml:23: error: Clusters.zzzzz.Services.DispatchCloud.InternalURLs."127.0.0.1:9006": does not begin with http:// or https://; write an address as in http://10.0.0.5:9006
            config.yml:23: error: Clusters.zzzzz.Services.Controller.ExternalURL = "https:///x": has no host; write where the API is, as in https://arvados.example.com
            config.yml: error: Clusters.zzzzz.SystemRootToken: is missing, and nothing works without it; copy it from the configuration of the cluster
        "#]],
    );
}

#[test]
fn keys_that_nobody_knows_are_warned_of_with_the_nearest_right_name() {
    check_told(
        &(with_cloud_vms(
            "MaxInstance: 3\npollinterval: 3s\nBananas: 1\nTimeoutKill: 3s\nDriverParameters: {region: x, SubnetIDs: y, Endpoint: z}\n",
        ) + "    MaxRunningContainersPerInstance: 3\n    systemRootToken: hunter2hunter2\n    Services2: {a: 1, a: 2}\n    \
             API: {MaxRequestSiez: 3, MaxRequestSize: many}\n"),
        expect![[r#"
            config.yml:11: warning: Clusters.zzzzz.Containers.CloudVMs.MaxInstance: is not a key of Arvados and has no effect on the dispatcher; did you mean MaxInstances?
            config.yml:12: warning: Clusters.zzzzz.Containers.CloudVMs.pollinterval: is ignored: its upper and lower case is wrong; write PollInterval
            config.yml:13: warning: Clusters.zzzzz.Containers.CloudVMs.Bananas: is not a key of Arvados and has no effect on the dispatcher; remove it, unless a newer Arvados knows it
            config.yml:14: warning: Clusters.zzzzz.Containers.CloudVMs.TimeoutKill: is ignored: its upper and lower case is wrong; write TimeoutKILL
            config.yml:15: warning: Clusters.zzzzz.Containers.CloudVMs.DriverParameters.region: is ignored: its upper and lower case is wrong; write Region
            config.yml:15: warning: Clusters.zzzzz.Containers.CloudVMs.DriverParameters.SubnetIDs: is not a key of Arvados; did you mean SubnetID?
            config.yml:17: warning: Clusters.zzzzz.MaxRunningContainersPerInstance: is not a key of Arvados and has no effect on the dispatcher; did you mean Containers.CloudVMs.MaxRunningContainersPerInstance?
            config.yml:18: warning: Clusters.zzzzz.systemRootToken: is ignored: its upper and lower case is wrong; write SystemRootToken
            config.yml:19: warning: Clusters.zzzzz.Services2: is not a key of Arvados and has no effect on the dispatcher; did you mean Services?
            config.yml:19: error: Clusters.zzzzz.Services2.a: is there twice, in line 19 and in line 19; keep one of the two
            config.yml:20: warning: Clusters.zzzzz.API.MaxRequestSiez: is not a key of Arvados and has no effect on the dispatcher; did you mean MaxRequestSize?
            config.yml:20: warning: Clusters.zzzzz.API.MaxRequestSize = "many": is a text where a whole number is needed; write a whole number, without quotes
        "#]],
    );
}

#[test]
fn a_missing_token_is_an_error_and_a_missing_management_token_is_not() {
    let text = file("").replace(&format!("    SystemRootToken: {TOKEN}\n"), "");
    check_told(
        &text,
        expect![[r#"
        config.yml: error: Clusters.zzzzz.SystemRootToken: is missing, and nothing works without it; copy it from the configuration of the cluster
    "#]],
    );
    let text = file("").replace(
        &format!("    ManagementToken: m{TOKEN}\n"),
        "    ManagementToken: \"\"\n",
    );
    check_told(
        &text,
        expect![[r#"
        config.yml:4: warning: Clusters.zzzzz.ManagementToken: is missing, so the management API, metrics and health are closed; write one of 32 or more letters and digits, as `tr -dc A-Za-z0-9 </dev/urandom | head -c 48` makes
        loaded
    "#]],
    );
    assert!(read(&text).unwrap().config.management_token.is_none());
    let text = file("").replace(TOKEN, "short1");
    check_told(
        &text,
        expect![[r#"
        config.yml:3: warning: Clusters.zzzzz.SystemRootToken = (secret): has 6 characters, which is few for a secret; write one of 32 or more letters and digits, as `tr -dc A-Za-z0-9 </dev/urandom | head -c 48` makes
        config.yml:4: warning: Clusters.zzzzz.ManagementToken = (secret): has 7 characters, which is few for a secret; write one of 32 or more letters and digits, as `tr -dc A-Za-z0-9 </dev/urandom | head -c 48` makes
        loaded
    "#]],
    );
}

#[test]
fn no_secret_is_told_of() {
    let text = file("    PostgreSQL: {Connection: {password: [hunter2]}}\n    Login: {Google: {ClientSecret: {a: hunter2}}}\n")
        .replace(TOKEN, "hunter2-hunter2")
        .replace("RSA PRIVATE KEY-----\\nMIIB", "RSA PRIVATE KEY-----\\nhunter2")
        .replace("-----END RSA", "-----END DSA");
    let told = told(&text);
    assert!(!told.contains("hunter2"), "{told}");
    assert!(told.contains("SystemRootToken = (secret)"), "{told}");
    let loaded = read(&file("    Login: {Google: {ClientSecret: hunter2}}\n")).unwrap();
    let shown = format!("{loaded:?} {:?}", loaded.config.clone());
    assert!(
        !shown.contains("hunter2") && !shown.contains(TOKEN) && !shown.contains("BEGIN"),
        "{shown}"
    );
}

#[test]
fn what_is_not_positive_falls_back_to_the_default() {
    let text = with_cloud_vms(
        "ProbeInterval: 0\nTimeoutTERM: -3s\nMaxProbesPerSecond: 0\nTimeoutKILL: 0s\n",
    );
    check_told(
        &text,
        expect![[r#"
        config.yml:11: warning: Clusters.zzzzz.Containers.CloudVMs.ProbeInterval = "0s": is not positive, so the default 10s is used; write a positive duration, or remove the key
        config.yml:12: warning: Clusters.zzzzz.Containers.CloudVMs.TimeoutTERM = "-3s": is not positive, so the default 2m is used; write a positive duration, or remove the key
        loaded
    "#]],
    );
    let cloud_vms = read(&text).unwrap().config.cloud_vms;
    assert_eq!(cloud_vms.probe_interval.as_secs(), 10);
    assert_eq!(cloud_vms.timeout_term.as_secs(), 120);
    assert_eq!(cloud_vms.max_probes_per_second, 10);
}

#[test]
fn numbers_are_taken_for_texts_as_they_were_written() {
    let text = with_cloud_vms(
        "SSHPort: 2222\nResourceTags: {CostCenter: 0042, Version: 1.10, On: true, Gone: ~}\n",
    );
    let loaded = read(&text).unwrap();
    assert_eq!(loaded.config.cloud_vms.ssh_port, 2222);
    assert_eq!(
        loaded.cluster_json["Containers"]["CloudVMs"]["SSHPort"],
        "2222"
    );
    let tags = &loaded.config.cloud_vms.resource_tags;
    assert_eq!(
        format!("{tags:?}"),
        r#"{"CostCenter": "0042", "On": "true", "Version": "1.10"}"#
    );
    let digits = "1".repeat(40);
    let loaded = read(&file("").replace(
        &format!("SystemRootToken: {TOKEN}"),
        &format!("SystemRootToken: {digits}"),
    ));
    assert_eq!(loaded.unwrap().config.system_root_token.reveal(), &digits);
}

#[test]
fn the_file_must_have_exactly_one_cluster_with_a_proper_id() {
    let rows = [
        (
            "",
            expect![[r#"
            config.yml: error: holds no configuration; begin with `Clusters:` and below it the cluster's five-character id
        "#]],
        ),
        (
            "- a\n",
            expect![[r#"
            config.yml: error: holds no configuration; begin with `Clusters:` and below it the cluster's five-character id
        "#]],
        ),
        (
            "clusters: {}\n",
            expect![[r#"
            config.yml:1: warning: clusters: is ignored: its upper and lower case is wrong; write Clusters
            config.yml: error: has no section Clusters; begin with `Clusters:` and below it the cluster's five-character id
        "#]],
        ),
        (
            "Clusters: {}\nBananas: 1\n",
            expect![[r#"
            config.yml:2: warning: Bananas: is not a key of Arvados; remove it, or move it below the cluster's id
            config.yml:1: error: Clusters: has no cluster in it; begin with `Clusters:` and below it the cluster's five-character id
        "#]],
        ),
        (
            "Clusters: {aaaaa: {}, bbbbb: {}}\n",
            expect![[r#"
            config.yml:1: error: Clusters: has 2 clusters (aaaaa, bbbbb), and a dispatcher serves one; keep the one that is to be served, each other one in a file of its own
        "#]],
        ),
        (
            "Clusters: {SAMPLE: {}}\n",
            expect![[r#"
            config.yml:1: error: Clusters: has no cluster in it; begin with `Clusters:` and below it the cluster's five-character id
        "#]],
        ),
        (
            "Clusters:\n",
            expect![[r#"
            config.yml:1: error: Clusters: has no cluster in it; begin with `Clusters:` and below it the cluster's five-character id
        "#]],
        ),
    ];
    for (text, expected) in rows {
        check_told(text, expected);
    }
    let told = told(&file("").replace("zzzzz", "Cluster1"));
    assert!(
        told.starts_with("config.yml:2: error: Clusters.Cluster1: is not a cluster id; write"),
        "{told}"
    );
}

#[test]
fn names_that_collide_are_errors() {
    check_told(
        &(with_cloud_vms("ResourceTags: {ArvadosInstanceType: x}\n")
            + "    PostgreSQL: {Connection: {sslmode: a, SSLMode: b, Host: c}}\n"),
        expect![[r#"
            config.yml:11: warning: Clusters.zzzzz.Containers.CloudVMs.ResourceTags.ArvadosInstanceType: collides with a tag of ours, which goes first; rename it, or change TagKeyPrefix
            config.yml:13: error: Clusters.zzzzz.PostgreSQL.Connection.SSLMode: collides with "sslmode" in line 13: they differ only by case; rename or remove one of the two
            config.yml:13: warning: Clusters.zzzzz.PostgreSQL.Connection.SSLMode: is ignored: its upper and lower case is wrong; write sslmode
            config.yml:13: warning: Clusters.zzzzz.PostgreSQL.Connection.Host: is ignored: its upper and lower case is wrong; write host
        "#]],
    );
}

#[test]
fn a_config_without_types_loads_with_a_warning() {
    let text = file("").replace("{small: {VCPUs: 2, RAM: 4GiB, Price: 0.1}}", "{}");
    check_told(
        &text,
        expect![[r#"
        config.yml:10: warning: Clusters.zzzzz.InstanceTypes: is empty, so no container can run; add at least one, as in `InstanceTypes: {small: {VCPUs: 2, RAM: 4GiB, Price: 0.1}}`
        loaded
    "#]],
    );
}

#[test]
fn the_key_may_be_in_a_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("key");
    std::fs::write(&path, KEY.replace("\\n", "\n")).unwrap();
    let text = file("").replace(KEY, &format!("file://{}", path.display()));
    let key = read(&text)
        .unwrap()
        .config
        .containers
        .dispatch_private_key
        .unwrap();
    assert!(key.reveal().contains("MIIB"));
    std::fs::write(&path, "Proc-Type: nothing").unwrap();
    let told = told(&text);
    assert!(told.contains("is not a private key in PEM form"), "{told}");
}

#[test]
fn https_needs_a_certificate_that_can_be_read() {
    let https = file("").replace("http://127", "https://127");
    check_told(
        &https,
        expect![[r#"
        config.yml: error: Clusters.zzzzz.TLS.Certificate: is missing, and we are to listen at https://127.0.0.1:9006; name the file, or listen at an http address
        config.yml: error: Clusters.zzzzz.TLS.Key: is missing, and we are to listen at https://127.0.0.1:9006; name the file, or listen at an http address
    "#]],
    );
    let told_of = |tls: &str| told(&(https.clone() + tls));
    assert!(
        told_of("    TLS: {Certificate: /nonexistent, Key: x}\n")
            .contains("TLS.Certificate = \"/nonexistent\": cannot be read")
    );
    assert!(told_of("    TLS: {ACME: {Server: LE}}\n").ends_with("loaded\n"));
}

#[test]
fn the_admins_tool_reads_its_part_of_a_file_with_mistakes() {
    let text = file("").replace("VCPUs: 2", "VCPUs: 0");
    assert!(read(&text).is_err());
    let access = management_access(&Source::from_text(
        &text,
        Format::Yaml,
        "f",
        Timestamp::UNIX_EPOCH,
    ))
    .unwrap();
    assert_eq!(access.token.unwrap().reveal(), &format!("m{TOKEN}"));
    assert_eq!(
        access.addresses[0].internal.to_string(),
        "http://127.0.0.1:9006"
    );
    assert!(!access.insecure);
}

#[test]
fn check_exits_with_0_1_or_2() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config.yml");
    let context = Context {
        known_drivers: &["ec2"],
        host: HOST,
    };
    let run = || {
        let (text, code) = check(&path, &context, Timestamp::UNIX_EPOCH);
        (
            text.lines()
                .last()
                .unwrap_or_default()
                .replace(&path.display().to_string(), "F"),
            code,
        )
    };
    assert_eq!(run().1, 2);
    std::fs::write(&path, file("")).unwrap();
    assert_eq!(run(), ("F: no errors, no warnings".to_owned(), 0));
    std::fs::write(&path, file("    Bananas: 1\n")).unwrap();
    assert_eq!(run(), ("F: no errors, 1 warning".to_owned(), 0));
    std::fs::write(
        &path,
        file("").replace("VCPUs: 2, RAM: 4GiB", "Preemptible: false"),
    )
    .unwrap();
    assert_eq!(run(), ("F: 2 errors, no warnings".to_owned(), 1));
}
