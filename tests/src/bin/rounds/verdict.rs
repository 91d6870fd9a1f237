//! Judges by when calls arrived: never two in command at once, never too long without one.

use std::time::Duration;

use tokio::time::Instant;

use crate::overseer::Deed;

/// Whoever takes over does so at least this long after the last call of whoever was there before. By the rules it is a
/// second; the rest is for calls that arrive late.
const BETWEEN_TWO_MIN: Duration = Duration::from_millis(900);

/// While the database is up, somebody is in command again within this time.
pub(crate) const WITHOUT_ONE_MAX: Duration = Duration::from_secs(20);

/// What was seen.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Verdict {
    /// How often another one than before acted.
    pub(crate) handovers: u32,
    /// The shortest time from one's last call to the other's first.
    pub(crate) shortest_between: Option<Duration>,
    /// The longest time without one while the database was up.
    pub(crate) longest_without: Duration,
}

/// `downs`: when the database was not there, or was shaken (from and to the same moment), in order.
pub(crate) fn judge(deeds: &[Deed], downs: &[(Instant, Instant)]) -> Result<Verdict, String> {
    let mut verdict = Verdict::default();
    for pair in deeds.windows(2) {
        let (before, after) = (&pair[0], &pair[1]);
        let between = after.at.saturating_duration_since(before.at);
        if before.by != after.by {
            verdict.handovers += 1;
            if between < BETWEEN_TWO_MIN {
                return Err(format!(
                    "two in command at once: {:?} of daemon {} came {} ms after {:?} of daemon {}",
                    after.what,
                    after.by,
                    between.as_millis(),
                    before.what,
                    before.by
                ));
            }
            let shortest = verdict.shortest_between.unwrap_or(between);
            verdict.shortest_between = Some(shortest.min(between));
        }
        let mut up_since = before.at;
        for (down, up) in downs {
            if *up > before.at && *down < after.at {
                let without = down.saturating_duration_since(up_since);
                verdict.longest_without = verdict.longest_without.max(without);
                up_since = up_since.max(*up);
            }
        }
        let without = after.at.saturating_duration_since(up_since);
        verdict.longest_without = verdict.longest_without.max(without);
        if verdict.longest_without > WITHOUT_ONE_MAX {
            return Err(format!(
                "nobody was in command for {} ms before {:?} of daemon {}, with the database up",
                verdict.longest_without.as_millis(),
                after.what,
                after.by
            ));
        }
    }
    Ok(verdict)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Calls by (second, daemon); the database's absences by second.
    fn check(calls: &[(f64, usize)], downs: &[(f64, f64)], expected: Result<(u32, f64), &str>) {
        let zero = Instant::now();
        let at = |second: f64| zero + Duration::from_secs_f64(second);
        let deeds: Vec<Deed> = calls
            .iter()
            .map(|(second, by)| Deed {
                at: at(*second),
                by: *by,
                what: "x".to_owned(),
            })
            .collect();
        let downs: Vec<_> = downs.iter().map(|(a, b)| (at(*a), at(*b))).collect();
        let found = judge(&deeds, &downs);
        match expected {
            Ok((handovers, longest)) => {
                let verdict = found.expect("a good verdict");
                assert_eq!(verdict.handovers, handovers);
                assert!((verdict.longest_without.as_secs_f64() - longest).abs() < 0.01);
            }
            Err(words) => {
                let refusal = found.expect_err("a bad verdict");
                assert!(refusal.contains(words), "{refusal}");
            }
        }
    }

    #[tokio::test]
    async fn one_after_the_other_is_well() {
        check(
            &[(0.0, 0), (1.0, 0), (9.0, 1), (10.0, 1)],
            &[],
            Ok((1, 8.0)),
        );
    }

    #[tokio::test]
    async fn calls_of_two_close_together_are_two_in_command() {
        check(&[(0.0, 0), (1.0, 1), (1.1, 0)], &[], Err("two in command"));
    }

    #[tokio::test]
    async fn the_database_must_be_up_for_time_to_count() {
        check(&[(0.0, 0), (30.0, 1)], &[(2.0, 15.0)], Ok((1, 15.0)));
        check(&[(0.0, 0), (30.0, 1)], &[(2.0, 3.0)], Err("nobody"));
        check(&[(0.0, 0), (30.0, 1)], &[(15.0, 15.0)], Ok((1, 15.0)));
        check(&[(0.0, 0), (30.0, 1)], &[], Err("nobody"));
    }
}
