//! `soak`: repeats tests and demo many times, then measures, for finding what fails rarely.

use anyhow::{Result, bail};

use crate::{
    bench,
    demo::{self, Vms},
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
            test::test(open_ssl, !args.no_sdk, &[])
        });
    }
    for seed in 1..=args.seeds {
        attempt(format!("demo, seed {seed} of {}", args.seeds), &|| {
            demo::check(&built, Vms::Simulated, seed)
        });
    }
    for seed in 1..=args.sshd_seeds {
        let name = format!("demo with sshd, seed {seed} of {}", args.sshd_seeds);
        attempt(name, &|| demo::check(&built, Vms::Sshd, seed));
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
