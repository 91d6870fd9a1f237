//! Makes an input that is like the kept ones, and wrong.

use rand::{Rng, RngExt};

/// No input grows beyond this.
const LONGEST: usize = 1 << 16;

/// What breaks parsers of every kind.
const WORDS: &[&[u8]] = &[
    b"",
    b"\0",
    b"\n",
    b"\r\n",
    b"\xff\xfe",
    b"\xe2\x80\xae",
    b"\xf0\x9f\x92\xa9",
    b"-1",
    b"0",
    b"9223372036854775808",
    b"18446744073709551616",
    b"1e309",
    b"-1e-400",
    b"NaN",
    b"null",
    b"true",
    b"{}",
    b"[]",
    b"\"\"",
    b"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
    b"{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":",
    b"%00",
    b"%",
    b"&amp;",
    b"<",
    b"]]>",
    b"../../../../etc/passwd",
    b"9999-99-99T99:99:99Z",
    b"0000-01-01T00:00:00Z",
    b"\\u0000",
    b"\\ud800",
];

/// One to four changes of `input`. `others` are its relatives, `words` the target's own.
pub fn mutated(
    input: &[u8],
    others: &[(String, Vec<u8>)],
    words: &[&str],
    luck: &mut impl Rng,
) -> Vec<u8> {
    let mut out = input.to_vec();
    for _ in 0..luck.random_range(1..=4) {
        change(&mut out, others, words, luck);
        out.truncate(LONGEST);
    }
    out
}

fn change(out: &mut Vec<u8>, others: &[(String, Vec<u8>)], words: &[&str], luck: &mut impl Rng) {
    match luck.random_range(0..9) {
        // One bit.
        0 if !out.is_empty() => {
            let at = luck.random_range(0..out.len());
            out[at] ^= 1 << luck.random_range(0..8);
        }
        // A part is missing.
        1 => {
            let (from, to) = range(out, luck);
            out.drain(from..to);
        }
        // A part comes twice, or many times.
        2 => {
            let (from, to) = range(out, luck);
            let part = out[from..to].repeat(luck.random_range(1..=3) * luck.random_range(1..=8));
            out.splice(to..to, part);
        }
        // The end is missing.
        3 => {
            let to = luck.random_range(0..=out.len());
            out.truncate(to);
        }
        // A word that breaks things, or one of the target's, in a place or in the place of something.
        4 | 5 => {
            let (from, mut to) = range(out, luck);
            if luck.random_bool(0.5) {
                to = from;
            }
            let word = if words.is_empty() || luck.random_bool(0.5) {
                WORDS[luck.random_range(0..WORDS.len())]
            } else {
                words[luck.random_range(0..words.len())].as_bytes()
            };
            out.splice(from..to, word.iter().copied());
        }
        // A number becomes another.
        6 => {
            let digits: Vec<usize> = (0..out.len())
                .filter(|&at| out[at].is_ascii_digit())
                .collect();
            if !digits.is_empty() {
                let at = digits[luck.random_range(0..digits.len())];
                let end = (at..out.len())
                    .find(|&at| !out[at].is_ascii_digit())
                    .unwrap_or(out.len());
                let number: u64 = luck.random::<u64>() >> luck.random_range(0..64);
                out.splice(at..end, number.to_string().into_bytes());
            }
        }
        // A part of a relative.
        7 if !others.is_empty() => {
            let (_, other) = &others[luck.random_range(0..others.len())];
            let (from, to) = range(other, luck);
            let at = luck.random_range(0..=out.len());
            out.splice(at..at, other[from..to].iter().copied());
        }
        // Two lines change places.
        _ => {
            let mut lines: Vec<&[u8]> = out.split(|&byte| byte == b'\n').collect();
            let (a, b) = (
                luck.random_range(0..lines.len()),
                luck.random_range(0..lines.len()),
            );
            lines.swap(a, b);
            *out = lines.join(&b'\n');
        }
    }
}

/// A part, more often short than long.
fn range(input: &[u8], luck: &mut impl Rng) -> (usize, usize) {
    let from = luck.random_range(0..=input.len());
    let longest = (input.len() - from) >> luck.random_range(0..8);
    (from, from + luck.random_range(0..=longest))
}

#[cfg(test)]
mod tests {
    use rand::{SeedableRng, rngs::StdRng};

    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_inputs_and_they_differ_from_the_kept_one() {
        let kept = b"one line\nand 17 more\n";
        let others = [("x".to_owned(), b"a relative".to_vec())];
        let series = |seed| {
            let mut luck = StdRng::seed_from_u64(seed);
            (0..100)
                .map(|_| mutated(kept, &others, &["word"], &mut luck))
                .collect::<Vec<_>>()
        };
        assert_eq!(series(1), series(1));
        assert_ne!(series(1), series(2));
        let n_changed = series(1).iter().filter(|input| **input != kept).count();
        assert!(n_changed > 80, "{n_changed}");
    }
}
