//! The codes. The first entry whose code is equal and whose text occurs in the message counts. Codes that say nothing
//! ("Conflict", "BadRequest", "OperationNotAllowed" in general) stand here for certain messages alone, or last.

use super::{Kind, Reach, Verdict};

/// One code.
pub(super) struct Entry {
    pub(super) code: &'static str,
    /// Lower-case words that the message must contain.
    says: Option<&'static str>,
    kind: Kind,
    reach: Far,
    remedy: &'static str,
}

/// `Reach`, as constants can hold it.
#[derive(Clone, Copy)]
enum Far {
    Everything,
    Family,
    Market,
    Size,
}

impl Entry {
    pub(super) fn verdict(&self) -> Verdict {
        Verdict {
            kind: self.kind,
            reach: match self.reach {
                Far::Everything => Reach::Everything,
                Far::Family => Reach::Family(None),
                Far::Market => Reach::Market,
                Far::Size => Reach::Size,
            },
            remedy: self.remedy,
            quota_is_silent: false,
        }
    }

    #[cfg(test)]
    pub(super) fn key(&self) -> (&'static str, Option<&'static str>) {
        (self.code, self.says)
    }
}

/// "Resource A referenced by resource B was not found": it is A that is missing, and B says nothing of the matter. A
/// subnet that does not exist is said to be referenced by our network interface.
const REFERENCED: &str = " referenced by resource ";

/// What the table says of a code.
pub(super) fn look_up(code: &str, message: &str) -> Option<Verdict> {
    let message = message.to_ascii_lowercase();
    let message = message.split(REFERENCED).next().unwrap_or_default();
    let entry = ENTRIES.iter().find(|entry| {
        entry.code.eq_ignore_ascii_case(code)
            && entry.says.is_none_or(|says| message.contains(says))
    });
    entry.map(Entry::verdict)
}

const fn entry(code: &'static str, kind: Kind, reach: Far, remedy: &'static str) -> Entry {
    Entry {
        code,
        says: None,
        kind,
        reach,
        remedy,
    }
}

const fn saying(
    code: &'static str,
    says: &'static str,
    kind: Kind,
    reach: Far,
    remedy: &'static str,
) -> Entry {
    Entry {
        says: Some(says),
        ..entry(code, kind, reach, remedy)
    }
}

pub(super) const INCREASE: &str =
    "ask Azure for a higher quota (portal: Quotas, Compute), or lower MaxInstances.";
pub(super) const UNKNOWN: &str =
    "this code is not known to the dispatcher; see Azure's list of error codes.";
const OTHER_SIZES: &str =
    "wait, add InstanceTypes with other sizes, or reserve capacity in this region.";
const NOT_OFFERED: &str = "check ProviderType: az vm list-skus --location LOCATION says which sizes this subscription may have; \
                           add InstanceTypes with others.";
pub(super) const IMAGE: &str = "check ImageID, ImageResourceGroup and the gallery's parameters: the image must exist, in this region, \
                     and the dispatcher's identity may read it.";
const SIZE: &str = "check ProviderType: the size must exist in this region and fit the image.";
const NETWORK: &str = "check Network, Subnet and NetworkResourceGroup.";
const LARGER_SUBNET: &str = "use a larger Subnet.";
const IDENTITY: &str = "check ClientID, ClientSecret and TenantID, or, without a secret, the managed identity of this host.";
const SECRET: &str = "the application's secret is wrong or has expired: make a new one (az ad app credential reset) and set \
                      ClientSecret to its value, not its id.";
const PERMISSION: &str = "assign the role of docs/azure.md to the dispatcher's identity, in all resource groups concerned.";
const GROUP: &str = "check ResourceGroup, NetworkResourceGroup and ImageResourceGroup.";
const SUBSCRIPTION: &str = "check SubscriptionID, and that the subscription is not disabled.";
const REGISTER: &str = "register the resource providers: az provider register --namespace Microsoft.Compute (and \
                        Microsoft.Network).";
const POLICY: &str = "an Azure Policy of the subscription forbids it: choose a ProviderType that it allows, add the tags it \
                      asks for to ResourceTags, or exempt the resource group.";
const LOCKED: &str = "remove the lock from the resource group: nothing can be deleted there.";
const LOCATION: &str =
    "check Location: it must be a region that this subscription may use, such as \"centralus\".";
const TAGS: &str = "check ResourceTags: at most 50 tags, names of at most 512 characters without <>%&\\?/, values of at most \
                    256.";
const PLAN: &str = "use an image that needs no purchase: the dispatcher orders none, since the terms of a plan are \
                    somebody's to accept (az vm image terms accept).";
const WAITS: &str = "Azure is still busy with this resource: it is asked again.";
pub(super) const SLOWER: &str = "the dispatcher waits as long as Azure says; if that is often, lower MaxCloudOpsPerSecond, and see who \
                     else calls in this subscription.";
const AZURES: &str =
    "it is asked again; if it goes on, see Azure Service Health (portal: Service Health).";
const UNLUCKY: &str = "a word in the VM's name is one that Azure reserves: the next VM has another name; if it goes on, the word is in \
                       the id of the instance set.";
const NAMED: &str = "see what Azure names: of the configuration, ProviderType, ImageID, AdminUsername, ResourceTags and the public \
                     key of DispatchPrivateKey are in the request.";
const NOT_YET: &str = "what was just made may not be known everywhere yet, so it is asked again; if it goes on, check ResourceGroup, \
                       ImageID, Network and Subnet.";
const STARTS: &str = "it is made again; if it goes on, choose another ProviderType, or check the image with a VM of your own.";
const REPORT: &str = "please report this.";
const BOOT: &str = "check the image: it must be generalized and run cloud-init or the Azure agent.";

use Far::{Everything, Family, Market, Size};
use Kind::{Capacity, Permanent, Quota, Rate, Transient};

pub(super) const ENTRIES: &[Entry] = &[
    // Too fast (facts A5).
    entry("TooManyRequests", Rate, Everything, SLOWER),
    entry("SubscriptionRequestsThrottled", Rate, Everything, SLOWER),
    entry("RequestsThrottled", Rate, Everything, SLOWER),
    entry("ServerTooBusy", Rate, Everything, SLOWER),
    entry("ServerBusy", Rate, Everything, SLOWER),
    saying(
        "OperationNotAllowed",
        "too many requests",
        Rate,
        Everything,
        SLOWER,
    ),
    entry(
        "OperationNotAllowedOnVMImageAsVMsBeingProvisioned",
        Rate,
        Everything,
        "a managed image takes 20 creates at a time: lower MaxConcurrentInstanceCreateOps, or use a gallery image.",
    ),
    // The subscription's limits (facts A6). Which one is full, the message or the usages say.
    saying("OperationNotAllowed", "quota", Quota, Family, INCREASE),
    saying("OperationNotAllowed", "exceeding", Quota, Family, INCREASE),
    saying("SkuNotAvailable", "quota", Quota, Family, INCREASE),
    entry("QuotaExceeded", Quota, Family, INCREASE),
    entry("ResourceQuotaExceeded", Quota, Family, INCREASE),
    entry("CoreQuotaExceeded", Quota, Family, INCREASE),
    entry("SubscriptionQuotaReached", Quota, Everything, INCREASE),
    entry("MaxNicCountExceeded", Quota, Everything, INCREASE),
    entry(
        "NetworkInterfaceCountLimitReached",
        Quota,
        Everything,
        INCREASE,
    ),
    entry("ResourceGroupQuotaExceeded", Quota, Everything, INCREASE),
    entry("StorageAccountLimitation", Quota, Everything, INCREASE),
    entry("LowPriorityQuotaExceeded", Quota, Market, INCREASE),
    entry("SubnetIsFull", Quota, Everything, LARGER_SUBNET),
    // None to be had.
    entry("AllocationFailed", Capacity, Size, OTHER_SIZES),
    entry("ZonalAllocationFailed", Capacity, Size, OTHER_SIZES),
    entry(
        "OverconstrainedAllocationRequest",
        Capacity,
        Size,
        OTHER_SIZES,
    ),
    entry(
        "OverconstrainedZonalAllocationRequest",
        Capacity,
        Size,
        OTHER_SIZES,
    ),
    entry("ConstrainedAllocationRequest", Capacity, Size, OTHER_SIZES),
    entry("AllocationTimedOut", Capacity, Size, OTHER_SIZES),
    entry("CapacityNotAvailable", Capacity, Size, OTHER_SIZES),
    entry("InsufficientCapacity", Capacity, Size, OTHER_SIZES),
    entry("SpotVMAllocationFailed", Capacity, Size, OTHER_SIZES),
    entry("VMStoppedToWarmReboot", Transient, Size, STARTS),
    entry("CrpNotAvailableOnStamp", Capacity, Size, OTHER_SIZES),
    entry("SkuNotAvailable", Capacity, Size, NOT_OFFERED),
    entry("NotAvailableForSubscription", Capacity, Size, NOT_OFFERED),
    entry(
        "RegionDoesNotAllowProvisioning",
        Quota,
        Everything,
        LOCATION,
    ),
    // What.
    saying("InvalidParameter", "vmsize", Permanent, Size, SIZE),
    saying("InvalidParameter", "vm size", Permanent, Size, SIZE),
    saying(
        "InvalidParameter",
        "imagereference",
        Permanent,
        Everything,
        IMAGE,
    ),
    saying(
        "InvalidParameter",
        "hypervisor generation",
        Permanent,
        Size,
        SIZE,
    ),
    saying("BadRequest", "hypervisor generation", Permanent, Size, SIZE),
    saying("InvalidParameter", "tag", Permanent, Everything, TAGS),
    entry("VMSizeDoesntSupportPremiumStorage", Permanent, Size, SIZE),
    entry("VirtualMachineSizeNotSupported", Permanent, Size, SIZE),
    entry("InvalidVMSize", Permanent, Size, SIZE),
    entry("ImageNotFound", Permanent, Everything, IMAGE),
    entry("GalleryImageNotFound", Permanent, Everything, IMAGE),
    entry("PlatformImageNotFound", Permanent, Everything, IMAGE),
    entry("VMImageNotFound", Permanent, Everything, IMAGE),
    entry("ArtifactNotFound", Permanent, Everything, IMAGE),
    entry("ArtifactVersionNotFound", Permanent, Everything, IMAGE),
    entry("DiskImageNotReady", Transient, Everything, IMAGE),
    entry(
        "SubscriptionNotAuthorizedForImage",
        Permanent,
        Everything,
        IMAGE,
    ),
    entry("InvalidAccountType", Permanent, Size, SIZE),
    entry("OSProvisioningInternalError", Transient, Size, BOOT),
    entry("OSProvisioningClientError", Transient, Size, BOOT),
    entry("OSProvisioningTimedOut", Transient, Size, BOOT),
    entry("VMAgentStatusCommunicationError", Transient, Size, BOOT),
    entry("VMStartTimedOut", Transient, Size, STARTS),
    entry("TagsNotAllowed", Permanent, Everything, TAGS),
    entry("InvalidTagNameCharacters", Permanent, Everything, TAGS),
    entry("TagCountLimitExceeded", Permanent, Everything, TAGS),
    entry("InvalidTagValueLength", Permanent, Everything, TAGS),
    entry("ReservedResourceName", Permanent, Everything, UNLUCKY),
    // Images of the marketplace (learn.microsoft.com/azure/virtual-machines/error-codes).
    entry("VMMarketplaceInvalidInput", Permanent, Everything, PLAN),
    entry(
        "MarketplacePurchaseEligibilityFailed",
        Permanent,
        Everything,
        PLAN,
    ),
    entry(
        "ResourcePurchaseValidationFailed",
        Permanent,
        Everything,
        PLAN,
    ),
    entry("ResourcePurchaseCanceled", Permanent, Everything, PLAN),
    saying(
        "BadRequest",
        "plan information",
        Permanent,
        Everything,
        PLAN,
    ),
    // Where. A network interface that is missing is our own, which is there: Azure does not know it everywhere yet.
    saying(
        "InvalidResourceReference",
        "/networkinterfaces/",
        Transient,
        Size,
        WAITS,
    ),
    saying("NotFound", "/networkinterfaces/", Transient, Size, WAITS),
    entry("SubnetNotFound", Permanent, Everything, NETWORK),
    entry("InvalidResourceReference", Permanent, Everything, NETWORK),
    entry("SubnetsNotInSameVnet", Permanent, Everything, NETWORK),
    entry("NetworkNotFound", Permanent, Everything, NETWORK),
    entry("ResourceGroupNotFound", Permanent, Everything, GROUP),
    entry("ResourceGroupBeingDeleted", Permanent, Everything, GROUP),
    entry("InvalidResourceLocation", Permanent, Everything, LOCATION),
    entry(
        "LocationNotAvailableForResourceType",
        Permanent,
        Everything,
        LOCATION,
    ),
    entry("LocationNotAvailable", Permanent, Everything, LOCATION),
    entry("LocationRequired", Permanent, Everything, LOCATION),
    // Who.
    entry("AuthorizationFailed", Permanent, Everything, PERMISSION),
    entry(
        "LinkedAuthorizationFailed",
        Permanent,
        Everything,
        PERMISSION,
    ),
    entry("Forbidden", Permanent, Everything, PERMISSION),
    entry("AuthenticationFailed", Permanent, Everything, IDENTITY),
    entry(
        "InvalidAuthenticationToken",
        Transient,
        Everything,
        IDENTITY,
    ),
    entry(
        "ExpiredAuthenticationToken",
        Transient,
        Everything,
        IDENTITY,
    ),
    entry(
        "InvalidAuthenticationTokenTenant",
        Permanent,
        Everything,
        IDENTITY,
    ),
    entry(
        "AuthenticationFailedMissingToken",
        Permanent,
        Everything,
        IDENTITY,
    ),
    entry("AADSTS7000215", Permanent, Everything, SECRET),
    entry("AADSTS7000222", Permanent, Everything, SECRET),
    entry("AADSTS700016", Permanent, Everything, IDENTITY),
    entry("AADSTS90002", Permanent, Everything, IDENTITY),
    entry("invalid_client", Permanent, Everything, SECRET),
    entry("unauthorized_client", Permanent, Everything, IDENTITY),
    saying(
        "invalid_request",
        "identity not found",
        Permanent,
        Everything,
        IDENTITY,
    ),
    entry("invalid_request", Permanent, Everything, IDENTITY),
    entry("SubscriptionNotFound", Permanent, Everything, SUBSCRIPTION),
    entry("InvalidSubscriptionId", Permanent, Everything, SUBSCRIPTION),
    entry(
        "ReadOnlyDisabledSubscription",
        Permanent,
        Everything,
        SUBSCRIPTION,
    ),
    entry("DisallowedOperation", Permanent, Everything, SUBSCRIPTION),
    entry(
        "MissingSubscriptionRegistration",
        Permanent,
        Everything,
        REGISTER,
    ),
    entry("SubscriptionNotRegistered", Permanent, Everything, REGISTER),
    // A policy may forbid some sizes alone.
    entry("RequestDisallowedByPolicy", Permanent, Size, POLICY),
    entry("ScopeLocked", Permanent, Everything, LOCKED),
    entry("BillingNotEnabled", Permanent, Everything, SUBSCRIPTION),
    // When.
    entry("NicReservedForAnotherVm", Transient, Size, WAITS),
    entry("NicInUse", Transient, Size, WAITS),
    entry("AnotherOperationInProgress", Transient, Size, WAITS),
    entry("OperationPreempted", Transient, Size, WAITS),
    entry("PreconditionFailed", Transient, Size, WAITS),
    entry("ReferencedResourceNotProvisioned", Transient, Size, WAITS),
    entry("AttachDiskWhileBeingDetached", Transient, Size, WAITS),
    entry("RetryableError", Transient, Everything, AZURES),
    entry(
        "RetryableErrorDueToAnotherOperation",
        Transient,
        Everything,
        AZURES,
    ),
    entry("InternalExecutionError", Transient, Everything, AZURES),
    entry("InternalOperationError", Transient, Everything, AZURES),
    entry("InternalServerError", Transient, Everything, AZURES),
    entry(
        "NetworkingInternalOperationError",
        Transient,
        Everything,
        AZURES,
    ),
    entry(
        "VMArtifactRepositoryInternalError",
        Transient,
        Everything,
        AZURES,
    ),
    entry("ServiceUnavailable", Transient, Everything, AZURES),
    entry("ServerTimeout", Transient, Everything, AZURES),
    entry("GatewayTimeout", Transient, Everything, AZURES),
    entry("GatewayAuthenticationFailed", Transient, Everything, AZURES),
    entry("temporarily_unavailable", Transient, Everything, AZURES),
    // How: mistakes of the driver.
    saying(
        "BadRequest",
        "could not find member",
        Permanent,
        Everything,
        REPORT,
    ),
    entry("InvalidRequestContent", Permanent, Everything, REPORT),
    entry("InvalidRequestFormat", Permanent, Everything, REPORT),
    entry("InvalidApiVersionParameter", Permanent, Everything, REPORT),
    entry("NoRegisteredProviderFound", Permanent, Everything, LOCATION),
    entry("MissingApiVersionParameter", Permanent, Everything, REPORT),
    entry("PropertyChangeNotAllowed", Permanent, Size, REPORT),
    entry("InvalidParameter", Permanent, Size, NAMED),
    entry("ResourceNotFound", Transient, Size, NOT_YET),
];
