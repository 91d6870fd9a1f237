//! What an answer to RunInstances says of an instance: whether this call may have made one, and whether an earlier,
//! identical one has whose answer was lost.

use std::time::Duration;

use super::{Kind, bare, judge};

/// What was made has ended.
const ENDED: &str = "IdempotentInstanceTerminated";

/// A call whose answer was lost may be on its way or at work for so long. EC2 documents no such time; this is how long
/// it advises to go on asking for what is not known everywhere yet.
const AT_WORK_AT_MOST: Duration = Duration::from_secs(300);

/// The refusals that come, as far as we know, after EC2 has looked for the client token and found nothing made by it: it
/// has tried to launch, and met a limit or a lack. While the first call may still be at work, they say nothing: it may
/// have taken the last of it itself, or be carried out when there is some again. All others (a missing permission, wrong
/// credentials, an expired signature, a parameter, a throttle) strike before the token is looked for, or say that it is
/// known (IdempotentParameterMismatch), so that an instance may be there.
const LACKS: &[&str] = &[
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

/// Whether this answer to a repeated create, sent so long after the last one of unknown outcome, tells what became of
/// that.
pub(crate) fn settles(code: Option<&str>, since: Duration) -> bool {
    match code.map(bare) {
        Some(ENDED) => true,
        Some(code) => since >= AT_WORK_AT_MOST && LACKS.contains(&code),
        None => false,
    }
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
    fn only_an_end_or_much_later_a_limit_or_a_lack_tells_what_became_of_an_earlier_call() {
        let soon = AT_WORK_AT_MOST - Duration::from_millis(1);
        for code in LACKS {
            let kind = judge(Some(code), 400, "").kind;
            assert!(matches!(kind, Kind::Quota | Kind::Capacity), "{code}");
            let code = format!("Client.{code}");
            assert!(settles(Some(&code), AT_WORK_AT_MOST), "{code}");
            assert!(!settles(Some(&code), soon), "{code}");
        }
        assert!(settles(Some(ENDED), Duration::ZERO));
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
            assert!(!settles(Some(code), Duration::MAX), "{code}");
        }
        let in_its_place = settles(None, Duration::MAX);
        assert!(!in_its_place, "whatever answers in EC2's place");
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
