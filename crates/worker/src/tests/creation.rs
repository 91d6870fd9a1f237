//! Orders: their turn, their limits, and what lets them wait.

use expect_test::expect;

use dispatch_model::Time;

use super::{
    check, check_with,
    script::{Script, settings, types, wall},
    show,
};
use crate::{Event, Pool};

#[test]
fn orders_wait_for_their_turn_and_can_be_called_off() {
    check(
        "
        0    listed
        0    create small
        0    create big
        0    create small
        0    create small
        0.1  show
        0.2  shutdown w3
        0.3  created w1 i-1 10.0.0.1
        0.4  shutdown w2
        0.5  created w2 i-2 10.0.0.2
        ",
        expect![[r#"
            0.000s listed
                surveyed 0
            0.000s create small
              > create w1 small
            0.000s create big
              > create w2 big
            0.000s create small
            0.000s create small
            0.100s show
                w1 - small booting run will-take-work known
                w2 - big booting run will-take-work known
                w3 - small booting run will-take-work known
                w4 - small booting run will-take-work known
                limit Some(8)
            0.200s shutdown w3
                w3 creation dropped: test
            0.300s created w1 i-1 10.0.0.1
                w1 created as i-1 in 300ms
              > attach w1 10.0.0.1
              > probe w1 boot deploy list:IfBooted
              > create w4 small
            0.400s shutdown w2
                w2 booting -> shutdown: test
            0.500s created w2 i-2 10.0.0.2
                w2 created as i-2 in 500ms
                w2 boot Aborted
              > attach w2 10.0.0.2
              > destroy w2 i-2
        "#]],
    );
}

#[test]
fn no_more_instances_than_allowed_and_tickets_count() {
    check_with(
        Script::with(|settings| {
            settings.max_instances = Some(2);
            settings.max_concurrent_creates = None;
        }),
        "
        0    listed
        0    create small
        0    create small
        0    create small
        1    create-fails w1 transient
        1    create small
        2    create small
        ",
        expect![[r#"
            0.000s listed
                surveyed 0
            0.000s create small
              > create w1 small
            0.000s create small
                hold any: max-instances
              > create w2 small
            0.000s create small
                create small refused: max-instances: there are 2 instances; MaxInstances is 2
            1.000s create-fails w1 transient
                w1 creation failed: transient (Transient, 1s)
                hold any: max-instances ended
                hold small: create-failing until 2.000s
            1.000s create small
                create small refused: create-failing: transient
            2.000s tick
                hold small: create-failing ended
            2.000s create small
                hold any: max-instances
              > create w3 small
        "#]],
    );
}

#[test]
fn nothing_is_created_before_the_survey_nor_of_an_unknown_type() {
    check(
        "
        0    create small
        1    listed
        1    create huge
        ",
        expect![[r#"
            0.000s create small
                create small refused: there is no list of instances yet
            1.000s listed
                surveyed 0
            1.000s create huge
                create huge refused: it is not configured
        "#]],
    );
}

#[test]
fn a_passing_fault_lets_orders_wait_a_moment() {
    check(
        "
        0    listed
        0    create small
        0    create small
        0    create small
        0.2  create-fails w1 transient
        1.3  created w2 i-2 10.0.0.2
        ",
        expect![[r#"
            0.000s listed
                surveyed 0
            0.000s create small
              > create w1 small
            0.000s create small
              > create w2 small
            0.000s create small
            0.200s create-fails w1 transient
                w1 creation failed: transient (Transient, 200ms)
                hold small: create-failing until 1.200s
            1.200s tick
                hold small: create-failing ended
              > create w3 small
            1.300s created w2 i-2 10.0.0.2
                w2 created as i-2 in 1.3s
              > attach w2 10.0.0.2
              > probe w2 boot deploy list:IfBooted
        "#]],
    );
}

#[test]
fn a_cloud_that_asks_for_patience_gets_it_and_the_order_stays() {
    check(
        "
        0    listed
        0    create small
        0    create small
        1    create-fails w1 rate=9
        1    show
        2    create big
        9    tick
        ",
        expect![[r#"
            0.000s listed
                surveyed 0
            0.000s create small
              > create w1 small
            0.000s create small
              > create w2 small
            1.000s create-fails w1 rate=9
                w1 creation failed: rate=9 (RateLimited(9.000s), 1s)
                hold any: rate-limit until 9.000s
            1.000s show
                w1 - small booting run will-take-work known
                w2 - small booting run will-take-work known
                hold any: rate-limit until Some(9.000s)
                limit Some(8)
            2.000s create big
                create big refused: rate-limit: rate=9
            9.000s tick
                hold any: rate-limit ended
              > create w1 small
        "#]],
    );
}

#[test]
fn without_a_readable_runner_nothing_is_created() {
    check(
        "
        0    listed
        0    create small
        0    create small
        0    create small
        0    runner unreadable
        1    create small
        2    runner ok
        2    create small
        ",
        expect![[r#"
            0.000s listed
                surveyed 0
            0.000s create small
              > create w1 small
            0.000s create small
              > create w2 small
            0.000s create small
            0.000s runner unreadable
                w3 creation dropped: no such file
                hold any: runner-unreadable
            1.000s create small
                create small refused: runner-unreadable: no such file
            2.000s runner ok
                hold any: runner-unreadable ended
            2.000s create small
        "#]],
    );
}

#[test]
fn a_daemon_that_stops_begins_nothing() {
    check(
        "
        0    listed i-1:small:10.0.0.1:behavior=drain i-2:small:10.0.0.2
        0    probed w2 ok
        0    create small
        0    create small
        0    create small
        0    stop
        1    created w3 i-3 10.0.0.3
        1    create small
        1    start w2 c1
        1    probed w1 ok
        1    shutdown w2
        2    kill-instance w2
        9    show
        ",
        expect![[r#"
            0.000s listed i-1:small:10.0.0.1:behavior=drain i-2:small:10.0.0.2
                w1 adopted, drain
                w2 adopted, run
                surveyed 2
              > attach w1 10.0.0.1 without secret
              > probe w1 boot deploy list:Always
              > attach w2 10.0.0.2 without secret
              > probe w2 boot deploy list:Always
            0.000s probed w2 ok
                w2 boot Success
                w2 unknown -> idle: passed its probes
            0.000s create small
              > create w3 small
            0.000s create small
              > create w4 small
            0.000s create small
            0.000s stop
                hold any: stopping
            1.000s created w3 i-3 10.0.0.3
                w3 created as i-3 in 1s
              > attach w3 10.0.0.3
              > probe w3 boot deploy list:IfBooted
            1.000s create small
                create small refused: stopping: the daemon is stopping
            1.000s start w2 c1
                w2 c1 start refused: the daemon is stopping
            1.000s probed w1 ok
                w1 boot Success
                w1 unknown -> idle: passed its probes
            1.000s shutdown w2
            2.000s kill-instance w2
            9.000s show
                w1 i-1 small idle drain known
                w2 i-2 small idle run takes-work known
                w3 i-3 small booting run will-take-work known
                w4 - small booting run will-take-work known
                w5 - small booting run will-take-work known
                hold any: stopping until None
                limit Some(8)
        "#]],
    );
}

#[test]
fn the_spending_limit_counts_orders_and_shutdowns_and_says_what_is_spent() {
    check_with(
        Script::with(|settings| {
            settings.max_price_per_hour = Some(0.2);
            settings.max_concurrent_creates = None;
        }),
        "
        0    listed
        0    create small
        0    create small
        0    create small
        1    create-fails w1 transient
        2    create small
        ",
        expect![[r#"
            0.000s listed
                surveyed 0
            0.000s create small
              > create w1 small
            0.000s create small
                hold any: spending-limit
              > create w2 small
            0.000s create small
                create small refused: spending-limit: all instances cost $0.200 an hour; MaxPricePerHour is 0.2
            1.000s create-fails w1 transient
                w1 creation failed: transient (Transient, 1s)
                hold any: spending-limit ended
                hold small: create-failing until 2.000s
            2.000s tick
                hold small: create-failing ended
            2.000s create small
                hold any: spending-limit
              > create w3 small
        "#]],
    );
}

#[test]
fn what_is_found_counts_for_the_spending_limit_though_its_type_or_image_is_configured_no_more() {
    check_with(
        Script::with(|settings| settings.max_price_per_hour = Some(0.45)),
        "
        0    listed i-1:small:-:image=gone i-2:renamed:-:provider-type=m.small i-3:-:-:provider-type=m.big
        0    create small
        0    create small
        ",
        expect![[r#"
            0.000s listed i-1:small:-:image=gone i-2:renamed:-:provider-type=m.small i-3:-:-:provider-type=m.big
                w1 adopted, drain: its type small with the image gone is no longer configured (InstanceTypes, AllowedImages); counts $0.100 an hour
                w2 adopted, drain: its type renamed is no longer configured; counts $0.100 an hour
                w3 adopted, drain: it has no tag that names its type; counts $0.100 an hour
                surveyed 3
            0.000s create small
                hold any: spending-limit
              > create w4 small
            0.000s create small
                create small refused: spending-limit: all instances cost $0.400 an hour; MaxPricePerHour is 0.45
        "#]],
    );
}

#[test]
fn a_type_that_costs_more_than_the_spending_limit_by_itself_is_held_and_told_of_at_once() {
    let with_limit = |limit| {
        let mut settings = settings();
        settings.max_price_per_hour = Some(limit);
        let mut pool = Pool::new(settings, types());
        let effects = pool.handle(Event::Tick, wall(Time::ZERO));
        let facts = effects.facts.iter().filter_map(show::fact);
        facts
            .filter(|fact| fact.starts_with("hold "))
            .collect::<Vec<String>>()
    };
    assert_eq!(with_limit(0.1), Vec::<String>::new());
    let told = with_limit(0.09);
    assert!(
        told.contains(&"hold small: too-dear".to_owned()),
        "{told:?}"
    );
    check_with(
        Script::with(|settings| settings.max_price_per_hour = Some(0.09)),
        "
        0    listed
        0    create small
        ",
        expect![[r#"
            0.000s listed
                surveyed 0
            0.000s create small
                create small refused: too-dear: one costs $0.100 an hour; MaxPricePerHour is 0.09
        "#]],
    );
}
