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

/// The secrets that are known.
#[derive(Default)]
pub(crate) struct Masks(Mutex<Known>);

#[derive(Default)]
struct Known {
    secrets: BTreeSet<String>,
    order: VecDeque<String>,
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

    /// The text without them.
    pub(crate) fn mask(&self, bytes: &[u8]) -> Vec<u8> {
        let mut text = String::from_utf8_lossy(bytes).into_owned();
        for secret in &self.known().secrets {
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
