//! The dispatcher's private key: what it may look like, and the public half of it.

mod openssh;
mod pem;
#[cfg(test)]
mod tests;

use std::{fmt, fs, io, sync::Arc};

use base64::{Engine, prelude::BASE64_STANDARD};

/// A private key that SSH can log in with: RSA, ECDSA (NIST curves) or ED25519, as PEM (PKCS#1, SEC1, PKCS#8) or in
/// OpenSSH's own form, without a passphrase. Does not print its secret part.
#[derive(Clone)]
pub struct PrivateKey {
    text: Arc<str>,
    algorithm: &'static str,
    public_blob: Vec<u8>,
}

impl PrivateKey {
    /// From the value of `Containers.DispatchPrivateKey`: the key itself, or `file:///absolute/path` (facts X10).
    pub fn load(value: &str) -> Result<Self, KeyError> {
        match value.trim().strip_prefix("file://") {
            Some(path) if path.starts_with('/') => {
                let text = fs::read_to_string(path).map_err(|source| KeyError::Unreadable {
                    path: path.to_owned(),
                    source,
                })?;
                Self::parse(&text)
            }
            Some(path) => Err(KeyError::RelativePath(path.to_owned())),
            None => Self::parse(value),
        }
    }

    /// From the text of the key.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let armor = pem::find(text)?;
        let half = match armor.label {
            "OPENSSH PRIVATE KEY" => openssh::public_half(&armor.body)?,
            "RSA PRIVATE KEY" => pem::from_pkcs1(&armor.body)?,
            "EC PRIVATE KEY" => pem::from_sec1(&armor.body)?,
            "PRIVATE KEY" => pem::from_pkcs8(&armor.body)?,
            "ENCRYPTED PRIVATE KEY" => return Err(KeyError::Encrypted),
            other => return Err(KeyError::Unsupported(other.to_ascii_lowercase())),
        };
        Ok(Self {
            text: armor.text.into(),
            algorithm: half.algorithm,
            public_blob: half.blob,
        })
    }

    /// The public half as a line of `authorized_keys`, without comment or line end: "ssh-ed25519 AAAA…".
    pub fn public_line(&self) -> String {
        format!(
            "{} {}",
            self.algorithm,
            BASE64_STANDARD.encode(&self.public_blob)
        )
    }

    /// The algorithm as SSH names it, such as "ssh-ed25519".
    pub fn algorithm(&self) -> &'static str {
        self.algorithm
    }

    /// The secret itself, as libssh2 wants it.
    pub(crate) fn reveal(&self) -> &str {
        &self.text
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PrivateKey({})", self.algorithm)
    }
}

/// Why a text is not a key that we can log in with. Never contains a part of the text.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// `file://` with a path that cannot be read.
    #[error("cannot read the key file {path}")]
    Unreadable {
        /// Which.
        path: String,
        /// The system's words.
        #[source]
        source: io::Error,
    },
    /// `file://` without an absolute path.
    #[error("\"file://{0}\" names no absolute path; write file:///absolute/path")]
    RelativePath(String),
    /// Something else than a private key.
    #[error(
        "{0}; give the text of a private key (RSA, ECDSA or ED25519; PEM or OpenSSH form), or file:///absolute/path of one"
    )]
    NotAKey(&'static str),
    /// Nobody could type the passphrase.
    #[error(
        "the key is encrypted; remove its passphrase (ssh-keygen -p -N '' -f FILE) or make one without"
    )]
    Encrypted,
    /// A kind that SSH servers no longer accept, or that we cannot use.
    #[error(
        "keys of the kind \"{0}\" cannot be used; make an RSA, ECDSA (nistp256, 384, 521) or ED25519 key"
    )]
    Unsupported(String),
    /// Looks like a key and is none.
    #[error("the key is damaged: {0}; copy it again, with all its lines")]
    Damaged(&'static str),
}

/// The public half of a key.
struct PublicHalf {
    algorithm: &'static str,
    /// As RFC 4253 encodes it.
    blob: Vec<u8>,
}

/// The name by which SSH knows the algorithm, if we can use it.
fn known_algorithm(name: &str) -> Option<&'static str> {
    [
        "ssh-rsa",
        "ssh-ed25519",
        "ecdsa-sha2-nistp256",
        "ecdsa-sha2-nistp384",
        "ecdsa-sha2-nistp521",
    ]
    .into_iter()
    .find(|known| *known == name)
}

/// Appends a string of RFC 4251: its length in four bytes, then itself.
fn put_string(blob: &mut Vec<u8>, bytes: &[u8]) {
    let length = u32::try_from(bytes.len()).expect("keys are short");
    blob.extend_from_slice(&length.to_be_bytes());
    blob.extend_from_slice(bytes);
}
