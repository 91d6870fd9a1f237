//! `soak`: repeats tests and demo many times, then measures, for finding what fails rarely.

use std::{ops::RangeInclusive, sync::Mutex};

use anyhow::{Result, bail};

use crate::{
    bench,
    command::{cargo, execute},
    demo::{self, Vms},
    rounds,
    setup::{self, Purpose},
    step::step,
    test,
};

/// How long to soak.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Repeats of all tests.
    #[arg(long, default_value_t = 20)]
    repeats: u64,
    /// Demos with all faults, with the seeds 1, 2, …
    #[arg(long, default_value_t = 20)]
    seeds: u64,
    /// Demos on real sshd processes with some faults, with the seeds 1, 2, … They need root.
    #[arg(long, default_value_t = 3)]
    sshd_seeds: u64,
    /// Demos that run at once: they mostly wait.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..=16))]
    demos_at_once: u64,
    /// Rounds in which two daemons lose their lock, its database, the line to it or their lives. They need root.
    #[arg(long, default_value_t = 50)]
    takeovers: u32,
    /// Kills of a daemon at random moments, on real sshd processes. They need root.
    #[arg(long, default_value_t = 100)]
    kills: u32,
    /// Kills of the daemon at random points of its life on Azure.
    #[arg(long, default_value_t = 200)]
    azure_kills: u64,
    /// Leave out the tests that need a cloud's SDK, whose compilation takes minutes.
    #[arg(long)]
    no_sdk: bool,
    /// Leave out the measurements.
    #[arg(long)]
    no_bench: bool,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let open_ssl = setup::run_for(Purpose::Test)?;
    let built = step("build", || demo::build(open_ssl))?;
    let mut failures = vec![];
    // One failure does not end the soak: how often something fails is what it is for.
    let mut attempt = |name: String, work: &dyn Fn() -> Result<()>| {
        if let Err(error) = step(&name, work) {
            failures.push(format!("{name}: {error:#}"));
        }
    };
    for turn in 1..=args.repeats {
        attempt(format!("tests, turn {turn} of {}", args.repeats), &|| {
            test::test(open_ssl, !args.no_sdk, &[]).map(drop)
        });
    }
    if !args.no_sdk && args.azure_kills > 0 {
        attempt(format!("{} kills on Azure", args.azure_kills), &|| {
            kill_on_azure(args.azure_kills)
        });
    }
    let name = format!("demos, seeds 1 to {}", args.seeds);
    attempt(name, &|| {
        at_once(args.demos_at_once, 1..=args.seeds, &|seed| {
            demo::check(&built, Vms::Simulated, seed)
        })
    });
    for seed in 1..=args.sshd_seeds {
        let name = format!("demo with sshd, seed {seed} of {}", args.sshd_seeds);
        attempt(name, &|| demo::check(&built, Vms::Sshd, seed));
    }
    if args.takeovers > 0 || args.kills > 0 {
        step("build the rounds", || rounds::build(open_ssl))?;
    }
    let seed = rounds::seed_of_this_run();
    if args.takeovers > 0 {
        attempt(format!("{} takeovers", args.takeovers), &|| {
            rounds::takeovers(&built, args.takeovers, seed, &[])
        });
    }
    if args.kills > 0 {
        attempt(format!("{} kills", args.kills), &|| {
            rounds::kills(&built, args.kills, seed)
        });
    }
    if !args.no_bench {
        attempt("bench".into(), &|| bench::measure(&built, &[]));
    }
    if !failures.is_empty() {
        bail!(
            "{} of the soak's steps failed:\n  {}",
            failures.len(),
            failures.join("\n  ")
        );
    }
    Ok(())
}

/// Kills the daemon at so many random points; each time it must find everything again.
fn kill_on_azure(kills: u64) -> Result<()> {
    let features = ["--no-default-features", "--features", "azure,cloud-tests"];
    let mut test = cargo(["test", "--package", "arvados-dispatch-cloud"]);
    test.args(features)
        .args(["--test", "azure", "killed_at_random_points"]);
    execute(test.env("DISPATCH_AZURE_KILLS", kills.to_string()))
}

/// Does `work` for each number, so many at a time; names all that failed.
fn at_once(
    most: u64,
    numbers: RangeInclusive<u64>,
    work: &(dyn Fn(u64) -> Result<()> + Sync),
) -> Result<()> {
    let left = Mutex::new(numbers);
    let failures = Mutex::new(vec![]);
    let next = || left.lock().expect("nobody panicked").next();
    std::thread::scope(|scope| {
        for _ in 0..most {
            scope.spawn(|| {
                while let Some(number) = next() {
                    if let Err(error) = work(number) {
                        let line = format!("{error:#}");
                        println!("{line}");
                        failures.lock().expect("nobody panicked").push(line);
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().expect("nobody panicked");
    if !failures.is_empty() {
        bail!("{}", failures.join("; "));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_number_has_its_turn_and_failures_are_named() {
        let seen = Mutex::new(vec![]);
        let outcome = at_once(3, 1..=7, &|number| {
            seen.lock().unwrap().push(number);
            if number == 4 {
                bail!("4 is out of order");
            }
            Ok(())
        });
        let mut seen = seen.into_inner().unwrap();
        seen.sort_unstable();
        assert_eq!(seen, [1, 2, 3, 4, 5, 6, 7]);
        assert_eq!(outcome.unwrap_err().to_string(), "4 is out of order");
    }
}
