//! Gathers problems while a configuration is read.

use std::{collections::BTreeMap, sync::Arc};

use crate::{Problem, Severity, path::KeyPath};

/// All that was found so far, and where each value stands in the file.
pub(crate) struct Report {
    file: Arc<str>,
    cluster_id: String,
    lines: BTreeMap<KeyPath, u32>,
    problems: Vec<Problem>,
}

impl Report {
    pub(crate) fn new(file: &str, cluster_id: &str) -> Report {
        Report {
            file: file.into(),
            cluster_id: cluster_id.to_owned(),
            lines: BTreeMap::new(),
            problems: Vec::new(),
        }
    }

    /// Remembers where a value stands.
    pub(crate) fn place(&mut self, path: &KeyPath, line: u32) {
        if line > 0 {
            self.lines.entry(path.clone()).or_insert(line);
        }
    }

    /// The line of a value or, where it is missing, of the section it should be in.
    fn line(&self, path: &KeyPath) -> Option<u32> {
        path.and_parents()
            .find_map(|path| self.lines.get(&path).copied())
    }

    /// Whether the file says something at this place.
    pub(crate) fn was_given(&self, path: &KeyPath) -> bool {
        self.lines.contains_key(path)
    }

    /// Every place of which the file says something, whether or not it counts.
    pub(crate) fn given(&self) -> impl Iterator<Item = &KeyPath> {
        self.lines.keys()
    }

    pub(crate) fn tell(
        &mut self,
        severity: Severity,
        path: &KeyPath,
        value: Option<String>,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        let prefix = format!("Clusters.{}", self.cluster_id);
        let key = if path.keys().is_empty() {
            prefix
        } else {
            format!("{prefix}.{path}")
        };
        self.problems.push(Problem {
            severity,
            file: self.file.clone(),
            line: self.line(path),
            key: key.into(),
            value,
            message: message.into(),
            remedy: remedy.into(),
        });
    }

    pub(crate) fn error(
        &mut self,
        path: &KeyPath,
        value: Option<String>,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.tell(Severity::Error, path, value, message, remedy);
    }

    pub(crate) fn warning(
        &mut self,
        path: &KeyPath,
        value: Option<String>,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.tell(Severity::Warning, path, value, message, remedy);
    }

    /// In the order of the file; what has no line comes last.
    pub(crate) fn into_problems(mut self) -> Vec<Problem> {
        self.problems
            .sort_by_key(|problem| problem.line.unwrap_or(u32::MAX));
        self.problems
    }
}
