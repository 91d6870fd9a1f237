//! What must not stand in errors and logs: Azure may repeat what it was sent, or what it knows (facts K35). Every answer
//! that is no plain success goes through here before anybody reads it.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Shorter texts are no secrets, and would be found in any words.
const CHARS_MIN: usize = 8;
/// More than this are not remembered: the oldest go.
const MOST: usize = 20_000;
/// So many of our own credentials are remembered: the secret and the last tokens.
const CREDENTIALS_MAX: usize = 16;

/// The secrets that are known.
#[derive(Default)]
pub(crate) struct Masks(Mutex<Known>);

#[derive(Default)]
struct Known {
    secrets: BTreeSet<String>,
    order: VecDeque<String>,
    /// What we call with, which no number of instances drives out.
    credentials: VecDeque<String>,
}

impl std::fmt::Debug for Masks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Masks")
    }
}

impl Masks {
    /// This text is a secret, from now on.
    pub(crate) fn hide(&self, secret: &str) {
        if secret.len() < CHARS_MIN {
            return;
        }
        let mut known = self.known();
        if known.secrets.insert(secret.to_owned()) {
            known.order.push_back(secret.to_owned());
            if known.order.len() > MOST
                && let Some(oldest) = known.order.pop_front()
            {
                known.secrets.remove(&oldest);
            }
        }
    }

    /// This text is what we call with, from now on: a token, or the secret that tokens are had for.
    pub(crate) fn hide_credential(&self, credential: &str) {
        let mut known = self.known();
        // The form in which it is sent to the authority.
        let sent = url::form_urlencoded::byte_serialize(credential.as_bytes()).collect();
        for text in [credential.to_owned(), sent] {
            if text.len() >= CHARS_MIN && !known.credentials.contains(&text) {
                known.credentials.push_back(text);
            }
        }
        while known.credentials.len() > CREDENTIALS_MAX {
            // The first are the application's secret, which stays.
            known.credentials.remove(2);
        }
    }

    /// The text without them.
    pub(crate) fn mask(&self, bytes: &[u8]) -> Vec<u8> {
        let mut text = String::from_utf8_lossy(bytes).into_owned();
        let known = self.known();
        for secret in known.credentials.iter().chain(&known.secrets) {
            if text.contains(secret) {
                text = text.replace(secret, "(secret)");
            }
        }
        text.into_bytes()
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_hidden_is_in_no_text_any_more_and_what_is_short_is_no_secret() {
        let masks = Masks::default();
        masks.hide("0123456789abcdef");
        masks.hide("short");
        masks.hide("");
        assert_eq!(
            masks.mask(b"a 0123456789abcdef, \"0123456789abcdef\", short"),
            b"a (secret), \"(secret)\", short"
        );
        assert!(!format!("{masks:?}").contains("0123"));
    }

    #[test]
    fn what_we_call_with_is_hidden_however_many_instances_and_tokens_come_after_it() {
        let masks = Masks::default();
        masks.hide_credential("client~secret");
        for n in 0..MOST + 10 {
            masks.hide(&format!("secret-{n:08}"));
        }
        for n in 0..100 {
            masks.hide_credential(&format!("token-{n:08}"));
            masks.hide_credential(&format!("token-{n:08}"));
        }
        let masked = masks.mask(b"client~secret client%7Esecret token-00000099 token-00000098");
        assert_eq!(masked, b"(secret) (secret) (secret) (secret)");
        assert!(masks.known().credentials.len() <= CREDENTIALS_MAX);
    }

    #[test]
    fn the_oldest_are_forgotten() {
        let masks = Masks::default();
        for n in 0..=MOST {
            masks.hide(&format!("secret-{n:08}"));
        }
        assert_eq!(masks.mask(b"secret-00000000"), b"secret-00000000");
        assert_eq!(masks.mask(b"secret-00000001"), b"(secret)");
        assert_eq!(masks.known().order.len(), MOST);
    }
}
