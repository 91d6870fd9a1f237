//! The same files as in the packages for production, in one tarball, for hosts without dpkg.
//!
//! It has files alone, below one folder: to whoever unpacks it at `/`, an entry for a folder would change the rights of
//! `/usr`, or put a folder where the host has a link. It has nothing below `/etc`, where what is there is the operator's.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Result;

use super::{Squeeze, Version, stage};
use crate::command::{command, execute_quietly, output};

/// Packs the trees together; to be unpacked at `/` without the first part of each path.
pub(super) fn build(
    trees: &[stage::Tree],
    version: &Version,
    folder: &Path,
    squeeze: Squeeze,
) -> Result<PathBuf> {
    let architecture = output(command("dpkg").arg("--print-architecture"))?;
    let name = format!(
        "arvados-dispatch-cloud-rs-{}-{}",
        version.debian(),
        architecture.trim()
    );
    let whole = folder.join(stage::FOLDER).join(&name);
    fs::create_dir_all(&whole)?;
    for tree in trees {
        execute_quietly(
            command("cp")
                .args(["--recursive", "--link", "--preserve=mode"])
                .arg(tree.folder.join("."))
                .arg(&whole),
        )?;
    }
    fs::remove_dir_all(whole.join("etc"))?;
    let place = folder.join(stage::FOLDER);
    let listed = output(
        command("find")
            .current_dir(&place)
            .args([&name, "(", "-type", "f", "-o", "-type", "l", ")"]),
    )?;
    let list = place.join("files-of-the-tarball");
    fs::write(&list, listed)?;
    let level = match squeeze {
        Squeeze::Well => "-9",
        Squeeze::Quickly => "-1",
    };
    let file = folder.join(format!("{name}.tar.gz"));
    execute_quietly(
        command("tar")
            .arg("--create")
            .arg("--file")
            .arg(&file)
            .arg(format!("--use-compress-program=gzip --no-name {level}"))
            .args(["--sort=name", "--owner=0", "--group=0", "--numeric-owner"])
            .arg(format!("--mtime=@{}", version.epoch_secs))
            .arg("--directory")
            .arg(&place)
            .arg("--files-from")
            .arg(&list),
    )?;
    Ok(file)
}
