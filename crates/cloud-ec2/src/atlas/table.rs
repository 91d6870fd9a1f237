//! The codes. The first entry whose code is equal and whose text occurs in the message counts.

use super::{Kind, Reach, Verdict};

/// One code.
pub(super) struct Entry {
    pub(super) code: &'static str,
    /// Lower-case words that the message must contain.
    pub(super) says: Option<&'static str>,
    pub(super) verdict: Verdict,
}

const fn entry(code: &'static str, kind: Kind, reach: Reach, remedy: &'static str) -> Entry {
    Entry {
        code,
        says: None,
        verdict: Verdict {
            kind,
            reach,
            remedy,
        },
    }
}

const fn saying(
    code: &'static str,
    says: &'static str,
    kind: Kind,
    reach: Reach,
    remedy: &'static str,
) -> Entry {
    Entry {
        says: Some(says),
        ..entry(code, kind, reach, remedy)
    }
}

const fn rate(code: &'static str) -> Entry {
    entry(code, Kind::Rate, Reach::Everything, SLOWER)
}

const IMAGE: &str = "check Containers.CloudVMs.ImageID: the image must exist in this region, be available, and be \
                     shared with this account.";
const KEYS: &str = "check AccessKeyID and SecretAccessKey, or the role of this host.";
const CLOCK: &str = "set this host's clock (NTP): signatures expire after minutes.";
const EXPIRED: &str = "these credentials are for a time only, and are renewed by themselves if they are the role of this host: renew \
                       those in the environment or in files by hand, or leave AccessKeyID empty to use the role.";
const PERMISSION: &str = "grant the IAM policy of docs/ec2.md to the dispatcher's user or role.";
const ROLE: &str =
    "check IAMInstanceProfile (a name, not an ARN), and allow iam:PassRole for its role.";
const SUBNET: &str = "check SubnetID: each must exist in this region.";
const GROUPS: &str = "check SecurityGroupIDs: each must exist, in the VPC of the subnets.";
const LARGER_SUBNET: &str = "add a subnet to SubnetID, or use a larger one.";
const INCREASE: &str =
    "ask AWS for a higher limit (Service Quotas, Amazon EC2), or lower MaxInstances.";
const OTHER_TYPES: &str = "add subnets in other zones to SubnetID, or more InstanceTypes.";
const TYPE: &str =
    "check ProviderType: the type must be offered in this region and fit the image's architecture.";
const VOLUME: &str = "check EBSVolumeType and AddedScratch.";
const ENCRYPTION: &str = "check the image's snapshots and the account's default encryption key: the dispatcher and \
                          EC2 must be allowed to use it.";

const UNREADABLE: &str = "an instance that dies of it while it is launched usually has an encrypted volume whose key it may not use: allow \
                          the dispatcher's user or role, and EC2, to use the KMS key of the image's snapshots and of added scratch.";
const WAIT_FAULT: &str =
    "a passing fault of AWS: it is tried again. If it lasts, see the AWS Health Dashboard.";
const AGAIN: &str = "nothing: it passes, and is tried again.";
const COMBINATION: &str = "check the type's ProviderType, AddedScratch and Preemptible, ImageID and EBSVolumeType: EC2's message names the one that does not fit.";
const USER_DATA: &str = "shorten InstanceInitCommand, or let it fetch what is long: user data may have 16 KiB, of which the dispatcher needs less than one.";
const TAGS: &str = "check ResourceTags and TagKeyPrefix: names of at most 127 characters that do not begin with aws:, values of at most 256.";
const SMALL_VOLUME: &str =
    "raise the type's AddedScratch, or set EBSVolumeType to gp3, which may be as small as 1 GiB.";
const MISSING: &str = "EC2's message names what is missing: iops belong to an EBSVolumeType that needs them (set gp3 instead), a subnet or network to \
                       SubnetID; if it is anything else, please report this.";
const NOT_EC2: &str = "is AWS_ENDPOINT_URL set to something that is not EC2, or a proxy in between? If not, please report this.";
const INTERFACE: &str =
    "check SubnetID and SecurityGroupIDs; the dispatcher lets EC2 make the network interfaces.";
const BY_HAND: &str = "find out who ends instances: a person, a script, or AWS (Health Dashboard).";
const NO_SUCH_ID: &str = "please report this, with the id that EC2 names.";
pub(super) const SLOWER: &str = "nothing: calls are sent more slowly. If it lasts, lower MaxCloudOpsPerSecond, or raise SyncInterval; other programs use the same limits.";

/// A subnet without free addresses, told under `InvalidParameterValue` (facts E10).
pub(super) const FULL_SUBNET: Verdict = Verdict {
    kind: Kind::Capacity,
    reach: Reach::Subnet,
    remedy: LARGER_SUBNET,
};
/// A code that names subnets and is not in the table (facts §2.8.4).
pub(super) const OTHER_SUBNET: Verdict = Verdict {
    kind: Kind::Permanent,
    reach: Reach::Subnet,
    remedy: SUBNET,
};
/// A 4xx that nobody knows.
pub(super) const UNKNOWN_REFUSAL: Verdict = Verdict {
    kind: Kind::Permanent,
    reach: Reach::Type,
    remedy: "this code is not known to the dispatcher; see EC2's list of error codes.",
};
/// A 5xx that nobody knows.
pub(super) const UNKNOWN_FAULT: Verdict = Verdict {
    kind: Kind::Transient,
    reach: Reach::Everything,
    remedy: WAIT_FAULT,
};

use Kind::{Capacity, Permanent, Quota, Transient};
use Reach::{Everything, Market, QuotaGroup, Subnet, Type, TypeInZone, Zone};

pub(super) const ENTRIES: &[Entry] = &[
    // Too fast (facts §2.8.3).
    rate("RequestLimitExceeded"),
    rate("Throttling"),
    rate("ThrottlingException"),
    rate("ThrottledException"),
    rate("RequestThrottledException"),
    rate("RequestThrottled"),
    rate("TooManyRequestsException"),
    rate("ProvisionedThroughputExceededException"),
    rate("TransactionInProgressException"),
    rate("BandwidthLimitExceeded"),
    rate("LimitExceededException"),
    rate("SlowDown"),
    rate("PriorRequestNotComplete"),
    rate("EC2ThrottledException"),
    rate("ResourceCountLimitThrottled"),
    // The account's limits.
    entry("InstanceLimitExceeded", Quota, Everything, INCREASE),
    entry(
        "InsufficientAddressCapacity",
        Quota,
        Everything,
        "AWS has no free public addresses: wait, or use subnets without them.",
    ),
    entry("NetworkInterfaceLimitExceeded", Quota, Everything, INCREASE),
    entry("VolumeLimitExceeded", Quota, Everything, INCREASE),
    entry("MaxIOPSLimitExceeded", Quota, Everything, INCREASE),
    entry(
        "SnapshotCreationPerVolumeRateExceeded",
        Transient,
        Everything,
        AGAIN,
    ),
    entry(
        "ConcurrentCreateImageNoRebootLimitExceeded",
        Transient,
        Everything,
        AGAIN,
    ),
    entry("VcpuLimitExceeded", Quota, QuotaGroup, INCREASE),
    entry("MaxSpotInstanceCountExceeded", Quota, Market, INCREASE),
    entry("SpotInstanceCountExceeded", Quota, Market, INCREASE),
    entry("RequestResourceCountExceeded", Quota, Market, INCREASE),
    // None to be had.
    entry(
        "InsufficientInstanceCapacity",
        Capacity,
        TypeInZone,
        OTHER_TYPES,
    ),
    entry("InsufficientCapacity", Capacity, TypeInZone, OTHER_TYPES),
    entry(
        "InsufficientHostCapacity",
        Capacity,
        TypeInZone,
        OTHER_TYPES,
    ),
    entry(
        "InsufficientReservedInstanceCapacity",
        Capacity,
        TypeInZone,
        OTHER_TYPES,
    ),
    entry(
        "InsufficientCapacityOnHost",
        Capacity,
        TypeInZone,
        OTHER_TYPES,
    ),
    entry("UnfulfillableCapacity", Capacity, TypeInZone, OTHER_TYPES),
    entry(
        "ReservationCapacityExceeded",
        Capacity,
        TypeInZone,
        OTHER_TYPES,
    ),
    entry(
        "InstanceTerminationNoCapacity",
        Capacity,
        TypeInZone,
        OTHER_TYPES,
    ),
    entry("SpotInstanceTermination", Capacity, TypeInZone, OTHER_TYPES),
    entry("SpotInstanceShutdown", Capacity, TypeInZone, OTHER_TYPES),
    entry(
        "SpotMaxPriceTooLow",
        Capacity,
        TypeInZone,
        "raise the type's Price, which is the highest price paid for spot instances.",
    ),
    entry("InsufficientVolumeCapacity", Capacity, Zone, OTHER_TYPES),
    entry(
        "InsufficientFreeAddressesInSubnet",
        Capacity,
        Subnet,
        LARGER_SUBNET,
    ),
    entry("SubnetFull", Capacity, Subnet, LARGER_SUBNET),
    saying(
        "Unsupported",
        "requested instance type",
        Capacity,
        TypeInZone,
        OTHER_TYPES,
    ),
    saying(
        "UnsupportedOperation",
        "requested instance type",
        Capacity,
        TypeInZone,
        OTHER_TYPES,
    ),
    saying(
        "UnsupportedOperation",
        "availability zone",
        Capacity,
        TypeInZone,
        OTHER_TYPES,
    ),
    entry("Unsupported", Permanent, TypeInZone, TYPE),
    // Where.
    entry("InvalidSubnetID.NotFound", Permanent, Subnet, SUBNET),
    entry("InvalidSubnetId.Malformed", Permanent, Subnet, SUBNET),
    entry("InvalidSubnet", Permanent, Subnet, SUBNET),
    entry("InvalidSubnet.Conflict", Permanent, Subnet, SUBNET),
    entry("InvalidZone.NotFound", Permanent, Subnet, SUBNET),
    entry(
        "VPCIdNotSpecified",
        Permanent,
        Everything,
        "this account has no default VPC: set SubnetID.",
    ),
    entry(
        "VPCResourceNotSpecified",
        Permanent,
        Type,
        "this type needs a VPC: set SubnetID.",
    ),
    entry("InvalidVpcID.NotFound", Permanent, Everything, SUBNET),
    entry(
        "InvalidNetworkInterface.InUse",
        Permanent,
        Everything,
        INTERFACE,
    ),
    entry(
        "InvalidNetworkInterfaceID.NotFound",
        Permanent,
        Everything,
        INTERFACE,
    ),
    entry("PrivateIpAddressLimitExceeded", Permanent, Type, INTERFACE),
    entry("InvalidGroup.NotFound", Permanent, Everything, GROUPS),
    entry("InvalidGroupId.Malformed", Permanent, Everything, GROUPS),
    entry(
        "InvalidSecurityGroupID.NotFound",
        Permanent,
        Everything,
        GROUPS,
    ),
    entry(
        "InvalidSecurityGroupId.Malformed",
        Permanent,
        Everything,
        GROUPS,
    ),
    entry("InvalidGroup.InUse", Permanent, Everything, GROUPS),
    entry(
        "SecurityGroupsPerInstanceLimitExceeded",
        Permanent,
        Everything,
        "name fewer SecurityGroupIDs.",
    ),
    entry(
        "SecurityGroupsPerInterfaceLimitExceeded",
        Permanent,
        Everything,
        "name fewer SecurityGroupIDs.",
    ),
    entry(
        "SecurityGroupLimitExceeded",
        Permanent,
        Everything,
        "name fewer SecurityGroupIDs.",
    ),
    // What.
    entry("InvalidAMIID.NotFound", Permanent, Everything, IMAGE),
    entry("InvalidAMIID.Malformed", Permanent, Everything, IMAGE),
    entry("InvalidAMIID.Unavailable", Permanent, Everything, IMAGE),
    entry("InvalidAMIName.Malformed", Permanent, Everything, IMAGE),
    entry("InvalidAMIAttributeItemValue", Permanent, Everything, IMAGE),
    entry("InvalidSnapshot.NotFound", Permanent, Everything, IMAGE),
    entry("InvalidManifest", Permanent, Everything, IMAGE),
    entry("InvalidInstanceType", Permanent, Type, TYPE),
    entry("InvalidInstanceType.NotFound", Permanent, Type, TYPE),
    saying(
        "InvalidParameterValue",
        "for instancetype",
        Permanent,
        Type,
        TYPE,
    ),
    entry("UnsupportedInstanceTypeOnHost", Permanent, Type, TYPE),
    entry("UnsupportedTenancy", Permanent, Type, TYPE),
    entry("UnsupportedHibernationConfiguration", Permanent, Type, TYPE),
    entry("UnsupportedProtocol", Permanent, Everything, NOT_EC2),
    entry("InvalidVirtualizationType", Permanent, Type, TYPE),
    entry("EncryptedVolumesNotSupported", Permanent, Type, TYPE),
    entry("NonEBSInstance", Permanent, Type, TYPE),
    entry("InstanceTpmEkPubNotFound", Permanent, Type, TYPE),
    entry("InvalidBlockDeviceMapping", Permanent, Type, VOLUME),
    entry("InvalidVolume.ZoneMismatch", Permanent, Type, VOLUME),
    entry("UnknownVolumeType", Permanent, Type, VOLUME),
    entry(
        "VolumeTypeNotAvailableInZone",
        Permanent,
        TypeInZone,
        VOLUME,
    ),
    entry("AttachmentLimitExceeded", Permanent, Type, VOLUME),
    entry(
        "KMSKeyNotAccessibleFault",
        Permanent,
        Everything,
        ENCRYPTION,
    ),
    entry(
        "InvalidKmsKeyId.Malformed",
        Permanent,
        Everything,
        ENCRYPTION,
    ),
    entry(
        "InvalidKMSKey.InvalidState",
        Permanent,
        Everything,
        ENCRYPTION,
    ),
    entry("InvalidKMSKey.NotFound", Permanent, Everything, ENCRYPTION),
    entry("KMSKeyDisabled", Permanent, Everything, ENCRYPTION),
    entry(
        "InvalidIamInstanceProfile.NotFound",
        Permanent,
        Everything,
        ROLE,
    ),
    entry(
        "InvalidIamInstanceProfileArn.Malformed",
        Permanent,
        Everything,
        ROLE,
    ),
    saying(
        "InvalidParameterValue",
        "iaminstanceprofile",
        Permanent,
        Everything,
        ROLE,
    ),
    saying(
        "InvalidParameterValue",
        "iam instance profile",
        Permanent,
        Everything,
        ROLE,
    ),
    entry("NoSuchEntity", Permanent, Everything, ROLE),
    entry(
        "InvalidKeyPair.NotFound",
        Transient,
        Everything,
        "the key pair has been deleted: it is looked up or imported again.",
    ),
    entry(
        "InvalidKeyPair.Duplicate",
        Transient,
        Everything,
        "another dispatcher has just imported this key: it is looked up again.",
    ),
    entry(
        "InvalidKeyPair.Format",
        Permanent,
        Everything,
        "EC2 takes ED25519 and RSA keys: check Containers.DispatchPrivateKey.",
    ),
    entry(
        "InvalidKey.Format",
        Permanent,
        Everything,
        "EC2 takes ED25519 and RSA keys: check Containers.DispatchPrivateKey.",
    ),
    entry(
        "KeyPairLimitExceeded",
        Permanent,
        Everything,
        "delete key pairs that nobody uses.",
    ),
    entry(
        "InvalidUserData.Malformed",
        Permanent,
        Everything,
        USER_DATA,
    ),
    entry("UserDataLimitExceeded", Permanent, Everything, USER_DATA),
    entry("InvalidTagKey.Malformed", Permanent, Everything, TAGS),
    entry(
        "TagLimitExceeded",
        Permanent,
        Everything,
        "an instance may have 50 tags: remove some ResourceTags.",
    ),
    entry(
        "TagPolicyViolation",
        Permanent,
        Everything,
        "add the tags that your organization demands to ResourceTags.",
    ),
    // Who.
    entry("AuthFailure", Permanent, Everything, KEYS),
    entry(
        "AuthFailure.ServiceLinkedRoleCreationNotPermitted",
        Permanent,
        Market,
        "spot instances need the role AWSServiceRoleForEC2Spot: aws iam create-service-linked-role --aws-service-name spot.amazonaws.com",
    ),
    entry("UnauthorizedOperation", Permanent, Everything, PERMISSION),
    entry("AccessDenied", Permanent, Everything, PERMISSION),
    entry("AccessDeniedException", Permanent, Everything, PERMISSION),
    entry("InvalidClientTokenId", Permanent, Everything, KEYS),
    entry("InvalidAccessKeyId", Permanent, Everything, KEYS),
    entry("MissingAuthenticationToken", Permanent, Everything, KEYS),
    entry("UnrecognizedClientException", Permanent, Everything, KEYS),
    entry("SignatureDoesNotMatch", Permanent, Everything, KEYS),
    entry("IncompleteSignature", Permanent, Everything, KEYS),
    entry("ExpiredToken", Transient, Everything, EXPIRED),
    entry("ExpiredTokenException", Transient, Everything, EXPIRED),
    entry("RequestExpired", Permanent, Everything, CLOCK),
    entry(
        "InvalidSecurity.RequestHasExpired",
        Permanent,
        Everything,
        CLOCK,
    ),
    entry(
        "OptInRequired",
        Permanent,
        Everything,
        "subscribe to the image's product in the AWS Marketplace, or enable this region.",
    ),
    entry(
        "Blocked",
        Permanent,
        Everything,
        "this account is blocked: contact AWS.",
    ),
    entry(
        "PendingVerification",
        Permanent,
        Everything,
        "AWS is verifying this account, which can take hours.",
    ),
    entry(
        "AccountDisabled",
        Permanent,
        Everything,
        "this account is disabled: contact AWS.",
    ),
    // How.
    entry(
        "IdempotentParameterMismatch",
        Permanent,
        Type,
        "a client token was used for two different calls: please report this.",
    ),
    entry("IdempotentInstanceTerminated", Transient, Type, AGAIN),
    saying(
        "InvalidParameterValue",
        "too small for volume type",
        Permanent,
        Type,
        SMALL_VOLUME,
    ),
    saying(
        "InvalidParameterValue",
        "user data",
        Permanent,
        Everything,
        USER_DATA,
    ),
    saying(
        "InvalidParameterValue",
        "tag key",
        Permanent,
        Everything,
        TAGS,
    ),
    saying(
        "InvalidParameterValue",
        "tag value",
        Permanent,
        Everything,
        TAGS,
    ),
    entry("InvalidParameter", Permanent, Type, COMBINATION),
    entry("InvalidParameterValue", Permanent, Type, COMBINATION),
    entry("InvalidParameterCombination", Permanent, Type, COMBINATION),
    entry("InvalidParameterDependency", Permanent, Type, COMBINATION),
    entry("InvalidMaxResults", Permanent, Everything, NOT_EC2),
    entry("InvalidNextToken", Transient, Everything, AGAIN),
    entry("InvalidPaginationToken", Transient, Everything, AGAIN),
    entry("InvalidFilter", Permanent, Everything, NOT_EC2),
    entry("InvalidRequest", Permanent, Type, COMBINATION),
    entry("InvalidAction", Permanent, Everything, NOT_EC2),
    entry("InvalidOption.Conflict", Permanent, Type, COMBINATION),
    entry("InvalidQueryParameter", Permanent, Type, NOT_EC2),
    entry("MalformedQueryString", Permanent, Everything, NOT_EC2),
    entry("MissingAction", Permanent, Everything, NOT_EC2),
    entry("MissingParameter", Permanent, Type, MISSING),
    entry("MissingInput", Permanent, Type, MISSING),
    entry("UnknownParameter", Permanent, Everything, NOT_EC2),
    entry("UnsupportedOperation", Permanent, Type, COMBINATION),
    entry("DryRunOperation", Permanent, Everything, NOT_EC2),
    entry("ValidationError", Permanent, Type, COMBINATION),
    entry("InvalidInstanceID.NotFound", Transient, Type, AGAIN),
    // CreateTags says so of what it does not know yet.
    entry("InvalidID", Transient, Type, AGAIN),
    entry("InvalidInstanceID.Malformed", Permanent, Type, NO_SUCH_ID),
    entry(
        "OperationNotPermitted",
        Permanent,
        Type,
        "is termination protection on? Switch it off for this instance.",
    ),
    entry("IncorrectInstanceState", Transient, Type, AGAIN),
    entry("IncorrectState", Transient, Type, AGAIN),
    entry("ConcurrentTagAccess", Transient, Everything, AGAIN),
    // Passing faults, and the reasons of instances that die while they launch.
    entry("Client.InternalError", Permanent, Type, UNREADABLE),
    entry("InternalError", Transient, Everything, WAIT_FAULT),
    entry("InternalFailure", Transient, Everything, WAIT_FAULT),
    entry("ServiceUnavailable", Transient, Everything, WAIT_FAULT),
    entry("Unavailable", Transient, Everything, WAIT_FAULT),
    entry("RequestTimeout", Transient, Everything, WAIT_FAULT),
    entry("ScheduledStop", Transient, Type, BY_HAND),
    entry("InvalidSnapshotInProgress", Transient, Everything, AGAIN),
    entry("UserInitiatedShutdown", Transient, Type, BY_HAND),
    entry("InstanceInitiatedShutdown", Transient, Type, BY_HAND),
];

#[cfg(test)]
mod tests {
    use super::{super::judge, *};

    #[test]
    fn every_code_can_be_met_and_has_a_remedy() {
        for entry in ENTRIES {
            let met = judge(Some(entry.code), 400, entry.says.unwrap_or_default());
            assert_eq!(met, entry.verdict, "{}", entry.code);
            assert_ne!(entry.verdict.remedy, "", "{}", entry.code);
        }
        for verdict in [FULL_SUBNET, OTHER_SUBNET, UNKNOWN_REFUSAL, UNKNOWN_FAULT] {
            assert_ne!(verdict.remedy, "", "{verdict:?}");
        }
    }
}
