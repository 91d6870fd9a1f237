//! When a silent machine may be given up.

use super::*;

/// TimeoutProbe, ms.
const TIMEOUT: u64 = 8_000;

/// A busy machine is silent for 2 s, can be heard for 1 s, and falls silent for good; `between` happens when it can be
/// heard. What the judge says to a destroy call so long after the *second* silence began, ms.
#[track_caller]
fn check(between: impl FnOnce(&mut Stage, &str), after: u64, expected: bool) {
    let settings = Settings {
        timeout_probe_ms: TIMEOUT,
        ..Settings::default()
    };
    let mut stage = Stage::new(1, settings);
    let uuid = stage.submit(&running_for(60_000));
    let (instance, address) = stage.instance();
    stage.probe(&address);
    stage.lock(&uuid);
    stage.start(&address, &uuid);
    stage.pass(1_000);
    stage.probe(&address);
    stage.pass(1_000);
    let now = stage.now();
    stage.world.silence(&instance, Some(2_000), now);
    stage.pass(2_100);
    between(&mut stage, &address);
    stage.pass(900);
    let now = stage.now();
    stage.world.silence(&instance, None, now);
    stage.pass(after);
    stage.cloud(CloudCall::Destroy(instance));
    let breaches = stage.report().breaches;
    assert_eq!(breaches.is_empty(), expected, "{breaches:?}");
}

#[test]
fn silences_between_which_nothing_was_heard_count_as_one() {
    check(|_, _| (), TIMEOUT - 3_200, false);
    check(|_, _| (), TIMEOUT - 2_900, true);
    // A command that says nothing of runners is no sign of life to whoever probes.
    check(
        |stage, address| {
            stage.exec(address, "true", b"");
        },
        TIMEOUT - 2_900,
        true,
    );
}

#[test]
fn a_list_that_was_answered_between_two_silences_tells_them_apart() {
    check(Stage::probe, TIMEOUT - 2_900, false);
    check(Stage::probe, TIMEOUT - 100, false);
    check(Stage::probe, TIMEOUT + 100, true);
}
