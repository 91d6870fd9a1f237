//! Tests of the whole pool: scripts in, texts out, through one `check`.

mod back_off;
mod boots;
mod capacity;
mod creation;
mod deaths;
mod destroys;
mod ends;
mod failing;
mod gpu;
mod holding;
mod images;
mod kills;
mod lists;
mod probe_table;
mod quota;
mod reports;
mod runners;
mod script;
mod show;
mod starts;
mod storm;
mod tickets;
mod turns;
mod wide;
mod world;

use expect_test::Expect;

use crate::tests::script::Script;

/// Runs a script against a fresh pool (the settings are in `script.rs`) and compares what comes of it.
#[track_caller]
fn check(script: &str, expect: Expect) {
    check_with(Script::new(), script, expect);
}

/// As `check`, with other settings.
#[track_caller]
fn check_with(mut pool: Script, script: &str, expect: Expect) {
    for line in script
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
    {
        pool.line(line);
    }
    expect.assert_eq(&pool.shown);
}
