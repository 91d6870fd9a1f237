//! `cloudtest` as the book says to run it: in the environment of the service.

use std::{collections::BTreeMap, fs, time::Duration};

use anyhow::{Context, Result, ensure};

use super::{page, root::Root, service, unit::Unit};
use crate::command::execute_quietly;

const PAGE: &str = "docs/install-ec2.md";
/// For one instance of the lab.
const LIMIT: Duration = Duration::from_secs(120);

/// The service that a command line of `systemd-run` describes.
struct Described {
    unit: Unit,
    /// The command, with variables not put in yet.
    command: Vec<String>,
}

fn described() -> Result<Described> {
    let line = page::command(PAGE, "systemd-run ")?;
    parse(&line).with_context(|| format!("{PAGE}: {line}"))
}

/// Options become the lines of a unit.
fn parse(line: &str) -> Result<Described> {
    let mut text = String::from("[Service]\n");
    let mut command: Vec<String> = vec![];
    for word in line.split_whitespace().skip(1) {
        let word = word.replace('\'', "");
        if !command.is_empty() || !word.starts_with("--") {
            command.push(word);
        } else if let Some(user) = word.strip_prefix("--uid=") {
            text.push_str(&format!("User={user}\n"));
        } else if let Some(group) = word.strip_prefix("--gid=") {
            text.push_str(&format!("Group={group}\n"));
        } else if let Some(property) = word.strip_prefix("--property=") {
            text.push_str(&format!("{property}\n"));
        } else if let Some(variable) = word.strip_prefix("--setenv=") {
            text.push_str(&format!("Environment={variable}\n"));
        } else {
            let known = ["--pty", "--wait", "--collect", "--quiet"];
            ensure!(known.contains(&&*word), "{word} is not known here");
        }
    }
    text.push_str(&format!("ExecStart={}\n", command.join(" ")));
    Ok(Described {
        unit: Unit::parse(&text),
        command,
    })
}

/// Who it is and which variables it has must be as the unit of the package has it.
pub(super) fn is_like(unit: &Unit) -> Result<()> {
    let described = described()?;
    for key in ["User", "Group"] {
        ensure!(
            described.unit.last(key) == unit.last(key),
            "{PAGE}: {key} is not that of the unit"
        );
    }
    ensure!(
        described.unit.all("EnvironmentFile") == unit.all("EnvironmentFile"),
        "{PAGE}: the files of variables are not those of the unit"
    );
    let none = |_: &str| None;
    ensure!(
        described.unit.environment(none)? == unit.environment(none)?,
        "{PAGE}: the variables are not those of the unit"
    );
    let exec = unit.last("ExecStart").context("the unit has a command")?;
    let (program, options) = (
        exec.split_whitespace().next(),
        exec.split_whitespace().last(),
    );
    ensure!(
        described.command.first().map(String::as_str) == program
            && described.command.last().map(String::as_str) == options,
        "{PAGE}: {:?} does not go with {exec}",
        described.command
    );
    Ok(())
}

/// Runs it.
pub(super) fn run(root: &Root) -> Result<()> {
    let described = described()?;
    let environment: BTreeMap<String, String> = described
        .unit
        .environment(|path| fs::read_to_string(root.path(path)).ok())?;
    let words = described.unit.exec_start(&environment)?;
    let mut command = root.jailed("", &service::identity(&described.unit)?, "timeout");
    command
        .arg(LIMIT.as_secs().to_string())
        .args(words)
        .envs(environment);
    execute_quietly(&mut command)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_books_command_is_read_as_a_unit() {
        let found = parse(
            "systemd-run --pty --uid=d --setenv=A=1 --property=EnvironmentFile=-/x /usr/bin/d cloudtest '$EXTRA_OPTS'",
        )
        .expect("read");
        assert_eq!(found.unit.last("User"), Some("d"));
        assert_eq!(found.unit.all("EnvironmentFile"), ["-/x"]);
        let variables = BTreeMap::from([("EXTRA_OPTS".to_owned(), "--config /y".to_owned())]);
        let words = found.unit.exec_start(&variables).expect("a command");
        assert_eq!(words, ["/usr/bin/d", "cloudtest", "--config", "/y"]);
        assert!(parse("systemd-run --scope x").is_err());
    }
}
