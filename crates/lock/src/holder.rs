//! Who holds the lock, as the database knows it (facts §2.7).

use std::fmt;

/// The session that holds the lock. What the database does not tell is "".
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Holder {
    /// The process id of its backend, on the database's host.
    pub pid: String,
    /// The client's address; "" for a session over a socket in a directory.
    pub address: String,
    /// The client's port; "" likewise.
    pub port: String,
    /// What the client calls itself.
    pub application: String,
    /// Since when the session has existed.
    pub since: String,
}

/// Everything about whoever holds the lock in this database.
pub(crate) const QUERY: &str = "\
SELECT l.pid, host(a.client_addr), a.client_port, a.application_name, a.backend_start
FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid
WHERE l.locktype = 'advisory' AND l.classid = 0 AND l.objid = 10005 AND l.objsubid = 1 AND l.granted
AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())";

impl Holder {
    /// From a row of the query: whatever is NULL, or longer than anything of use, is left out or cut.
    pub(crate) fn from_columns(column: impl Fn(usize) -> Option<String>) -> Holder {
        const CHARS_MAX: usize = 100;
        let text = |n| {
            column(n)
                .unwrap_or_default()
                .chars()
                .filter(|c| !c.is_control())
                .take(CHARS_MAX)
                .collect()
        };
        let port: String = text(2);
        Holder {
            pid: text(0),
            address: text(1),
            port: if port == "-1" { String::new() } else { port },
            application: text(3),
            since: text(4),
        }
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.application.is_empty() {
            write!(f, "a session without a name")?;
        } else {
            write!(f, "{:?}", self.application)?;
        }
        match (self.address.as_str(), self.port.as_str()) {
            ("", _) => write!(f, " on the database's host")?,
            (address, "") => write!(f, " at {address}")?,
            (address, port) if address.contains(':') => write!(f, " at [{address}]:{port}")?,
            (address, port) => write!(f, " at {address}:{port}")?,
        }
        write!(f, " (backend {}", self.pid)?;
        if !self.since.is_empty() {
            write!(f, ", connected since {}", self.since)?;
        }
        write!(f, ")")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(columns: [Option<&str>; 5], expected: &str) {
        let holder = Holder::from_columns(|n| columns[n].map(str::to_owned));
        assert_eq!(holder.to_string(), expected);
    }

    #[test]
    fn a_holder_is_described_by_what_the_database_tells() {
        check(
            [
                Some("17"),
                Some("10.0.0.7"),
                Some("40112"),
                Some("arvados-dispatch-cloud"),
                Some("2026-11-23 03:00:00+00"),
            ],
            "\"arvados-dispatch-cloud\" at 10.0.0.7:40112 (backend 17, connected since 2026-11-23 03:00:00+00)",
        );
        check(
            [Some("17"), Some("fd00::7"), Some("40112"), Some(""), None],
            "a session without a name at [fd00::7]:40112 (backend 17)",
        );
    }

    #[test]
    fn a_holder_over_a_socket_has_no_address() {
        check(
            [Some("17"), None, Some("-1"), Some("x\ny"), None],
            "\"xy\" on the database's host (backend 17)",
        );
    }
}
