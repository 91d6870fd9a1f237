//! `packages`: installs what `dist` builds in a clean root, runs it as systemd would, upgrades it and removes it; then
//! does what the book's quick start says, block by block.

mod as_service;
mod change_over;
mod cluster;
mod life;
mod page;
mod quick_start;
mod root;
mod service;
mod unit;
mod verify;
mod wait;

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};

use crate::{
    command::{command, execute_quietly, output},
    dist::{self, Binaries, Made, Squeeze, Version},
    setup::{self, OpenSsl, Purpose},
    step::step,
    tree::target,
};

use root::Root;

/// What to test.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Leave out what needs a cloud's SDK: then the quick start, which is about EC2, is left out as well.
    #[arg(long)]
    no_sdk: bool,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let open_ssl = setup::run_for(Purpose::Test)?;
    let passed = test(open_ssl, !args.no_sdk)?;
    println!("total: {passed} passed");
    Ok(())
}

/// Does all of it, with programs as the tests build them (unoptimised, the features of the tests), and tells how many
/// checks passed.
pub(crate) fn test(open_ssl: OpenSsl, with_sdk: bool) -> Result<u64> {
    if output(command("id").arg("-u"))?.trim() != "0" {
        bail!("the packages' test installs into a root of its own and needs to be root for that");
    }
    let binaries = step("build packages", || Binaries::quick(open_ssl, with_sdk))?;
    let version = Version::of_tree()?;
    let folder = target().join("packages");
    let made = step("pack", || {
        dist::make(&binaries, &version, &folder.join("first"), Squeeze::Quickly)
    })?;
    let later = step("pack a later version", || {
        later(&made, &folder.join("later"))
    })?;
    let mut passed = 0;
    passed += step("packages: unit", || verify::check(&made))?;
    passed += step("packages: install, run, upgrade, remove", || {
        let root = Root::new(&folder.join("root"), &made)?;
        life::check(&root, &made, &later)
    })?;
    passed += step("packages: from the Go dispatcher and back; tarball", || {
        let root = Root::new(&folder.join("root"), &made)?;
        change_over::check(&root, &made, &folder)
    })?;
    if with_sdk {
        passed += step("packages: quick start", || {
            let root = Root::new(&folder.join("root"), &made)?;
            quick_start::check(&root, &made)
        })?;
    } else {
        println!("    the quick start is left out: it is about EC2");
    }
    fs::remove_dir_all(&folder).context("remove the packages of the test")?;
    Ok(passed)
}

/// The same packages with a later version, to upgrade to.
fn later(made: &Made, folder: &Path) -> Result<Made> {
    let mut packages = vec![];
    for package in &made.packages {
        let name = package.file_name().context("a package is a file")?;
        let (tree, file) = (folder.join("tree"), folder.join(name));
        fs::create_dir_all(folder)?;
        execute_quietly(
            command("dpkg-deb")
                .arg("--raw-extract")
                .arg(package)
                .arg(&tree),
        )?;
        let control = tree.join("DEBIAN/control");
        let text = fs::read_to_string(&control)?.replace("\nVersion: ", "\nVersion: 1:");
        fs::write(&control, text)?;
        let mut build = command("dpkg-deb");
        build.args(["-Zgzip", "-z1", "--root-owner-group", "--build"]);
        execute_quietly(build.arg(&tree).arg(&file))?;
        fs::remove_dir_all(tree)?;
        packages.push(file);
    }
    Ok(Made {
        packages,
        tarball: made.tarball.clone(),
    })
}

/// The package whose name begins so.
fn package<'a>(made: &'a Made, name: &str) -> Result<&'a PathBuf> {
    let found = made.packages.iter().find(|path| {
        path.file_name()
            .is_some_and(|file| file.to_string_lossy().starts_with(&format!("{name}_")))
    });
    found.with_context(|| format!("there is no package {name}"))
}

/// Says that a check passed, and counts it.
#[derive(Default)]
struct Checks(u64);

impl Checks {
    fn that(&mut self, what: &str, holds: Result<()>) -> Result<()> {
        holds.with_context(|| what.to_owned())?;
        self.0 += 1;
        println!("    ok  {what}");
        Ok(())
    }
}
