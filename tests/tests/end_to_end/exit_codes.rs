//! What the daemon says, and with which exit code, when it cannot start (facts §2.6): 2 for a command line that makes
//! no sense, which keeps systemd from trying again, 1 for everything else.

use std::{
    net::TcpListener,
    process::{Command, Output, Stdio},
};

use dispatch_lab_net::LabHandle;

use crate::support::{Rig, daemon_program};

/// Runs the daemon to its end with this configuration on standard input.
fn run(arguments: &[&str], config: &str) -> Output {
    use std::io::Write;
    let mut child = Command::new(daemon_program())
        .args(arguments)
        .env_clear()
        .env("PATH", "/nowhere")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    // It may have ended before it has read any of it.
    let _ = child
        .stdin
        .take()
        .expect("a pipe")
        .write_all(config.as_bytes());
    child.wait_with_output().expect("it ends")
}

struct Table {
    lab: LabHandle,
}

impl Table {
    /// Arguments and configuration, and what must come of them: the exit code, and words in what was said.
    #[track_caller]
    fn check(&self, arguments: &[&str], config: &str, code: i32, words: &[&str]) {
        let output = run(arguments, config);
        let said = format!(
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
        for word in words {
            assert!(
                said.contains(word),
                "{arguments:?} should say {word:?}: {said}"
            );
        }
        let secrets = [
            self.lab.lab().settings.system_root_token.as_str(),
            self.lab.lab().config.management_token.as_str(),
            self.lab
                .private_key()
                .lines()
                .nth(1)
                .expect("a line of the key"),
        ];
        for secret in secrets {
            assert!(
                !said.contains(secret),
                "{arguments:?} told a secret: {said}"
            );
        }
    }

    /// A start with the lab's configuration, changed like this, fails with 1 and says these words.
    #[track_caller]
    fn refuses(&self, from: &str, to: &str, words: &[&str]) {
        let config = self.lab.config_yaml();
        assert!(config.contains(from), "nothing to replace: {from}");
        self.check(
            &["run", "--config", "-"],
            &config.replacen(from, to, 1),
            1,
            words,
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_keeps_it_from_starting_is_said_with_the_remedy_and_the_right_exit_code() {
    let (lab, management, _directory) = Rig::prepare(|order| order.vms("MaxInstances", "3")).await;
    let table = Table { lab };
    let good = table.lab.config_yaml().to_owned();

    // Usage.
    table.check(&["--nonsense"], "", 2, &["--nonsense", "--help"]);
    table.check(&["frobnicate"], "", 2, &["frobnicate"]);
    table.check(&["run", "extra"], "", 2, &["extra"]);
    table.check(&["--version"], "", 0, &["arvados-dispatch-cloud"]);
    table.check(&["-version"], "", 0, &["arvados-dispatch-cloud"]);
    table.check(&["--help"], "", 0, &["config-check"]);

    // The configuration.
    table.check(
        &["run", "--config", "/no/such/config.yml"],
        "",
        1,
        &["/no/such/config.yml"],
    );
    table.check(
        &["-config", "/no/such/config.yml"],
        "",
        1,
        &["/no/such/config.yml"],
    );
    table.check(&["run", "--config", "-"], "Clusters: [", 1, &["-"]);
    table.refuses("VCPUs: 1\n", "VCPUs: 0\n", &["VCPUs", "type1"]);
    table.refuses(
        "MaxInstances: 3",
        "PollInterval: soon",
        &["PollInterval", "soon"],
    );
    table.refuses(
        "Driver: lab",
        "Driver: nonesuch",
        &["Driver", "nonesuch", "lab", "loopback"],
    );
    let key = |yaml: &str| {
        let (head, rest) = yaml.split_once("DispatchPrivateKey: |").expect("a key");
        let (_, rest) = rest.split_once("-----END").expect("its end");
        let (_, rest) = rest.split_once('\n').expect("a line");
        (head.to_owned(), rest.to_owned())
    };
    let (head, rest) = key(&good);
    for (value, words) in [
        (
            "file:///no/such/key",
            ["DispatchPrivateKey", "/no/such/key"],
        ),
        ("not a key at all", ["DispatchPrivateKey", "PEM"]),
    ] {
        let config = format!("{head}DispatchPrivateKey: {value}\n{rest}");
        table.check(&["run", "--config", "-"], &config, 1, &words);
    }

    // What only this host can tell.
    table.refuses(
        "DeployRunnerBinary: \"\"",
        "DeployRunnerBinary: /proc/self/exe",
        &["DeployRunnerBinary", "install the package crunch-run"],
    );
    table.refuses(
        "DeployRunnerBinary: \"\"",
        "DeployRunnerBinary: /no/such/runner",
        &["DeployRunnerBinary", "/no/such/runner"],
    );
    table.refuses("http://127", "https://127", &["TLS"]);
    let taken = TcpListener::bind(&management.address).expect("it is free");
    table.check(
        &["run", "--config", "-"],
        &good,
        1,
        &[&management.address, "in use"],
    );
    drop(taken);

    // The check that comes before a start.
    table.check(&["config-check", "--config", "-"], &good, 0, &[]);
    let warned = good.replacen("MaxInstances", "MaxInstance", 1);
    table.check(
        &["config-check", "--config", "-"],
        &warned,
        0,
        &["warning", "did you mean MaxInstances?"],
    );
    for runner in ["/proc/self/exe", "/no/such/runner"] {
        let elsewhere = good.replacen(
            "DeployRunnerBinary: \"\"",
            &format!("DeployRunnerBinary: {runner}"),
            1,
        );
        let words = [
            "warning",
            "DeployRunnerBinary",
            "will not start here",
            runner,
        ];
        table.check(&["config-check", "--config", "-"], &elsewhere, 0, &words);
    }
    let wrong = good.replacen("VCPUs: 1\n", "VCPUs: 0\n", 1);
    table.check(&["config-check", "--config", "-"], &wrong, 1, &["VCPUs"]);
    let missing = ["config-check", "--config", "/no/such/config.yml"];
    table.check(&missing, "", 2, &["/no/such/config.yml"]);
    table.check(
        &["config-dump", "--config", "-"],
        &good,
        0,
        &["TimeoutIdle"],
    );
}
