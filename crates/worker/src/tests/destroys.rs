//! Destroy calls in numbers: who stands in line, and answers that come late.

use std::collections::{BTreeMap, BTreeSet};

use dispatch_model::{CloudErrorClass, Time, WorkerId};

use super::script;
use crate::{Action, CallId, Event, Failure, ListedInstance, Pool, Settings};

/// A pool whose instances are all told to go at once, at one cloud call a second: eight at a time may be under way.
struct Mass {
    pool: Pool,
    now: Time,
    /// What was ordered, in this order.
    destroys: Vec<(CallId, WorkerId)>,
    list: Option<CallId>,
}

impl Mass {
    fn of(n: u64) -> Mass {
        let settings = Settings {
            max_cloud_ops_per_second: Some(1),
            max_instances: None,
            ..script::settings()
        };
        let mut mass = Mass {
            pool: Pool::new(settings, script::types()),
            now: Time::ZERO,
            destroys: Vec::new(),
            list: None,
        };
        mass.handle(Event::Tick);
        mass.listed(1..=n);
        for id in 1..=n {
            mass.handle(Event::KillInstance {
                worker: WorkerId(id),
                reason: "test".to_owned(),
            });
        }
        mass
    }

    fn handle(&mut self, event: Event) {
        let effects = self.pool.handle(event, script::wall(self.now));
        for action in effects.actions {
            match action {
                Action::Destroy { call, worker, .. } => self.destroys.push((call, worker)),
                Action::List { call, .. } => self.list = Some(call),
                _ => {}
            }
        }
    }

    /// The list under way shows these.
    fn listed(&mut self, ids: impl IntoIterator<Item = u64>) {
        let instance = |id| ListedInstance {
            id: format!("i-{id:02}").into(),
            address: format!("10.0.0.{id}"),
            provider_type: "m.small".to_owned(),
            tags: BTreeMap::from([
                ("PInstanceSetID".to_owned(), "set".to_owned()),
                ("PInstanceType".to_owned(), "small".to_owned()),
                ("PIdleBehavior".to_owned(), "run".to_owned()),
            ]),
        };
        let call = self.list.take().expect("a list under way");
        self.handle(Event::Listed {
            call,
            result: Ok(ids.into_iter().map(instance).collect()),
        });
    }

    /// The cloud accepts the call that was ordered as the nth.
    fn accepted(&mut self, nth: usize) {
        self.answered(nth, Ok(()));
    }

    fn answered(&mut self, nth: usize, result: Result<(), Failure>) {
        let (call, worker) = self.destroys[nth];
        self.handle(Event::Destroyed {
            call,
            worker,
            result,
        });
    }

    fn pass_until(&mut self, secs: u64) {
        let until = Time::from_secs(secs);
        while let Some(at) = self.pool.deadline().filter(|at| *at <= until) {
            self.now = self.now.max(at);
            self.handle(Event::Tick);
        }
        self.now = until;
    }

    /// Of which workers, in the order in which it was ordered.
    fn ordered(&self) -> Vec<u64> {
        self.destroys.iter().map(|(_, worker)| worker.0).collect()
    }
}

#[test]
fn many_that_are_to_go_stand_in_line_and_nobody_is_asked_twice_before_all_were_asked_once() {
    let mut mass = Mass::of(20);
    assert_eq!(mass.ordered(), (1..=8).collect::<Vec<_>>());
    for nth in 0..3 {
        mass.accepted(nth);
    }
    assert_eq!(mass.ordered(), (1..=11).collect::<Vec<_>>());
    // Those under way may take their time: 30 s, and 5 s for the shell.
    mass.pass_until(34);
    assert_eq!(mass.ordered().len(), 11);
    // Then they stand behind those who have not been asked.
    mass.pass_until(36);
    assert_eq!(mass.ordered(), (1..=19).collect::<Vec<_>>());
    for nth in 11..19 {
        mass.accepted(nth);
    }
    let again: BTreeSet<u64> = mass.ordered()[20..].iter().copied().collect();
    assert_eq!(mass.ordered()[19], 20);
    assert_eq!(again, (4..=10).collect::<BTreeSet<_>>());
}

#[test]
fn a_destroy_that_was_accepted_counts_however_late_that_is_said() {
    let mut mass = Mass::of(1);
    mass.pass_until(36);
    assert_eq!(mass.ordered(), [1, 1], "the first was not answered in time");
    mass.accepted(0);
    mass.pass_until(110);
    assert_eq!(mass.ordered(), [1, 1], "a list decides");
    mass.pass_until(111);
    mass.listed([1]);
    assert_eq!(mass.ordered(), [1, 1, 1], "which still shows it");
    mass.accepted(2);
    mass.pass_until(113);
    mass.listed([]);
    assert!(mass.pool.snapshot().workers.is_empty());
}

#[test]
fn who_is_told_to_wait_is_not_kept_waiting_longer_each_time() {
    let mut mass = Mass::of(1);
    for nth in 0..6 {
        let too_many = CloudErrorClass::RateLimited(mass.now);
        mass.answered(nth, Err(script::failure(too_many, "slower")));
        mass.pass_until(10 * (nth as u64 + 1));
        assert_eq!(mass.ordered().len(), nth + 2, "after TimeoutShutdown");
    }
}

#[test]
fn who_vanishes_makes_room_for_the_next_and_gives_up_its_place() {
    let mut mass = Mass::of(12);
    // Nobody has been answered: those asked first are asked again, and four of them stand in line.
    mass.pass_until(60);
    assert_eq!(mass.ordered()[8..], [9, 10, 11, 12, 1, 2, 3, 4]);
    mass.listed([8, 9, 11, 12]);
    let left: Vec<u64> = mass.pool.snapshot().workers.keys().map(|id| id.0).collect();
    assert_eq!(left, [8, 9, 11, 12]);
    assert_eq!(mass.ordered()[16..], [8]);
}
