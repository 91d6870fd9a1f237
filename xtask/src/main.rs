//! Every chore of the project, one file each: `cargo xtask <chore>`.
//!
//! It links no system library, so that it builds where nothing but Rust and a C compiler is installed, and can then
//! see to the rest.
#![expect(
    clippy::print_stdout,
    reason = "a chore talks to the person who started it"
)]

mod bench;
mod book;
mod ci;
mod clouds;
mod command;
mod demo;
mod deny;
mod dist;
mod fuzz;
mod packages;
mod python;
mod rounds;
mod setup;
mod soak;
mod step;
mod test;
mod tidy;
mod tree;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Every chore of the project.
#[derive(Parser)]
#[command(
    name = "cargo xtask",
    bin_name = "cargo xtask",
    version,
    disable_help_subcommand = true
)]
struct Cli {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Subcommand)]
enum Chore {
    /// See to what building and testing need (system packages), installing it where that is allowed.
    Setup(setup::Args),
    /// Run all tests, after seeing to what they need.
    Test(test::Args),
    /// Build the dispatcher and the lab, and watch one dispatch containers on the other.
    Demo(demo::Args),
    /// Build the book below docs/, and follow its links.
    Book(book::Args),
    /// Build the packages that operators install, and a tarball.
    Dist(dist::Args),
    /// Install the packages in a clean root, run, upgrade and remove them; execute the book's quick start.
    Packages(packages::Args),
    /// Feed everything that parses what others wrote with wrong inputs, for long (ten minutes if not said).
    Fuzz(fuzz::Args),
    /// Run everything that CI runs.
    Ci(ci::Args),
    /// Measure the dispatcher's speeds against the lab.
    Bench(bench::Args),
    /// Take lock, database, lines and life away from the dispatcher, again and again.
    Rounds(rounds::Args),
    /// Repeat tests and demo many times, then measure: for finding what fails rarely.
    Soak(soak::Args),
    /// Check what the compiler does not: file heads, layers, links, lessons, numbers.
    Tidy(tidy::Args),
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().chore {
        Chore::Setup(args) => setup::run(&args),
        Chore::Test(args) => test::run(&args),
        Chore::Demo(args) => demo::run(&args),
        Chore::Book(args) => book::run(&args),
        Chore::Dist(args) => dist::run(&args),
        Chore::Packages(args) => packages::run(&args),
        Chore::Fuzz(args) => fuzz::run(&args),
        Chore::Ci(args) => ci::run(&args),
        Chore::Bench(args) => bench::run(&args),
        Chore::Rounds(args) => rounds::run(&args),
        Chore::Soak(args) => soak::run(&args),
        Chore::Tidy(args) => tidy::run(&args),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("\nerror: {error:#}");
            ExitCode::FAILURE
        }
    }
}
