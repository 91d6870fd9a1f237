//! Checks that every cloud driver passes: one set of named checks over the contract of `dispatch-cloud`, run in the
//! tests of each driver and, by `cloudtest`, against a live account.
//!
//! A check that this cloud cannot be made to show (a quota error on demand, say) is counted apart and never as passed.

mod bench;
mod checks;
mod hooks;
mod report;

use std::sync::Arc;

use dispatch_cloud::InstanceSet;

pub use hooks::{Fault, Hooks};
pub use report::Report;

use crate::{bench::Bench, checks::Check};

/// Runs all checks, one after the other. Each destroys what it created, whether it passes or not.
pub async fn run(set: Arc<dyn InstanceSet>, hooks: &dyn Hooks) -> Report {
    let mut report = Report::default();
    for check in Check::ALL {
        let bench = Bench::new(Arc::clone(&set), hooks);
        let mut outcome = check.run(&bench).await;
        if let Err(left) = bench.clean_up().await {
            outcome = outcome.and(Err(left));
        }
        report.add(check.name(), outcome);
    }
    report
}

#[cfg(test)]
mod tests;
