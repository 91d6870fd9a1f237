//! Which values are secrets, so that no message and no dump shows them.

use serde_json::Value;

use crate::{
    document::{Content, Node},
    path::KeyPath,
    secret::MASK,
};

/// Parts of key names that tell of a secret, in lower case.
const SECRET_NAMES: [&str; 9] = [
    "secret",
    "password",
    "passwd",
    "token",
    "privatekey",
    "signingkey",
    "accountkey",
    "accesskey",
    "authkey",
];

/// Keys that have such a part and are none.
const NOT_SECRET: [&str; 8] = [
    "TokenLifetime",
    "MaxTokenLifetime",
    "RemoteTokenRefresh",
    "IssueTrustedTokens",
    "SyncUserAPITokens",
    "AcceptAccessToken",
    "AcceptAccessTokenScope",
    "UsePasswordAuthentication",
];

/// What an operator writes on purpose to run on every new instance: it often fetches something with a password.
const SECRET_COMMAND: &str = "Containers.CloudVMs.InstanceInitCommand";

/// Where any text may be a connection string with a password in it: libpq's `dbname`, for one.
const CONNECTION: &str = "PostgreSQL.Connection.*";

/// The longest piece of a value that a message shows, in characters.
const SHOWN_MAX: usize = 80;

/// Whether this text at this place must not be shown.
pub(crate) fn is_secret(path: &KeyPath, text: &str) -> bool {
    if text.is_empty() {
        return false;
    }
    if text.contains("-----BEGIN") || path.matches(SECRET_COMMAND) {
        return true;
    }
    if path.matches(CONNECTION) && is_secret_in_connection(path, text) {
        return true;
    }
    // A reference to a file is none, whatever is in the file.
    if text.starts_with("file:///") || text.starts_with('/') {
        return false;
    }
    path.keys().iter().any(|key| {
        let name = key.to_lowercase();
        !NOT_SECRET.contains(&key.as_str())
            && (SECRET_NAMES.iter().any(|part| name.contains(part)) || names_a_key(key))
    })
}

/// Settings for the server's command line, and whatever reads like `password=…`.
fn is_secret_in_connection(path: &KeyPath, text: &str) -> bool {
    let is_options = |key: &String| key.eq_ignore_ascii_case("options");
    let text = text.to_lowercase();
    let assigns = |name: &&str| {
        text.match_indices(*name).any(|(start, name)| {
            let rest = text[start + name.len()..].trim_start();
            rest.starts_with('=')
        })
    };
    path.keys().last().is_some_and(is_options) || SECRET_NAMES.iter().any(assigns)
}

/// Whether a name ends in the word "key" (`apiKey`, `api_key`, `APIKEY`), other than a public key's, and is not merely
/// a word that ends so (`monkey`).
fn names_a_key(key: &str) -> bool {
    let name = key.to_lowercase();
    let as_a_word = ["Key", "KEY", "_key", "-key"];
    (name == "key" || name.ends_with("apikey") || as_a_word.iter().any(|end| key.ends_with(end)))
        && !name.contains("public")
}

/// A text as it may be shown: masked, or without the password of a URL.
pub(crate) fn masked(path: &KeyPath, text: &str) -> String {
    if is_secret(path, text) {
        return MASK.to_owned();
    }
    without_user_info(text)
}

/// A URL without its user name and password; any other text as it is.
pub(crate) fn without_user_info(text: &str) -> String {
    if let Some((scheme, rest)) = text.split_once("://") {
        let authority = &rest[..rest.find('/').unwrap_or(rest.len())];
        if let Some((user_info, _)) = authority.rsplit_once('@') {
            return format!("{scheme}://{MASK}{}", &rest[user_info.len()..]);
        }
    }
    text.to_owned()
}

/// A copy of a tree in which secrets are masked.
pub(crate) fn masked_tree(path: &KeyPath, value: &Value) -> Value {
    match value {
        Value::String(text) => Value::String(masked(path, text)),
        // A secret of digits alone may have been written without quotes.
        Value::Number(number) if is_secret(path, &number.to_string()) => {
            Value::String(MASK.to_owned())
        }
        Value::Array(items) => {
            Value::Array(items.iter().map(|item| masked_tree(path, item)).collect())
        }
        Value::Object(map) => Value::Object(
            map.iter()
                .map(|(key, value)| (key.clone(), masked_tree(&path.child(key), value)))
                .collect(),
        ),
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    }
}

/// A value as a message shows it: what was written, shortened.
pub(crate) fn shown(path: &KeyPath, node: &Node) -> Option<String> {
    match &node.content {
        Content::Null => None,
        Content::Bool(_, written) => Some(written.clone()),
        Content::Number(_, written) if is_secret(path, written) => Some(MASK.to_owned()),
        Content::Number(_, written) => Some(shortened(written)),
        Content::Text(text) if is_secret(path, text) => Some(MASK.to_owned()),
        Content::Text(text) => Some(quoted(&masked(path, text))),
        Content::List(items) => Some(format!("[a list of {}]", items.len())),
        Content::Map(entries) => Some(format!("{{a section of {}}}", entries.len())),
    }
}

/// A text in quotes, on one line, shortened.
pub(crate) fn quoted(text: &str) -> String {
    format!("{:?}", shortened(text))
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(SHOWN_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_known_by_their_key_or_their_look() {
        let rows = [
            ("SystemRootToken", "abc", MASK),
            ("systemroottoken", "abc", MASK),
            ("ManagementToken", "", ""),
            ("Collections.BlobSigningKey", "abc", MASK),
            ("PostgreSQL.Connection.password", "abc", MASK),
            ("PostgreSQL.Connection.user", "abc", "abc"),
            ("PostgreSQL.Connection.Options", "-c a.password=x", MASK),
            ("PostgreSQL.Connection.options", "-c role=joe", MASK),
            ("PostgreSQL.Connection.dbname", "host=db Password = x", MASK),
            ("PostgreSQL.Connection.dbname", "passwords", "passwords"),
            ("Containers.DispatchPrivateKey", "-----BEGIN x", MASK),
            (
                "Containers.DispatchPrivateKey",
                "file:///etc/key",
                "file:///etc/key",
            ),
            (
                "Containers.CloudVMs.DriverParameters.SecretAccessKey",
                "abc",
                MASK,
            ),
            (
                "Containers.CloudVMs.DriverParameters.ClientSecret",
                "abc",
                MASK,
            ),
            (
                "Volumes.zzzzz-nyw5e-0.DriverParameters.StorageAccountKey",
                "abc",
                MASK,
            ),
            ("Login.Google.ClientSecret", "abc", MASK),
            ("Login.LDAP.SearchBindPassword", "abc", MASK),
            ("Login.Test.Users.joe.Password", "abc", MASK),
            ("Users.AnonymousUserToken", "abc", MASK),
            ("Login.TokenLifetime", "1h", "1h"),
            ("API.MaxTokenLifetime", "1h", "1h"),
            ("TLS.Key", "abc", MASK),
            ("Services.Foo.apiKey", "abc", MASK),
            ("Services.Foo.APIKEY", "abc", MASK),
            ("Services.Foo.api_key", "abc", MASK),
            ("Services.Foo.apikey", "abc", MASK),
            ("Services.Foo.Key.nested", "abc", MASK),
            ("InstanceTypes.monkey.ProviderType", "abc", "abc"),
            ("Containers.CloudVMs.DeployPublicKey", "true", "true"),
            ("Containers.CloudVMs.TagKeyPrefix", "abc", "abc"),
            (
                "Containers.CloudVMs.InstanceInitCommand",
                "/bin/fetch --user joe:pw",
                MASK,
            ),
            ("Containers.CloudVMs.InstanceInitCommand", "", ""),
            ("TLS.Key", "/etc/tls/key.pem", "/etc/tls/key.pem"),
            ("ImageID", "-----BEGIN PRIVATE", MASK),
            (
                "Services.X.ExternalURL",
                "https://joe:pw@host/x",
                "https://(secret)@host/x",
            ),
            (
                "Services.X.ExternalURL",
                "https://host/x@y",
                "https://host/x@y",
            ),
        ];
        for (path, text, expected) in rows {
            assert_eq!(masked(&KeyPath::dotted(path), text), expected, "{path}");
        }
    }

    #[test]
    fn long_values_are_shortened() {
        let node = Node {
            line: 1,
            content: Content::Text("ä".repeat(200)),
        };
        let text = shown(&KeyPath::dotted("ImageID"), &node).unwrap();
        assert_eq!(text.chars().count(), SHOWN_MAX + 3);
    }
}
