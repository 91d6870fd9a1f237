//! Keeps secrets out of what others wrote before it is logged or shown (facts K35).

use std::{collections::BTreeSet, fmt, sync::Arc};

use dispatch_model::{ContainerId, InstanceSecret};
use dispatch_runner::gateway_secret;

/// Texts that must never be shown, and how much of a foreign text is.
#[derive(Clone)]
pub(crate) struct Mask {
    tokens: Arc<[String]>,
    /// The key of the gateways' secrets.
    system_root_token: Arc<str>,
}

/// Whose secrets a program on one instance can know, beside the daemon's own.
#[derive(Clone, Default)]
pub(crate) struct Onlooker {
    /// The instance's secret: it lies in a file there.
    pub(crate) instance: Option<InstanceSecret>,
    /// Containers on it: each runner knows its gateway's secret.
    pub(crate) containers: BTreeSet<ContainerId>,
}

/// Characters of standard error that are worth a log line.
const SHOWN: usize = 1000;
/// Shorter texts are no secrets: masking them would only make the rest unreadable.
const SHORTEST: usize = 6;

impl Mask {
    /// Hides the tokens wherever they appear, and what is derived from the SystemRootToken where it may appear.
    pub(crate) fn new(system_root_token: &str, others: impl IntoIterator<Item = String>) -> Mask {
        Mask {
            tokens: others
                .into_iter()
                .chain([system_root_token.to_owned()])
                .collect(),
            system_root_token: Arc::from(system_root_token),
        }
    }

    /// The end of what a program on an instance wrote, where the reason usually stands, fit to be shown.
    pub(crate) fn show(&self, output: &[u8], onlooker: &Onlooker) -> String {
        let text = String::from_utf8_lossy(output);
        let mut text = text.trim().to_owned();
        if text.is_empty() {
            return text;
        }
        for token in self.tokens.iter() {
            hide(&mut text, token);
        }
        if let Some(secret) = &onlooker.instance {
            hide(&mut text, secret.reveal());
        }
        for container in &onlooker.containers {
            hide(
                &mut text,
                &gateway_secret(&self.system_root_token, container),
            );
        }
        let n_chars = text.chars().count();
        if n_chars > SHOWN {
            let end: String = text.chars().skip(n_chars - SHOWN).collect();
            text = format!("… {end}");
        }
        text
    }
}

fn hide(text: &mut String, secret: &str) {
    if secret.len() >= SHORTEST && text.contains(secret) {
        *text = text.replace(secret, "xxxxx");
    }
}

impl fmt::Debug for Mask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mask({} tokens)", self.tokens.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mask() -> Mask {
        Mask::new("topsecret", ["a".to_owned(), "management".to_owned()])
    }

    #[test]
    fn tokens_are_hidden_and_long_texts_are_cut_at_the_front() {
        let (mask, nobody) = (mask(), Onlooker::default());
        assert_eq!(
            mask.show(b" token=topsecret, management failed: a\n", &nobody),
            "token=xxxxx, xxxxx failed: a"
        );
        let long = format!("{}the reason", "x".repeat(5000));
        let shown = mask.show(long.as_bytes(), &nobody);
        assert!(
            shown.starts_with('…')
                && shown.ends_with("the reason")
                && shown.chars().count() <= SHOWN + 2
        );
        assert_eq!(mask.show(&[0xff, b'x'], &nobody), "\u{fffd}x");
    }

    #[test]
    fn the_secrets_of_the_instance_and_of_the_containers_on_it_are_hidden() {
        let [here, elsewhere] =
            ["zzzzz-dz642-here", "zzzzz-dz642-elsewhere"].map(ContainerId::from);
        let onlooker = Onlooker {
            instance: Some(InstanceSecret::new("0123456789abcdef")),
            containers: [here.clone()].into(),
        };
        let [known, unknown] =
            [&here, &elsewhere].map(|container| gateway_secret("topsecret", container));
        let printed = format!("InstanceSecret=0123456789abcdef {known} {unknown}");
        assert_eq!(
            mask().show(printed.as_bytes(), &onlooker),
            format!("InstanceSecret=xxxxx xxxxx {unknown}")
        );
    }
}
