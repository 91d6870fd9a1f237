//! The checks of this driver, by name, and which pitfall each is there for. What the lab cannot show stands below, with
//! the reason, and counts as nothing.

use std::{future::Future, pin::Pin};

use dispatch_cloud_conformance::Report;
use futures_util::StreamExt as _;

use super::{
    creates, doubts, ends, failures, garbage, kills, lists, omitted, refusals, role, storm, tokens,
};

/// So many at a time: they wait for each other's labs most of the time.
const AT_A_TIME: usize = 6;

/// What runs; it panics if the driver does not pass.
type Run = fn() -> Pin<Box<dyn Future<Output = ()> + Send>>;

/// A check.
pub(super) struct Check {
    pub(super) name: &'static str,
    /// Numbers of the reference.
    pub(super) facts: &'static [&'static str],
    pub(super) run: Run,
}

macro_rules! checks {
    ($([$($fact:ident)*] $name:ident: $module:ident;)*) => {
        /// All of them.
        pub(super) const CHECKS: &[Check] = &[$(
            Check {
                name: stringify!($name),
                facts: &[$(stringify!($fact)),*],
                run: || Box::pin($module::$name()),
            },
        )*];
    };
}

checks! {
    [A3] a3_a_refused_create_leaves_nothing_behind: creates;
    [A3] a3_a_network_interface_that_may_not_be_read_is_not_left_behind: creates;
    [] a_lost_answer_is_looked_up: doubts;
    [] a_vm_takes_its_network_interface_and_its_disk_along: creates;
    [] a_create_is_answered_when_azure_has_accepted_it: creates;
    [W23] w23_a_managed_image_takes_twenty_creates_at_a_time_and_a_gallery_any_number: creates;
    [] one_order_makes_one_vm_however_often_it_is_given: creates;
    [] a_vm_that_azure_does_not_show_yet_is_not_put_twice: doubts;
    [] a_fresh_vm_that_azure_does_not_know_is_not_taken_for_gone: doubts;
    [] a_lost_answer_of_any_write_makes_nothing_twice: doubts;
    [] nothing_is_put_after_the_end_of_a_vm_was_asked_for: doubts;
    [K27] k27_an_operation_that_fails_is_told_by_its_reason_and_its_vm_deleted: failures;
    [K27] k27_an_operation_that_may_not_be_read_is_not_the_vms_failure: failures;
    [] a_failure_without_a_reason_is_looked_into: failures;
    [] a_vm_that_may_run_is_left_to_the_boot_probe_though_azure_calls_it_failed: failures;
    [] a_vm_that_azure_calls_failed_is_looked_into_once_a_minute: failures;
    [W16] w16_a_vm_that_failed_is_not_deleted_while_it_is_held_or_if_it_may_have_been_well: failures;
    [] a_vm_that_failed_and_cannot_be_deleted_is_listed: failures;
    [A6] a6_the_usages_tell_which_quota_a_vm_failed_for: failures;
    [] only_azures_own_word_counts_as_gone: doubts;
    [] a_server_that_breaks_down_after_its_work_makes_no_second_vm: doubts;
    [] a_refusal_after_a_lost_put_is_settled_by_a_look: doubts;
    [] an_interface_whose_deletion_was_accepted_and_failed_leaves_the_outcome_unknown: doubts;
    [] an_interface_that_goes_later_settles_a_refusal: doubts;
    [] a_delete_that_fails_later_is_followed_and_the_vm_stays_listed: ends;
    [] a_vm_may_be_ended_while_it_is_being_made: ends;
    [] an_end_that_comes_before_the_put_ends_the_vm_all_the_same: doubts;
    [A9] a9_a_secret_is_in_no_words_of_any_call: creates;
    [] a_vm_that_failed_in_an_earlier_life_is_looked_into_and_deleted: failures;
    [] an_operation_that_azure_has_forgotten_is_read_from_the_vm: failures;
    [K34] a_spot_vm_that_disappears_counts_as_presumably_evicted: ends;
    [K34] a_vm_that_is_gone_and_was_no_spot_vm_is_told_as_such: ends;
    [K34] a_vm_that_stops_answering_is_looked_into: ends;
    [K34] k34_a_vm_that_stops_answering_while_its_making_is_followed_is_looked_into: ends;
    [A7] a7_spot_settings_are_sent_for_spot_vms_alone: creates;
    [A8] a8_added_scratch_is_refused_without_a_call: creates;
    [A9] a9_a_secret_is_not_in_names_nor_on_network_interfaces_nor_in_errors: creates;
    [A10] a10_network_and_images_are_found_in_their_own_groups_and_galleries: creates;
    [] changes_of_tags_are_merged_and_share_calls: creates;
    [] a_change_of_tags_that_is_cut_off_leaves_nothing_in_memory: creates;
    [A4 K27] a4_k27_what_dead_daemons_left_is_collected_in_the_right_group_and_nothing_else: garbage;
    [A4] what_is_younger_than_a_create_may_take_stays: garbage;
    [] a_vm_keeps_its_own_and_a_vm_that_leaves_it_behind_is_cleaned_up_after: garbage;
    [] a_reserved_network_interface_goes_after_its_time: garbage;
    [] what_a_create_left_behind_is_deleted_on_demand_or_named: garbage;
    [] a_list_of_vms_with_a_page_missing_makes_nothing_garbage: garbage;
    [K27] k27_garbage_is_not_collected_inside_a_list: garbage;
    [] in_the_background_it_is_collected_without_being_asked: garbage;
    [] one_that_cannot_be_deleted_does_not_keep_the_others: garbage;
    [] a_process_killed_at_any_request_leaves_nothing_and_makes_nothing_twice: kills;
    [A1 K27] a1_k27_odd_rows_affect_themselves_alone: lists;
    [] a_list_of_many_pages_is_read_to_its_end: lists;
    [K27] k27_a_page_that_names_itself_ends_the_list_and_nothing_is_taken_for_gone: lists;
    [K27] k27_after_a_restart_a_list_with_a_page_that_names_itself_is_an_error: lists;
    [K27] k27_what_was_made_while_a_page_names_itself_is_listed: lists;
    [K15] k15_a_vm_that_a_list_has_shown_and_the_next_omits_is_looked_for_and_listed_on: omitted;
    [K15] k15_what_lists_omit_is_listed_on_while_azure_does_not_say_whether_it_is_there: omitted;
    [K15 K34] k15_k34_a_spot_vm_leaves_the_list_when_its_end_is_told_and_not_before: omitted;
    [] what_lists_omit_and_we_end_is_listed_until_azure_agrees_or_does_not_know_it: omitted;
    [K34] k34_whose_end_it_is_after_a_restart_is_not_known: omitted;
    [A1 K27] a1_k27_what_is_odd_is_told_in_one_line_each: lists;
    [A1 K27] a1_k27_a_vm_that_has_lost_the_tag_that_says_whose_it_is_stays_listed: lists;
    [] pages_at_azures_own_host_are_read_behind_an_override: lists;
    [] a_vm_that_does_not_go_is_listed_again: lists;
    [A11] a11_other_peoples_vms_are_neither_listed_nor_missed: lists;
    [] a_list_that_fails_is_no_empty_list: lists;
    [] addresses_are_asked_for_while_one_is_missing_and_then_no_more: lists;
    [] without_network_interfaces_the_list_is_right_but_for_addresses: lists;
    [] a_network_provider_that_hangs_does_not_take_the_list_away: lists;
    [] ids_are_the_same_whatever_case_azure_writes: lists;
    [] a_vm_that_is_being_deleted_is_as_good_as_gone: lists;
    [A5] a5_retry_after_is_kept_in_seconds: refusals;
    [A5] a5_retry_after_may_be_a_date: refusals;
    [A5 K27] a5_k27_without_retry_after_twenty_seconds_are_waited: refusals;
    [] the_documented_buckets_are_met_as_a_rate_limit_and_ends_have_a_bucket_of_their_own: refusals;
    [] the_bucket_of_vms_put_is_emptied_by_others_and_fills_again: refusals;
    [A6] a6_quotas_are_told_by_what_is_full: refusals;
    [A6] a6_where_azure_does_not_say_which_the_usages_tell: refusals;
    [A6] a6_without_the_permission_to_read_sizes_the_size_is_held: refusals;
    [A6] a6_the_families_of_sizes_are_told_before_any_refusal: refusals;
    [K27] k27_every_lack_of_capacity_holds_the_size_alone: refusals;
    [] a_missing_permission_is_refused_with_the_remedy: refusals;
    [] nobody_there_is_a_passing_fault: refusals;
    [] what_cannot_work_is_refused_when_the_configuration_is_read: refusals;
    [] tags_that_azure_keeps_for_itself_are_left_out_and_told_once: refusals;
    [A2] a2_opening_calls_nothing: refusals;
    [] a_whole_life_needs_exactly_the_actions_of_the_role: role;
    [] lost_answers_and_late_successes_leave_nothing_behind: storm;
    [] one_token_serves_many_calls: tokens;
    [] without_a_secret_the_host_is_asked_and_with_a_client_id_for_that_identity: tokens;
    [] a_token_that_azure_refuses_is_replaced_within_the_call: tokens;
    [] an_answer_with_a_token_that_is_lost_is_a_passing_fault: tokens;
    [] a_short_token_is_renewed_before_it_ends: tokens;
    [] a_metadata_service_that_is_being_updated_is_waited_for: tokens;
    [] wrong_credentials_are_refused_with_the_remedy_and_not_hammered: tokens;
}

/// What the lab cannot show, and why.
pub(super) const CANNOT: [(&str, &str); 3] = [
    (
        "azures_own_words_for_a_full_quota_are_understood",
        "the lab's words are ours, after the documentation",
    ),
    (
        "the_managed_identity_of_a_vm_of_azure_gives_tokens",
        "the lab's metadata service is ours, after the documentation",
    ),
    (
        "an_evicted_vm_disappears_with_its_network_interface_and_disk",
        "when Azure evicts, and in which order things go, is its own",
    ),
];

/// Runs a check; what it says if it panics.
pub(super) async fn outcome(
    check: impl Future<Output = ()> + Send + 'static,
) -> Result<(), String> {
    let Err(error) = tokio::spawn(check).await else {
        return Ok(());
    };
    let words = error.into_panic();
    let text = words.downcast_ref::<String>().cloned();
    let text = text.or_else(|| words.downcast_ref::<&str>().map(|text| (*text).to_owned()));
    Err(text.unwrap_or_else(|| "it panicked".to_owned()))
}

/// Runs all checks.
pub(super) async fn run_all(report: &mut Report) {
    let outcomes: Vec<Result<(), String>> = futures_util::stream::iter(CHECKS)
        .map(|check| outcome((check.run)()))
        .buffered(AT_A_TIME)
        .collect()
        .await;
    for (check, outcome) in CHECKS.iter().zip(outcomes) {
        match outcome {
            Ok(()) => report.passed.push(check.name),
            Err(words) => report.failed.push((check.name, words)),
        }
    }
    let cannot = CANNOT.iter();
    let cannot = cannot.map(|(name, reason)| (*name, (*reason).to_owned()));
    report.cannot_show.extend(cannot);
}

#[test]
fn each_pitfall_of_the_reference_names_its_check() {
    let numbers = (1..=11).map(|n| format!("A{n}"));
    for number in numbers.chain(["K27".to_owned(), "K34".to_owned()]) {
        let check = CHECKS
            .iter()
            .find(|check| check.facts.contains(&number.as_str()));
        assert!(check.is_some(), "no check is there for {number}");
    }
}
