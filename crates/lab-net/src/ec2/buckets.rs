//! EC2's documented limits of calls: so many at once, so many a second, for each operation apart.

use std::collections::BTreeMap;

/// What a call takes from which bucket.
#[derive(Default, Debug)]
pub(super) struct Buckets(BTreeMap<&'static str, (f64, u64)>);

impl Buckets {
    /// Whether this call may pass. `filtered`: whether it names filters or instances; `taken`: the share of the rate of
    /// creates that others take.
    pub(super) fn lets(
        &mut self,
        action: &str,
        filtered: bool,
        speed: f64,
        taken: f64,
        now_ms: u64,
    ) -> bool {
        let left = if action == "RunInstances" {
            1.0 - taken
        } else {
            1.0
        };
        let buckets: &[(&'static str, f64, f64)] = match action {
            "RunInstances" => &[("run", 5.0, 2.0), ("run instances", 1000.0, 2.0)],
            "TerminateInstances" => &[("end", 100.0, 5.0), ("end instances", 1000.0, 20.0)],
            "CreateTags" => &[("tag", 100.0, 10.0)],
            "DescribeInstances" if !filtered => &[("list", 50.0, 10.0)],
            action if action.starts_with("Describe") => &[("describe", 100.0, 20.0)],
            _ => &[("change", 50.0, 5.0)],
        };
        let mut passes = true;
        for (name, most, per_second) in buckets {
            let (tokens, at) = self.0.entry(name).or_insert((*most, now_ms));
            let earned = (now_ms - *at) as f64 / 1000.0 * per_second * speed * left;
            *tokens = (*tokens + earned).min(*most);
            *at = now_ms;
            passes &= *tokens >= 1.0;
        }
        if passes {
            for (name, _, _) in buckets {
                if let Some((tokens, _)) = self.0.get_mut(name) {
                    *tokens -= 1.0;
                }
            }
        }
        passes
    }
}
