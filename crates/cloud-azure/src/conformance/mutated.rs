//! The checks that mutants must fail: the sound driver passes each, and each mutant fails its own.

use std::{future::Future, pin::Pin};

use super::{creates, garbage, stage::Outcome};
use crate::mutants::Mutant;

type Check = fn(Option<Mutant>) -> Pin<Box<dyn Future<Output = Outcome>>>;

/// Each mutant, and the check that is there for it.
fn checks() -> [(Mutant, Check); 7] {
    [
        (Mutant::PutsBlindly, |m| {
            Box::pin(creates::a_lost_answer_is_looked_up(m))
        }),
        (Mutant::LeavesNic, |m| {
            Box::pin(creates::a_refused_create_leaves_nothing(m))
        }),
        (Mutant::CollectsFresh, |m| {
            Box::pin(garbage::fresh_things_stay(m))
        }),
        (Mutant::CapacityIsQuota, |m| {
            Box::pin(creates::a_lack_of_a_size_is_not_a_quota(m))
        }),
        (Mutant::KeepsFailed, |m| {
            Box::pin(creates::a_vm_that_fails_is_told_and_deleted(m))
        }),
        (Mutant::ReplacesTags, |m| {
            Box::pin(creates::a_change_of_tags_is_merged(m))
        }),
        (Mutant::EvictionUnseen, |m| {
            Box::pin(creates::an_eviction_is_noticed(m))
        }),
    ]
}

#[tokio::test]
async fn each_mutant_fails_its_check() {
    for (mutant, check) in checks() {
        assert_eq!(check(None).await, Ok(()), "the check for {mutant:?}");
        assert!(check(Some(mutant)).await.is_err(), "{mutant:?} passes");
    }
}
