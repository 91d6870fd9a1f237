//! The table, code by code where facts speak of it; the rules for the rest; errors inside errors.

use std::{collections::BTreeSet, time::Duration};

use dispatch_model::Time;
use expect_test::{Expect, expect};
use serde_json::json;

use super::*;

#[track_caller]
fn check(code: &str, status: u16, message: &str, expected: Expect) {
    let verdict = judge(&Fault::new(code, message), status);
    let silent = if verdict.quota_is_silent {
        ", ask the usages"
    } else {
        ""
    };
    let class = class(&verdict, Time::from_secs(9));
    expected.assert_eq(&format!("{class:?}{silent}"));
}

const FAMILY: &str = "Operation could not be completed as it results in exceeding approved standardDASv5Family Cores quota. Additional details - Deployment Model: Resource Manager, Location: eastus, Current Limit: 100, Current Usage: 96, Additional Required: 64, (Minimum) New Limit Required: 160.";

#[test]
fn a6_quotas_are_known_by_code_and_by_words_and_which_one_is_told() {
    check(
        "OperationNotAllowed",
        409,
        FAMILY,
        expect![[r#"Capacity(QuotaGroup("standardDASv5Family"))"#]],
    );
    check(
        "QuotaExceeded",
        409,
        &FAMILY.replace("standardDASv5Family", "Total Regional"),
        expect!["Quota"],
    );
    check(
        "OperationNotAllowed",
        409,
        &FAMILY.replace("standardDASv5Family", "LowPriorityCores"),
        expect!["Capacity(Market)"],
    );
    check(
        "OperationNotAllowed",
        409,
        "Operation results in exceeding quota limits of Core. Maximum allowed: 10, Current in use: 10, Additional requested: 2.",
        expect!["Quota"],
    );
    check(
        "QuotaExceeded",
        409,
        "",
        expect!["Capacity(Type), ask the usages"],
    );
    // What the Go dispatcher's own test had: no code that anybody knows, a status that says nothing, one word.
    check(
        "",
        503,
        "No more QUOTA",
        expect!["Capacity(Type), ask the usages"],
    );
    check(
        "SomethingLimitReached",
        400,
        "",
        expect!["Capacity(Type), ask the usages"],
    );
    check(
        "Novel",
        400,
        "the value exceeds 64 characters",
        expect!["Refused"],
    );
    check("SubnetIsFull", 400, "", expect!["Quota"]);
    // "Limit" and "length" alone are no quota.
    check(
        "InvalidTagValueLength",
        400,
        "The tag value exceeds the limit of 256 characters.",
        expect!["RefusedWidely(Everything)"],
    );
}

#[test]
fn k27_capacity_is_not_quota() {
    for code in [
        "SkuNotAvailable",
        "AllocationFailed",
        "ZonalAllocationFailed",
        "OverconstrainedAllocationRequest",
        "OverconstrainedZonalAllocationRequest",
    ] {
        // As a refusal, and as the end of an operation.
        for status in [409, 0] {
            check(code, status, "", expect!["Capacity(Type)"]);
        }
    }
}

#[test]
fn a5_too_many_calls_is_told_by_status_code_and_header() {
    check("", 429, "", expect!["RateLimited(9.000s)"]);
    check("Whatever", 429, FAMILY, expect!["RateLimited(9.000s)"]);
    check(
        "SubscriptionRequestsThrottled",
        400,
        "",
        expect!["RateLimited(9.000s)"],
    );
    check(
        "OperationNotAllowed",
        409,
        "The server rejected the request because too many requests have been received for this subscription.",
        expect!["RateLimited(9.000s)"],
    );
    check(
        "OperationNotAllowedOnVMImageAsVMsBeingProvisioned",
        409,
        "",
        expect!["RateLimited(9.000s)"],
    );
    let mut busy = Fault::new("ServiceUnavailable", "");
    assert_eq!(judge(&busy, 503).kind, Kind::Transient);
    busy.retry_after = Some(Duration::from_secs(3));
    assert_eq!(judge(&busy, 503).kind, Kind::Rate);
    // A header does not make a lack or a refusal a matter of speed.
    let mut lack = Fault::new("AllocationFailed", "");
    lack.retry_after = Some(Duration::from_secs(3));
    assert_eq!(judge(&lack, 409).kind, Kind::Capacity);
}

/// As Azure says it (MicrosoftDocs/azure-docs issue 81734, Azure/azure-cli issue 1237), with other names.
#[test]
fn a_subnet_or_network_that_is_missing_is_no_passing_fault_of_the_interface_that_refers_to_it() {
    let network =
        "/subscriptions/s/resourceGroups/net/providers/Microsoft.Network/virtualNetworks/VMnet";
    let nic = "/subscriptions/s/resourceGroups/vms/providers/Microsoft.Network/networkInterfaces/compute-z-x-nic";
    let vm = "/subscriptions/s/resourceGroups/vms/providers/Microsoft.Compute/virtualMachines/compute-z-x";
    let missing = |what: &str, by: &str| {
        format!(
            "Resource {what} referenced by resource {by} was not found. Please make sure that the referenced resource exists, and that both resources are in the same region."
        )
    };
    let judged = |message: &str, details: serde_json::Value| {
        let error =
            json!({"code": "InvalidResourceReference", "message": message, "details": details});
        let verdict = judge(&Fault::read(&json!({ "error": error })), 400);
        (verdict.kind, verdict.reach, verdict.remedy)
    };
    let by_configuration = (
        Kind::Permanent,
        Reach::Everything,
        "check Network, Subnet and NetworkResourceGroup.",
    );
    let subnet = format!("{network}/subnets/Subnet-Test");
    assert_eq!(
        judged(&missing(&subnet, nic), json!([])),
        by_configuration,
        "a subnet"
    );
    let nested = json!([{"code": "NotFound", "message": format!("Resource {network} not found.")}]);
    assert_eq!(
        judged(&missing(network, nic), nested),
        by_configuration,
        "a network"
    );
    let nested = json!([{"code": "NotFound", "message": missing(network, nic)}]);
    assert_eq!(
        judged(&missing(network, nic), nested),
        by_configuration,
        "a network, told twice"
    );
    // Our own interface, which was put a moment before.
    let (kind, ..) = judged(&missing(nic, vm), json!([]));
    assert_eq!(kind, Kind::Transient);
    let nested = json!([{"code": "NotFound", "message": format!("Resource {nic} not found.")}]);
    let (kind, ..) = judged(&missing(nic, vm), nested);
    assert_eq!(kind, Kind::Transient);
}

#[test]
fn unknown_codes_are_judged_by_their_status() {
    check("NeverHeardOf", 500, "", expect!["Transient"]);
    check("NeverHeardOf", 0, "", expect!["Transient"]);
    check("NeverHeardOf", 400, "", expect!["Refused"]);
    check("", 502, "<html>", expect!["Transient"]);
    check("Conflict", 409, "", expect!["Refused"]);
}

#[test]
fn the_innermost_known_code_counts_wherever_it_hides() {
    let deployed = json!({"error": {
        "code": "DeploymentFailed", "message": "At least one operation failed.",
        "details": [{"code": "Conflict", "message":
            "{\"status\": \"Failed\", \"error\": {\"code\": \"ResourceDeploymentFailure\", \"message\": \"x\", \"details\": [{\"code\": \"AllocationFailed\", \"message\": \"Allocation failed. We do not have sufficient capacity\"}]}}"}],
    }});
    let fault = Fault::read(&deployed);
    assert_eq!(fault.code(), "AllocationFailed");
    assert_eq!(
        fault.message(),
        "Allocation failed. We do not have sufficient capacity"
    );
    assert_eq!(judge(&fault, 409).kind, Kind::Capacity);

    let throttled = json!({"error": {
        "code": "OperationNotAllowed", "message": "The server rejected the request.",
        "details": [{"code": "TooManyRequests", "target": "PutVM", "message": "{\"operationGroup\":\"PutVM\"}"}],
    }});
    assert_eq!(judge(&Fault::read(&throttled), 409).kind, Kind::Rate);

    let bare = json!({"code": "SubnetIsFull", "message": "m"});
    assert_eq!(Fault::read(&bare).code(), "SubnetIsFull");
    let token = json!({"error": "invalid_client", "error_description": "AADSTS7000222: The provided client secret keys for app 'x' are expired."});
    assert_eq!(Fault::read(&token).code(), "AADSTS7000222");
    assert!(
        judge(&Fault::read(&token), 401)
            .remedy
            .contains("ClientSecret")
    );
    assert!(Fault::read(&token).has("INVALID_CLIENT"));
    let inner = json!({"error": {"code": "InternalExecutionError", "message": "", "innererror": {"internalexception": {}}}});
    assert_eq!(Fault::read(&inner).code(), "InternalExecutionError");
}

#[test]
fn k27_no_form_of_an_error_is_too_odd_to_be_read() {
    for body in [
        json!(null),
        json!([]),
        json!("text"),
        json!({"error": null}),
        json!({"error": 7}),
        json!({"error": {"code": null, "message": 3, "details": null, "innererror": null}}),
        json!({"error": {"details": [null, 1, {"details": {}}]}}),
    ] {
        let fault = Fault::read(&body);
        let verdict = judge(&fault, 500);
        assert_eq!(verdict.kind, Kind::Transient, "{body}");
        assert!(words("X", &fault, 500, &verdict).contains("HTTP status 500"));
    }
    let mut deep = json!({"code": "Deep", "message": ""});
    for _ in 0..200 {
        deep = json!({"code": "Outer", "details": [deep]});
    }
    assert_eq!(Fault::read(&json!({ "error": deep })).code(), "Outer");
    assert_eq!(
        Fault::of_bytes(b"<html>Bad Gateway</html>\n").message(),
        "<html>Bad Gateway</html>"
    );
}

#[test]
fn the_operator_is_told_code_scope_and_remedy() {
    let fault = Fault::new("OperationNotAllowed", FAMILY);
    let verdict = judge(&fault, 409);
    expect!["create: OperationNotAllowed (subscription limit, all sizes of standardDASv5Family): Operation could not be completed as it results in exceeding approved standardDASv5Family Cores quota. Additional details - Deployment Model: Resource Manager, Location: eastus, Current Limit: 100, Current Usage: 96, Additional Required: 64, (Minimum) New Limit Required: 160. Remedy: ask Azure for a higher quota (portal: Quotas, Compute), or lower MaxInstances."]
        .assert_eq(&words("create", &fault, 409, &verdict));
    let long = words("X", &Fault::new("Y", &"x".repeat(9000)), 409, &verdict);
    assert!(long.len() < 700, "{}", long.len());
}

#[test]
fn no_entry_hides_another_and_each_has_its_remedy() {
    let mut seen = BTreeSet::new();
    for entry in table::ENTRIES {
        let (code, says) = entry.key();
        assert!(seen.insert((code, says)), "{code} is there twice");
        assert!(
            says.is_none() || !seen.contains(&(code, None)),
            "{code} with a text must stand before the one without"
        );
        let remedy = entry.verdict().remedy;
        assert!(remedy.ends_with('.'), "{code} has no remedy: {remedy:?}");
    }
    assert!(seen.len() > 100, "{}", seen.len());
}
