//! One `.deb`, made by dpkg's own tool from a tree of files.

use std::{
    fmt::Write as _,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use super::{
    Squeeze, Version, binaries,
    stage::{Package, Tree},
};
use crate::{
    command::{command, execute_quietly, output},
    tree::{maintainer, root},
};

/// Packs the tree.
pub(super) fn build(
    package: &Package,
    tree: &Tree,
    version: &Version,
    folder: &Path,
    squeeze: Squeeze,
) -> Result<PathBuf> {
    let control = tree.folder.join("DEBIAN");
    fs::create_dir_all(&control)?;
    // Whatever the rights that this user gives to new folders.
    execute_quietly(
        command("chmod")
            .args(["--recursive", "u=rwX,go=rX"])
            .arg(&tree.folder),
    )?;
    let libraries = binaries::libraries(std::slice::from_ref(&tree.program), &control)?;
    let architecture = output(command("dpkg").arg("--print-architecture"))?;
    let architecture = architecture.trim();
    let maintainer = maintainer()?;
    let text = control_file(
        package,
        &Control {
            libraries: &libraries,
            version: &version.debian(),
            architecture,
            maintainer: &maintainer,
            installed_kib: installed_kib(&tree.folder)?,
        },
    );
    write(&control, "control", &text, 0o644)?;
    if !package.conffiles.is_empty() {
        let lines: String = package
            .conffiles
            .iter()
            .map(|path| format!("{path}\n"))
            .collect();
        write(&control, "conffiles", &lines, 0o644)?;
    }
    for script in ["postinst", "prerm", "postrm"] {
        let path = root().join("packaging").join(package.own).join(script);
        if !package.own.is_empty() && path.exists() {
            write(&control, script, &fs::read_to_string(path)?, 0o755)?;
        }
    }
    write(&control, "md5sums", &checksums(&tree.folder)?, 0o644)?;
    let file = folder.join(format!(
        "{}_{}_{architecture}.deb",
        package.name,
        version.debian()
    ));
    let mut build = command("dpkg-deb");
    build.env("SOURCE_DATE_EPOCH", version.epoch_secs.to_string());
    build.args(match squeeze {
        Squeeze::Well => ["-Zxz", "-z6"],
        Squeeze::Quickly => ["-Zgzip", "-z1"],
    });
    build
        .args(["--root-owner-group", "--build"])
        .arg(&tree.folder)
        .arg(&file);
    execute_quietly(&mut build)?;
    fs::remove_dir_all(control)?;
    Ok(file)
}

/// What the control file says that is not written down with the package.
struct Control<'a> {
    libraries: &'a str,
    version: &'a str,
    architecture: &'a str,
    maintainer: &'a str,
    installed_kib: u64,
}

fn control_file(package: &Package, more: &Control<'_>) -> String {
    let Control {
        libraries,
        version,
        architecture,
        maintainer,
        installed_kib,
    } = more;
    let mut depends = package.depends.join(", ");
    if !depends.is_empty() {
        depends.push_str(", ");
    }
    let mut text = format!(
        "Package: {}\nVersion: {version}\nArchitecture: {architecture}\nSection: science\nPriority: optional\n\
         Maintainer: {maintainer}\nInstalled-Size: {installed_kib}\n\
         Depends: {depends}{libraries}\n{}Description: {}\n",
        package.name, package.fields, package.summary
    );
    for line in package.description.lines() {
        // Writing to a String cannot fail.
        let _ = writeln!(text, " {line}");
    }
    text
}

/// What it takes on the disk.
fn installed_kib(folder: &Path) -> Result<u64> {
    let mut du = command("du");
    let found = output(
        du.args(["--summarize", "--apparent-size", "--block-size=1K"])
            .arg(folder),
    )?;
    let first = found.split_whitespace().next();
    first
        .and_then(|number| number.parse().ok())
        .context("read what du says")
}

/// For `dpkg --verify`.
fn checksums(folder: &Path) -> Result<String> {
    output(command("sh").current_dir(folder).args([
        "-c",
        "find . -path ./DEBIAN -prune -o -path ./etc -prune -o -type f -printf '%P\\0' | sort -z | xargs -0 md5sum",
    ]))
}

fn write(folder: &Path, name: &str, text: &str, mode: u32) -> Result<()> {
    let path = folder.join(name);
    fs::write(&path, text)?;
    Ok(fs::set_permissions(
        &path,
        fs::Permissions::from_mode(mode),
    )?)
}

#[cfg(test)]
mod tests {
    use super::{super::stage::PACKAGES, *};
    use crate::tree::is_maintainer;

    #[test]
    fn the_workspace_names_a_maintainer_as_debian_writes_one() {
        let found = maintainer().expect("it is named");
        assert!(is_maintainer(&found), "{found}");
        for wrong in ["A. Body", "<a@b.org>", "A <a>", "A <a@b.org> B", ""] {
            assert!(!is_maintainer(wrong), "{wrong}");
        }
    }

    #[test]
    fn the_control_file_names_libraries_conflicts_and_version() {
        let text = control_file(
            &PACKAGES[0],
            &Control {
                libraries: "libc6 (>= 2.34)",
                version: "0.1.0+20261123031049.f3873f3",
                architecture: "amd64",
                maintainer: "A. Body <a.body@example.org>",
                installed_kib: 12_345,
            },
        );
        for line in [
            "Package: arvados-dispatch-cloud-rs",
            "Version: 0.1.0+20261123031049.f3873f3",
            "Installed-Size: 12345",
            "Depends: adduser, ca-certificates, libc6 (>= 2.34)",
            "Conflicts: arvados-dispatch-cloud",
            "Recommends: acl, openssh-client",
            "Maintainer: A. Body <a.body@example.org>",
            " running containers, and switch back. Takes the place of that package.",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
        assert!(!text.contains("\n\n"), "{text}");
    }
}
