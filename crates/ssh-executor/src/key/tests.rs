//! What may be given as a key. Keys are made by ssh-keygen and openssl where the tests need whole ones.

use std::process::Command;

use tempfile::TempDir;

use super::*;

/// Makes a key with ssh-keygen and returns its text and its public line without comment.
fn generated(arguments: &[&str]) -> (String, String) {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("key");
    let made = Command::new("ssh-keygen")
        .args(["-q", "-C", "", "-f"])
        .arg(&path)
        .args(arguments)
        .output()
        .expect("ssh-keygen runs (apt-get install openssh-client)");
    assert!(made.status.success(), "{made:?}");
    let public = fs::read_to_string(path.with_extension("pub")).expect("a public key");
    (
        fs::read_to_string(&path).expect("a private key"),
        public.trim().to_owned(),
    )
}

#[test]
fn the_public_line_is_what_ssh_keygen_says() {
    for kind in [
        "ed25519",
        "ecdsa -b 256",
        "ecdsa -b 384",
        "ecdsa -b 521",
        "rsa -b 2048",
    ] {
        for form in ["RFC4716", "PEM", "PKCS8"] {
            let mut arguments: Vec<&str> = kind.split(' ').collect();
            arguments.splice(0..0, ["-N", "", "-m", form, "-t"]);
            let (text, public) = generated(&arguments);
            let key = PrivateKey::parse(&text)
                .unwrap_or_else(|error| panic!("{kind} as {form}: {error}"));
            assert_eq!(key.public_line(), public, "{kind} as {form}");
        }
    }
}

#[test]
fn an_ed25519_key_in_pkcs8_without_its_public_half_is_understood() {
    // RFC 8410, section 10.3; the public half is from section 10.1.
    let key = PrivateKey::parse(
        "-----BEGIN PRIVATE KEY-----\n\
         MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n\
         -----END PRIVATE KEY-----\n",
    )
    .expect("the RFC's example");
    assert_eq!(
        key.public_line(),
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBm/RAlphM3+hUG6wWfcO5bIUIaqMLa2ywxcOK1wMWbh"
    );
}

#[test]
fn what_is_around_a_key_does_not_matter() {
    let (text, public) = generated(&["-N", "", "-t", "ed25519"]);
    let indented: String = text.lines().map(|line| format!("    {line}\r\n")).collect();
    let surrounded = format!(
        "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n\n{indented}\n\n"
    );
    let key = PrivateKey::parse(&surrounded).expect("a key");
    assert_eq!(key.public_line(), public);
    assert_eq!(key.reveal(), text, "libssh2 gets the block alone");
}

#[test]
fn a_key_may_lie_in_a_file() {
    let (text, public) = generated(&["-N", "", "-t", "ed25519"]);
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("key");
    fs::write(&path, text).expect("written");
    let key = PrivateKey::load(&format!("file://{}", path.display())).expect("a key");
    assert_eq!(key.public_line(), public);
}

#[test]
fn what_cannot_be_used_is_refused_with_the_remedy() {
    let (openssh, _) = generated(&["-N", "secret", "-t", "ed25519"]);
    let (pem, _) = generated(&["-N", "secret", "-t", "rsa", "-b", "2048", "-m", "PEM"]);
    let (pkcs8, _) = generated(&["-N", "secret", "-t", "ecdsa", "-m", "PKCS8"]);
    let (whole, public) = generated(&["-N", "", "-t", "ed25519"]);
    let cut = whole.lines().take(3).collect::<Vec<_>>().join("\n");
    let shortened: String = whole
        .lines()
        .nth(1)
        .expect("a line")
        .chars()
        .take(60)
        .collect();
    let shortened = format!(
        "-----BEGIN OPENSSH PRIVATE KEY-----\n{shortened}\n-----END OPENSSH PRIVATE KEY-----\n"
    );
    let dirty = whole.replacen("\nb3Bl", "\nb3B*", 1);
    let cases = [
        (
            openssh.as_str(),
            "the key is encrypted; remove its passphrase (ssh-keygen -p",
        ),
        (&pem, "the key is encrypted"),
        (&pkcs8, "the key is encrypted"),
        (
            &public,
            "this is a public key; give the text of a private key",
        ),
        (" \n", "the key is empty"),
        ("hello", "this is no key"),
        ("PuTTY-User-Key-File-3: ssh-ed25519", "puttygen"),
        (
            "-----BEGIN DSA PRIVATE KEY-----\nMAA=\n-----END DSA PRIVATE KEY-----",
            "\"dsa private key\" cannot be used",
        ),
        (
            "-----BEGIN RSA PRIVATE KEY-----\nMAA=\n-----END RSA PRIVATE KEY-----",
            "the key is damaged: its numbers",
        ),
        (
            "-----BEGIN EC PRIVATE KEY-----\nMAA=\n-----END EC PRIVATE KEY-----",
            "the key is damaged: its numbers",
        ),
        (
            "-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----",
            "the key is damaged: its numbers",
        ),
        (&cut, "the key is damaged: its last line is missing"),
        (&shortened, "the key is damaged: it ends too early"),
        (&dirty, "the key is damaged: a line is not base64"),
        ("file://relative/key", "write file:///absolute/path"),
        (
            "file:///nowhere/at/all",
            "cannot read the key file /nowhere/at/all",
        ),
    ];
    for (text, says) in cases {
        let error = PrivateKey::load(text).expect_err(says).to_string();
        assert!(error.contains(says), "{error:?} does not say {says:?}");
    }
}

#[test]
fn a_key_does_not_print_its_secret() {
    let (text, _) = generated(&["-N", "", "-t", "ed25519"]);
    let key = PrivateKey::parse(&text).expect("a key");
    assert_eq!(format!("{key:?}"), "PrivateKey(ssh-ed25519)");
}
