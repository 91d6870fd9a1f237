//! The mutants: the sound driver passes the check that is there for each (the suites run it), and the mutant fails it.

use super::{
    checks::{CHECKS, On, outcome},
    stage::MUTANT,
};
use crate::mutants::Mutant;

/// Each mutant, the check that is there for it, and what that says: it must not fail for another reason.
const MUTANTS: [(Mutant, &str, &str); 14] = [
    (
        Mutant::NoToken,
        "a_lost_answer_makes_no_second_instance",
        "one order\n  left: 2\n right: 1",
    ),
    (
        Mutant::NextSubnetAfterTimeout,
        "after_an_unknown_outcome_no_other_subnet_is_tried",
        r#"["subnet-a1", "subnet-b1""#,
    ),
    (
        Mutant::AnyRefusalSettles,
        "an_answer_that_says_nothing_of_a_lost_create_leaves_it_unknown",
        "is alive, and the create says",
    ),
    (
        Mutant::LackSettlesAtOnce,
        "a_lack_or_a_limit_says_nothing_of_a_create_that_may_still_be_at_work",
        "is alive, and the create says",
    ),
    (
        Mutant::FaultIsRefusal,
        "a_create_that_ec2_says_has_failed_is_asked_about_again",
        "is alive, and the create says",
    ),
    (
        Mutant::OneTokenForAllSubnets,
        "each_subnet_has_a_token_of_its_own",
        "IdempotentParameterMismatch",
    ),
    (
        Mutant::CapacityIsQuota,
        "a_lack_of_a_type_is_not_a_quota",
        "left: Quota\n right: Capacity(Type)",
    ),
    (
        Mutant::FreshNotFoundIsGone,
        "a_fresh_instance_that_is_not_known_yet_is_not_gone",
        "is alive, and destroying it says Ok(())",
    ),
    (
        Mutant::EmptyTokenFollowed,
        "an_empty_token_ends_a_list",
        "the list has more than 1000 pages",
    ),
    (
        Mutant::GoingIsListed,
        "what_is_going_is_not_listed",
        "left: [Instance { id: i-",
    ),
    (
        Mutant::OmittedIsGone,
        "an_old_instance_that_a_list_omits_is_listed_on",
        "is alive, and the list shows []",
    ),
    (
        Mutant::OnePaceForAll,
        "a_throttled_create_delays_creates_and_no_destroy",
        "destroying did not wait",
    ),
    (
        Mutant::ReservedTagsAreSet,
        "only_the_changed_tags_are_set_and_reserved_ones_never",
        "are reserved for internal use",
    ),
    (
        Mutant::ScratchIsFree,
        "prices_are_asked_for_as_specified",
        "added scratch has its price",
    ),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_mutant_fails_its_check_for_the_reason_it_is_there_for() {
    let mut wrong = Vec::new();
    for (mutant, name, reason) in MUTANTS {
        let check = CHECKS.iter().find(|check| check.name == name);
        let Some(On::Runs(run)) = check.map(|check| check.lab) else {
            panic!("no such check on the lab: {name}");
        };
        match outcome(MUTANT.scope(mutant, run())).await {
            Ok(()) => wrong.push(format!("{mutant:?} passes {name}")),
            Err(words) if words.contains(reason) => {}
            Err(words) => {
                wrong.push(format!(
                    "{mutant:?} fails {name}, not with {reason:?}: {words}"
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}
