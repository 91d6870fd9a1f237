//! Whatever happens in whatever order, the rules hold.

use std::collections::{BTreeMap, BTreeSet};

use dispatch_model::ContainerId;
use proptest::prelude::*;
use serde_json::json;

use super::script::{at, settings};
use crate::{ApiFailure, Event, FailureKind, PollRows, Request, View};

const IDS: [&str; 4] = ["c0", "c1", "c2", "c3"];
const STATES: [&str; 5] = ["Queued", "Locked", "Running", "Complete", "Cancelled"];

/// One thing that happens: which, about whom, how.
type Happening = (u8, usize, usize, u64);

/// Every request is answered once, in any order and any way; wishes come at any time.
fn play(happenings: &[Happening]) {
    let mut view = View::new(settings());
    let mut open: Vec<Request> = Vec::new();
    let mut millis = 0;
    for &(what, who, how, pause) in happenings {
        millis += pause;
        let id = ContainerId::from(IDS[who]);
        let event = match what {
            0 => Event::Lock(id),
            1 => Event::Unlock(id),
            2 => Event::Cancel {
                id,
                reason: "so".to_owned(),
            },
            3 => Event::Forget(id),
            4 => Event::Refresh(id),
            5 => Event::Poke,
            6 => Event::WantedRows(how * 100),
            7..10 => Event::Tick,
            _ if open.is_empty() => Event::Tick,
            _ => answer(open.swap_remove(who * 7 % open.len()), how),
        };
        let effects = view.handle(event, at(millis));
        open.extend(effects.requests);
        check(&view, &open, millis);
    }
}

fn answer(request: Request, how: usize) -> Event {
    let failure = ApiFailure {
        kind: [
            FailureKind::Status(422),
            FailureKind::Status(503),
            FailureKind::TimedOut,
            FailureKind::NotSent,
        ][how % 4],
        message: "no".to_owned(),
    };
    let fails = how.is_multiple_of(3);
    let row = |id: &str, how: usize| {
        crate::json(json!({
            "uuid": id, "state": STATES[how % 5], "priority": how % 4,
            "locked_by_uuid": (["t1", "t1", "t2"][how % 3]),
            "runtime_constraints": {"vcpus": ([1, 64][how % 2]), "ram": (if how == 7 { json!("x") } else { json!(1) })},
        }))
    };
    let one = |id: &ContainerId| {
        if fails {
            Err(failure.clone())
        } else {
            Ok(row(id.as_str(), how))
        }
    };
    match request {
        Request::WhoAmI if fails => Event::WhoAmI(Err(failure)),
        Request::WhoAmI => Event::WhoAmI(Ok(crate::json(json!({"uuid": "t1"})))),
        Request::Poll { .. } if fails => Event::Polled(Err(failure)),
        Request::Poll { known, .. } => Event::Polled(Ok(PollRows {
            rows: IDS
                .iter()
                .enumerate()
                .map(|(i, id)| row(id, how + i))
                .skip(how % 3)
                .collect(),
            gone: known.iter().take(how % 2).cloned().collect(),
            unasked: known.iter().skip(3).cloned().collect(),
            truncated: how.is_multiple_of(2),
        })),
        Request::ReadMounts { ids } => Event::MountsRead {
            result: if fails {
                Err(failure)
            } else {
                Ok(ids
                    .iter()
                    .skip(how % 2)
                    .map(|id| crate::json(json!({"uuid": id.as_str(), "mounts": (if how == 5 { json!(7) } else { json!({}) })})))
                    .collect())
            },
            ids,
        },
        Request::Lock { id } => Event::Locked {
            result: one(&id),
            id,
        },
        Request::Unlock { id } => Event::Unlocked {
            result: one(&id),
            id,
        },
        Request::Cancel { id, .. } => Event::Cancelled {
            result: one(&id),
            id,
        },
        Request::Read { id } => Event::Read {
            result: one(&id),
            id,
        },
    }
}

fn check(view: &View, open: &[Request], millis: u64) {
    let mut deeds: BTreeMap<&ContainerId, usize> = BTreeMap::new();
    let (mut polls, mut read) = (0, BTreeSet::new());
    for request in open {
        match request {
            Request::Lock { id }
            | Request::Unlock { id }
            | Request::Cancel { id, .. }
            | Request::Read { id } => *deeds.entry(id).or_default() += 1,
            Request::ReadMounts { ids } => {
                assert!(!ids.is_empty());
                assert!(
                    ids.iter().all(|id| read.insert(id)),
                    "mounts asked for twice"
                );
            }
            Request::WhoAmI | Request::Poll { .. } => polls += 1,
        }
    }
    assert!(polls <= 1, "who we are and polls are asked one at a time");
    for (id, n) in deeds {
        assert_eq!(n, 1, "one call at a time about {id}");
        assert!(
            view.snapshot()
                .entries
                .get(id)
                .is_none_or(|entry| entry.busy),
            "{id} is busy"
        );
    }
    assert!(
        view.deadline().is_none_or(|at| at.millis() > millis),
        "what is due has been done"
    );
    assert!(
        view.deadline().is_some() || !open.is_empty(),
        "something will happen"
    );
    for (id, entry) in &view.snapshot().entries {
        assert_eq!(*id, entry.id);
        assert!(view.details(id).is_some());
        assert!(entry.as_of.millis() <= millis);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

    #[test]
    fn the_rules_hold_in_any_weather(
        happenings in prop::collection::vec((0_u8..25, 0_usize..4, 0_usize..15, 0_u64..3000), 0..200)
    ) {
        play(&happenings);
    }
}
