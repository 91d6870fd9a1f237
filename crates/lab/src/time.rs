//! The world's time: the present on both clocks, spans from which latencies are drawn, and when an answer comes.

use serde::{Deserialize, Serialize};

use crate::luck::Luck;

/// The present moment. The world reads no clock; whoever asks it says when.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Now {
    /// Milliseconds since the world began. Never goes back.
    pub ms: u64,
    /// The wall clock.
    pub wall: jiff::Timestamp,
}

impl Now {
    /// `ms` after the world began, in a world that began at 2026-01-01T00:00:00Z: for virtual time.
    pub fn at(ms: u64) -> Now {
        const NEW_YEAR_2026_MS: i64 = 1_767_225_600_000;
        let wall = i64::try_from(ms)
            .ok()
            .and_then(|ms| jiff::Timestamp::from_millisecond(NEW_YEAR_2026_MS + ms).ok());
        Now {
            ms,
            wall: wall.unwrap_or(jiff::Timestamp::MAX),
        }
    }
}

/// A time as Arvados writes it: RFC 3339 with nine fractional digits (facts §5.7).
pub fn rfc3339(wall: jiff::Timestamp) -> String {
    format!("{wall:.9}")
}

/// A stretch of time from which one is drawn, in milliseconds, both ends included. In JSON a number or `[min, max]`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(from = "SpanText", into = "[u64; 2]")]
pub struct Span {
    /// The shortest, ms.
    pub min: u64,
    /// The longest, ms.
    pub max: u64,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum SpanText {
    One(u64),
    Two([u64; 2]),
}

impl From<SpanText> for Span {
    fn from(text: SpanText) -> Span {
        match text {
            SpanText::One(ms) => Span::exactly(ms),
            SpanText::Two([min, max]) => Span::between(min, max),
        }
    }
}

impl From<Span> for [u64; 2] {
    fn from(span: Span) -> [u64; 2] {
        [span.min, span.max]
    }
}

impl Span {
    /// Always the same.
    pub const fn exactly(ms: u64) -> Span {
        Span { min: ms, max: ms }
    }

    /// Anything from `min` to `max`.
    pub const fn between(min: u64, max: u64) -> Span {
        Span { min, max }
    }

    /// One of it.
    pub fn draw(self, luck: &mut Luck) -> u64 {
        let width = self.max.saturating_sub(self.min);
        if width == 0 {
            self.min
        } else {
            self.min + luck.below(width + 1)
        }
    }
}

/// When an answer reaches the one who asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum When {
    /// So many milliseconds from now.
    After(u64),
    /// It does not: the connection breaks after so many milliseconds. The call had its effect.
    Cut(u64),
    /// It does not, and the connection stays open.
    Never,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_nine_fractional_digits() {
        assert_eq!(rfc3339(Now::at(1).wall), "2026-01-01T00:00:00.001000000Z");
    }

    #[test]
    fn a_span_is_a_number_or_a_pair() {
        let spans: Vec<Span> = serde_json::from_str("[3, [1, 2]]").unwrap();
        assert_eq!(spans, [Span::exactly(3), Span::between(1, 2)]);
    }

    #[test]
    fn draws_stay_within_the_span() {
        let mut luck = Luck::new(1, "test");
        let drawn: Vec<u64> = (0..200)
            .map(|_| Span::between(5, 7).draw(&mut luck))
            .collect();
        assert!(drawn.iter().all(|ms| (5..=7).contains(ms)));
        assert!((5..=7).all(|ms| drawn.contains(&ms)));
    }
}
