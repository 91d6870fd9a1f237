//! Python packages that tests use, in places of their own below `.tools`: moto, a stand-in for EC2, and boto3; and
//! Microsoft's clients of Azure.

use std::fs;

use anyhow::{Context, Result, anyhow, bail};

use crate::{
    command::{command, execute, succeeds},
    tree::root,
};

/// An environment with packages in it.
struct Environment {
    /// Below the top of the tree; the tests look there as well.
    folder: &'static str,
    /// The packages, each with its version.
    packages: &'static str,
    /// Whatever Python can do this has them.
    trial: &'static str,
}

const EC2: Environment = Environment {
    folder: ".tools/moto",
    packages: "xtask/python-for-tests.txt",
    trial: "import boto3, flask, flask_cors, moto.server",
};

const AZURE: Environment = Environment {
    folder: ".tools/azure",
    packages: "xtask/python-for-azure.txt",
    trial: "import azure.mgmt.compute, azure.mgmt.network",
};

/// Whether this host has a Python that can keep packages apart.
pub(crate) fn present() -> bool {
    succeeds("python3", &["-c", "import ensurepip, venv"])
}

/// Sees to it that the packages are there, in their versions.
pub(crate) fn prepare() -> Result<()> {
    AZURE.prepare().map_err(|error| {
        anyhow!(
            "Microsoft's clients of Azure cannot be installed ({error:#}); the tests of the Azure driver need them: see \
             to it that pip reaches a package index"
        )
    })?;
    match EC2.prepare() {
        Ok(()) => Ok(()),
        // Other versions than ours may do.
        Err(error) if succeeds("python3", &["-c", EC2.trial]) => {
            println!(
                "    using this host's moto and boto3, since ours cannot be installed: {error:#}"
            );
            // Half of ours would be found first.
            fs::remove_dir_all(root().join(EC2.folder)).or_else(|error| match error.kind() {
                std::io::ErrorKind::NotFound => Ok(()),
                _ => Err(error),
            })?;
            Ok(())
        }
        Err(error) => bail!(
            "moto and boto3 cannot be installed ({error:#}); the tests of the EC2 driver need them: see to it that pip \
             reaches a package index, or install {} for python3 by hand",
            EC2.packages
        ),
    }
}

impl Environment {
    fn prepare(&self) -> Result<()> {
        let wanted = fs::read_to_string(root().join(self.packages)).context(self.packages)?;
        let folder = root().join(self.folder);
        let (python, stamp) = (folder.join("bin/python"), folder.join("installed.txt"));
        let found = fs::read_to_string(&stamp).unwrap_or_default();
        if found == wanted && succeeds(&python.to_string_lossy(), &["-c", self.trial]) {
            return Ok(());
        }
        execute(
            command("python3")
                .args(["-m", "venv", "--clear"])
                .arg(&folder),
        )?;
        let pip = [
            "-m",
            "pip",
            "install",
            "--quiet",
            "--requirement",
            self.packages,
        ];
        execute(command(&python).args(pip).args([
            "--disable-pip-version-check",
            "--retries",
            "3",
        ]))?;
        Ok(fs::write(stamp, wanted)?)
    }
}
