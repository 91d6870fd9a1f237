//! The checks that mutants must fail: the sound driver passes each, and each mutant fails its own.

use std::{future::Future, pin::Pin};

use super::{faults, stage::Outcome};
use crate::mutants::Mutant;

type Check = fn(Option<Mutant>) -> Pin<Box<dyn Future<Output = Outcome>>>;

/// Each mutant, and the check that is there for it.
fn checks() -> [(Mutant, Check); 6] {
    [
        (Mutant::NoToken, |m| {
            Box::pin(faults::a_lost_answer_makes_no_second_instance(m))
        }),
        (Mutant::NextSubnetAfterTimeout, |m| {
            Box::pin(faults::after_an_unknown_outcome_no_other_subnet_is_tried(m))
        }),
        (Mutant::OneTokenForAllSubnets, |m| {
            Box::pin(faults::each_subnet_has_a_token_of_its_own(m))
        }),
        (Mutant::CapacityIsQuota, |m| {
            Box::pin(faults::a_lack_of_a_type_is_not_a_quota(m))
        }),
        (Mutant::FreshNotFoundIsGone, |m| {
            Box::pin(faults::a_fresh_instance_that_is_not_known_yet_is_not_gone(
                m,
            ))
        }),
        (Mutant::EmptyTokenFollowed, |m| {
            Box::pin(faults::an_empty_token_ends_a_list(m))
        }),
    ]
}

#[tokio::test]
async fn e14_an_empty_token_ends_a_list() {
    assert_eq!(faults::an_empty_token_ends_a_list(None).await, Ok(()));
}

#[tokio::test]
async fn each_mutant_fails_its_check() {
    for (mutant, check) in checks() {
        assert_eq!(check(None).await, Ok(()), "the check for {mutant:?}");
        assert!(check(Some(mutant)).await.is_err(), "{mutant:?} passes");
    }
}
