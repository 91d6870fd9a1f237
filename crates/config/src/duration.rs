//! Durations as Arvados writes them: `1h30m`, `1.234s`, `150ms` (facts §3.7).

const UNITS: [(&str, i128); 8] = [
    // Longer names before their prefixes; µ exists twice in Unicode.
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("μs", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// Why a text is not a duration.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum DurationError {
    /// There is nothing.
    #[error("is empty where a duration is needed")]
    Empty,
    /// A number has no unit.
    #[error("lacks the unit of a duration")]
    MissingUnit,
    /// A unit does not exist.
    #[error("has the unknown unit {0:?}")]
    UnknownUnit(String),
    /// There is something else where a number should be.
    #[error("is not a duration")]
    NotANumber,
    /// More than 64 bits of nanoseconds, which is 292 years.
    #[error("is too long for a duration")]
    TooLong,
}

/// Nanoseconds of a duration: decimal numbers each with a unit, one after the other; or 0 alone.
pub fn parse(text: &str) -> Result<i64, DurationError> {
    let (negative, mut rest) = match text.as_bytes().first() {
        None => return Err(DurationError::Empty),
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        Some(_) => (false, text),
    };
    if rest == "0" {
        return Ok(0);
    }
    if rest.is_empty() {
        return Err(DurationError::NotANumber);
    }
    let mut nanos: i128 = 0;
    while !rest.is_empty() {
        let number_len = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(rest.len());
        let (number, after) = rest.split_at(number_len);
        let unit_len = after
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(after.len());
        let (unit, after) = after.split_at(unit_len);
        if !number.contains(|c: char| c.is_ascii_digit()) {
            return Err(DurationError::NotANumber);
        }
        if unit.is_empty() {
            return Err(DurationError::MissingUnit);
        }
        let factor = UNITS
            .iter()
            .find(|(name, _)| *name == unit)
            .map(|(_, nanos)| *nanos)
            .ok_or_else(|| DurationError::UnknownUnit(unit.to_owned()))?;
        nanos = nanos
            .checked_add(times(number, factor)?)
            .filter(|nanos| *nanos <= i128::from(i64::MAX))
            .ok_or(DurationError::TooLong)?;
        rest = after;
    }
    let nanos = i64::try_from(nanos).map_err(|_| DurationError::TooLong)?;
    Ok(if negative { -nanos } else { nanos })
}

/// The form that Arvados prints and that goes to the runner: zero minutes and seconds are left out
/// (`1h`, `2m30s`, `2h1s`), below a second the largest unit that leaves at least one.
pub fn canonical(nanos: i64) -> String {
    const SECOND: u64 = 1_000_000_000;
    let sign = if nanos < 0 { "-" } else { "" };
    let nanos = nanos.unsigned_abs();
    if nanos == 0 {
        return "0s".to_owned();
    }
    if nanos < SECOND {
        let (unit, digits) = match nanos {
            0..1_000 => ("ns", 0),
            1_000..1_000_000 => ("µs", 3),
            _ => ("ms", 6),
        };
        return format!("{sign}{}{unit}", decimal(nanos, digits));
    }
    let (hours, minutes, rest) = (
        nanos / (3600 * SECOND),
        nanos / (60 * SECOND) % 60,
        nanos % (60 * SECOND),
    );
    let mut text = sign.to_owned();
    if hours > 0 {
        text += &format!("{hours}h");
    }
    if minutes > 0 {
        text += &format!("{minutes}m");
    }
    if rest > 0 {
        text += &format!("{}s", decimal(rest, 9));
    }
    text
}

/// `amount / 10^digits` without trailing zeros.
fn decimal(amount: u64, digits: usize) -> String {
    let scale = 10u64.pow(digits as u32);
    let (whole, fraction) = (amount / scale, amount % scale);
    if fraction == 0 {
        return whole.to_string();
    }
    format!(
        "{whole}.{}",
        format!("{fraction:0digits$}").trim_end_matches('0')
    )
}

/// A decimal number times a factor, truncated.
fn times(number: &str, factor: i128) -> Result<i128, DurationError> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if fraction.contains('.') {
        return Err(DurationError::NotANumber);
    }
    let whole = whole.trim_start_matches('0');
    if whole.len() > 19 {
        return Err(DurationError::TooLong);
    }
    let whole: i128 = if whole.is_empty() {
        0
    } else {
        whole.parse().map_err(|_| DurationError::NotANumber)?
    };
    // More digits than these cannot make a nanosecond.
    let fraction = &fraction[..fraction.len().min(18)];
    let mut nanos = whole.checked_mul(factor).ok_or(DurationError::TooLong)?;
    if !fraction.is_empty() {
        let parts: i128 = fraction.parse().map_err(|_| DurationError::NotANumber)?;
        nanos += parts * factor / 10i128.pow(fraction.len() as u32);
    }
    Ok(nanos)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn durations_are_read_and_written_as_arvados_does() {
        let rows = [
            ("0", 0, "0s"),
            ("+0", 0, "0s"),
            ("0s", 0, "0s"),
            ("1h30m", 5_400_000_000_000, "1h30m"),
            ("1.234s", 1_234_000_000, "1.234s"),
            ("60s", 60_000_000_000, "1m"),
            ("150s", 150_000_000_000, "2m30s"),
            ("60m", 3_600_000_000_000, "1h"),
            ("2h0m1s", 7_201_000_000_000, "2h1s"),
            ("150ms", 150_000_000, "150ms"),
            ("1.5ms", 1_500_000, "1.5ms"),
            ("15us", 15_000, "15µs"),
            ("15µs", 15_000, "15µs"),
            ("15μs", 15_000, "15µs"),
            ("7ns", 7, "7ns"),
            (".5s", 500_000_000, "500ms"),
            ("1.s", 1_000_000_000, "1s"),
            ("-1.5h", -5_400_000_000_000, "-1h30m"),
            ("336h", 1_209_600_000_000_000, "336h"),
            ("0.1234567890123456789s", 123_456_789, "123.456789ms"),
            (
                "9223372036854775807ns",
                i64::MAX,
                "2562047h47m16.854775807s",
            ),
        ];
        for (text, nanos, written) in rows {
            assert_eq!(parse(text), Ok(nanos), "{text}");
            assert_eq!(canonical(nanos), written, "{text}");
        }
    }

    #[test]
    fn what_is_not_a_duration_is_refused_with_the_reason() {
        let rows = [
            ("", DurationError::Empty),
            ("10", DurationError::MissingUnit),
            ("1m30", DurationError::MissingUnit),
            ("1d", DurationError::UnknownUnit("d".into())),
            ("1S", DurationError::UnknownUnit("S".into())),
            ("1 m", DurationError::UnknownUnit(" m".into())),
            ("s", DurationError::NotANumber),
            ("-", DurationError::NotANumber),
            (".s", DurationError::NotANumber),
            ("1.2.3s", DurationError::NotANumber),
            ("soon", DurationError::NotANumber),
            ("99999999999999999999s", DurationError::TooLong),
            ("9223372036854775807h", DurationError::TooLong),
            ("9223372036854775808ns", DurationError::TooLong),
        ];
        for (text, error) in rows {
            assert_eq!(parse(text), Err(error), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(nanos in -i64::MAX..i64::MAX) {
            prop_assert_eq!(parse(&canonical(nanos)), Ok(nanos));
        }

        #[test]
        fn no_text_makes_the_reader_panic(text in "[-+0-9.a-zµ ]{0,24}|\\PC{0,12}") {
            if let Ok(nanos) = parse(&text) {
                prop_assert_eq!(parse(&canonical(nanos)), Ok(nanos));
            }
        }
    }
}
