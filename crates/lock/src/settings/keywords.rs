//! The keywords of libpq: which are read, which need not be, and which are not honoured; anything else is a setting of the
//! server's session, as Arvados' own driver has it.

use std::collections::BTreeMap;

use super::{SettingsError, error};

const READ: &[&str] = &[
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
];

/// They say nothing to us: we set our own, or they only prefer what we do anyway.
const NEEDLESS: &[&str] = &[
    "client_encoding",
    "keepalives",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_count",
    "tcp_user_timeout",
    "target_session_attrs",
    "load_balance_hosts",
    "sslsni",
    "sslcompression",
    "gssencmode",
    "binary_parameters",
    "disable_prepared_binary_result",
];

/// Without them the database may not be reached, or not as the operator means it.
const NOT_HONOURED: &[&str] = &[
    "channel_binding",
    "gssdelegation",
    "gsslib",
    "krbspn",
    "krbsrvname",
    "passfile",
    "require_auth",
    "requirepeer",
    "requiressl",
    "service",
    "servicefile",
    "ssl_max_protocol_version",
    "ssl_min_protocol_version",
    "sslcertmode",
    "sslcrl",
    "sslcrldir",
    "sslinline",
    "sslkeylogfile",
    "sslnegotiation",
    "sslpassword",
];

/// Settings of a session that somebody may want, and that are no slip of the pen.
const OF_SESSIONS: &[&str] = &[
    "datestyle",
    "idle_in_transaction_session_timeout",
    "idle_session_timeout",
    "intervalstyle",
    "lock_timeout",
    "role",
    "search_path",
    "statement_timeout",
    "timezone",
];

fn is_keyword(key: &str) -> bool {
    [READ, NEEDLESS, NOT_HONOURED]
        .iter()
        .any(|list| list.contains(&key))
}

/// What somebody should look at although it can be used: keys that are not honoured, and likely slips.
pub(super) fn remarks(keys: &BTreeMap<String, String>) -> Vec<SettingsError> {
    let keys = keys.keys().map(String::as_str);
    keys.filter_map(remark).collect()
}

fn remark(key: &str) -> Option<SettingsError> {
    if NOT_HONOURED.contains(&key) {
        let problem =
            "is a keyword of libpq that the dispatcher does not honour: it is ignored".to_owned();
        let remedy = match key {
            "service" | "servicefile" => {
                "write here what the service file says: host, port, dbname, user"
            }
            "passfile" => "write the password under password",
            "sslpassword" => "name a key without a passphrase",
            _ => "remove it, and see that the database can be reached without it",
        };
        return Some(error(key, problem, remedy));
    }
    if is_keyword(key) || OF_SESSIONS.contains(&key) {
        return None;
    }
    let problem =
        "is no keyword of libpq, and goes to the server as a setting of the session".to_owned();
    let nearest = READ.iter().map(|known| (distance(key, known), known)).min();
    Some(match nearest {
        Some((0..=2, known)) => error(key, problem, &format!("did you mean {known}?")),
        _ => error(
            key,
            problem,
            "remove it if that is not meant: a setting that the server does not know keeps the dispatcher out",
        ),
    })
}

/// How many letters are to be put in, taken out or changed to get from one to the other.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let changed = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

/// What the server gets as its command line.
pub(super) fn options(keys: &BTreeMap<String, String>) -> String {
    let mut options = keys.get("options").cloned().unwrap_or_default();
    for (key, value) in keys {
        if is_keyword(key) {
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
