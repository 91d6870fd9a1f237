//! Every parameter in every form that Arvados takes, and what is said of wrong ones.

use expect_test::{Expect, expect};
use serde_json::json;

use super::*;

#[track_caller]
fn wrong(parameters: Value, expected: Expect) {
    let problems = Parameters::read(&parameters).expect_err("problems");
    expected.assert_eq(&problems.join("\n"));
}

fn read(parameters: Value) -> Parameters {
    Parameters::read(&parameters).expect("parameters")
}

#[test]
fn all_have_defaults() {
    for none in [
        Value::Null,
        json!({}),
        json!({"Endpoint": "x", "Location": 7}),
    ] {
        let parameters = read(none);
        assert_eq!(parameters.keys, None);
        assert_eq!(parameters.region, None);
        assert_eq!(parameters.ebs_volume_type, "gp2");
        assert_eq!(parameters.spot_price_interval, Duration::from_secs(86400));
        assert_eq!(parameters.ebs_price.to_string(), "0.1");
        assert_eq!(parameters.admin_username, "crunch");
        assert_eq!(parameters.quota_groups.of("m5.large"), "standard");
        assert!(parameters.subnets.is_empty() && parameters.security_groups.is_empty());
    }
}

#[test]
fn subnets_are_a_string_or_a_list_and_the_empty_string_is_none() {
    let none: [&str; 0] = [];
    assert_eq!(read(json!({"SubnetID": ""})).subnets, none);
    assert_eq!(read(json!({"SubnetID": []})).subnets, none);
    assert_eq!(read(json!({"SubnetID": [""]})).subnets, none);
    assert_eq!(read(json!({"SubnetID": "subnet-1"})).subnets, ["subnet-1"]);
    assert_eq!(
        read(json!({"SubnetID": ["subnet-2", "subnet-1", "subnet-2"]})).subnets,
        ["subnet-2", "subnet-1"]
    );
}

#[test]
fn security_groups_are_a_list_or_the_keys_of_a_map() {
    let none: [&str; 0] = [];
    assert_eq!(read(json!({"SecurityGroupIDs": {}})).security_groups, none);
    assert_eq!(
        read(json!({"SecurityGroupIDs": {"sg-1": {}, "sg-2": {}}})).security_groups,
        ["sg-1", "sg-2"]
    );
    assert_eq!(
        read(json!({"SecurityGroupIDs": ["sg-1"]})).security_groups,
        ["sg-1"]
    );
}

#[test]
fn one_security_group_may_be_a_text_and_none_is_dropped() {
    assert_eq!(
        read(json!({"SecurityGroupIDs": "sg-1"})).security_groups,
        ["sg-1"]
    );
    for wrong in [json!(["sg-1", 5]), json!("sg-1, sg-2"), json!(true)] {
        wrong_value("SecurityGroupIDs", wrong);
    }
}

#[track_caller]
fn wrong_value(key: &str, value: Value) {
    let problems = Parameters::read(&json!({ key: value })).expect_err("problems");
    let named = format!("DriverParameters.{key} is ");
    assert!(problems[0].starts_with(&named), "{problems:?}");
    assert!(problems[0].contains(": write "), "{problems:?}");
}

#[test]
fn an_interval_of_zero_or_less_switches_prices_off() {
    for off in [json!("0"), json!("0s"), json!("-1s"), json!(0)] {
        let parameters = read(json!({ "SpotPriceUpdateInterval": off }));
        assert_eq!(parameters.spot_price_interval, Duration::ZERO);
    }
    let parameters = read(json!({"SpotPriceUpdateInterval": "1h30m500ms"}));
    assert_eq!(
        parameters.spot_price_interval,
        Duration::from_millis(5_400_500)
    );
}

#[test]
fn keys_come_in_pairs_and_the_secret_is_never_shown() {
    let parameters = read(json!({"AccessKeyID": "AKIA1", "SecretAccessKey": "very-secret"}));
    assert!(!format!("{parameters:?}").contains("very-secret"));
    wrong(
        json!({"AccessKeyID": "AKIA1"}),
        expect![
            "DriverParameters.SecretAccessKey is empty although AccessKeyID is not: set both, or leave both empty to use the host's role"
        ],
    );
    wrong(
        json!({"AccessKeyID": "", "SecretAccessKey": "very-secret"}),
        expect![
            "DriverParameters.AccessKeyID is empty although SecretAccessKey is not: set both, or leave both empty to use the host's role"
        ],
    );
    wrong(
        json!({"SecretAccessKey": 12345}),
        expect![
            "DriverParameters.SecretAccessKey is not a string: put it in quotes, or leave it out"
        ],
    );
}

#[test]
fn everything_wrong_is_named_with_its_remedy() {
    wrong(
        json!({
            "Region": 7, "SubnetID": {"a b": 1}, "SecurityGroupIDs": [1], "IAMInstanceProfile": "arn:aws:iam::1:x/y",
            "SpotPriceUpdateInterval": "daily", "EBSPrice": -1, "InstanceTypeQuotaGroups": {"m": 1},
            "AdminUsername": "a b",
        }),
        expect![[r#"
            DriverParameters.Region is 7, which is not a string: put it in quotes, or leave it out
            DriverParameters.SecurityGroupIDs is 1, which is not an id: write "sg-0123456789abcdef0", or a list of such
            DriverParameters.SubnetID is "a b", which is not an id: write "subnet-0123456789abcdef0", or a list of such
            DriverParameters.IAMInstanceProfile is "arn:aws:iam::1:x/y", which is not a name: write the part behind the last "/"
            DriverParameters.SpotPriceUpdateInterval is "daily", which is not a duration: write "24h", or "0" to look up no prices
            DriverParameters.EBSPrice is -1, which is not a price: write dollars for a GiB and month, such as 0.10
            DriverParameters.InstanceTypeQuotaGroups is 1, which is not the name of a group: write a map such as {a: standard, p5: p5}
            DriverParameters.AdminUsername is "a b", which is not a user's name: write "crunch" or "admin""#]],
    );
}

#[test]
fn durations_are_as_arvados_writes_them() {
    for (text, secs) in [
        ("24h", Some(86400.0)),
        ("1.5m", Some(90.0)),
        ("+2s", Some(2.0)),
        ("", None),
        ("5", None),
        ("h", None),
        ("1x", None),
    ] {
        assert_eq!(duration(text).map(|d| d.as_secs_f64()), secs, "{text:?}");
    }
}

#[test]
fn regions_ids_and_volume_types_that_cannot_be_are_named() {
    wrong(
        json!({"Region": "us east", "SubnetID": "subnet-1,subnet-2", "EBSVolumeType": "gp9"}),
        expect![[r#"
            DriverParameters.Region is "us east", which is not a region: write such as us-east-1
            DriverParameters.SubnetID is "subnet-1,subnet-2", which is not an id: write "subnet-0123456789abcdef0", or a list of such
            DriverParameters.EBSVolumeType is "gp9", which is not a type of volume: write one of gp2, gp3, io1, io2, sc1, st1, standard"#]],
    );
    wrong(
        json!({"Region": "US-East-1"}),
        expect![[
            r#"DriverParameters.Region is "US-East-1", which is not a region: write such as us-east-1"#
        ]],
    );
    for region in ["us-gov-west-1", "cn-north-1", "ap-southeast-5"] {
        assert_eq!(
            read(json!({ "Region": region })).region.as_deref(),
            Some(region)
        );
    }
    for kind in VOLUME_TYPES {
        assert_eq!(
            read(json!({ "EBSVolumeType": kind })).ebs_volume_type,
            *kind
        );
    }
}
