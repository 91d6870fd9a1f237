//! What a systemd unit says, as far as starting its service needs it.

use std::collections::BTreeMap;

use anyhow::{Context, Result};

/// A unit file's section `[Service]`.
pub(super) struct Unit {
    lines: Vec<(String, String)>,
}

impl Unit {
    /// Reads it.
    pub(super) fn parse(text: &str) -> Unit {
        let mut section = "";
        let mut lines = vec![];
        for line in text.lines().map(str::trim) {
            if line.starts_with('[') {
                section = line;
            } else if let Some((key, value)) = line.split_once('=')
                && section == "[Service]"
                && !line.starts_with('#')
            {
                lines.push((key.to_owned(), value.to_owned()));
            }
        }
        Unit { lines }
    }

    /// The last value of a key.
    pub(super) fn last(&self, key: &str) -> Option<&str> {
        self.all(key).last().copied()
    }

    /// All values of a key.
    pub(super) fn all(&self, key: &str) -> Vec<&str> {
        let lines = self.lines.iter().filter(|(found, _)| found == key);
        lines.map(|(_, value)| value.as_str()).collect()
    }

    /// Whether a switch is on.
    pub(super) fn is_on(&self, key: &str) -> bool {
        matches!(self.last(key), Some("yes" | "true" | "1" | "on"))
    }

    /// The variables of the service: those of the unit, then those of its files, as `read` finds them.
    pub(super) fn environment(
        &self,
        read: impl Fn(&str) -> Option<String>,
    ) -> Result<BTreeMap<String, String>> {
        let mut environment = BTreeMap::new();
        for value in self.all("Environment") {
            for pair in value.split_whitespace() {
                let (key, value) = pair.split_once('=').context("a variable has a value")?;
                environment.insert(key.to_owned(), value.to_owned());
            }
        }
        for file in self.all("EnvironmentFile") {
            let optional = file.starts_with('-');
            let file = file.trim_start_matches('-');
            match read(file) {
                Some(text) => environment.extend(variables(&text)),
                None if optional => {}
                None => {
                    anyhow::bail!("{file} is missing, and the unit does not say that it may be")
                }
            }
        }
        Ok(environment)
    }

    /// The words of ExecStart, with variables put in as systemd does: `$X` becomes as many words as it has.
    pub(super) fn exec_start(&self, environment: &BTreeMap<String, String>) -> Result<Vec<String>> {
        let line = self
            .last("ExecStart")
            .context("the unit has no ExecStart")?;
        let mut words = vec![];
        for word in line.split_whitespace() {
            match word.strip_prefix('$') {
                Some(name) => words.extend(
                    environment
                        .get(name)
                        .into_iter()
                        .flat_map(|value| value.split_whitespace())
                        .map(str::to_owned),
                ),
                None => words.push(word.to_owned()),
            }
        }
        Ok(words)
    }
}

/// The assignments of an environment file.
fn variables(text: &str) -> BTreeMap<String, String> {
    let lines = text.lines().map(str::trim);
    lines
        .filter(|line| !line.starts_with(['#', ';']))
        .filter_map(|line| line.split_once('='))
        .map(|(key, value)| {
            let value = value.trim();
            let bare = value
                .strip_prefix('"')
                .and_then(|rest| rest.strip_suffix('"'));
            (key.trim().to_owned(), bare.unwrap_or(value).to_owned())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNIT: &str = "[Unit]\nDescription=x\n[Service]\nExecStart=/usr/bin/d run $EXTRA_OPTS\n# User=nobody\nUser=d\n\
                        Environment=A=1 B=2\nEnvironmentFile=-/none\nEnvironmentFile=/some\nPrivateTmp=yes\n";

    #[test]
    fn files_win_over_the_unit_and_a_variable_becomes_as_many_words_as_it_has() {
        let unit = Unit::parse(UNIT);
        let read = |path: &str| {
            let text = "# c\nB=3\nEXTRA_OPTS=\"--config /x y\"\n";
            (path == "/some").then(|| text.to_owned())
        };
        let environment = unit.environment(read).expect("an environment");
        assert_eq!((&*environment["A"], &*environment["B"]), ("1", "3"));
        let words = unit.exec_start(&environment).expect("a command");
        assert_eq!(words, ["/usr/bin/d", "run", "--config", "/x", "y"]);
        assert_eq!(unit.last("User"), Some("d"));
        assert!(unit.is_on("PrivateTmp") && !unit.is_on("PrivateUsers"));
    }

    #[test]
    fn a_file_that_must_be_there_and_is_not_is_named() {
        let error = Unit::parse(UNIT)
            .environment(|_| None)
            .expect_err("missing");
        assert!(error.to_string().contains("/some"), "{error}");
    }
}
