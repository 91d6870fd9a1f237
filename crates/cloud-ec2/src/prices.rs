//! What spot instances cost, as the runners on them are told (facts E17–E19): pure.

use std::{collections::BTreeMap, time::Duration};

use dispatch_model::Time;
use jiff::Timestamp;

/// Which price: the provider type and the zone.
pub(crate) type PriceKey = (String, String);
/// Since when, and dollars an hour.
pub(crate) type Point = (Timestamp, f64);

/// Hours in the thirty days by which EBS prices are told.
const HOURS: f64 = 30.0 * 24.0;

/// The history, as far as it was asked for.
#[derive(Debug)]
pub(crate) struct Prices {
    /// `SpotPriceUpdateInterval`; zero: never ask (facts E18).
    interval: Duration,
    known: BTreeMap<PriceKey, Known>,
}

#[derive(Debug)]
struct Known {
    asked_at: Time,
    points: Vec<Point>,
}

impl Prices {
    pub(crate) fn new(interval: Duration) -> Prices {
        Prices {
            interval,
            known: BTreeMap::new(),
        }
    }

    /// The types to ask about now, each once (facts E18), if the prices of any spot instance are older than the
    /// interval. What has not been asked about for 64 intervals is forgotten.
    pub(crate) fn due(&mut self, used: &[PriceKey], now: Time) -> Vec<String> {
        if self.interval.is_zero() {
            return Vec::new();
        }
        let longest = self.interval.saturating_mul(64);
        self.known
            .retain(|_, known| now.since(known.asked_at) < longest);
        let fresh = |key: &PriceKey| {
            let known = self.known.get(key);
            known.is_some_and(|known| now.since(known.asked_at) < self.interval)
        };
        if used.iter().all(fresh) {
            return Vec::new();
        }
        let mut types: Vec<String> = used.iter().map(|(name, _)| name.clone()).collect();
        types.sort();
        types.dedup();
        types
    }

    /// How far back to ask.
    pub(crate) fn look_back(&self) -> Duration {
        self.interval.saturating_mul(3)
    }

    /// What EC2 has told, and about which it was asked: there may be no price.
    pub(crate) fn told(&mut self, used: &[PriceKey], points: Vec<(PriceKey, Point)>, now: Time) {
        for key in used {
            let known = self.known.entry(key.clone()).or_insert(Known {
                asked_at: now,
                points: Vec::new(),
            });
            known.asked_at = now;
            known.points.clear();
        }
        for (key, point) in points {
            if let Some(known) = self.known.get_mut(&key) {
                known.points.push(point);
            }
        }
    }

    /// The prices of one instance, its added scratch included (facts E19), newest first.
    pub(crate) fn of(&self, key: &PriceKey, added_gib: u64, ebs_price: f64) -> Vec<Point> {
        let added = added_gib as f64 * ebs_price / HOURS;
        let points = self.known.get(key).map_or(&[][..], |known| &known.points);
        let mut points: Vec<Point> = points
            .iter()
            .map(|(at, price)| (*at, price + added))
            .collect();
        points.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
        points
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> PriceKey {
        (name.to_owned(), "a".to_owned())
    }

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_second(secs).expect("a time")
    }

    #[test]
    fn each_type_is_asked_about_once_and_not_again_within_the_interval() {
        let mut prices = Prices::new(Duration::from_secs(60));
        let used = [
            key("m"),
            key("m"),
            ("m".to_owned(), "b".to_owned()),
            key("x"),
        ];
        assert_eq!(prices.due(&used, Time::ZERO), ["m", "x"]);
        prices.told(&used, vec![], Time::ZERO);
        assert!(prices.due(&used, Time::from_secs(59)).is_empty());
        assert_eq!(prices.due(&used, Time::from_secs(60)), ["m", "x"]);
        assert_eq!(prices.due(&[key("new")], Time::from_secs(1)), ["new"]);
        assert!(prices.due(&[], Time::from_secs(600)).is_empty());
    }

    #[test]
    fn an_interval_of_zero_switches_the_lookups_off() {
        assert!(
            Prices::new(Duration::ZERO)
                .due(&[key("m")], Time::from_secs(9))
                .is_empty()
        );
    }

    #[test]
    fn added_scratch_is_part_of_the_price() {
        let mut prices = Prices::new(Duration::from_secs(60));
        let points = vec![
            (key("m"), (at(1), 0.5)),
            (key("m"), (at(3), 0.25)),
            (key("other"), (at(2), 9.0)),
        ];
        prices.told(&[key("m")], points, Time::ZERO);
        let seen = prices.of(&key("m"), 640, 0.1);
        assert_eq!(
            seen.iter()
                .map(|(at, _)| at.as_second())
                .collect::<Vec<_>>(),
            [3, 1]
        );
        let expected = 0.5 + 640.0 * 0.1 / 30.0 / 24.0;
        assert!((seen[1].1 - expected).abs() < 1e-9, "{seen:?}");
        assert!(prices.of(&key("other"), 0, 0.1).is_empty());
    }

    #[test]
    fn what_is_not_used_any_more_is_forgotten() {
        let mut prices = Prices::new(Duration::from_secs(1));
        prices.told(&[key("m")], vec![], Time::ZERO);
        prices.due(&[], Time::from_secs(64));
        assert!(prices.known.is_empty());
    }
}
