//! How many creations are under way at once (facts §6.3.3, P7).

use super::script::Script;

/// Orders five instances, whose creations are answered one after the other: how many calls are open after each step.
fn open_calls(max_concurrent_creates: Option<usize>) -> Vec<usize> {
    let mut pool = Script::with(|settings| {
        settings.max_concurrent_creates = max_concurrent_creates;
    });
    pool.line("0 listed");
    for _ in 0..5 {
        pool.line("0 create small");
    }
    let mut counts = Vec::new();
    for n_answered in 0..5 {
        let sent = pool.shown.matches("> create w").count();
        counts.push(sent - n_answered);
        let n = n_answered + 1;
        pool.line(&format!("{n} created w{n} i-{n} 10.0.0.{n}"));
    }
    counts
}

#[test]
fn creations_at_once_are_limited_as_configured() {
    assert_eq!(open_calls(Some(1)), [1, 1, 1, 1, 1]);
    assert_eq!(open_calls(Some(2)), [2, 2, 2, 2, 1]);
    assert_eq!(open_calls(None), [5, 4, 3, 2, 1], "0 means no limit");
}

#[test]
fn a_creation_of_unknown_outcome_lets_the_next_one_be_ordered() {
    let mut pool = Script::with(|_| {});
    pool.line("0 listed");
    pool.line("0 create small");
    let orders = |pool: &Script| pool.pool.snapshot().orders_at_once;
    assert_eq!(orders(&pool), Some(1));
    pool.line("1 create-fails w1 unknown");
    assert_eq!(
        orders(&pool),
        Some(2),
        "w1 may yet come, and takes one of them"
    );
}

#[test]
fn a_creation_without_an_answer_lets_the_next_one_be_ordered_after_two_seconds() {
    let mut pool = Script::with(|_| {});
    pool.line("0 listed");
    pool.line("1 create small");
    let orders = |pool: &Script| pool.pool.snapshot().orders_at_once;
    assert_eq!(orders(&pool), Some(1));
    let deadline = pool.pool.deadline();
    assert_eq!(
        deadline.map(|at| at.since(dispatch_model::Time::ZERO).as_secs()),
        Some(3),
        "nothing else may wake the pool"
    );
    pool.line("3 tick");
    assert_eq!(orders(&pool), Some(2));
    pool.line("4 created w1 i-1 10.0.0.1");
    assert_eq!(orders(&pool), Some(2), "it has worked, and is slow no more");
}
