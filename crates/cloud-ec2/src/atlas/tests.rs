//! The table, code by code where facts speak of it; the rules for the rest.

use std::collections::BTreeSet;

use dispatch_model::Time;
use expect_test::{Expect, expect};

use super::*;

#[track_caller]
fn check(code: &str, status: u16, message: &str, expected: Expect) {
    let code = Some(code).filter(|code| !code.is_empty());
    let verdict = judge(code, status, message);
    let class = class(verdict, "standard", Time::from_secs(9));
    let next = if verdict.reach.is_local() {
        ", next subnet"
    } else {
        ""
    };
    expected.assert_eq(&format!("{class:?}{next}"));
}

#[test]
fn quota_codes_stop_all_creation_and_capacity_codes_do_not() {
    check("InstanceLimitExceeded", 400, "", expect!["Quota"]);
    check("InsufficientAddressCapacity", 500, "", expect!["Quota"]);
    check(
        "InsufficientInstanceCapacity",
        500,
        "",
        expect!["Capacity(Type), next subnet"],
    );
    check(
        "VcpuLimitExceeded",
        400,
        "",
        expect![[r#"Capacity(QuotaGroup("standard"))"#]],
    );
    check(
        "MaxSpotInstanceCountExceeded",
        400,
        "",
        expect!["Capacity(Market)"],
    );
    check(
        "SpotMaxPriceTooLow",
        400,
        "",
        expect!["Capacity(Type), next subnet"],
    );
    check(
        "InsufficientVolumeCapacity",
        500,
        "",
        expect!["Capacity(Type), next subnet"],
    );
    check(
        "InsufficientFreeAddressesInSubnet",
        400,
        "",
        expect!["Capacity(Type), next subnet"],
    );
}

#[test]
fn throttle_codes_are_rate_limits() {
    let codes = "Throttling ThrottlingException ThrottledException RequestThrottledException RequestThrottled \
                 TooManyRequestsException ProvisionedThroughputExceededException TransactionInProgressException \
                 RequestLimitExceeded BandwidthLimitExceeded LimitExceededException SlowDown PriorRequestNotComplete \
                 EC2ThrottledException";
    for code in codes.split_whitespace() {
        let verdict = judge(Some(code), 503, "Request limit exceeded.");
        assert_eq!(verdict.kind, Kind::Rate, "{code}");
    }
}

#[test]
fn an_unsupported_type_is_a_lack_in_that_zone_and_other_unsupported_things_are_refused() {
    check(
        "Unsupported",
        400,
        "Your requested instance type (m9.x) is not supported in your requested Availability Zone (us-east-1e).",
        expect!["Capacity(Type), next subnet"],
    );
    check(
        "Unsupported",
        400,
        "This is not supported.",
        expect!["Refused, next subnet"],
    );
}

#[test]
fn a_full_subnet_is_recognized_in_all_its_spellings() {
    for code in [
        "InvalidParameterValue",
        "Client.InvalidParameterValue",
        "Client.InvalidParameter",
        "InvalidParameter",
    ] {
        for message in [
            "Not enough free addresses in subnet subnet-1",
            "The subnet subnet-1 does not have sufficient free Ipv4 addresses",
            "insufficient free ipv6 addresses",
        ] {
            check(code, 400, message, expect!["Capacity(Type), next subnet"]);
        }
        // Waiting does not mend a wrong set-up.
        let apart = "Security group sg-1 and subnet subnet-1 belong to different networks.";
        check(code, 400, apart, expect!["Refused, next subnet"]);
        let remedy = judge(Some(code), 400, apart).remedy;
        assert!(
            remedy.contains("SubnetID") && remedy.contains("SecurityGroupIDs"),
            "{remedy}"
        );
        check(
            code,
            400,
            "Value (m1.x) for parameter instanceType is invalid.",
            expect!["Refused"],
        );
    }
    check(
        "InsufficientFreeAddressesInSubnet",
        400,
        "",
        expect!["Capacity(Type), next subnet"],
    );
    check(
        "Client.InsufficientFreeAddressesInSubnet",
        400,
        "",
        expect!["Capacity(Type), next subnet"],
    );
    check(
        "InvalidSubnetID.NotFound",
        400,
        "",
        expect!["Refused, next subnet"],
    );
    check(
        "SomeNewSubnetTrouble",
        400,
        "",
        expect!["Refused, next subnet"],
    );
}

#[test]
fn unknown_codes_are_judged_by_their_status() {
    check("NeverHeardOf", 500, "", expect!["Transient"]);
    check("NeverHeardOf", 503, "", expect!["Transient"]);
    check("NeverHeardOf", 400, "", expect!["Refused"]);
    check("", 502, "<html>", expect!["Transient"]);
    check("", 429, "", expect!["RateLimited(9.000s)"]);
    check("NeverHeardOf", 429, "", expect!["RateLimited(9.000s)"]);
}

#[test]
fn reasons_of_instances_that_die_while_launching_use_the_same_table() {
    check(
        "Server.InsufficientInstanceCapacity",
        0,
        "",
        expect!["Capacity(Type), next subnet"],
    );
    check("Client.VolumeLimitExceeded", 0, "", expect!["Quota"]);
    // Usually a key that may not be used: it does not pass. What EC2's own side breaks, does.
    check("Client.InternalError", 0, "", expect!["Refused"]);
    check("Server.InternalError", 0, "", expect!["Transient"]);
    let remedy = judge(Some("Client.InternalError"), 0, "").remedy;
    assert!(remedy.contains("KMS"), "{remedy}");
    check(
        "Server.SpotInstanceTermination",
        0,
        "",
        expect!["Capacity(Type), next subnet"],
    );
}

#[test]
fn a_refusal_reaches_as_far_as_its_reason() {
    for code in [
        "UnauthorizedOperation",
        "AuthFailure",
        "InvalidAMIID.NotFound",
    ] {
        check(code, 403, "", expect!["RefusedWidely(Everything)"]);
    }
    check(
        "AuthFailure.ServiceLinkedRoleCreationNotPermitted",
        403,
        "",
        expect!["RefusedWidely(Market)"],
    );
    check("VPCResourceNotSpecified", 400, "", expect!["Refused"]);
}

/// The general codes, in the sentences that EC2 is known to say with them.
#[test]
fn what_a_general_code_is_about_is_read_from_ec2s_own_sentences() {
    for (message, reach, remedy) in [
        (
            "User data is limited to 16384 bytes",
            Reach::Everything,
            "shorten InstanceInitCommand",
        ),
        (
            "Tag keys starting with 'aws:' are reserved for internal use",
            Reach::Everything,
            "check ResourceTags",
        ),
        (
            "Tag value exceeds the maximum length of 256 characters",
            Reach::Everything,
            "check ResourceTags",
        ),
        (
            "Volume of size 1GB is too small for volume type st1, minimum is 125GB",
            Reach::Type,
            "raise the type's AddedScratch",
        ),
        (
            "Value (m1.x) for parameter instanceType is invalid.",
            Reach::Type,
            "check the type's ProviderType",
        ),
    ] {
        for code in ["InvalidParameterValue", "Client.InvalidParameterValue"] {
            let verdict = judge(Some(code), 400, message);
            let told = (verdict.kind, verdict.reach);
            assert_eq!(told, (Kind::Permanent, reach), "{message}");
            assert!(verdict.remedy.starts_with(remedy), "{message}: {verdict:?}");
        }
    }
}

#[test]
fn the_operator_is_told_code_scope_and_remedy() {
    let verdict = judge(Some("VcpuLimitExceeded"), 400, "");
    let words = words(
        "RunInstances",
        "VcpuLimitExceeded",
        verdict,
        "You have requested more vCPU capacity than your limit of 32",
    );
    expect!["RunInstances: VcpuLimitExceeded (account limit, all types of its quota group): You have requested more vCPU capacity than your limit of 32. Remedy: ask AWS for a higher limit (Service Quotas, Amazon EC2), or lower MaxInstances."].assert_eq(&words);
    let long = super::words("X", "Y", verdict, &"x".repeat(9000));
    assert!(long.len() < 700, "{}", long.len());
}

#[test]
fn the_rules_are_documented_in_the_order_in_which_they_are_asked() {
    let message = "Value (x) for instanceType does not fit subnet subnet-1";
    let met = judge(Some("InvalidParameterValue"), 400, message);
    let rows = rows();
    let row = |start: &str| {
        let found = rows.iter().position(|(met, _, _)| met.starts_with(start));
        found.unwrap_or_else(|| panic!("{start}"))
    };
    let (rule, code) = (
        row("`InvalidParameter…` with “ subnet ”"),
        row("`InvalidParameterValue` with “for instancetype”"),
    );
    assert_eq!((met.reach, met.remedy), (Reach::Subnet, rows[rule].2));
    assert!(rule < code, "{rule} {code}");
    assert!(row("other codes with `Subnet`") > row("`InvalidSubnetID.NotFound`"));
    let prefixed = row("`Client.InternalError`");
    assert!(prefixed < row("`InternalError`"));
}

#[test]
fn no_entry_hides_another() {
    let mut seen = BTreeSet::new();
    for entry in table::ENTRIES {
        assert!(
            seen.insert((entry.code, entry.says)),
            "{} is there twice",
            entry.code
        );
        assert!(
            entry.says.is_none() || !seen.contains(&(entry.code, None)),
            "{} with a text must stand before the one without",
            entry.code
        );
    }
    assert!(seen.len() > 100, "{}", seen.len());
}
