//! Sizes as Arvados writes them: `4096`, `1.5 GiB`, `64MB` (facts §3.6).

/// Why a text is not a size.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SizeError {
    /// There is nothing.
    #[error("is empty where a size is needed")]
    Empty,
    /// There is no number at its front.
    #[error("is not a size")]
    NotANumber,
    /// It is below zero.
    #[error("is a negative size")]
    Negative,
    /// A fraction or an exponent without a unit.
    #[error("is not a whole number of bytes and has no unit")]
    MissingUnit,
    /// What follows the number is no unit.
    #[error("has the unknown unit {0:?}")]
    UnknownUnit(String),
    /// More than 63 bits.
    #[error("is too large for a size")]
    TooLarge,
}

/// Bytes of a size. Fractions of a byte are dropped. A whole number without a unit is in bytes, quoted or not (K23).
pub fn parse(text: &str) -> Result<u64, SizeError> {
    let text = text.trim_matches(' ');
    if text.is_empty() {
        return Err(SizeError::Empty);
    }
    let (number, unit) = Number::split(text)?;
    let unit = unit.trim_start_matches(' ');
    if unit.is_empty() && !number.plain {
        return Err(SizeError::MissingUnit);
    }
    let factor = factor(unit).ok_or_else(|| SizeError::UnknownUnit(unit.to_owned()))?;
    let bytes = number.times(factor)?;
    if number.negative && bytes > 0 {
        return Err(SizeError::Negative);
    }
    Ok(bytes)
}

/// `[K|M|G|T|P|E][i][B]`, or nothing.
fn factor(unit: &str) -> Option<u128> {
    let unit = unit.strip_suffix('B').unwrap_or(unit);
    let (prefix, base) = match unit.strip_suffix('i') {
        Some(prefix) => (prefix, 1024u128),
        None => (unit, 1000u128),
    };
    let power = match prefix {
        "" if base == 1000 => 0,
        "K" => 1,
        "M" => 2,
        "G" => 3,
        "T" => 4,
        "P" => 5,
        "E" => 6,
        _ => return None,
    };
    Some(base.pow(power))
}

/// A decimal number: digits × 10^exponent.
struct Number {
    negative: bool,
    /// Only digits: no fraction, no exponent.
    plain: bool,
    digits: u128,
    exponent: i64,
}

impl Number {
    /// Splits the number from what follows. "E" is an exponent only where a digit or a sign follows: otherwise Exa.
    fn split(text: &str) -> Result<(Number, &str), SizeError> {
        let bytes = text.as_bytes();
        let negative = bytes[0] == b'-';
        let mut at = usize::from(negative || bytes[0] == b'+');
        let mut number = Number {
            negative,
            plain: true,
            digits: 0,
            exponent: 0,
        };
        let (mut n_digits, mut in_fraction) = (0, false);
        while let Some(&byte) = bytes.get(at) {
            match byte {
                b'0'..=b'9' => {
                    n_digits += 1;
                    number.push(byte - b'0', in_fraction);
                }
                b'.' if !in_fraction => {
                    in_fraction = true;
                    number.plain = false;
                }
                _ => break,
            }
            at += 1;
        }
        if n_digits == 0 {
            return Err(SizeError::NotANumber);
        }
        if matches!(bytes.get(at), Some(b'e' | b'E')) {
            let signed = usize::from(matches!(bytes.get(at + 1), Some(b'+' | b'-')));
            let start = at + 1 + signed;
            let n_digits = bytes[start.min(bytes.len())..]
                .iter()
                .take_while(|b| b.is_ascii_digit())
                .count();
            if n_digits > 0 {
                // An exponent of more digits than an i64 has is as good as the largest.
                let exponent: i64 = text[start..start + n_digits]
                    .parse()
                    .unwrap_or(i64::MAX / 4);
                let exponent = exponent.min(i64::MAX / 4);
                number.exponent += if bytes[at + 1] == b'-' {
                    -exponent
                } else {
                    exponent
                };
                number.plain = false;
                at = start + n_digits;
            }
        }
        Ok((number, &text[at..]))
    }

    /// Digits beyond the 20th cannot be told apart in a size; they only count as places.
    fn push(&mut self, digit: u8, in_fraction: bool) {
        const ENOUGH: u128 = 10u128.pow(19);
        if self.digits < ENOUGH {
            self.digits = self.digits * 10 + u128::from(digit);
            self.exponent -= i64::from(in_fraction);
        } else if !in_fraction {
            self.exponent += 1;
        }
    }

    fn times(&self, factor: u128) -> Result<u64, SizeError> {
        let mut product = self.digits * factor; // Below 10^20 × 2^60, which is below 2^127.
        if product == 0 {
            return Ok(0);
        }
        if self.exponent < 0 {
            let places = u32::try_from(-self.exponent).unwrap_or(u32::MAX);
            product = 10u128
                .checked_pow(places)
                .map_or(0, |divisor| product / divisor);
        } else {
            let places = u32::try_from(self.exponent).unwrap_or(u32::MAX);
            product = 10u128
                .checked_pow(places)
                .and_then(|scale| product.checked_mul(scale))
                .ok_or(SizeError::TooLarge)?;
        }
        i64::try_from(product)
            .map(i64::cast_unsigned)
            .map_err(|_| SizeError::TooLarge)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn sizes_are_read_as_arvados_does() {
        let rows = [
            ("0", 0),
            ("4096", 4096),
            ("+4096", 4096),
            ("  64 MB ", 64_000_000),
            ("1K", 1000),
            ("1Ki", 1024),
            ("1KiB", 1024),
            ("1KB", 1000),
            ("12B", 12),
            ("1.234 GiB", 1_324_997_410),
            (".5KiB", 512),
            ("1.KiB", 1024),
            ("4.5EiB", 5_188_146_770_730_811_392),
            ("1E", 1_000_000_000_000_000_000),
            ("1EB", 1_000_000_000_000_000_000),
            ("1E0EB", 1_000_000_000_000_000_000),
            ("1E3B", 1000),
            ("1e+3 B", 1000),
            ("15E-1KB", 1500),
            ("1E-99999999999999999999 B", 0),
            ("0E99999999999999999999 B", 0),
            ("-0", 0),
            ("2PiB", 2_251_799_813_685_248),
            ("3T", 3_000_000_000_000),
            ("9223372036854775807", i64::MAX as u64),
            ("0.000000000000000000000000000001 EiB", 0),
        ];
        for (text, bytes) in rows {
            assert_eq!(parse(text), Ok(bytes), "{text:?}");
        }
    }

    #[test]
    fn what_is_not_a_size_is_refused_with_the_reason() {
        let unit = |unit: &str| SizeError::UnknownUnit(unit.into());
        let rows = [
            ("", SizeError::Empty),
            ("  ", SizeError::Empty),
            ("GiB", SizeError::NotANumber),
            ("lots", SizeError::NotANumber),
            ("-", SizeError::NotANumber),
            ("-1 KB", SizeError::Negative),
            ("1.5", SizeError::MissingUnit),
            ("1e3", SizeError::MissingUnit),
            ("1k", unit("k")),
            ("1m", unit("m")),
            ("1KIB", unit("KIB")),
            ("1b", unit("b")),
            ("1K iB", unit("K iB")),
            ("1BB", unit("BB")),
            ("1i", unit("i")),
            ("1iB", unit("iB")),
            ("1e", unit("e")),
            ("1.2.3K", unit(".3K")),
            ("1KiB2", unit("KiB2")),
            ("1\tKB", unit("\tKB")),
            ("9223372036854775808", SizeError::TooLarge),
            ("8EiB", SizeError::TooLarge),
            ("1E99999999999999999999 B", SizeError::TooLarge),
            ("1E19B", SizeError::TooLarge),
        ];
        for (text, error) in rows {
            assert_eq!(parse(text), Err(error), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn a_whole_number_reads_as_itself(bytes in 0..=i64::MAX as u64) {
            prop_assert_eq!(parse(&bytes.to_string()), Ok(bytes));
            prop_assert_eq!(parse(&format!("{bytes} B")), Ok(bytes));
        }

        #[test]
        fn a_unit_multiplies(count in 0u64..8, unit in 0usize..6) {
            let names = ["K", "M", "G", "T", "P", "E"];
            let power = unit as u32 + 1;
            prop_assert_eq!(parse(&format!("{count} {}B", names[unit])), Ok(count * 1000u64.pow(power)));
            prop_assert_eq!(parse(&format!("{count}{}i", names[unit])), Ok(count * 1024u64.pow(power)));
        }

        #[test]
        fn no_text_makes_the_reader_panic(text in "[-+0-9.eEKMGTPiB ]{0,30}|\\PC{0,12}") {
            if let Ok(bytes) = parse(&text) {
                prop_assert!(bytes <= i64::MAX as u64);
            }
        }
    }
}
