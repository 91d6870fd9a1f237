//! A running daemon compared with the recordings of the Go dispatcher in `tests/transcripts/`: by meaning, not by byte
//! order. Where ours is meant to differ, the test says why.
//!
//! One daemon plays the recorded scene (a small, a spot and a big type; one container that fits nothing, three that run,
//! one that waits; an operator at work), and each test looks at one side of what it said.

mod api;
mod cli;
mod commands;
mod management;
mod metrics;
mod tags;

use std::{collections::BTreeMap, sync::OnceLock};

use dispatch_lab::{Span, settings::InstanceType, world::Submission};
use dispatch_lab_net::Heard;
use serde_json::{Value, json};

use crate::support::{Answer, Launch, Ran, Rig, container, eventually, holds};

const MANAGEMENT: &str = include_str!("../../../transcripts/management.jsonl");
const SESSION: &str = include_str!("../../../transcripts/instance-cli.txt");

/// As long as the recorded one.
const RUNNER_BYTES: usize = 170;

/// What ours said.
struct Ours {
    /// Requests to the API and the cloud, commands on machines.
    heard: Vec<Heard>,
    root_token: String,
    api_host: String,
    management_address: String,
    /// Lists of the management API, by the name of the recorded moment.
    lists: BTreeMap<&'static str, Value>,
    /// Its answers to the recorded requests.
    answers: BTreeMap<String, Answer>,
    metrics: String,
    metrics_json: Value,
    /// The admin's session: recorded command, what ours said.
    session: Vec<(String, Ran)>,
    /// The instance that the session is about.
    instance: String,
    /// Its tags at the end.
    tags: BTreeMap<String, String>,
}

/// The scene is played once for all tests.
fn ours() -> &'static Ours {
    static OURS: OnceLock<Ours> = OnceLock::new();
    OURS.get_or_init(|| {
        // Not on a test's own thread: that may belong to another runtime.
        let scene = std::thread::spawn(|| {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(2)
                .enable_all()
                .build()
                .expect("a runtime");
            runtime.block_on(play())
        });
        scene
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// The recording, line by line.
fn recorded(jsonl: &str) -> impl Iterator<Item = Value> {
    jsonl
        .lines()
        .map(|line| serde_json::from_str(line).expect("a line of JSON"))
}

async fn set_up() -> Rig {
    let runner = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(runner.path(), "x".repeat(RUNNER_BYTES)).expect("written");
    let (lab, management, directory) = Rig::prepare(|order| {
        let kind = |name: &str, vcpus, ram, preemptible| InstanceType {
            name: name.into(),
            provider_type: format!("m5.{name}"),
            vcpus,
            ram,
            scratch: 100_000_000_000,
            price: 0.1,
            preemptible,
            gpus: 0,
        };
        let settings = &mut order.lab.settings;
        settings.instance_types = vec![
            kind("big", 16, 64 << 30, false),
            kind("small", 1, 2 << 30, false),
            kind("spot", 2, 8 << 30, true),
        ];
        settings.instance_types[0].price = 1.5;
        settings.vm.boot_ms = Span::between(600, 900);
        order.lab.config.deploy_runner_binary = runner.path().display().to_string();
        order.vms("MaxInstances", "3");
        order.vms("ResourceTags", "{Project: demo}");
        order.vms("TimeoutIdle", "1m");
        let arguments = r#"["--cgroup-parent-subsystem=memory", "--broken-node-hook=it's"]"#;
        order
            .containers
            .insert("CrunchRunArgumentsList", arguments.into());
        order
            .containers
            .insert("LocalKeepBlobBuffersPerVCPU", "0".into());
        order.edit = Box::new(|text| {
            let small = "ProviderType: m5.small\n";
            text.replacen(
                small,
                &format!("{small}        AddedScratch: 50000000000\n"),
                1,
            )
        });
    })
    .await;
    lab.overhear();
    let path = directory.path();
    let mut daemon = Launch::new(&path.join("config.yml"), &path.join("log")).start();
    daemon.listens_on(&management.address).await;
    // The daemon has opened the runner's program: its file may go.
    Rig {
        lab,
        daemon,
        management,
        directory,
    }
}

fn with(mut submission: Submission, name: &str, value: Value) -> Submission {
    submission.attributes.insert(name.to_owned(), value);
    submission
}

async fn play() -> Ours {
    let rig = set_up().await;
    let mut lists = BTreeMap::new();
    let list = async |path: &str| {
        let answer = rig
            .management
            .get(&format!("/arvados/v1/dispatch/{path}"))
            .await;
        answer.expect("an answer").json()["items"].clone()
    };

    let priority = |submission, value: i64| with(submission, "priority", json!(value));
    let spot =
        json!({"partitions": [], "preemptible": true, "max_run_time": 0, "supervisor": false});
    rig.submit(&priority(container(100, 1), 800));
    let first = rig.submit(&priority(container(1, 4000), 500));
    let second = rig.submit(&priority(
        with(container(2, 100), "scheduling_parameters", spot),
        500,
    ));
    let third = rig.submit(&priority(container(1, 600_000), 500));
    let fourth = rig.submit(&priority(container(1, 100), 400));

    let fifth = rig.submit(&priority(container(1, 100), 300));

    let booting = eventually("an instance boots", async || {
        let instances = list("instances").await;
        let named = |row: &Value| row["worker_state"] == "booting" && row["address"] != "";
        let rows = instances.as_array()?;
        // A poll may have come between two of the submissions.
        (rows.len() == 3 && rows.iter().any(named)).then_some(instances)
    });
    lists.insert("instances while booting or early", booting.await);
    let waiting = eventually("one waits for room", async || {
        let containers = list("containers").await;
        let waits = |row: &Value| {
            row["container"]["uuid"] == fifth.as_str() && row["scheduling_status"] != ""
        };
        let any = containers.as_array()?.iter().any(waits);
        any.then_some(containers)
    });
    lists.insert("containers while waiting", waiting.await);
    // Nobody wants it any more: no list brings it, so it must be looked up.
    rig.lab
        .world(|world, now| world.set_priority(&fifth, 0, now));
    let running = eventually("containers run", async || {
        let containers = list("containers").await;
        let running = |row: &&Value| row["container"]["state"] == "Running";
        let n_running = containers.as_array()?.iter().filter(running).count();
        (n_running >= 2).then_some(containers)
    });
    lists.insert("containers while running", running.await);
    lists.insert("instances with running containers", list("instances").await);

    rig.all_in_state(&[first, second, fourth], "Complete").await;
    eventually("their runners have ended", async || {
        holds(rig.runners().len() == 1)
    })
    .await;
    eventually("the daemon has noticed", async || {
        let instances = rig.management.instances().await;
        let busy = instances.iter().filter(|row| {
            let containers = row.running_container_uuids.as_ref();
            containers.is_some_and(|list| !list.is_empty())
        });
        holds(busy.count() == 1)
    })
    .await;
    let metrics = rig.management.metrics().await;
    let metrics_json = rig
        .management
        .get("/metrics.json")
        .await
        .expect("an answer");
    let killed = rig
        .management
        .post(
            "/arvados/v1/dispatch/containers/kill",
            &format!("container_uuid={third}&reason=x"),
        )
        .await
        .expect("an answer");
    assert_eq!(killed.status, 200, "{killed:?}");
    rig.all_in_state(&[third], "Cancelled").await;

    let mut answers = BTreeMap::new();
    for row in recorded(MANAGEMENT) {
        let request = row["request"].as_str().expect("a request").to_owned();
        if request.contains(" token=") {
            answers.insert(request.clone(), management::ask(&rig, &request).await);
        }
    }

    let idle = eventually("an instance is idle", async || {
        let instances = rig.management.instances().await;
        let idle = instances
            .into_iter()
            .find(|row| row.worker_state.to_string() == "idle");
        idle.map(|row| row.instance)
    });
    let instance = idle.await;
    // The recorded kill is the session's end.
    rig.lab.world(|world, _| world.announce_kill(&instance));
    let mut session = Vec::new();
    for command in cli::recorded_commands() {
        if command.starts_with("kill") {
            eventually("the wish is on the instance", async || {
                holds(rig.tag(&instance, "ArvadosIdleBehavior") == "run")
            })
            .await;
        }
        let words = cli::in_our_words(&command, &instance);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        session.push((command, rig.ctl(&words).await));
    }
    eventually("the killed instance is gone", async || {
        holds(!rig.living_instances().contains(&instance))
    })
    .await;
    let tags = rig
        .lab
        .world(|world, _| world.instances().instances()[&instance].tags.clone());
    Ours {
        heard: rig.lab.heard(),
        root_token: rig.lab.lab().settings.system_root_token.clone(),
        api_host: rig.lab.api_url().trim_start_matches("https://").to_owned(),
        management_address: rig.management.address.clone(),
        lists,
        answers,
        metrics,
        metrics_json: metrics_json.json(),
        session,
        instance,
        tags,
    }
}

/// What differs from run to run, replaced by a name: UUIDs of containers, and what is longer than any word in
/// hexadecimal digits.
fn without_luck(text: &str) -> String {
    let mut out = String::new();
    let mut word = String::new();
    for c in text.chars().chain(['\0']) {
        if c.is_ascii_alphanumeric() || (c == '-' && word.starts_with("zzzzz")) {
            word.push(c);
            continue;
        }
        out.push_str(match word.as_str() {
            w if w.len() == 27 && w.starts_with("zzzzz-dz642-") => "<uuid>",
            w if w.len() >= 32 && w.chars().all(|c| c.is_ascii_hexdigit()) => "<hex>",
            w => w,
        });
        word.clear();
        if c != '\0' {
            out.push(c);
        }
    }
    out
}
