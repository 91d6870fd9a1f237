//! How to reach the database: `PostgreSQL.Connection`, whose keys are libpq's keywords (facts §2.7).

mod keywords;
mod places;

use std::{collections::BTreeMap, fmt, path::PathBuf, time::Duration};

use crate::tls::Maker;

/// Where the database is and how to log in to it. Shows no secret.
#[derive(Clone)]
pub struct Settings {
    pub(crate) places: Vec<Place>,
    pub(crate) user: Option<String>,
    pub(crate) password: Option<String>,
    pub(crate) database: Option<String>,
    pub(crate) application: String,
    /// What the server gets as its command line: "" for nothing.
    pub(crate) options: String,
    pub(crate) encryption: Encryption,
    pub(crate) root_certificate: Option<PathBuf>,
    pub(crate) client_certificate: Option<(PathBuf, PathBuf)>,
    /// For each address, while there are others to try.
    pub(crate) among_others: Duration,
    /// For an address that is the only one.
    pub(crate) alone: Duration,
    remarks: Vec<SettingsError>,
}

/// One host, or one directory with a socket in it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Place {
    /// A name, an address, or a directory if it begins with a slash.
    pub(crate) host: String,
    /// Connect to this address instead of looking the name up.
    pub(crate) address: Option<std::net::IpAddr>,
    pub(crate) port: u16,
}

/// `sslmode`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Encryption {
    Disable,
    /// If the server offers it.
    Prefer,
    /// Of whom it is, nothing is known.
    Require,
    /// With a certificate of a known authority.
    VerifyCa,
    /// … made out to that host.
    VerifyFull,
}

/// `PostgreSQL.Connection` cannot be used.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("PostgreSQL.Connection.{key}: {problem}; {remedy}")]
pub struct SettingsError {
    /// The key, in lower case.
    pub key: String,
    /// What is wrong with it. Has no secret.
    pub problem: String,
    /// What to write instead.
    pub remedy: String,
}

/// However patient the configuration: beside a host that does not answer there may be one that does.
const CONNECT_WITHIN: Duration = Duration::from_secs(2);
/// However patient the configuration: a line that was cut during an attempt is noticed after it.
const ALONE_WITHIN_MAX: Duration = Duration::from_secs(60);
/// What `sslrootcert` says for the authorities that this system trusts.
const SYSTEM: &str = "system";
/// PostgreSQL cuts longer names off.
const APPLICATION_BYTES_MAX: usize = 63;

impl Settings {
    /// From the keys, in lower case, without empty values. `None` if there are none: then no lock is to be taken.
    /// `application` is what we call ourselves unless the configuration does.
    pub fn from_connection(
        keys: &BTreeMap<String, String>,
        application: &str,
    ) -> Result<Option<Settings>, SettingsError> {
        if keys.is_empty() {
            return Ok(None);
        }
        let text = |key: &str| keys.get(key).cloned();
        let places = places::places(keys)?;
        let encryption = encryption(keys, &places)?;
        let patience = match keys.get("connect_timeout") {
            None => CONNECT_WITHIN,
            Some(text) => match text.trim().parse::<u64>() {
                // To libpq: as long as it takes.
                Ok(0) => ALONE_WITHIN_MAX,
                Ok(seconds) => Duration::from_secs(seconds).min(ALONE_WITHIN_MAX),
                Err(_) => {
                    return Err(error(
                        "connect_timeout",
                        format!("{text:?} is no number of seconds"),
                        "write 10, for instance",
                    ));
                }
            },
        };
        let client_certificate = match (text("sslcert"), text("sslkey")) {
            (Some(certificate), Some(key)) => Some((certificate.into(), key.into())),
            (None, None) => None,
            (Some(_), None) => return Err(other_half("sslkey", "sslcert")),
            (None, Some(_)) => return Err(other_half("sslcert", "sslkey")),
        };
        let mut application = text("application_name")
            .or_else(|| text("fallback_application_name"))
            .unwrap_or_else(|| application.to_owned());
        while application.len() > APPLICATION_BYTES_MAX {
            application.pop();
        }
        Ok(Some(Settings {
            places,
            user: text("user"),
            password: text("password"),
            database: text("dbname"),
            application,
            options: keywords::options(keys),
            encryption,
            root_certificate: text("sslrootcert")
                .filter(|file| file != SYSTEM)
                .map(PathBuf::from),
            client_certificate,
            among_others: patience.min(CONNECT_WITHIN),
            alone: patience,
            remarks: keywords::remarks(keys),
        }))
    }

    /// What somebody should look at although it can be used.
    pub fn remarks(&self) -> &[SettingsError] {
        &self.remarks
    }

    /// Whether the files that are named can be used on this host. Blocks while they are read.
    pub fn check_files(&self) -> Result<(), SettingsError> {
        match self.encryption {
            Encryption::Disable => Ok(()),
            _ => Maker::new(self).map(drop),
        }
    }

    /// How long one address is given to let us in.
    pub(crate) fn patience(&self, alone: bool) -> Duration {
        if alone { self.alone } else { self.among_others }
    }

    /// Where it is, for people: hosts and database, nothing else.
    pub fn place(&self) -> String {
        let places: Vec<String> = self.places.iter().map(Place::to_string).collect();
        match &self.database {
            Some(database) => format!("{database:?} at {}", places.join(", ")),
            None => places.join(", "),
        }
    }
}

impl Place {
    pub(crate) fn is_directory(&self) -> bool {
        self.host.starts_with('/')
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Place { host, port, .. } = self;
        if host.contains(':') {
            write!(f, "[{host}]:{port}")
        } else {
            write!(f, "{host}:{port}")
        }
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("places", &self.places)
            .field("encryption", &self.encryption)
            .finish_non_exhaustive()
    }
}

/// Without a mode: encrypted, as the Go dispatcher's driver has it; but not over a socket in a directory.
fn encryption(
    keys: &BTreeMap<String, String>,
    places: &[Place],
) -> Result<Encryption, SettingsError> {
    let authority = keys.get("sslrootcert").map(String::as_str);
    let verified = authority.is_some();
    let mode = match keys.get("sslmode").map(String::as_str) {
        Some("disable") => Encryption::Disable,
        Some("allow" | "prefer") => Encryption::Prefer,
        // Anybody can have a certificate of those that systems trust: only the name tells hosts apart.
        Some("require" | "verify-ca" | "verify-full") | None if authority == Some(SYSTEM) => {
            Encryption::VerifyFull
        }
        // With an authority to check against, this has always meant to check.
        None | Some("require") if verified => Encryption::VerifyCa,
        None | Some("require") => Encryption::Require,
        Some("verify-ca") => Encryption::VerifyCa,
        Some("verify-full") => Encryption::VerifyFull,
        Some(other) => {
            return Err(error(
                "sslmode",
                format!("{other:?} is none of PostgreSQL's modes"),
                "write disable, require, verify-ca or verify-full",
            ));
        }
    };
    let local = places.iter().all(Place::is_directory);
    Ok(if local { Encryption::Disable } else { mode })
}

fn other_half(missing: &str, present: &str) -> SettingsError {
    error(
        missing,
        format!("is missing, and {present} is set"),
        "write both or neither",
    )
}

pub(crate) fn error(key: &str, problem: String, remedy: &str) -> SettingsError {
    SettingsError {
        key: key.to_owned(),
        problem,
        remedy: remedy.to_owned(),
    }
}

#[cfg(test)]
mod tests;
