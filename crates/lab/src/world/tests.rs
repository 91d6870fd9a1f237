//! Whole lives in virtual time, driven by a small script in place of a dispatcher.

mod duties;
mod silences;

use serde_json::json;

use super::*;
use crate::{
    Span, When,
    api::ApiRequest,
    cloud::{Class, CloudAnswer, CloudCall, Order},
    faults::Level,
    vm::{Execution, Exit, Reach, example_start_document},
};

const SECRET: &str = "0123456789abcdef0123456789abcdef01234567";

/// A world and its time.
struct Stage {
    world: World,
    ms: u64,
    trace: Vec<String>,
}

impl Stage {
    fn new(seed: u64, settings: Settings) -> Stage {
        Stage {
            world: World::new(seed, settings),
            ms: 0,
            trace: Vec::new(),
        }
    }

    fn now(&self) -> Now {
        Now::at(self.ms)
    }

    /// Goes on in time, and writes down what happens.
    fn pass(&mut self, ms: u64) {
        let until = self.ms + ms;
        while let Some(next) = self.world.next_event_at().filter(|next| *next <= until) {
            self.ms = self.ms.max(next);
            self.world.advance(Now::at(self.ms));
            let events = self.world.take_events();
            self.trace.extend(
                events
                    .into_iter()
                    .map(|event| format!("{} {event:?}", self.ms)),
            );
        }
        self.ms = until;
        self.world.advance(Now::at(until));
    }

    fn order() -> Order {
        Order {
            provider_type: "lab.8".into(),
            init_script: format!(
                "#!/bin/sh\n(umask 0177; echo -n '{SECRET}' > /var/run/arvados-instance-secret)\n"
            ),
            tags: [("ArvadosInstanceSetID".to_owned(), "set".to_owned())].into(),
            ..Order::default()
        }
    }

    fn cloud(&mut self, call: CloudCall) -> CloudReply {
        let now = self.now();
        self.world.cloud(&call, now)
    }

    /// An instance that has booted: its id and address.
    fn instance(&mut self) -> (String, String) {
        let CloudAnswer::Created(created) = self.cloud(CloudCall::Create(Stage::order())).answer
        else {
            panic!("not created")
        };
        self.pass(5000);
        let address = self
            .world
            .vm(&created.id)
            .expect("it lives")
            .address
            .clone();
        (created.id, address)
    }

    fn exec(&mut self, address: &str, command: &str, stdin: &[u8]) -> Execution {
        let now = self.now();
        self.world
            .exec(address, "crunch", command, stdin, now)
            .expect("the machine is there")
    }

    fn stdout(&mut self, address: &str, command: &str) -> String {
        String::from_utf8(self.exec(address, command, b"").stdout).unwrap()
    }

    fn api(&mut self, method: &str, path: &str, params: &[(&str, &str)]) -> ApiReply {
        let token = self.world.settings().system_root_token.clone();
        let now = self.now();
        self.world.api(
            &ApiRequest::new(method, &format!("/arvados/v1/{path}"), &token, params),
            now,
        )
    }

    fn submit(&mut self, submission: &Submission) -> String {
        let now = self.now();
        self.world.submit(submission, now).expect("good attributes")
    }

    fn lock(&mut self, uuid: &str) {
        assert_eq!(
            self.api("POST", &format!("containers/{uuid}/lock"), &[])
                .answer
                .status,
            200
        );
    }

    fn start(&mut self, address: &str, uuid: &str) -> Execution {
        let token = self.world.settings().system_root_token.clone();
        let document = example_start_document(uuid, &token);
        let command =
            format!("sudo crunch-run --detach --stdin-config '--runtime-engine=docker' '{uuid}'");
        self.exec(address, &command, document.as_bytes())
    }

    /// What a dispatcher asks a fresh machine.
    fn probe(&mut self, address: &str) {
        for command in ["systemctl is-system-running", "sudo crunch-run --list"] {
            assert_eq!(self.exec(address, command, b"").exit, Exit::Status(0));
        }
    }

    fn state(&self, uuid: &str) -> &'static str {
        self.world.containers().containers()[uuid].state.name()
    }

    fn report(&self) -> crate::judge::Report {
        self.world.report(self.now())
    }
}

fn running_for(ms: u64) -> Submission {
    Submission {
        run_ms: Some(ms),
        ..Submission::default()
    }
}

#[test]
fn a_container_is_queued_locked_run_and_complete() {
    let mut stage = Stage::new(1, Settings::default());
    let uuid = stage.submit(&running_for(2000));
    let (_, address) = stage.instance();
    assert_eq!(
        stage.stdout(&address, "sudo cat /var/run/arvados-instance-secret"),
        SECRET
    );
    stage.lock(&uuid);
    stage.probe(&address);
    assert_eq!(stage.start(&address, &uuid).exit, Exit::Status(0));
    assert_eq!(stage.state(&uuid), "Locked");
    stage.pass(1000);
    assert_eq!(stage.state(&uuid), "Running");
    assert_eq!(
        stage.stdout(&address, "sudo crunch-run --list"),
        format!("{uuid}\n")
    );
    assert_eq!(
        stage.start(&address, &uuid).exit,
        Exit::Status(1),
        "its lock is held"
    );
    stage.pass(3000);
    assert_eq!(stage.state(&uuid), "Complete");
    assert_eq!(stage.stdout(&address, "sudo crunch-run --list"), "");
    let report = stage.report();
    assert_eq!(
        (
            report.complete,
            report.lost,
            report.run_twice,
            report.instances_left
        ),
        (1, 0, 0, 1)
    );
    assert_eq!(report.breaches, Vec::<String>::new());
}

#[test]
fn a_runner_that_finds_its_container_not_locked_ends() {
    let mut stage = Stage::new(1, Settings::default());
    let uuid = stage.submit(&running_for(2000));
    let (_, address) = stage.instance();
    assert_eq!(stage.start(&address, &uuid).exit, Exit::Status(0));
    stage.pass(1000);
    assert_eq!(stage.state(&uuid), "Queued");
    assert_eq!(stage.stdout(&address, "sudo crunch-run --list"), "");
}

#[test]
fn a_killed_runner_puts_its_container_back_before_running_and_gives_it_up_after() {
    for (wait, expected) in [(0, "Queued"), (1000, "Cancelled")] {
        let mut settings = Settings::default();
        settings.runner.start_ms = Span::exactly(500);
        let mut stage = Stage::new(1, settings);
        let uuid = stage.submit(&running_for(60_000));
        let (_, address) = stage.instance();
        stage.lock(&uuid);
        stage.start(&address, &uuid);
        stage.pass(wait);
        assert_eq!(
            stage
                .exec(&address, &format!("sudo crunch-run --kill 15 {uuid}"), b"")
                .exit,
            Exit::Status(0)
        );
        stage.pass(1000);
        assert_eq!(stage.state(&uuid), expected);
        assert_eq!(stage.stdout(&address, "sudo crunch-run --list"), "");
    }
}

#[test]
fn an_exit_watch_prints_each_container_once_its_lock_is_free() {
    let mut stage = Stage::new(1, Settings::default());
    let uuid = stage.submit(&running_for(2000));
    let (_, address) = stage.instance();
    stage.lock(&uuid);
    stage.start(&address, &uuid);
    let now = stage.now();
    let watch = stage.world.open_watch(&address, "root", now).unwrap();
    for line in [uuid.as_str(), "zzzzz-dz642-unknown", "no/uuid"] {
        stage.world.watch_line(watch, line, now);
    }
    let line = |line: &str| Event::WatchLine {
        watch,
        line: line.into(),
    };
    let said: Vec<Event> = stage
        .world
        .take_events()
        .into_iter()
        .filter(|e| matches!(e, Event::WatchLine { .. }))
        .collect();
    assert_eq!(
        said,
        [
            line("zzzzz-dz642-unknown"),
            line("! not a container's UUID")
        ]
    );
    stage.pass(5000);
    let printed: Vec<&String> = stage
        .trace
        .iter()
        .filter(|text| text.contains("WatchLine"))
        .collect();
    assert_eq!(printed.len(), 1, "{printed:?}");
    assert!(printed[0].contains(&uuid));
}

#[test]
fn a_crash_before_running_leaves_it_locked_and_one_while_running_dooms_it() {
    for (seed, rate) in (1..=20).map(|seed| (seed, 1.0)) {
        let mut settings = Settings::default();
        settings.runner.crash_rate = rate;
        let mut stage = Stage::new(seed, settings);
        let uuid = stage.submit(&running_for(1000));
        let (_, address) = stage.instance();
        stage.lock(&uuid);
        stage.start(&address, &uuid);
        stage.pass(5000);
        let doomed = stage.report().doomed;
        assert!(
            matches!((stage.state(&uuid), doomed), ("Locked", 0) | ("Running", 1)),
            "seed {seed}"
        );
        assert_eq!(
            stage.stdout(&address, "sudo crunch-run --list"),
            "",
            "seed {seed}"
        );
    }
}

#[test]
fn a_deadlocked_child_keeps_the_lock_after_the_end() {
    let mut settings = Settings::default();
    settings.runner.deadlock_rate = 1.0;
    let mut stage = Stage::new(1, settings);
    let uuid = stage.submit(&running_for(1000));
    let (_, address) = stage.instance();
    stage.lock(&uuid);
    stage.start(&address, &uuid);
    stage.pass(5000);
    assert_eq!(stage.state(&uuid), "Complete");
    assert_eq!(
        stage.stdout(&address, "sudo crunch-run --list"),
        format!("{uuid} stale\n")
    );
}

#[test]
fn a_silent_machine_hears_nothing_and_its_runner_reaches_nobody() {
    let mut stage = Stage::new(1, Settings::default());
    let uuid = stage.submit(&running_for(1000));
    let (id, address) = stage.instance();
    stage.lock(&uuid);
    stage.start(&address, &uuid);
    stage.pass(500);
    let now = stage.now();
    stage.world.silence(&id, None, now);
    assert_eq!(stage.world.reach(&address, now), Reach::Silent);
    assert_eq!(stage.exec(&address, "true", b"").when, When::Never);
    stage.pass(60_000);
    assert_eq!((stage.state(&uuid), stage.report().doomed), ("Running", 1));

    let mut stage = Stage::new(1, Settings::default());
    let uuid = stage.submit(&running_for(1000));
    let (id, address) = stage.instance();
    stage.lock(&uuid);
    stage.start(&address, &uuid);
    stage.pass(500);
    let now = stage.now();
    stage.world.silence(&id, Some(2000), now);
    stage.pass(60_000);
    assert_eq!(
        (stage.state(&uuid), stage.report().doomed),
        ("Complete", 0),
        "a short silence dooms nobody"
    );
}

#[test]
fn the_judge_sees_what_must_not_be_done_to_instances() {
    let mut stage = Stage::new(
        1,
        Settings {
            cloud: crate::settings::CloudKnobs {
                bystanders: 1,
                ..Default::default()
            },
            ..Settings::default()
        },
    );
    let uuid = stage.submit(&running_for(60_000));
    let (busy, address) = stage.instance();
    stage.lock(&uuid);
    stage.start(&address, &uuid);
    stage.pass(1000);
    let (held, _) = stage.instance();
    stage.cloud(CloudCall::SetTags(
        held.clone(),
        [("ArvadosIdleBehavior".to_owned(), "hold".to_owned())].into(),
    ));
    let foreign = stage
        .world
        .instances()
        .instances()
        .values()
        .find(|i| i.bystander)
        .unwrap()
        .id
        .clone();
    for id in [&busy, &held, &foreign] {
        stage.cloud(CloudCall::Destroy(id.clone()));
    }
    let breaches = stage.report().breaches.join("\n");
    for words in ["while it ran", "while on hold", "somebody else's"] {
        assert!(breaches.contains(words), "{words}: {breaches}");
    }
}

#[test]
fn secrets_for_a_machine_that_could_not_show_its_own_are_a_breach() {
    let mut stage = Stage::new(1, Settings::default());
    let (id, address) = stage.instance();
    stage.world.vms.get_mut(&id).unwrap().ailment = crate::vm::Ailment::WrongSecret;
    stage.exec(&address, "sudo cat /var/run/arvados-instance-secret", b"");
    assert_eq!(stage.report().breaches.len(), 0);
    stage.exec(&address, "true", b"");
    assert_eq!(stage.report().breaches.len(), 1);
}

#[test]
fn a_start_whose_input_breaks_off_is_a_mistake_unless_a_dispatcher_was_killed() {
    for (input, restarted, n_breaches) in [
        ("{\"Env\": {", false, 1),
        ("{\"Env\": {", true, 0),
        ("", true, 0),
        ("nonsense", true, 1),
    ] {
        let mut stage = Stage::new(1, Settings::default());
        let (_, address) = stage.instance();
        if restarted {
            stage.world.dispatcher_restarted();
        }
        let start = "sudo crunch-run --detach --stdin-config zzzzz-dz642-000000000000000";
        stage.exec(&address, start, input.as_bytes());
        let breaches = stage.report().breaches;
        assert_eq!(breaches.len(), n_breaches, "{input:?}: {breaches:?}");
    }
}

#[test]
fn the_cloud_refuses_by_its_knobs() {
    #[track_caller]
    fn check(settings: serde_json::Value, before: usize, expected: Class) {
        let patched = Settings::default()
            .patched(&json!({ "cloud": settings }))
            .unwrap();
        let mut stage = Stage::new(1, patched);
        for _ in 0..before {
            assert!(matches!(
                stage.cloud(CloudCall::Create(Stage::order())).answer,
                CloudAnswer::Created(_)
            ));
        }
        match stage.cloud(CloudCall::Create(Stage::order())).answer {
            CloudAnswer::Refused(refusal) => assert_eq!(refusal.class, expected, "{refusal:?}"),
            other => panic!("{other:?}"),
        }
    }
    check(json!({"quota_max_instances": 2}), 2, Class::Quota);
    check(json!({"capacity": {"lab.8": 1}}), 1, Class::Capacity);
    check(json!({"group_capacity": {"lab": 1}}), 1, Class::Capacity);
    check(json!({"never_capacity": ["lab.8"]}), 0, Class::Capacity);
    check(
        json!({"min_ms_between_creates": 100}),
        1,
        Class::RateLimited,
    );
    check(
        json!({"refuse_creates": "no such image"}),
        0,
        Class::Refused,
    );
    check(json!({"images": ["other"]}), 0, Class::Refused);
    check(json!({"error_rate_create": 1.0}), 0, Class::Transient);
}

#[test]
fn lists_may_be_late_to_show_and_late_to_forget() {
    let settings = Settings::default()
        .patched(&json!({"cloud": {"fresh_missing_ms": 1000, "gone_listed_ms": 2000}}))
        .unwrap();
    let mut stage = Stage::new(1, settings);
    let listed = |stage: &mut Stage| match stage.cloud(CloudCall::List(Default::default())).answer {
        CloudAnswer::Listed(all) => all.len(),
        other => panic!("{other:?}"),
    };
    let CloudAnswer::Created(created) = stage.cloud(CloudCall::Create(Stage::order())).answer
    else {
        panic!("not created")
    };
    assert_eq!(listed(&mut stage), 0);
    stage.pass(1000);
    assert_eq!(listed(&mut stage), 1);
    stage.cloud(CloudCall::Destroy(created.id.clone()));
    assert_eq!(listed(&mut stage), 1);
    stage.pass(2000);
    assert_eq!(listed(&mut stage), 0);
    assert!(matches!(
        stage.cloud(CloudCall::Destroy(created.id)).answer,
        CloudAnswer::Refused(_)
    ));
}

#[test]
fn a_token_makes_an_order_idempotent_and_a_lost_answer_leaves_its_instance() {
    let settings = Settings::default()
        .patched(&json!({"cloud": {"lost_create_rate": 1.0}}))
        .unwrap();
    let mut stage = Stage::new(1, settings);
    let order = Order {
        client_token: Some("t".into()),
        ..Stage::order()
    };
    for _ in 0..2 {
        let reply = stage.cloud(CloudCall::Create(order.clone()));
        assert!(matches!(reply.when, When::Cut(_)), "{reply:?}");
    }
    assert_eq!(stage.world.instances().count(), 1);
}

#[test]
fn the_api_is_busy_silent_or_forgetful_on_demand() {
    let mut stage = Stage::new(1, Settings::default());
    let uuid = stage.submit(&Submission::default());
    let path = format!("containers/{uuid}/lock");
    stage.world.set(&json!({"api": {"next_503s": 1}})).unwrap();
    let busy = stage.api("POST", &path, &[]);
    assert_eq!((busy.answer.status, busy.answer.body.len()), (503, 0));
    stage.world.set(&json!({"api": {"next_hangs": 1}})).unwrap();
    assert_eq!(stage.api("POST", &path, &[]).when, When::Never);
    assert_eq!(stage.state(&uuid), "Queued");
    stage.world.set(&json!({"api": {"next_lost": 1}})).unwrap();
    assert!(matches!(stage.api("POST", &path, &[]).when, When::Cut(_)));
    assert_eq!(stage.state(&uuid), "Locked");
}

/// Drives a world with all faults for a minute, by rote: keeps creating, starting and destroying.
fn storm(seed: u64) -> Vec<String> {
    let mut stage = Stage::new(
        seed,
        Settings {
            faults: Level::Many,
            ..Settings::default()
        },
    );
    let now = stage.now();
    let uuids = stage.world.submit_mixed(30, now);
    for round in 0..120 {
        if round % 4 == 0 {
            stage.cloud(CloudCall::Create(Stage::order()));
        }
        stage.cloud(CloudCall::List(Default::default()));
        let addresses: Vec<(String, String)> = stage
            .world
            .vms()
            .values()
            .map(|vm| (vm.instance.clone(), vm.address.clone()))
            .collect();
        for (n, (id, address)) in addresses.iter().enumerate() {
            let now = stage.now();
            if stage.world.reach(address, now) == Reach::Refused {
                continue;
            }
            let uuid = &uuids[(round * 7 + n) % uuids.len()];
            stage.api("POST", &format!("containers/{uuid}/lock"), &[]);
            if stage.state(uuid) == "Locked" {
                stage.start(address, uuid);
            }
            if round % 40 == 39 {
                stage.cloud(CloudCall::Destroy(id.clone()));
            }
        }
        stage.pass(500);
    }
    let report = stage.report();
    stage.trace.push(format!("{report:?}"));
    stage.trace
}

#[test]
fn the_same_seed_gives_the_same_trace_and_another_seed_another() {
    let (one, again, other) = (storm(7), storm(7), storm(8));
    assert!(one.len() > 100, "{}", one.len());
    assert_eq!(one, again);
    assert_ne!(one, other);
}
