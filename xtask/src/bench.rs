//! `bench`: measures the dispatcher's speeds against the lab, as separate processes.
//!
//! The program that measures is a binary of the workspace; this chore builds what it measures and starts it.

use anyhow::{Result, bail};

use crate::{
    command::{cargo, execute},
    demo::{self, Built},
    setup::{self, Purpose},
    step::step,
    tree::has_binary,
};

/// Package and binary that measure.
const PROGRAM: (&str, &str) = ("dispatch-tests", "bench");

/// Passed on to the program that measures.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    rest: Vec<String>,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let open_ssl = setup::run_for(Purpose::Build)?;
    let built = step("build", || demo::build(open_ssl))?;
    step("bench", || measure(&built, &args.rest))
}

/// Whether the workspace has a program that measures.
pub(crate) fn exists() -> Result<bool> {
    has_binary(PROGRAM.0, PROGRAM.1)
}

/// Runs it. It finds the programs to measure in the folder named by `--programs`.
pub(crate) fn measure(built: &Built, args: &[String]) -> Result<()> {
    if !exists()? {
        bail!(
            "the workspace has no binary `{}` in package `{}` yet",
            PROGRAM.1,
            PROGRAM.0
        );
    }
    let mut command = cargo([
        "run",
        "--quiet",
        "--release",
        "--package",
        PROGRAM.0,
        "--bin",
        PROGRAM.1,
        "--",
    ]);
    execute(command.arg("--programs").arg(built.folder()).args(args))
}
