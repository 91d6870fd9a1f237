//! Runs an Arvados cluster's containers on cloud VMs.

mod cli;
mod cloudtest;
mod commands;
mod drivers;
mod files;
mod interrupts;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let cli = cli::Cli::parse_from(cli::modernized(std::env::args_os()));
    commands::execute(cli)
}
