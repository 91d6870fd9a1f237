//! The checks, checked: a cloud that keeps to the contract passes, and each defect fails the check that is for it.

mod memory;

use std::{sync::Arc, time::Duration};

use expect_test::{Expect, expect};

use super::*;
use memory::{Defect, Memory};

async fn report(memory: Memory) -> Report {
    let memory = Arc::new(memory);
    run(Arc::clone(&memory) as _, &*memory).await
}

/// The defect fails exactly these checks.
async fn check(defect: Defect, expected: Expect) {
    let report = report(Memory::new(Some(defect), None)).await;
    let failed: Vec<String> = report
        .failed
        .iter()
        .map(|(name, words)| format!("{name}: {words}\n"))
        .collect();
    expected.assert_eq(&failed.concat());
}

#[tokio::test(start_paused = true)]
async fn a_cloud_that_keeps_to_the_contract_passes() {
    let report = report(Memory::new(None, None)).await;
    assert_eq!(report.failed, []);
    expect![[r#"
        passed       a_created_instance_is_listed
        passed       an_instance_can_be_reached_in_the_end
        passed       a_destroyed_instance_disappears
        passed       destroying_again_succeeds
        passed       destroying_what_never_was_succeeds
        passed       the_tags_of_the_order_are_listed
        passed       setting_tags_leaves_the_others_alone
        passed       a_list_holds_only_what_carries_the_tags
        passed       tagging_what_is_gone_does_not_bring_it_back
        passed       creates_at_the_same_time_make_different_instances
        passed       a_repeated_create_makes_no_second_instance
        passed       a_full_quota_is_told_as_such
        passed       a_lack_of_one_type_is_told_as_such
        passed       a_lack_of_a_group_is_told_as_such
        passed       a_rate_limit_is_told_as_such
        passed       a_refusal_is_told_as_such
        passed       a_passing_fault_is_told_as_such
        passed       a_lost_answer_leaves_the_outcome_unknown
        cannot show  beyond_the_limit_a_create_meets_the_quota: the limit is out of reach
    "#]]
    .assert_eq(&report.to_string());
}

#[tokio::test(start_paused = true)]
async fn what_a_cloud_cannot_show_is_not_passed() {
    let report = report(Memory::new(None, Some(1))).await;
    assert_eq!(report.failed, []);
    let names: Vec<&str> = report.cannot_show.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, ["creates_at_the_same_time_make_different_instances"]);
    assert!(
        report
            .passed
            .contains(&"beyond_the_limit_a_create_meets_the_quota")
    );
    assert!(!report.passed.iter().any(|name| names.contains(name)));
}

#[tokio::test(start_paused = true)]
async fn each_defect_of_a_life_fails_its_check() {
    check(
        Defect::ListsNothing,
        expect![[r#"
            a_created_instance_is_listed: in vain: m-0 is listed at all; the last list has []
            an_instance_can_be_reached_in_the_end: in vain: m-1 is listed with an address; the last list has []
            a_destroyed_instance_disappears: in vain: m-2 is listed at all; the last list has []
            the_tags_of_the_order_are_listed: in vain: m-4 is listed with the tags of its order, the secret among them; the last list has []
            setting_tags_leaves_the_others_alone: in vain: m-5 is listed at all; the last list has []
            a_list_holds_only_what_carries_the_tags: in vain: m-6 is listed at all; the last list has []
            creates_at_the_same_time_make_different_instances: in vain: all of them are listed; the last list has []
            a_lost_answer_leaves_the_outcome_unknown: in vain: the instance of the lost answer is listed with its secret; the last list has []
        "#]],
    )
    .await;
    check(Defect::NeverHasAnAddress, expect![[r#"
        an_instance_can_be_reached_in_the_end: in vain: m-1 is listed with an address; the last list has [m-1]
    "#]]).await;
    check(
        Defect::DestroyDoesNothing,
        expect![[r#"
            a_created_instance_is_listed: left behind: m-0
            an_instance_can_be_reached_in_the_end: left behind: m-1
            a_destroyed_instance_disappears: in vain: m-2 is gone; the last list has [m-2]; left behind: m-2
            destroying_again_succeeds: in vain: m-3 is gone; the last list has [m-3]; left behind: m-3
            the_tags_of_the_order_are_listed: left behind: m-4
            setting_tags_leaves_the_others_alone: left behind: m-5
            a_list_holds_only_what_carries_the_tags: left behind: m-6
            tagging_what_is_gone_does_not_bring_it_back: in vain: m-7 is gone; the last list has [m-7]; left behind: m-7
            creates_at_the_same_time_make_different_instances: left behind: m-10, m-11, m-8, m-9
            a_repeated_create_makes_no_second_instance: left behind: m-12
            a_full_quota_is_told_as_such: left behind: m-13
            a_lack_of_one_type_is_told_as_such: left behind: m-14
            a_lack_of_a_group_is_told_as_such: left behind: m-15
            a_rate_limit_is_told_as_such: left behind: m-16
            a_refusal_is_told_as_such: left behind: m-17
            a_passing_fault_is_told_as_such: left behind: m-18
            a_lost_answer_leaves_the_outcome_unknown: left behind: m-19, m-20
        "#]],
    )
    .await;
    check(
        Defect::SecondDestroyFails,
        expect![[r#"
            a_destroyed_instance_disappears: perhaps left behind: m-2 (destroy m-2: no such instance)
            destroying_again_succeeds: destroy m-3: no such instance; perhaps left behind: m-3 (destroy m-3: no such instance)
            destroying_what_never_was_succeeds: destroy m-none: no such instance
            tagging_what_is_gone_does_not_bring_it_back: perhaps left behind: m-7 (destroy m-7: no such instance)
        "#]],
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn each_defect_of_tags_fails_its_check() {
    check(Defect::DropsTheSecretTag, expect![[r#"
        the_tags_of_the_order_are_listed: in vain: m-4 is listed with the tags of its order, the secret among them; the last list has [m-4]
        a_lost_answer_leaves_the_outcome_unknown: in vain: the instance of the lost answer is listed with its secret; the last list has [m-19]
    "#]]).await;
    check(Defect::ReplacesTags, expect![[r#"
        setting_tags_leaves_the_others_alone: these tags are lost or changed: ["ArvadosInstanceSecret", "conformance"]
    "#]]).await;
    check(Defect::IgnoresTheFilter, expect![[r#"
        a_list_holds_only_what_carries_the_tags: a list of the instances with another value of a tag has m-6
    "#]]).await;
    check(
        Defect::TaggingCreates,
        expect![[r#"
        tagging_what_is_gone_does_not_bring_it_back: m-7 is back
    "#]],
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn each_defect_of_creates_and_errors_fails_its_check() {
    check(Defect::ForgetsConcurrentCreates, expect![[r#"
        creates_at_the_same_time_make_different_instances: in vain: all of them are listed; the last list has [m-8]
    "#]]).await;
    check(
        Defect::MakesTwoOfOneOrder,
        expect![[r#"
        a_repeated_create_makes_no_second_instance: one order made {m-12, m-13}
    "#]],
    )
    .await;
    check(
        Defect::CallsEverythingTransient,
        expect![[r#"
        a_full_quota_is_told_as_such: Quota has the class Transient: refused
        a_lack_of_one_type_is_told_as_such: CapacityOfType has the class Transient: refused
        a_lack_of_a_group_is_told_as_such: CapacityOfGroup has the class Transient: refused
        a_rate_limit_is_told_as_such: RateLimit has the class Transient: refused
        a_refusal_is_told_as_such: Refusal has the class Transient: refused
        a_lost_answer_leaves_the_outcome_unknown: LostAnswer has the class Transient: refused
    "#]],
    )
    .await;
    check(
        Defect::TellsTheSecret,
        expect![[r#"
        a_full_quota_is_told_as_such: the secret is in the words of the refusal
        a_lack_of_one_type_is_told_as_such: the secret is in the words of the refusal
        a_lack_of_a_group_is_told_as_such: the secret is in the words of the refusal
        a_rate_limit_is_told_as_such: the secret is in the words of the refusal
        a_refusal_is_told_as_such: the secret is in the words of the refusal
        a_passing_fault_is_told_as_such: the secret is in the words of the refusal
        a_lost_answer_leaves_the_outcome_unknown: the secret is in the words of the refusal
    "#]],
    )
    .await;
    check(
        Defect::MakesAnInstanceAndRefuses,
        expect![[r#"
        a_full_quota_is_told_as_such: a refused create made an instance
        a_lack_of_one_type_is_told_as_such: a refused create made an instance
        a_lack_of_a_group_is_told_as_such: a refused create made an instance
        a_rate_limit_is_told_as_such: a refused create made an instance
        a_refusal_is_told_as_such: a refused create made an instance
        a_passing_fault_is_told_as_such: a refused create made an instance
    "#]],
    )
    .await;
    check(
        Defect::HangsOnList,
        expect![[r#"
            a_created_instance_is_listed: list: no answer within 4 s; perhaps left behind: m-0 (list: no answer within 1.8 s)
            an_instance_can_be_reached_in_the_end: list: no answer within 4 s; perhaps left behind: m-1 (list: no answer within 1.8 s)
            a_destroyed_instance_disappears: list: no answer within 4 s; perhaps left behind: m-2 (list: no answer within 1.8 s)
            destroying_again_succeeds: list: no answer within 4 s; perhaps left behind: m-3 (list: no answer within 1.8 s)
            destroying_what_never_was_succeeds: nobody knows whether anything is left behind (list: no answer within 1.8 s)
            the_tags_of_the_order_are_listed: list: no answer within 4 s; perhaps left behind: m-4 (list: no answer within 1.8 s)
            setting_tags_leaves_the_others_alone: list: no answer within 4 s; perhaps left behind: m-5 (list: no answer within 1.8 s)
            a_list_holds_only_what_carries_the_tags: list: no answer within 4 s; perhaps left behind: m-6 (list: no answer within 1.8 s)
            tagging_what_is_gone_does_not_bring_it_back: list: no answer within 4 s; perhaps left behind: m-7 (list: no answer within 1.8 s)
            creates_at_the_same_time_make_different_instances: list: no answer within 4 s; perhaps left behind: m-10, m-11, m-8, m-9 (list: no answer within 1.8 s)
            a_repeated_create_makes_no_second_instance: perhaps left behind: m-12 (list: no answer within 1.8 s)
            beyond_the_limit_a_create_meets_the_quota: nobody knows whether anything is left behind (list: no answer within 1.8 s)
            a_full_quota_is_told_as_such: list: no answer within 4 s; nobody knows whether anything is left behind (list: no answer within 1.8 s)
            a_lack_of_one_type_is_told_as_such: list: no answer within 4 s; nobody knows whether anything is left behind (list: no answer within 1.8 s)
            a_lack_of_a_group_is_told_as_such: list: no answer within 4 s; nobody knows whether anything is left behind (list: no answer within 1.8 s)
            a_rate_limit_is_told_as_such: list: no answer within 4 s; nobody knows whether anything is left behind (list: no answer within 1.8 s)
            a_refusal_is_told_as_such: list: no answer within 4 s; nobody knows whether anything is left behind (list: no answer within 1.8 s)
            a_passing_fault_is_told_as_such: list: no answer within 4 s; nobody knows whether anything is left behind (list: no answer within 1.8 s)
            a_lost_answer_leaves_the_outcome_unknown: list: no answer within 4 s; nobody knows whether anything is left behind (list: no answer within 1.8 s)
        "#]],
    )
    .await;
}

/// A list or an end that fails must not make the clean-up forget what it knows.
#[tokio::test(start_paused = true)]
async fn a_clean_up_whose_calls_fail_goes_on_and_leaves_nothing() {
    let memory = Arc::new(Memory::new(Some(Defect::FailsEveryThirdCall), None));
    let report = run(Arc::clone(&memory) as _, &*memory).await;
    assert!(!report.to_string().contains("left"), "{report}");
    assert_eq!(memory.alive(), []);
}

#[tokio::test(start_paused = true)]
async fn an_instance_that_cannot_be_destroyed_is_named_and_does_not_keep_the_others() {
    let memory = Arc::new(Memory::new(Some(Defect::KeepsTheFirstOfSeveral), None));
    let report = run(Arc::clone(&memory) as _, &*memory).await;
    assert_eq!(memory.alive(), ["m-8".into()]);
    let named = "creates_at_the_same_time_make_different_instances: perhaps left behind: m-8 (destroy m-8: no answer";
    assert!(report.to_string().contains(named), "{report}");
}

#[tokio::test(start_paused = true)]
async fn what_ends_the_run_cuts_the_check_short_and_still_cleans_up() {
    for defect in [None, Some(Defect::HangsOnCreate)] {
        let memory = Arc::new(Memory::new(defect, None));
        let began = tokio::time::Instant::now();
        let limit = Duration::from_millis(150);
        let end = async {
            tokio::time::sleep(limit).await;
            "enough".to_owned()
        };
        let report = run_until(Arc::clone(&memory) as _, &*memory, end).await;
        assert_eq!(memory.alive(), [], "{report}");
        assert!(began.elapsed() <= limit + memory.clean_up());
        let (first, words) = report.failed.first().expect("a failure");
        assert!(words.contains("enough"), "{first}: {words}");
        assert_eq!(report.failed.len(), 1, "{report}");
        let n_begun = report.passed.len() + 1;
        assert!(n_begun < Check::ALL.len(), "{report}");
        assert_eq!(report.cannot_show.len(), Check::ALL.len() - n_begun);
    }
}
