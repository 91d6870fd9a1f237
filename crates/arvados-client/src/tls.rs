//! The HTTP client underneath: whom it believes and where it connects to (facts §2.1).

use std::{net::SocketAddr, sync::Arc, time::Duration};

use reqwest::{
    Certificate, ClientBuilder,
    dns::{Addrs, Name, Resolve, Resolving},
    redirect, retry,
};
use url::{Host, Url};

use crate::{CaRoots, ClientSettings, SetupError};

/// How long a connection may take to come up; the call's own deadline may end it sooner.
const CONNECT_SECS_MAX: Duration = Duration::from_secs(60);

/// Connections that nobody has used for this long are closed.
const IDLE_SECS_MAX: Duration = Duration::from_secs(90);

/// For so long the kernel tries to bring what was sent across a line that does not answer. When this process has ended,
/// or has lost the dispatchers' lock, a call of ours shall not arrive because the line is mended: another dispatcher acts
/// at the earliest 13 s after a line was cut, and we stop writing after 3.
const UNACKNOWLEDGED_SECS_MAX: Duration = Duration::from_secs(5);

/// An HTTP client that follows no redirects and repeats nothing.
pub(crate) fn http_client(settings: &ClientSettings) -> Result<reqwest::Client, SetupError> {
    let mut builder = ClientBuilder::new()
        .redirect(redirect::Policy::none())
        .retry(retry::never())
        .referer(false)
        .user_agent(concat!(
            "arvados-dispatch-cloud/",
            env!("CARGO_PKG_VERSION")
        ))
        .connect_timeout(CONNECT_SECS_MAX)
        .pool_idle_timeout(IDLE_SECS_MAX)
        .tcp_user_timeout(UNACKNOWLEDGED_SECS_MAX)
        .tcp_nodelay(true);
    builder = match (&settings.roots, settings.controller.scheme()) {
        // There is no certificate to check, so no roots need to be found.
        (_, "http") => builder.tls_certs_only([]),
        _ if settings.insecure => builder.tls_danger_accept_invalid_certs(true),
        (CaRoots::System, _) => builder,
        (CaRoots::File(path), _) => {
            let unusable = |cause: String| SetupError::CaFile {
                path: path.clone(),
                cause,
            };
            let pem = std::fs::read(path).map_err(|error| unusable(error.to_string()))?;
            let roots = Certificate::from_pem_bundle(&pem)
                .map_err(|error| unusable(error.without_url().to_string()))?;
            if roots.is_empty() {
                return Err(unusable("it holds no PEM certificate".to_owned()));
            }
            builder.tls_certs_only(roots)
        }
    };
    if let Some(to) = &settings.dial_instead {
        let host = divertible_host(&settings.controller, to)?;
        builder = builder.no_proxy().dns_resolver(Arc::new(Diversion {
            host,
            to: to.clone(),
        }));
    } else if !settings.environment_proxies {
        builder = builder.no_proxy();
    }
    builder.build().map_err(|error| SetupError::Library {
        cause: error.without_url().to_string(),
    })
}

/// Only names are looked up, so only a name can be diverted.
fn divertible_host(controller: &Url, to: &str) -> Result<String, SetupError> {
    match controller.host() {
        Some(Host::Domain(host)) => Ok(host.to_owned()),
        host => Err(SetupError::Diversion {
            host: host.map(|host| host.to_string()).unwrap_or_default(),
            to: to.to_owned(),
        }),
    }
}

/// Answers the look-up of the controller's name with another host's addresses. The port stays the URL's.
struct Diversion {
    host: String,
    to: String,
}

impl Resolve for Diversion {
    fn resolve(&self, name: Name) -> Resolving {
        let host = if name.as_str().eq_ignore_ascii_case(&self.host) {
            self.to.clone()
        } else {
            name.as_str().to_owned()
        };
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((host, 0)).await?.collect();
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}
