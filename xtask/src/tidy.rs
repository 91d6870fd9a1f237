//! `tidy`: checks what the compiler does not. One file below for each thing checked.

mod book;
mod errors;
mod facts;
mod layers;
mod lessons;
mod links;
mod manifests;
mod purity;
mod sources;
mod tables;

use anyhow::{Result, bail};

use crate::tree::{files, packages};

/// How strict to be.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Fail also on lessons whose test is still open.
    #[arg(long)]
    strict: bool,
}

/// What to make of lessons that have no test yet.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lessons {
    /// Count them.
    Lenient,
    /// Fail.
    Strict,
}

/// Something untidy, and where.
#[derive(Debug, PartialEq, Eq)]
struct Problem {
    place: String,
    what: String,
}

impl Problem {
    fn new(place: impl Into<String>, what: impl Into<String>) -> Self {
        Problem {
            place: place.into(),
            what: what.into(),
        }
    }

    fn at(path: &str, line: usize, what: impl Into<String>) -> Self {
        Problem::new(format!("{path}:{line}"), what)
    }
}

pub(crate) fn run(args: &Args) -> Result<()> {
    check(if args.strict {
        Lessons::Strict
    } else {
        Lessons::Lenient
    })
}

/// Runs all checks and reports everything they find.
pub(crate) fn check(strictness: Lessons) -> Result<()> {
    let (files, packages) = (files()?, packages()?);
    let lessons = lessons::check(&files, strictness);
    println!("    {}", lessons.summary);
    let checks = [
        ("sources", sources::check(&files)),
        ("manifests", manifests::check(&files)),
        ("layers", layers::check(&packages)),
        ("purity", purity::check()?),
        ("lessons", lessons.problems),
        ("facts", facts::check(&files)),
        ("links", links::check(&files)),
        ("book", book::check(&files)),
        ("errors", errors::check(&files)),
        ("tables", tables::check(&files)),
    ];
    let mut n_problems = 0;
    for (name, problems) in checks {
        n_problems += problems.len();
        for Problem { place, what } in problems {
            println!("    {name}: {place}: {what}");
        }
    }
    if n_problems > 0 {
        bail!("tidy found {n_problems} problems");
    }
    println!(
        "    {} files and {} packages are tidy",
        files.len(),
        packages.len()
    );
    Ok(())
}
