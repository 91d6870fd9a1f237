//! How fast to call, for each operation apart, as EC2 keeps its buckets: pure.
//!
//! Two rules. After a throttled call none is sent for a while that grows with each one (facts E6). And calls that come
//! in numbers keep to EC2's documented rate by themselves, or to a lower one when somebody else uses the account too: the rate goes down
//! with each throttled call and creeps up again with each that was not.

use std::time::Duration;

use dispatch_model::Time;

/// Slower than this share of the documented rate makes no sense whoever else calls.
const SLOWEST: f64 = 0.05;
/// What a throttled call does to the rate, and the share of the documented rate that one that was not adds to it.
const DOWN: f64 = 0.8;
const UP: f64 = 0.002;

/// A bucket of calls: so many at once, so many a second.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Limit {
    pub(crate) burst: f64,
    pub(crate) per_second: f64,
}

// EC2's documented buckets, less what is lost while calls are on their way: a full bucket does not become fuller, and
// it begins to fill again when the first call arrives. Of the large ones less than half is taken at once, since what is
// sent at once is throttled at once: somebody else may have taken the other half.

/// For RunInstances: 5 and 2 a second.
pub(crate) const CREATES: Limit = Limit {
    burst: 4.0,
    per_second: 2.0,
};
/// For TerminateInstances: 100 and 5 a second.
pub(crate) const ENDS: Limit = Limit {
    burst: 45.0,
    per_second: 4.9,
};
/// For CreateTags: 100 and 10 a second.
pub(crate) const TAGS: Limit = Limit {
    burst: 45.0,
    per_second: 9.8,
};

/// The pace of one operation.
#[derive(Clone, Debug)]
pub(crate) struct Pace {
    /// Facts E6.
    delay: Duration,
    not_before: Time,
    bucket: Option<Bucket>,
}

/// How many calls may go. Below zero: so many are promised to those who wait.
#[derive(Clone, Debug)]
struct Bucket {
    limit: Limit,
    tokens: f64,
    filled_at: Time,
    rate: f64,
}

impl Pace {
    /// Waits only after throttled calls.
    pub(crate) fn reactive() -> Pace {
        Pace {
            delay: Duration::ZERO,
            not_before: Time::ZERO,
            bucket: None,
        }
    }

    /// Keeps to a documented rate by itself.
    pub(crate) fn of(limit: Limit) -> Pace {
        Pace {
            bucket: Some(Bucket {
                limit,
                tokens: limit.burst,
                filled_at: Time::ZERO,
                rate: limit.per_second,
            }),
            ..Pace::reactive()
        }
    }

    /// When a call may be sent: now, or so soon that it is worth waiting for (`patience`), which takes a place. `Err`:
    /// not before then, and no place was taken.
    pub(crate) fn turn(&mut self, patience: Duration, now: Time) -> Result<Time, Time> {
        let mut at = self.not_before.max(now);
        if let Some(bucket) = &mut self.bucket {
            let earned = now.since(bucket.filled_at).as_secs_f64() * bucket.rate;
            bucket.tokens = (bucket.tokens + earned).min(bucket.limit.burst);
            bucket.filled_at = now;
            let missing = (1.0 - bucket.tokens).max(0.0);
            at = at.max(now + Duration::from_secs_f64(missing / bucket.rate));
        }
        if at.since(now) > patience {
            return Err(at);
        }
        if let Some(bucket) = &mut self.bucket {
            bucket.tokens -= 1.0;
        }
        Ok(at)
    }

    /// A call was throttled: no other before the time that is returned.
    pub(crate) fn throttled(&mut self, asked_for: Option<Duration>, now: Time) -> Time {
        // Calls that were under way together are throttled together: that counts once.
        if now >= self.not_before {
            self.delay = (self.delay.mul_f64(1.5) + Duration::from_secs(1))
                .clamp(Duration::from_secs(1), Duration::from_secs(60));
            if let Some(bucket) = &mut self.bucket {
                let slowest = bucket.limit.per_second * SLOWEST;
                bucket.rate = (bucket.rate * DOWN).max(slowest);
                bucket.tokens = bucket.tokens.min(0.0);
                bucket.filled_at = now;
            }
        }
        let wait = asked_for.unwrap_or_default().max(self.delay);
        self.not_before = self.not_before.max(now + wait.min(Duration::from_secs(60)));
        self.not_before
    }

    /// Until when no call is sent because one was throttled.
    pub(crate) fn not_before(&self) -> Time {
        self.not_before
    }

    /// A call was answered in any other way (facts E6, K28).
    pub(crate) fn answered(&mut self) {
        self.delay = Duration::ZERO;
        if let Some(bucket) = &mut self.bucket {
            let full = bucket.limit.per_second;
            bucket.rate = (bucket.rate + full * UP).min(full);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(millis: u64) -> Time {
        Time::from_millis(millis)
    }

    #[test]
    fn the_delay_grows_with_each_throttled_call_and_ends_with_the_first_that_was_not() {
        let mut pace = Pace::reactive();
        let mut now = Time::ZERO;
        let mut waits = Vec::new();
        for _ in 0..12 {
            let until = pace.throttled(None, now);
            waits.push(until.since(now).as_secs());
            now = until;
        }
        assert_eq!(waits, [1, 2, 4, 8, 13, 20, 32, 49, 60, 60, 60, 60]);
        pace.answered();
        assert_eq!(pace.throttled(None, now).since(now).as_secs(), 1);
    }

    #[test]
    fn nothing_is_sent_while_the_delay_lasts_and_calls_throttled_together_count_once() {
        let mut pace = Pace::reactive();
        assert_eq!(pace.throttled(None, ms(0)), ms(1000));
        assert_eq!(pace.throttled(None, ms(10)), ms(1010));
        assert_eq!(pace.turn(Duration::ZERO, ms(500)), Err(ms(1010)));
        assert_eq!(pace.turn(Duration::from_secs(1), ms(500)), Ok(ms(1010)));
        assert_eq!(pace.turn(Duration::ZERO, ms(1010)), Ok(ms(1010)));
        assert_eq!(
            pace.throttled(Some(Duration::from_secs(7)), ms(2000)),
            ms(9000)
        );
    }

    /// EC2's own bucket for RunInstances.
    struct Ec2 {
        tokens: f64,
        at: Time,
        per_second: f64,
    }

    impl Ec2 {
        fn lets(&mut self, now: Time) -> bool {
            let earned = now.since(self.at).as_secs_f64() * self.per_second;
            self.tokens = (self.tokens + earned).min(CREATES.burst);
            self.at = now;
            let lets = self.tokens >= 1.0;
            if lets {
                self.tokens -= 1.0;
            }
            lets
        }
    }

    /// Creates 500 instances one call each, answers taking 300 ms; another client takes the rest of the rate.
    /// How many seconds it took, and the share of calls that were throttled.
    fn five_hundred(ours_per_second: f64) -> (f64, f64) {
        let mut ec2 = Ec2 {
            tokens: CREATES.burst,
            at: Time::ZERO,
            per_second: ours_per_second,
        };
        let mut pace = Pace::of(CREATES);
        let (mut now, mut made, mut throttled) = (Time::ZERO, 0_u32, 0_u32);
        while made < 500 {
            match pace.turn(Duration::ZERO, now) {
                Err(at) => now = at,
                Ok(_) if ec2.lets(now) => {
                    made += 1;
                    pace.answered();
                }
                Ok(_) => {
                    throttled += 1;
                    pace.throttled(None, now);
                }
            }
            now += Duration::from_millis(1);
        }
        (
            now.millis() as f64 / 1000.0,
            f64::from(throttled) / f64::from(made + throttled),
        )
    }

    #[test]
    fn five_hundred_creates_keep_to_the_documented_bucket() {
        let (secs, throttled) = five_hundred(2.0);
        assert!(secs <= 260.0, "{secs} s");
        assert!(throttled <= 0.05, "{throttled}");
    }

    #[test]
    fn another_client_that_takes_half_of_the_bucket_is_noticed() {
        let (secs, throttled) = five_hundred(1.0);
        assert!(secs <= 550.0, "{secs} s");
        assert!(throttled <= 0.05, "{throttled}");
    }
}
