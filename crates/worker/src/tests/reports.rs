//! What an instance's own reports are worth while much happens on it, and what stays known of it.

use dispatch_model::{ContainerId, RunnerState, Time, WorkerId, WorkerState};

use super::script::Script;

#[test]
fn lists_that_starts_have_overtaken_count_for_everything_else() {
    // Each probe is overtaken by a start, for longer than TimeoutProbe (60 s).
    let mut pool = Script::new();
    pool.line("0 listed i-1:small:10.0.0.1");
    pool.line("0 lists i-1:small:10.0.0.1");
    pool.line("0 probed w1 ok c1 c2");
    let mut earlier = String::new();
    for round in 0..70 {
        let at = 11 + round;
        // The probe is under way: a start that seems to have worked is confirmed within a second.
        pool.line(&format!("{at}.1 start w1 c1{round}"));
        pool.line(&format!("{at}.1 started w1 c1{round}"));
        let other = if round < 40 { "c2" } else { "" };
        pool.line(&format!("{at}.2 probed w1 ok c1 {other} {earlier}"));
        earlier = format!("c1{round}");
    }
    assert_eq!(n_probes(&pool), 71, "{}", pool.shown);
    let runner = |id: &str| pool.pool.snapshot().runners[id][0].state;
    assert_eq!(runner("c1"), RunnerState::Alive);
    let ended = RunnerState::Exited {
        at: Time::from_millis(51_200),
    };
    assert_eq!(runner("c2"), ended, "the end of another container is seen");
    // The last probe has just succeeded: one failure is not the end of a long silence.
    pool.line("82.1 probed w1 no-connection");
    let snapshot = pool.pool.snapshot();
    assert_eq!(snapshot.workers[&WorkerId(1)].state, WorkerState::Running);
}

/// How many probes have been sent.
fn n_probes(pool: &Script) -> usize {
    pool.shown.matches("> probe w1").count()
}

#[test]
fn the_last_container_shown_is_the_one_that_came_last() {
    let mut pool = Script::new();
    let last = |pool: &Script| {
        let mut workers = pool.pool.snapshot().workers.values();
        workers
            .next()
            .and_then(|worker| worker.last_container.clone())
    };
    for (line, expected) in [
        ("0 listed i-1:small:10.0.0.1", None),
        // Found after a restart: nobody knows which of them came last, but it is one of them, and always the same.
        ("0 probed w1 ok c2 c1", Some("c1")),
        ("1 probed w1 ok c2 c1 c0", Some("c1")),
        ("11 start w1 c3", Some("c3")),
        ("12 started w1 c3", Some("c3")),
        ("13 probed w1 ok c1 c2 c3 c9", Some("c3")),
        ("24 probed w1 ok", Some("c3")),
        ("25 forget c3", Some("c3")),
    ] {
        pool.line(line);
        assert_eq!(last(&pool), expected.map(ContainerId::from), "{line}");
    }
}
