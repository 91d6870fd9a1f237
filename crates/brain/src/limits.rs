//! How many containers may run at once, from what the API can bear (facts S15, S18, S19, §8.3, K4).
//!
//! Nobody asked for a limit, so there is none until the API has answered 503. Then one container fewer than run now;
//! after a quiet minute a tenth more than run now and one; after ten quiet minutes none again. What the cloud allows is
//! another matter, kept by the pool, so that packing goes on when the account is at its quota.

use std::time::Duration;

use dispatch_model::Time;

/// After a 503, this long nothing is raised.
const QUIET: Duration = Duration::from_secs(60);
/// After this long without a 503 the API is taken to be well.
const FORGET: Duration = Duration::from_secs(600);

/// What the configuration says about supervisors.
#[derive(Clone, Copy, Debug)]
pub struct SupervisorShare {
    /// `SupervisorFraction`: 0 means that they are not limited.
    pub fraction: f64,
    /// `InitialQuotaEstimate`, or `MaxInstances` if that is 0; `None` if both are 0.
    pub expected_containers: Option<usize>,
}

/// The limit on containers as it moves with the API's answers.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ContainerLimit {
    last_503: Option<Time>,
    limit: Option<usize>,
}

impl ContainerLimit {
    /// The API answered 503 at `at`, while `running` containers ran.
    pub(crate) fn overloaded(&mut self, at: Time, running: usize) {
        if self.last_503.is_some_and(|last| at <= last) {
            return;
        }
        self.last_503 = Some(at);
        let lower = running.saturating_sub(1).max(1);
        self.limit = Some(self.limit.map_or(lower, |limit| limit.min(lower)));
    }

    /// The limit at `now`, while `running` containers run; `None`: as many as there is room for.
    pub(crate) fn current(&mut self, running: usize, now: Time) -> Option<usize> {
        let quiet_for = now.since(self.last_503?);
        if quiet_for >= FORGET {
            self.limit = None;
        } else if quiet_for >= QUIET {
            let higher = running.saturating_add(running / 10).saturating_add(1);
            self.limit = self.limit.map(|limit| limit.max(higher));
        }
        self.limit
    }

    /// When `current` may next answer something else although nothing has happened.
    pub(crate) fn changes_at(&self, now: Time) -> Option<Time> {
        self.limit?;
        let last = self.last_503?;
        [last + QUIET, last + FORGET]
            .into_iter()
            .find(|at| *at > now)
    }

    /// When the API last answered 503.
    pub(crate) fn last_503(&self) -> Option<Time> {
        self.last_503
    }
}

/// How many supervisors may run at once, given the limit on containers; `None`: as many as there is room for.
pub(crate) fn supervisors(
    share: SupervisorShare,
    containers: Option<usize>,
    running: usize,
) -> Option<usize> {
    if share.fraction <= 0.0 {
        return None;
    }
    let base = match (containers, share.expected_containers) {
        (Some(limit), _) => limit,
        (None, Some(expected)) => expected.max(running),
        (None, None) => return None,
    };
    Some(((base as f64 * share.fraction).floor() as usize).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(secs: u64) -> Time {
        Time::from_secs(secs)
    }

    #[test]
    fn nobody_is_limited_before_the_first_503() {
        assert_eq!(ContainerLimit::default().current(5000, at(100)), None);
    }

    #[test]
    fn a_503_takes_one_away_and_quiet_gives_back() {
        let mut limit = ContainerLimit::default();
        limit.overloaded(at(10), 50);
        assert_eq!(limit.current(50, at(10)), Some(49));
        assert_eq!(limit.changes_at(at(10)), Some(at(70)));
        assert_eq!(
            limit.current(49, at(69)),
            Some(49),
            "nothing is raised for a minute"
        );
        assert_eq!(limit.current(49, at(70)), Some(54), "a tenth more and one");
        assert_eq!(
            limit.current(20, at(80)),
            Some(54),
            "fewer running does not lower it"
        );
        assert_eq!(limit.changes_at(at(80)), Some(at(610)));
        assert_eq!(limit.current(20, at(610)), None, "all is well again");
        assert_eq!(limit.changes_at(at(610)), None);
    }

    #[test]
    fn one_container_may_always_run_and_a_late_503_counts_once() {
        let mut limit = ContainerLimit::default();
        limit.overloaded(at(10), 0);
        assert_eq!(limit.current(0, at(10)), Some(1));
        limit.overloaded(at(30), 9);
        assert_eq!(
            limit.current(9, at(30)),
            Some(1),
            "a further 503 never raises it"
        );
        limit.overloaded(at(20), 3);
        assert_eq!(limit.last_503(), Some(at(30)));
    }

    #[test]
    fn supervisors_get_their_share_and_at_least_one() {
        let share = |fraction, expected_containers| SupervisorShare {
            fraction,
            expected_containers,
        };
        assert_eq!(supervisors(share(0.5, Some(64)), None, 10), Some(32));
        assert_eq!(
            supervisors(share(0.5, Some(64)), None, 1000),
            Some(500),
            "what runs already counts"
        );
        assert_eq!(
            supervisors(share(0.5, Some(64)), Some(4), 1000),
            Some(2),
            "a loaded API limits them too"
        );
        assert_eq!(supervisors(share(0.2, Some(2)), None, 0), Some(1));
        assert_eq!(
            supervisors(share(0.0, Some(64)), Some(4), 10),
            None,
            "0 means no limit"
        );
        assert_eq!(
            supervisors(share(0.5, None), None, 10),
            None,
            "no limit on anything"
        );
    }
}
