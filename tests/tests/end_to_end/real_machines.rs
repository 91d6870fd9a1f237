//! Machines that are real `sshd` processes: software that nobody here wrote. Needs root, openssh-server, sudo and
//! util-linux; `cargo xtask test` installs them.

use std::{collections::BTreeSet, fs, os::unix::fs::PermissionsExt};

use dispatch_lab_net::VmKind;

use crate::support::{Rig, container, eventually, holds, stand_in_runner};

/// As an operator writes it, with comments and all.
const CONFIG: &str = include_str!("config.yml");

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_containers_run_on_real_sshd_machines_while_the_operator_steers_them() {
    // Machines have a /tmp of their own.
    let files = tempfile::tempdir_in("/var/tmp").expect("a directory");
    // Machines log in as users who may not read what is private to this one.
    fs::set_permissions(files.path(), fs::Permissions::from_mode(0o755)).expect("permitted");
    let path = |name: &str| files.path().join(name).display().to_string();
    let (key_file, executed, runner) = (path("dispatch.key"), path("executed"), path("crunch-run"));
    fs::copy(stand_in_runner(), &runner).expect("copied");
    let values = [
        ("KEY_FILE", key_file.clone()),
        ("EXECUTED", executed.clone()),
        ("RUNNER", runner),
    ];
    let rig = Rig::start(|order| {
        order.lab.vms = VmKind::Sshd(path("machines").into());
        order.lab.settings.vm.boot_ms = dispatch_lab::Span::between(10, 20);
        order.edit = Box::new(move |written| {
            // The lab knows the addresses; everything else is the operator's.
            let of_the_lab = |key: &str| {
                let line = written
                    .lines()
                    .find_map(|line| line.trim().strip_prefix(key));
                line.unwrap_or_else(|| panic!("no {key}")).trim().to_owned()
            };
            let (head, rest) = written.split_once("-----BEGIN").expect("a key");
            assert!(head.ends_with("DispatchPrivateKey: |\n        "));
            let (body, _) = rest
                .split_once("-----END OPENSSH PRIVATE KEY-----")
                .expect("its end");
            let key = format!("-----BEGIN{body}-----END OPENSSH PRIVATE KEY-----\n")
                .replace("        ", "");
            fs::write(&values[0].1, key).expect("written");
            fs::set_permissions(&values[0].1, fs::Permissions::from_mode(0o600))
                .expect("permitted");
            let mut config = CONFIG.to_owned();
            for (name, value) in &values {
                config = config.replace(&format!("@{name}@"), value);
            }
            for (name, key) in [
                ("ROOT_TOKEN", "SystemRootToken:"),
                ("MANAGEMENT_TOKEN", "ManagementToken:"),
                ("API_URL", "ExternalURL:"),
                ("CLOUD_URL", "Endpoint:"),
                ("SSH_PORT", "SSHPort:"),
                ("MANAGEMENT_URL", "\"http://"),
            ] {
                config = config.replace(&format!("@{name}@"), &of_the_lab(key));
            }
            config
        });
    })
    .await;

    let short: Vec<String> = (0..18)
        .map(|n| rig.submit(&container(1 + n % 2, 300)))
        .collect();
    let long = rig.submit_many(2, &container(1, 6_000));
    rig.all_in_state(&long, "Running").await;
    let on = |instances: &[dispatch_management_api::wire::Instance], uuid: &String| -> String {
        let runs = |row: &&dispatch_management_api::wire::Instance| {
            row.running_container_uuids
                .as_ref()
                .is_some_and(|list| list.contains(uuid))
        };
        let row = instances.iter().find(runs).expect("it runs somewhere");
        row.instance.clone()
    };
    let instances = rig.management.instances().await;
    let (held, drained) = (on(&instances, &long[0]), on(&instances, &long[1]));
    assert_ne!(held, drained, "a machine of one core has room for one");

    // While they run.
    let steer = async |words: &[&str]| {
        let ran = rig.ctl(words).await;
        assert_eq!(ran.code, Some(0), "{words:?}: {ran:?}");
        ran.stdout
    };
    assert!(steer(&["list"]).await.contains(&held));
    steer(&["hold", &held]).await;
    steer(&["drain", &drained]).await;
    let json: serde_json::Value =
        serde_json::from_str(&steer(&["list", "--json"]).await).expect("JSON");
    let behavior = |id: &str| {
        let row = json
            .as_array()
            .and_then(|rows| rows.iter().find(|row| row["instance"] == id));
        row.map(|row| row["idle_behavior"].clone())
    };
    assert_eq!(behavior(&held), Some("hold".into()));
    assert_eq!(behavior(&drained), Some("drain".into()));
    // The dispatcher learns of it with the next poll.
    eventually("ctl shows that it runs", async || {
        holds(
            steer(&["containers", "show", &long[0]])
                .await
                .contains("Running"),
        )
    })
    .await;

    rig.all_in_state(&short, "Complete").await;
    rig.all_in_state(&long, "Complete").await;
    eventually("only the instance on hold is left", async || {
        holds(rig.living_instances() == BTreeSet::from([held.clone()]))
    })
    .await;
    rig.lab.world(|world, _| world.announce_kill(&held));
    steer(&["kill", "--reason", "the test is over", &held]).await;
    rig.everything_completes().await;
    assert_eq!(rig.judge().complete, 20);

    // Each machine began with half a runner at the place of the whole one (facts K25).
    assert!(
        !fs::exists(executed).expect("a path"),
        "half a program was executed"
    );
}
