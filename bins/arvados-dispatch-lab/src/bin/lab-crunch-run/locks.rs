//! The lock files (facts §2.2.1): `/var/lock/crunch-run-<uuid>.lock`, locked by `flock` for as long as the runner or a
//! child of it lives.

use std::{
    fs::{self, File, OpenOptions},
    io::{Read, Seek, Write},
    os::fd::AsRawFd,
};

const DIRECTORY: &str = "/var/lock";

/// A lock that is held until this is dropped, unless a child inherited it.
pub(crate) struct Lock(File);

impl Lock {
    /// The file descriptor's number.
    pub(crate) fn number(&self) -> i32 {
        self.0.as_raw_fd()
    }

    /// Writes the file's content.
    pub(crate) fn write(mut self, content: &str) -> Result<(), String> {
        let written = self
            .0
            .rewind()
            .and_then(|()| self.0.set_len(0))
            .and_then(|()| self.0.write_all(content.as_bytes()));
        written.map_err(|error| format!("write a lock file: {error}"))
    }
}

/// What a lock file says.
pub(crate) enum State {
    /// Nobody holds it (then it is gone now), or it is not there.
    Free,
    /// Held, but not written yet: just starting.
    Nameless,
    /// Held; the main process's id.
    Held(i32),
}

/// The lock on the whole directory: nobody starts and nobody clears away meanwhile.
pub(crate) fn whole_directory() -> Result<Lock, String> {
    let path = format!("{DIRECTORY}/crunch-run-all.lock");
    let file = open(&path, true).map_err(|error| format!("open {path}: {error}"))?;
    flock(&file, libc::LOCK_EX).map_err(|error| format!("lock {path}: {error}"))?;
    Ok(Lock(file))
}

/// Whether the machine calls itself broken.
pub(crate) fn is_broken() -> bool {
    fs::exists(format!("{DIRECTORY}/crunch-run-broken")).unwrap_or(false)
}

/// The containers that have lock files.
pub(crate) fn uuids() -> Result<Vec<String>, String> {
    let entries = fs::read_dir(DIRECTORY).map_err(|error| format!("read {DIRECTORY}: {error}"))?;
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    Ok(names
        .filter_map(|name| {
            Some(
                name.strip_prefix("crunch-run-")?
                    .strip_suffix(".lock")?
                    .to_owned(),
            )
        })
        .filter(|uuid| uuid.len() == 27)
        .collect())
}

/// Takes the lock of a container.
pub(crate) fn take(uuid: &str) -> Result<Lock, String> {
    let path = path_of(uuid);
    let file = open(&path, true).map_err(|error| format!("open {path}: {error}"))?;
    flock(&file, libc::LOCK_EX | libc::LOCK_NB).map_err(|error| format!("lock {path}: {error}"))?;
    file.set_len(0)
        .map_err(|error| format!("truncate {path}: {error}"))?;
    Ok(Lock(file))
}

/// Looks at the lock of a container, and clears it away if nobody holds it. The directory must be locked.
pub(crate) fn look(uuid: &str) -> Result<State, String> {
    let path = path_of(uuid);
    let Ok(mut file) = open(&path, false) else {
        return Ok(State::Free);
    };
    if flock(&file, libc::LOCK_EX | libc::LOCK_NB).is_ok() {
        let _ = fs::remove_file(&path);
        return Ok(State::Free);
    }
    let mut content = String::new();
    file.read_to_string(&mut content)
        .map_err(|error| format!("read {path}: {error}"))?;
    let written: serde_json::Value = serde_json::from_str(&content).unwrap_or_default();
    Ok(
        match written["PID"]
            .as_i64()
            .and_then(|pid| i32::try_from(pid).ok())
        {
            Some(pid) => State::Held(pid),
            None => State::Nameless,
        },
    )
}

fn path_of(uuid: &str) -> String {
    format!("{DIRECTORY}/crunch-run-{uuid}.lock")
}

fn open(path: &str, create: bool) -> std::io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(create)
        .truncate(false)
        .open(path)
}

fn flock(file: &File, how: i32) -> std::io::Result<()> {
    match crate::process::flock(file.as_raw_fd(), how) {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error()),
    }
}
