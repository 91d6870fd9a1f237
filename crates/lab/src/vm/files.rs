//! A virtual machine's files: what a command may find again later.

use std::collections::BTreeMap;

use md5::{Digest, Md5};

/// Files larger than this keep only their hash.
const KEPT_BYTES_MAX: usize = 64 * 1024;

/// One file.
#[derive(Clone, Debug)]
pub(crate) struct File {
    /// Permission bits.
    pub(crate) mode: u32,
    /// Lowercase hexadecimal MD5 of the content.
    pub(crate) md5: String,
    /// The content, unless it is long.
    pub(crate) content: Option<Vec<u8>>,
}

impl File {
    pub(crate) fn new(mode: u32, content: &[u8]) -> File {
        File {
            mode,
            md5: hex::encode(Md5::digest(content)),
            content: (content.len() <= KEPT_BYTES_MAX).then(|| content.to_vec()),
        }
    }
}

/// All files, all of them root's.
#[derive(Clone, Debug, Default)]
pub(crate) struct Files {
    files: BTreeMap<String, File>,
    directories: BTreeMap<String, u32>,
}

impl Files {
    pub(crate) fn get(&self, path: &str) -> Option<&File> {
        self.files.get(path)
    }

    pub(crate) fn put(&mut self, path: &str, file: File) {
        self.files.insert(path.to_owned(), file);
    }

    pub(crate) fn remove(&mut self, path: &str) -> bool {
        self.files.remove(path).is_some()
    }

    pub(crate) fn chmod(&mut self, path: &str, mode: u32) -> bool {
        if let Some(file) = self.files.get_mut(path) {
            file.mode = mode;
            return true;
        }
        match self.directories.get_mut(path) {
            Some(old) => {
                *old = mode;
                true
            }
            None => false,
        }
    }

    /// Makes a directory and its parents.
    pub(crate) fn make_directory(&mut self, path: &str, mode: u32) {
        let ends = path
            .char_indices()
            .filter(|(at, c)| *c == '/' && *at > 0)
            .map(|(at, _)| at);
        for end in ends.chain([path.len()]) {
            let parent = path[..end].trim_end_matches('/');
            if !parent.is_empty() {
                self.directories.entry(parent.to_owned()).or_insert(mode);
            }
        }
    }

    /// Directories that every system has, and those that were made.
    pub(crate) fn is_directory(&self, path: &str) -> bool {
        matches!(
            path,
            "/" | "/tmp"
                | "/var"
                | "/var/run"
                | "/run"
                | "/var/lock"
                | "/root"
                | "/home/crunch"
                | "/etc"
                | "/usr/bin"
                | "/dev"
        ) || self.directories.contains_key(path)
    }

    /// Whether a file can be made there.
    pub(crate) fn has_parent(&self, path: &str) -> bool {
        match path.rsplit_once('/') {
            Some(("", _)) => true,
            Some((parent, _)) => self.is_directory(parent),
            None => false,
        }
    }
}
