//! Judges by when calls arrived: never two in command at once, never too long without one.

use std::time::Duration;

use tokio::time::Instant;

use crate::overseer::Deed;

/// Whoever takes over does so at least this long after the last call of whoever was there before. By the rules it is a
/// second; the rest is for calls that arrive late.
const BETWEEN_TWO_MIN: Duration = Duration::from_millis(900);

/// A new holder changes nothing for so long after its session began. By the rules it is four seconds after it got the
/// lock; the rest is for how exactly the beginning is known.
const SURVEYS_MIN: Duration = Duration::from_millis(3_950);

/// While the database is up, somebody is in command again within this time.
pub(crate) const WITHOUT_ONE_MAX: Duration = Duration::from_secs(20);

/// A session that has held the lock.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Session {
    /// Which daemon's.
    pub(crate) by: usize,
    /// When it began, at the earliest.
    pub(crate) began: Instant,
}

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

/// `downs`: when the database was not there, in order. `sessions`: those that have held the lock.
pub(crate) fn judge(
    deeds: &[Deed],
    downs: &[(Instant, Instant)],
    sessions: &[Session],
) -> Result<Verdict, String> {
    let mut verdict = Verdict::default();
    for session in sessions {
        new_holders_survey(deeds, *session)?;
    }
    for (n, pair) in deeds.windows(2).enumerate() {
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
            has_a_new_session(after, &deeds[..=n], sessions)?;
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

/// A daemon opens a session when it is not in command; once it has the lock it only looks for a while.
fn new_holders_survey(deeds: &[Deed], session: Session) -> Result<(), String> {
    let until = session.began + SURVEYS_MIN;
    let too_early =
        |deed: &&Deed| deed.by == session.by && deed.at > session.began && deed.at < until;
    match deeds.iter().find(too_early) {
        None => Ok(()),
        Some(deed) => Err(format!(
            "daemon {} did not survey: {:?} came {} ms after its session began",
            deed.by,
            deed.what,
            deed.at.saturating_duration_since(session.began).as_millis()
        )),
    }
}

/// Whoever takes over has got the lock since it acted last.
fn has_a_new_session(deed: &Deed, earlier: &[Deed], sessions: &[Session]) -> Result<(), String> {
    let last = earlier.iter().rev().find(|earlier| earlier.by == deed.by);
    let is_new = |session: &&Session| {
        session.by == deed.by
            && session.began < deed.at
            && last.is_none_or(|last| session.began > last.at)
    };
    if sessions.iter().any(|session| is_new(&session)) {
        return Ok(());
    }
    Err(format!(
        "daemon {} acts ({:?}) without having taken the lock anew",
        deed.by, deed.what
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Calls by (second, daemon); the database's absences by second; sessions by (second, daemon).
    fn check(
        calls: &[(f64, usize)],
        downs: &[(f64, f64)],
        sessions: &[(f64, usize)],
        expected: Result<(u32, f64), &str>,
    ) {
        let zero = Instant::now() + Duration::from_secs(100);
        let at = |second: f64| {
            let seconds = Duration::from_secs_f64(second.abs());
            if second < 0.0 {
                zero - seconds
            } else {
                zero + seconds
            }
        };
        let deeds: Vec<Deed> = calls
            .iter()
            .map(|(second, by)| Deed {
                at: at(*second),
                by: *by,
                what: "x".to_owned(),
            })
            .collect();
        let downs: Vec<_> = downs.iter().map(|(a, b)| (at(*a), at(*b))).collect();
        let sessions: Vec<Session> = sessions
            .iter()
            .map(|(second, by)| Session {
                by: *by,
                began: at(*second),
            })
            .collect();
        let found = judge(&deeds, &downs, &sessions);
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
            &[(-9.0, 0), (4.5, 1)],
            Ok((1, 8.0)),
        );
    }

    #[tokio::test]
    async fn calls_of_two_close_together_are_two_in_command() {
        let sessions = &[(-9.0, 0), (-3.0, 1)];
        let calls = &[(0.0, 0), (1.0, 0), (1.8, 1)];
        check(calls, &[], sessions, Err("two in command"));
        let calls = &[(0.0, 0), (0.85, 0), (1.8, 1)];
        check(calls, &[], sessions, Ok((1, 0.95)));
    }

    #[tokio::test]
    async fn there_and_back_needs_the_lock_both_times() {
        let calls = &[(0.0, 0), (1.0, 1), (2.0, 0)];
        check(
            calls,
            &[],
            &[(-9.0, 0), (-4.0, 1)],
            Err("daemon 0 acts (\"x\") without"),
        );
        check(
            calls,
            &[],
            &[(-9.0, 0)],
            Err("daemon 1 acts (\"x\") without"),
        );
    }

    #[tokio::test]
    async fn a_new_holder_surveys_first() {
        let calls = &[(0.0, 0), (6.0, 1)];
        check(calls, &[], &[(-9.0, 0), (2.0, 1)], Ok((1, 6.0)));
        check(calls, &[], &[(-9.0, 0), (3.0, 1)], Err("did not survey"));
        // The same one, after it has lost the lock.
        let calls = &[(0.0, 0), (3.0, 0)];
        check(calls, &[], &[(-9.0, 0), (1.0, 0)], Err("did not survey"));
    }

    #[tokio::test]
    async fn the_database_must_be_up_for_time_to_count() {
        let sessions = &[(-9.0, 0), (20.0, 1)];
        let calls = &[(0.0, 0), (30.0, 1)];
        check(calls, &[(2.0, 15.0)], sessions, Ok((1, 15.0)));
        check(calls, &[(2.0, 3.0)], sessions, Err("nobody"));
        check(calls, &[], sessions, Err("nobody"));
    }
}
