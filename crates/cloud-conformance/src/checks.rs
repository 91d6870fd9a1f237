//! The checks by name.

mod creates;
mod errors;
mod life;
mod tags;

use crate::{
    Fault,
    bench::Bench,
    report::{Outcome, Shortfall, ensure, fail},
};

macro_rules! checks {
    ($($module:ident::$name:ident,)*) => {
        /// One check.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        #[expect(non_camel_case_types, reason = "the names are sentences, as those of tests are")]
        pub(crate) enum Check {
            $($name,)*
        }

        impl Check {
            /// All checks, in the order in which they run.
            pub(crate) const ALL: &[Check] = &[$(Check::$name,)*];

            /// The name of the check.
            pub(crate) const fn name(self) -> &'static str {
                match self {
                    $(Check::$name => stringify!($name),)*
                }
            }

            pub(crate) async fn run(self, bench: &Bench<'_>) -> Outcome {
                match self {
                    $(Check::$name => $module::$name(bench).await,)*
                }
            }
        }
    };
}

checks! {
    life::a_created_instance_is_listed,
    life::an_instance_can_be_reached_in_the_end,
    life::a_destroyed_instance_disappears,
    life::destroying_again_succeeds,
    life::destroying_what_never_was_succeeds,
    tags::the_tags_of_the_order_are_listed,
    tags::setting_tags_leaves_the_others_alone,
    tags::a_list_holds_only_what_carries_the_tags,
    tags::tagging_what_is_gone_does_not_bring_it_back,
    creates::creates_at_the_same_time_make_different_instances,
    creates::a_repeated_create_makes_no_second_instance,
    creates::beyond_the_limit_a_create_meets_the_quota,
    errors::a_full_quota_is_told_as_such,
    errors::a_lack_of_one_type_is_told_as_such,
    errors::a_lack_of_a_group_is_told_as_such,
    errors::a_rate_limit_is_told_as_such,
    errors::a_refusal_is_told_as_such,
    errors::a_passing_fault_is_told_as_such,
    errors::a_lost_answer_leaves_the_outcome_unknown,
}
