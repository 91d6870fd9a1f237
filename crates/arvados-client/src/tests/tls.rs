//! Whose certificates are believed.

use std::{io::Write, sync::Arc};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use serde_json::json;
use tempfile::NamedTempFile;
use tokio_rustls::TlsAcceptor;

use super::{
    id,
    server::{Answer, Api},
    settings, soon,
};
use crate::{ApiError, CaRoots, Client, ClientSettings, SetupError};

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority(name: &str) -> Authority {
    let mut params = CertificateParams::new(vec![]).expect("parameters");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, name);
    let key = KeyPair::generate().expect("a key");
    CertifiedIssuer::self_signed(params, key).expect("an authority")
}

/// An API behind a certificate of an authority of its own, the authority's file, and how to reach it.
async fn api() -> (Api, NamedTempFile, ClientSettings) {
    let authority = authority("the test's authority");
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new(vec!["zzzzz.example.invalid".to_owned()]).expect("a name");
    let certificate = params.signed_by(&key, &authority).expect("a certificate");
    let chain = vec![certificate.der().clone()];
    let key = PrivatePkcs8KeyDer::from(key.serialize_der());
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(chain, PrivateKeyDer::Pkcs8(key))
        .expect("a certificate");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let api = Api::serve_tls(acceptor, |_| Answer::Json(json!({"state": "Locked"}))).await;
    let mut file = NamedTempFile::new().expect("a file");
    file.write_all(authority.pem().as_bytes()).expect("a file");
    let mut settings = settings(&format!("https://zzzzz.example.invalid:{}/", api.port));
    settings.dial_instead = Some("127.0.0.1".to_owned());
    (api, file, settings)
}

async fn lock(settings: &ClientSettings) -> Result<(), ApiError> {
    let client = Client::new(settings).expect("a client");
    client.lock(&id(1), soon()).await.map(drop)
}

#[tokio::test]
async fn the_clusters_own_authorities_are_believed() {
    let (_api, file, mut settings) = api().await;
    settings.roots = CaRoots::File(file.path().to_owned());
    lock(&settings).await.expect("a lock");
}

#[tokio::test]
async fn an_unknown_authority_is_not_believed_and_nothing_is_sent() {
    let (api, _file, mut settings) = api().await;
    let other = authority("another authority");
    let mut file = NamedTempFile::new().expect("a file");
    file.write_all(other.pem().as_bytes()).expect("a file");
    settings.roots = CaRoots::File(file.path().to_owned());
    let error = lock(&settings).await.expect_err("a failure");
    assert!(matches!(error, ApiError::NotSent { .. }), "{error}");
    assert!(error.to_string().contains("UnknownIssuer"), "{error}");
    assert!(api.seen().is_empty());
}

#[tokio::test]
async fn another_hosts_certificate_is_not_believed() {
    let (api, file, mut settings) = api().await;
    settings.roots = CaRoots::File(file.path().to_owned());
    settings
        .controller
        .set_host(Some("yyyyy.example.invalid"))
        .expect("a host");
    let error = lock(&settings).await.expect_err("a failure");
    assert!(matches!(error, ApiError::NotSent { .. }), "{error}");
    assert!(api.seen().is_empty());
}

#[tokio::test]
async fn who_says_insecure_gets_it() {
    let (_api, _file, mut settings) = api().await;
    settings.insecure = true;
    lock(&settings).await.expect("a lock");
}

#[test]
fn a_file_without_authorities_is_refused_by_name() {
    let mut settings = settings("https://zzzzz.example.invalid/");
    for (content, expected) in [
        (Some("no certificate"), "it holds no PEM certificate"),
        (None, "No such file"),
    ] {
        let mut file = NamedTempFile::new().expect("a file");
        settings.roots = CaRoots::File(file.path().to_owned());
        match content {
            Some(content) => file.write_all(content.as_bytes()).expect("a file"),
            None => settings.roots = CaRoots::File("/nowhere/ca.crt".into()),
        }
        let error = Client::new(&settings).expect_err("a refusal");
        assert!(matches!(error, SetupError::CaFile { .. }), "{error}");
        assert!(error.to_string().contains(expected), "{error}");
    }
}
