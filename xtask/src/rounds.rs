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
    /// Decides what happens when; another one each time if it is not given. It is printed.
    #[arg(long)]
    seed: Option<u64>,
}

/// What a short run must not leave out: everything that takes the lock away without a word to the holder.
pub(crate) const SHORT: &[&str] = &["partition", "stop", "freeze"];

pub(crate) fn run(args: &Args) -> Result<()> {
    let open_ssl = setup::run_for(Purpose::Test)?;
    let built = step("build", || demo::build(open_ssl))?;
    step("build the rounds", || build(open_ssl))?;
    let mut failure = Ok(());
    let seed = args.seed.unwrap_or_else(seed_of_this_run);
    if args.takeovers > 0 {
        failure = step("takeovers", || takeovers(&built, args.takeovers, seed, &[]));
    }
    if args.kills > 0 {
        failure = failure.and(step("kills", || kills(&built, args.kills, seed)));
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
pub(crate) fn takeovers(built: &Built, rounds: u32, seed: u64, blows: &[&str]) -> Result<()> {
    let mut unshare = command("unshare");
    unshare.args(["--net", "--"]);
    unshare.arg(built.folder().join("rounds")).arg("takeover");
    if !blows.is_empty() {
        unshare.args(["--blows", &blows.join(",")]);
    }
    execute(with_common(&mut unshare, built, rounds, seed))
}

/// One daemon, killed again and again. Needs root.
pub(crate) fn kills(built: &Built, rounds: u32, seed: u64) -> Result<()> {
    let mut program = command(built.folder().join("rounds"));
    program.arg("kills");
    execute(with_common(&mut program, built, rounds, seed))
}

/// Another one each time, so that in time everything is tried; whoever fails prints it.
pub(crate) fn seed_of_this_run() -> u64 {
    let now = std::time::SystemTime::now();
    let since = now.duration_since(std::time::UNIX_EPOCH);
    since.map_or(1, |since| since.as_secs())
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
