//! From a file to a configuration that can be used, or to everything that is wrong with it.

use std::{fmt, path::Path};

use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::{
    ClusterConfig, HostFacts, ListenCandidate, Problem, Secret, Source, build, checks,
    document::{self, Content, Entry, Node},
    keys,
    merge::merge,
    path::KeyPath,
    reader::Reader,
    report::Report,
};

/// What reading a configuration depends on beside the file.
#[derive(Clone, Debug)]
pub struct Context<'a> {
    /// The drivers that this program has; empty: any name will do.
    pub known_drivers: &'a [&'a str],
    /// This host, for the loopback driver.
    pub host: HostFacts,
}

/// A configuration that can be used.
#[derive(Clone)]
pub struct Loaded {
    /// What the dispatcher reads of it.
    pub config: ClusterConfig,
    /// All keys of Arvados, the operator's values over the defaults: what runners get as "Cluster" (facts §2.2.2).
    /// Full of secrets. Keys of our own are not in it.
    pub cluster_json: Value,
    /// What somebody should look at.
    pub warnings: Vec<Problem>,
    /// The file, "-" for standard input.
    pub file: String,
    /// Lowercase hex SHA-256 of its bytes, for the metrics.
    pub sha256: String,
    /// When it was last changed, for the metrics.
    pub source_timestamp: Timestamp,
    /// Everything, keys of our own included: for the dump.
    pub(crate) merged: Map<String, Value>,
}

impl Loaded {
    /// Opens and loads. `now` dates standard input.
    pub fn from_path(
        path: &Path,
        context: &Context<'_>,
        now: Timestamp,
    ) -> Result<Loaded, Vec<Problem>> {
        let source = Source::open(path, now).map_err(|problem| vec![problem])?;
        load(&source, context)
    }

    /// What a driver found wrong with its parameters (`Driver::check`), as a problem of this file.
    pub fn driver_problem(&self, complaint: &str) -> Problem {
        let mut problem = Problem::of_file(self.file.as_str(), complaint, "");
        problem.key = format!("Clusters.{}.Containers.CloudVMs", self.config.cluster_id).into();
        problem
    }
}

/// Without what has secrets in it.
impl fmt::Debug for Loaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loaded")
            .field("file", &self.file)
            .field("sha256", &self.sha256)
            .field("source_timestamp", &self.source_timestamp)
            .field("config", &self.config)
            .field("warnings", &self.warnings)
            .finish_non_exhaustive()
    }
}

/// Loads a configuration. All problems are found in one run; with an error among them there is no configuration.
pub fn load(source: &Source, context: &Context<'_>) -> Result<Loaded, Vec<Problem>> {
    let mut problems = Vec::new();
    let Some((cluster_id, cluster)) = cluster(source, &mut problems) else {
        return Err(problems);
    };
    let mut report = Report::new(&source.file, &cluster_id);
    let merged = merge(&cluster, &mut report);
    let config = build::build(&cluster_id, &merged, context, &mut report);
    problems.extend(report.into_problems());
    match config {
        Some(config) if !problems.iter().any(Problem::is_error) => Ok(Loaded {
            config,
            cluster_json: Value::Object(without_our_own(&merged)),
            warnings: problems,
            file: source.file.clone(),
            sha256: source.sha256().to_owned(),
            source_timestamp: source.modified,
            merged,
        }),
        _ => Err(problems),
    }
}

/// How the admin's tool reaches a dispatcher.
#[derive(Clone, Debug)]
pub struct ManagementAccess {
    /// `ManagementToken`.
    pub token: Option<Secret>,
    /// The dispatchers' addresses.
    pub addresses: Vec<ListenCandidate>,
    /// `TLS.Insecure`: do not verify their certificates.
    pub insecure: bool,
}

/// Reads only what the admin's tool needs: mistakes elsewhere do not matter to it.
pub fn management_access(source: &Source) -> Result<ManagementAccess, Vec<Problem>> {
    let mut problems = Vec::new();
    let Some((cluster_id, cluster)) = cluster(source, &mut problems) else {
        return Err(problems);
    };
    let merged = merge(&cluster, &mut Report::new(&source.file, &cluster_id));
    let mut report = Report::new(&source.file, &cluster_id);
    let mut reader = Reader::new(&merged, &mut report);
    let access = ManagementAccess {
        token: reader.some_text("ManagementToken").map(Secret::new),
        insecure: reader.flag("TLS.Insecure"),
        addresses: checks::listen_candidates(&mut reader),
    };
    let problems = report.into_problems();
    if problems.iter().any(Problem::is_error) {
        Err(problems)
    } else {
        Ok(access)
    }
}

/// The one cluster of the file. `None`: there is no such thing, and the problems say why.
fn cluster(source: &Source, problems: &mut Vec<Problem>) -> Option<(String, Node)> {
    const SKELETON: &str = "begin with `Clusters:` and below it the cluster's five-character id";
    let document = match document::parse(source.text(), source.format, &source.file) {
        Ok(document) => document,
        Err(errors) => {
            problems.extend(errors);
            return None;
        }
    };
    let file = source.file.as_str();
    let Content::Map(entries) = document.content else {
        problems.push(Problem::of_file(file, "holds no configuration", SKELETON));
        return None;
    };
    let mut clusters: Option<Entry> = None;
    for entry in entries {
        match entry.key.as_str() {
            "Clusters" => match &clusters {
                None => clusters = Some(entry),
                Some(first) => {
                    let message = format!(
                        "is there twice, in line {} and in line {}",
                        first.key_line, entry.key_line
                    );
                    problems.push(at(file, &entry, message, "put both into one").into_error());
                }
            },
            "AutoReloadConfig" => {}
            key if key.eq_ignore_ascii_case("Clusters") => {
                let message = "is ignored: its upper and lower case is wrong";
                problems.push(at(file, &entry, message, "write Clusters"));
            }
            _ => problems.push(at(
                file,
                &entry,
                "is not a key of Arvados",
                "remove it, or move it below the cluster's id",
            )),
        }
    }
    let Some(clusters) = clusters else {
        problems.push(Problem::of_file(file, "has no section Clusters", SKELETON));
        return None;
    };
    let Content::Map(of_clusters) = &clusters.value.content else {
        problems.push(at(file, &clusters, "has no cluster in it", SKELETON).into_error());
        return None;
    };
    let mut ids: Vec<&Entry> = Vec::new();
    for entry in of_clusters.iter().filter(|entry| entry.key != "SAMPLE") {
        let Some(first) = ids.iter().find(|first| first.key == entry.key) else {
            ids.push(entry);
            continue;
        };
        let (a, b) = (first.key_line, entry.key_line);
        let message = format!("is there twice, in line {a} and in line {b}");
        let mut problem = at(file, first, message, "put both into one").into_error();
        problem.key = KeyPath::dotted("Clusters")
            .child(&entry.key)
            .to_string()
            .into();
        problems.push(problem);
    }
    let [entry] = ids.as_slice() else {
        let names = ids
            .iter()
            .map(|entry| entry.key.as_str())
            .collect::<Vec<_>>()
            .join(", ");
        let (message, remedy) = if ids.is_empty() {
            ("has no cluster in it".to_owned(), SKELETON)
        } else {
            let message = format!(
                "has {} clusters ({names}), and a dispatcher serves one",
                ids.len()
            );
            (
                message,
                "keep the one that is to be served, each other one in a file of its own",
            )
        };
        problems.push(at(file, &clusters, message, remedy).into_error());
        return None;
    };
    let is_id = entry.key.len() == 5
        && entry
            .key
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    if !is_id {
        let mut problem = at(
            file,
            entry,
            "is not a cluster id",
            "write five characters of a-z and 0-9",
        )
        .into_error();
        problem.key = KeyPath::dotted("Clusters")
            .child(&entry.key)
            .to_string()
            .into();
        problems.push(problem);
    }
    Some((entry.key.clone(), entry.value.clone()))
}

/// A warning about a key above the clusters.
fn at(file: &str, entry: &Entry, message: impl Into<String>, remedy: &str) -> Problem {
    let mut problem = Problem::of_file(file, message, remedy);
    problem.severity = crate::Severity::Warning;
    problem.key = entry.key.as_str().into();
    problem.line = Some(entry.key_line).filter(|line| *line > 0);
    problem
}

fn without_our_own(merged: &Map<String, Value>) -> Map<String, Value> {
    let mut cluster = merged.clone();
    for (key, _) in &keys::OWN {
        let (section, name) = key
            .path
            .rsplit_once('.')
            .expect("our own keys lie in sections");
        let pointer = format!("/{}", section.replace('.', "/"));
        let mut root = Value::Object(std::mem::take(&mut cluster));
        if let Some(section) = root.pointer_mut(&pointer).and_then(Value::as_object_mut) {
            section.shift_remove(name);
        }
        let Value::Object(map) = root else {
            unreachable!("it was made an object above")
        };
        cluster = map;
    }
    cluster
}

/// Loads a configuration and tells all about it: the text to print, and the exit code of `config-check`
/// (0: it can be used; 1: it has errors; 2: there was nothing to check).
pub fn check(path: &Path, context: &Context<'_>, now: Timestamp) -> (String, u8) {
    check_with(path, context, now, |_| Vec::new())
}

/// As `check`. `more` checks what only the caller can check, such as the driver's parameters; it is asked when there
/// are no other errors. The file is read once, so that standard input will do.
pub fn check_with(
    path: &Path,
    context: &Context<'_>,
    now: Timestamp,
    more: impl FnOnce(&Loaded) -> Vec<Problem>,
) -> (String, u8) {
    let source = match Source::open(path, now) {
        Ok(source) => source,
        Err(problem) => return (format!("{problem}\n"), 2),
    };
    let problems = match load(&source, context) {
        Ok(loaded) => {
            let more = more(&loaded);
            loaded.warnings.into_iter().chain(more).collect()
        }
        Err(problems) => problems,
    };
    let n_errors = problems.iter().filter(|problem| problem.is_error()).count();
    let n_warnings = problems.len() - n_errors;
    let mut text: String = problems
        .iter()
        .map(|problem| format!("{problem}\n"))
        .collect();
    text += &format!(
        "{}: {}, {}\n",
        source.file,
        counted(n_errors, "error"),
        counted(n_warnings, "warning")
    );
    (text, u8::from(n_errors > 0))
}

fn counted(n: usize, what: &str) -> String {
    match n {
        0 => format!("no {what}s"),
        1 => format!("1 {what}"),
        n => format!("{n} {what}s"),
    }
}

#[cfg(test)]
mod tests;
