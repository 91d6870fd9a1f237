//! The files that `serve` writes: never over one that somebody else wrote.

use std::{fs, io::ErrorKind, path::Path};

use anyhow::{Context, bail};

/// How the first line of every file of ours begins.
pub(crate) const MARK: &str = "# Written by arvados-dispatch-lab.";

/// Fails if there is something else than a file of ours; `option` is how another one is named.
pub(crate) fn check(path: &Path, option: &str, overwrite: bool) -> anyhow::Result<()> {
    if overwrite {
        return Ok(());
    }
    // Devices and pipes have nothing to lose.
    match fs::metadata(path) {
        Ok(found) if found.is_file() && found.len() > 0 => {}
        // What else is in the way, writing tells.
        _ => return Ok(()),
    }
    let content = fs::read(path).with_context(|| {
        format!(
            "cannot see whose file {} is; name another file with {option}",
            path.display()
        )
    })?;
    if !content.starts_with(MARK.as_bytes()) {
        bail!(
            "{} is there, and this program did not write it: name another file with {option}, or let it be replaced \
             with --overwrite",
            path.display()
        );
    }
    Ok(())
}

/// Writes it, with our mark in its first line.
pub(crate) fn write(
    path: &Path,
    option: &str,
    overwrite: bool,
    content: &str,
) -> anyhow::Result<()> {
    // Once more: starting the lab takes a while.
    check(path, option, overwrite)?;
    let written = fs::write(path, with_mark(content));
    written.with_context(|| {
        format!(
            "cannot write {}; name another file with {option}",
            path.display()
        )
    })
}

/// Removes a file of ours that is left of an earlier time, so that whoever waits for it does not take it for a new one.
pub(crate) fn remove(path: &Path, option: &str, overwrite: bool) -> anyhow::Result<()> {
    check(path, option, overwrite)?;
    match fs::metadata(path) {
        Ok(found) if found.is_file() => {}
        _ => return Ok(()),
    }
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot replace {}", path.display()))
        }
        _ => Ok(()),
    }
}

fn with_mark(content: &str) -> String {
    if content.starts_with(MARK) {
        content.to_owned()
    } else {
        format!("{MARK}\n{content}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_somebody_else_stays_as_it_is_unless_the_user_says_otherwise() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("config.yml");
        for theirs in [
            "Clusters:\n  zzzzz: {}\n",
            "# Written by arvados-dispatch-laboratory\n",
            "\n",
        ] {
            fs::write(&path, theirs).expect("written");
            for attempt in [
                write(&path, "--config", false, "Clusters: {}\n"),
                remove(&path, "--config", false),
            ] {
                let error = attempt.expect_err("it is not ours").to_string();
                for word in ["config.yml", "--config", "--overwrite"] {
                    assert!(error.contains(word), "{error}");
                }
            }
            assert_eq!(fs::read_to_string(&path).expect("there"), theirs);
        }
        write(&path, "--config", true, "Clusters: {}\n").expect("told to");
        assert!(fs::read_to_string(&path).expect("there").starts_with(MARK));
    }

    #[test]
    fn our_own_files_empty_ones_and_devices_are_written_over() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("environment");
        fs::write(&path, "").expect("made");
        for content in ["A=1\n", "A=2\n"] {
            write(&path, "--environment", false, content).expect("ours");
            assert_eq!(
                fs::read_to_string(&path).expect("there"),
                format!("{MARK}\n{content}")
            );
        }
        remove(&path, "--environment", false).expect("ours");
        assert!(!path.exists());
        remove(&path, "--environment", false).expect("gone already");
        write(Path::new("/dev/null"), "--environment", false, "A=1\n").expect("a device");
        remove(Path::new("/dev/null"), "--environment", false).expect("a device stays");
    }
}
