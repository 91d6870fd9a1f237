//! Many seeds: those that failed once first, and of one that fails now, the end of its trace.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// What one seed came to.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Which seed.
    pub seed: u64,
    /// A line for people.
    pub summary: String,
}

/// Runs `run` for each of these seeds, those of `failed_once` first (numbers, one a line, `#` opens a remark).
/// `run` gets the seed and whether to write the trace.
///
/// # Panics
///
/// At the first seed that fails, after running it once more with its trace.
pub fn run_seeds(
    failed_once: &str,
    seeds: impl IntoIterator<Item = u64>,
    mut run: impl FnMut(u64, bool) -> Outcome,
) -> Vec<Outcome> {
    let remembered = failed_once
        .lines()
        .filter_map(|line| line.split('#').next()?.trim().parse().ok());
    let mut outcomes = Vec::new();
    for seed in remembered.chain(seeds) {
        let quiet = catch_unwind(AssertUnwindSafe(|| run(seed, false)));
        match quiet {
            Ok(outcome) => outcomes.push(outcome),
            Err(_) => {
                // Virtual time and one seed: it fails in the same way, now with its trace.
                run(seed, true);
                panic!("seed {seed} failed without its trace and not with it");
            }
        }
    }
    outcomes
}

/// Runs one seed twice with its trace, which must be the same.
///
/// # Panics
///
/// If it is not.
pub fn replay(seed: u64, mut run: impl FnMut(u64) -> u64) {
    assert_eq!(run(seed), run(seed), "seed {seed}: two runs, two traces");
}
