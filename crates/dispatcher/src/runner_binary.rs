//! The runner's program as it is deployed to instances: opened once, so that a package upgrade under our feet changes
//! nothing until the next start, and held in memory only while uploads need it (facts P9).

use std::{
    env, fs,
    io::{self, Read},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, Weak},
};

use bytes::Bytes;
use dispatch_runner::{BinaryHash, DeployPath, RunnerMissing, choose_runner_binary};

/// Programs larger than this are no runners.
const BYTES_MAX: u64 = 2 << 30;

/// A program to deploy.
#[derive(Debug)]
pub struct RunnerBinary {
    path: PathBuf,
    file: fs::File,
    len: usize,
    target: DeployPath,
    loaded: Mutex<Weak<Content>>,
}

/// The whole program; shared by all uploads under way.
#[derive(Debug)]
struct Content(Vec<u8>);

impl AsRef<[u8]> for Shared {
    fn as_ref(&self) -> &[u8] {
        &self.0.0
    }
}

struct Shared(Arc<Content>);

/// The program cannot be deployed.
#[derive(Debug, thiserror::Error)]
pub enum RunnerBinaryError {
    /// It is not there.
    #[error(transparent)]
    Missing(#[from] RunnerMissing),
    /// It cannot be read.
    #[error("cannot read {}, the value of Containers.CloudVMs.DeployRunnerBinary", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's words.
        #[source]
        source: io::Error,
    },
}

impl RunnerBinary {
    /// Finds, opens and hashes what `DeployRunnerBinary` names; `None` if nothing is to be deployed.
    pub fn open(setting: &str, directory: &str) -> Result<Option<RunnerBinary>, RunnerBinaryError> {
        let search_path = env::var("PATH").unwrap_or_default();
        let is_file = |path: &Path| path.is_file() && fs::File::open(path).is_ok();
        let Some(path) = choose_runner_binary(setting, &search_path, is_file)? else {
            return Ok(None);
        };
        Self::open_path(path.clone(), directory)
            .map(Some)
            .map_err(|source| RunnerBinaryError::Unreadable { path, source })
    }

    fn open_path(path: PathBuf, directory: &str) -> io::Result<RunnerBinary> {
        let mut file = fs::File::open(&path)?;
        let len = file.metadata()?.len();
        if len > BYTES_MAX {
            return Err(io::Error::other(format!(
                "{len} bytes are too many for a runner"
            )));
        }
        let mut hash = BinaryHash::default();
        let mut piece = vec![0; 1 << 20];
        loop {
            match file.read(&mut piece)? {
                0 => break,
                n => hash.update(&piece[..n]),
            }
        }
        let target = DeployPath::new(directory, &hash.finish());
        Ok(RunnerBinary {
            path,
            file,
            len: len as usize,
            target,
            loaded: Mutex::new(Weak::new()),
        })
    }

    /// Where it came from.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where it goes.
    pub fn target(&self) -> &DeployPath {
        &self.target
    }

    /// The whole program. Blocks while it is read from disk, which happens once for all uploads of the same time.
    pub fn content(&self) -> io::Result<Bytes> {
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(content) = loaded.upgrade() {
            return Ok(Bytes::from_owner(Shared(content)));
        }
        let mut bytes = vec![0; self.len];
        self.file.read_exact_at(&mut bytes, 0)?;
        let content = Arc::new(Content(bytes));
        *loaded = Arc::downgrade(&content);
        Ok(Bytes::from_owner(Shared(content)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_replaced_under_our_feet_stays_what_it_was() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("crunch-run");
        fs::write(&path, "old").expect("written");
        let setting = path.to_str().expect("text");
        let binary = RunnerBinary::open(setting, "/tmp/x")
            .expect("opened")
            .expect("something to deploy");
        assert_eq!(
            binary.target().to_string(),
            "/tmp/x/crunch-run~149603e6c03516362a8da23f624db945"
        );
        let replacement = directory.path().join("new");
        fs::write(&replacement, "new!").expect("written");
        fs::rename(&replacement, &path).expect("replaced");
        assert_eq!(&binary.content().expect("read")[..], b"old");
    }

    #[test]
    fn nothing_is_deployed_for_an_empty_setting_and_a_wrong_path_is_named() {
        assert!(RunnerBinary::open("", "/tmp/x").expect("fine").is_none());
        let error = RunnerBinary::open("/no/such/file", "/tmp/x")
            .expect_err("not there")
            .to_string();
        assert!(
            error.contains("DeployRunnerBinary") && error.contains("/no/such/file"),
            "{error}"
        );
    }
}
