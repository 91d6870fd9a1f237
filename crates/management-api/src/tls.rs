//! The server's certificate, read again when the operator says so (SIGHUP) without dropping a connection.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
};

use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use tokio_rustls::{TlsAcceptor, rustls::ServerConfig};

/// A certificate with its key, and where they came from.
pub struct Tls {
    certificate: PathBuf,
    key: PathBuf,
    current: RwLock<Arc<ServerConfig>>,
}

/// The certificate or its key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read or holds no PEM of the right kind.
    #[error("cannot read `{key}` from {}: {reason}", path.display())]
    File {
        /// "TLS.Certificate" or "TLS.Key".
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// Certificate and key do not fit together, or are of a kind that cannot be used.
    #[error("`TLS.Certificate` and `TLS.Key` cannot be used together: {0}")]
    Unusable(String),
}

impl Tls {
    /// Reads certificate chain and key; each is a path, with or without `file://`.
    pub fn load(certificate: &str, key: &str) -> Result<Tls, TlsError> {
        let path = |text: &str| PathBuf::from(text.strip_prefix("file://").unwrap_or(text));
        let (certificate, key) = (path(certificate), path(key));
        let current = RwLock::new(read(&certificate, &key)?);
        Ok(Tls {
            certificate,
            key,
            current,
        })
    }

    /// Reads both files again. On failure the old certificate stays in use.
    pub fn reload(&self) -> Result<(), TlsError> {
        let fresh = read(&self.certificate, &self.key)?;
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = fresh;
        Ok(())
    }

    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(Arc::clone(
            &self.current.read().unwrap_or_else(PoisonError::into_inner),
        ))
    }
}

fn read(certificate: &Path, key: &Path) -> Result<Arc<ServerConfig>, TlsError> {
    let file_error = |key: &'static str, path: &Path, reason: String| TlsError::File {
        key,
        path: path.to_owned(),
        reason,
    };
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect)
        .map_err(|e| file_error("TLS.Certificate", certificate, e.to_string()))?;
    if chain.is_empty() {
        return Err(file_error(
            "TLS.Certificate",
            certificate,
            "no certificate in it".to_owned(),
        ));
    }
    let private =
        PrivateKeyDer::from_pem_file(key).map_err(|e| file_error("TLS.Key", key, e.to_string()))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|builder| {
            builder
                .with_no_client_auth()
                .with_single_cert(chain, private)
        })
        .map_err(|e| TlsError::Unusable(e.to_string()))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
