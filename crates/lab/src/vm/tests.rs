//! Command lines against a machine, as a table.

use md5::{Digest, Md5};
use serde_json::json;

use super::*;

const SECRET: &str = "0123456789abcdef0123456789abcdef01234567";
const UUID: &str = "zzzzz-dz642-000000000000001";

struct Bench {
    vm: Vm,
    knobs: VmKnobs,
    runner: RunnerKnobs,
    ms: u64,
}

impl Bench {
    fn new() -> Bench {
        let instance_type = crate::load::instance_types().remove(0);
        let script = format!(
            "#!/bin/sh\n(umask 0177; printf %s '{SECRET}' > {SECRET_FILE})\ntouch /tmp/init-done\n"
        );
        let vm = Vm::new(
            "i-1",
            "127.77.0.1:22",
            instance_type,
            script,
            None,
            Luck::new(1, "vm"),
        );
        let mut bench = Bench {
            vm,
            knobs: VmKnobs::default(),
            runner: RunnerKnobs::default(),
            ms: 0,
        };
        bench.knobs.boot_probe_fails_ms = crate::time::Span::exactly(100);
        bench.knobs.exec_ms = crate::time::Span::exactly(5);
        bench.runner.detach_ms = crate::time::Span::exactly(30);
        bench
    }

    fn booted() -> Bench {
        let mut bench = Bench::new();
        let Bench {
            vm,
            knobs,
            runner,
            ms,
        } = &mut bench;
        vm.boot(&Surroundings {
            vm: knobs,
            runner,
            root_token: "root",
            fate: Fate::default(),
            now: Now::at(*ms),
        });
        bench.ms = 1000;
        bench
    }

    fn run(&mut self, user: &str, command: &str, stdin: &[u8]) -> (Execution, Vec<Effect>) {
        let surroundings = Surroundings {
            vm: &self.knobs,
            runner: &self.runner,
            root_token: "root",
            fate: Fate::default(),
            now: Now::at(self.ms),
        };
        self.vm.execute(user, command, stdin, &surroundings)
    }

    #[track_caller]
    fn check(&mut self, user: &str, command: &str, status: i32, stdout: &str) {
        let (execution, _) = self.run(user, command, b"");
        let stderr = String::from_utf8_lossy(&execution.stderr).into_owned();
        assert_eq!(execution.exit, Exit::Status(status), "{command}: {stderr}");
        assert_eq!(
            String::from_utf8_lossy(&execution.stdout),
            stdout,
            "{command}"
        );
    }
}

#[test]
fn the_init_script_writes_the_secret_where_only_root_reads_it() {
    let mut bench = Bench::booted();
    bench.check(
        "crunch",
        "sudo cat /var/run/arvados-instance-secret",
        0,
        SECRET,
    );
    bench.check("root", "cat /var/run/arvados-instance-secret", 0, SECRET);
    bench.check("crunch", "cat /var/run/arvados-instance-secret", 1, "");
    bench.check("crunch", "test -e x || cat /tmp/init-done", 0, "");
}

#[test]
fn the_boot_probe_fails_until_the_system_is_up() {
    let mut bench = Bench::booted();
    bench.ms = 50;
    bench.check("crunch", "systemctl is-system-running", 1, "starting\n");
    bench.ms = 200;
    bench.check("crunch", "systemctl is-system-running", 0, "running\n");
    bench.check("crunch", "true", 0, "");
    bench.check("crunch", "no-such-program", 127, "");
}

#[test]
fn the_other_dispatchers_deployment_leaves_an_executable_file() {
    let binary = b"a runner";
    let md5 = hex::encode(Md5::digest(binary));
    let path = format!("/tmp/arvados-crunch-run/crunch-run~{md5}");
    let script = format!(
        "set -e; mkdir -p '/tmp/arvados-crunch-run'; touch '{path}'; chmod 0755 '/tmp/arvados-crunch-run' '{path}'; cat >'{path}'"
    );
    let mut bench = Bench::booted();
    bench.check("crunch", &format!("md5sum {path}"), 1, "");
    let (execution, _) = bench.run(
        "crunch",
        &format!("sudo sh -c '{}'", script.replace('\'', "'\\''")),
        binary,
    );
    assert_eq!(
        execution.exit,
        Exit::Status(0),
        "{}",
        String::from_utf8_lossy(&execution.stderr)
    );
    bench.check(
        "crunch",
        &format!("md5sum {path}"),
        0,
        &format!("{md5}  {path}\n"),
    );
    bench.check("crunch", &format!("sudo {path} --list"), 0, "");
    bench.check("crunch", &format!("{path} --list"), 1, "");
}

#[test]
fn our_deployment_is_known_by_its_marker_and_hashes_what_arrives() {
    let binary = b"a runner";
    let md5 = hex::encode(Md5::digest(binary));
    let call = |md5: &str, directory: &str| {
        format!(
            "sudo sh -c ': arvados-dispatch deploy v1\nset -eu\n' arvados-dispatch-deploy {md5} {directory}"
        )
    };
    let table: [(String, &[u8], i32); 4] = [
        (call(&md5, "/opt/x"), &binary[..3], 3),
        (call("nonsense", "/opt/x"), binary, 2),
        (call(&md5, "/opt/x"), binary, 0),
        (
            "sudo sh -c ': arvados-dispatch deploy v9' x".into(),
            binary,
            127,
        ),
    ];
    let mut bench = Bench::booted();
    for (command, stdin, status) in table {
        assert_eq!(
            bench.run("crunch", &command, stdin).0.exit,
            Exit::Status(status),
            "{command}"
        );
    }
    bench.check(
        "crunch",
        &format!("md5sum /opt/x/crunch-run~{md5}"),
        0,
        &format!("{md5}  /opt/x/crunch-run~{md5}\n"),
    );
}

#[test]
fn a_binary_that_was_cut_short_does_not_run() {
    let mut bench = Bench::booted();
    let path = "/tmp/crunch-run~00000000000000000000000000000000";
    bench.run("root", &format!("cat > {path}; chmod 0755 {path}"), b"half");
    bench.check("root", &format!("{path} --list"), 126, "");
}

#[test]
fn a_start_needs_a_document_that_is_right_in_every_part() {
    let good = || -> serde_json::Value {
        serde_json::from_str(&example_start_document(UUID, "root")).unwrap()
    };
    let spoilt = |pointer: &str, value: serde_json::Value| {
        let mut document = good();
        match pointer.rsplit_once('/') {
            Some((parent, key)) if document.pointer(pointer).is_none() => {
                document.pointer_mut(parent).unwrap()[key] = value
            }
            _ => *document.pointer_mut(pointer).unwrap() = value,
        }
        document
    };
    let table = [
        (good(), 0),
        (spoilt("/Env/GatewayAuthSecret", json!("00")), 1),
        (spoilt("/Env/GatewayAddress", json!("127.77.0.1:22")), 1),
        (spoilt("/Env/GatewayAddress", json!("::1:0")), 1),
        (spoilt("/Env/ARVADOS_API_HOST", json!("https://x")), 1),
        (spoilt("/Env/ARVADOS_API_HOST_INSECURE", json!("true")), 1),
        (spoilt("/Env/InstanceType", json!("{}\n")), 1),
        (spoilt("/KeepBuffers", json!(2)), 1),
        (spoilt("/Surprise", json!(2)), 1),
    ];
    for (document, status) in table {
        let mut bench = Bench::booted();
        let command = format!(
            "sudo crunch-run --detach --stdin-config '--runtime-engine=docker' '--x=it'\\''s' '{UUID}'"
        );
        let (execution, effects) = bench.run("crunch", &command, document.to_string().as_bytes());
        assert_eq!(execution.exit, Exit::Status(status), "{document}");
        assert_eq!(
            effects
                .iter()
                .any(|effect| matches!(effect, Effect::Began { .. })),
            status == 0
        );
    }
}

#[test]
fn a_runner_is_listed_killed_and_not_started_twice() {
    let mut bench = Bench::booted();
    let runner = |uuid: &str, phase, ignores_term| Runner {
        uuid: uuid.into(),
        pid: 1,
        phase,
        fate: Fate {
            ignores_term,
            ..Fate::default()
        },
        terminating: false,
        listed_from: 0,
        token: String::new(),
        gateway_address: String::new(),
    };
    bench
        .vm
        .runners
        .insert("a".into(), runner("a", Phase::Running, false));
    bench
        .vm
        .runners
        .insert("b".into(), runner("b", Phase::Stale, false));
    bench
        .vm
        .runners
        .insert("c".into(), runner("c", Phase::Running, true));
    bench.vm.broken = true;
    bench.check("root", "crunch-run --list", 0, "broken\na\nb stale\nc\n");
    bench.check("root", "crunch-run -list", 0, "broken\na\nb stale\nc\n");
    bench.check("root", "crunch-run --kill 15 c", 1, "");
    bench.check("root", "crunch-run --kill 15 nobody", 0, "");
    bench.check("root", "crunch-run --kill 15 b", 0, "");
    bench.runner.kill_ms = crate::time::Span::exactly(200);
    let (execution, effects) = bench.run("root", "crunch-run --kill 15 a", b"");
    assert_eq!(
        (execution.exit, execution.when),
        (Exit::Status(0), When::After(206))
    );
    assert_eq!(
        effects,
        [Effect::Terminate {
            uuid: "a".into(),
            pid: 1,
            after: 200
        }]
    );
    let prices = json!([{"StartTime": "2026-01-01T01:00:00Z", "Price": 0.2}, {"StartTime": "2026-01-01T00:00:00Z", "Price": 0.1}]);
    let (execution, _) = bench.run(
        "root",
        "crunch-run --list --stdin-prices",
        prices.to_string().as_bytes(),
    );
    assert_eq!(execution.exit, Exit::Status(0));
}

#[test]
fn a_command_line_says_what_it_needs_of_its_carrier() {
    let table = [
        ("sudo crunch-run --list", Kind::NeedsNothing),
        ("sudo crunch-run --list --stdin-prices", Kind::ReadsInput),
        ("crunch-run --detach --stdin-config 'x'", Kind::ReadsInput),
        ("systemctl is-system-running", Kind::NeedsNothing),
        ("sudo sh -c 'cat > /x'", Kind::ReadsInput),
        (
            "sudo sh -c ': arvados-dispatch watch v1\nx' n /var/lock",
            Kind::Watch {
                user: Some("root".into()),
            },
        ),
        (
            "sudo -H -u worker sh -c ': arvados-dispatch watch v1\nx' n /var/lock",
            Kind::Watch {
                user: Some("worker".into()),
            },
        ),
        ("sudo -H -u worker crunch-run --list", Kind::NeedsNothing),
        (
            "sudo -H -u worker sh -c ': arvados-dispatch user v1\nx' n worker docker",
            Kind::NeedsNothing,
        ),
        (
            "sh -c ': arvados-dispatch watch v1\nx' n /var/lock",
            Kind::Watch { user: None },
        ),
    ];
    for (command, kind) in table {
        assert_eq!(kind_of(command), kind, "{command}");
    }
}

#[test]
fn runners_are_whose_they_were_first_and_need_docker() {
    const CHECK: &str = "sh -c ': arvados-dispatch user v1\nx' n";
    let said = |bench: &mut Bench, login: &str, command: &str| {
        let (execution, _) = bench.run(login, command, b"");
        let Exit::Status(status) = execution.exit else {
            panic!("{command}: {execution:?}");
        };
        format!("{status} {}", String::from_utf8_lossy(&execution.stderr))
    };
    let mut bench = Bench::booted();
    bench.knobs.runner_users.insert("worker".into());
    let as_worker = |command: &str| format!("sudo -H -u worker {command}");
    assert_eq!(said(&mut bench, "crunch", &as_worker("whoami")), "0 ");
    let nobody = said(&mut bench, "crunch", "sudo -H -u nobody true");
    assert!(
        nobody.starts_with("1 sudo: unknown user nobody"),
        "{nobody}"
    );
    for (command, answer) in [
        (
            format!("{CHECK} crunch docker"),
            "4 crunch may not use /var/run/docker.sock\n",
        ),
        (
            format!("{CHECK} worker docker"),
            "4 this runs as crunch and not as worker\n",
        ),
        (as_worker(&format!("{CHECK} worker docker")), "0 "),
        (as_worker("crunch-run --list"), "0 "),
    ] {
        assert_eq!(said(&mut bench, "crunch", &command), answer, "{command}");
    }
    // From here on its lock is worker's.
    let denied = "1 crunch-run: open /var/lock/crunch-run-all.lock: permission denied\n";
    for command in ["crunch-run --list", "sudo crunch-run --list"] {
        assert_eq!(said(&mut bench, "crunch", command), denied, "{command}");
    }
    let mut roots = Bench::booted();
    roots.knobs.runner_users.insert("worker".into());
    roots.check("crunch", "sudo crunch-run --list", 0, "");
    let check = said(
        &mut roots,
        "crunch",
        &as_worker(&format!("{CHECK} worker docker")),
    );
    assert!(
        check.ends_with("belongs to another user than worker\n"),
        "{check}"
    );
}
