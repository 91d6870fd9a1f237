//! The checks of this driver, by name: which pitfall each is there for, and on which of the two clouds it runs. Why a
//! cloud cannot show one stands beside it, and counts as nothing.

use std::{future::Future, pin::Pin};

use dispatch_cloud_conformance::Report;

use super::{calls, doubt, ends, environment, faults, line, omitted, on_moto, told};

/// A check.
pub(super) struct Check {
    pub(super) name: &'static str,
    /// Numbers of the reference.
    pub(super) facts: &'static [&'static str],
    pub(super) lab: On,
    pub(super) moto: On,
}

/// Whether a check runs on a cloud.
#[derive(Clone, Copy)]
pub(super) enum On {
    /// It panics if the driver does not pass.
    Runs(fn() -> Pin<Box<dyn Future<Output = ()> + Send>>),
    /// The cloud cannot show it, for this reason.
    Cannot(&'static str),
}

macro_rules! on {
    ($name:ident, $reason:literal) => {
        On::Cannot($reason)
    };
    ($name:ident, $reason:ident) => {
        On::Cannot($reason)
    };
    ($name:ident, ($module:ident)) => {
        On::Runs(|| Box::pin($module::$name()))
    };
}

macro_rules! checks {
    ($([$($fact:ident)*] $name:ident: lab $lab:tt, moto $moto:tt;)*) => {
        /// All of them.
        pub(super) const CHECKS: &[Check] = &[$(
            Check {
                name: stringify!($name),
                facts: &[$(stringify!($fact)),*],
                lab: on!($name, $lab),
                moto: on!($name, $moto),
            },
        )*];
    };
}

// Why moto cannot.
const GRANTS: &str = "it grants every permission";
const NO_PRICES: &str = "it does not know the filter by product";
const NO_RECORD: &str = "it keeps no record of what it was sent";
const NO_TOKENS: &str = "it ignores ClientToken";
const NO_LACK: &str = "it lacks nothing";
const NO_LIMITS: &str = "it has no limits";
const NO_THROTTLE: &str = "it throttles nothing";
const NO_FAULTS: &str = "all its answers are whole and arrive";
const NO_DELAY: &str = "it knows at once what it has made";
const NO_DEATHS: &str = "its instances end by nobody's doing but the caller's";
const LONG_PAGES: &str = "its pages are as long as they are asked for";

checks! {
    [E1] a_key_pair_that_cannot_be_imported_is_told: lab (calls), moto GRANTS;
    [E2 E3] the_clouds_own_fingerprints_are_found: lab "it takes the fingerprint from the name", moto (on_moto);
    [E3] both_spellings_of_the_fingerprint_are_looked_for: lab (calls), moto NO_RECORD;
    [E4] after_a_failed_look_for_the_key_pair_the_next_create_looks_again: lab (calls), moto GRANTS;
    [E4] creates_that_wait_for_the_key_pair_in_vain_wait_together: lab (calls), moto NO_FAULTS;
    [K28] the_key_pair_is_looked_for_once_and_tagged: lab (calls), moto (on_moto);
    [K28] a_deleted_key_pair_is_looked_for_again: lab (faults), moto (on_moto);
    [] without_a_public_key_none_is_looked_for: lab (calls), moto (on_moto);
    [K28] the_price_of_a_spot_instance_is_that_of_the_zone_that_the_list_shows: lab (calls), moto NO_PRICES;
    [E16 E22 K28] the_whole_create_is_as_specified: lab (calls), moto (on_moto);
    [] user_data_arrive_whole: lab (calls), moto (on_moto);
    [E17 E18 E19] prices_are_asked_for_as_specified: lab (calls), moto NO_PRICES;
    [] what_has_no_known_price_is_left_out: lab "it knows every price", moto (on_moto);
    [E18] an_interval_of_zero_looks_up_no_prices: lab (calls), moto NO_RECORD;
    [E17] a_failed_look_for_prices_hurts_no_list: lab (calls), moto GRANTS;
    [E15] credentials_do_not_reach_the_environment: lab (calls), moto "it takes any";
    [E15] credentials_are_renewed_before_they_expire: lab (environment), moto "it takes any";
    [E15] the_default_chain_and_the_endpoint_variables_are_honoured: lab (environment), moto (on_moto);
    [E23] stray_files_do_not_take_over: lab (environment), moto "the same before any call is made";
    [E21] without_a_subnet_none_is_named: lab (calls), moto (on_moto);
    [E21] without_a_subnet_a_lack_and_a_lost_answer_are_met_as_with_one: lab (calls), moto NO_LACK;
    [E21] subnets_and_groups_may_be_text_list_or_map: lab (calls), moto (on_moto);
    [K28] only_the_changed_tags_are_set_and_reserved_ones_never: lab (calls), moto (on_moto);
    [] tags_mean_what_they_say: lab (calls), moto (on_moto);
    [E5 K34] what_is_going_is_not_listed: lab (faults), moto (on_moto);
    [E6 K28] a_throttled_create_delays_creates_and_no_destroy: lab (faults), moto NO_THROTTLE;
    [E6 K28] throttled_ends_tags_and_lists_say_until_when: lab (faults), moto NO_THROTTLE;
    [E6 K28] an_answer_that_is_no_throttle_ends_the_delay: lab (faults), moto NO_THROTTLE;
    [] creates_wait_for_their_turn_at_ec2s_rate: lab (faults), moto NO_THROTTLE;
    [E7] the_sdk_repeats_nothing: lab (faults), moto NO_FAULTS;
    [E8] a_lack_of_a_type_is_not_a_quota: lab (faults), moto NO_LACK;
    [E8 E9 E10 K28] each_code_has_its_class_and_its_next_step: lab (faults), moto NO_LACK;
    [] the_clouds_own_refusals_have_their_class_and_remedy: lab "its refusals are ours", moto (on_moto);
    [E9] a_type_that_a_zone_does_not_offer_is_asked_for_in_another: lab (faults), moto NO_LACK;
    [E10] a_full_subnet_is_passed_over: lab (faults), moto NO_LACK;
    [E11] the_subnet_that_worked_is_tried_first_next_time: lab (faults), moto (on_moto);
    [E11] after_all_subnets_have_refused_the_next_create_begins_elsewhere: lab (faults), moto NO_RECORD;
    [E12] a_lack_is_told_rather_than_another_error_of_another_subnet: lab (faults), moto NO_LACK;
    [E13] success_without_an_instance_is_asked_about_again: lab (doubt), moto NO_FAULTS;
    [] a_subnet_that_refuses_while_another_works_is_told_once_until_it_works: lab (told), moto "its subnets refuse always or never";
    [E14] an_empty_token_ends_a_list: lab (faults), moto LONG_PAGES;
    [E14] a_list_in_small_pages_is_whole: lab (faults), moto LONG_PAGES;
    [] a_list_whose_second_page_fails_is_an_error: lab (faults), moto LONG_PAGES;
    [E20] cores_are_limited_by_quota_group: lab (faults), moto NO_LIMITS;
    [E20] groups_of_types_are_told_before_any_refusal: lab (told), moto NO_LIMITS;
    [] volumes_that_the_image_leaves_behind_are_told_once: lab (told), moto "its images have one volume";
    [] a_lack_is_remembered_for_the_zone_and_the_type: lab (faults), moto NO_LACK;
    [] without_the_permission_to_describe_subnets_each_counts_as_a_zone: lab (faults), moto GRANTS;
    [] creates_beside_the_first_wait_for_the_zones: lab (faults), moto NO_LACK;
    [] zones_that_are_not_answered_about_keep_nobody_waiting: lab (faults), moto NO_FAULTS;
    [] where_nobody_listens_nothing_was_sent: lab (faults), moto NO_FAULTS;
    [] without_credentials_nothing_is_sent: lab (environment), moto "it takes any";
    [] the_zones_are_asked_for_again_soon_and_a_wrong_id_hides_only_itself: lab (faults), moto NO_THROTTLE;
    [] a_lost_answer_makes_no_second_instance: lab (doubt), moto NO_TOKENS;
    [] after_an_unknown_outcome_no_other_subnet_is_tried: lab (doubt), moto NO_FAULTS;
    [] a_throttle_after_a_lost_answer_leaves_the_outcome_unknown: lab (doubt), moto NO_FAULTS;
    [] an_answer_that_says_nothing_of_a_lost_create_leaves_it_unknown: lab (doubt), moto NO_FAULTS;
    [] a_lack_or_a_limit_says_nothing_of_a_create_that_may_still_be_at_work: lab (doubt), moto NO_FAULTS;
    [] a_lack_that_leaves_a_create_unknown_is_remembered: lab (doubt), moto NO_FAULTS;
    [] a_lack_or_a_limit_that_is_met_much_later_settles_a_lost_create: lab (doubt), moto NO_FAULTS;
    [] a_create_that_ec2_says_has_failed_is_asked_about_again: lab (doubt), moto NO_TOKENS;
    [] a_lost_create_stays_unknown_while_its_key_pair_cannot_be_looked_for: lab (doubt), moto NO_FAULTS;
    [] each_subnet_has_a_token_of_its_own: lab (faults), moto NO_TOKENS;
    [] a_create_that_was_carried_out_late_makes_one_instance: lab (doubt), moto NO_TOKENS;
    [] an_order_whose_instance_has_ended_is_told_as_passing: lab (faults), moto NO_TOKENS;
    [] answers_that_are_cut_off_or_not_ec2s_are_asked_about_again: lab (doubt), moto NO_FAULTS;
    [] a_proxys_timeout_is_no_refusal: lab (doubt), moto NO_FAULTS;
    [] an_answer_that_is_not_ec2s_is_no_answer: lab (faults), moto NO_FAULTS;
    [] a_list_that_is_cut_off_is_an_error: lab (told), moto NO_FAULTS;
    [] a_cut_line_holds_no_call_back_for_long: lab (line), moto NO_FAULTS;
    [] a_call_without_an_answer_ends: lab (faults), moto NO_FAULTS;
    [] a_fresh_instance_that_is_not_known_yet_is_not_gone: lab (faults), moto NO_DELAY;
    [] a_fresh_instance_of_a_list_is_not_gone: lab (faults), moto NO_DELAY;
    [] an_old_instance_that_is_not_known_is_gone: lab (faults), moto (on_moto);
    [] an_old_instance_that_a_list_omits_is_listed_on: lab (omitted), moto NO_DELAY;
    [] what_lists_omit_and_ec2_does_not_know_is_gone_after_minutes: lab (omitted), moto NO_DELAY;
    [] what_lists_omit_is_listed_on_while_ec2_does_not_answer_about_it: lab (omitted), moto NO_DELAY;
    [] what_lists_omit_and_ec2_shows_as_ending_is_gone_at_once: lab (omitted), moto NO_DELAY;
    [] tags_of_a_fresh_instance_are_tried_again: lab (faults), moto NO_DELAY;
    [] an_instance_that_dies_while_launching_counts_like_a_refusal: lab (ends), moto NO_DEATHS;
    [] a_type_that_dies_again_and_again_while_launching_is_held: lab (ends), moto NO_DEATHS;
    [] a_late_failure_is_told_as_its_code_would_have_been: lab (ends), moto NO_DEATHS;
    [K34] a_spot_interruption_is_told_once_with_its_reason: lab (ends), moto NO_DEATHS;
    [K34] one_that_was_taken_back_may_be_followed_by_another_in_the_same_zone: lab (ends), moto NO_DEATHS;
    [K34] what_is_going_is_gone_at_once_and_its_reason_is_told_when_it_comes: lab (ends), moto NO_DEATHS;
    [K34] a_reason_that_comes_a_moment_later_is_told_with_the_end: lab (ends), moto NO_DEATHS;
    [] what_ended_before_this_process_began_says_nothing: lab (ends), moto NO_DEATHS;
    [] an_older_instance_that_runs_ends_no_hold: lab (ends), moto NO_DEATHS;
    [K34] an_end_by_another_hand_is_told: lab (ends), moto (on_moto);
    [] the_secret_is_in_no_message: lab (told), moto NO_RECORD;
}

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

/// Runs all checks that this cloud can show; `scoped` puts each into its surroundings.
pub(super) async fn run_all<F>(
    report: &mut Report,
    cloud: impl Fn(&Check) -> On,
    scoped: impl Fn(Pin<Box<dyn Future<Output = ()> + Send>>) -> F,
) where
    F: Future<Output = ()> + Send + 'static,
{
    for check in CHECKS {
        match cloud(check) {
            On::Cannot(reason) => report.cannot_show.push((check.name, reason.to_owned())),
            On::Runs(run) => match outcome(scoped(run())).await {
                Ok(()) => report.passed.push(check.name),
                Err(words) => report.failed.push((check.name, words)),
            },
        }
    }
}

#[test]
fn each_pitfall_of_the_reference_names_its_check() {
    let numbers = (1..=23).map(|n| format!("E{n}"));
    for number in numbers.chain(["K28".to_owned(), "K34".to_owned()]) {
        let check = CHECKS.iter().find(|check| {
            let runs = matches!(check.lab, On::Runs(_)) || matches!(check.moto, On::Runs(_));
            runs && check.facts.contains(&number.as_str())
        });
        assert!(check.is_some(), "no check is there for {number}");
    }
}
