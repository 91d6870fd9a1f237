//! Python packages that tests use, in a place of their own below `.tools`: moto, a stand-in for EC2, and boto3.

use std::fs;

use anyhow::{Context, Result, bail};

use crate::{
    command::{command, execute, succeeds},
    tree::root,
};

/// Below the top of the tree; the tests of the EC2 driver look there as well.
const FOLDER: &str = ".tools/moto";
/// The packages, each with its version.
const PACKAGES: &str = "xtask/python-for-tests.txt";
/// Whatever Python has these can play moto and run boto3.
const TRIAL: &str = "import boto3, flask, flask_cors, moto.server";

/// Whether this host has a Python that can keep packages apart.
pub(crate) fn present() -> bool {
    succeeds("python3", &["-c", "import ensurepip, venv"])
}

/// Sees to it that the packages are there, in their versions.
pub(crate) fn prepare() -> Result<()> {
    let wanted = fs::read_to_string(root().join(PACKAGES)).context(PACKAGES)?;
    let folder = root().join(FOLDER);
    let (python, stamp) = (folder.join("bin/python"), folder.join("installed.txt"));
    let found = fs::read_to_string(&stamp).unwrap_or_default();
    if found == wanted && succeeds(&python.to_string_lossy(), &["-c", TRIAL]) {
        return Ok(());
    }
    let installed = execute(
        command("python3")
            .args(["-m", "venv", "--clear"])
            .arg(&folder),
    )
    .and_then(|()| {
        let pip = ["-m", "pip", "install", "--quiet", "--requirement", PACKAGES];
        execute(
            command(&python)
                .args(pip)
                .args(["--disable-pip-version-check", "--retries", "3"]),
        )
    });
    match installed {
        Ok(()) => Ok(fs::write(stamp, wanted)?),
        // Other versions than ours may do.
        Err(error) if succeeds("python3", &["-c", TRIAL]) => {
            println!(
                "    using this host's moto and boto3, since ours cannot be installed: {error:#}"
            );
            // Half of ours would be found first.
            fs::remove_dir_all(&folder).or_else(|error| match error.kind() {
                std::io::ErrorKind::NotFound => Ok(()),
                _ => Err(error),
            })?;
            Ok(())
        }
        Err(error) => bail!(
            "moto and boto3 cannot be installed ({error:#}); the tests of the EC2 driver need them: see to it that pip \
             reaches a package index, or install {PACKAGES} for python3 by hand"
        ),
    }
}
