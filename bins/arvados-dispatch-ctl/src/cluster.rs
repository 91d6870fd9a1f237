//! What the cluster configuration says about its dispatchers.

use std::path::Path;

use anyhow::{Result, anyhow};
use dispatch_config::{Address, Problem, Secret, Source, config_path, management_access};
use jiff::Timestamp;
use url::Url;

use crate::access::Environment;

/// The dispatchers of a configuration file.
#[derive(Debug)]
pub(crate) struct Cluster {
    /// The file, for messages.
    pub(crate) file: String,
    pub(crate) endpoints: Vec<Url>,
    pub(crate) token: Option<Secret>,
    pub(crate) insecure: bool,
}

/// Reads the file of the flag, of `$ARVADOS_CONFIG`, or Arvados' own. Mistakes that do not concern the management API
/// do not matter here.
pub(crate) fn read(flag: Option<&Path>, environment: &Environment) -> Result<Cluster> {
    let path = config_path(flag, environment.config.as_deref());
    // When the file was changed is of no interest.
    let source =
        Source::open(&path, Timestamp::UNIX_EPOCH).map_err(|problem| complaint(&[problem]))?;
    let access = management_access(&source).map_err(|problems| complaint(&problems))?;
    let endpoints = access
        .addresses
        .iter()
        .map(|candidate| endpoint(&candidate.internal));
    Ok(Cluster {
        file: source.file.clone(),
        endpoints: endpoints.collect::<Result<_>>()?,
        token: access.token,
        insecure: access.insecure,
    })
}

/// One line for each error.
fn complaint(problems: &[Problem]) -> anyhow::Error {
    let errors = problems.iter().filter(|problem| problem.is_error());
    let lines: Vec<_> = errors.map(Problem::to_string).collect();
    anyhow!("{}", lines.join("\n"))
}

/// An address without a host means every interface of its machine: the caller is taken to be on it.
fn endpoint(address: &Address) -> Result<Url> {
    let scheme = if address.tls { "https" } else { "http" };
    let host = match address.host.as_str() {
        "" => "localhost".to_owned(),
        ipv6 if ipv6.contains(':') => format!("[{ipv6}]"),
        host => host.to_owned(),
    };
    let text = format!("{scheme}://{host}:{}{}", address.port, address.path);
    Url::parse(&text).map_err(|error| anyhow!("the address {text} makes no URL: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_address_becomes_an_endpoint() {
        for (address, expected) in [
            ("http://127.0.0.1:9006", "http://127.0.0.1:9006/"),
            ("http://:9006", "http://localhost:9006/"),
            ("https://[::1]:9006/x", "https://[::1]:9006/x"),
            ("https://dispatch.example", "https://dispatch.example/"),
        ] {
            let address = Address::parse(address).unwrap();
            assert_eq!(endpoint(&address).unwrap().as_str(), expected);
        }
    }
}
