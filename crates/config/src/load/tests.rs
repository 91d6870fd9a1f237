//! Tests of whole files: what is told of them, and what comes out.

mod told;

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
    assert_eq!(config.cloud_vms.spot_fallback, None);
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
fn the_port_of_ssh_is_a_number_or_a_name() {
    for (written, port) in [("ssh", 22), ("\"2222\"", 2222), ("2222", 2222)] {
        let text = with_cloud_vms(&format!("SSHPort: {written}\n"));
        assert_eq!(read(&text).unwrap().config.cloud_vms.ssh_port, port);
    }
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
    // The daemon could not start with that either.
    let acme = told_of("    TLS: {ACME: {Server: LE}}\n");
    assert!(
        acme.contains("TLS.Certificate: is missing") && acme.contains("TLS.Key: is missing"),
        "{acme}"
    );
    assert!(acme.contains("TLS.ACME.Server"), "{acme}");
    assert!(!acme.contains("loaded"), "{acme}");
    let http = file("    TLS: {ACME: {Server: LE}}\n");
    assert_eq!(told(&http), "loaded\n", "an http address needs none");
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

#[test]
fn check_tells_what_the_driver_says_among_the_rest() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config.yml");
    let context = Context {
        known_drivers: &[],
        host: HOST,
    };
    std::fs::write(&path, file("")).unwrap();
    let more = |loaded: &Loaded| vec![loaded.driver_problem("DriverParameters.Region is missing")];
    let (text, code) = check_with(&path, &context, Timestamp::UNIX_EPOCH, more);
    let text = text.replace(&path.display().to_string(), "F");
    let said = "F: error: Clusters.zzzzz.Containers.CloudVMs: DriverParameters.Region is missing\n";
    assert_eq!(
        (text, code),
        (format!("{said}F: 1 error, no warnings\n"), 1)
    );
}

#[test]
fn types_that_the_spending_limit_can_never_pay_for_are_told() {
    let with = |limit: &str| {
        with_cloud_vms(&format!("MaxPricePerHour: {limit}\n")).replace(
            "{small: {VCPUs: 2, RAM: 4GiB, Price: 0.1}}",
            "{small: {VCPUs: 2, RAM: 4GiB, Price: 0.1}, big: {VCPUs: 4, RAM: 8GiB, Price: 0.25}}",
        )
    };
    check_told(
        &with("0"),
        expect![[r#"
        loaded
    "#]],
    );
    check_told(
        &with("0.25"),
        expect![[r#"
        loaded
    "#]],
    );
    check_told(
        &with("0.2"),
        expect![[r#"
        config.yml:11: warning: Clusters.zzzzz.Containers.CloudVMs.MaxPricePerHour = 0.2: is less than these instance types cost, so that they are never created: big (0.25); write a larger limit, or remove the types
        loaded
    "#]],
    );
    check_told(
        &with("0.05"),
        expect![[r#"
        config.yml:11: warning: Clusters.zzzzz.Containers.CloudVMs.MaxPricePerHour = 0.05: is less than every instance type costs, so that none is ever created: big (0.25), small (0.1); write a larger limit, or remove the types
        loaded
    "#]],
    );
}

#[test]
fn a_database_of_which_nothing_counts_is_an_error_instead_of_no_lock() {
    for section in [
        "PostgreSQL: {Connection: {Host: db, Port: 5432, User: me, Password: hunter2}}",
        "PostgreSQL: {Connection: {host: \"\", user: \"\"}}",
        "PostgreSQL: {connection: {host: db}}",
        "PostgreSQL: {Conection: {host: db}}",
        "postgresql: {Connection: {host: db}}",
    ] {
        let text = file(&format!("    {section}\n"));
        let told = told(&text);
        assert!(
            told.contains("PostgreSQL.Connection: comes to nothing: "),
            "{section}: {told}"
        );
        assert!(!told.contains("hunter2"), "{told}");
    }
    for section in [
        "PostgreSQL: {Connection: {host: db}}",
        "PostgreSQL: {Connection: {Host: db, dbname: x}}",
        "PostgreSQL: {Connection: {}}",
        "PostgreSQL: {ConnectionPool: 8}",
        "PostgreSQL: ",
    ] {
        let told = told(&file(&format!("    {section}\n")));
        assert!(!told.contains("comes to nothing"), "{section}: {told}");
    }
}

#[test]
fn a_price_factor_that_fits_no_spot_type_is_told_with_the_least_that_would() {
    let with = |factor: &str, types: &str| {
        with_cloud_vms(&format!("SpotFallbackPriceFactor: {factor}\n"))
            .replace("{small: {VCPUs: 2, RAM: 4GiB, Price: 0.1}}", types)
    };
    let types = |provider_type: &str| {
        format!(
            "{{small: {{VCPUs: 2, RAM: 4GiB, Price: 0.1, ProviderType: {provider_type}}}, spot: {{VCPUs: 2, RAM: 4GiB, \
             Price: 0.03, ProviderType: m.x, Preemptible: true}}}}"
        )
    };
    check_told(
        &with("3.4", &types("m.x")),
        expect![[r#"
        loaded
    "#]],
    );
    check_told(
        &with("2", &types("m.x")),
        expect![[r#"
        config.yml:11: warning: Clusters.zzzzz.Containers.CloudVMs.SpotFallbackPriceFactor = 2: has no effect: no on-demand type can take the place of any spot type at that price; write at least 3.34
        loaded
    "#]],
    );
    check_told(
        &with("2", &types("m.y")),
        expect![[r#"
        config.yml:11: warning: Clusters.zzzzz.Containers.CloudVMs.SpotFallbackPriceFactor = 2: has no effect: no on-demand type can take the place of any spot type at that price; configure a spot type and an on-demand type of the same ProviderType, at least as large
        loaded
    "#]],
    );
    check_told(
        &with("0", &types("m.y")),
        expect![[r#"
        loaded
    "#]],
    );
}

#[test]
fn runners_get_no_keys_of_our_own() {
    let text = with_cloud_vms(
        "TimeoutKILL: 5s\nTimeoutAPI: 9s\nMaxCommandOutput: 1MiB\nMaxInstances: 3\nSpotFallbackPriceFactor: 2.5\nSpotFallbackInterruptions: 0\n",
    );
    let loaded = read(&text).unwrap();
    assert_eq!(loaded.config.cloud_vms.timeout_kill.unwrap().as_secs(), 5);
    assert_eq!(loaded.config.cloud_vms.timeout_api.as_secs(), 9);
    assert_eq!(loaded.config.cloud_vms.max_command_output_bytes, 1 << 20);
    let fallback = loaded.config.cloud_vms.spot_fallback.unwrap();
    assert_eq!(fallback.price_factor, 2.5);
    assert_eq!(fallback.interruptions, 1, "none would be too many");
    assert_eq!(fallback.window.as_secs(), 3600);
    let mut expected = crate::defaults::arvados()["Containers"]["CloudVMs"].clone();
    expected["MaxInstances"] = 3.into();
    assert_eq!(loaded.cluster_json["Containers"]["CloudVMs"], expected);
}
