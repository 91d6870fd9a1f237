//! No secret leaves the daemon but to a host that was verified (facts K35, invariant 3).

use std::{collections::BTreeSet, fs};

use dispatch_lab::vm::{Ailment, Vm};
use dispatch_lab_net::Heard;
use serde_json::{Value, json};

use crate::support::{Rig, container, eventually, holds};

/// Everything that nobody may read.
fn secrets(rig: &Rig) -> BTreeSet<String> {
    let lab = rig.lab.lab();
    let mut secrets = BTreeSet::from([
        lab.settings.system_root_token.clone(),
        lab.config.management_token.clone(),
    ]);
    let is_content = |line: &&str| line.len() > 20 && !line.starts_with('-');
    secrets.extend(
        rig.lab
            .private_key()
            .lines()
            .filter(is_content)
            .map(str::to_owned),
    );
    rig.lab.world(|world, _| {
        for instance in world.instances().instances().values() {
            secrets.extend(instance.tags.get("ArvadosInstanceSecret").cloned());
        }
    });
    for document in documents(rig) {
        secrets.extend(
            document["Env"]["GatewayAuthSecret"]
                .as_str()
                .map(str::to_owned),
        );
    }
    secrets
}

/// What runners were told.
fn documents(rig: &Rig) -> Vec<Value> {
    let heard = rig.lab.heard().into_iter();
    heard
        .filter_map(|heard| match heard {
            Heard::Command { stdin, .. } => serde_json::from_slice(&stdin).ok(),
            Heard::Api(_) | Heard::Cloud(_) => None,
        })
        .collect()
}

#[track_caller]
fn is_free_of(secrets: &BTreeSet<String>, place: &str, text: &str) {
    for secret in secrets {
        if let Some(at) = text.find(secret.as_str()) {
            let begin = text[..at].rfind('\n').map_or(0, |end| end + 1);
            let line = text[begin..].lines().next().unwrap_or_default();
            panic!("{place} tells a secret: {line}");
        }
    }
}

/// Adds the addresses of machines that are up and show a wrong secret. While there is no such machine, the next one that
/// boots is one.
fn look_for_strangers(rig: &Rig, strangers: &mut BTreeSet<String>) {
    rig.lab.world(|world, _| {
        let is_stranger = |vm: &&Vm| vm.ailment == Ailment::WrongSecret;
        let mut n_strangers = 0;
        for vm in world.vms().values().filter(is_stranger) {
            n_strangers += 1;
            if vm.up {
                strangers.insert(vm.address.clone());
            }
        }
        let booting = world.vms().iter().find(|(_, vm)| !vm.up);
        if let Some(instance) = booting.map(|(instance, _)| instance.clone())
            && n_strangers == 0
        {
            world.afflict(&instance, Ailment::WrongSecret);
        }
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn secrets_are_in_no_log_metric_answer_command_line_or_environment_and_strangers_hear_nothing()
 {
    let rig = Rig::start(|order| {
        order.cluster = "SystemLogs:\n  LogLevel: debug\n".to_owned();
        order.vms("TimeoutBooting", "4s");
        order.vms("TimeoutProbe", "8s");
        order.vms("TimeoutAPI", "5s");
        order.lab.settings.timeout_probe_ms = 8000;
        order.lab.settings.dead_type_ms = 3000;
    })
    .await;
    rig.lab.overhear();
    // All kinds of trouble for as long as it takes to meet a machine that is not what it should be.
    let set = |faults: &str| {
        let patch = json!({"faults": faults});
        rig.lab
            .world(|world, _| world.set(&patch).map(drop))
            .expect("a level");
    };
    // Long enough that the machine is still wanted when it is met.
    rig.submit_many(12, &container(1, 3_000));
    set("many");
    let mut strangers = BTreeSet::new();
    eventually("a machine shows a wrong secret", async || {
        look_for_strangers(&rig, &mut strangers);
        holds(!strangers.is_empty())
    })
    .await;
    set("none");
    let heard_by = |strangers: &BTreeSet<String>| -> Vec<String> {
        let heard = rig.lab.heard().into_iter();
        heard
            .filter_map(|heard| match heard {
                Heard::Command { address, line, .. } if strangers.contains(&address) => Some(line),
                Heard::Command { .. } | Heard::Api(_) | Heard::Cloud(_) => None,
            })
            .collect()
    };
    eventually("it is asked for its secret", async || {
        // It may be given up before anybody asks it: then it is the next one's turn, for which somebody must wait.
        look_for_strangers(&rig, &mut strangers);
        if rig.lab.world(|world, _| world.status()).open == 0 {
            rig.submit(&container(1, 3_000));
        }
        holds(!heard_by(&strangers).is_empty())
    })
    .await;
    let metrics_meanwhile = rig.management.metrics().await;
    eventually("all is done and paid", async || {
        let status = rig.lab.world(|world, _| world.status());
        holds(status.open == 0 && status.instances == 0)
    })
    .await;
    rig.judge();
    for line in heard_by(&strangers) {
        assert_eq!(line, "sudo cat /var/run/arvados-instance-secret");
    }

    let secrets = secrets(&rig);
    assert!(
        secrets.len() > 20,
        "tokens, the key, and those of instances and gateways"
    );
    let log = rig.log();
    assert!(log.contains(r#""level":"debug""#) && log.contains(r#""level":"warning""#));
    is_free_of(&secrets, "the log", &log);
    is_free_of(
        &secrets,
        "the metrics",
        &(metrics_meanwhile + &rig.management.metrics().await),
    );
    for path in ["containers", "instances", "nope"] {
        let answer = rig
            .management
            .get(&format!("/arvados/v1/dispatch/{path}"))
            .await;
        is_free_of(&secrets, path, &answer.expect("an answer").text);
    }
    let process = |file: &str| {
        let bytes =
            fs::read(format!("/proc/{}/{file}", rig.daemon.pid())).expect("its own process");
        String::from_utf8_lossy(&bytes).into_owned()
    };
    is_free_of(&secrets, "the daemon's command line", &process("cmdline"));
    is_free_of(&secrets, "the daemon's environment", &process("environ"));
    for heard in rig.lab.heard() {
        match heard {
            Heard::Command { line, .. } => is_free_of(&secrets, "a command line", &line),
            Heard::Api(request) | Heard::Cloud(request) => {
                is_free_of(
                    &secrets,
                    "a URL",
                    &format!("{}?{}", request.path, request.query),
                );
            }
        }
    }
}
