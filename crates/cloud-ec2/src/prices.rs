//! What spot instances cost, as the runners on them are told (facts E17–E19): pure.

use std::{collections::BTreeMap, time::Duration};

use dispatch_model::{PricePoint, Time};

/// Which price: the provider type and the zone.
pub(crate) type PriceKey = (String, String);

/// Hours in the thirty days by which EBS prices are told.
const HOURS: f64 = 30.0 * 24.0;
/// After a look-up that failed, none is tried for so long, or for the interval if that is shorter.
const AFTER_FAILURE: Duration = Duration::from_secs(300);

/// The history, as far as it was asked for.
#[derive(Debug)]
pub(crate) struct Prices {
    /// `SpotPriceUpdateInterval`; zero: never ask (facts E18).
    interval: Duration,
    not_before: Time,
    known: BTreeMap<PriceKey, Known>,
}

#[derive(Debug)]
struct Known {
    asked_at: Time,
    points: Vec<PricePoint>,
}

impl Prices {
    pub(crate) fn new(interval: Duration) -> Prices {
        Prices {
            interval,
            not_before: Time::ZERO,
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
        if now < self.not_before || used.iter().all(fresh) {
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
    pub(crate) fn told(
        &mut self,
        used: &[PriceKey],
        points: Vec<(PriceKey, PricePoint)>,
        now: Time,
    ) {
        for key in used {
            let fresh = Known {
                asked_at: now,
                points: Vec::new(),
            };
            self.known.insert(key.clone(), fresh);
        }
        for (key, point) in points {
            if let Some(known) = self.known.get_mut(&key) {
                known.points.push(point);
            }
        }
    }

    /// EC2 told nothing. What was known stays so.
    pub(crate) fn failed(&mut self, now: Time) {
        self.not_before = now + AFTER_FAILURE.min(self.interval);
    }

    /// The prices of one instance, its added scratch included (facts E19), newest first.
    pub(crate) fn of(&self, key: &PriceKey, added_gib: u64, ebs_price: f64) -> Vec<PricePoint> {
        let added = added_gib as f64 * ebs_price / HOURS;
        let points = self.known.get(key).map_or(&[][..], |known| &known.points);
        let mut points: Vec<PricePoint> = points
            .iter()
            .map(|point| PricePoint {
                price: point.price + added,
                ..*point
            })
            .collect();
        points.sort_by_key(|point| std::cmp::Reverse(point.start));
        points
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> PriceKey {
        (name.to_owned(), "a".to_owned())
    }

    fn point(secs: i64, price: f64) -> PricePoint {
        PricePoint {
            start: jiff::Timestamp::from_second(secs).expect("a time"),
            price,
        }
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
    fn after_a_failure_it_asks_again_in_minutes_and_keeps_what_it_knows() {
        let day = Duration::from_secs(24 * 3600);
        let mut prices = Prices::new(day);
        prices.told(&[key("m")], vec![(key("m"), point(1, 0.5))], Time::ZERO);
        let later = Time::ZERO + day;
        assert_eq!(prices.due(&[key("m")], later), ["m"]);
        prices.failed(later);
        assert!(
            prices
                .due(&[key("m")], later + Duration::from_secs(299))
                .is_empty()
        );
        assert_eq!(prices.of(&key("m"), 0, 0.1).len(), 1);
        assert_eq!(prices.due(&[key("m")], later + AFTER_FAILURE), ["m"]);
    }

    #[test]
    fn added_scratch_is_part_of_the_price() {
        let mut prices = Prices::new(Duration::from_secs(60));
        let points = vec![
            (key("m"), point(1, 0.5)),
            (key("m"), point(3, 0.25)),
            (key("other"), point(2, 9.0)),
        ];
        prices.told(&[key("m")], points, Time::ZERO);
        let seen = prices.of(&key("m"), 640, 0.1);
        let starts: Vec<i64> = seen.iter().map(|point| point.start.as_second()).collect();
        assert_eq!(starts, [3, 1]);
        let expected = 0.5 + 640.0 * 0.1 / 30.0 / 24.0;
        assert!((seen[1].price - expected).abs() < 1e-9, "{seen:?}");
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
