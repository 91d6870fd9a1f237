//! Runs the simulation for many seeds: `sim --seed N --runs M`.

use std::{process::ExitCode, time::Instant};

use clap::{Parser, ValueEnum};
use dispatch_tests::sim::{chaos, weather};

/// Runs the dispatcher's brain against a simulated cluster in virtual time, one life for each seed.
#[derive(Parser)]
struct Arguments {
    /// The first seed.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many seeds, one after the other.
    #[arg(long, default_value_t = 1)]
    runs: u64,
    /// What to live through.
    #[arg(long, value_enum, default_value_t = Scenario::All)]
    scenario: Scenario,
    /// How many containers, where the scenario does not say.
    #[arg(long, default_value_t = 200)]
    containers: usize,
    /// Says nothing about seeds that pass.
    #[arg(long)]
    quiet: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Scenario {
    /// Facts §6.1.
    Chaos,
    /// The same with lost creates, hung calls, stale lists, reclaims and malformed rows.
    Weather,
    /// The same, and the daemon is killed and started again.
    Restarts,
    /// The demo with many faults.
    Demo,
    /// All of these.
    All,
}

impl Scenario {
    fn run(self, seed: u64, containers: usize, trace: bool) -> weather::Life {
        match self {
            Scenario::Chaos => chaos::run(seed, chaos::Extra::Plain, trace),
            Scenario::Weather => chaos::run(seed, chaos::Extra::Weather, trace),
            Scenario::Restarts => chaos::run(seed, chaos::Extra::Restarts, trace),
            Scenario::Demo | Scenario::All => weather::many_faults(seed, containers, trace),
        }
    }
}

#[expect(clippy::print_stdout, reason = "a program for people")]
fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let each = [
        Scenario::Chaos,
        Scenario::Weather,
        Scenario::Restarts,
        Scenario::Demo,
    ];
    let scenarios: Vec<Scenario> = each
        .into_iter()
        .filter(|one| arguments.scenario == Scenario::All || arguments.scenario == *one)
        .collect();
    let mut n_failed = 0;
    for seed in arguments.seed..arguments.seed + arguments.runs {
        for scenario in &scenarios {
            let name = scenario.to_possible_value();
            let name = name
                .as_ref()
                .map_or("", |value| value.get_name())
                .to_owned();
            let began = Instant::now();
            let run = |trace| {
                std::panic::catch_unwind(|| scenario.run(seed, arguments.containers, trace))
            };
            match run(false) {
                Ok(life) if !arguments.quiet => {
                    println!(
                        "seed {seed} {name} ({:.0?}): {}",
                        began.elapsed(),
                        life.summary()
                    );
                }
                Ok(_) => {}
                Err(_) => {
                    println!("seed {seed} {name} FAILED; once more, with its trace:");
                    let _ = run(true);
                    n_failed += 1;
                }
            }
        }
    }
    if n_failed > 0 {
        println!("{n_failed} lives failed");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
