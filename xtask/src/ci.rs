//! `ci`: everything that CI runs, cheap checks first; all of it, also after a failure.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::{
    bench, book, clouds,
    command::{cargo, execute},
    demo::{self, Vms},
    deny, rounds,
    setup::{self, Purpose},
    step::{human, step},
    test, tidy,
};

/// CI measures on machines that others use too: a speed fails only beyond this many times its figure.
const TOLERANCE: &str = "3";

/// What to leave out.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Leave out the demo and the measurements, which need a release build.
    #[arg(long)]
    quick: bool,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let open_ssl = setup::run_for(Purpose::Test)?;
    let mut report = Report::default();
    report.attempt("format", || {
        execute(&mut cargo(["fmt", "--all", "--check"]))
    });
    report.attempt("tidy", || tidy::check(tidy::Lessons::Strict));
    report.attempt("deny", deny::check);
    report.attempt("clippy", || {
        let mut clippy = cargo(["clippy", "--workspace", "--all-targets"]);
        execute(
            clippy
                .args(open_ssl.cargo_args())
                .args(clouds::CARGO_ARGS)
                .args(["--", "--deny", "warnings"]),
        )
    });
    report.attempt("docs", || {
        let mut docs = cargo(["doc", "--workspace", "--no-deps"]);
        execute(
            docs.args(open_ssl.cargo_args())
                .args(clouds::CARGO_ARGS)
                .env("RUSTDOCFLAGS", "--deny warnings"),
        )
    });
    report.attempt("book", book::build);
    report.attempt("test", || test::all(open_ssl, true));
    if !args.quick
        && let Some(built) = report.attempt("build", || demo::build(open_ssl))
    {
        report.attempt("demo", || demo::check(&built, Vms::Simulated, 7));
        report.attempt("demo with sshd", || demo::check(&built, Vms::Sshd, 7));
        if report
            .attempt("build the rounds", || rounds::build(open_ssl))
            .is_some()
        {
            let seed = rounds::seed_of_this_run();
            report.attempt("takeovers", || {
                rounds::takeovers(&built, 3, seed, rounds::SHORT)
            });
            report.attempt("kills", || rounds::kills(&built, 5, seed));
        }
        if bench::exists()? {
            report.attempt("bench", || {
                bench::measure(&built, &["--tolerance".into(), TOLERANCE.into()])
            });
        }
    }
    report.conclude()
}

/// What was done, how long it took, and what failed.
#[derive(Default)]
struct Report {
    lines: Vec<String>,
    failed: usize,
    total: Duration,
}

impl Report {
    fn attempt<T>(&mut self, name: &str, work: impl FnOnce() -> Result<T>) -> Option<T> {
        let begun = Instant::now();
        let outcome = step(name, work);
        let took = begun.elapsed();
        self.total += took;
        match outcome {
            Ok(value) => {
                self.lines.push(format!("ok      {name} ({})", human(took)));
                Some(value)
            }
            Err(error) => {
                println!("{error:#}");
                self.failed += 1;
                self.lines
                    .push(format!("FAILED  {name} ({}): {error:#}", human(took)));
                None
            }
        }
    }

    fn conclude(self) -> Result<()> {
        println!("\nci, in {}:", human(self.total));
        for line in &self.lines {
            println!("  {line}");
        }
        if self.failed > 0 {
            bail!("{} of {} checks failed", self.failed, self.lines.len());
        }
        Ok(())
    }
}
