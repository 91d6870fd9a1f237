//! The test of clouds, tested: on the lab with real SSH, and on clouds that fail in ways of their own, in virtual time.

mod fake;
mod on_lab;

use std::{
    future::{pending, ready},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use dispatch_cloud::{InstanceSet, WrapSettings, Wrapped, exec::Executor};
use dispatch_model::{
    CapacityScope, CloudErrorClass, Gpu, InstanceSecret, InstanceType, RefusalScope, Time,
};
use expect_test::{Expect, expect};
use tokio::time::Instant;

use super::*;
use fake::Fake;

const SECRET: &str = "0123456789abcdef0123456789abcdef01234567";

/// Keeps what it sees.
#[derive(Default)]
struct Spectator {
    seen: String,
    pauses: usize,
    never_seen_enough: bool,
}

#[async_trait]
impl Audience for Spectator {
    fn begins(&mut self, _: &str) {}

    fn ended(&mut self, step: &Step) {
        let verdict = match step.verdict {
            Verdict::Passed => "ok",
            Verdict::Failed => "FAILED",
        };
        let line = format!("{verdict} {}: {}", step.what, step.more);
        self.seen.push_str(line.trim_end_matches([':', ' ']));
        self.seen.push('\n');
    }

    fn output(&mut self, text: &[u8]) {
        self.seen.push_str(&String::from_utf8_lossy(text));
    }

    async fn pause(&mut self, _: &str) {
        self.pauses += 1;
        if self.never_seen_enough {
            pending::<()>().await;
        }
    }
}

fn settings(set: Arc<dyn InstanceSet>, executor: Arc<dyn Executor>) -> Settings {
    let wrap = WrapSettings {
        ops_per_second: None,
        resource_tags: [("Project".to_owned(), "demo".to_owned())].into(),
        observer: Arc::new(|_, _: Option<&_>, _| ()),
    };
    let instance_type = InstanceType {
        name: "type1".into(),
        provider_type: "lab.1".to_owned(),
        image: None,
        vcpus: 1,
        ram_bytes: 1 << 30,
        included_scratch_bytes: 1 << 30,
        added_scratch_bytes: 0,
        price: 0.123,
        preemptible: false,
        gpu: Gpu::default(),
    };
    Settings {
        set: Arc::new(Wrapped::new(set, wrap)),
        executor,
        instance_type: Arc::new(instance_type),
        image_id: "lab-image".to_owned(),
        tag_key_prefix: "Arvados".to_owned(),
        instance_set_id: "cloudtest".to_owned(),
        resource_tags: [("Project".to_owned(), "demo".to_owned())].into(),
        secret: InstanceSecret::new(SECRET),
        init_script: String::new(),
        boot_probe: "true".to_owned(),
        command: None,
        destroy_existing: false,
        pause_before_destroy: false,
        pid: 1,
        timing: Timing {
            total: Duration::from_secs(1800),
            clean_up: Duration::from_secs(300),
            boot: Duration::from_secs(600),
            probe_interval: Duration::from_secs(10),
            sync_interval: Duration::from_secs(60),
            call: Duration::from_secs(60),
            command: Duration::from_secs(30),
            late: Duration::from_secs(120),
        },
    }
}

/// Runs the test on such a cloud: what it says, whether it passed, and that it ends in time.
async fn check(fake: Fake, change: impl FnOnce(&mut Settings), expected: Expect) -> Arc<Fake> {
    let fake = Arc::new(fake);
    let mut settings = settings(Arc::clone(&fake) as _, Arc::new(fake::Agreeable));
    change(&mut settings);
    let mut spectator = Spectator::default();
    let began = Instant::now();
    let report = run(&settings, &mut spectator, pending()).await;
    // Timers of a virtual clock are rounded up to the next millisecond.
    let limit = settings.timing.total + Duration::from_millis(10);
    assert!(began.elapsed() <= limit, "{:?}", began.elapsed());
    spectator.seen.push_str(&report.to_string());
    expected.assert_eq(&spectator.seen);
    fake
}

/// Some clouds keep what belongs to a refused create for minutes.
#[tokio::test(start_paused = true)]
async fn what_is_left_beside_instances_is_waited_for_and_named_if_it_stays() {
    for (leftovers_stay, passes) in [(3, true), (1000, false)] {
        let fake = Fake {
            leftovers_stay,
            ..Fake::default()
        };
        let fake = Arc::new(fake);
        let settings = settings(Arc::clone(&fake) as _, Arc::new(fake::Agreeable));
        let began = Instant::now();
        let report = run(&settings, &mut Spectator::default(), pending()).await;
        let last = report.steps.last().expect("a step");
        assert_eq!(report.passed(), passes, "{report}");
        let words = "left behind: interface x cannot be deleted yet. Remedy: delete it by hand.";
        assert_eq!(last.more == words, !passes, "{}", last.more);
        assert!(began.elapsed() <= settings.timing.total);
    }
}

#[tokio::test(start_paused = true)]
async fn a_cloud_that_works_passes_and_is_left_empty() {
    let fake = check(
        Fake::default(),
        |_| (),
        expect![[r#"
            ok no instance of an earlier test is left
            ok an instance is created: i-1
            ok it is listed
            ok it has its tags
            ok its tags can be changed
            ok it has an address: 127.0.0.2:22
            ok it can be logged in to and shows its secret
            ok its boot probe succeeds (`true`)
            ok what was made is destroyed and gone: i-1
            passed: all 9 steps"#]],
    )
    .await;
    assert_eq!(fake.alive(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_an_earlier_test_left_stops_the_test_unless_it_may_be_destroyed() {
    let left = || Fake {
        left_behind: 2,
        // Lists are old (facts T1).
        destroys_needed: 3,
        ..Fake::default()
    };
    let fake = check(
        left(),
        |_| (),
        expect![[r#"
            FAILED no instance of an earlier test is left: there are 2 with the set id "cloudtest": i-left-0, i-left-1. Remedy: --destroy-existing, or another --instance-set-id.
            FAILED: 1 of 1 steps"#]],
    )
    .await;
    assert_eq!(fake.alive(), 2, "nothing was touched");
    let fake = check(
        left(),
        |settings| settings.destroy_existing = true,
        expect![[r#"
            ok no instance of an earlier test is left: i-left-0, i-left-1
            ok an instance is created: i-1
            ok it is listed
            ok it has its tags
            ok its tags can be changed
            ok it has an address: 127.0.0.2:22
            ok it can be logged in to and shows its secret
            ok its boot probe succeeds (`true`)
            ok what was made is destroyed and gone: i-1
            passed: all 9 steps"#]],
    )
    .await;
    assert_eq!(fake.alive(), 0);
}

/// Facts K30: in Go it destroyed and listed for ever, without a pause.
#[tokio::test(start_paused = true)]
async fn the_clean_up_ends_although_every_list_fails() {
    let fake = check(
        Fake {
            lists_fail_from: Some(1),
            ..Fake::default()
        },
        |_| (),
        expect![[r#"
            ok no instance of an earlier test is left
            ok an instance is created: i-1
            FAILED it is listed: not within 600 s: no list today
            FAILED what was made is destroyed and gone: perhaps left behind: i-1 (the cloud has accepted to destroy them; there was not time for all; the list fails: there was not time for it). Remedy: look for them by hand.
            FAILED: 2 of 4 steps"#]],
    )
    .await;
    assert_eq!(fake.alive(), 0, "destroyed without a list");
    assert!(fake.lists() < 30, "{} lists: no pauses", fake.lists());
}

#[tokio::test(start_paused = true)]
async fn the_clean_up_ends_although_nothing_can_be_destroyed() {
    let fake = check(
        Fake {
            destroys_needed: usize::MAX,
            ..Fake::default()
        },
        |_| (),
        expect![[r#"
            ok no instance of an earlier test is left
            ok an instance is created: i-1
            ok it is listed
            ok it has its tags
            ok its tags can be changed
            ok it has an address: 127.0.0.2:22
            ok it can be logged in to and shows its secret
            ok its boot probe succeeds (`true`)
            FAILED what was made is destroyed and gone: perhaps left behind: i-1 (the cloud has accepted to destroy them; there was not time for all; the list fails: there was not time for it). Remedy: look for them by hand.
            FAILED: 1 of 9 steps"#]],
    )
    .await;
    assert_eq!(fake.alive(), 1);
}

/// Facts T6.
#[tokio::test(start_paused = true)]
async fn an_instance_of_a_create_that_failed_is_waited_for_and_destroyed() {
    let fake = check(
        Fake {
            create_answers_never: true,
            appears_after: Duration::from_secs(90),
            ..Fake::default()
        },
        |_| (),
        expect![[r#"
            ok no instance of an earlier test is left
            FAILED an instance is created: the cloud did not answer within 60000 ms
            ok what was made is destroyed and gone: i-1
            FAILED: 1 of 3 steps"#]],
    )
    .await;
    assert_eq!(fake.alive(), 0);
}

/// A refusal that is believed leaves an instance running if it is wrong.
#[tokio::test(start_paused = true)]
async fn whatever_a_create_is_answered_with_an_instance_that_appears_is_destroyed() {
    for says in [
        CloudErrorClass::Refused,
        CloudErrorClass::RefusedWidely(RefusalScope::Everything),
        CloudErrorClass::Quota,
        CloudErrorClass::Capacity(CapacityScope::Type),
        CloudErrorClass::RateLimited(Time::ZERO),
        CloudErrorClass::Transient,
        CloudErrorClass::OutcomeUnknown,
    ] {
        let fake = check(
            Fake {
                create_says: Some(says),
                appears_after: Duration::from_secs(90),
                ..Fake::default()
            },
            |_| (),
            expect![[r#"
                ok no instance of an earlier test is left
                FAILED an instance is created: not today
                ok what was made is destroyed and gone: i-1
                FAILED: 1 of 3 steps"#]],
        )
        .await;
        assert_eq!(fake.alive(), 0);
    }
}

/// The wait for what may appear must not take all the time there is for the clean-up.
#[tokio::test(start_paused = true)]
async fn a_short_deadline_leaves_time_to_see_that_a_refused_create_has_made_nothing() {
    for secs in [30, 60, 119, 120, 300] {
        let began = Instant::now();
        check(
            Fake {
                create_says: Some(CloudErrorClass::Refused),
                appears_after: Duration::from_secs(36_000),
                ..Fake::default()
            },
            |settings| {
                let timing = &mut settings.timing;
                timing.clean_up = Duration::from_secs(secs);
                timing.late = timing.late.min(timing.clean_up);
                timing.call = timing.call.min(timing.clean_up);
            },
            expect![[r#"
                ok no instance of an earlier test is left
                FAILED an instance is created: not today
                ok what was made is destroyed and gone
                FAILED: 1 of 3 steps"#]],
        )
        .await;
        let waited = began.elapsed().as_secs();
        let wanted = (secs * 3 / 4).min(120);
        assert!((wanted..=secs).contains(&waited), "{secs}: {waited}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_test_out_of_time_still_cleans_up() {
    let fake = check(
        Fake {
            has_address: false,
            ..Fake::default()
        },
        |settings| settings.timing.total = Duration::from_secs(600),
        expect![[r#"
            ok no instance of an earlier test is left
            ok an instance is created: i-1
            ok it is listed
            ok it has its tags
            ok its tags can be changed
            FAILED the test ends in time: after 300 s
            ok what was made is destroyed and gone: i-1
            FAILED: 1 of 7 steps"#]],
    )
    .await;
    assert_eq!(fake.alive(), 0);
}

/// Facts T3: the test goes on.
#[tokio::test(start_paused = true)]
async fn lost_tags_fail_the_test_at_its_end() {
    check(
        Fake {
            loses_tag: Some("Project"),
            ..Fake::default()
        },
        |settings| settings.command = Some("uptime".to_owned()),
        expect![[r#"
            ok no instance of an earlier test is left
            ok an instance is created: i-1
            ok it is listed
            FAILED it has its tags: not within 180 s: the list does not show it so (missing or changed: ["Project"])
            ok its tags can be changed
            ok it has an address: 127.0.0.2:22
            ok it can be logged in to and shows its secret
            ok its boot probe succeeds (`true`)
            ok the command succeeds (`uptime`)
            ok what was made is destroyed and gone: i-1
            FAILED: 1 of 10 steps"#]],
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_operator_may_look_at_the_instance_before_it_goes() {
    let fake = Arc::new(Fake::default());
    let mut settings = settings(Arc::clone(&fake) as _, Arc::new(fake::Agreeable));
    settings.pause_before_destroy = true;
    let mut spectator = Spectator::default();
    let report = run(&settings, &mut spectator, pending()).await;
    assert!(report.passed());
    assert_eq!(spectator.pauses, 1);
}

#[tokio::test(start_paused = true)]
async fn a_clean_up_whose_calls_hang_ends_in_time() {
    let hangs = Fake {
        hangs_from: Some(Duration::from_secs(100)),
        has_address: false,
        ..Fake::default()
    };
    let in_a_hurry = |settings: &mut Settings| {
        settings.timing.total = Duration::from_secs(300);
        settings.timing.clean_up = Duration::from_secs(100);
    };
    let fake = check(hangs, in_a_hurry, expect![[r#"
        ok no instance of an earlier test is left
        ok an instance is created: i-1
        ok it is listed
        ok it has its tags
        ok its tags can be changed
        FAILED the test ends in time: after 200 s
        FAILED what was made is destroyed and gone: perhaps left behind: i-1 (not all could be destroyed; destroy i-1: the cloud did not answer within 60000 ms; the list fails: the cloud did not answer within 40000 ms). Remedy: look for them by hand.
        FAILED: 2 of 7 steps"#]]).await;
    assert_eq!(fake.alive(), 1);
}

/// Runs the test until it is stopped after so long: what it says.
async fn stopped_after(fake: &Arc<Fake>, pauses: bool, secs: u64) -> String {
    let mut settings = settings(Arc::clone(fake) as _, Arc::new(fake::Agreeable));
    settings.pause_before_destroy = pauses;
    let stop = async {
        tokio::time::sleep(Duration::from_secs(secs)).await;
        "SIGINT".to_owned()
    };
    let mut spectator = Spectator {
        never_seen_enough: true,
        ..Spectator::default()
    };
    let report = run(&settings, &mut spectator, stop).await;
    spectator.seen + &report.to_string()
}

#[tokio::test(start_paused = true)]
async fn who_interrupts_the_test_still_gets_what_it_made_destroyed() {
    let fake = Arc::new(Fake {
        has_address: false,
        ..Fake::default()
    });
    let said = stopped_after(&fake, false, 90).await;
    expect![[r#"
        ok no instance of an earlier test is left
        ok an instance is created: i-1
        ok it is listed
        ok it has its tags
        ok its tags can be changed
        FAILED the test is not interrupted: SIGINT
        ok what was made is destroyed and gone: i-1
        FAILED: 1 of 7 steps"#]]
    .assert_eq(&said);
    assert_eq!(fake.alive(), 0);
    // While it is being created.
    let fake = Arc::new(Fake {
        create_answers_never: true,
        appears_after: Duration::from_secs(90),
        ..Fake::default()
    });
    let said = stopped_after(&fake, false, 5).await;
    expect![[r#"
        ok no instance of an earlier test is left
        FAILED the test is not interrupted: SIGINT
        ok what was made is destroyed and gone: i-1
        FAILED: 1 of 3 steps"#]]
    .assert_eq(&said);
    assert_eq!(fake.alive(), 0);
    // While the operator looks at it.
    let fake = Arc::new(Fake::default());
    let said = stopped_after(&fake, true, 900).await;
    assert!(said.ends_with("passed: all 9 steps"), "{said}");
    assert_eq!(fake.alive(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_test_that_is_interrupted_before_it_begins_makes_nothing() {
    let fake = Arc::new(Fake {
        left_behind: 1,
        destroys_needed: usize::MAX,
        ..Fake::default()
    });
    let mut settings = settings(Arc::clone(&fake) as _, Arc::new(fake::Agreeable));
    settings.destroy_existing = true;
    let mut spectator = Spectator::default();
    let report = run(&settings, &mut spectator, ready("SIGTERM".to_owned())).await;
    assert!(!report.passed());
    assert_eq!(report.instance, None);
    assert_eq!(fake.alive(), 1);
}
