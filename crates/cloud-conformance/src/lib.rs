//! Checks that every cloud driver passes: one set of named checks over the contract of `dispatch-cloud`, run in the
//! tests of each driver and, by `cloudtest`, against a live account.
//!
//! A check that this cloud cannot be made to show (a quota error on demand, say) is counted apart and never as passed.

mod bench;
mod checks;
mod hooks;
mod report;

use std::{
    future::{Future, pending},
    pin::pin,
    sync::Arc,
};

use dispatch_cloud::InstanceSet;
use futures_util::FutureExt as _;

pub use hooks::{Fault, Hooks};
pub use report::Report;

use crate::{
    bench::Bench,
    checks::Check,
    report::{Outcome, Shortfall},
};

/// Runs all checks, one after the other. Each destroys what it created, whether it passes or not.
pub async fn run(set: Arc<dyn InstanceSet>, hooks: &dyn Hooks) -> Report {
    run_until(set, hooks, pending()).await
}

/// The same until `end` tells why it must end. The check under way is cut short and fails, and what it made is
/// destroyed all the same, within [`Hooks::clean_up`]; those behind it are not begun, and not passed.
pub async fn run_until(
    set: Arc<dyn InstanceSet>,
    hooks: &dyn Hooks,
    end: impl Future<Output = String>,
) -> Report {
    let mut report = Report::default();
    let mut end = pin!(end);
    let mut over: Option<String> = None;
    for check in Check::ALL {
        if let Some(why) = &over {
            let not_begun = Shortfall::CannotShow(format!("not begun: {why}"));
            report.add(check.name(), Err(not_begun));
            continue;
        }
        if let Some(why) = end.as_mut().now_or_never() {
            let not_begun = Shortfall::Failed(format!("not begun: {why}"));
            report.add(check.name(), Err(not_begun));
            over = Some(why);
            continue;
        }
        let bench = Bench::new(Arc::clone(&set), hooks);
        let outcome = tokio::select! {
            outcome = check.run(&bench) => outcome,
            why = end.as_mut() => {
                let cut_short = Shortfall::Failed(format!("cut short: {why}"));
                over = Some(why);
                Err(cut_short)
            }
        };
        let left = bench.clean_up().await;
        report.add(check.name(), both(outcome, left));
    }
    report
}

/// What the check found, and what its clean-up left, which nothing may hide.
fn both(outcome: Outcome, left: Outcome) -> Outcome {
    match (outcome, left) {
        (Err(Shortfall::Failed(words)), Err(Shortfall::Failed(left))) => {
            Err(Shortfall::Failed(format!("{words}; {left}")))
        }
        (outcome, Ok(())) => outcome,
        (_, left) => left,
    }
}

#[cfg(test)]
mod tests;
