//! `config-check` and `run` agree about what a start on this host would refuse.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use rcgen::{CertificateParams, KeyPair};

/// A directory with certificates, keys and a configuration.
struct Host(tempfile::TempDir);

impl Host {
    fn new() -> Host {
        let host = Host(tempfile::tempdir().expect("a directory"));
        for name in ["one", "two"] {
            let key = KeyPair::generate().expect("a key");
            let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).expect("parameters");
            let certificate = params.self_signed(&key).expect("signed");
            host.write(&format!("{name}.pem"), &certificate.pem());
            host.write(&format!("{name}-key.pem"), &key.serialize_pem());
        }
        host.write("text.pem", "no certificate at all\n");
        host
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).expect("written");
    }

    /// Writes a configuration that listens over TLS.
    fn configure(&self, certificate: &str, key: &str, runner: &str) -> PathBuf {
        let file = |name| self.path(name).display().to_string();
        let (certificate, key) = (file(certificate), file(key));
        let text = format!(
            "Clusters:\n  zzzzz:\n    SystemRootToken: 0123456789abcdefghijklmnopqrstuvwxyzABCD\n    \
             ManagementToken: m0123456789abcdefghijklmnopqrstuvwxyzABCD\n    Services:\n      \
             Controller: {{ExternalURL: \"https://arvados.invalid/\"}}\n      \
             DispatchCloud: {{InternalURLs: {{\"https://127.0.0.1:9\": {{}}}}}}\n    \
             TLS: {{Certificate: \"{certificate}\", Key: \"{key}\"}}\n    \
             InstanceTypes: {{small: {{VCPUs: 1, RAM: 1GiB, Price: 0.1}}}}\n    \
             Containers: {{CloudVMs: {{Driver: loopback, DeployRunnerBinary: \"{runner}\"}}}}\n"
        );
        self.write("config.yml", &text);
        self.path("config.yml")
    }
}

fn daemon(command: &str, config: Option<&Path>, environment: &[(&str, &str)]) -> Output {
    let mut daemon = Command::new(env!("CARGO_BIN_EXE_arvados-dispatch-cloud"));
    daemon.arg(command).env_clear().stdin(Stdio::null());
    daemon.envs(environment.iter().copied());
    if let Some(config) = config {
        daemon.arg("--config").arg(config);
    }
    daemon.output().expect("it runs")
}

fn said(output: &Output) -> String {
    let (out, err) = (&output.stdout, &output.stderr);
    String::from_utf8_lossy(out).into_owned() + &String::from_utf8_lossy(err)
}

#[test]
fn certificates_that_run_refuses_are_errors_of_the_check() {
    let host = Host::new();
    for (certificate, key, words) in [
        (
            "text.pem",
            "one-key.pem",
            ["TLS.Certificate = ", "text.pem"],
        ),
        ("one.pem", "text.pem", ["TLS.Key = ", "text.pem"]),
        (
            "one.pem",
            "two-key.pem",
            ["TLS.Certificate = ", "KeyMismatch"],
        ),
    ] {
        let config = host.configure(certificate, key, "");
        let checked = daemon("config-check", Some(&config), &[]);
        let text = said(&checked);
        assert_eq!(
            checked.status.code(),
            Some(1),
            "{certificate} {key}: {text}"
        );
        let line = text.lines().find(|line| line.contains(": error: "));
        let line = line.expect("an error");
        assert!(line.starts_with(&config.display().to_string()), "{line}");
        assert!(words.iter().all(|word| line.contains(word)), "{line}");
        assert!(line.contains("; name a "), "no remedy: {line}");
        let ran = daemon("run", Some(&config), &[]);
        assert_eq!(ran.status.code(), Some(1), "{}", said(&ran));
        assert!(said(&ran).contains("TLS."), "{}", said(&ran));
    }
    let config = host.configure("one.pem", "one-key.pem", "");
    let checked = daemon("config-check", Some(&config), &[]);
    assert_eq!(checked.status.code(), Some(0), "{}", said(&checked));
}

/// Adds this section to the configuration.
fn with_database(host: &Host, connection: &str) -> PathBuf {
    let config = host.configure("one.pem", "one-key.pem", "");
    let mut text = fs::read_to_string(&config).expect("a configuration");
    text.push_str(&format!(
        "    PostgreSQL: {{Connection: {{{connection}}}}}\n"
    ));
    host.write("config.yml", &text);
    config
}

#[test]
fn what_keeps_the_lock_from_being_taken_is_said_before_anybody_waits_for_it() {
    let host = Host::new();
    let here = |name: &str| host.path(name).display().to_string();
    let bad_root = format!("host: db, sslrootcert: {:?}", here("text.pem"));
    for (connection, words) in [
        ("host: \"127.0.0.1:5432\"", "Connection.host: has a port"),
        (&*bad_root, "Connection.sslrootcert: "),
        ("Host: db, User: me", "Connection: comes to nothing"),
    ] {
        let config = with_database(&host, connection);
        for command in ["config-check", "run"] {
            let output = daemon(command, Some(&config), &[]);
            let text = said(&output);
            assert_eq!(
                output.status.code(),
                Some(1),
                "{command} {connection}: {text}"
            );
            assert!(text.contains(words), "{command} {connection}: {text}");
        }
    }
    let good_root = format!("host: db, sslrootcert: {:?}", here("one.pem"));
    for (connection, words) in [
        (
            "",
            "PostgreSQL.Connection: is not configured, so no lock will be taken",
        ),
        ("host: db, service: x", "Connection.service: is a keyword"),
        ("hots: db", "did you mean host?"),
    ] {
        let config = with_database(&host, connection);
        let checked = daemon("config-check", Some(&config), &[]);
        let text = said(&checked);
        assert_eq!(checked.status.code(), Some(0), "{connection}: {text}");
        assert!(text.contains(words), "{connection}: {text}");
    }
    let config = with_database(&host, &good_root);
    let text = said(&daemon("config-check", Some(&config), &[]));
    assert!(!text.contains("PostgreSQL"), "{text}");
}

#[test]
fn a_runner_that_is_not_on_this_host_is_a_warning_that_run_will_not_start_here() {
    let host = Host::new();
    let config = host.configure("one.pem", "one-key.pem", "/no/such/runner");
    let checked = daemon("config-check", Some(&config), &[]);
    let text = said(&checked);
    assert_eq!(checked.status.code(), Some(0), "{text}");
    let line = text.lines().find(|line| line.contains(": warning: "));
    let line = line.expect("a warning");
    for word in [
        "DeployRunnerBinary = \"/no/such/runner\": `run` will not start here: ",
        "check there",
    ] {
        assert!(line.contains(word), "{line}");
    }
    let ran = daemon("run", Some(&config), &[]);
    assert_eq!(ran.status.code(), Some(1), "{}", said(&ran));
    assert!(said(&ran).contains("/no/such/runner"), "{}", said(&ran));
}

#[test]
fn an_empty_variable_counts_as_none() {
    let output = daemon("config-check", None, &[("ARVADOS_CONFIG", "")]);
    let text = said(&output);
    let usual = text.contains("/etc/arvados/config.yml: ") && !text.contains("Usage");
    assert!(usual, "{text}");
    let output = daemon("config-check", None, &[("ARVADOS_CONFIG", "/no/such/file")]);
    assert!(
        said(&output).contains("/no/such/file: "),
        "{}",
        said(&output)
    );
}

/// What the driver would be refused for each instance is refused before any is made.
#[cfg(feature = "ec2")]
#[test]
fn added_scratch_on_volumes_that_ec2_would_not_make_is_an_error_of_both() {
    let host = Host::new();
    let config = host.configure("one.pem", "one-key.pem", "");
    let text = fs::read_to_string(&config).expect("written");
    let key = host.path("dispatch-key").display().to_string();
    let made = Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-f", &key])
        .status();
    assert!(made.expect("ssh-keygen").success());
    let with_key = format!("Containers: {{DispatchPrivateKey: \"file://{key}\", ");
    let text = text.replace("Containers: {", &with_key);
    for (volume_type, scratch, remedy) in [
        ("io1", "AddedScratch: 50GB", "write gp3"),
        ("st1", "AddedScratch: 50GB", "raise it, or write gp3"),
        ("io1", "IncludedScratch: 50GB", ""),
        ("gp3", "AddedScratch: 50GB", ""),
    ] {
        let ec2 = format!(
            "Driver: ec2, DriverParameters: {{Region: us-east-1, EBSVolumeType: {volume_type}}}"
        );
        let text = text.replace("Driver: loopback", &ec2);
        let text = text.replace("Price: 0.1", &format!("Price: 0.1, {scratch}"));
        host.write("config.yml", &text);
        let checked = daemon("config-check", Some(&config), &[]);
        let words = said(&checked);
        let told = words.contains(&format!("EBSVolumeType is \"{volume_type}\""));
        assert_eq!(told, !remedy.is_empty(), "{words}");
        if told {
            assert!(words.contains(remedy), "{words}");
            assert_eq!(checked.status.code(), Some(1), "{words}");
            let ran = daemon("run", Some(&config), &[]);
            assert_eq!(ran.status.code(), Some(1), "{}", said(&ran));
            assert!(said(&ran).contains("EBSVolumeType"), "{}", said(&ran));
        }
    }
}
