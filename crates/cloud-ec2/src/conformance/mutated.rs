//! The mutants: the sound driver passes the check that is there for each (the suites run it), and the mutant fails it.

use super::{
    checks::{CHECKS, On, outcome},
    stage::MUTANT,
};
use crate::mutants::Mutant;

/// Each mutant, and the check that is there for it.
const MUTANTS: [(Mutant, &str); 10] = [
    (Mutant::NoToken, "a_lost_answer_makes_no_second_instance"),
    (
        Mutant::NextSubnetAfterTimeout,
        "after_an_unknown_outcome_no_other_subnet_is_tried",
    ),
    (
        Mutant::OneTokenForAllSubnets,
        "each_subnet_has_a_token_of_its_own",
    ),
    (Mutant::CapacityIsQuota, "a_lack_of_a_type_is_not_a_quota"),
    (
        Mutant::FreshNotFoundIsGone,
        "a_fresh_instance_that_is_not_known_yet_is_not_gone",
    ),
    (Mutant::EmptyTokenFollowed, "an_empty_token_ends_a_list"),
    (Mutant::GoingIsListed, "what_is_going_is_not_listed"),
    (
        Mutant::OnePaceForAll,
        "a_throttled_create_delays_creates_and_no_destroy",
    ),
    (
        Mutant::ReservedTagsAreSet,
        "only_the_changed_tags_are_set_and_reserved_ones_never",
    ),
    (Mutant::ScratchIsFree, "prices_are_asked_for_as_specified"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_mutant_fails_its_check() {
    for (mutant, name) in MUTANTS {
        let check = CHECKS.iter().find(|check| check.name == name);
        let Some(On::Runs(run)) = check.map(|check| check.lab) else {
            panic!("no such check on the lab: {name}");
        };
        let passes = outcome(MUTANT.scope(mutant, run())).await.is_ok();
        assert!(!passes, "{mutant:?} passes {name}");
    }
}
