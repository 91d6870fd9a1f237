//! The rules one by one, then two dispatchers and a database that does its worst.

use rand::{Rng, RngExt, SeedableRng, rngs::StdRng};

use super::*;

fn at(millis: u64) -> Time {
    Time::from_millis(millis)
}

fn waiting() -> Machine {
    Machine::new(Timing::USUAL, at(0))
}

/// Asked for at 0, taken at 0.1 s.
fn held() -> Machine {
    let mut machine = waiting();
    assert!(machine.taken(at(0), at(100)));
    machine
}

#[test]
fn the_lock_is_tried_for_every_second_however_long_a_try_takes() {
    let mut machine = waiting();
    assert_eq!(machine.due(at(0)), Due::Try);
    machine.not_taken(at(0), at(200));
    assert_eq!(machine.due(at(200)), Due::Nothing { until: at(1000) });
    assert_eq!(machine.due(at(1000)), Due::Try);
    machine.not_taken(at(1000), at(4000));
    assert_eq!(machine.due(at(4000)), Due::Try);
}

#[test]
fn a_new_holder_is_quiet_then_surveys_then_acts() {
    let mut machine = held();
    for second in 1..=6 {
        assert!(machine.confirmed(at(second * 1000), at(second * 1000 + 1)));
        let expected = match second {
            ..=3 => Stage::Quiet,
            4 => Stage::Surveying,
            _ => Stage::InCommand,
        };
        assert_eq!(
            machine.stage(at(second * 1000 + 90)),
            expected,
            "{second} s"
        );
    }
}

#[test]
fn a_holder_asks_every_second_and_stops_three_after_the_last_answered_question() {
    let mut machine = held();
    assert_eq!(machine.due(at(999)), Due::Nothing { until: at(1000) });
    assert_eq!(machine.due(at(1000)), Due::Ask);
    // Sent at 1 s, answered at 2.9 s: that is worth 1.1 s.
    assert!(machine.confirmed(at(1000), at(2900)));
    assert_eq!(machine.valid_until(), Some(at(4000)));
    assert_eq!(machine.due(at(2900)), Due::Ask);
    assert_eq!(machine.stage(at(3999)), Stage::Surveying);
    assert_eq!(machine.stage(at(4000)), Stage::Waiting);
}

#[test]
fn an_answer_that_comes_too_late_is_worth_nothing() {
    let mut machine = held();
    assert!(!machine.confirmed(at(1000), at(3000)));
    assert_eq!(machine.stage(at(3000)), Stage::Waiting);
    assert_eq!(machine.due(at(3000)), Due::Nothing { until: at(4000) });
    assert!(!machine.confirmed(at(3000), at(3100)), "it is not ours");

    let mut late = waiting();
    assert!(!late.taken(at(0), at(3000)));
    assert_eq!(late.stage(at(3000)), Stage::Waiting);
}

#[test]
fn a_lost_lock_is_tried_for_again_and_the_survey_begins_anew() {
    let mut machine = held();
    for second in 1..=5 {
        machine.confirmed(at(second * 1000), at(second * 1000));
    }
    assert_eq!(machine.stage(at(5000)), Stage::InCommand);
    machine.lost(at(5500));
    assert_eq!(machine.stage(at(5500)), Stage::Waiting);
    assert_eq!(machine.due(at(6500)), Due::Try);
    assert!(machine.taken(at(6500), at(6510)));
    assert_eq!(machine.stage(at(6510)), Stage::Quiet);
}

/// A database whose one lock may be taken from its holder at any moment.
#[derive(Default)]
struct Database {
    /// Who holds it, by session.
    holder: Option<u64>,
    sessions: u64,
}

/// A dispatcher and what is on the wire between it and the database.
struct Party {
    machine: Machine,
    session: Option<u64>,
    /// Sent then; reaches the database then; the answer, once there is one, arrives then.
    question: Option<Question>,
    lines_down_until: Time,
}

struct Question {
    ask: Due,
    sent: Time,
    reaches: Time,
    answer: Option<(bool, Time)>,
}

/// Steps of 10 ms. The worst that can be: the lock goes from hand to hand while questions and answers are under way.
fn one_life(seed: u64) -> (u32, u64) {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut database = Database::default();
    let mut parties: Vec<Party> = (0..2)
        .map(|_| Party {
            machine: waiting(),
            session: None,
            question: None,
            lines_down_until: Time::ZERO,
        })
        .collect();
    let (mut turns, mut in_command_before, mut idle) = (0, None, 0);
    for step in 0..60_000 {
        let now = at(step * 10);
        if rng.random_range(0..400) == 0 {
            // Its backend is killed, or the database has noticed that the line is down.
            database.holder = None;
        }
        for party in &mut parties {
            if rng.random_range(0..1500) == 0 {
                party.lines_down_until = now + Duration::from_millis(rng.random_range(0..12_000));
            }
            step_of(party, &mut database, &mut rng, now);
        }
        let in_command: Vec<usize> = (0..2)
            .filter(|n| parties[*n].machine.stage(now) == Stage::InCommand)
            .collect();
        assert!(
            in_command.len() < 2,
            "seed {seed}: both in command at {now}"
        );
        if let [one] = in_command[..] {
            turns += u32::from(in_command_before.replace(one) != Some(one));
        } else {
            idle += 1;
        }
    }
    (turns, idle)
}

fn step_of(party: &mut Party, database: &mut Database, rng: &mut impl Rng, now: Time) {
    let delay = |rng: &mut dyn FnMut() -> u64| Duration::from_millis(rng());
    let mut millis = || -> u64 {
        if rng.random_range(0..4) == 0 {
            rng.random_range(0..3500)
        } else {
            rng.random_range(0..30)
        }
    };
    let down = now < party.lines_down_until;
    let end = |party: &mut Party| {
        party.session = None;
        party.question = None;
        party.machine.lost(now);
    };
    if (party.machine.valid_until()).is_some_and(|until| now >= until) {
        end(party);
    }
    if let Some(question) = &mut party.question {
        match &mut question.answer {
            None if now >= question.reaches && !down => {
                let ours = match question.ask {
                    Due::Try => {
                        let free = database.holder.is_none();
                        if free {
                            database.sessions += 1;
                            database.holder = Some(database.sessions);
                            party.session = Some(database.sessions);
                        }
                        free
                    }
                    _ => party.session.is_some() && database.holder == party.session,
                };
                question.answer = Some((ours, now + delay(&mut millis)));
            }
            Some((ours, arrives)) if now >= *arrives && !down => {
                let (ours, ask, sent) = (*ours, question.ask, question.sent);
                party.question = None;
                match (ask, ours) {
                    (Due::Try, true) => {
                        if !party.machine.taken(sent, now) {
                            party.session = None;
                        }
                    }
                    (Due::Try, false) => party.machine.not_taken(sent, now),
                    (_, true) => {
                        party.machine.confirmed(sent, now);
                    }
                    (_, false) => end(party),
                }
            }
            _ if question.ask == Due::Try && now >= question.sent + Duration::from_secs(6) => {
                let sent = question.sent;
                party.question = None;
                party.session = None;
                party.machine.not_taken(sent, now);
            }
            _ => {}
        }
    }
    let ask = party.machine.due(now);
    if party.question.is_none() && matches!(ask, Due::Try | Due::Ask) {
        party.question = Some(Question {
            ask,
            sent: now,
            reaches: now + delay(&mut millis),
            answer: None,
        });
    }
}

#[test]
fn two_are_never_in_command_at_once_whatever_the_database_and_the_lines_do() {
    let lives: Vec<(u32, u64)> = (0..12).map(one_life).collect();
    let turns: u32 = lives.iter().map(|(turns, _)| turns).sum();
    let idle: u64 = lives.iter().map(|(_, idle)| idle).sum();
    // Otherwise nothing was tried.
    assert!(turns > 120, "{turns} turns");
    assert!(idle < 12 * 60_000, "somebody was in command");
}
