//! What came over the network, word for word, for tests that compare it with recordings.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use bytes::Bytes;

/// Requests and commands beyond which nothing more is kept.
const ENTRIES_MAX: usize = 100_000;

/// A request or a command, as it arrived.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Heard {
    /// A request to the Arvados API.
    Api(HeardRequest),
    /// A request to the cloud.
    Cloud(HeardRequest),
    /// A command on a machine that the lab plays.
    Command {
        /// The machine's address, with port.
        address: String,
        /// The login.
        user: String,
        /// The command line.
        line: String,
        /// Its whole standard input; empty for an exit watch.
        stdin: Vec<u8>,
    },
}

/// An HTTP request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HeardRequest {
    /// GET, POST, …
    pub method: String,
    /// From the first slash to the question mark, still percent-encoded.
    pub path: String,
    /// What follows the question mark, or "".
    pub query: String,
    /// By lower-case name.
    pub headers: BTreeMap<String, String>,
    /// The body.
    pub body: Vec<u8>,
}

impl From<&http::Request<Bytes>> for HeardRequest {
    fn from(request: &http::Request<Bytes>) -> HeardRequest {
        let headers = request.headers().iter().map(|(name, value)| {
            let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
            (name.as_str().to_owned(), value)
        });
        HeardRequest {
            method: request.method().as_str().to_owned(),
            path: request.uri().path().to_owned(),
            query: request.uri().query().unwrap_or_default().to_owned(),
            headers: headers.collect(),
            body: request.body().to_vec(),
        }
    }
}

/// Keeps what is heard, once somebody listens.
#[derive(Debug, Default)]
pub(crate) struct Ear(Mutex<Option<Vec<Heard>>>);

impl Ear {
    /// Keeps everything from here on.
    pub(crate) fn open(&self) {
        *self.entries() = Some(Vec::new());
    }

    /// Everything that was kept.
    pub(crate) fn heard(&self) -> Vec<Heard> {
        self.entries().clone().unwrap_or_default()
    }

    /// Everything that was kept since the last call.
    pub(crate) fn take(&self) -> Vec<Heard> {
        (self.entries().as_mut()).map_or_else(Vec::new, std::mem::take)
    }

    /// Keeps one entry, if somebody listens.
    pub(crate) fn hear(&self, entry: impl FnOnce() -> Heard) {
        if let Some(entries) = self
            .entries()
            .as_mut()
            .filter(|entries| entries.len() < ENTRIES_MAX)
        {
            entries.push(entry());
        }
    }

    fn entries(&self) -> std::sync::MutexGuard<'_, Option<Vec<Heard>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
