//! The runner's program as it is deployed to instances: opened once, so that a package upgrade under our feet changes
//! nothing until the next start, and held in memory only while uploads need it (facts P9). What was opened can still be
//! cut off or overwritten in place; then nothing is created until it is whole again (facts W27).

use std::{
    env, fs, io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, Weak},
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use dispatch_brain::Input;
use dispatch_runner::{BinaryHash, DeployPath, RunnerMissing, choose_runner_binary};
use dispatch_worker::Event;
use tokio::sync::mpsc;

/// Programs larger than this are no runners.
const BYTES_MAX: u64 = 2 << 30;
/// How often to look whether it is still whole. A look costs nothing while the file has not been written to.
const LOOK_EVERY: Duration = Duration::from_secs(3);
/// So much is read at a time.
const PIECE_BYTES: usize = 1 << 20;

/// A program to deploy.
#[derive(Debug)]
pub struct RunnerBinary {
    path: PathBuf,
    file: fs::File,
    len: usize,
    target: DeployPath,
    loaded: Mutex<Weak<Content>>,
}

/// What a look at a file's size and time of change tells.
type Stamp = (u64, Option<SystemTime>);

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
        let file = fs::File::open(&path)?;
        let len = file.metadata()?.len();
        if len > BYTES_MAX {
            return Err(io::Error::other(format!(
                "{len} bytes are too many for a runner"
            )));
        }
        let target = DeployPath::new(directory, &hash_of(&file)?);
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
        let mut hash = BinaryHash::default();
        hash.update(&bytes);
        if hash.finish() != self.target.md5() {
            return Err(io::Error::other(CHANGED));
        }
        let content = Arc::new(Content(bytes));
        *loaded = Arc::downgrade(&content);
        Ok(Bytes::from_owner(Shared(content)))
    }

    /// Whether it is still what it was. Blocks while it is read from disk, which happens only if it was written to.
    fn look(&self, known: &mut Option<(Stamp, Result<(), String>)>) -> Result<(), String> {
        let stamp = self
            .file
            .metadata()
            .map(|metadata| (metadata.len(), metadata.modified().ok()));
        let stamp = stamp.map_err(|error| self.unreadable(&error))?;
        if let Some((seen, result)) = known
            && *seen == stamp
        {
            return result.clone();
        }
        let result = match hash_of(&self.file) {
            Ok(md5) if md5 == self.target.md5() => Ok(()),
            Ok(_) => Err(self.unreadable(&io::Error::other(CHANGED))),
            Err(error) => Err(self.unreadable(&error)),
        };
        *known = Some((stamp, result.clone()));
        result
    }

    fn unreadable(&self, error: &io::Error) -> String {
        format!("{}: {error}", self.path.display())
    }

    /// Looks again and again, and tells the brain when the answer changes. Ends when nobody listens any more.
    pub(crate) async fn keep_looking(self: Arc<RunnerBinary>, inputs: mpsc::Sender<Input>) {
        let mut told = Ok(());
        let mut known = None;
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let binary = Arc::clone(&self);
            let look = tokio::task::spawn_blocking(move || {
                let result = binary.look(&mut known);
                (result, known)
            });
            let Ok((result, seen)) = look.await else {
                return;
            };
            known = seen;
            if result != told {
                told = result.clone();
                let event = Input::Pool(Event::RunnerBinary(result));
                if inputs.send(event).await.is_err() {
                    return;
                }
            }
        }
    }
}

/// What is wrong with a file that can be read.
const CHANGED: &str = "its content is not what it was when the dispatcher started; restart the dispatcher to deploy what is there now";

/// The hash of a file's whole content, wherever it was read to before.
fn hash_of(file: &fs::File) -> io::Result<String> {
    let mut hash = BinaryHash::default();
    let mut piece = vec![0; PIECE_BYTES];
    let mut offset = 0;
    loop {
        match file.read_at(&mut piece, offset)? {
            0 => return Ok(hash.finish()),
            n => {
                hash.update(&piece[..n]);
                offset += n as u64;
            }
        }
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

    #[tokio::test(start_paused = true)]
    async fn a_program_cut_off_in_place_is_told_of_until_it_is_whole_again() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("crunch-run");
        fs::write(&path, "whole").expect("written");
        let setting = path.to_str().expect("text");
        let binary = RunnerBinary::open(setting, "/tmp/x")
            .expect("opened")
            .expect("something to deploy");
        let binary = Arc::new(binary);
        let (sender, mut inputs) = mpsc::channel(1);
        tokio::spawn(Arc::clone(&binary).keep_looking(sender));
        let mut next = async || match inputs.recv().await {
            Some(Input::Pool(Event::RunnerBinary(result))) => result,
            other => panic!("{other:?}"),
        };

        fs::write(&path, "who").expect("written");
        let reason = next().await.expect_err("it is not whole");
        assert!(
            reason.contains(setting) && reason.contains("restart"),
            "{reason}"
        );
        assert!(binary.content().is_err());
        fs::write(&path, "whale").expect("written");
        assert!(binary.content().is_err(), "as long as it was, and another");
        fs::write(&path, "whole").expect("written");
        assert_eq!(next().await, Ok(()));
        assert_eq!(&binary.content().expect("read")[..], b"whole");
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
