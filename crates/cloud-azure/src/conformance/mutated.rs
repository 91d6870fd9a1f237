//! The mutants: the sound driver passes the check that is there for each (the suite runs it), and the mutant fails it.

use super::{
    checks::{CHECKS, outcome},
    stage::MUTANT,
};
use crate::mutants::Mutant;

/// Each mutant, the check that is there for it, and what that says: it must not fail for another reason, nor by waiting in
/// vain.
const MUTANTS: [(Mutant, &str, &str); 21] = [
    (
        Mutant::PutsBlindly,
        "a_lost_answer_is_looked_up",
        "it looks before it puts again",
    ),
    (
        Mutant::PutsUnconditionally,
        "a_vm_that_azure_does_not_show_yet_is_not_put_twice",
        "a PUT without a condition",
    ),
    (
        Mutant::LeavesNic,
        "a3_a_refused_create_leaves_nothing_behind",
        "a refused create left",
    ),
    (
        Mutant::CollectsFresh,
        "what_is_younger_than_a_create_may_take_stays",
        "what is fresh was collected",
    ),
    (
        Mutant::CapacityIsQuota,
        "k27_every_lack_of_capacity_holds_the_size_alone",
        "the class is Err(Quota)",
    ),
    (
        Mutant::KeepsFailed,
        "k27_an_operation_that_fails_is_told_by_its_reason_and_its_vm_deleted",
        "a VM that failed was not deleted",
    ),
    (
        Mutant::ReplacesTags,
        "changes_of_tags_are_merged_and_share_calls",
        "other tags are touched",
    ),
    (
        Mutant::EvictionUnseen,
        "a_spot_vm_that_disappears_counts_as_presumably_evicted",
        "what is told of the eviction: []",
    ),
    (
        Mutant::FreshNotFoundIsGone,
        "a_fresh_vm_that_azure_does_not_know_is_not_taken_for_gone",
        "a fresh VM that Azure does not know is not gone",
    ),
    (
        Mutant::GoingIsListed,
        "a_vm_that_is_being_deleted_is_as_good_as_gone",
        "what is being deleted is listed",
    ),
    (
        Mutant::OnePaceForAll,
        "a5_retry_after_is_kept_in_seconds",
        "an end waits for a create's pause",
    ),
    (
        Mutant::RefusedLookIsFailure,
        "k27_an_operation_that_may_not_be_read_is_not_the_vms_failure",
        "the VM was not looked at",
    ),
    (
        Mutant::AnyNotFoundIsGone,
        "only_azures_own_word_counts_as_gone",
        "a VM that is there counts as gone",
    ),
    (
        Mutant::BelievesBrokenServers,
        "a_server_that_breaks_down_after_its_work_makes_no_second_vm",
        "a VM that is there is not taken for refused",
    ),
    (
        Mutant::AcceptedIsGone,
        "an_interface_whose_deletion_was_accepted_and_failed_leaves_the_outcome_unknown",
        "a VM that came late beside a refusal",
    ),
    (
        Mutant::OmittedIsGone,
        "k15_a_vm_that_a_list_has_shown_and_the_next_omits_is_looked_for_and_listed_on",
        "a VM that is there was told as ended",
    ),
    (
        Mutant::OmittedIsUnlisted,
        "k15_k34_a_spot_vm_leaves_the_list_when_its_end_is_told_and_not_before",
        "what is told when it leaves",
    ),
    (
        Mutant::SilentPowerIsOff,
        "a_vm_that_may_run_is_left_to_the_boot_probe_though_azure_calls_it_failed",
        "a VM that may run is taken for dead",
    ),
    (
        Mutant::BuriesWhatIsHeld,
        "w16_a_vm_that_failed_is_not_deleted_while_it_is_held_or_if_it_may_have_been_well",
        "a VM that must stay is deleted",
    ),
    (
        Mutant::HidesWhatStays,
        "a_vm_that_failed_and_cannot_be_deleted_is_listed",
        "a VM that cannot be deleted takes up room",
    ),
    (
        Mutant::PageIsAll,
        "k27_after_a_restart_a_list_with_a_page_that_names_itself_is_an_error",
        "a part of the list passes for all of it",
    ),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_mutant_fails_its_check_with_its_own_words() {
    for (mutant, name, own) in MUTANTS {
        let check = CHECKS.iter().find(|check| check.name == name);
        let check = check.unwrap_or_else(|| panic!("no such check: {name}"));
        match outcome(MUTANT.scope(mutant, (check.run)())).await {
            Ok(()) => panic!("{mutant:?} passes {name}"),
            Err(words) => assert!(words.contains(own), "{mutant:?} fails {name} with {words}"),
        }
    }
}
