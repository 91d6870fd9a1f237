//! SSH keys: the dispatcher's, from the system's entropy, and the machines' host keys, from the seed.

use std::io::Read;

use anyhow::Context;
use dispatch_lab::luck::Luck;
use russh::keys::{
    PrivateKey, PublicKey,
    ssh_key::{LineEnding, private::Ed25519Keypair},
};

/// A new key for the dispatcher: whoever has it may log in to the machines, so it must not be guessed.
pub(crate) fn dispatcher_key() -> anyhow::Result<PrivateKey> {
    let mut seed = [0; 32];
    std::fs::File::open("/dev/urandom")
        .and_then(|mut file| file.read_exact(&mut seed))
        .context("read /dev/urandom")?;
    Ok(PrivateKey::from(Ed25519Keypair::from_seed(&seed)))
}

/// A machine's host key.
pub(crate) fn host_key(seed: u64, instance: &str) -> PrivateKey {
    let mut luck = Luck::new(seed, &format!("host key of {instance}"));
    let mut bytes = [0; 32];
    for byte in &mut bytes {
        *byte = u8::try_from(luck.below(256)).unwrap_or(0);
    }
    PrivateKey::from(Ed25519Keypair::from_seed(&bytes))
}

/// The key as OpenSSH writes it.
pub(crate) fn private_text(key: &PrivateKey) -> anyhow::Result<String> {
    Ok(key.to_openssh(LineEnding::LF)?.to_string())
}

/// The public half as a line of authorized_keys.
pub(crate) fn public_text(key: &PrivateKey) -> anyhow::Result<String> {
    Ok(key.public_key().to_openssh()?)
}

/// Whether a line of authorized_keys is this key.
pub(crate) fn is_same(line: &str, key: &PublicKey) -> bool {
    PublicKey::from_openssh(line).is_ok_and(|known| known.key_data() == key.key_data())
}
