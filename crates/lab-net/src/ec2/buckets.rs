//! EC2's documented limits of calls: so many at once, so many a second, for each operation apart; and another client of
//! the account that takes its share of them.

use std::collections::BTreeMap;

/// Name, size, calls a second.
type Limit = (&'static str, f64, f64);

/// What a call takes from which bucket.
#[derive(Default, Debug)]
pub(super) struct Buckets(BTreeMap<&'static str, Bucket>);

#[derive(Debug)]
struct Bucket {
    tokens: f64,
    at_ms: u64,
    /// What the other client has earned the right to, and has not called yet.
    others: f64,
}

impl Buckets {
    /// Whether this call may pass. `filtered`: whether it names filters or instances; `taken`: the other client empties
    /// so much of each bucket at first, and goes on calling at so much of its rate.
    pub(super) fn lets(&mut self, action: &str, filtered: bool, taken: f64, now_ms: u64) -> bool {
        let limits = limits(action, filtered);
        let mut passes = true;
        for (name, most, per_second) in limits {
            let bucket = self.0.entry(name).or_insert(Bucket {
                tokens: most * (1.0 - taken),
                at_ms: now_ms,
                others: 0.0,
            });
            let earned = now_ms.saturating_sub(bucket.at_ms) as f64 / 1000.0 * per_second;
            bucket.at_ms = now_ms;
            bucket.others += earned * taken;
            // The other client was there all the time: what it calls is gone before the bucket can fill up.
            let theirs = bucket.others.floor().min((bucket.tokens + earned).floor());
            bucket.tokens = (bucket.tokens + earned - theirs).min(*most);
            bucket.others = bucket.others.fract();
            passes &= bucket.tokens >= 1.0;
        }
        if passes {
            for (name, ..) in limits {
                if let Some(bucket) = self.0.get_mut(name) {
                    bucket.tokens -= 1.0;
                }
            }
        }
        passes
    }
}

/// The buckets that a call takes from.
fn limits(action: &str, filtered: bool) -> &'static [Limit] {
    match action {
        "RunInstances" => &[("run", 5.0, 2.0), ("run instances", 1000.0, 2.0)],
        "TerminateInstances" => &[("end", 100.0, 5.0), ("end instances", 1000.0, 20.0)],
        "CreateTags" => &[("tag", 100.0, 10.0)],
        "DescribeInstances" if !filtered => &[("list", 50.0, 10.0)],
        action if action.starts_with("Describe") => &[("describe", 100.0, 20.0)],
        _ => &[("change", 50.0, 5.0)],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many of so many calls pass at once.
    fn passed(buckets: &mut Buckets, action: &str, filtered: bool, taken: f64, at: u64) -> usize {
        (0..2000)
            .filter(|_| buckets.lets(action, filtered, taken, at))
            .count()
    }

    #[test]
    fn each_operation_has_its_documented_bucket() {
        for (action, filtered, burst, per_second) in [
            ("RunInstances", true, 5, 2),
            ("TerminateInstances", true, 100, 5),
            ("CreateTags", true, 100, 10),
            ("DescribeInstances", true, 100, 20),
            ("DescribeSubnets", true, 100, 20),
            ("DescribeInstances", false, 50, 10),
        ] {
            let mut buckets = Buckets::default();
            let mut pass = |at| passed(&mut buckets, action, filtered, 0.0, at);
            assert_eq!(pass(0), burst, "{action}");
            assert_eq!(pass(1_000), per_second, "{action}");
            assert_eq!(pass(1_001), 0, "{action}");
            assert_eq!(pass(3_600_000), burst, "{action}");
        }
    }

    /// One instance a call is never stopped by these; they are the last of the documented numbers.
    #[test]
    fn instances_have_buckets_of_their_own() {
        assert_eq!(
            limits("RunInstances", true)[1],
            ("run instances", 1000.0, 2.0)
        );
        assert_eq!(
            limits("TerminateInstances", true)[1],
            ("end instances", 1000.0, 20.0)
        );
    }

    #[test]
    fn another_client_takes_its_share_of_the_bucket_and_of_its_rate() {
        let mut buckets = Buckets::default();
        let mut pass = |at| passed(&mut buckets, "TerminateInstances", true, 0.5, at);
        assert_eq!(pass(0), 50);
        assert_eq!(pass(10_000), 25);
        assert_eq!(pass(20_000), 25);
    }
}
