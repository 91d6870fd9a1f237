//! The file that the configuration comes from: which one, its text, its hash, its age.

use std::{
    ffi::OsStr,
    fmt,
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use sha2::{Digest, Sha256};

use crate::Problem;

/// Where Arvados keeps its configuration.
pub const DEFAULT_PATH: &str = "/etc/arvados/config.yml";

/// Far above any real configuration; keeps a wrong path (a log, a device) from filling the memory.
const MAX_BYTES: u64 = 16 * 1024 * 1024;

/// The syntax of a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    /// As Arvados has it.
    Yaml,
    /// The same keys in TOML.
    Toml,
}

impl Format {
    /// `.toml` is TOML, everything else is YAML.
    pub fn of_path(path: &Path) -> Format {
        match path.extension().and_then(OsStr::to_str) {
            Some(extension) if extension.eq_ignore_ascii_case("toml") => Format::Toml,
            _ => Format::Yaml,
        }
    }

    /// Standard input has no name: it is YAML, unless it is not valid YAML but valid TOML.
    fn of_text(text: &str) -> Format {
        let reads_as = |format| crate::document::parse(text, format, "").is_ok();
        if !reads_as(Format::Yaml) && reads_as(Format::Toml) {
            Format::Toml
        } else {
            Format::Yaml
        }
    }
}

/// Which file to read: the flag, else the value of `$ARVADOS_CONFIG`, else `/etc/arvados/config.yml`.
/// Empty values count as none. `-` is standard input.
pub fn config_path(flag: Option<&Path>, environment: Option<&OsStr>) -> PathBuf {
    [flag, environment.map(Path::new)]
        .into_iter()
        .flatten()
        .find(|path| !path.as_os_str().is_empty())
        .unwrap_or(Path::new(DEFAULT_PATH))
        .to_owned()
}

/// A configuration that was read and not yet understood.
#[derive(Clone)]
pub struct Source {
    /// The file's name, "-" for standard input.
    pub file: String,
    /// Its syntax.
    pub format: Format,
    /// When the file was last changed; for standard input, when it was read (facts §3.1).
    pub modified: Timestamp,
    text: String,
    sha256: String,
}

impl Source {
    /// Reads a file, or standard input for `-`. `now` dates standard input.
    pub fn open(path: &Path, now: Timestamp) -> Result<Source, Problem> {
        if path == Path::new("-") {
            return Source::from_reader(io::stdin().lock(), None, "-", now);
        }
        let name = path.display().to_string();
        let file = File::open(path).map_err(|error| {
            let remedy = "name another file with --config or $ARVADOS_CONFIG, or let the dispatcher's user read this one";
            Problem::of_file(name.as_str(), format!("cannot be opened: {error}"), remedy)
        })?;
        let modified = file
            .metadata()
            .and_then(|metadata| metadata.modified())
            .ok();
        let modified = modified
            .and_then(|time| Timestamp::try_from(time).ok())
            .unwrap_or(now);
        Source::from_reader(file, Some(Format::of_path(path)), &name, modified)
    }

    /// Reads all of `reader`. Without a format it is YAML, unless it reads only as TOML.
    pub fn from_reader(
        reader: impl Read,
        format: Option<Format>,
        file: &str,
        modified: Timestamp,
    ) -> Result<Source, Problem> {
        let mut bytes = Vec::new();
        reader
            .take(MAX_BYTES + 1)
            .read_to_end(&mut bytes)
            .map_err(|error| {
                Problem::of_file(
                    file,
                    format!("cannot be read: {error}"),
                    "see that it is a readable file",
                )
            })?;
        if bytes.len() as u64 > MAX_BYTES {
            let message = format!("is larger than {} MiB", MAX_BYTES / (1024 * 1024));
            return Err(Problem::of_file(
                file,
                message,
                "see that it is a configuration file",
            ));
        }
        let sha256 = hex::encode(Sha256::digest(&bytes));
        let text = String::from_utf8(bytes).map_err(|error| {
            let at = error.utf8_error().valid_up_to();
            let mut problem = Problem::of_file(file, "is not UTF-8", "save it as UTF-8");
            let lines = error.as_bytes()[..at]
                .iter()
                .filter(|byte| **byte == b'\n')
                .count();
            problem.line = u32::try_from(lines + 1).ok();
            problem
        })?;
        let format = format.unwrap_or_else(|| Format::of_text(&text));
        Ok(Source {
            file: file.to_owned(),
            format,
            modified,
            text,
            sha256,
        })
    }

    /// A text that is already in memory.
    pub fn from_text(text: &str, format: Format, file: &str, modified: Timestamp) -> Source {
        Source {
            file: file.to_owned(),
            format,
            modified,
            text: text.to_owned(),
            sha256: hex::encode(Sha256::digest(text)),
        }
    }

    /// Lowercase hex SHA-256 of the raw bytes, as the cluster's health checker compares it (facts §2.6).
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }
}

/// Without the text, which has secrets in it.
impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source")
            .field("file", &self.file)
            .field("format", &self.format)
            .field("modified", &self.modified)
            .field("sha256", &self.sha256)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn the_flag_goes_before_the_environment_and_that_before_the_default() {
        let (flag, environment) = (Path::new("/a"), OsStr::new("/b"));
        assert_eq!(config_path(Some(flag), Some(environment)), flag);
        assert_eq!(config_path(None, Some(environment)), environment);
        assert_eq!(
            config_path(Some(Path::new("")), Some(OsStr::new(""))),
            Path::new(DEFAULT_PATH)
        );
        assert_eq!(config_path(None, None), Path::new(DEFAULT_PATH));
        assert_eq!(config_path(Some(Path::new("-")), None), Path::new("-"));
    }

    #[test]
    fn the_extension_tells_the_syntax_and_standard_input_is_tried() {
        assert_eq!(Format::of_path(Path::new("/x/config.yml")), Format::Yaml);
        assert_eq!(Format::of_path(Path::new("/x/config.TOML")), Format::Toml);
        assert_eq!(Format::of_path(Path::new("/x/config")), Format::Yaml);
        let read = |text: &str| {
            Source::from_reader(text.as_bytes(), None, "-", Timestamp::UNIX_EPOCH)
                .unwrap()
                .format
        };
        assert_eq!(read("Clusters: {zzzzz: {}}\n"), Format::Yaml);
        assert_eq!(
            read("[Clusters.zzzzz]\nSystemRootToken = 'x'\n"),
            Format::Toml
        );
        assert_eq!(read("[neither: nor\n"), Format::Yaml);
    }

    #[test]
    fn a_file_is_hashed_and_dated_as_it_is_on_disk() {
        let mut file = tempfile::Builder::new().suffix(".toml").tempfile().unwrap();
        file.write_all(b"a = 1\n").unwrap();
        let source = Source::open(file.path(), Timestamp::UNIX_EPOCH).unwrap();
        assert_eq!(source.format, Format::Toml);
        assert_eq!(
            source.sha256(),
            "cb78bd8a17f7b751fe0d4663366dcbc257204033ef7ddd64b1f2969573b5b2e2"
        );
        assert!(source.modified > Timestamp::UNIX_EPOCH);
        assert!(!format!("{source:?}").contains("a = 1"));
    }

    #[test]
    fn what_cannot_be_read_is_told_with_its_name() {
        let problem =
            Source::open(Path::new("/nonexistent/config.yml"), Timestamp::UNIX_EPOCH).unwrap_err();
        assert!(
            problem
                .to_string()
                .starts_with("/nonexistent/config.yml: error: cannot be opened: "),
            "{problem}"
        );
        let read = |bytes: &[u8]| {
            Source::from_reader(bytes, None, "-", Timestamp::UNIX_EPOCH)
                .unwrap_err()
                .to_string()
        };
        assert_eq!(
            read(b"a: b\nc: \xff\n"),
            "-:2: error: is not UTF-8; save it as UTF-8"
        );
        let endless = io::repeat(b' ');
        let problem = Source::from_reader(endless, None, "-", Timestamp::UNIX_EPOCH).unwrap_err();
        assert_eq!(problem.message, "is larger than 16 MiB");
    }
}
