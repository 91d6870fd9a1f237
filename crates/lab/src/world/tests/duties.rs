//! What the judge sees of starts and of instances that nobody needs.

use super::*;

/// A container that needs so many VCPUs, and this beside.
fn needing(vcpus: u64, constraints: serde_json::Value) -> Submission {
    let mut all = json!({"vcpus": vcpus, "ram": 1 << 20});
    all.as_object_mut()
        .expect("an object")
        .extend(constraints.as_object().expect("an object").clone());
    let attributes = json!({"runtime_constraints": all, "mounts": {}});
    Submission {
        attributes: attributes.as_object().expect("an object").clone(),
        run_ms: Some(600_000),
        ..Submission::default()
    }
}

/// Starts a container on a machine that has passed its probes, after `arrange`; what the judge says to that.
#[track_caller]
fn check_start(expected: &str, arrange: impl FnOnce(&mut Stage, &str, &str, &str)) {
    let mut stage = Stage::new(1, Settings::default());
    let (instance, address) = stage.instance();
    stage.probe(&address);
    let uuid = stage.submit(&needing(1, json!({})));
    stage.lock(&uuid);
    arrange(&mut stage, &instance, &address, &uuid);
    stage.start(&address, &uuid);
    let breaches = stage.report().breaches;
    match expected {
        "" => assert_eq!(breaches, Vec::<String>::new()),
        words => assert!(
            breaches.len() == 1 && breaches[0].ends_with(&format!("{uuid}: {words}")),
            "{breaches:?}"
        ),
    }
}

fn tag(stage: &mut Stage, instance: &str, behaviour: &str) {
    let tags = [("ArvadosIdleBehavior".to_owned(), behaviour.to_owned())].into();
    stage.cloud(CloudCall::SetTags(instance.into(), tags));
}

#[test]
fn a_start_of_a_locked_container_on_a_probed_machine_is_right() {
    check_start("", |_, _, _, _| {});
}

#[test]
fn a_start_of_a_container_that_was_never_locked_is_a_breach() {
    check_start("it is Queued", |stage, _, _, uuid| {
        let unlocked = stage.api("POST", &format!("containers/{uuid}/unlock"), &[]);
        assert_eq!(unlocked.answer.status, 200);
        stage.pass(30_000);
    });
}

#[test]
fn who_has_just_lost_a_lock_may_not_know() {
    check_start("", |stage, _, _, uuid| {
        stage.api("POST", &format!("containers/{uuid}/unlock"), &[]);
    });
}

#[test]
fn a_start_of_a_container_that_another_has_locked_is_a_breach() {
    check_start("it is another's", |stage, _, _, uuid| {
        let container = stage.world.api.container_mut(uuid).expect("it exists");
        container.locked_by_uuid = Some("zzzzz-gj3su-000000000000001".into());
    });
}

#[test]
fn a_start_on_a_machine_that_has_not_been_probed_is_a_breach() {
    let mut stage = Stage::new(1, Settings::default());
    let (_, probed) = stage.instance();
    stage.probe(&probed);
    for asked in [
        &[][..],
        &["sudo crunch-run --list"][..],
        &["systemctl is-system-running"][..],
    ] {
        let before = stage.report().breaches.len();
        let (_, address) = stage.instance();
        let uuid = stage.submit(&needing(1, json!({})));
        stage.lock(&uuid);
        for command in asked {
            stage.exec(&address, command, b"");
        }
        stage.start(&address, &uuid);
        let breaches = stage.report().breaches;
        assert_eq!(breaches.len(), before + 1, "{asked:?}");
        assert!(
            breaches[before].ends_with("it has not passed its probes"),
            "{breaches:?}"
        );
    }
}

#[test]
fn what_the_last_dispatcher_asked_does_not_count_for_the_next() {
    check_start("it has not passed its probes", |stage, _, _, _| {
        stage.world.dispatcher_restarted();
        stage.pass(20_000);
    });
    // What arrives soon may have been sent by the last one.
    check_start("", |stage, _, _, _| stage.world.dispatcher_restarted());
}

#[test]
fn a_restart_excuses_a_second_runner_only_where_a_start_was_on_its_way() {
    let patch = json!({"runner": {"start_ms": 60_000}, "stale_lock_timeout_ms": 60_000});
    let settings = || Settings::default().patched(&patch);
    for (began_before, pass_ms, run_twice) in
        [(false, 1000, 0), (false, 10_000, 1), (true, 1000, 1)]
    {
        let mut stage = Stage::new(1, settings().expect("a good patch"));
        let machines = [stage.instance().1, stage.instance().1];
        let uuid = stage.submit(&needing(1, json!({})));
        stage.lock(&uuid);
        let (before, after) = machines.split_at(usize::from(began_before));
        for address in before {
            stage.probe(address);
            stage.start(address, &uuid);
        }
        stage.world.dispatcher_restarted();
        stage.pass(pass_ms);
        for address in after {
            stage.probe(address);
            stage.start(address, &uuid);
        }
        let report = stage.report();
        assert_eq!(
            (report.run_twice, report.breaches),
            (run_twice, vec![]),
            "{began_before} {pass_ms}"
        );
    }
}

#[test]
fn who_has_waited_for_a_silent_machine_may_start_its_container_elsewhere() {
    // Facts S5.
    for (answers, pass_ms, run_twice) in [(false, 60_000, 0), (false, 59_000, 1), (true, 60_000, 1)]
    {
        let patch = json!({"runner": {"start_ms": 600_000}, "stale_lock_timeout_ms": 60_000});
        let settings = Settings::default().patched(&patch);
        let mut stage = Stage::new(1, settings.expect("a good patch"));
        let [first, second] = [stage.instance().1, stage.instance().1];
        let uuid = stage.submit(&needing(1, json!({})));
        stage.lock(&uuid);
        stage.probe(&first);
        stage.start(&first, &uuid);
        stage.world.dispatcher_restarted();
        stage.pass(pass_ms);
        if answers {
            stage.probe(&first);
        }
        stage.probe(&second);
        stage.start(&second, &uuid);
        let report = stage.report();
        assert_eq!(report.run_twice, run_twice, "{answers} {pass_ms}");
    }
}

#[test]
fn what_ran_before_a_restart_takes_its_room_after_it() {
    for pass_ms in [1000, 20_000] {
        let settings = Settings::default().patched(&json!({"runner": {"start_ms": 60_000}}));
        let mut stage = Stage::new(1, settings.expect("a good patch"));
        let (_, address) = stage.instance();
        stage.probe(&address);
        let first = stage.submit(&needing(5, json!({})));
        stage.lock(&first);
        stage.start(&address, &first);
        // Not Running yet, but the next dispatcher is told of it.
        stage.world.dispatcher_restarted();
        stage.pass(pass_ms);
        stage.probe(&address);
        let second = stage.submit(&needing(5, json!({})));
        stage.lock(&second);
        stage.start(&address, &second);
        let breaches = stage.report().breaches;
        assert!(
            breaches.len() == 1 && breaches[0].ends_with("it needs 10 of 8 VCPUs of a type8"),
            "{pass_ms}: {breaches:?}"
        );
    }
}

#[test]
fn a_start_on_hold_or_while_draining_is_a_breach_once_the_tag_is_old() {
    for behaviour in ["hold", "drain"] {
        check_start("it is on hold or drains", |stage, instance, _, _| {
            tag(stage, instance, behaviour);
            stage.pass(6000);
        });
        check_start("", |stage, instance, _, _| {
            tag(stage, instance, behaviour);
            stage.pass(1000);
        });
        check_start("", |stage, instance, _, _| {
            tag(stage, instance, behaviour);
            tag(stage, instance, "run");
            stage.pass(6000);
        });
    }
}

#[test]
fn a_start_on_a_machine_that_has_reported_itself_broken_is_a_breach() {
    check_start(
        "it has reported itself broken",
        |stage, instance, address, _| {
            stage.world.report_broken(instance);
            assert_eq!(stage.stdout(address, "sudo crunch-run --list"), "broken\n");
            stage.pass(6000);
        },
    );
    check_start("", |stage, instance, _, _| {
        // Nobody has been told.
        stage.world.report_broken(instance);
        stage.pass(6000);
    });
}

#[test]
fn a_start_that_does_not_fit_is_a_breach_whatever_is_short() {
    #[track_caller]
    fn check(short: &str, others: &[Submission], new: &Submission) {
        let mut stage = Stage::new(1, Settings::default());
        let (_, address) = stage.instance();
        stage.probe(&address);
        for submission in others.iter().chain([new]) {
            assert_eq!(stage.report().breaches, Vec::<String>::new());
            let uuid = stage.submit(submission);
            stage.lock(&uuid);
            assert_eq!(stage.start(&address, &uuid).exit, Exit::Status(0));
            stage.pass(1000);
        }
        let breaches = stage.report().breaches;
        assert!(
            breaches.len() == 1 && breaches[0].ends_with(&format!("it needs {short} of a type8")),
            "{breaches:?}"
        );
    }
    const GIB: u64 = 1 << 30;
    check(
        "10 of 8 VCPUs",
        &[needing(5, json!({}))],
        &needing(5, json!({})),
    );
    check(
        "9663676416 of 9448928051 bytes of memory",
        &[
            needing(1, json!({"ram": 3 * GIB})),
            needing(1, json!({"ram": 3 * GIB})),
        ],
        &needing(1, json!({"ram": 2 * GIB, "keep_cache_ram": GIB})),
    );
    check(
        "1 of 0 GPUs",
        &[],
        &needing(1, json!({"gpu": {"device_count": 1}})),
    );
    let mut scratch = needing(1, json!({}));
    scratch.attributes["mounts"] = json!({"/tmp": {"kind": "tmp", "capacity": 9 * GIB}});
    check("9663676416 of 8589934592 bytes of scratch", &[], &scratch);
}

/// An idle instance and an empty queue; what the judge says after `pass_ms`.
#[track_caller]
fn check_idle(stays: bool, pass_ms: u64, arrange: impl FnOnce(&mut Stage, &str, &str)) {
    let settings = Settings {
        timeout_idle_ms: Some(3000),
        ..Settings::default()
    };
    let mut stage = Stage::new(1, settings);
    let (instance, address) = stage.instance();
    stage.probe(&address);
    arrange(&mut stage, &instance, &address);
    // The dispatcher goes on asking.
    for _ in 0..pass_ms / 1000 {
        stage.pass(1000);
        stage.cloud(CloudCall::List(Default::default()));
    }
    let breaches = stage.report().breaches;
    assert_eq!(breaches.len(), usize::from(stays), "{breaches:?}");
    assert!(
        breaches
            .iter()
            .all(|breach| breach.starts_with(&format!("{instance} stays although"))),
        "{breaches:?}"
    );
}

#[test]
fn an_instance_that_nobody_needs_and_nobody_asks_to_go_is_a_breach() {
    check_idle(true, 20_000, |_, _, _| {});
    check_idle(false, 8_000, |_, _, _| {});
}

#[test]
fn an_instance_may_stay_while_it_is_needed_or_held_or_asked_to_go() {
    check_idle(false, 60_000, |stage, instance, _| {
        tag(stage, instance, "hold");
    });
    check_idle(false, 60_000, |stage, _, _| {
        stage.submit(&needing(1, json!({})));
    });
    check_idle(false, 60_000, |stage, instance, _| {
        stage
            .world
            .set(&json!({"cloud": {"error_rate_destroy": 1.0}}))
            .expect("a good patch");
        stage.cloud(CloudCall::Destroy(instance.into()));
    });
    // The next dispatcher has to ask first.
    check_idle(false, 60_000, |stage, _, _| {
        stage.world.dispatcher_restarted();
    });
}
