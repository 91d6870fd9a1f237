//! Creates, question by question.

use expect_test::{Expect, expect};

use super::*;

type H = Heard<&'static str>;

fn show(next: &Next<&'static str>) -> String {
    match next {
        Next::Ask(ask, at) => format!("{at} {ask:?}\n"),
        Next::Done(outcome) => format!("{outcome:?}\n"),
    }
}

/// Plays the answers, each at the moment of its question.
#[track_caller]
fn check(sent_before: bool, answers: &[(H, bool)], expected: Expect) {
    let (mut creation, mut next) = Creation::begin(sent_before, 1, Time::ZERO);
    let mut text = show(&next);
    for (heard, destroyed) in answers {
        let Next::Ask(_, at) = next else {
            panic!("nothing is asked any more: {text}");
        };
        assert_eq!(creation.asks(false), None);
        next = creation.heard(heard.clone(), *destroyed, at);
        text.push_str(&show(&next));
    }
    expected.assert_eq(&text);
}

fn all(heard: &[H]) -> Vec<(H, bool)> {
    heard.iter().map(|heard| (heard.clone(), false)).collect()
}

fn secs(secs: u64) -> Option<Duration> {
    Some(Duration::from_secs(secs))
}

#[test]
fn the_network_interface_comes_first_then_the_vm_and_it_is_looked_at_when_azure_says() {
    check(
        false,
        &all(&[Heard::Fine, Heard::Fine]),
        expect![[r#"
            0.000s PutNic
            0.000s PutVm
            Ours
        "#]],
    );
    check(
        false,
        &all(&[
            Heard::NotReady(None),
            Heard::NotReady(secs(2)),
            Heard::Fine,
            Heard::Fine,
        ]),
        expect![[r#"
            0.000s PutNic
            5.000s GetNic
            7.000s GetNic
            7.000s PutVm
            Ours
        "#]],
    );
}

#[test]
fn after_an_unknown_outcome_it_looks_before_it_puts_again() {
    check(
        false,
        &all(&[Heard::Fine, Heard::Unknown("cut"), Heard::Fine]),
        expect![[r#"
            0.000s PutNic
            0.000s PutVm
            0.250s GetVm
            Ours
        "#]],
    );
    check(
        false,
        &all(&[
            Heard::Fine,
            Heard::Unknown("cut"),
            Heard::Absent("none"),
            Heard::Fine,
            Heard::Exists,
        ]),
        expect![[r#"
            0.000s PutNic
            0.000s PutVm
            0.250s GetVm
            0.250s GetNic
            0.250s PutVm
            Ours
        "#]],
    );
    check(
        false,
        &all(&[
            Heard::Unknown("cut"),
            Heard::Absent("none"),
            Heard::Fine,
            Heard::Fine,
        ]),
        expect![[r#"
            0.000s PutNic
            0.250s GetNic
            0.250s PutNic
            0.250s PutVm
            Ours
        "#]],
    );
}

#[test]
fn an_outcome_that_stays_unknown_is_told_as_such_and_nothing_is_cleaned_up() {
    check(
        false,
        &all(&[
            Heard::Fine,
            Heard::Unknown("cut"),
            Heard::Unknown("cut"),
            Heard::Unknown("cut again"),
        ]),
        expect![[r#"
            0.000s PutNic
            0.000s PutVm
            0.250s GetVm
            0.750s GetVm
            Unknown("cut again")
        "#]],
    );
    check(
        true,
        &all(&[Heard::Refused("no permission")]),
        expect![[r#"
            0.000s GetVm
            Unknown("no permission")
        "#]],
    );
}

#[test]
fn a_create_that_was_sent_before_looks_first() {
    check(
        true,
        &all(&[Heard::Fine]),
        expect![[r#"
            0.000s GetVm
            Ours
        "#]],
    );
    check(
        true,
        &all(&[
            Heard::Absent("none"),
            Heard::Absent("none"),
            Heard::Fine,
            Heard::Fine,
        ]),
        expect![[r#"
            0.000s GetVm
            0.000s GetNic
            0.000s PutNic
            0.000s PutVm
            Ours
        "#]],
    );
}

#[test]
fn a3_a_refused_vm_takes_its_network_interface_along() {
    check(
        false,
        &all(&[Heard::Fine, Heard::Refused("quota"), Heard::Fine]),
        expect![[r#"
            0.000s PutNic
            0.000s PutVm
            0.000s DeleteNic
            Refused("quota")
        "#]],
    );
    // Even if that fails: the refusal is what the caller must know.
    check(
        false,
        &all(&[
            Heard::Fine,
            Heard::Refused("quota"),
            Heard::Refused("reserved"),
        ]),
        expect![[r#"
            0.000s PutNic
            0.000s PutVm
            0.000s DeleteNic
            Refused("quota")
        "#]],
    );
    check(
        false,
        &all(&[Heard::Refused("full")]),
        expect![[r#"
            0.000s PutNic
            Refused("full")
        "#]],
    );
    // An earlier try may have made one.
    check(
        false,
        &all(&[
            Heard::Unknown("cut"),
            Heard::Absent("none"),
            Heard::Refused("full"),
            Heard::Absent("none"),
        ]),
        expect![[r#"
            0.000s PutNic
            0.250s GetNic
            0.250s PutNic
            0.250s DeleteNic
            Refused("full")
        "#]],
    );
}

/// The role lacks the permission to read it, say.
#[test]
fn a3_an_interface_that_was_made_and_may_not_be_read_is_deleted() {
    check(
        false,
        &all(&[
            Heard::NotReady(secs(1)),
            Heard::Refused("no permission"),
            Heard::Fine,
        ]),
        expect![[r#"
            0.000s PutNic
            1.000s GetNic
            1.000s DeleteNic
            Refused("no permission")
        "#]],
    );
    // One that was there already, and one that has gone again as it seems.
    check(
        false,
        &all(&[Heard::Exists, Heard::Refused("no permission"), Heard::Fine]),
        expect![[r#"
            0.000s PutNic
            0.100s GetNic
            0.100s DeleteNic
            Refused("no permission")
        "#]],
    );
    check(
        false,
        &all(&[
            Heard::NotReady(secs(1)),
            Heard::Absent("none"),
            Heard::Refused("full"),
            Heard::Absent("none"),
        ]),
        expect![[r#"
            0.000s PutNic
            1.000s GetNic
            1.000s PutNic
            1.000s DeleteNic
            Refused("full")
        "#]],
    );
}

#[test]
fn nothing_is_put_after_its_end_was_asked_for() {
    check(
        false,
        &[(Heard::Fine, true)],
        expect![[r#"
            0.000s PutNic
            Destroyed { put: false }
        "#]],
    );
    check(
        false,
        &[
            (Heard::Fine, false),
            (Heard::Unknown("cut"), false),
            (Heard::Absent("none"), true),
        ],
        expect![[r#"
            0.000s PutNic
            0.000s PutVm
            0.250s GetVm
            Destroyed { put: true }
        "#]],
    );
}

#[test]
fn a_refusal_settles_nothing_while_an_earlier_put_is_in_doubt() {
    // The first PUT arrives after all, and the second is refused for want of quota.
    let lost_then_refused = [
        Heard::Fine,
        Heard::Unknown("cut"),
        Heard::Absent("none"),
        Heard::Fine,
        Heard::Refused("quota"),
    ];
    let with = |more: &[H]| {
        let mut answers = all(&lost_then_refused);
        answers.extend(all(more));
        answers
    };
    check(
        false,
        &with(&[Heard::Fine]),
        expect![[r#"
            0.000s PutNic
            0.000s PutVm
            0.250s GetVm
            0.250s GetNic
            0.250s PutVm
            0.500s GetVm
            Ours
        "#]],
    );
    check(
        false,
        &with(&[Heard::Absent("none"), Heard::Absent("none")]),
        expect![[r#"
            0.000s PutNic
            0.000s PutVm
            0.250s GetVm
            0.250s GetNic
            0.250s PutVm
            0.500s GetVm
            0.500s DeleteNic
            Refused("quota")
        "#]],
    );
    // That its deletion is accepted is not its end.
    check(
        false,
        &with(&[
            Heard::Absent("none"),
            Heard::Fine,
            Heard::Fine,
            Heard::Unknown("cut"),
            Heard::Absent("none"),
        ]),
        expect![[r#"
            0.000s PutNic
            0.000s PutVm
            0.250s GetVm
            0.250s GetNic
            0.250s PutVm
            0.500s GetVm
            0.500s DeleteNic
            2.500s WatchNic
            4.500s WatchNic
            6.500s WatchNic
            Refused("quota")
        "#]],
    );
    check(
        false,
        &with(&[
            Heard::Absent("none"),
            Heard::Fine,
            Heard::Refused("no permission"),
        ]),
        expect![[r#"
            0.000s PutNic
            0.000s PutVm
            0.250s GetVm
            0.250s GetNic
            0.250s PutVm
            0.500s GetVm
            0.500s DeleteNic
            2.500s WatchNic
            Unknown("quota")
        "#]],
    );
    // Somebody holds the interface: who, if not the VM?
    check(
        false,
        &with(&[Heard::Absent("none"), Heard::Refused("in use")]),
        expect![[r#"
            0.000s PutNic
            0.000s PutVm
            0.250s GetVm
            0.250s GetNic
            0.250s PutVm
            0.500s GetVm
            0.500s DeleteNic
            Unknown("quota")
        "#]],
    );
    check(
        false,
        &with(&[Heard::Refused("no permission")]),
        expect![[r#"
            0.000s PutNic
            0.000s PutVm
            0.250s GetVm
            0.250s GetNic
            0.250s PutVm
            0.500s GetVm
            Unknown("quota")
        "#]],
    );
    // The interface is refused, while the VM is in doubt.
    check(
        true,
        &all(&[
            Heard::Absent("none"),
            Heard::Absent("none"),
            Heard::Refused("full"),
            Heard::Fine,
        ]),
        expect![[r#"
            0.000s GetVm
            0.000s GetNic
            0.000s PutNic
            0.250s GetVm
            Ours
        "#]],
    );
}

#[test]
fn an_answer_that_it_failed_is_believed_when_a_look_says_so() {
    check(
        false,
        &all(&[Heard::Fine, Heard::Doubtful("500"), Heard::Fine]),
        expect![[r#"
            0.000s PutNic
            0.000s PutVm
            0.250s GetVm
            Ours
        "#]],
    );
    check(
        false,
        &all(&[
            Heard::Fine,
            Heard::Doubtful("500"),
            Heard::Absent("none"),
            Heard::Fine,
            Heard::Absent("none"),
        ]),
        expect![[r#"
            0.000s PutNic
            0.000s PutVm
            0.250s GetVm
            0.250s DeleteNic
            2.250s WatchNic
            Refused("500")
        "#]],
    );
}

/// A late PUT of the VM may have taken it.
#[test]
fn an_interface_that_does_not_go_though_its_deletion_was_accepted_leaves_the_outcome_unknown() {
    let (mut creation, mut next) = Creation::begin(false, 1, Time::ZERO);
    let mut answers = vec![
        Heard::Fine,
        Heard::Doubtful("500"),
        Heard::Absent("none"),
        Heard::Fine,
    ];
    answers.extend(vec![Heard::Fine; 100]);
    let mut answers = answers.into_iter();
    let mut last = Time::ZERO;
    while let Next::Ask(_, at) = next {
        assert_eq!(creation.asks(false), None);
        let answer = answers.next().expect("it gives up");
        (last, next) = (at, creation.heard(answer, false, at));
    }
    assert_eq!(next, Next::Done(Outcome::Unknown("500")));
    assert!(last >= Time::from_secs(118) && last <= Time::from_secs(122));
}

#[test]
fn without_a_put_of_the_vm_there_is_none() {
    check(
        false,
        &all(&[
            Heard::Unknown("cut"),
            Heard::Unknown("cut"),
            Heard::Unknown("cut"),
            Heard::Unknown("cut"),
        ]),
        expect![[r#"
            0.000s PutNic
            0.250s GetNic
            0.750s GetNic
            0.750s DeleteNic
            Refused("cut")
        "#]],
    );
}

#[test]
fn nothing_is_put_if_its_end_was_asked_for_during_a_pause() {
    let (mut creation, next) = Creation::<()>::begin(false, 1, Time::ZERO);
    assert_eq!(next, Next::Ask(Ask::PutNic, Time::ZERO));
    assert_eq!(creation.asks(true), Some(Outcome::Destroyed { put: false }));
    let (mut creation, _) = Creation::<()>::begin(false, 1, Time::ZERO);
    assert_eq!(creation.asks(false), None);
    creation.heard(Heard::Unknown(()), false, Time::ZERO);
    assert_eq!(creation.asks(true), None, "looks do no harm");
    creation.heard(Heard::Fine, false, Time::ZERO);
    assert_eq!(creation.asks(true), Some(Outcome::Destroyed { put: false }));
}

/// Whether there may be a network interface that nobody has asked to be deleted.
struct Nic(bool);

impl Nic {
    fn of(sent_before: bool) -> Nic {
        Nic(sent_before)
    }

    fn asked(&mut self, ask: Ask, heard: &H) {
        match (ask, heard) {
            (Ask::PutNic, Heard::Refused(_) | Heard::Absent(_)) => {}
            (Ask::PutNic, _) => self.0 = true,
            (Ask::DeleteNic, _) => self.0 = false,
            _ => {}
        }
    }

    /// Facts A3: no refused create leaves one behind.
    fn judge(&self, end: &Next<&'static str>, what: &str) {
        let is_refused = matches!(end, Next::Done(Outcome::Refused(_)));
        assert!(!(is_refused && self.0), "{what}: an interface is left");
    }
}

#[test]
fn every_sequence_of_answers_ends_and_no_refused_one_leaves_an_interface() {
    let answers: [H; 7] = [
        Heard::Fine,
        Heard::Doubtful("500"),
        Heard::NotReady(Some(Duration::ZERO)),
        Heard::Absent("none"),
        Heard::Exists,
        Heard::Refused("no"),
        Heard::Unknown("?"),
    ];
    // Cycles of up to three answers for ever, the worst there is.
    for cycle in 0..answers.len().pow(3) {
        for sent_before in [false, true] {
            let (mut creation, mut next) = Creation::begin(sent_before, 1, Time::ZERO);
            let mut asked = 0;
            let mut nic = Nic::of(sent_before);
            while let Next::Ask(ask, at) = next {
                let _ = creation.asks(false);
                let which = cycle / answers.len().pow(asked % 3) % answers.len();
                nic.asked(ask, &answers[which]);
                next = creation.heard(answers[which].clone(), false, at);
                asked += 1;
                assert!(asked < 500, "cycle {cycle}");
            }
            nic.judge(&next, &format!("cycle {cycle}"));
        }
    }
    // A fixed generator: each seed is one life.
    for seed in 0..20_000_u64 {
        let mut luck = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let (mut creation, mut next) = Creation::begin(seed % 2 == 0, 1, Time::ZERO);
        let mut asked = 0;
        let mut nic = Nic::of(seed % 2 == 0);
        let mut puts_after_destroy = 0;
        while let Next::Ask(ask, at) = next {
            luck = luck
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let heard = answers[(luck >> 33) as usize % answers.len()].clone();
            let destroyed = asked > 4 + seed % 7;
            if creation.asks(destroyed).is_some() {
                break;
            }
            if destroyed && ask.makes() {
                puts_after_destroy += 1;
            }
            nic.asked(ask, &heard);
            next = creation.heard(heard, destroyed, at);
            asked += 1;
            assert!(asked < 200, "seed {seed}");
        }
        nic.judge(&next, &format!("seed {seed}"));
        assert_eq!(puts_after_destroy, 0, "seed {seed}");
    }
}
