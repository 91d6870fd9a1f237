//! Keeps secrets out of what others wrote before it is logged or shown (facts K35).

use std::{fmt, sync::Arc};

/// Texts that must never be shown, and how much of a foreign text is.
#[derive(Clone)]
pub(crate) struct Mask {
    secrets: Arc<[String]>,
}

/// Characters of standard error that are worth a log line.
const SHOWN: usize = 1000;
/// Shorter texts are no secrets: masking them would only make the rest unreadable.
const SHORTEST: usize = 6;

impl Mask {
    /// Hides these texts wherever they appear.
    pub(crate) fn new(secrets: impl IntoIterator<Item = String>) -> Mask {
        Mask {
            secrets: secrets
                .into_iter()
                .filter(|secret| secret.len() >= SHORTEST)
                .collect(),
        }
    }

    /// The end of what a program wrote, where the reason usually stands, fit to be shown.
    pub(crate) fn show(&self, output: &[u8]) -> String {
        let text = String::from_utf8_lossy(output);
        let mut text = text.trim().to_owned();
        for secret in self.secrets.iter() {
            if text.contains(secret.as_str()) {
                text = text.replace(secret.as_str(), "xxxxx");
            }
        }
        let n_chars = text.chars().count();
        if n_chars > SHOWN {
            let end: String = text.chars().skip(n_chars - SHOWN).collect();
            text = format!("… {end}");
        }
        text
    }
}

impl fmt::Debug for Mask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mask({} secrets)", self.secrets.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_hidden_and_long_texts_are_cut_at_the_front() {
        let mask = Mask::new(["topsecret".to_owned(), "a".to_owned()]);
        assert_eq!(
            mask.show(b" token=topsecret failed: a\n"),
            "token=xxxxx failed: a"
        );
        let long = format!("{}the reason", "x".repeat(5000));
        let shown = mask.show(long.as_bytes());
        assert!(
            shown.starts_with('…')
                && shown.ends_with("the reason")
                && shown.chars().count() <= SHOWN + 2
        );
        assert_eq!(mask.show(&[0xff, b'x']), "\u{fffd}x");
    }
}
