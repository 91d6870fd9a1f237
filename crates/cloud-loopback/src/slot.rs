//! The place of the one instance, kept in a file so that a restarted dispatcher finds it again.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use dispatch_cloud::Tags;
use serde::{Deserialize, Serialize};

/// A larger file is none of ours.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// What the file says.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(crate) struct State {
    /// How many instances there have been.
    pub(crate) n_created: u64,
    /// The one there is.
    pub(crate) instance: Option<Saved>,
}

/// The instance.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Saved {
    pub(crate) id: String,
    pub(crate) provider_type: String,
    pub(crate) tags: Tags,
    /// It was told to go, and its processes may still be there.
    pub(crate) going: bool,
}

/// The state and its file. The file is written before the state changes.
#[derive(Debug)]
pub(crate) struct Slot {
    path: PathBuf,
    state: State,
}

impl Slot {
    /// Reads this file, making its directory if need be; an unreadable one is put aside, since what runs on this host is found by asking.
    pub(crate) fn open(path: &Path) -> io::Result<Slot> {
        if let Some(directory) = path.parent() {
            let mut builder = DirBuilder::new();
            builder.recursive(true).mode(0o700).create(directory)?;
        }
        let path = path.to_owned();
        let state = match read(&path) {
            Ok(state) => state,
            Err(error) if error.kind() == io::ErrorKind::NotFound => State::default(),
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "cannot read what is known of the instance; it is put aside");
                fs::rename(&path, path.with_extension("unreadable"))?;
                State::default()
            }
        };
        let slot = Slot { path, state };
        // A directory that cannot be written to is better found now.
        slot.write(&slot.state)?;
        Ok(slot)
    }

    pub(crate) fn state(&self) -> &State {
        &self.state
    }

    /// Changes the state; if that cannot be written, nothing changes.
    pub(crate) fn change(&mut self, change: impl FnOnce(&mut State)) -> io::Result<()> {
        let mut state = self.state.clone();
        change(&mut state);
        if state != self.state {
            self.write(&state)?;
            self.state = state;
        }
        Ok(())
    }

    /// Writes another file and renames it, so that there is always a whole one.
    fn write(&self, state: &State) -> io::Result<()> {
        let fresh = self.path.with_extension("new");
        let bytes = serde_json::to_vec(state)?;
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&fresh)?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        fs::rename(&fresh, &self.path)
    }
}

fn read(path: &Path) -> io::Result<State> {
    let mut bytes = Vec::new();
    let n_read = File::open(path)?
        .take(FILE_BYTES_MAX + 1)
        .read_to_end(&mut bytes)?;
    if n_read as u64 > FILE_BYTES_MAX {
        return Err(io::Error::other("it is unreasonably long"));
    }
    Ok(serde_json::from_slice(&bytes)?)
}
