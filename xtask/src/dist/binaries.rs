//! The programs that go into packages, and the libraries of the system that they need.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use super::Version;
use crate::{
    clouds,
    command::{cargo, command, execute, output},
    setup::OpenSsl,
    tree::target,
};

/// What a package of the daemon has in it: every driver.
const DRIVERS: &str = "arvados-dispatch-cloud/ec2,arvados-dispatch-cloud/azure";

/// Built programs.
pub(crate) struct Binaries {
    folder: PathBuf,
    /// Where their OpenSSL comes from.
    pub(super) open_ssl: OpenSsl,
}

impl Binaries {
    /// As operators get them.
    pub(crate) fn release(
        open_ssl: OpenSsl,
        with_sdk: bool,
        version: &Version,
    ) -> Result<Binaries> {
        let mut build = cargo(["build", "--release"]);
        for package in [
            "arvados-dispatch-cloud",
            "arvados-dispatch-ctl",
            "arvados-dispatch-lab",
        ] {
            build.args(["--package", package]);
        }
        if open_ssl == OpenSsl::Vendored {
            build.args(["--package", "dispatch-ssh-executor"]);
        }
        build.args(open_ssl.cargo_args());
        if with_sdk {
            build.args(["--features", DRIVERS]);
        } else {
            build.args(clouds::CARGO_ARGS_WITHOUT);
        }
        build.env("DISPATCH_BUILD", version.text());
        execute(&mut build)?;
        Ok(Binaries {
            folder: target().join("release"),
            open_ssl,
        })
    }

    /// Unoptimised, with the features that the tests are built with: after a run of all tests this is next to no work.
    /// They say that they are a development build.
    pub(crate) fn quick(open_ssl: OpenSsl, with_sdk: bool) -> Result<Binaries> {
        let mut build = cargo(["build", "--workspace", "--bins"]);
        build.args(open_ssl.cargo_args());
        if with_sdk {
            build.args(clouds::CARGO_ARGS);
        } else {
            build.args(clouds::CARGO_ARGS_WITHOUT);
        }
        execute(&mut build)?;
        Ok(Binaries {
            folder: target().join("debug"),
            open_ssl,
        })
    }

    /// Puts a program there, without what only a debugger reads.
    pub(crate) fn install(&self, name: &str, destination: &Path) -> Result<()> {
        let source = self.folder.join(name);
        let mut strip = command("strip");
        strip.arg("-o").arg(destination).arg(&source);
        execute(&mut strip)
    }
}

/// Debian's packages, with their least versions, that these programs need: `libc6 (>= 2.34), …`.
pub(crate) fn libraries(programs: &[PathBuf], scratch: &Path) -> Result<String> {
    // It reads the control file of a source package, of which the name is enough.
    fs::create_dir_all(scratch.join("debian"))?;
    fs::write(scratch.join("debian/control"), "Source: programs\n")?;
    let mut shlibdeps = command("dpkg-shlibdeps");
    shlibdeps.current_dir(scratch).arg("-O").args(programs);
    let found = output(&mut shlibdeps)?;
    fs::remove_dir_all(scratch.join("debian"))?;
    let line = found.lines().find_map(|line| {
        line.strip_prefix("shlibs:Depends=")
            .map(|rest| rest.trim().to_owned())
    });
    line.context("dpkg-shlibdeps found no library that the programs need")
}
