//! The tree itself: where it is, its files, its packages.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::LazyLock,
};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::command::{cargo, command, output};

/// The top of the tree.
pub(crate) fn root() -> &'static Path {
    static ROOT: LazyLock<PathBuf> = LazyLock::new(|| {
        let own = std::env::var_os("CARGO_MANIFEST_DIR")
            .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
        own.parent().map_or(own.clone(), Path::to_path_buf)
    });
    &ROOT
}

/// Where cargo puts what it builds.
pub(crate) fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| root().join("target"), |dir| root().join(dir))
}

/// What cargo knows of the workspace and its packages.
fn metadata() -> Result<Value> {
    let metadata = output(&mut cargo([
        "metadata",
        "--no-deps",
        "--format-version",
        "1",
    ]))?;
    serde_json::from_str(&metadata).context("read cargo's metadata")
}

/// The version of the workspace.
pub(crate) fn packages_version() -> Result<String> {
    let metadata = metadata()?;
    let packages = metadata["packages"].as_array();
    let version = packages.and_then(|packages| packages.first()?["version"].as_str());
    version
        .map(str::to_owned)
        .context("cargo's metadata names no version")
}

/// Who is named in packages: `workspace.metadata.packages.maintainer` of the root `Cargo.toml`.
pub(crate) fn maintainer() -> Result<String> {
    let metadata = metadata()?;
    let named = metadata["metadata"]["packages"]["maintainer"].as_str();
    let named = named.context("Cargo.toml names no workspace.metadata.packages.maintainer")?;
    ensure!(
        is_maintainer(named),
        "workspace.metadata.packages.maintainer is {named:?}: write it as `Name <user@host>`"
    );
    Ok(named.to_owned())
}

/// Whether it is as Debian writes people: `Name <user@host>`.
pub(crate) fn is_maintainer(text: &str) -> bool {
    text.strip_suffix('>')
        .and_then(|text| text.split_once(" <"))
        .is_some_and(|(name, address)| {
            !name.trim().is_empty() && !address.contains(['<', '>', ' ']) && address.contains('@')
        })
}

/// One text file of the tree.
pub(crate) struct SourceFile {
    /// Relative to the top, with `/`.
    pub(crate) path: String,
    pub(crate) text: String,
}

/// All text files that git tracks or would track, in order.
pub(crate) fn files() -> Result<Vec<SourceFile>> {
    let listed = output(command("git").args([
        "ls-files",
        "--cached",
        "--others",
        "--exclude-standard",
        "-z",
    ]))
    .context("list the files of the tree (tidy needs a git clone)")?;
    let mut paths: Vec<&str> = listed.split('\0').filter(|path| !path.is_empty()).collect();
    paths.sort_unstable();
    paths.dedup();
    let mut files = vec![];
    for path in paths {
        let full = root().join(path);
        // Links show the file they point to, which is listed itself; a deleted file is still in the index.
        if !full
            .symlink_metadata()
            .is_ok_and(|metadata| metadata.is_file())
        {
            continue;
        }
        let bytes = fs::read(&full).with_context(|| format!("read {path}"))?;
        if let Ok(text) = String::from_utf8(bytes) {
            files.push(SourceFile {
                path: path.into(),
                text,
            });
        }
    }
    Ok(files)
}

/// A member of the workspace.
pub(crate) struct Package {
    pub(crate) name: String,
    /// Its folder, relative to the top: `crates/model`.
    pub(crate) folder: String,
    /// Other members it is built with, in ordinary (not test) builds.
    pub(crate) uses: Vec<String>,
    /// Names of its binaries.
    pub(crate) binaries: Vec<String>,
}

/// All members of the workspace.
pub(crate) fn packages() -> Result<Vec<Package>> {
    let metadata = metadata()?;
    let packages = metadata["packages"]
        .as_array()
        .context("cargo's metadata lists no packages")?;
    Ok(packages.iter().map(package).collect())
}

fn package(package: &Value) -> Package {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let list = |key: &str| package[key].as_array().cloned().unwrap_or_default();
    let manifest = PathBuf::from(text(&package["manifest_path"]));
    let folder = manifest
        .parent()
        .and_then(|folder| folder.strip_prefix(root()).ok())
        .unwrap_or(Path::new(""));
    Package {
        name: text(&package["name"]),
        folder: folder.display().to_string(),
        uses: list("dependencies")
            .iter()
            .filter(|dependency| dependency["path"].is_string() && dependency["kind"].is_null())
            .map(|dependency| text(&dependency["name"]))
            .collect(),
        binaries: list("targets")
            .iter()
            .filter(|target| {
                target["kind"]
                    .as_array()
                    .is_some_and(|kinds| kinds.iter().any(|kind| kind == "bin"))
            })
            .map(|target| text(&target["name"]))
            .collect(),
    }
}

/// Whether the workspace has this package with this binary.
pub(crate) fn has_binary(package: &str, binary: &str) -> Result<bool> {
    Ok(packages()?
        .iter()
        .any(|found| found.name == package && found.binaries.iter().any(|name| name == binary)))
}
