//! What the client is told once, at start.

use std::{fmt, path::PathBuf};

use url::Url;

/// How to reach the API, and as whom.
#[derive(Clone, Debug)]
pub struct ClientSettings {
    /// The cluster's five characters: containers of other clusters are never asked for (facts §2.1.2a).
    pub cluster_id: String,
    /// `Services.Controller.ExternalURL`. Only scheme, host and port are used.
    pub controller: Url,
    /// `SystemRootToken`.
    pub token: Token,
    /// `TLS.Insecure`: believe any certificate.
    pub insecure: bool,
    /// Whom to believe otherwise.
    pub roots: CaRoots,
    /// The environment's `ARVADOS_SERVER_ADDRESS`: dial this host instead of the controller's, at the same port.
    pub dial_instead: Option<String>,
    /// Whether the environment's proxy settings count. Never together with `dial_instead`.
    pub environment_proxies: bool,
    /// `API.MaxConcurrentRequests`: a quarter of it is the most calls we have under way; 0: no such limit (facts M9).
    pub server_max_concurrent_requests: usize,
}

/// Whose signatures under the API's certificate are believed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum CaRoots {
    /// The system's, or those that `SSL_CERT_FILE` names.
    System,
    /// Those in this file of PEM certificates, and only those.
    File(PathBuf),
}

impl CaRoots {
    /// Where Arvados packages keep the cluster's own authorities.
    pub const ARVADOS_FILE: &str = "/etc/arvados/ca-certificates.crt";

    /// Arvados' own file if it can be read and the operator has not chosen another by `SSL_CERT_FILE` (facts §2.1).
    pub fn of_this_host(ssl_cert_file_is_set: bool) -> CaRoots {
        if !ssl_cert_file_is_set && std::fs::File::open(Self::ARVADOS_FILE).is_ok() {
            CaRoots::File(PathBuf::from(Self::ARVADOS_FILE))
        } else {
            CaRoots::System
        }
    }
}

/// An API token. Does not print.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// The token with this text.
    pub fn new(text: impl Into<String>) -> Token {
        Token(text.into())
    }

    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}
