//! What a spot instance has cost since when: told to the runners on it with each list (facts §2.2.3, W37).

use dispatch_model::PricePoint;
use serde::Serialize;

use crate::record::Price;

/// The document for `--list --stdin-prices`: newest first, and of neighbours with the same price only the oldest.
/// `None` if there is nothing to tell; then the flag must not be given either. Points may come in any order; those
/// that are no prices (negative, infinite, not a number) are passed over.
pub fn price_document(points: &[PricePoint]) -> Option<Vec<u8>> {
    let mut points: Vec<PricePoint> = points
        .iter()
        .copied()
        .filter(|point| point.price.is_finite() && point.price >= 0.0)
        .collect();
    points.sort_by_key(|point| point.start);
    points.dedup_by(|newer, older| newer.price == older.price);
    if points.is_empty() {
        return None;
    }
    let rows: Vec<Row> = points.iter().rev().map(Row::from).collect();
    Some(serde_json::to_vec(&rows).expect("writing JSON to memory"))
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Row {
    start_time: String,
    price: Price,
}

impl From<&PricePoint> for Row {
    fn from(point: &PricePoint) -> Row {
        Row {
            start_time: point.start.to_string(),
            price: Price(point.price),
        }
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    #[track_caller]
    fn check(points: &[(&str, f64)], expected: Expect) {
        let points: Vec<PricePoint> = points
            .iter()
            .map(|(time, price)| PricePoint {
                start: format!("2026-11-22T{time}Z").parse().expect("a time"),
                price: *price,
            })
            .collect();
        let document = price_document(&points).map(|bytes| String::from_utf8(bytes).expect("text"));
        expected.assert_eq(&document.unwrap_or_else(|| "nothing".to_owned()));
    }

    #[test]
    fn newest_come_first_and_repetitions_are_dropped() {
        check(
            &[
                ("12:00:00", 0.2),
                ("10:00:00", 0.1),
                ("11:00:00", 0.1),
                ("13:00:00.5", 1.0),
            ],
            expect![[
                r#"[{"StartTime":"2026-11-22T13:00:00.5Z","Price":1},{"StartTime":"2026-11-22T12:00:00Z","Price":0.2},{"StartTime":"2026-11-22T10:00:00Z","Price":0.1}]"#
            ]],
        );
    }

    #[test]
    fn nothing_to_tell_is_not_an_empty_list() {
        check(&[], expect!["nothing"]);
        check(
            &[("10:00:00", f64::NAN), ("10:00:00", -1.0)],
            expect!["nothing"],
        );
    }
}
