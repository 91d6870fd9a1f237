//! What can be said of packages without installing them: the unit, the scripts, the checksums.

use std::{fs, path::Path};

use anyhow::{Context, Result, ensure};

use super::{Checks, as_service, package, unit::Unit};
use crate::{
    command::{command, execute_quietly, output},
    dist::Made,
    tree::{self, is_maintainer},
};

/// The exposure that `systemd-analyze security` may find, in tenths: it has the network and files to read, that is all.
const EXPOSURE_MAX_TENTHS: &str = "15";

const UNIT: &str = "arvados-dispatch-cloud.service";

pub(super) fn check(made: &Made) -> Result<u64> {
    let mut checks = Checks::default();
    let folder = made.tarball.with_file_name("unpacked");
    let daemon = package(made, "arvados-dispatch-cloud-rs")?;
    execute_quietly(
        command("dpkg-deb")
            .arg("--raw-extract")
            .arg(daemon)
            .arg(&folder),
    )?;
    checks.that(
        "the unit notifies, restarts and takes variables as Arvados' services do",
        as_arvados(&folder),
    )?;
    checks.that(
        "what the book says to try an account out with is the same service",
        as_service::is_like(&unit(&folder)?),
    )?;
    checks.that("systemd-analyze verify finds nothing", verify(&folder, ""))?;
    checks.that("its exposure is at most 1.5 of 10", exposure(&folder))?;
    checks.that("with the drop-in for loopback as well", {
        let drop_in = fs::read_to_string(
            folder.join("usr/share/doc/arvados-dispatch-cloud-rs/examples/loopback.conf"),
        )?;
        verify(&folder, &drop_in)
    })?;
    checks.that("the scripts are scripts", {
        let names = ["postinst", "prerm", "postrm"];
        names.iter().try_for_each(|name| {
            execute_quietly(
                command("sh")
                    .arg("-n")
                    .arg(folder.join("DEBIAN").join(name)),
            )
        })
    })?;
    checks.that("the checksums are those of the files", {
        let place = made.tarball.parent().context("a folder")?;
        execute_quietly(command("sha256sum").current_dir(place).args([
            "--check",
            "--strict",
            "SHA256SUMS",
        ]))
    })?;
    checks.that("the control file names who answers for the package", {
        let maintainer = output(
            command("dpkg-deb")
                .arg("--field")
                .arg(daemon)
                .arg("Maintainer"),
        )?;
        ensure!(
            is_maintainer(maintainer.trim()) && maintainer.trim() == tree::maintainer()?,
            "{maintainer}"
        );
        Ok(())
    })?;
    fs::remove_dir_all(folder)?;
    Ok(checks.0)
}

fn unit(folder: &Path) -> Result<Unit> {
    let path = folder.join("usr/lib/systemd/system").join(UNIT);
    Ok(Unit::parse(&fs::read_to_string(path)?))
}

/// As the facts have it (facts §2.6, E23).
fn as_arvados(folder: &Path) -> Result<()> {
    let unit = unit(folder)?;
    for (key, wanted) in [
        ("Type", "notify"),
        ("Restart", "always"),
        ("RestartSec", "1"),
        ("RestartPreventExitStatus", "2"),
    ] {
        ensure!(
            unit.last(key) == Some(wanted),
            "{key} is {:?}",
            unit.last(key)
        );
    }
    ensure!(
        unit.all("EnvironmentFile")
            .contains(&"-/etc/arvados/environment"),
        "the file of variables is not read"
    );
    let environment = unit.environment(|_| None)?;
    for name in ["AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"] {
        ensure!(
            environment
                .get(name)
                .is_some_and(|value| value == "/dev/null"),
            "{name} may take over"
        );
    }
    Ok(())
}

/// The unit with a drop-in, in a root of its own.
fn verify(folder: &Path, drop_in: &str) -> Result<()> {
    let place = folder.join("usr/lib/systemd/system");
    let more = place.join(format!("{UNIT}.d"));
    if !drop_in.is_empty() {
        fs::create_dir_all(&more)?;
        fs::write(more.join("loopback.conf"), drop_in)?;
    }
    // ExecReload's program must exist there.
    fs::create_dir_all(folder.join("bin"))?;
    fs::copy("/bin/kill", folder.join("bin/kill"))?;
    let said = command("systemd-analyze")
        .arg(format!("--root={}", folder.display()))
        .args(["--man=no", "--recursive-errors=no", "verify", UNIT])
        .output()
        .context("start systemd-analyze")?;
    let text = String::from_utf8_lossy(&said.stderr);
    // It warns of mistakes in keys without failing.
    ensure!(
        said.status.success() && !text.contains(UNIT) && !text.contains("loopback.conf"),
        "{text}"
    );
    Ok(())
}

fn exposure(folder: &Path) -> Result<()> {
    execute_quietly(
        command("systemd-analyze")
            .args(["security", "--offline=true", "--no-pager"])
            .arg(format!("--threshold={EXPOSURE_MAX_TENTHS}"))
            .arg(folder.join("usr/lib/systemd/system").join(UNIT)),
    )
}
