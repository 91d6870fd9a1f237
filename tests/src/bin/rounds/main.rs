//! Rounds of the worst that can happen to the dispatcher as a whole: `takeover` takes the lock's database, its lines and
//! the holder away from two daemons; `kills` kills one daemon again and again while real machines are under load.
//!
//! Daemons run as processes of their own. What happened is judged by the lab, and by when calls arrived there.

mod daemon;
mod kills;
mod load;
mod overseer;
mod sessions;
mod takeover;
mod verdict;
mod wires;

use std::{io::Write, path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};

/// Rounds of the worst that can happen to the dispatcher as a whole.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Two daemons and a PostgreSQL that is stopped, restarted and cut off. Needs root, and a network namespace of its
    /// own: `unshare --net rounds takeover …`.
    Takeover(takeover::Arguments),
    /// A daemon that is killed at random moments while containers run on real sshd machines. Needs root.
    Kills(kills::Arguments),
}

/// What both need.
#[derive(clap::Args)]
pub(crate) struct Common {
    /// The folder of the programs.
    #[arg(long)]
    pub(crate) programs: PathBuf,
    /// How many rounds.
    #[arg(long, default_value_t = 3)]
    pub(crate) rounds: u32,
    /// Decides what happens when.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
}

#[tokio::main]
async fn main() -> ExitCode {
    let outcome = match Arguments::parse().what {
        What::Takeover(arguments) => takeover::run(&arguments).await,
        What::Kills(arguments) => kills::run(&arguments).await,
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("FAILED: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// A line on standard output. An output that is closed is nobody's problem here.
pub(crate) fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{line}");
    let _ = out.flush();
}
