//! `demo`: builds the dispatcher and the lab, and runs one on the other.

use std::{
    os::unix::process::CommandExt,
    path::PathBuf,
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::{
    command::{cargo, command, execute, run_reading_lines},
    setup::{self, OpenSsl, Purpose},
    step::{human, step},
    tree::target,
};

/// Arguments of the demo; `cargo xtask demo --help` shows this, `cargo xtask demo -- --help` the demo's own.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Passed on to `arvados-dispatch-lab demo`.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    rest: Vec<String>,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let purpose = if args.rest.iter().any(|word| word.contains("sshd")) {
        Purpose::Test
    } else {
        Purpose::Build
    };
    let open_ssl = setup::run_for(purpose)?;
    let built = step("build", || build(open_ssl))?;
    // The demo takes our place, so that it has the terminal and its exit code is ours.
    let error = built.demo().args(&args.rest).exec();
    Err(error).context("start the demo")
}

/// The programs of the demo, in release form.
pub(crate) struct Built {
    folder: PathBuf,
}

/// Builds daemon, lab and admin tool; without the cloud SDKs, whose compilation takes minutes and gigabytes.
pub(crate) fn build(open_ssl: OpenSsl) -> Result<Built> {
    let mut daemon = cargo(["build", "--release", "--package", "arvados-dispatch-cloud"]);
    if open_ssl == OpenSsl::Vendored {
        daemon.args(["--package", "dispatch-ssh-executor"]);
    }
    daemon.args(["--no-default-features", "--features"]);
    daemon.arg("arvados-dispatch-cloud/loopback,arvados-dispatch-cloud/lab");
    execute(daemon.args(open_ssl.cargo_args()))?;
    let others = [
        "--package",
        "arvados-dispatch-lab",
        "--package",
        "arvados-dispatch-ctl",
    ];
    execute(cargo(["build", "--release"]).args(others))?;
    Ok(Built {
        folder: target().join("release"),
    })
}

impl Built {
    /// The demo's command line so far.
    fn demo(&self) -> Command {
        let mut command = command(self.folder.join("arvados-dispatch-lab"));
        command.arg("demo").arg("--daemon").arg(self.daemon());
        command
    }

    /// The daemon's executable.
    pub(crate) fn daemon(&self) -> PathBuf {
        self.folder.join("arvados-dispatch-cloud")
    }

    /// Folder of all executables.
    pub(crate) fn folder(&self) -> &PathBuf {
        &self.folder
    }
}

/// What the VMs of a demo are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Vms {
    /// Of the lab's own make.
    Simulated,
    /// Real `sshd` processes, and real processes below them.
    Sshd,
}

impl Vms {
    /// How much is asked of a demo with such VMs: real ones take a host's own processors and memory.
    fn arguments(self) -> &'static [&'static str] {
        match self {
            Vms::Simulated => &["--containers", "200", "--faults", "many"],
            Vms::Sshd => &["--vms", "sshd", "--containers", "40", "--faults", "some"],
        }
    }
}

/// One unattended demo with faults, judged by what the lab says happened in it.
pub(crate) fn check(built: &Built, vms: Vms, seed: u64) -> Result<()> {
    const LIMIT: Duration = Duration::from_secs(120);
    let mut last = String::new();
    let begun = Instant::now();
    let mut command = built.demo();
    command.args(vms.arguments());
    command.args(["--exit-when-done", "--json"]);
    command.args(["--seed", &seed.to_string()]);
    let succeeded = run_reading_lines(&mut command, |line| last = line.into())?;
    println!("{last}");
    if !succeeded {
        bail!("the demo with seed {seed} failed");
    }
    if begun.elapsed() > LIMIT {
        bail!(
            "the demo with seed {seed} took {} instead of {}",
            human(begun.elapsed()),
            human(LIMIT)
        );
    }
    judge(&last).with_context(|| format!("judge the demo with seed {seed}"))
}

/// Whether all but the doomed containers completed, and nothing was lost, run twice or left over.
fn judge(summary: &str) -> Result<()> {
    let summary: Value = serde_json::from_str(summary).context("its last line is not JSON")?;
    let count = |key: &str| {
        summary[key]
            .as_u64()
            .with_context(|| format!("its summary has no count `{key}`"))
    };
    for key in ["lost", "run_twice", "instances_left"] {
        let found = count(key)?;
        if found > 0 {
            bail!("`{key}` is {found} instead of 0");
        }
    }
    let (submitted, complete, cancelled, doomed) = (
        count("submitted")?,
        count("complete")?,
        count("cancelled")?,
        count("doomed")?,
    );
    if cancelled > doomed {
        bail!("{cancelled} containers were cancelled, but the faults doomed only {doomed}");
    }
    if complete + cancelled != submitted {
        bail!("of {submitted} containers {complete} completed and {cancelled} were cancelled");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn verdict(changes: &str, expected: &str) {
        let mut summary: Value = serde_json::from_str(
            r#"{"submitted":200,"complete":190,"cancelled":10,"doomed":12,"lost":0,"run_twice":0,"instances_left":0}"#,
        )
        .unwrap();
        let changes: Value = serde_json::from_str(changes).unwrap();
        summary
            .as_object_mut()
            .unwrap()
            .extend(changes.as_object().unwrap().clone());
        let found =
            judge(&summary.to_string()).map_or_else(|error| error.to_string(), |()| "fine".into());
        assert_eq!(found, expected);
    }

    #[test]
    fn a_demo_is_judged_by_what_the_lab_counted() {
        verdict("{}", "fine");
        verdict(r#"{"run_twice":1}"#, "`run_twice` is 1 instead of 0");
        verdict(
            r#"{"instances_left":2}"#,
            "`instances_left` is 2 instead of 0",
        );
        verdict(
            r#"{"doomed":9}"#,
            "10 containers were cancelled, but the faults doomed only 9",
        );
        verdict(
            r#"{"complete":189}"#,
            "of 200 containers 189 completed and 10 were cancelled",
        );
        verdict(r#"{"lost":null}"#, "its summary has no count `lost`");
    }
}
