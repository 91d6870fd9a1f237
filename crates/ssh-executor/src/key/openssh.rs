//! Keys in OpenSSH's own form, which carries the public half in the clear.

use super::{KeyError, PublicHalf, known_algorithm};

/// Reads as much of the container as tells that it is whole, not encrypted, and of a kind we can use.
pub(super) fn public_half(body: &[u8]) -> Result<PublicHalf, KeyError> {
    let mut rest = body
        .strip_prefix(b"openssh-key-v1\0")
        .ok_or(KeyError::Damaged("it lacks OpenSSH's mark"))?;
    let cipher = take_string(&mut rest)?;
    let _kdf = take_string(&mut rest)?;
    let _kdf_options = take_string(&mut rest)?;
    if cipher != b"none" {
        return Err(KeyError::Encrypted);
    }
    if take_number(&mut rest)? != 1 {
        return Err(KeyError::Damaged("it holds more than one key"));
    }
    let blob = take_string(&mut rest)?;
    let mut secret = take_string(&mut rest)?;
    let name = take_string(&mut { blob })?;
    if take_number(&mut secret)? != take_number(&mut secret)? || take_string(&mut secret)? != name {
        return Err(KeyError::Damaged("its two halves do not belong together"));
    }
    let name = String::from_utf8_lossy(name);
    let algorithm = known_algorithm(&name)
        .ok_or_else(|| KeyError::Unsupported(name.chars().take(40).collect()))?;
    Ok(PublicHalf {
        algorithm,
        blob: blob.to_vec(),
    })
}

fn take_number(rest: &mut &[u8]) -> Result<u32, KeyError> {
    let (bytes, after) = rest
        .split_first_chunk::<4>()
        .ok_or(KeyError::Damaged("it ends too early"))?;
    *rest = after;
    Ok(u32::from_be_bytes(*bytes))
}

fn take_string<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], KeyError> {
    let length = take_number(rest)? as usize;
    let (bytes, after) = rest
        .split_at_checked(length)
        .ok_or(KeyError::Damaged("it ends too early"))?;
    *rest = after;
    Ok(bytes)
}
