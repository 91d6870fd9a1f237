//! What an error of libssh2 means for the channel and for the connection.

use std::io;

use ssh2::{Error, ErrorCode, Session};

/// LIBSSH2_ERROR_EAGAIN: to be repeated, with the same arguments, by the same owner.
const EAGAIN: i32 = -37;

/// Errors that concern one channel or one request alone: CHANNEL_FAILURE, CHANNEL_REQUEST_DENIED, CHANNEL_UNKNOWN,
/// CHANNEL_WINDOW_EXCEEDED, CHANNEL_PACKET_EXCEEDED, CHANNEL_CLOSED, CHANNEL_EOF_SENT, INVAL. All others leave a session
/// that nobody can rely on.
const OF_THE_CHANNEL: [i32; 8] = [-21, -22, -23, -24, -25, -26, -27, -34];

/// AUTHENTICATION_FAILED, PUBLICKEY_UNVERIFIED, METHOD_NOT_SUPPORTED and FILE: the server or libssh2 does not take the
/// key; another attempt would end the same way.
const OF_THE_KEY: [i32; 4] = [-18, -19, -33, -16];

/// An error that is not "try again".
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Fault {
    /// Only this channel is lost.
    Channel(String),
    /// The connection is.
    Connection(String),
}

/// What came of one step: done, not yet, or a fault.
pub(crate) type Step<T> = Result<Option<T>, Fault>;

/// Sorts the result of a call.
pub(crate) fn sort<T>(result: Result<T, Error>) -> Step<T> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) => match error.code() {
            ErrorCode::Session(EAGAIN) => Ok(None),
            ErrorCode::Session(code) if OF_THE_CHANNEL.contains(&code) => {
                Err(Fault::Channel(words(&error)))
            }
            ErrorCode::Session(_) | ErrorCode::SFTP(_) => Err(Fault::Connection(words(&error))),
        },
    }
}

/// Sorts the result of a read or write, whose error has lost libssh2's code on the way.
pub(crate) fn sort_io(result: io::Result<usize>, session: &Session) -> Step<usize> {
    match result {
        Ok(n) => Ok(Some(n)),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        Err(error) => match Error::last_session_error(session) {
            Some(known) => sort(Err(known)),
            None => Err(Fault::Connection(error.to_string())),
        },
    }
}

/// Whether a login failed because of the key.
pub(crate) fn is_about_the_key(error: &Error) -> bool {
    matches!(error.code(), ErrorCode::Session(code) if OF_THE_KEY.contains(&code))
}

/// The error as libssh2 words it, on one line and not too long: part of it may come from the server.
pub(crate) fn words(error: &Error) -> String {
    tidy(error.message())
}

/// Text from a server, made fit for a log line.
pub(crate) fn tidy(text: &str) -> String {
    let mut tidied: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(300)
        .collect();
    tidied.truncate(tidied.trim_end().len());
    tidied
}
