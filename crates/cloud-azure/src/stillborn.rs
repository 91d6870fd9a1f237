//! Which VMs that failed never came to be, and which of these may be deleted. Pure.

use std::time::Duration;

use dispatch_cloud::Tags;

use crate::{atlas::Kind, garbage::CREATED_AT};

/// Azure gives up on a VM whose system does not come up after so long. Whatever fails later has come to be.
pub(crate) const MADE_WITHIN: Duration = Duration::from_secs(2400);

/// Whether a VM in state Failed never came to be. One that was well before, or that runs, or that may have begun to run,
/// had only an update that failed, or has a system that did not report in time, and may have containers on it.
/// `runs`: as its instance view says, which may not say it.
pub(crate) fn is_stillborn(was_well: bool, runs: Option<bool>, why: Kind) -> bool {
    // A lack or a refusal is said before there is a VM that could run.
    let began = !matches!(why, Kind::Quota | Kind::Capacity | Kind::Permanent);
    !was_well && !runs.unwrap_or(began)
}

/// Why a VM of these tags must not be deleted although it seems never to have come to be; `None`: it may be.
/// `idle_behavior`: the name of the tag that says whether an operator holds it. `is_ours`: this process made it, and so
/// would have seen it well. `now`: the wall clock.
pub(crate) fn spared(
    tags: &Tags,
    idle_behavior: &str,
    is_ours: bool,
    made_within: Duration,
    now: jiff::Timestamp,
) -> Option<&'static str> {
    let behavior = tags.get(idle_behavior).map(|value| value.trim());
    if behavior.is_some_and(|value| value.eq_ignore_ascii_case("hold")) {
        return Some("it is held");
    }
    let created = tags.get(CREATED_AT).and_then(|text| text.parse().ok());
    let age = created.and_then(|at| Duration::try_from(now.duration_since(at)).ok());
    let is_young = age.is_some_and(|age| age < made_within);
    (!is_ours && !is_young).then_some("it may have been well before this process began")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vm_that_was_well_or_may_run_is_not_taken_for_one_that_never_came_to_be() {
        let lacks = [Kind::Quota, Kind::Capacity, Kind::Permanent];
        let others = [Kind::Transient, Kind::Rate];
        for why in lacks.into_iter().chain(others) {
            for runs in [None, Some(false), Some(true)] {
                assert!(!is_stillborn(true, runs, why), "{runs:?} {why:?}");
            }
            assert!(is_stillborn(false, Some(false), why), "{why:?}");
            assert!(!is_stillborn(false, Some(true), why), "{why:?}");
            // Where nobody says whether it runs, the reason tells whether it can.
            let cannot = lacks.contains(&why);
            assert_eq!(is_stillborn(false, None, why), cannot, "{why:?}");
        }
    }

    #[test]
    fn what_is_held_and_what_may_have_been_well_before_a_restart_is_spared() {
        let now: jiff::Timestamp = "2026-11-23T12:00:00Z".parse().expect("a time");
        let ago = |secs: i64| (now - jiff::SignedDuration::from_secs(secs)).to_string();
        let may_go = |behavior: &str, created: &str, is_ours: bool| {
            let tags = [("XIdleBehavior", behavior), (CREATED_AT, created)];
            let tags = tags
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .into();
            spared(&tags, "XIdleBehavior", is_ours, MADE_WITHIN, now).is_none()
        };
        for behavior in ["hold", "Hold", " hold "] {
            assert!(!may_go(behavior, &ago(1), true), "{behavior:?}");
            assert!(!may_go(behavior, &ago(1), false), "{behavior:?}");
        }
        for behavior in ["run", "drain", ""] {
            assert!(may_go(behavior, &ago(0), false), "{behavior:?}");
            assert!(may_go(behavior, &ago(2399), false), "{behavior:?}");
            assert!(may_go(behavior, &ago(100_000), true), "{behavior:?}");
        }
        // Too old, or of an age that nobody knows.
        for created in [&ago(2400), &ago(-1), "", "yesterday"] {
            assert!(!may_go("run", created, false), "{created:?}");
            assert!(may_go("run", created, true), "{created:?}");
        }
        assert!(spared(&Tags::new(), "XIdleBehavior", true, MADE_WITHIN, now).is_none());
        assert!(spared(&Tags::new(), "XIdleBehavior", false, MADE_WITHIN, now).is_some());
    }
}
