//! `rounds`: the worst that can happen to the dispatcher as a whole, again and again, judged by the lab.
//!
//! The program that does it is a binary of the workspace; this chore builds it and what it torments, and starts it.

use anyhow::Result;

use crate::{
    command::{cargo, command, execute},
    demo::{self, Built},
    setup::{self, OpenSsl, Purpose},
    step::step,
};

/// Which rounds.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Rounds with two daemons and a PostgreSQL that is stopped, restarted and cut off.
    #[arg(long, default_value_t = 3)]
    takeovers: u32,
    /// Kills of one daemon at random moments, on real sshd machines.
    #[arg(long, default_value_t = 5)]
    kills: u32,
    /// Decides what happens when.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let open_ssl = setup::run_for(Purpose::Test)?;
    let built = step("build", || demo::build(open_ssl))?;
    step("build the rounds", || build(open_ssl))?;
    let mut failure = Ok(());
    if args.takeovers > 0 {
        failure = step("takeovers", || takeovers(&built, args.takeovers, args.seed));
    }
    if args.kills > 0 {
        failure = failure.and(step("kills", || kills(&built, args.kills, args.seed)));
    }
    failure
}

/// Builds the program.
pub(crate) fn build(open_ssl: OpenSsl) -> Result<()> {
    let mut build = cargo(["build", "--release", "--package", "dispatch-tests"]);
    if open_ssl == OpenSsl::Vendored {
        build.args(["--package", "dispatch-ssh-executor"]);
    }
    execute(build.args(["--bin", "rounds"]).args(open_ssl.cargo_args()))
}

/// Two daemons and one database, in a network namespace of their own. Needs root.
pub(crate) fn takeovers(built: &Built, rounds: u32, seed: u64) -> Result<()> {
    let mut unshare = command("unshare");
    unshare.args(["--net", "--"]);
    unshare.arg(built.folder().join("rounds")).arg("takeover");
    execute(with_common(&mut unshare, built, rounds, seed))
}

/// One daemon, killed again and again. Needs root.
pub(crate) fn kills(built: &Built, rounds: u32, seed: u64) -> Result<()> {
    let mut program = command(built.folder().join("rounds"));
    program.arg("kills");
    execute(with_common(&mut program, built, rounds, seed))
}

fn with_common<'a>(
    command: &'a mut std::process::Command,
    built: &Built,
    rounds: u32,
    seed: u64,
) -> &'a mut std::process::Command {
    command.arg("--programs").arg(built.folder());
    command.args(["--rounds", &rounds.to_string()]);
    command.args(["--seed", &seed.to_string()])
}
