//! `fuzz`: feeds everything that parses what others wrote with wrong inputs, for as long as one likes.

use anyhow::Result;

use crate::{
    clouds,
    command::{cargo, command, execute},
    setup::{self, Purpose},
    step::step,
    tree::target,
};

/// How long, and on what.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Leave out the targets that need a cloud's SDK, whose compilation takes minutes.
    #[arg(long)]
    no_sdk: bool,
    /// Passed on to the fuzzer: `--seconds N`, `--seed N`, `--target NAME`.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    rest: Vec<String>,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let open_ssl = setup::run_for(Purpose::Build)?;
    // With the features of the tests, so that what they built is used again.
    let mut build = cargo(["build", "--workspace", "--bins"]);
    build.args(open_ssl.cargo_args());
    if args.no_sdk {
        build.args(clouds::CARGO_ARGS_WITHOUT);
    } else {
        build.args(clouds::CARGO_ARGS);
    }
    step("build", || execute(&mut build))?;
    let mut fuzz = command(target().join("debug/dispatch-fuzz"));
    step("fuzz", || execute(fuzz.args(&args.rest)))
}
