//! From another dispatcher's package and back, and the tarball: what `docs/migration.md` and `docs/install-ec2.md` say.

use std::{collections::BTreeSet, fs, os::unix::fs::PermissionsExt, path::Path};

use anyhow::{Context, Result, ensure};

use super::{Checks, life::install, package, page, root::Root};
use crate::{
    command::{command, execute_quietly, output},
    dist::Made,
};

/// The name that the Go dispatcher's package and program have.
const OTHER: &str = "arvados-dispatch-cloud";
const OURS: &str = "arvados-dispatch-cloud-rs";
/// What ours leaves of itself for the next time.
const SETTINGS: &str = "/etc/default/arvados-dispatch-cloud";
const UNIT: &str = "/lib/systemd/system/arvados-dispatch-cloud.service";
/// Where the other's script writes that it stopped its service.
const STOPPED: &str = "/root/the-other-was-stopped";

/// In a root that has none of our packages.
pub(super) fn check(root: &Root, made: &Made, scratch: &Path) -> Result<u64> {
    let mut checks = Checks::default();
    let other = other_package(scratch)?;
    root.put(&other, "/root/other.deb")?;
    checks.that(
        "beside the Go dispatcher the program is tried out of its package, and the Go dispatcher runs on",
        try_out(root, made),
    )?;
    checks.that(
        "installing ours ends the Go dispatcher's service and takes its place",
        apt_install(root, "/root/other.deb")
            .and_then(|()| install(root, made))
            .and_then(|()| is_ours(root))
            .and_then(|()| was_stopped(root)),
    )?;
    checks.that(
        "installing the other's package again is the way back, and settings stay",
        apt_install(root, "/root/other.deb").and_then(|()| {
            is_other(root)?;
            ensure!(root.path(SETTINGS).exists(), "the settings are gone");
            Ok(())
        }),
    )?;
    checks.that(
        "by dpkg alone it is the same, and no file of ours goes with the other's",
        {
            root.put(package(made, OURS)?, "/root/ours.deb")?;
            execute_quietly(root.command("dpkg").args([
                "--auto-deconfigure",
                "--install",
                "/root/ours.deb",
            ]))
            .and_then(|()| is_ours(root))
        },
    )?;
    execute_quietly(root.command("dpkg").args([
        "--purge",
        OURS,
        "arvados-dispatch-ctl",
        "arvados-dispatch-lab",
        OTHER,
    ]))?;
    checks.that(
        "the tarball, unpacked as the book says, brings the programs and changes nothing else of the host",
        tarball(root, made),
    )?;
    Ok(checks.0)
}

/// A package like the Go dispatcher's: program, unit, and a script that stops the service.
fn other_package(scratch: &Path) -> Result<std::path::PathBuf> {
    let tree = scratch.join("other");
    let write = |path: &str, text: &str, mode: u32| -> Result<()> {
        let path = tree.join(path.trim_start_matches('/'));
        fs::create_dir_all(path.parent().context("a folder")?)?;
        fs::write(&path, text)?;
        Ok(fs::set_permissions(
            &path,
            fs::Permissions::from_mode(mode),
        )?)
    };
    write(
        "DEBIAN/control",
        &format!(
            "Package: {OTHER}\nVersion: 3.2.1-1\nArchitecture: all\nMaintainer: Another <another@example.org>\n\
             Description: stands for the Go dispatcher\n"
        ),
        0o644,
    )?;
    write(
        "DEBIAN/prerm",
        &format!("#!/bin/sh\necho \"$@\" >>{STOPPED}\n"),
        0o755,
    )?;
    write(
        "/usr/bin/arvados-dispatch-cloud",
        "#!/bin/sh\necho another\n",
        0o755,
    )?;
    write(UNIT, "[Service]\nExecStart=/usr/bin/another\n", 0o644)?;
    let file = scratch.join("other.deb");
    execute_quietly(
        command("dpkg-deb")
            .args(["--root-owner-group", "--build"])
            .arg(&tree)
            .arg(&file),
    )?;
    Ok(file)
}

fn apt_install(root: &Root, file: &str) -> Result<()> {
    execute_quietly(root.command("apt-get").args([
        "install",
        "--yes",
        "-o",
        "Dpkg::Options::=--force-confold",
        file,
    ]))
}

/// Step 1 of the page.
fn try_out(root: &Root, made: &Made) -> Result<()> {
    apt_install(root, "/root/other.deb")?;
    let file = package(made, OURS)?;
    let name = file.file_name().context("a file name")?.to_string_lossy();
    root.put(file, &format!("/root/{name}"))?;
    let extract = page::command("docs/migration.md", "dpkg-deb ")?;
    let run = page::command("docs/migration.md", "/tmp/")?;
    execute_quietly(
        root.command("sh")
            .args(["-c", &format!("cd /root; {extract}")]),
    )?;
    fs::create_dir_all(root.path("/etc/arvados"))?;
    fs::write(
        root.path("/etc/arvados/config.yml"),
        "Clusters: {zzzzz: {}}\n",
    )?;
    let said = root.command("sh").args(["-c", &run]).output()?;
    let said = String::from_utf8_lossy(&said.stdout);
    // It has much to say about so short a configuration.
    ensure!(said.contains("SystemRootToken"), "it said: {said}");
    fs::remove_file(root.path("/etc/arvados/config.yml"))?;
    fs::remove_file(root.path(&format!("/root/{name}")))?;
    is_other(root)?;
    ensure!(!root.path(STOPPED).exists(), "its service was stopped");
    Ok(())
}

fn is_other(root: &Root) -> Result<()> {
    let said = output(&mut root.command(OTHER))?;
    ensure!(said.trim() == "another", "it is not the other: {said}");
    let unit = fs::read_to_string(root.path(UNIT)).context("its unit")?;
    ensure!(unit.contains("/usr/bin/another"), "{unit}");
    is_installed(root, OTHER, true)?;
    is_installed(root, OURS, false)
}

fn is_ours(root: &Root) -> Result<()> {
    let said = output(root.command(OTHER).arg("--version"))?;
    ensure!(said.starts_with(OTHER), "it is not ours: {said}");
    let unit = fs::read_to_string(root.path("/usr").join(UNIT.trim_start_matches('/')))
        .context("the unit is gone")?;
    ensure!(unit.contains("Type=notify"), "{unit}");
    is_installed(root, OTHER, false)?;
    is_installed(root, OURS, true)
}

fn is_installed(root: &Root, name: &str, wanted: bool) -> Result<()> {
    let mut query = root.command("dpkg-query");
    let found = query
        .args(["--show", "--showformat", "${db:Status-Status}", name])
        .output()?;
    let found = String::from_utf8_lossy(&found.stdout).into_owned();
    ensure!((found == "installed") == wanted, "{name} is {found:?}");
    Ok(())
}

fn was_stopped(root: &Root) -> Result<()> {
    let said = fs::read_to_string(root.path(STOPPED)).context("its script was not called")?;
    ensure!(said.contains("remove"), "{said}");
    Ok(fs::remove_file(root.path(STOPPED))?)
}

fn tarball(root: &Root, made: &Made) -> Result<()> {
    let name = made.tarball.file_name().context("a file name")?;
    root.put(&made.tarball, &format!("/root/{}", name.to_string_lossy()))?;
    let link = fs::read_link(root.path("/lib"));
    ensure!(
        link.as_deref().is_ok_and(|to| to == Path::new("usr/lib")),
        "the clean root must have the link /lib for this, and has {link:?}"
    );
    let before = root.files()?;
    let rights = rights_of_folders(root)?;
    let unpack = page::command("docs/install-ec2.md", "tar ")?;
    execute_quietly(
        root.command("sh")
            .args(["-c", &format!("cd /root; {unpack}")]),
    )?;
    ensure!(
        fs::read_link(root.path("/lib"))? == Path::new("usr/lib"),
        "/lib is no link any more"
    );
    ensure!(
        rights_of_folders(root)? == rights,
        "the rights of folders are others than before"
    );
    let added: BTreeSet<String> = root.files()?.difference(&before).cloned().collect();
    for path in [
        "usr/bin/arvados-dispatch-cloud",
        "usr/bin/arvados-dispatch-ctl",
        "usr/lib/systemd/system/arvados-dispatch-cloud.service",
    ] {
        ensure!(added.contains(path), "{path} is missing");
    }
    let odd = added
        .iter()
        .find(|path| !path.starts_with("usr/") || path.contains("arvados-dispatch-lab"));
    ensure!(odd.is_none(), "it also brings {odd:?}");
    for program in ["arvados-dispatch-cloud", "arvados-dispatch-ctl"] {
        let said = output(root.command(program).arg("--version"))?;
        ensure!(said.starts_with(program), "{said}");
    }
    Ok(())
}

/// Rights and owners of the folders that every host has.
fn rights_of_folders(root: &Root) -> Result<String> {
    output(root.command("stat").args([
        "--format=%a %u %g %n",
        "/",
        "/etc",
        "/usr",
        "/usr/bin",
        "/usr/lib",
        "/usr/share",
        "/usr/share/doc",
        "/usr/lib/systemd/system",
    ]))
}
