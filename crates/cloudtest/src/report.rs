//! What was tried and what came of it, for people.

use std::{fmt, time::Duration};

use async_trait::async_trait;
use dispatch_model::InstanceId;

/// How a step ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// As it should.
    Passed,
    /// Not; the test went on.
    Failed,
}

/// One step.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Step {
    /// What was tried: a sentence that holds if it passed.
    pub what: String,
    /// How it ended.
    pub verdict: Verdict,
    /// More about it: an id, an address, or why it failed. Never a secret.
    pub more: String,
    /// How long it took.
    pub took: Duration,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = match self.verdict {
            Verdict::Passed => "ok    ",
            Verdict::Failed => "FAILED",
        };
        write!(
            f,
            "  {verdict} {:>7.1} s  {}",
            self.took.as_secs_f64(),
            self.what
        )?;
        if !self.more.is_empty() {
            write!(f, ": {}", self.more)?;
        }
        Ok(())
    }
}

/// All steps.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
#[must_use]
pub struct Report {
    /// In the order in which they were tried.
    pub steps: Vec<Step>,
    /// The instance that was made.
    pub instance: Option<InstanceId>,
}

impl Report {
    /// Whether everything is as it should be.
    pub fn passed(&self) -> bool {
        self.n_failed() == 0
    }

    /// How many steps failed.
    pub fn n_failed(&self) -> usize {
        let failed = |step: &&Step| step.verdict == Verdict::Failed;
        self.steps.iter().filter(failed).count()
    }
}

impl fmt::Display for Report {
    /// One line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (n, failed) = (self.steps.len(), self.n_failed());
        if failed == 0 {
            write!(f, "passed: all {n} steps")
        } else {
            write!(f, "FAILED: {failed} of {n} steps")
        }
    }
}

/// Who watches the test.
#[async_trait]
pub trait Audience: Send {
    /// Something is tried now that may take long.
    fn begins(&mut self, what: &str);

    /// A step is over.
    fn ended(&mut self, step: &Step);

    /// The command's output.
    fn output(&mut self, text: &[u8]);

    /// Waits until the operator has seen enough of the instance at this address.
    async fn pause(&mut self, address: &str);
}
