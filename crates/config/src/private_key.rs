//! Whether a text looks like an SSH private key that can be used. The key itself is parsed by whoever connects.

/// Why a text is no usable private key.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum KeyShapeError {
    /// There is no PEM header in it.
    #[error("is not a private key in PEM form")]
    NotPem,
    /// Its end is missing.
    #[error("is a private key whose end is missing")]
    CutOff,
    /// It is the other half.
    #[error("is a public key")]
    Public,
    /// It is something else in PEM form.
    #[error("is in PEM form and not a private key")]
    Other,
    /// A passphrase is needed, and there is nobody to ask.
    #[error("is a private key that is protected by a passphrase")]
    Encrypted,
    /// PuTTY's own form.
    #[error("is a private key in the form of PuTTY")]
    Putty,
}

/// Checks the form of a key: PEM of any of the usual kinds, whole, not encrypted.
pub fn check_shape(text: &str) -> Result<(), KeyShapeError> {
    let text = text.trim();
    if text.starts_with("PuTTY-User-Key-File") {
        return Err(KeyShapeError::Putty);
    }
    let is_line_of_public_key = ["ssh-", "ecdsa-", "sk-"]
        .iter()
        .any(|kind| text.starts_with(kind));
    let Some((_, after)) = text.split_once("-----BEGIN ") else {
        return Err(if is_line_of_public_key {
            KeyShapeError::Public
        } else {
            KeyShapeError::NotPem
        });
    };
    let Some((label, body)) = after.split_once("-----") else {
        return Err(KeyShapeError::NotPem);
    };
    if label.ends_with("PUBLIC KEY") {
        return Err(KeyShapeError::Public);
    }
    if !label.ends_with("PRIVATE KEY") {
        return Err(KeyShapeError::Other);
    }
    let Some((body, _)) = body.split_once(&format!("-----END {label}-----")) else {
        return Err(KeyShapeError::CutOff);
    };
    let encrypted = match label {
        "ENCRYPTED PRIVATE KEY" => true,
        "OPENSSH PRIVATE KEY" => openssh_cipher(body).ok_or(KeyShapeError::CutOff)? != b"none",
        _ => body.contains("Proc-Type:") && body.contains("ENCRYPTED"),
    };
    if encrypted {
        Err(KeyShapeError::Encrypted)
    } else {
        Ok(())
    }
}

/// The name of the cipher, which an OpenSSH key opens with: magic, length, name.
fn openssh_cipher(body: &str) -> Option<Vec<u8>> {
    const MAGIC: &[u8] = b"openssh-key-v1\0";
    let head = base64_head(body, 64);
    let rest = head.strip_prefix(MAGIC)?;
    let length = u32::from_be_bytes(rest.get(..4)?.try_into().ok()?);
    Some(rest.get(4..4 + usize::try_from(length).ok()?)?.to_vec())
}

/// The first bytes of a base64 text, as many as can be read.
fn base64_head(text: &str, n_bytes: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    let (mut bits, mut n_bits) = (0u32, 0);
    for letter in text.bytes().filter(|b| !b.is_ascii_whitespace()) {
        let six = match letter {
            b'A'..=b'Z' => letter - b'A',
            b'a'..=b'z' => letter - b'a' + 26,
            b'0'..=b'9' => letter - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => break,
        };
        bits = (bits << 6 | u32::from(six)) & 0xffff;
        n_bits += 6;
        if n_bits >= 8 {
            n_bits -= 8;
            bytes.push((bits >> n_bits & 0xff) as u8);
            if bytes.len() == n_bytes {
                break;
            }
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The opening of a real unencrypted and a real encrypted OpenSSH key, with the rest left out.
    const PLAIN: &str = "b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAMwAAAAtzc2gtZW";
    const LOCKED: &str = "b3BlbnNzaC1rZXktdjEAAAAACmFlczI1Ni1jdHIAAAAGYmNyeXB0AAAAGAAAABBJ";

    fn pem(label: &str, body: &str) -> String {
        format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n")
    }

    #[test]
    fn keys_that_can_be_used_pass() {
        for label in [
            "RSA PRIVATE KEY",
            "EC PRIVATE KEY",
            "PRIVATE KEY",
            "DSA PRIVATE KEY",
        ] {
            assert_eq!(check_shape(&pem(label, "MIIB")), Ok(()), "{label}");
        }
        assert_eq!(check_shape(&pem("OPENSSH PRIVATE KEY", PLAIN)), Ok(()));
        assert_eq!(
            check_shape(&format!("\n  {}", pem("OPENSSH PRIVATE KEY", PLAIN))),
            Ok(())
        );
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        let rows = [
            (String::new(), KeyShapeError::NotPem),
            ("hello".into(), KeyShapeError::NotPem),
            ("ssh-ed25519 AAAA joe".into(), KeyShapeError::Public),
            (pem("PUBLIC KEY", "MIIB"), KeyShapeError::Public),
            (pem("CERTIFICATE", "MIIB"), KeyShapeError::Other),
            (
                "-----BEGIN RSA PRIVATE KEY-----\nMIIB".into(),
                KeyShapeError::CutOff,
            ),
            (pem("OPENSSH PRIVATE KEY", "b3Bl"), KeyShapeError::CutOff),
            (
                pem("ENCRYPTED PRIVATE KEY", "MIIB"),
                KeyShapeError::Encrypted,
            ),
            (
                pem(
                    "RSA PRIVATE KEY",
                    "Proc-Type: 4,ENCRYPTED\nDEK-Info: x\n\nMIIB",
                ),
                KeyShapeError::Encrypted,
            ),
            (pem("OPENSSH PRIVATE KEY", LOCKED), KeyShapeError::Encrypted),
            (
                "PuTTY-User-Key-File-3: ssh-rsa".into(),
                KeyShapeError::Putty,
            ),
        ];
        for (text, error) in rows {
            assert_eq!(check_shape(&text), Err(error), "{text}");
        }
    }
}
