//! Scripts of creates, their refusals, and which subnets come next.

use expect_test::{Expect, expect};

use super::*;

fn wish(provider_type: &str) -> Wish {
    Wish {
        provider_type: provider_type.to_owned(),
        preemptible: false,
    }
}

/// Three subnets, of which a1 and a2 share a zone.
fn places(zones_known: bool) -> Places {
    let mut places = Places::new(["a1", "a2", "b1"].map(str::to_owned).into());
    if zones_known {
        let zones = [("a1", "a"), ("a2", "a"), ("b1", "b")];
        places.set_zones(
            zones
                .map(|(subnet, zone)| (subnet.to_owned(), zone.to_owned()))
                .into(),
        );
    }
    places
}

/// Each word of the script: `TYPE?` shows the route; `TYPE+SUBNET` worked there; `TYPE-SUBNET:REACH` was refused there
/// for a lack, `TYPE~SUBNET` was refused there otherwise; `all` have refused; `died:TYPE:ZONE` or
/// `died:TYPE:SUBNET`; `back:TYPE:ZONE` was taken back; `runs:TYPE` was launched after these, `old:TYPE` before; a number lets so many
/// seconds pass.
#[track_caller]
fn check(mut places: Places, script: &str, expected: Expect) {
    let mut now = Time::ZERO;
    let mut seen = Vec::new();
    for word in script.split_whitespace() {
        if let Ok(secs) = word.parse() {
            now += Duration::from_secs(secs);
        } else if word == "all" {
            places.all_refused();
        } else if let Some(name) = word.strip_suffix('?') {
            seen.push(match places.route(&wish(name), now) {
                Ok(route) => route
                    .subnets
                    .into_iter()
                    .map(|s| s.unwrap_or("-".into()))
                    .collect::<Vec<_>>()
                    .join(" "),
                Err(known) => format!("none: {}", known.message),
            });
        } else if let Some((name, subnet)) = word.split_once('+') {
            places.worked(&wish(name), Some(subnet));
        } else if let Some((name, subnet)) = word.split_once('~') {
            places.refused(
                &wish(name),
                Some(subnet),
                Reach::Subnet,
                false,
                "refused",
                now,
            );
        } else if let Some(rest) = word.strip_prefix("died:") {
            let (name, zone) = rest.split_once(':').expect("a zone");
            let reach = (zone != "-").then_some(Reach::TypeInZone);
            let death = Death {
                subnet: zone.ends_with('1').then_some(zone),
                zone,
                reach,
                launched: Some(10),
                class: CloudErrorClass::Refused,
                why: "died",
            };
            places.died(&wish(name), &death, now);
        } else if let Some(rest) = word.strip_prefix("back:") {
            let (name, zone) = rest.split_once(':').expect("a zone");
            let death = Death {
                subnet: None,
                zone,
                reach: Some(Reach::TypeInZone),
                launched: None,
                class: CloudErrorClass::Refused,
                why: "taken back",
            };
            places.died(&wish(name), &death, now);
        } else if let Some(name) = word.strip_prefix("runs:") {
            places.runs(&wish(name), 11);
        } else if let Some(name) = word.strip_prefix("old:") {
            places.runs(&wish(name), 9);
        } else {
            let (name, rest) = word.split_once('-').expect("a refusal");
            let (subnet, reach) = rest.split_once(':').expect("a reach");
            let reach = match reach {
                "subnet" => Reach::Subnet,
                "zone" => Reach::Zone,
                "type" => Reach::TypeInZone,
                other => panic!("{other}"),
            };
            places.refused(&wish(name), Some(subnet), reach, true, "sold out", now);
        }
    }
    expected.assert_eq(&seen.join("\n"));
}

#[test]
fn the_last_subnet_that_worked_comes_first() {
    check(
        places(true),
        "m? m+a2 m? x?",
        expect![[r#"
        a1 a2 b1
        a2 b1 a1
        a2 b1 a1"#]],
    );
}

#[test]
fn where_a_type_is_sold_out_is_remembered_by_zone_and_for_that_type_alone() {
    check(
        places(true),
        "m-a1:type m? x? 61 m?",
        expect![[r#"
        b1
        a2 b1 a1
        a2 b1 a1"#]],
    );
}

#[test]
fn without_known_zones_it_is_remembered_by_subnet() {
    check(places(false), "m-a1:type m?", expect!["a2 b1"]);
}

#[test]
fn a_full_subnet_is_full_for_all_types_and_a_zone_without_volumes_for_all_subnets_in_it() {
    check(
        places(true),
        "m-a1:subnet m? x? m-a2:zone x?",
        expect![[r#"
        a2 b1
        a2 b1
        b1"#]],
    );
}

#[test]
fn with_nothing_left_no_call_is_made_and_the_reason_is_told() {
    check(
        places(true),
        "m-a1:type m-b1:type m? x?",
        expect![[r#"
        none: sold out
        a1 a2 b1"#]],
    );
}

/// Another subnet may have another error, which says nothing of the lack (facts E12).
#[test]
fn a_route_around_a_lack_tells_it() {
    let mut places = places(true);
    let (lack, now) = (Reach::TypeInZone, Time::ZERO);
    places.refused(&wish("m"), Some("b1"), lack, true, "sold out", now);
    for (name, now, expected) in [
        ("m", Time::ZERO, Some("sold out")),
        ("x", Time::ZERO, None),
        ("m", Time::from_secs(61), None),
    ] {
        let route = places.route(&wish(name), now).expect("a route");
        let lack = route.lack.map(|known| known.message);
        assert_eq!(lack.as_deref(), expected, "{name} at {now:?}");
    }
}

#[test]
fn a_refusal_is_news_once_until_something_works_there() {
    let mut places = places(true);
    let mut is_news = |name, subnet, reach, code| places.is_news(&wish(name), subnet, reach, code);
    assert!(is_news("m", "a1", Reach::Subnet, "Wrong"));
    assert!(!is_news("m", "a1", Reach::Subnet, "Wrong"));
    assert!(!is_news("x", "a1", Reach::Subnet, "Wrong"), "of any type");
    assert!(is_news("m", "a1", Reach::Subnet, "Full"));
    assert!(is_news("m", "a2", Reach::Subnet, "Wrong"));
    assert!(is_news("m", "a1", Reach::TypeInZone, "None"));
    assert!(
        !is_news("m", "a2", Reach::TypeInZone, "None"),
        "of the zone"
    );
    assert!(is_news("x", "a2", Reach::TypeInZone, "None"));
    places.worked(&wish("x"), Some("a1"));
    let mut is_news = |name, subnet, reach, code| places.is_news(&wish(name), subnet, reach, code);
    assert!(is_news("m", "a1", Reach::Subnet, "Wrong"));
    assert!(!is_news("m", "a2", Reach::Subnet, "Wrong"));
    assert!(!is_news("m", "a1", Reach::TypeInZone, "None"), "x only");
    assert!(is_news("x", "a1", Reach::TypeInZone, "None"));
}

#[test]
fn a_refusal_that_is_no_lack_only_moves_on() {
    check(places(true), "m~a1 m?", expect!["a2 b1 a1"]);
}

#[test]
fn after_all_have_refused_the_next_create_begins_elsewhere() {
    check(places(true), "m~a1 m~a2 m~b1 all m?", expect!["a2 b1 a1"]);
}

#[test]
fn the_memory_of_one_lack_after_the_other_grows_longer() {
    check(
        places(true),
        "m-b1:type 61 m? m-b1:type 61 m? 60 m? m-b1:type 239 m? 2 m?",
        expect![[r#"
        a1 a2 b1
        a1 a2
        a1 a2 b1
        a1 a2
        a1 a2 b1"#]],
    );
}

#[test]
fn a_success_ends_the_memory() {
    check(places(true), "m-b1:type m+b1 m?", expect!["b1 a1 a2"]);
}

#[test]
fn a_death_while_launching_counts_like_a_refusal_there() {
    check(places(true), "died:m:a m?", expect!["b1"]);
}

#[test]
fn where_one_was_taken_back_is_tried_last_for_a_while_and_not_left_out() {
    check(
        places(true),
        "back:m:a m? x? m-b1:type m? 61 m? back:m:a m+a1 m?",
        expect![[r#"
        b1 a1 a2
        a1 a2 b1
        a1 a2
        a1 a2 b1
        a1 a2 b1"#]],
    );
    check(
        Places::new(vec!["a1".into()]),
        "back:m:a1 m?",
        expect!["a1"],
    );
}

#[test]
fn a_type_of_which_several_die_is_held_until_one_runs() {
    check(
        places(true),
        "died:m:- died:m:- m? died:m:- m? x? runs:m m?",
        expect![[r#"
        a1 a2 b1
        none: died
        a1 a2 b1
        a1 a2 b1"#]],
    );
    check(
        Places::new(vec![]),
        "died:m:- died:m:- died:m:- m? 61 m?",
        expect![[r#"
        none: died
        -"#]],
    );
}

#[test]
fn one_that_ran_before_the_others_died_ends_no_hold() {
    check(
        places(true),
        "died:m:- died:m:- old:m died:m:- old:m m? runs:m m?",
        expect![[r#"
        none: died
        a1 a2 b1"#]],
    );
}

#[test]
fn a_death_counts_in_its_subnet_while_the_zones_are_not_known() {
    check(places(false), "died:m:a1 m?", expect!["a2 b1"]);
    check(places(true), "died:m:a1 m?", expect!["b1"]);
}

#[test]
fn without_subnets_ec2_chooses() {
    check(
        Places::new(vec![]),
        "m? m-x:type m?",
        expect![[r#"
        -
        -"#]],
    );
}

/// A type whose instances die of what reaches further, or of what will not pass, is refused as that.
#[test]
fn what_a_type_is_held_for_is_told_in_its_own_class() {
    let group = CloudErrorClass::Capacity(CapacityScope::QuotaGroup("p5".to_owned()));
    for (class, expected) in [
        (CloudErrorClass::Refused, CloudErrorClass::Refused),
        (CloudErrorClass::Quota, CloudErrorClass::Quota),
        (group.clone(), group),
        (CloudErrorClass::Transient, LOCAL),
    ] {
        for subnets in [vec!["a1".to_owned()], vec![]] {
            let mut places = Places::new(subnets);
            let death = Death {
                subnet: None,
                zone: "a",
                reach: None,
                launched: Some(10),
                class: class.clone(),
                why: "died",
            };
            for _ in 0..DEATHS_MAX {
                assert!(places.route(&wish("m"), Time::ZERO).is_ok());
                places.died(&wish("m"), &death, Time::ZERO);
            }
            let known = places.route(&wish("m"), Time::ZERO).expect_err("held");
            assert_eq!(known.class, expected);
        }
    }
}
