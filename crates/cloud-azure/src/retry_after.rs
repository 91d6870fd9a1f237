//! How long Azure asks us to wait (facts A5, K27): seconds, a date, nothing, or something that nobody can read.

use std::time::Duration;

/// What is waited if the header cannot be read (facts A5).
const UNREADABLE: Duration = Duration::from_secs(20);
/// Nobody means more than this.
const LONGEST: Duration = Duration::from_secs(3600);

/// Reads the header `Retry-After`. A date counts from the answer's own `Date`, so that our clock does not matter.
/// `None`: there is no such header.
pub(crate) fn wait(retry_after: Option<&str>, date: Option<&str>) -> Option<Duration> {
    let text = retry_after?.trim();
    let wait = seconds(text)
        .or_else(|| until(text, date?))
        .unwrap_or(UNREADABLE);
    Some(wait.min(LONGEST))
}

fn seconds(text: &str) -> Option<Duration> {
    let seconds: f64 = text.parse().ok()?;
    Duration::try_from_secs_f64(seconds).ok()
}

fn until(text: &str, date: &str) -> Option<Duration> {
    let (then, now) = (moment(text)?, moment(date)?);
    Some(Duration::try_from(then.duration_since(now)).unwrap_or_default())
}

/// A date as HTTP writes it: "Sun, 06 Nov 1994 08:49:37 GMT".
pub(crate) fn moment(text: &str) -> Option<jiff::Timestamp> {
    let parsed = jiff::fmt::rfc2822::parse(text.trim()).ok()?;
    Some(parsed.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";

    #[test]
    fn a5_seconds_dates_and_nonsense_are_understood() {
        let secs = |n| Some(Duration::from_secs(n));
        for (header, date, expected) in [
            (None, Some(DATE), None),
            (Some("7"), None, secs(7)),
            (Some(" 0 "), None, secs(0)),
            (Some("1.5"), None, Some(Duration::from_millis(1500))),
            (Some("Sun, 06 Nov 1994 08:50:37 GMT"), Some(DATE), secs(60)),
            // Past already.
            (Some("Sun, 06 Nov 1994 08:00:00 GMT"), Some(DATE), secs(0)),
            // Without the answer's date nobody knows how long.
            (Some("Sun, 06 Nov 1994 08:50:37 GMT"), None, secs(20)),
            (Some("soon"), Some(DATE), secs(20)),
            (Some(""), Some(DATE), secs(20)),
            (Some("-3"), Some(DATE), secs(20)),
            (Some("NaN"), Some(DATE), secs(20)),
            (Some("1e300"), Some(DATE), secs(20)),
            (Some("999999999"), None, secs(3600)),
            (
                Some("Sat, 06 Nov 2094 08:50:37 GMT"),
                Some(DATE),
                secs(3600),
            ),
        ] {
            assert_eq!(wait(header, date), expected, "{header:?} {date:?}");
        }
    }
}
