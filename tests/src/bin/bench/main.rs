//! Measures how fast the dispatcher is, beside what the Go dispatcher was measured to do (`docs/reference/go-measured.md`).
//!
//! The daemon runs as a process of its own, in release form, with the default configuration except for what a row
//! names. The lab runs in this process and serves its cluster over the network. Every figure comes from the lab's
//! journal or from `/proc`, never from what the dispatcher says of itself.

mod daemon;
mod document;
mod experiments;
mod figures;
mod plan;
mod rows;
mod stage;
mod table;

use std::{collections::BTreeMap, path::PathBuf, process::ExitCode};

use anyhow::{Context, bail};
use clap::Parser;

use experiments::{Bench, Experiment};
use figures::Figures;
use rows::{ROWS, Row};
use table::say;

/// Measures the dispatcher's speeds.
#[derive(Parser)]
struct Arguments {
    /// The folder of the programs to measure.
    #[arg(long)]
    programs: PathBuf,
    /// Only these rows (and those that come with them); `--only help` lists them.
    #[arg(long)]
    only: Vec<String>,
    /// Fewer instances and containers, shorter waits: shows that everything works, not how fast it is.
    #[arg(long)]
    quick: bool,
    /// Fail only where a row is this many times worse than its target.
    #[arg(long, default_value_t = 1.0)]
    tolerance: f64,
    /// A row that misses its target is tried up to this often: other work on the machine spoils measurements.
    #[arg(long, default_value_t = 3)]
    tries: usize,
    /// Keep configuration and log of each dispatcher in this folder.
    #[arg(long)]
    logs: Option<PathBuf>,
    /// The dispatchers' log level; whatever is not the default changes what is measured.
    #[arg(long)]
    log_level: Option<String>,
    /// Where to write the table beside the terminal; by default docs/performance.md, when every row was measured.
    #[arg(long)]
    document: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(&Arguments::parse()).await {
        Ok(code) => code,
        Err(error) => {
            say(&format!("bench: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let wanted = wanted(&arguments.only)?;
    let bench = Bench {
        program: arguments.programs.join("arvados-dispatch-cloud"),
        quick: arguments.quick,
        logs: arguments.logs.clone(),
        log_level: arguments.log_level.clone(),
    };
    if !bench.program.is_file() {
        bail!(
            "{} is missing: `cargo xtask bench` builds it",
            bench.program.display()
        );
    }
    let conditions = document::Conditions::now();
    let mut results = Results::default();
    for experiment in Experiment::ALL {
        let rows: Vec<&Row> = wanted
            .iter()
            .copied()
            .filter(|row| row.experiment == *experiment)
            .collect();
        if !rows.is_empty() {
            results
                .measure(&bench, *experiment, &rows, arguments.tries)
                .await;
        }
    }
    let lines = table::lines(&wanted, &results.best);
    say("");
    table::print(&lines);
    let n_missed = lines.iter().filter(|line| line.verdict != "met").count();
    let complete = wanted.len() == ROWS.len() && !arguments.quick;
    let place = match &arguments.document {
        Some(place) => Some(place.clone()),
        None if complete => document::usual_place(),
        None => None,
    };
    if let Some(place) = place {
        let text = document::write(&conditions, &lines, &results.tries);
        std::fs::write(&place, text).with_context(|| format!("write {}", place.display()))?;
        say(&format!("written to {}", place.display()));
    }
    let failed: Vec<&str> = wanted
        .iter()
        .filter(|row| {
            results
                .best
                .get(row.name)
                .is_none_or(|figures| !row.is_met(figures, arguments.tolerance))
        })
        .map(|row| row.name)
        .collect();
    if failed.is_empty() {
        if n_missed > 0 {
            say(&format!(
                "{n_missed} rows missed, none by more than {} times",
                arguments.tolerance
            ));
        }
        return Ok(ExitCode::SUCCESS);
    }
    say(&format!("missed: {}", failed.join(", ")));
    Ok(ExitCode::FAILURE)
}

fn wanted(only: &[String]) -> anyhow::Result<Vec<&'static Row>> {
    for name in only {
        if !ROWS.iter().any(|row| row.name == name) {
            let names: Vec<&str> = ROWS.iter().map(|row| row.name).collect();
            bail!("there is no row {name:?}; there are {}", names.join(", "));
        }
    }
    let all = ROWS.iter();
    Ok(all
        .filter(|row| only.is_empty() || only.iter().any(|name| name == row.name))
        .collect())
}

/// What came of the experiments.
#[derive(Default)]
struct Results {
    /// The best try of each row.
    best: BTreeMap<&'static str, Figures>,
    /// Every try, in words.
    tries: Vec<String>,
}

impl Results {
    /// Makes an experiment, again while one of its rows misses.
    async fn measure(
        &mut self,
        bench: &Bench,
        experiment: Experiment,
        rows: &[&'static Row],
        tries: usize,
    ) {
        for number in 1..=tries.max(1) {
            let found = match experiment.run(bench).await {
                Ok(found) => found,
                Err(error) => {
                    self.tell(format!("{experiment:?}, try {number}: failed: {error:#}"));
                    continue;
                }
            };
            for row in rows {
                let Some(figures) = found.rows.get(row.name) else {
                    self.tell(format!("{}, try {number}: there is no figure", row.name));
                    continue;
                };
                self.tell(format!(
                    "{}, try {number}: {} (target {}: {}); {}",
                    row.name,
                    figures.in_words(row.unit),
                    row.target_in_words(),
                    if row.is_met(figures, 1.0) {
                        "met"
                    } else {
                        "missed"
                    },
                    found.remark,
                ));
                let best = self.best.entry(row.name).or_insert_with(|| figures.clone());
                if row.judged(figures) < row.judged(best) {
                    *best = figures.clone();
                }
            }
            let met = |row: &&&Row| {
                let best = self.best.get(row.name);
                best.is_some_and(|best| row.is_met(best, 1.0))
            };
            if rows.iter().all(|row| met(&row)) {
                return;
            }
        }
    }

    fn tell(&mut self, words: String) {
        say(&words);
        self.tries.push(words);
    }
}
