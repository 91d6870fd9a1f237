//! `dist`: the packages that operators install, and a tarball of the same, with checksums.

mod binaries;
mod deb;
mod licences;
mod pages;
mod stage;
mod tarball;
mod version;

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use crate::{
    book,
    command::{command, output},
    setup::{self, OpenSsl, Purpose},
    step::step,
    tree::{maintainer, root},
};

pub(crate) use binaries::Binaries;
pub(crate) use version::Version;

/// What to build.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Where to put packages, tarball and checksums.
    #[arg(long, value_name = "FOLDER", default_value = "target/dist")]
    output: PathBuf,
    /// Build unoptimised programs, which takes less time: to try packages out, not to install them in earnest.
    #[arg(long)]
    quick: bool,
    /// Leave out the drivers whose cloud's SDK takes minutes to compile.
    #[arg(long)]
    no_sdk: bool,
}

/// What came of it.
pub(crate) struct Made {
    /// The packages, daemon first.
    pub(crate) packages: Vec<PathBuf>,
    /// The tarball.
    pub(crate) tarball: PathBuf,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let open_ssl = setup::run_for(Purpose::Dist)?;
    let version = Version::of_tree()?;
    let binaries = step("build", || {
        if args.quick {
            Binaries::quick(open_ssl, !args.no_sdk)
        } else {
            Binaries::release(open_ssl, !args.no_sdk, &version)
        }
    })?;
    let output = root().join(&args.output);
    let made = step("pack", || make(&binaries, &version, &output, Squeeze::Well))?;
    for path in made.packages.iter().chain([&made.tarball]) {
        let bytes = fs::metadata(path)?.len();
        println!("{} ({} KiB)", path.display(), bytes / 1024);
    }
    println!("{}", output.join(CHECKSUMS).display());
    let maintainer = maintainer()?;
    if maintainer.ends_with(".invalid>") {
        println!(
            "Their maintainer is {maintainer}, whom no mail reaches: before you publish them, name yourself in \
             Cargo.toml (workspace.metadata.packages)."
        );
    }
    Ok(())
}

const CHECKSUMS: &str = "SHA256SUMS";

/// How much time to spend on making packages small.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Squeeze {
    /// For those that are kept.
    Well,
    /// For those that are installed once, here.
    Quickly,
}

/// Packs these programs into an empty folder.
pub(crate) fn make(
    binaries: &Binaries,
    version: &Version,
    folder: &Path,
    squeeze: Squeeze,
) -> Result<Made> {
    if folder.exists() {
        fs::remove_dir_all(folder).with_context(|| format!("empty {}", folder.display()))?;
    }
    let shared = Shared::gather(folder, version, binaries.open_ssl)?;
    let mut packages = vec![];
    let mut trees = vec![];
    for package in &stage::PACKAGES {
        let tree = stage::stage(package, binaries, &shared, folder)?;
        packages.push(deb::build(package, &tree, version, folder, squeeze)?);
        if package.in_tarball {
            trees.push(tree);
        }
    }
    let tarball = tarball::build(&trees, version, folder, squeeze)?;
    let mut names: Vec<&Path> = packages.iter().map(PathBuf::as_path).collect();
    names.push(&tarball);
    let names: Vec<_> = names.iter().filter_map(|path| path.file_name()).collect();
    let sums = output(command("sha256sum").current_dir(folder).args(names))?;
    fs::write(folder.join(CHECKSUMS), sums)?;
    fs::remove_dir_all(folder.join(stage::FOLDER))?;
    Ok(Made { packages, tarball })
}

/// What several packages have.
struct Shared {
    /// Man pages and completions, by program.
    pages: PathBuf,
    /// The book as built.
    book: PathBuf,
    /// The licences of everything linked.
    licences: String,
}

impl Shared {
    fn gather(folder: &Path, version: &Version, open_ssl: OpenSsl) -> Result<Shared> {
        let pages = folder.join(stage::FOLDER).join("pages");
        pages::write(&pages, version)?;
        Ok(Shared {
            pages,
            book: book::build()?,
            licences: licences::gather(open_ssl)?,
        })
    }
}
