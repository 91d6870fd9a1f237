//! Fresh secrets for instances, from a generator that is handed in.

use dispatch_model::InstanceSecret;
use rand::{Rng, RngExt, SeedableRng, rngs::StdRng};

/// Makes the secrets by which instances prove to be ours: 40 hexadecimal digits each (facts §2.3).
#[derive(Debug)]
pub(crate) struct Secrets(StdRng);

impl Secrets {
    /// In service the seed comes from the system's entropy; in a simulation from the simulation's seed.
    pub(crate) fn new(seed: [u8; 32]) -> Secrets {
        Secrets(StdRng::from_seed(seed))
    }

    pub(crate) fn fresh(&mut self) -> InstanceSecret {
        let Secrets(rng) = self;
        InstanceSecret::new(hex_digits(rng, 40))
    }
}

fn hex_digits(rng: &mut impl Rng, n: usize) -> String {
    (0..n)
        .map(|_| char::from(b"0123456789abcdef"[rng.random_range(0..16)]))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_forty_hex_digits_and_never_the_same() {
        let mut secrets = Secrets::new([7; 32]);
        let (one, two) = (secrets.fresh(), secrets.fresh());
        assert_ne!(one, two);
        assert_eq!(one.reveal().len(), 40);
        assert!(
            one.reveal()
                .bytes()
                .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
        );
    }
}
