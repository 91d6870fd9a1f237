//! How EC2 names public keys (facts E2, E3): RSA keys by the MD5 or SHA-1 of their SubjectPublicKeyInfo, others as
//! OpenSSH does, sometimes with padding.

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use md5::{Digest as _, Md5};

/// All fingerprints under which EC2 may know this line of authorized_keys. The first is used in the key pair's name.
pub(crate) fn fingerprints(public_key: &str) -> Result<Vec<String>, String> {
    let mut words = public_key.split_whitespace();
    let (Some(kind), Some(encoded)) = (words.next(), words.next()) else {
        return Err("the public key is not a line of authorized_keys".to_owned());
    };
    let blob = STANDARD
        .decode(encoded)
        .map_err(|error| format!("the public key is not base64: {error}"))?;
    if kind == "ssh-rsa" {
        let info = rsa_public_key_info(&blob).ok_or("the public RSA key is malformed")?;
        return Ok(vec![
            with_colons(&Md5::digest(&info)),
            with_colons(digest(&SHA1_FOR_LEGACY_USE_ONLY, &info).as_ref()),
        ]);
    }
    let padded = STANDARD.encode(digest(&SHA256, &blob));
    let bare = padded.trim_end_matches('=');
    Ok(vec![format!("SHA256:{padded}"), format!("SHA256:{bare}")])
}

fn with_colons(digest: &[u8]) -> String {
    let bytes: Vec<String> = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    bytes.join(":")
}

/// The DER of SubjectPublicKeyInfo (RFC 5280 §4.1) from SSH's own encoding (RFC 4253 §6.6).
fn rsa_public_key_info(blob: &[u8]) -> Option<Vec<u8>> {
    /// SEQUENCE { OBJECT IDENTIFIER rsaEncryption, NULL }.
    const RSA: &[u8] = &[
        0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00,
    ];
    let (_kind, rest) = field(blob)?;
    let (exponent, rest) = field(rest)?;
    let (modulus, _) = field(rest)?;
    // SSH's integers are signed, big-endian and shortest, as DER's are.
    let numbers = [der(0x02, modulus), der(0x02, exponent)].concat();
    let bits = [&[0], der(0x30, &numbers).as_slice()].concat();
    Some(der(0x30, &[RSA, &der(0x03, &bits)].concat()))
}

/// A length of four bytes and so many bytes.
fn field(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    rest.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)
}

fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len().to_be_bytes();
    let length = &length[length.iter().take_while(|byte| **byte == 0).count()..];
    let mut out = vec![tag];
    match content.len() {
        // Cannot be cut: at most 127.
        short @ 0..=127 => out.push(u8::try_from(short).unwrap_or_default()),
        _ => {
            out.push(0x80 | u8::try_from(length.len()).unwrap_or_default());
            out.extend_from_slice(length);
        }
    }
    out.extend_from_slice(content);
    out
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    fn output(program: &str, args: &[&str]) -> Vec<u8> {
        let output = Command::new(program).args(args).output().expect(program);
        assert!(output.status.success(), "{program} {args:?}");
        output.stdout
    }

    /// A fresh public key of this kind, by ssh-keygen; and the path of its private half.
    fn key(directory: &std::path::Path, kind: &str) -> (String, String) {
        let path = directory.join(kind).to_str().expect("a path").to_owned();
        output(
            "ssh-keygen",
            &["-q", "-t", kind, "-m", "PEM", "-N", "", "-f", &path],
        );
        let public = std::fs::read_to_string(format!("{path}.pub")).expect("a public key");
        (public, path)
    }

    #[test]
    fn rsa_fingerprints_are_those_of_openssl() {
        let directory = tempfile::tempdir().expect("a directory");
        let (public, path) = key(directory.path(), "rsa");
        let info = output(
            "openssl",
            &["rsa", "-in", &path, "-pubout", "-outform", "DER"],
        );
        let expected = [
            with_colons(&Md5::digest(&info)),
            with_colons(digest(&SHA1_FOR_LEGACY_USE_ONLY, &info).as_ref()),
        ];
        assert_eq!(fingerprints(&public).expect("fingerprints"), expected);
    }

    #[test]
    fn other_fingerprints_are_those_of_ssh_keygen_with_and_without_padding() {
        let directory = tempfile::tempdir().expect("a directory");
        for kind in ["ed25519", "ecdsa"] {
            let (public, path) = key(directory.path(), kind);
            let listed = String::from_utf8(output("ssh-keygen", &["-lf", &path])).expect("text");
            let expected = listed.split_whitespace().nth(1).expect("a fingerprint");
            let found = fingerprints(&public).expect("fingerprints");
            assert_eq!(found, [format!("{expected}="), expected.to_owned()]);
        }
    }

    /// GitHub's host key and its fingerprint, as GitHub publishes them.
    #[test]
    fn a_known_ed25519_key_has_the_fingerprint_that_its_owner_publishes() {
        let public =
            "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl";
        let expected = "SHA256:+DiY3wvvV6TuJJhbpZisF/zLDA0zPMSvHdkr4UvCOqU";
        assert_eq!(
            fingerprints(public).expect("fingerprints"),
            [format!("{expected}="), expected.to_owned()]
        );
    }

    #[test]
    fn what_is_no_key_is_refused() {
        for wrong in [
            "",
            "ssh-rsa",
            "ssh-rsa ####",
            "ssh-rsa AAAA",
            "ssh-rsa AAAAB3Nz",
        ] {
            assert!(fingerprints(wrong).is_err(), "{wrong:?}");
        }
    }
}
