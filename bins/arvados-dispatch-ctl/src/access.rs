//! Where the dispatchers are and what opens their doors: from flags, environment, or the cluster configuration.

use std::{ffi::OsString, fs, path::Path, time::Duration};

use anyhow::{Context, Result, bail};
use dispatch_config::Secret;
use url::Url;

use crate::{
    cli::{Reach, base_url},
    cluster,
};

/// Where Arvados keeps the certificates that its own services are signed with.
const ARVADOS_CA: &str = "/etc/arvados/ca-certificates.crt";

/// Everything needed to reach the dispatchers.
pub(crate) struct Access {
    pub(crate) endpoints: Vec<Url>,
    pub(crate) token: Secret,
    /// Accept any certificate.
    pub(crate) insecure: bool,
    /// PEM of certificates to accept besides the system's.
    pub(crate) ca: Option<Vec<u8>>,
    /// For each request.
    pub(crate) timeout: Duration,
}

/// What the environment says; read once, so that tests can say it.
#[derive(Debug, Default)]
pub(crate) struct Environment {
    /// `ARVADOS_DISPATCH_URL`: one or more, separated by blanks or commas.
    pub(crate) url: Option<OsString>,
    /// `ARVADOS_DISPATCH_TOKEN`.
    pub(crate) token: Option<Secret<OsString>>,
    /// `ARVADOS_CONFIG`.
    pub(crate) config: Option<OsString>,
    /// Whether `SSL_CERT_FILE` is set: then Arvados' own certificates are not added (facts §2.1).
    pub(crate) cert_file: bool,
}

impl Environment {
    /// The environment of this process. What is set to nothing counts as not set.
    pub(crate) fn read() -> Self {
        let read = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        Environment {
            url: read("ARVADOS_DISPATCH_URL"),
            token: read("ARVADOS_DISPATCH_TOKEN").map(Secret::new),
            config: read("ARVADOS_CONFIG"),
            cert_file: read("SSL_CERT_FILE").is_some(),
        }
    }
}

/// Flags before environment before configuration; the configuration is read only if something is missing. One that
/// is named by a flag goes before the environment.
pub(crate) fn find(reach: Reach, environment: &Environment) -> Result<Access> {
    let nothing = Environment::default();
    let said = if reach.config.is_some() {
        &nothing
    } else {
        environment
    };
    let endpoints = match endpoints(said)? {
        _ if !reach.url.is_empty() => Some(reach.url),
        from_environment => from_environment,
    };
    let token = token(reach.token_file.as_deref(), reach.token, said)?;
    let mut insecure = reach.insecure;
    let (endpoints, token) = match (endpoints, token) {
        (Some(endpoints), Some(token)) => (endpoints, token),
        (endpoints, token) => {
            let cluster = cluster::read(reach.config.as_deref(), environment).context(
                "neither flags nor environment name both the dispatcher's URL and token, so the configuration is needed",
            )?;
            // Whoever names a CA wants it to count.
            insecure |= cluster.insecure && reach.ca.is_none();
            let token = match token.or(cluster.token) {
                Some(token) => token,
                None => bail!(
                    "{} has no ManagementToken: set one, or give --token-file",
                    cluster.file
                ),
            };
            let endpoints = endpoints.unwrap_or(cluster.endpoints);
            if endpoints.is_empty() {
                bail!(
                    "{} has no Services.DispatchCloud.InternalURLs: add one, or give --url",
                    cluster.file
                );
            }
            (endpoints, token)
        }
    };
    Ok(Access {
        endpoints,
        token,
        insecure,
        ca: ca(reach.ca.as_deref(), environment.cert_file)?,
        timeout: reach.timeout,
    })
}

fn endpoints(environment: &Environment) -> Result<Option<Vec<Url>>> {
    let Some(text) = &environment.url else {
        return Ok(None);
    };
    let text = text.to_string_lossy();
    let urls = text
        .split([' ', ','])
        .filter(|url| !url.is_empty())
        .map(|url| {
            base_url(url)
                .map_err(|error| anyhow::anyhow!("$ARVADOS_DISPATCH_URL has `{url}`: {error}"))
        });
    let urls: Vec<Url> = urls.collect::<Result<_>>()?;
    Ok((!urls.is_empty()).then_some(urls))
}

fn token(
    file: Option<&Path>,
    flag: Option<String>,
    environment: &Environment,
) -> Result<Option<Secret>> {
    if let Some(file) = file {
        let text = fs::read_to_string(file)
            .with_context(|| format!("cannot read the token file {}", file.display()))?;
        if text.trim().is_empty() {
            bail!("the token file {} is empty", file.display());
        }
        return Ok(Some(Secret::new(text.trim().to_owned())));
    }
    if let Some(token) = flag {
        return Ok(Some(Secret::new(token)));
    }
    let Some(token) = &environment.token else {
        return Ok(None);
    };
    match token.reveal().to_str() {
        Some(token) => Ok(Some(Secret::new(token.to_owned()))),
        None => bail!("$ARVADOS_DISPATCH_TOKEN is not text"),
    }
}

/// The file that was named must be there; Arvados' own may be.
fn ca(named: Option<&Path>, environment_decides: bool) -> Result<Option<Vec<u8>>> {
    match named {
        Some(file) => fs::read(file)
            .map(Some)
            .with_context(|| format!("cannot read the CA file {}", file.display())),
        None if environment_decides => Ok(None),
        None => Ok(fs::read(ARVADOS_CA).ok()),
    }
}
