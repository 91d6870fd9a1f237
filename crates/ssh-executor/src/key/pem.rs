//! Keys in PEM: PKCS#1, SEC1 and PKCS#8.

use aws_lc_rs::{
    rsa,
    signature::{
        ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING,
        ECDSA_P521_SHA512_ASN1_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair,
        KeyPair,
    },
};
use base64::{Engine, prelude::BASE64_STANDARD};

use super::{KeyError, PublicHalf, put_string};

/// One block between BEGIN and END.
pub(super) struct Armor<'a> {
    /// What BEGIN says, such as "RSA PRIVATE KEY".
    pub(super) label: &'a str,
    /// What was encoded.
    pub(super) body: Vec<u8>,
    /// The block alone, tidied: no spaces around lines, each line ended by one newline.
    pub(super) text: String,
}

/// The first private key in a text (parameters and certificates before it are skipped).
pub(super) fn find(text: &str) -> Result<Armor<'_>, KeyError> {
    let mut lines = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .peekable();
    let first = *lines.peek().ok_or(KeyError::NotAKey("the key is empty"))?;
    if first.starts_with("PuTTY-User-Key-File") {
        return Err(KeyError::NotAKey(
            "this is a PuTTY key (puttygen KEY.ppk -O private-openssh converts it)",
        ));
    }
    let label = loop {
        let Some(line) = lines.next() else {
            let public =
                text.contains("PUBLIC KEY") || text.contains("ssh-") || text.contains("ecdsa-");
            return Err(KeyError::NotAKey(if public {
                "this is a public key"
            } else {
                "this is no key"
            }));
        };
        match line
            .strip_prefix("-----BEGIN ")
            .and_then(|rest| rest.strip_suffix("-----"))
        {
            Some(label) if label.ends_with("PRIVATE KEY") => break label,
            Some(_) | None => {}
        }
    };
    let end = format!("-----END {label}-----");
    let mut kept = format!("-----BEGIN {label}-----\n");
    let mut encoded = String::new();
    loop {
        let line = lines
            .next()
            .ok_or(KeyError::Damaged("its last line is missing"))?;
        if line.starts_with("Proc-Type:") && line.contains("ENCRYPTED") {
            return Err(KeyError::Encrypted);
        }
        kept.push_str(line);
        kept.push('\n');
        if line == end {
            break;
        }
        encoded.push_str(line);
    }
    let body = BASE64_STANDARD
        .decode(encoded)
        .map_err(|_| KeyError::Damaged("a line is not base64"))?;
    Ok(Armor {
        label,
        body,
        text: kept,
    })
}

/// RSA as PKCS#1 has it.
pub(super) fn from_pkcs1(der: &[u8]) -> Result<PublicHalf, KeyError> {
    rsa::KeyPair::from_der(der)
        .map(|key| rsa_half(&key))
        .map_err(|_| rejected())
}

/// ECDSA as SEC1 has it.
pub(super) fn from_sec1(der: &[u8]) -> Result<PublicHalf, KeyError> {
    curves()
        .find_map(|(curve, algorithm)| {
            EcdsaKeyPair::from_private_key_der(algorithm, der)
                .ok()
                .map(|key| ecdsa_half(&key, curve))
        })
        .ok_or_else(rejected)
}

/// Any kind as PKCS#8 has it.
pub(super) fn from_pkcs8(der: &[u8]) -> Result<PublicHalf, KeyError> {
    if let Ok(key) = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der) {
        let mut blob = Vec::new();
        put_string(&mut blob, b"ssh-ed25519");
        put_string(&mut blob, key.public_key().as_ref());
        return Ok(PublicHalf {
            algorithm: "ssh-ed25519",
            blob,
        });
    }
    if let Ok(key) = rsa::KeyPair::from_pkcs8(der) {
        return Ok(rsa_half(&key));
    }
    curves()
        .find_map(|(curve, algorithm)| {
            EcdsaKeyPair::from_pkcs8(algorithm, der)
                .ok()
                .map(|key| ecdsa_half(&key, curve))
        })
        .ok_or_else(rejected)
}

fn rejected() -> KeyError {
    KeyError::Damaged(
        "its numbers are none of RSA (2048 to 8192 bits), ECDSA (nistp256, 384, 521) or ED25519",
    )
}

fn curves() -> impl Iterator<Item = (&'static str, &'static EcdsaSigningAlgorithm)> {
    [
        ("nistp256", &ECDSA_P256_SHA256_ASN1_SIGNING),
        ("nistp384", &ECDSA_P384_SHA384_ASN1_SIGNING),
        ("nistp521", &ECDSA_P521_SHA512_ASN1_SIGNING),
    ]
    .into_iter()
}

fn rsa_half(key: &rsa::KeyPair) -> PublicHalf {
    let public = key.public_key();
    let mut blob = Vec::new();
    put_string(&mut blob, b"ssh-rsa");
    put_positive(
        &mut blob,
        public.exponent().big_endian_without_leading_zero(),
    );
    put_positive(
        &mut blob,
        public.modulus().big_endian_without_leading_zero(),
    );
    PublicHalf {
        algorithm: "ssh-rsa",
        blob,
    }
}

fn ecdsa_half(key: &EcdsaKeyPair, curve: &'static str) -> PublicHalf {
    let algorithm =
        super::known_algorithm(&format!("ecdsa-sha2-{curve}")).expect("all three curves are known");
    let mut blob = Vec::new();
    put_string(&mut blob, algorithm.as_bytes());
    put_string(&mut blob, curve.as_bytes());
    put_string(&mut blob, key.public_key().as_ref());
    PublicHalf { algorithm, blob }
}

/// Appends a positive mpint of RFC 4251: a leading zero keeps it positive.
fn put_positive(blob: &mut Vec<u8>, big_endian: &[u8]) {
    let mut number = Vec::with_capacity(big_endian.len() + 1);
    if big_endian.first().is_some_and(|byte| byte & 0x80 != 0) {
        number.push(0);
    }
    number.extend_from_slice(big_endian);
    put_string(blob, &number);
}
