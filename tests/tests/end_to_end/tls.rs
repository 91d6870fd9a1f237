//! The management API over TLS, with certificates that change while it runs.

use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustix::process::Signal;

use crate::support::{Launch, Ran, Rig, eventually, holds, run_ctl};

/// An authority of our own; the path of its certificate, and one it signed with its key.
fn certificates(directory: &Path, name: &str) -> (PathBuf, String, String) {
    let mut params = CertificateParams::new(Vec::new()).expect("parameters");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
        .distinguished_name
        .push(rcgen::DnType::CommonName, name);
    let key = KeyPair::generate().expect("a key");
    let authority = CertifiedIssuer::self_signed(params, key).expect("an authority");
    let path = directory.join(format!("{name}.pem"));
    std::fs::write(&path, authority.pem()).expect("written");
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).expect("parameters");
    let signed = params.signed_by(&key, &authority).expect("signed");
    (path, signed.pem(), key.serialize_pem())
}

async fn list_trusting(config: &Path, ca: &Path) -> Ran {
    run_ctl(config, &["--ca".as_ref(), ca.as_os_str(), "list".as_ref()]).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_management_api_serves_tls_and_takes_a_new_certificate_on_sighup() {
    let files = tempfile::tempdir().expect("a directory");
    let (old_ca, certificate, key) = certificates(files.path(), "old");
    let (new_ca, new_certificate, new_key) = certificates(files.path(), "new");
    let (certificate_file, key_file) =
        (files.path().join("cert.pem"), files.path().join("key.pem"));
    std::fs::write(&certificate_file, certificate).expect("written");
    std::fs::write(&key_file, key).expect("written");

    let tls = format!(
        "TLS:\n      Certificate: {}\n      Key: file://{}\n",
        certificate_file.display(),
        key_file.display()
    );
    let (_lab, management, directory) = Rig::prepare(|order| {
        order.edit = Box::new(move |text| {
            text.replacen("TLS:\n", &tls, 1)
                .replacen("\"http://127", "\"https://127", 1)
        });
    })
    .await;
    let config = directory.path().join("config.yml");
    let log = directory.path().join("log");
    let mut daemon = Launch::new(&config, &log).start();
    daemon.listens_on(&management.address).await;

    let ran = list_trusting(&config, &old_ca).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let ran = list_trusting(&config, &new_ca).await;
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.stderr.contains("certificate"), "{ran:?}");

    // What cannot be used leaves the old one in use.
    let says = async |words: &str| {
        eventually(words, async || {
            holds(std::fs::read_to_string(&log).is_ok_and(|log| log.contains(words)))
        })
        .await;
    };
    std::fs::write(&certificate_file, "half a certif").expect("written");
    daemon.signal(Signal::HUP);
    says("certificate not read; the old one stays in use").await;
    let ran = list_trusting(&config, &old_ca).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");

    std::fs::write(&certificate_file, new_certificate).expect("written");
    std::fs::write(&key_file, new_key).expect("written");
    daemon.signal(Signal::HUP);
    says("certificate read again").await;
    let ran = list_trusting(&config, &new_ca).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let ran = list_trusting(&config, &old_ca).await;
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert_eq!(daemon.terminate().await.code(), Some(0));
}
