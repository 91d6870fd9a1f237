//! Files with keys and certificates: named properly, readable, of the right form.

use std::{
    fs::File,
    io::Read,
    path::{Path, PathBuf},
};

use crate::{
    ListenCandidate, Secret, Tls, mask, path::KeyPath, private_key::check_shape, reader::Reader,
};

/// Far above any key or certificate.
const KEY_FILE_BYTES_MAX: u64 = 1024 * 1024;

/// A file that is named by a plain path or by `file://`.
pub(crate) fn file_path(reader: &mut Reader<'_>, key: &str) -> Option<PathBuf> {
    let text = reader.some_text(key)?;
    let path = text.strip_prefix("file://").unwrap_or(&text);
    if path.contains("-----BEGIN") || !path.starts_with('/') {
        let key = KeyPath::dotted(key);
        let value = Some(mask::quoted(&mask::masked(&key, &text)));
        reader.report.error(
            &key,
            value,
            "is not the absolute path of a file",
            "write it into a file and name that here",
        );
        return None;
    }
    Some(path.into())
}

/// An https address needs a certificate and a key that can be read.
pub(crate) fn server_tls(reader: &mut Reader<'_>, tls: &Tls, listen: &[ListenCandidate]) {
    let Some(https) = listen.iter().find(|candidate| candidate.listen.tls) else {
        return;
    };
    for (key, file) in [("TLS.Certificate", &tls.certificate), ("TLS.Key", &tls.key)] {
        let path = KeyPath::dotted(key);
        match file {
            Some(file) => {
                if let Err(error) = read_key_file(file) {
                    let value = Some(mask::quoted(&file.display().to_string()));
                    let remedy = "name a file that the dispatcher's user may read";
                    reader
                        .report
                        .error(&path, value, format!("cannot be read: {error}"), remedy);
                }
            }
            None if reader.text(key).is_empty() => {
                let mut message = format!("is missing, and we are to listen at {}", https.listen);
                if tls.acme_server.is_some() {
                    message += " (what TLS.ACME.Server names is not asked for certificates)";
                }
                reader.report.error(
                    &path,
                    None,
                    message,
                    "name the file, or listen at an http address",
                );
            }
            // It is there and no path, which has been told.
            None => {}
        }
    }
}

/// `Containers.DispatchPrivateKey`: the key's text, from its file if it is named.
pub(crate) fn private_key(reader: &mut Reader<'_>) -> Option<Secret> {
    const KEY: &str = "Containers.DispatchPrivateKey";
    const REMEDY: &str = "write a PEM text or file:///absolute/path of one, as `ssh-keygen -t ed25519 -N '' -f FILE` makes";
    let (path, text) = (KeyPath::dotted(KEY), reader.text(KEY));
    if text.is_empty() {
        if reader.text("Containers.CloudVMs.Driver") != "loopback" {
            reader.report.error(
                &path,
                None,
                "is missing, and no instance can be reached without it",
                REMEDY,
            );
        }
        return None;
    }
    let (value, key) = match text.strip_prefix("file://") {
        None => (Some(mask::masked(&path, text)), text.to_owned()),
        Some(file) => {
            let value = Some(mask::quoted(text));
            if !file.starts_with('/') {
                reader
                    .report
                    .error(&path, value, "is not an absolute path", REMEDY);
                return None;
            }
            match read_key_file(Path::new(file)) {
                Ok(key) => (value, key),
                Err(error) => {
                    let remedy = "name a file that the dispatcher's user may read";
                    reader
                        .report
                        .error(&path, value, format!("cannot be read: {error}"), remedy);
                    return None;
                }
            }
        }
    };
    if let Err(error) = check_shape(&key) {
        reader.report.error(&path, value, error.to_string(), REMEDY);
        return None;
    }
    Some(Secret::new(key))
}

fn read_key_file(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    let read = File::open(path)?
        .take(KEY_FILE_BYTES_MAX + 1)
        .read_to_string(&mut text)?;
    if read as u64 > KEY_FILE_BYTES_MAX {
        return Err(std::io::Error::other("it is too large for a key"));
    }
    Ok(text)
}
