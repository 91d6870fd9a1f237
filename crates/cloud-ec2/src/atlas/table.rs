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
    entry(code, Kind::Rate, Reach::Everything, "")
}

const IMAGE: &str = "check Containers.CloudVMs.ImageID: the image must exist in this region, be available, and be \
                     shared with this account.";
const KEYS: &str = "check AccessKeyID and SecretAccessKey, or the role of this host.";
const CLOCK: &str = "set this host's clock (NTP): signatures expire after minutes.";
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
    remedy: "",
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
        "",
    ),
    entry(
        "ConcurrentCreateImageNoRebootLimitExceeded",
        Transient,
        Everything,
        "",
    ),
    entry("VcpuLimitExceeded", Quota, QuotaGroup, INCREASE),
    entry("MaxSpotInstanceCountExceeded", Quota, Market, INCREASE),
    entry("SpotInstanceCountExceeded", Quota, Market, INCREASE),
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
        Everything,
        "this type needs a VPC: set SubnetID.",
    ),
    entry("InvalidVpcID.NotFound", Permanent, Everything, SUBNET),
    entry("InvalidNetworkInterface.InUse", Permanent, Everything, ""),
    entry(
        "InvalidNetworkInterfaceID.NotFound",
        Permanent,
        Everything,
        "",
    ),
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
    entry("UnsupportedProtocol", Permanent, Everything, ""),
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
        "check InstanceInitCommand: user data may have 16 KiB.",
    ),
    entry(
        "UserDataLimitExceeded",
        Permanent,
        Everything,
        "check InstanceInitCommand: user data may have 16 KiB.",
    ),
    entry(
        "InvalidTagKey.Malformed",
        Permanent,
        Everything,
        "check ResourceTags: names of at most 127 characters, not starting with aws:.",
    ),
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
    entry(
        "Client.UnauthorizedOperation",
        Permanent,
        Everything,
        PERMISSION,
    ),
    entry("InvalidClientTokenId", Permanent, Everything, KEYS),
    entry("InvalidAccessKeyId", Permanent, Everything, KEYS),
    entry("MissingAuthenticationToken", Permanent, Everything, KEYS),
    entry("UnrecognizedClientException", Permanent, Everything, KEYS),
    entry("SignatureDoesNotMatch", Permanent, Everything, KEYS),
    entry("IncompleteSignature", Permanent, Everything, KEYS),
    entry("ExpiredToken", Transient, Everything, CLOCK),
    entry("ExpiredTokenException", Transient, Everything, CLOCK),
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
    entry("IdempotentInstanceTerminated", Transient, Type, ""),
    entry("InvalidParameter", Permanent, Type, ""),
    entry("InvalidParameterValue", Permanent, Type, ""),
    entry("InvalidParameterCombination", Permanent, Type, ""),
    entry("InvalidParameterDependency", Permanent, Type, ""),
    entry("InvalidMaxResults", Permanent, Everything, ""),
    entry("InvalidNextToken", Transient, Everything, ""),
    entry("InvalidFilter", Permanent, Everything, ""),
    entry("InvalidRequest", Permanent, Type, ""),
    entry(
        "InvalidAction",
        Permanent,
        Everything,
        "is AWS_ENDPOINT_URL set to something that is not EC2?",
    ),
    entry("InvalidOption.Conflict", Permanent, Type, ""),
    entry("InvalidQueryParameter", Permanent, Type, ""),
    entry("MalformedQueryString", Permanent, Everything, ""),
    entry("MissingAction", Permanent, Everything, ""),
    entry("MissingParameter", Permanent, Everything, ""),
    entry("UnknownParameter", Permanent, Everything, ""),
    entry("UnsupportedOperation", Permanent, Type, ""),
    entry("DryRunOperation", Permanent, Everything, ""),
    entry("ValidationError", Permanent, Type, ""),
    entry("InvalidInstanceID.NotFound", Transient, Type, ""),
    entry("InvalidInstanceID.Malformed", Permanent, Type, ""),
    entry(
        "OperationNotPermitted",
        Permanent,
        Type,
        "is termination protection on? Switch it off for this instance.",
    ),
    entry("IncorrectInstanceState", Transient, Type, ""),
    entry("IncorrectState", Transient, Type, ""),
    entry("ConcurrentTagAccess", Transient, Everything, ""),
    // Passing faults, and the reasons of instances that die while they launch.
    entry("InternalError", Transient, Everything, ""),
    entry("InternalFailure", Transient, Everything, ""),
    entry("ServiceUnavailable", Transient, Everything, ""),
    entry("Unavailable", Transient, Everything, ""),
    entry("RequestTimeout", Transient, Everything, ""),
    entry("ScheduledStop", Transient, Type, ""),
    entry("InvalidSnapshotInProgress", Transient, Everything, ""),
    entry("UserInitiatedShutdown", Transient, Type, ""),
    entry("InstanceInitiatedShutdown", Transient, Type, ""),
];
