//! `test`: all tests of the workspace, with cargo's own summaries and one total.

use std::ops::AddAssign;

use anyhow::{Result, bail};

use crate::{
    clouds,
    command::{cargo, run_reading_lines},
    packages,
    setup::{self, OpenSsl, Purpose},
    step::step,
};

/// What to test.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Leave out what needs a cloud's SDK, whose compilation takes minutes.
    #[arg(long)]
    no_sdk: bool,
    /// Passed on to `cargo test`: `cargo xtask test -- -p dispatch-worker adoption`.
    #[arg(last = true)]
    rest: Vec<String>,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let open_ssl = setup::run_for(Purpose::Test)?;
    if args.rest.is_empty() {
        return all(open_ssl, !args.no_sdk);
    }
    let total = step("test", || test(open_ssl, !args.no_sdk, &args.rest))?;
    println!("total: {total}");
    Ok(())
}

/// Runs all tests and the packages' checks, and prints the total, which is the last line on success.
pub(crate) fn all(open_ssl: OpenSsl, with_sdk: bool) -> Result<()> {
    // The packages' checks are worth having after a failure as well.
    let tested = step("test", || test(open_ssl, with_sdk, &[]));
    let checked = step("packages", || packages::test(open_ssl, with_sdk));
    let (total, n_checks) = (tested?, checked?);
    println!("total: {total}; and {n_checks} checks of packages and quick start passed");
    Ok(())
}

/// Runs the tests.
pub(crate) fn test(open_ssl: OpenSsl, with_sdk: bool, rest: &[String]) -> Result<Total> {
    let reports = clouds::fresh_reports()?;
    let mut command = cargo(["test", "--no-fail-fast"]);
    command.env(clouds::REPORTS_VARIABLE, &reports);
    if !rest
        .iter()
        .any(|word| word == "-p" || word.starts_with("--package"))
    {
        command.arg("--workspace").args(open_ssl.cargo_args());
        if with_sdk {
            command.args(clouds::CARGO_ARGS);
        } else {
            command.args(clouds::CARGO_ARGS_WITHOUT);
        }
    }
    command.args(rest);
    let mut total = Total::default();
    let succeeded = run_reading_lines(&mut command, |line| {
        println!("{line}");
        total += Total::of(line);
    })?;
    clouds::print_reports(&reports)?;
    if !succeeded || total.failed > 0 {
        bail!(
            "{} of {} tests failed",
            total.failed,
            total.failed + total.passed
        );
    }
    Ok(total)
}

/// The sum of cargo's summary lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Total {
    passed: u64,
    failed: u64,
    ignored: u64,
    programs: u64,
}

impl Total {
    /// What this line of cargo's output adds.
    fn of(line: &str) -> Total {
        let Some(summary) = line.trim().strip_prefix("test result: ") else {
            return Total::default();
        };
        let count = |what: &str| {
            summary
                .split([';', '.'])
                .filter_map(|part| part.trim().strip_suffix(what))
                .find_map(|number| number.trim().parse().ok())
                .unwrap_or(0)
        };
        Total {
            passed: count("passed"),
            failed: count("failed"),
            ignored: count("ignored"),
            programs: 1,
        }
    }
}

impl AddAssign for Total {
    fn add_assign(&mut self, more: Total) {
        self.passed += more.passed;
        self.failed += more.failed;
        self.ignored += more.ignored;
        self.programs += more.programs;
    }
}

impl std::fmt::Display for Total {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Total {
            passed,
            failed,
            ignored,
            programs,
        } = self;
        write!(
            f,
            "{passed} passed; {failed} failed; {ignored} ignored; in {programs} test programs"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn summary_lines_are_added_up_and_other_lines_are_not() {
        let mut total = Total::default();
        for line in [
            "running 3 tests",
            "test a_thing_passed ... ok",
            "test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.01s",
            "test result: FAILED. 40 passed; 2 failed; 1 ignored; 0 measured; 0 filtered out; finished in 1.31s",
        ] {
            total += Total::of(line);
        }
        assert_eq!(
            total.to_string(),
            "43 passed; 2 failed; 1 ignored; in 2 test programs"
        );
    }
}
