//! What an answer to RunInstances says of an instance: whether this call may have made one, and whether an earlier,
//! identical one has whose answer was lost.

use super::{Kind, bare, judge};

/// The refusals that come after EC2 has looked for the client token and found nothing made by it: it has tried to
/// launch, and met a limit or a lack. And the one that says that what was made has ended. All others (a missing
/// permission, wrong credentials, an expired signature, a parameter, a throttle) strike before the token is looked for,
/// or say that it is known (IdempotentParameterMismatch), so that an instance may be there.
const SETTLE: &[&str] = &[
    "IdempotentInstanceTerminated",
    "InstanceLimitExceeded",
    "VcpuLimitExceeded",
    "MaxSpotInstanceCountExceeded",
    "SpotInstanceCountExceeded",
    "RequestResourceCountExceeded",
    "NetworkInterfaceLimitExceeded",
    "VolumeLimitExceeded",
    "MaxIOPSLimitExceeded",
    "InsufficientInstanceCapacity",
    "InsufficientCapacity",
    "InsufficientHostCapacity",
    "InsufficientReservedInstanceCapacity",
    "InsufficientCapacityOnHost",
    "InsufficientVolumeCapacity",
    "InsufficientAddressCapacity",
    "InsufficientFreeAddressesInSubnet",
    "UnfulfillableCapacity",
    "ReservationCapacityExceeded",
    "SpotMaxPriceTooLow",
];

/// EC2's words for "something went wrong on our side", whatever status they come with.
const FAULTS: &[&str] = &[
    "InternalError",
    "InternalFailure",
    "ServiceUnavailable",
    "Unavailable",
    "RequestTimeout",
];

/// Whether this answer to a repeated create tells what became of the first.
pub(crate) fn settles(code: Option<&str>) -> bool {
    code.is_some_and(|code| SETTLE.contains(&bare(code)))
}

/// Whether a create that was answered so may have made an instance all the same: EC2 says that it failed, not that it
/// refused.
pub(crate) fn may_have_made(code: Option<&str>, status: u16, message: &str) -> bool {
    let is_fault = status >= 500 || code.is_some_and(|code| FAULTS.contains(&bare(code)));
    let kind = judge(code, status, message).kind;
    is_fault && matches!(kind, Kind::Permanent | Kind::Transient)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_limit_a_lack_or_an_end_tells_what_became_of_an_earlier_call() {
        for code in SETTLE {
            let kind = judge(Some(code), 400, "").kind;
            let is_listed = matches!(kind, Kind::Quota | Kind::Capacity);
            assert!(
                is_listed || *code == "IdempotentInstanceTerminated",
                "{code}"
            );
            assert!(settles(Some(&format!("Client.{code}"))), "{code}");
        }
        for code in [
            "UnauthorizedOperation",
            "AuthFailure",
            "RequestExpired",
            "InvalidParameterValue",
            "InvalidAMIID.NotFound",
            "InvalidKeyPair.NotFound",
            "InvalidSubnetID.NotFound",
            "IdempotentParameterMismatch",
            "RequestLimitExceeded",
            "InternalError",
            "NeverHeardOf",
            "",
        ] {
            assert!(!settles(Some(code)), "{code}");
        }
        assert!(!settles(None), "whatever answers in EC2's place");
    }

    #[test]
    fn a_failure_may_have_made_an_instance_and_a_refusal_has_not() {
        for (code, status, expected) in [
            (Some("InternalError"), 500, true),
            (Some("InternalError"), 400, true),
            (Some("ServiceUnavailable"), 503, true),
            (Some("Unavailable"), 503, true),
            (Some("RequestTimeout"), 408, true),
            (Some("NeverHeardOf"), 500, true),
            (Some("UnauthorizedOperation"), 500, true),
            (Some("NeverHeardOf"), 400, false),
            (Some("UnauthorizedOperation"), 403, false),
            (Some("InsufficientInstanceCapacity"), 500, false),
            (Some("InsufficientVolumeCapacity"), 503, false),
            (Some("RequestLimitExceeded"), 503, false),
            (Some("InvalidKeyPair.NotFound"), 400, false),
            (None, 403, false),
            (None, 429, false),
        ] {
            assert_eq!(may_have_made(code, status, ""), expected, "{code:?}");
        }
    }
}
