//! Instances that are made otherwise than usual: with an image that a container names, and with runners that are not
//! root's. What needs machines that are real `sshd` processes needs root, openssh-server, sudo and util-linux.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
};

use dispatch_lab::{Span, world::Submission};
use dispatch_lab_net::VmKind;

use crate::support::{Rig, container, eventually, holds, stand_in_runner};

/// A container that asks for this image.
fn with_image(image: &str, run_ms: u64) -> Submission {
    let mut container = container(1, run_ms);
    container
        .attributes
        .get_mut("runtime_constraints")
        .expect("constraints")["vm_image"] = image.into();
    container
}

/// The images of the instances that each of these ran on, as the cloud has it.
fn images(rig: &Rig, uuids: &[String]) -> Vec<Vec<String>> {
    rig.lab.world(|world, _| {
        let instances = world.instances().instances();
        let image = |id: &String| instances[id].image_id.clone();
        let of = |uuid: &String| {
            let story = world.judge().story(uuid).expect("a story");
            let ran_on: BTreeSet<String> =
                (story.runners.keys()).map(|(id, _)| image(id)).collect();
            ran_on.into_iter().collect()
        };
        uuids.iter().map(of).collect()
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn containers_run_on_the_image_they_name_also_after_a_restart() {
    let mut rig = Rig::start(|order| {
        order.vms("AllowedImages", "{rocky: img-9, old: img-7}");
        order.vms("TimeoutIdle", "20s");
        let images = ["lab-image", "img-9", "img-7"].map(str::to_owned);
        order.lab.settings.cloud.images = images.into();
    })
    .await;
    let named = ["rocky", "img-7", "nowhere"];
    let mut long: Vec<String> = (named.iter())
        .map(|image| rig.submit(&with_image(image, 4_000)))
        .collect();
    long.push(rig.submit(&container(1, 4_000)));
    rig.all_in_state(&long, "Running").await;
    let expected = ["img-9", "img-7", "lab-image", "lab-image"].map(|image| vec![image.to_owned()]);
    assert_eq!(images(&rig, &long), expected);
    let log = rig.log();
    assert!(
        log.contains(r#"which this cluster does not offer (it offers old, rocky): it gets the cluster's own."#),
        "the log says why"
    );
    let rows: BTreeMap<String, Option<String>> = (rig.management.instances().await.into_iter())
        .map(|row| (row.instance, row.image))
        .collect();
    for (id, image) in &rows {
        let tag = rig.tag(id, "ArvadosVMImage");
        assert_eq!(image.as_deref().unwrap_or_default(), tag, "{id}");
        assert!(!rig.tag(id, "ArvadosInstanceType").contains('@'));
    }
    let shown: BTreeSet<_> = rows.into_values().flatten().collect();
    assert_eq!(shown, ["old", "rocky"].map(str::to_owned).into());

    // The next daemon finds the instances, each with its image, and uses them as such.
    rig.daemon.kill_without_warning().await;
    rig.lab.world(|world, _| world.dispatcher_restarted());
    rig.start_again(|launch| launch).await;
    rig.all_in_state(&long, "Complete").await;
    let before = rig.judge().instances_created;
    let again = [
        with_image("rocky", 3_000),
        with_image("old", 3_000),
        container(1, 3_000),
    ];
    let again: Vec<String> = again.iter().map(|one| rig.submit(one)).collect();
    rig.all_in_state(&again, "Running").await;
    let expected = ["img-9", "img-7", "lab-image"].map(|image| vec![image.to_owned()]);
    assert_eq!(images(&rig, &again), expected);
    assert_eq!(
        rig.judge().instances_created,
        before,
        "there was one of each"
    );
}

/// A runner that tells whom it runs as, and then is the stand-in.
fn telling_runner(directory: &Path) -> (String, std::path::PathBuf) {
    let (told, real) = (directory.join("told"), directory.join("stand-in"));
    fs::copy(stand_in_runner(), &real).expect("copied");
    fs::write(&told, "").expect("written");
    let script = directory.join("crunch-run");
    let text = format!(
        "#!/bin/sh\necho \"$(id -un) $1\" >>{}\nexec {} \"$@\"\n",
        told.display(),
        real.display()
    );
    fs::write(&script, text).expect("written");
    for (path, mode) in [(directory, 0o755), (&script, 0o755), (&told, 0o666)] {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("permitted");
    }
    (script.display().to_string(), told)
}

/// Machines that are real `sshd` processes, whose login is `crunch` and whose runners are this user's.
async fn with_real_machines(user: &str, files: &Path, more: &[(&'static str, &str)]) -> Rig {
    let (runner, _) = telling_runner(files);
    Rig::start(|order| {
        order.lab.vms = VmKind::Sshd(files.join("machines"));
        order.lab.settings.vm.boot_ms = Span::between(10, 20);
        order.vms("BootProbeCommand", "\"test -e /run/lab-booted\"");
        order.lab.config.deploy_runner_binary = runner;
        order.vms("RunnerUser", user);
        for (key, value) in more {
            order.vms(key, value);
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn runners_run_as_a_user_that_is_not_root_on_real_machines() {
    for user in ["crunch", "worker"] {
        let files = tempfile::tempdir_in("/var/tmp").expect("a directory");
        let rig = with_real_machines(user, files.path(), &[("ProbeInterval", "60s")]).await;
        let short = rig.submit_many(2, &container(1, 300));
        let long = rig.submit(&container(1, 600_000));
        rig.all_in_state(std::slice::from_ref(&long), "Running")
            .await;
        // Probes are a minute apart: only the exit watch tells so soon.
        rig.all_in_state(&short, "Complete").await;
        eventually("the ends of the short ones are seen", async || {
            let rows = rig.management.instances().await;
            let running = rows.into_iter().flat_map(|row| row.running_container_uuids);
            holds(running.flatten().eq([long.clone()]))
        })
        .await;
        let killed = rig.ctl(&["containers", "kill", &long]).await;
        assert_eq!(killed.code, Some(0), "{killed:?}");
        rig.all_in_state(&[long], "Cancelled").await;
        eventually("all machines are gone", async || {
            holds(rig.living_instances().is_empty())
        })
        .await;
        rig.judge();
        let told = fs::read_to_string(files.path().join("told")).expect("told");
        let told: BTreeSet<&str> = told.lines().collect();
        let expected = ["--detach", "--kill", "--list"].map(|what| format!("{user} {what}"));
        assert_eq!(told, expected.iter().map(String::as_str).collect());
    }
}

/// Waits until an instance is given up, and gives the line of the log that says so.
async fn given_up(rig: &Rig) -> String {
    const GIVEN_UP: &str = "instance did not boot in time; destroying it";
    eventually("one is given up", async || {
        holds(rig.log().contains(GIVEN_UP))
    })
    .await;
    let log = rig.log();
    let line = log.lines().find(|line| line.contains(GIVEN_UP));
    line.expect("the line").to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_who_is_missing_or_may_not_use_docker_keeps_instances_from_booting_and_the_log_says_the_remedy()
 {
    let files = tempfile::tempdir_in("/var/tmp").expect("a directory");
    let times = [("TimeoutBooting", "3s"), ("TimeoutProbe", "3s")];
    for (user, complaint) in [
        (
            "nobody",
            "nobody may not use /var/run/docker.sock: add nobody to the group docker",
        ),
        ("ghost", "sudo: unknown user"),
    ] {
        let rig = with_real_machines(user, files.path(), &times).await;
        rig.submit(&container(1, 300));
        let line = given_up(&rig).await;
        for words in [
            complaint,
            &format!("runners cannot run as {user} (RunnerUser): the image must have this user"),
        ] {
            assert!(line.contains(words), "{words}: {line}");
        }
        assert_eq!(rig.judge().complete, 0);
    }
    let told = fs::read_to_string(files.path().join("told")).expect("told");
    assert_eq!(told, "", "no runner was called");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn instances_keep_the_user_that_they_were_made_for_when_the_setting_changes() {
    let mut rig = Rig::start(|order| {
        order.lab.settings.vm.runner_users = ["crunch".to_owned()].into();
        order.vms("TimeoutIdle", "10s");
    })
    .await;
    let roots = rig.submit_many(2, &container(1, 5_000));
    rig.all_in_state(&roots, "Running").await;
    rig.daemon.kill_without_warning().await;
    rig.lab.world(|world, _| world.dispatcher_restarted());
    let text = fs::read_to_string(rig.config()).expect("read");
    let changed = text.replace("CloudVMs:\n", "CloudVMs:\n        RunnerUser: crunch\n");
    assert_ne!(text, changed);
    fs::write(rig.config(), changed).expect("written");
    rig.start_again(|launch| launch).await;
    // Eight cores at most: some get new instances, where they are crunch's.
    let crunchs = rig.submit_many(12, &container(2, 3_000));
    rig.all_in_state(&crunchs, "Complete").await;
    rig.all_in_state(&roots, "Complete").await;
    let users: BTreeSet<String> = rig.lab.world(|world, _| {
        let instances = world.instances().instances().values();
        let tag = |tags: &BTreeMap<String, String>| {
            tags.get("ArvadosRunnerUser").cloned().unwrap_or_default()
        };
        instances.map(|instance| tag(&instance.tags)).collect()
    });
    assert_eq!(users, ["".to_owned(), "crunch".to_owned()].into());
    rig.everything_completes().await;
}
