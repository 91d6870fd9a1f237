//! What the checks found.

use std::{fmt, fs, io::Write as _, path::Path};

/// Names the folder where reports are kept for whoever runs the tests.
const REPORTS: &str = "DISPATCH_CONFORMANCE_REPORTS";

/// Why a check did not pass.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Shortfall {
    /// The driver breaks the contract.
    Failed(String),
    /// This cloud cannot be made to show it.
    CannotShow(String),
}

/// How a check ended.
pub(crate) type Outcome = Result<(), Shortfall>;

/// Fails a check with these words.
pub(crate) fn fail<T>(words: impl Into<String>) -> Result<T, Shortfall> {
    Err(Shortfall::Failed(words.into()))
}

/// Fails a check unless this is so.
pub(crate) fn ensure(is_so: bool, otherwise: impl FnOnce() -> String) -> Outcome {
    if is_so { Ok(()) } else { fail(otherwise()) }
}

/// The outcome of every check, by name. A name is in exactly one list.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
#[must_use]
pub struct Report {
    /// What the driver keeps to.
    pub passed: Vec<&'static str>,
    /// What this cloud could not be made to show, and why. Not passed.
    pub cannot_show: Vec<(&'static str, String)>,
    /// What the driver breaks, and how.
    pub failed: Vec<(&'static str, String)>,
}

impl Report {
    pub(crate) fn add(&mut self, name: &'static str, outcome: Outcome) {
        match outcome {
            Ok(()) => self.passed.push(name),
            Err(Shortfall::CannotShow(reason)) => self.cannot_show.push((name, reason)),
            Err(Shortfall::Failed(words)) => self.failed.push((name, words)),
        }
    }
}

impl Report {
    /// Tells whoever runs the tests how many checks passed on this cloud, and which it cannot show and why: in a file
    /// below the folder that `DISPATCH_CONFORMANCE_REPORTS` names, else on standard error, past the test harness.
    pub fn tell(&self, driver: &str, cloud: &str) {
        let mut words = format!(
            "driver {driver} on {cloud}: {} checks passed, {} cannot be shown, {} failed\n",
            self.passed.len(),
            self.cannot_show.len(),
            self.failed.len()
        );
        for (name, reason) in &self.cannot_show {
            words.push_str(&format!("    cannot show {name}: {reason}\n"));
        }
        let kept = std::env::var_os(REPORTS).is_some_and(|folder| {
            let name = format!("{driver} on {cloud}.txt");
            fs::write(Path::new(&folder).join(name), &words).is_ok()
        });
        if !kept {
            // Nobody can be told if standard error is closed.
            let _ = std::io::stderr().write_all(words.as_bytes());
        }
    }
}

impl fmt::Display for Report {
    /// One line for each check.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for name in &self.passed {
            writeln!(f, "passed       {name}")?;
        }
        for (name, reason) in &self.cannot_show {
            writeln!(f, "cannot show  {name}: {reason}")?;
        }
        for (name, words) in &self.failed {
            writeln!(f, "FAILED       {name}: {words}")?;
        }
        Ok(())
    }
}
