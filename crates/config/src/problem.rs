//! What is wrong with a configuration, told so that somebody can mend it.

use std::{fmt, sync::Arc};

/// How bad it is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Severity {
    /// The daemon does not start with it.
    Error,
    /// The daemon starts, and somebody should look at it.
    Warning,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Severity::Error => "error",
            Severity::Warning => "warning",
        })
    }
}

/// One thing that is wrong: where, what, why and what to do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problem {
    /// How bad it is.
    pub severity: Severity,
    /// The file, "-" for standard input.
    pub file: Arc<str>,
    /// The line in it, counted from 1, where that is known.
    pub line: Option<u32>,
    /// The whole key path, "" if it is about the file.
    pub key: Box<str>,
    /// The value as it was written, shortened; a secret is masked.
    pub value: Option<String>,
    /// What is wrong with it.
    pub message: String,
    /// What to write instead.
    pub remedy: String,
}

impl Problem {
    /// A problem of the whole file, which keeps the daemon from starting.
    pub fn of_file(
        file: impl Into<Arc<str>>,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Problem {
        Problem {
            severity: Severity::Error,
            file: file.into(),
            line: None,
            key: "".into(),
            value: None,
            message: message.into(),
            remedy: remedy.into(),
        }
    }

    /// The same, as an error.
    pub(crate) fn into_error(mut self) -> Problem {
        self.severity = Severity::Error;
        self
    }

    /// Whether the daemon must not start with it.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

/// `file:line: severity: key: value: message; remedy`, on one line.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        write!(f, ": {}: ", self.severity)?;
        if !self.key.is_empty() {
            write!(f, "{}", self.key)?;
            if let Some(value) = &self.value {
                write!(f, " = {value}")?;
            }
            write!(f, ": ")?;
        }
        write!(f, "{}", self.message)?;
        if !self.remedy.is_empty() {
            write!(f, "; {}", self.remedy)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_reads_as_one_line_with_place_key_value_and_remedy() {
        let problem = Problem {
            severity: Severity::Warning,
            file: "config.yml".into(),
            line: Some(7),
            key: "Clusters.zzzzz.SSHPort".into(),
            value: Some("\"x\"".into()),
            message: "is not a port".into(),
            remedy: "write a number".into(),
        };
        assert_eq!(
            problem.to_string(),
            "config.yml:7: warning: Clusters.zzzzz.SSHPort = \"x\": is not a port; write a number"
        );
        assert_eq!(
            Problem::of_file("f", "cannot be read", "check its owner").to_string(),
            "f: error: cannot be read; check its owner"
        );
    }
}
