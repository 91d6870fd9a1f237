//! The pace of lists and probes.

use std::{collections::BTreeMap, time::Duration};

use dispatch_model::Time;

use super::script::{self, report};
use crate::{Action, Event, ListedInstance, Pool};

/// `n` ready instances that answer every probe at once; when each probe was asked for within the given time.
fn probes_of(n: usize, until: Time, change: impl FnOnce(&mut crate::Settings)) -> Vec<Time> {
    let mut settings = script::settings();
    change(&mut settings);
    let mut pool = Pool::new(settings, script::types());
    let mut asked = Vec::new();
    let mut now = Time::ZERO;
    let listed: Vec<ListedInstance> = (0..n)
        .map(|i| ListedInstance {
            id: format!("i-{i}").into(),
            address: format!("10.0.{}.{}", i / 250, i % 250),
            provider_type: "m.small".to_owned(),
            tags: BTreeMap::from([
                ("PInstanceSetID".to_owned(), "set".to_owned()),
                ("PInstanceType".to_owned(), "small".to_owned()),
                ("PIdleBehavior".to_owned(), "hold".to_owned()),
            ]),
        })
        .collect();
    let mut events = vec![Event::Tick];
    while now < until {
        while let Some(event) = events.pop() {
            let effects = pool.handle(event, script::wall(now));
            for action in effects.actions {
                match action {
                    Action::List { call, .. } => events.push(Event::Listed {
                        call,
                        result: Ok(listed.clone()),
                    }),
                    Action::Probe { call, worker, .. } => {
                        asked.push(now);
                        events.push(Event::Probed {
                            call,
                            worker,
                            report: report("ok", &[], now),
                        });
                    }
                    _ => {}
                }
            }
        }
        now = pool.deadline().expect("lists go on");
        events.push(Event::Tick);
    }
    asked
}

#[test]
fn all_that_is_found_is_probed_at_once_and_then_swept_at_the_limited_rate() {
    let asked = probes_of(300, Time::from_secs(100), |_| ());
    let in_second = |second| {
        let range = Time::from_secs(second)..Time::from_secs(second + 1);
        asked.iter().filter(|at| range.contains(at)).count()
    };
    assert_eq!(in_second(0), 300);
    // 10 a second would visit each only twice within TimeoutProbe (60 s): three visits need 15.
    assert!((10..90).all(|second| in_second(second + 3) <= 16));
    assert!((20..90).all(|second| in_second(second) >= 14));
}

#[test]
fn a_few_instances_are_probed_each_interval_but_not_in_step() {
    let asked = probes_of(20, Time::from_secs(101), |settings| {
        settings.max_probes_per_second = 1000;
    });
    assert!((190..=220).contains(&asked.len()), "{}", asked.len());
    let last: std::collections::BTreeSet<Time> = asked
        .iter()
        .filter(|at| **at > Time::from_secs(80))
        .copied()
        .collect();
    assert!(last.len() > 10, "{last:?}");
}

#[test]
fn an_idle_pool_asks_for_nothing_but_probes_and_lists() {
    let asked = probes_of(0, Time::from_secs(600), |_| ());
    assert_eq!(asked.len(), 0);
    let mut pool = Pool::new(script::settings(), script::types());
    let mut n_lists = 0;
    let mut now = Time::ZERO;
    let mut call = None;
    while now < Time::from_secs(600) {
        let event = call.take().map_or(Event::Tick, |call| Event::Listed {
            call,
            result: Ok(Vec::new()),
        });
        for action in pool.handle(event, script::wall(now)).actions {
            match action {
                Action::List { call: asked, .. } => {
                    n_lists += 1;
                    call = Some(asked);
                }
                other => panic!("{other:?}"),
            }
        }
        if call.is_none() {
            let next = pool.deadline().expect("lists go on");
            assert!(next.since(now) <= Duration::from_secs(60));
            now = next;
        }
    }
    assert_eq!(n_lists, 10);
}

#[test]
fn a_list_may_take_as_long_as_lists_are_apart_within_reason() {
    for (interval, expected) in [(2, 5), (5, 5), (15, 15), (30, 30), (60, 60), (3600, 60)] {
        let settings = crate::Settings {
            sync_interval: Duration::from_secs(interval),
            timing: crate::Timing::USUAL,
            ..super::script::settings()
        };
        let within = settings.list_call();
        assert_eq!(within, Duration::from_secs(expected), "every {interval} s");
    }
}
