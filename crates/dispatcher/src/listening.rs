//! Where the management API listens, and with which certificate.

use std::sync::Arc;

use dispatch_config::ClusterConfig;
use dispatch_management_api::{Listen, Server, Tls, TlsError, Token};
use tokio::sync::watch;

use crate::{Environment, StartError, backend::Answers, shell::stopped};

pub(crate) fn certificate(config: &ClusterConfig) -> Result<Option<Arc<Tls>>, StartError> {
    let tls = load_certificate(config);
    let tls = tls.map_err(|error| StartError::Management(error.to_string()))?;
    Ok(tls.map(Arc::new))
}

/// The certificate with its key; `None` if no address needs one.
pub(crate) fn load_certificate(config: &ClusterConfig) -> Result<Option<Tls>, TlsError> {
    let is_needed = config.listen.iter().any(|candidate| candidate.listen.tls);
    match (&config.tls.certificate, &config.tls.key) {
        (Some(certificate), Some(key)) if is_needed => {
            Tls::load(&certificate.to_string_lossy(), &key.to_string_lossy()).map(Some)
        }
        _ => Ok(None),
    }
}

/// Binds the first of our addresses that is this host's (facts §2.6).
pub(crate) async fn listen(
    config: &ClusterConfig,
    environment: &Environment,
    tls: Option<&Arc<Tls>>,
    answers: Arc<Answers>,
) -> Result<Option<Server>, StartError> {
    let chosen = environment
        .service_internal_url
        .as_deref()
        .map(|url| url.trim_end_matches('/'));
    let candidates: Vec<_> = config
        .listen
        .iter()
        .filter(|candidate| {
            chosen.is_none_or(|url| candidate.internal_url.trim_end_matches('/') == url)
        })
        .collect();
    if let (Some(url), true) = (chosen, candidates.is_empty()) {
        let message = format!(
            "ARVADOS_SERVICE_INTERNAL_URL is {url}, which is not in Services.DispatchCloud.InternalURLs"
        );
        return Err(StartError::Management(message));
    }
    if candidates.is_empty() {
        tracing::warn!(
            "Services.DispatchCloud.InternalURLs is empty: no management API, no metrics, no health"
        );
        return Ok(None);
    }
    let mut refusals = Vec::new();
    for candidate in candidates {
        if candidate.listen.tls && tls.is_none() {
            let message = format!("{} needs TLS.Certificate and TLS.Key", candidate.listen);
            return Err(StartError::Management(message));
        }
        let address = match candidate.listen.host.as_str() {
            "" => format!("[::]:{}", candidate.listen.port),
            _ => candidate.listen.socket(),
        };
        let listen = Listen {
            address,
            tls: tls.filter(|_| candidate.listen.tls).cloned(),
        };
        let server = dispatch_management_api::Settings {
            token: Token::new(
                config
                    .management_token
                    .as_ref()
                    .map_or("", |token| token.reveal())
                    .to_owned(),
            ),
            max_concurrent: config
                .api
                .max_concurrent_requests
                .map_or(usize::MAX >> 4, |n| n as usize),
            max_queued: config.api.max_queued_requests as usize,
            request_timeout: config.api.request_timeout,
        };
        match Server::bind(listen, server, Arc::clone(&answers) as _).await {
            Ok(server) => return Ok(Some(server)),
            Err(error) => refusals.push(error.to_string()),
        }
    }
    Err(StartError::Management(refusals.join("; ")))
}

pub(crate) async fn serve(server: Option<Server>, mut stop: watch::Receiver<bool>) {
    match server {
        Some(server) => server.run(stop).await,
        None => stopped(&mut stop).await,
    }
}
