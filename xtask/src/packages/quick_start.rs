//! The book's quick start, executed block by block in a clean root, as a new user would.
//!
//! All blocks go to one shell, in order, as typed. What `systemctl` and `journalctl` would do is done here, where systemd
//! is not the first process.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    process::{Child, ChildStdin, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, sync_channel},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::{Checks, cluster, package, root::Root, service::Service};
use crate::{dist::Made, tree::root as tree};

const PAGE: &str = "docs/quick-start.md";
/// Where the page has the lab write its variables.
const ENVIRONMENT: &str = "/etc/arvados-lab/environment";
/// How long one block may take.
const PATIENCE: Duration = Duration::from_secs(180);
/// Lines that may wait to be read.
const LINES: usize = 1000;
/// What the shell says after each block.
const MARK: &str = "--- the block has ended ---";

pub(super) fn check(root: &Root, made: &Made) -> Result<u64> {
    let page = fs::read_to_string(tree().join(PAGE)).with_context(|| format!("read {PAGE}"))?;
    let blocks = blocks(&page);
    ensure!(!blocks.is_empty(), "{PAGE} has no block to execute");
    // Where the page tells its reader to be, with the packages there.
    fs::create_dir_all(root.path("/root"))?;
    for name in [
        "arvados-dispatch-cloud-rs",
        "arvados-dispatch-ctl",
        "arvados-dispatch-lab",
    ] {
        let file = package(made, name)?;
        let own_name = file.file_name().context("a file name")?.to_string_lossy();
        root.put(file, &format!("/root/{own_name}"))?;
    }
    let mut checks = Checks::default();
    let mut session = Session::start(root)?;
    let mut last_report = Value::Null;
    for (line, block) in &blocks {
        let first = block.lines().next().unwrap_or_default();
        checks.that(
            &format!("{PAGE}:{line}: {first}"),
            session.execute(root, block),
        )?;
        // Until the page ends the lab.
        if let Ok(report) = cluster::report(root, ENVIRONMENT) {
            last_report = report;
        }
    }
    checks.that(
        "the lab saw every container complete, once, and every instance go",
        judge(&last_report),
    )?;
    Ok(checks.0)
}

fn judge(report: &Value) -> Result<()> {
    let count = |key: &str| {
        report[key]
            .as_u64()
            .with_context(|| format!("no {key} in {report}"))
    };
    ensure!(count("submitted")? > 0, "nothing was submitted");
    ensure!(count("complete")? == count("submitted")?, "{report}");
    ensure!(count("run_twice")? == 0, "{report}");
    ensure!(count("instances_left")? == 0, "{report}");
    Ok(())
}

/// The blocks in the language `sh`, with their lines in the page.
fn blocks(page: &str) -> Vec<(usize, String)> {
    let mut blocks = vec![];
    let mut open: Option<(usize, String)> = None;
    let mut other = false;
    for (index, line) in page.lines().enumerate() {
        match &mut open {
            Some(block) if line.trim_end() == "```" => {
                blocks.push(std::mem::take(block));
                open = None;
            }
            Some((_, text)) => {
                text.push_str(line);
                text.push('\n');
            }
            None if line.trim_end() == "```sh" => open = Some((index + 1, String::new())),
            None if line.starts_with("```") => other = !other,
            None => {}
        }
    }
    debug_assert!(!other, "a block is not closed");
    blocks
}

/// A block, in pieces that are done in different ways.
#[derive(Debug, PartialEq, Eq)]
enum Piece {
    /// For the shell.
    Shell(String),
    Start,
    Stop,
    Log,
    /// The unit is read anew at each start here.
    Reload,
    /// Whether it runs.
    IsActive,
}

fn pieces(block: &str) -> Result<Vec<Piece>> {
    let mut pieces = vec![];
    for line in block.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let piece = match words[..] {
            ["systemctl", "start", "arvados-dispatch-cloud"]
            | ["systemctl", "enable", "--now", "arvados-dispatch-cloud"] => Piece::Start,
            ["systemctl", "stop", "arvados-dispatch-cloud"]
            | ["systemctl", "disable", "--now", "arvados-dispatch-cloud"] => Piece::Stop,
            ["systemctl", "is-active", "arvados-dispatch-cloud"] => Piece::IsActive,
            ["systemctl", "daemon-reload"] => Piece::Reload,
            ["journalctl", ..] if line.contains("-u arvados-dispatch-cloud") => Piece::Log,
            ["systemctl" | "journalctl", ..] => bail!("this test cannot play `{line}`"),
            _ => {
                if let Some(Piece::Shell(text)) = pieces.last_mut() {
                    text.push_str(line);
                    text.push('\n');
                    continue;
                }
                Piece::Shell(format!("{line}\n"))
            }
        };
        pieces.push(piece);
    }
    Ok(pieces)
}

/// A shell in the root, and the service.
struct Session {
    shell: Child,
    input: ChildStdin,
    lines: Receiver<String>,
    service: Option<Service>,
}

impl Session {
    fn start(root: &Root) -> Result<Session> {
        let mut shell = root
            .session()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("start a shell in the root")?;
        let input = shell.stdin.take().context("a shell reads")?;
        let output = shell.stdout.take().context("a shell writes")?;
        let (tell, lines) = sync_channel(LINES);
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if tell.send(line).is_err() {
                    return;
                }
            }
        });
        let mut session = Session {
            shell,
            input,
            lines,
            service: None,
        };
        session.type_in("exec 2>&1\nset -eu\ncd /root\n")?;
        Ok(session)
    }

    fn execute(&mut self, root: &Root, block: &str) -> Result<()> {
        for piece in pieces(block)? {
            match piece {
                Piece::Shell(text) => self.type_in(&text)?,
                Piece::Start => self.service = Some(Service::start(root)?),
                Piece::Stop => {
                    let service = self.service.take();
                    service.context("the service does not run")?.stop()?;
                }
                Piece::Log => {
                    let service = self.service.as_ref().context("the service does not run")?;
                    ensure!(!service.log().is_empty(), "the log is empty");
                }
                Piece::Reload => {}
                Piece::IsActive => {
                    let service = self.service.as_mut().context("the service does not run")?;
                    ensure!(service.is_active()?, "it has ended");
                }
            }
        }
        Ok(())
    }

    /// Types it in and waits until it is done.
    fn type_in(&mut self, text: &str) -> Result<()> {
        writeln!(self.input, "{text}\necho '{MARK}'")?;
        self.input.flush()?;
        let deadline = Instant::now() + PATIENCE;
        let mut said = String::new();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) if line == MARK => return Ok(()),
                Ok(line) => {
                    said.push_str(&line);
                    said.push('\n');
                }
                Err(RecvTimeoutError::Timeout) => bail!("it takes too long; so far:\n{said}"),
                // `set -e` ends the shell at the first command that fails.
                Err(RecvTimeoutError::Disconnected) => bail!("a command failed:\n{said}"),
            }
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // With the first process of its namespace, all that it started goes.
        let _ = self.shell.kill();
        let _ = self.shell.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_for_a_shell_are_found_with_their_lines_and_others_are_not() {
        let page = "text\n```sh\na\nb\n```\n```console\n$ c\n```\n```sh\nd\n```\n";
        let found = blocks(page);
        assert_eq!(found, [(2, "a\nb\n".to_owned()), (9, "d\n".to_owned())]);
    }

    #[test]
    fn what_systemd_does_is_taken_out_and_the_rest_stays_together() {
        let found = pieces("a\nsystemctl start arvados-dispatch-cloud\nb\nc\n").expect("pieces");
        assert_eq!(
            found,
            [
                Piece::Shell("a\n".into()),
                Piece::Start,
                Piece::Shell("b\nc\n".into())
            ]
        );
        assert!(pieces("systemctl mask arvados-dispatch-cloud\n").is_err());
    }

    #[test]
    fn a_container_that_did_not_complete_or_ran_twice_is_not_a_quick_start() {
        let report = |complete: u64, run_twice: u64| serde_json::json!({"submitted": 3, "complete": complete, "run_twice": run_twice, "instances_left": 0});
        assert!(judge(&report(3, 0)).is_ok());
        assert!(judge(&report(2, 0)).is_err());
        assert!(judge(&report(3, 1)).is_err());
        assert!(judge(&Value::Null).is_err());
    }
}
