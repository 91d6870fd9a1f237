//! Luck from a seed: one stream per kind of thing, so that one more draw here changes nothing there.

/// A stream of pseudo-random numbers (SplitMix64: the same on every machine and in every version).
#[derive(Clone, Debug)]
pub struct Luck(u64);

impl Luck {
    /// The stream of this name under this seed.
    pub fn new(seed: u64, stream: &str) -> Luck {
        // FNV-1a, to turn the name into a number.
        let name = stream
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
                (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
            });
        let mut luck = Luck(seed ^ name);
        luck.draw();
        luck
    }

    /// The next number.
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `n`; 0 if `n` is 0.
    pub fn below(&mut self, n: u64) -> u64 {
        if n == 0 { 0 } else { self.draw() % n }
    }

    /// True in a share `rate` (0 to 1) of all draws. Draws even where the answer is certain, so that a changed rate
    /// does not shift the rest of the stream.
    pub fn chance(&mut self, rate: f64) -> bool {
        // 53 bits are what a float holds exactly.
        let unit = (self.draw() >> 11) as f64 / (1_u64 << 53) as f64;
        unit < rate
    }

    /// One of these.
    pub fn pick<'a, T>(&mut self, of: &'a [T]) -> Option<&'a T> {
        let index = usize::try_from(self.below(of.len() as u64)).unwrap_or(0);
        of.get(index)
    }

    /// Puts these into some order.
    pub fn shuffle<T>(&mut self, all: &mut [T]) {
        for last in (1..all.len()).rev() {
            let other = usize::try_from(self.below(last as u64 + 1)).unwrap_or(0);
            all.swap(last, other);
        }
    }

    /// `n` lowercase hexadecimal digits.
    pub fn hex(&mut self, n: usize) -> String {
        (0..n)
            .map(|_| char::from(b"0123456789abcdef"[usize::try_from(self.below(16)).unwrap_or(0)]))
            .collect()
    }

    /// `n` characters of 0-9a-z.
    pub fn base36(&mut self, n: usize) -> String {
        const DIGITS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
        (0..n)
            .map(|_| char::from(DIGITS[usize::try_from(self.below(36)).unwrap_or(0)]))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_and_name_give_the_same_stream() {
        let draw = |seed, name| {
            let mut luck = Luck::new(seed, name);
            [luck.draw(), luck.draw(), luck.draw()]
        };
        assert_eq!(draw(7, "api"), draw(7, "api"));
        assert_ne!(draw(7, "api"), draw(7, "vm"));
        assert_ne!(draw(7, "api"), draw(8, "api"));
    }

    #[test]
    fn chance_keeps_its_rate() {
        let mut luck = Luck::new(1, "chance");
        let hits = (0..10_000).filter(|_| luck.chance(0.1)).count();
        assert!((800..1200).contains(&hits), "{hits}");
        assert!(!luck.chance(0.0));
        assert!(luck.chance(1.0));
    }
}
