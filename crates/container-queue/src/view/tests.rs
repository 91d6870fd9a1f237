//! Scripts: events in, requests and facts out.

mod deeds;
mod listing;
mod random;
mod script;
mod sizing;
mod strange;

use expect_test::Expect;

use script::Script;

/// Runs a script; see [`script`] for its words.
#[track_caller]
fn check(script: &str, expected: Expect) {
    let mut run = Script::new();
    expected.assert_eq(&run.run(script));
}

/// What most scripts begin with: we are t1.
const START: &str = "
    0 tick
    1 whoami t1
";

/// A script that begins with [`START`], whose output is left out.
#[track_caller]
fn check_on(before: &str, script: &str, expected: Expect) {
    let mut run = Script::new();
    let _ = run.run(START);
    let _ = run.run(before);
    expected.assert_eq(&run.run(script));
}
