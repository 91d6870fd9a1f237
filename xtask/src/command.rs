//! Runs other programs, says which, and fails with their name and status.

use std::{
    ffi::OsStr,
    io::{BufRead, BufReader},
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};

use crate::tree::root;

/// A program started at the top of the tree.
pub(crate) fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.current_dir(root());
    command
}

/// The cargo that started us, with these arguments.
pub(crate) fn cargo<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Command {
    let mut command = command(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(args);
    command
}

/// Runs it with our own output, and fails unless it succeeds.
pub(crate) fn execute(command: &mut Command) -> Result<()> {
    announce(command);
    let status = command
        .status()
        .with_context(|| format!("start `{}`", line(command)))?;
    if !status.success() {
        bail!("`{}` failed ({status})", line(command));
    }
    Ok(())
}

/// The same without a word, unless it fails.
pub(crate) fn execute_quietly(command: &mut Command) -> Result<()> {
    output(command).map(drop)
}

/// Runs it, hands on each line of its standard output while it appears, and tells whether it succeeded.
pub(crate) fn run_reading_lines(command: &mut Command, mut each: impl FnMut(&str)) -> Result<bool> {
    announce(command);
    let mut child = command
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("start `{}`", line(command)))?;
    let stdout = child.stdout.take().context("read its standard output")?;
    for text in BufReader::new(stdout).split(b'\n') {
        each(&String::from_utf8_lossy(
            &text.context("read its standard output")?,
        ));
    }
    Ok(child.wait().context("wait for it")?.success())
}

/// Runs it quietly and returns what it printed; on failure the error carries its complaint.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("start `{}`", line(command)))?;
    if !output.status.success() {
        bail!(
            "`{}` failed ({}): {}",
            line(command),
            output.status,
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    String::from_utf8(output.stdout)
        .with_context(|| format!("read the output of `{}`", line(command)))
}

/// Whether it starts and succeeds; its output goes nowhere.
pub(crate) fn succeeds(program: &str, args: &[&str]) -> bool {
    command(program)
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// Whether a program of this name is installed: on the search path, or where system programs live.
pub(crate) fn installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/sbin".into()])
        .any(|folder| folder.join(program).is_file())
}

fn announce(command: &Command) {
    println!("    $ {}", line(command));
}

/// The command as one would type it, with paths below the tree shortened.
fn line(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(shorten).collect::<Vec<_>>().join(" ")
}

fn shorten(word: &OsStr) -> String {
    let path = Path::new(word);
    if path.file_name().is_some_and(|name| name == "cargo") {
        return "cargo".into();
    }
    path.strip_prefix(root())
        .unwrap_or(path)
        .display()
        .to_string()
}
