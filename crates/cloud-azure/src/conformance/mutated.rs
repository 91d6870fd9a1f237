//! The mutants: the sound driver passes the check that is there for each (the suite runs it), and the mutant fails it.

use super::{
    checks::{CHECKS, outcome},
    stage::MUTANT,
};
use crate::mutants::Mutant;

/// Each mutant, and the check that is there for it.
const MUTANTS: [(Mutant, &str); 11] = [
    (Mutant::PutsBlindly, "a_lost_answer_is_looked_up"),
    (
        Mutant::PutsUnconditionally,
        "a_vm_that_azure_does_not_show_yet_is_not_put_twice",
    ),
    (
        Mutant::LeavesNic,
        "a3_a_refused_create_leaves_nothing_behind",
    ),
    (
        Mutant::CollectsFresh,
        "what_is_younger_than_a_create_may_take_stays",
    ),
    (
        Mutant::CapacityIsQuota,
        "k27_every_lack_of_capacity_holds_the_size_alone",
    ),
    (
        Mutant::KeepsFailed,
        "k27_an_operation_that_fails_is_told_by_its_reason_and_its_vm_deleted",
    ),
    (
        Mutant::ReplacesTags,
        "changes_of_tags_are_merged_and_share_calls",
    ),
    (
        Mutant::EvictionUnseen,
        "a_spot_vm_that_disappears_counts_as_presumably_evicted",
    ),
    (
        Mutant::FreshNotFoundIsGone,
        "a_fresh_vm_that_azure_does_not_know_is_not_taken_for_gone",
    ),
    (
        Mutant::GoingIsListed,
        "a_vm_that_is_being_deleted_is_as_good_as_gone",
    ),
    (Mutant::OnePaceForAll, "a5_retry_after_is_kept_in_seconds"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_mutant_fails_its_check() {
    for (mutant, name) in MUTANTS {
        let check = CHECKS.iter().find(|check| check.name == name);
        let check = check.unwrap_or_else(|| panic!("no such check: {name}"));
        let passes = outcome(MUTANT.scope(mutant, (check.run)())).await.is_ok();
        assert!(!passes, "{mutant:?} passes {name}");
    }
}
