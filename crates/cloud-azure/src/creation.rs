//! Creating one VM with its network interface: what is asked next, whatever the answers are. Pure.
//!
//! ```text
//! put NIC ──► put VM (If-None-Match: *) ──► ours
//!   │ ▲         │    ▲      │exists
//!   ?│ │absent  ?│   │absent ▼
//! get NIC     get VM ──found──► ours          refused anywhere: delete the NIC, tell the refusal
//! ```
//!
//! A PUT updates what exists, so after an unknown outcome (`?`) we look first, and put again only what is not there,
//! with a condition, and never after somebody asked for the end of this VM. If the outcome stays unknown, nothing is
//! cleaned up: the list shows what came of it, and the garbage collection knows the names.

use std::time::Duration;

use dispatch_model::Time;

/// So often is anything asked whose outcome stays unknown.
const TRIES: u32 = 3;
/// The pause before it is asked again; twice as long before the next.
const AGAIN_AFTER: Duration = Duration::from_millis(250);
/// A network interface that is not ready is looked at this often, for this long.
const NIC_EVERY: Duration = Duration::from_secs(1);
const NIC_LOOKS: u32 = 60;

/// What to ask Azure.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Ask {
    PutNic,
    GetNic,
    PutVm,
    GetVm,
    DeleteNic,
}

/// What an answer means here. `E`: what is known of a refusal.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Heard<E> {
    /// Done, accepted, or there.
    Fine,
    /// The network interface is there and still being made.
    NotReady,
    /// There is none of that name; said of a PUT: something that it needs is not there.
    Absent(E),
    /// It was there already, so nothing was put.
    Exists,
    /// Certainly not done.
    Refused(E),
    /// Nobody knows whether it was done.
    Unknown(E),
}

/// What to do next.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Next<E> {
    /// Ask this, not before this time.
    Ask(Ask, Time),
    /// The create has ended.
    Done(Outcome<E>),
}

/// How a create ends.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Outcome<E> {
    /// The VM is accepted or there: it is ours from here on.
    Ours,
    /// There is none, for this reason.
    Refused(E),
    /// Perhaps there is one, perhaps there will be.
    Unknown(E),
    /// Somebody has asked for its end meanwhile.
    Destroyed,
}

/// One create.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Creation<E> {
    asking: Ask,
    /// How often each kind of question stayed without a clear answer.
    unknown: u32,
    pause: Duration,
    nic_looks: u32,
    /// A PUT of the VM was sent whose outcome was unknown.
    vm_in_doubt: bool,
    /// Why there will be no VM, while we clean up.
    refused: Option<E>,
    scale: u32,
}

impl<E: Clone> Creation<E> {
    /// `sent_before`: a create with this secret was sent, and its outcome may be unknown. `scale`: how much faster than
    /// in life the clock runs; 1 but in tests.
    pub(crate) fn begin(sent_before: bool, scale: u32, now: Time) -> (Creation<E>, Next<E>) {
        let asking = if sent_before { Ask::GetVm } else { Ask::PutNic };
        let creation = Creation {
            asking,
            unknown: 0,
            pause: AGAIN_AFTER,
            nic_looks: 0,
            vm_in_doubt: sent_before,
            refused: None,
            scale: scale.max(1),
        };
        (creation, Next::Ask(asking, now))
    }

    /// The last question was answered. `destroyed`: somebody has asked for the end of this VM since.
    pub(crate) fn heard(&mut self, heard: Heard<E>, destroyed: bool, now: Time) -> Next<E> {
        if destroyed && self.asking != Ask::DeleteNic {
            // What is left of it is found by its name.
            return Next::Done(Outcome::Destroyed);
        }
        match (self.asking, heard) {
            (Ask::PutNic, Heard::Fine) | (Ask::GetNic, Heard::Fine | Heard::Exists) => {
                // Whoever came here in doubt looks before putting.
                self.ask(Ask::PutVm, now)
            }
            (Ask::PutNic, Heard::NotReady | Heard::Exists) | (Ask::GetNic, Heard::NotReady) => {
                self.nic_looks += 1;
                if self.nic_looks > NIC_LOOKS {
                    // The VM's own refusal will say what is wrong with it.
                    return self.ask(Ask::PutVm, now);
                }
                self.ask(Ask::GetNic, now + NIC_EVERY / self.scale)
            }
            (Ask::PutNic, Heard::Unknown(error)) | (Ask::GetNic, Heard::Unknown(error)) => {
                self.again(Ask::GetNic, error, now)
            }
            (Ask::GetNic, Heard::Absent(_)) => self.ask(Ask::PutNic, now),
            (Ask::PutNic, Heard::Refused(error) | Heard::Absent(error))
            | (Ask::GetNic, Heard::Refused(error)) => {
                // Nothing was made, unless an earlier try whose outcome was unknown did.
                if self.unknown > 0 || self.vm_in_doubt {
                    self.clean_up(error, now)
                } else {
                    Next::Done(Outcome::Refused(error))
                }
            }
            (Ask::PutVm, Heard::Fine | Heard::NotReady) | (Ask::GetVm, Heard::Fine) => {
                Next::Done(Outcome::Ours)
            }
            (Ask::GetVm, Heard::NotReady | Heard::Exists) => Next::Done(Outcome::Ours),
            // It is there, but is it ours? It has our name, and that comes from the secret.
            (Ask::PutVm, Heard::Exists) => Next::Done(Outcome::Ours),
            (Ask::PutVm, Heard::Unknown(error)) => {
                self.vm_in_doubt = true;
                self.again(Ask::GetVm, error, now)
            }
            (Ask::GetVm, Heard::Unknown(error)) => self.again(Ask::GetVm, error, now),
            (Ask::GetVm, Heard::Absent(_)) => self.ask(Ask::PutNic, now),
            (Ask::GetVm, Heard::Refused(error)) => {
                // That we may not look does not mean that there is none.
                Next::Done(Outcome::Unknown(error))
            }
            (Ask::PutVm, Heard::Refused(error) | Heard::Absent(error)) => self.clean_up(error, now),
            (Ask::DeleteNic, _) => match self.refused.take() {
                Some(error) => Next::Done(Outcome::Refused(error)),
                None => Next::Done(Outcome::Destroyed),
            },
        }
    }

    fn ask(&mut self, ask: Ask, at: Time) -> Next<E> {
        self.asking = ask;
        Next::Ask(ask, at)
    }

    /// Facts A3: no failed create leaves its network interface behind.
    fn clean_up(&mut self, error: E, now: Time) -> Next<E> {
        self.refused = Some(error);
        self.ask(Ask::DeleteNic, now)
    }

    fn again(&mut self, ask: Ask, error: E, now: Time) -> Next<E> {
        self.unknown += 1;
        if self.unknown >= TRIES {
            return Next::Done(Outcome::Unknown(error));
        }
        let at = now + self.pause / self.scale;
        self.pause *= 2;
        self.ask(ask, at)
    }
}

#[cfg(test)]
mod tests {
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
            next = creation.heard(heard.clone(), *destroyed, at);
            text.push_str(&show(&next));
        }
        expected.assert_eq(&text);
    }

    fn all(heard: &[H]) -> Vec<(H, bool)> {
        heard.iter().map(|heard| (heard.clone(), false)).collect()
    }

    #[test]
    fn the_network_interface_comes_first_then_the_vm() {
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
            &all(&[Heard::NotReady, Heard::NotReady, Heard::Fine, Heard::Fine]),
            expect![[r#"
                0.000s PutNic
                1.000s GetNic
                2.000s GetNic
                2.000s PutVm
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
                0.250s PutNic
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
            &all(&[Heard::Absent("none"), Heard::Fine, Heard::Fine]),
            expect![[r#"
                0.000s GetVm
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

    #[test]
    fn nothing_is_put_after_its_end_was_asked_for() {
        check(
            false,
            &[(Heard::Fine, true)],
            expect![[r#"
                0.000s PutNic
                Destroyed
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
                Destroyed
            "#]],
        );
    }

    #[test]
    fn every_sequence_of_answers_ends() {
        let answers: [H; 6] = [
            Heard::Fine,
            Heard::NotReady,
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
                while let Next::Ask(_, at) = next {
                    let which = cycle / answers.len().pow(asked % 3) % answers.len();
                    next = creation.heard(answers[which].clone(), false, at);
                    asked += 1;
                    assert!(asked < 500, "cycle {cycle}");
                }
            }
        }
        // A fixed generator: each seed is one life.
        for seed in 0..20_000_u64 {
            let mut luck = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let (mut creation, mut next) = Creation::begin(seed % 2 == 0, 1, Time::ZERO);
            let mut asked = 0;
            let mut puts_after_destroy = 0;
            while let Next::Ask(ask, at) = next {
                luck = luck
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                let heard = answers[(luck >> 33) as usize % answers.len()].clone();
                let destroyed = asked > 4;
                if asked > 5 && matches!(ask, Ask::PutNic | Ask::PutVm) {
                    puts_after_destroy += 1;
                }
                next = creation.heard(heard, destroyed, at);
                asked += 1;
                assert!(asked < 200, "seed {seed}");
            }
            assert_eq!(puts_after_destroy, 0, "seed {seed}");
        }
    }
}
