//! How to reach the database: `PostgreSQL.Connection`, whose keys are libpq's keywords (facts §2.7).

use std::{collections::BTreeMap, fmt, path::PathBuf, time::Duration};

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
    /// For each place.
    pub(crate) connect_within: Duration,
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

/// More hosts than this would not be got round in time.
const PLACES_MAX: usize = 8;
/// However patient the configuration: beside a host that does not answer there may be one that does.
const CONNECT_WITHIN: Duration = Duration::from_secs(2);
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
        let places = places(keys)?;
        let encryption = encryption(keys, &places)?;
        let connect_within = match keys.get("connect_timeout") {
            None => CONNECT_WITHIN,
            Some(text) => match text.trim().parse::<u64>() {
                Ok(0) => CONNECT_WITHIN,
                Ok(seconds) => Duration::from_secs(seconds).min(CONNECT_WITHIN),
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
            options: options(keys),
            encryption,
            root_certificate: text("sslrootcert").map(PathBuf::from),
            client_certificate,
            connect_within,
        }))
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

/// Keywords that are ours to read; anything else is a setting of the server's session, as Arvados' own driver has it.
const KEYWORDS: &[&str] = &[
    "host",
    "hostaddr",
    "port",
    "user",
    "password",
    "dbname",
    "application_name",
    "fallback_application_name",
    "connect_timeout",
    "options",
    "sslmode",
    "sslrootcert",
    "sslcert",
    "sslkey",
    // Libpq's, which say nothing to us: we set our own, or have no use for them.
    "client_encoding",
    "keepalives",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_count",
    "tcp_user_timeout",
    "target_session_attrs",
    "load_balance_hosts",
    "sslinline",
    "sslsni",
    "sslcompression",
    "gssencmode",
    "krbsrvname",
    "krbspn",
    "passfile",
    "service",
    "binary_parameters",
    "disable_prepared_binary_result",
];

fn options(keys: &BTreeMap<String, String>) -> String {
    let mut options = keys.get("options").cloned().unwrap_or_default();
    for (key, value) in keys {
        if KEYWORDS.contains(&key.as_str()) {
            continue;
        }
        if !options.is_empty() {
            options.push(' ');
        }
        options.push_str("-c ");
        options.push_str(key);
        options.push('=');
        for c in value.chars() {
            if c.is_whitespace() || c == '\\' {
                options.push('\\');
            }
            options.push(c);
        }
    }
    options
}

fn places(keys: &BTreeMap<String, String>) -> Result<Vec<Place>, SettingsError> {
    let list = |key: &str| -> Vec<String> {
        let text = keys.get(key).map(String::as_str).unwrap_or_default();
        let parts = text.split(',').map(|part| part.trim().to_owned());
        if text.is_empty() {
            vec![]
        } else {
            parts.collect()
        }
    };
    let (hosts, addresses, ports) = (list("host"), list("hostaddr"), list("port"));
    let n = hosts.len().max(addresses.len()).max(1);
    if n > PLACES_MAX {
        return Err(error(
            "host",
            format!("has {n} hosts"),
            &format!("write {PLACES_MAX} at most"),
        ));
    }
    for (key, found) in [("host", &hosts), ("hostaddr", &addresses)] {
        if found.len() > 1 && found.len() != n {
            return Err(error(
                key,
                format!("has {} entries, and there are {n} hosts", found.len()),
                "write as many entries in host as in hostaddr",
            ));
        }
    }
    if ports.len() > 1 && ports.len() != n {
        return Err(error(
            "port",
            format!("has {} entries, and there are {n} hosts", ports.len()),
            "write one port, or one for each host",
        ));
    }
    (0..n)
        .map(|i| {
            let address = addresses.get(i).filter(|text| !text.is_empty());
            let address = address.map(|text| {
                text.parse().map_err(|_| {
                    error(
                        "hostaddr",
                        format!("{text:?} is no IP address"),
                        "write one as in 10.0.0.7, or use host",
                    )
                })
            });
            let address: Option<std::net::IpAddr> = address.transpose()?;
            let host = match hosts.get(i).filter(|host| !host.is_empty()) {
                Some(host) => host.clone(),
                None => address.map_or("localhost".to_owned(), |address| address.to_string()),
            };
            let port = ports.get(i).or(ports.first()).map(String::as_str);
            let port = match port.unwrap_or_default() {
                "" => 5432,
                text => text.parse().ok().filter(|port| *port > 0).ok_or_else(|| {
                    error(
                        "port",
                        format!("{text:?} is no port"),
                        "write a number from 1 to 65535, usually 5432",
                    )
                })?,
            };
            Ok(Place {
                host,
                address,
                port,
            })
        })
        .collect()
}

/// Without a mode: encrypted, as the Go dispatcher's driver has it; but not over a socket in a directory.
fn encryption(
    keys: &BTreeMap<String, String>,
    places: &[Place],
) -> Result<Encryption, SettingsError> {
    let verified = keys.contains_key("sslrootcert");
    let mode = match keys.get("sslmode").map(String::as_str) {
        Some("disable") => Encryption::Disable,
        Some("allow" | "prefer") => Encryption::Prefer,
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
    let local = places.iter().all(|place| place.host.starts_with('/'));
    Ok(if local { Encryption::Disable } else { mode })
}

fn other_half(missing: &str, present: &str) -> SettingsError {
    error(
        missing,
        format!("is missing, and {present} is set"),
        "write both or neither",
    )
}

fn error(key: &str, problem: String, remedy: &str) -> SettingsError {
    SettingsError {
        key: key.to_owned(),
        problem,
        remedy: remedy.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(keys: &[(&str, &str)]) -> Result<Option<Settings>, SettingsError> {
        let keys = keys
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect();
        Settings::from_connection(&keys, "us")
    }

    fn good(keys: &[(&str, &str)]) -> Settings {
        let settings = read(keys).unwrap_or_else(|error| panic!("{keys:?}: {error}"));
        settings.expect("there are keys")
    }

    #[test]
    fn without_keys_no_lock_is_to_be_taken() {
        assert!(read(&[]).expect("nothing is fine").is_none());
    }

    #[test]
    fn hosts_addresses_and_ports_are_lists_of_which_the_last_may_be_one() {
        for (keys, expected) in [
            (&[("dbname", "a")][..], "\"a\" at localhost:5432"),
            (&[("host", "db"), ("port", "6543")], "db:6543"),
            (
                &[("host", "db1, db2"), ("port", "6543")],
                "db1:6543, db2:6543",
            ),
            (&[("host", "db1,db2"), ("port", "1,2")], "db1:1, db2:2"),
            (&[("host", "/run/pg,db")], "/run/pg:5432, db:5432"),
            (&[("host", "fd00::7")], "[fd00::7]:5432"),
            (&[("hostaddr", "10.0.0.7")], "10.0.0.7:5432"),
        ] {
            assert_eq!(good(keys).place(), expected, "{keys:?}");
        }
        let named = good(&[("host", "db"), ("hostaddr", "10.0.0.7")]);
        assert_eq!(named.places[0].host, "db");
        assert_eq!(named.places[0].address, "10.0.0.7".parse().ok());
    }

    #[test]
    fn without_a_mode_the_line_is_encrypted_as_the_go_dispatcher_has_it() {
        for (keys, expected) in [
            (&[("host", "db")][..], Encryption::Require),
            (&[("host", "/run/pg")], Encryption::Disable),
            (
                &[("host", "/run/pg"), ("sslmode", "require")],
                Encryption::Disable,
            ),
            (&[("sslmode", "disable")], Encryption::Disable),
            (&[("sslmode", "prefer")], Encryption::Prefer),
            (
                &[("sslmode", "require"), ("sslrootcert", "/ca")],
                Encryption::VerifyCa,
            ),
            (&[("sslmode", "verify-full")], Encryption::VerifyFull),
        ] {
            assert_eq!(good(keys).encryption, expected, "{keys:?}");
        }
    }

    #[test]
    fn what_cannot_be_used_is_refused_with_key_and_remedy() {
        for (keys, expected) in [
            (
                &[("port", "0")][..],
                "PostgreSQL.Connection.port: \"0\" is no port; write a number from 1 to 65535, usually 5432",
            ),
            (
                &[("host", "a,b"), ("port", "1,2,3")],
                "PostgreSQL.Connection.port: has 3 entries, and there are 2 hosts; write one port, or one for each host",
            ),
            (
                &[("hostaddr", "db")],
                "PostgreSQL.Connection.hostaddr: \"db\" is no IP address; write one as in 10.0.0.7, or use host",
            ),
            (
                &[("sslmode", "yes")],
                "PostgreSQL.Connection.sslmode: \"yes\" is none of PostgreSQL's modes; write disable, require, verify-ca or verify-full",
            ),
            (
                &[("sslcert", "/c")],
                "PostgreSQL.Connection.sslkey: is missing, and sslcert is set; write both or neither",
            ),
            (
                &[("connect_timeout", "soon")],
                "PostgreSQL.Connection.connect_timeout: \"soon\" is no number of seconds; write 10, for instance",
            ),
        ] {
            let refused = read(keys).expect_err("it cannot be used").to_string();
            assert_eq!(refused, expected, "{keys:?}");
        }
    }

    #[test]
    fn what_we_do_not_know_is_a_setting_of_the_session() {
        let settings = good(&[
            ("host", "db"),
            ("client_encoding", "UTF8"),
            ("search_path", "a, b"),
            ("options", "-c x=y"),
        ]);
        assert_eq!(settings.options, r"-c x=y -c search_path=a,\ b");
    }

    #[test]
    fn no_secret_is_shown() {
        let settings = good(&[("host", "db"), ("user", "me"), ("password", "hunter2")]);
        assert!(!format!("{settings:?} {}", settings.place()).contains("hunter2"));
    }
}
