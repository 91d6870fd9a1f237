//! The clouds whose SDKs take minutes and gigabytes to compile: built for tests and checks, not for the demo.

use std::{fs, path::PathBuf};

use anyhow::{Context, Result};

use crate::tree::target;

/// What to add to a cargo command over the whole workspace, so that each SDK is built once for all that need it.
pub(crate) const CARGO_ARGS: [&str; 2] = [
    "--features",
    "arvados-dispatch-cloud/azure,arvados-dispatch-cloud/cloud-tests,arvados-dispatch-cloud/ec2,dispatch-cloud-azure/microsoft-clients,dispatch-cloud-ec2/cloud-tests,dispatch-fuzz/sdk",
];

/// What to add instead for a build without them: the drivers that need no SDK, whatever is on by default.
pub(crate) const CARGO_ARGS_WITHOUT: [&str; 3] = [
    "--no-default-features",
    "--features",
    "arvados-dispatch-cloud/lab,arvados-dispatch-cloud/loopback",
];

/// Tells the drivers' tests where to leave their reports (crates/cloud-conformance).
pub(crate) const REPORTS_VARIABLE: &str = "DISPATCH_CONFORMANCE_REPORTS";

/// An empty folder for the reports of drivers.
pub(crate) fn fresh_reports() -> Result<PathBuf> {
    let folder = target().join("conformance");
    if folder.exists() {
        fs::remove_dir_all(&folder).context("remove the reports of the last run")?;
    }
    fs::create_dir_all(&folder).context("make a folder for the drivers' reports")?;
    Ok(folder)
}

/// Prints what the drivers' tests reported: how many checks passed on which cloud, and which cannot be shown there.
pub(crate) fn print_reports(folder: &PathBuf) -> Result<()> {
    let mut reports: Vec<PathBuf> = fs::read_dir(folder)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()?;
    reports.sort();
    for report in reports {
        print!("{}", fs::read_to_string(&report)?);
    }
    Ok(())
}
