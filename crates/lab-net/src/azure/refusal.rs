//! Refusals in the resource manager's words
//! (learn.microsoft.com/azure/azure-resource-manager/troubleshooting/common-deployment-errors).

use dispatch_lab::cloud::{Class, CloudRefusal};
use serde_json::{Value, json};

/// Where on learn.microsoft.com each rule stands whose breach is refused with this code (`tests` holds every refusal
/// against it).
#[cfg(test)]
pub(super) const PAGES: &[(&str, &str)] = &[
    // Who.
    (
        "AuthenticationFailed",
        "rest/api/azure/#authenticate-and-authorize-the-request",
    ),
    (
        "ExpiredAuthenticationToken",
        "entra/identity-platform/access-tokens#token-lifetime",
    ),
    (
        "AuthorizationFailed",
        "azure/role-based-access-control/troubleshooting",
    ),
    // Where.
    (
        "InvalidResourceType",
        "azure/azure-resource-manager/troubleshooting/error-invalid-template",
    ),
    (
        "MethodNotAllowed",
        "rest/api/azure/#components-of-a-rest-api-request-response-pair",
    ),
    ("MissingApiVersionParameter", "rest/api/azure/#request-uri"),
    ("InvalidApiVersionParameter", "rest/api/azure/#request-uri"),
    (
        "SubscriptionNotFound",
        "azure/azure-resource-manager/troubleshooting/error-invalid-subscription",
    ),
    (
        "ResourceGroupNotFound",
        "azure/azure-resource-manager/troubleshooting/error-not-found",
    ),
    (
        "ResourceNotFound",
        "azure/azure-resource-manager/troubleshooting/error-not-found",
    ),
    (
        "NotFound",
        "azure/azure-resource-manager/troubleshooting/error-not-found",
    ),
    (
        "NoRegisteredProviderFound",
        "azure/azure-resource-manager/troubleshooting/error-register-resource-provider",
    ),
    (
        "LocationRequired",
        "rest/api/compute/virtual-machines/create-or-update#request-body",
    ),
    (
        "LocationNotAvailableForResourceType",
        "azure/azure-resource-manager/troubleshooting/error-invalid-template",
    ),
    // What.
    (
        "BadRequest",
        "rest/api/compute/virtual-machines/create-or-update#request-body",
    ),
    (
        "InvalidParameter",
        "rest/api/compute/virtual-machines/create-or-update#request-body",
    ),
    (
        "InvalidRequestContent",
        "rest/api/resources/tags/update-at-scope#request-body",
    ),
    (
        "InvalidRequestFormat",
        "rest/api/virtualnetwork/network-interfaces/create-or-update#request-body",
    ),
    (
        "InvalidResourceReference",
        "azure/azure-resource-manager/troubleshooting/common-deployment-errors",
    ),
    (
        "NetworkInterfaceMustHaveIpConfiguration",
        "rest/api/virtualnetwork/network-interfaces/create-or-update#networkinterfaceipconfiguration",
    ),
    ("ImageNotFound", "azure/virtual-machines/error-codes"),
    (
        "TagCountLimitExceeded",
        "azure/azure-resource-manager/management/tag-resources#limitations",
    ),
    (
        "InvalidTagNameCharacters",
        "azure/azure-resource-manager/management/tag-resources#limitations",
    ),
    (
        "InvalidTagValueLength",
        "azure/azure-resource-manager/management/tag-resources#limitations",
    ),
    // When.
    (
        "PreconditionFailed",
        "rest/api/compute/virtual-machines/create-or-update#uri-parameters",
    ),
    (
        "NicInUse",
        "azure/virtual-network/virtual-network-network-interface-vm#remove-a-network-interface-from-a-vm",
    ),
    (
        "NicReservedForAnotherVm",
        "azure/virtual-network/troubleshoot-nic-reserved (aka.ms/deletenic)",
    ),
    // Spot's price, a disk that is attached, a VM that is being deleted, quotas, and calls that are too fast.
    (
        "OperationNotAllowed",
        "azure/virtual-machines/error-codes; azure/virtual-machines/spot-vms#pricing; \
                             azure/azure-resource-manager/troubleshooting/error-resource-quota; \
                             azure/virtual-machines/compute-throttling-limits",
    ),
    (
        "QuotaExceeded",
        "azure/azure-resource-manager/troubleshooting/error-resource-quota",
    ),
    (
        "SkuNotAvailable",
        "azure/azure-resource-manager/troubleshooting/error-sku-not-available",
    ),
    (
        "SubscriptionRequestsThrottled",
        "azure/azure-resource-manager/management/request-limits-and-throttling",
    ),
    (
        "TooManyRequests",
        "azure/virtual-machines/compute-throttling-limits",
    ),
    (
        "InternalExecutionError",
        "azure/virtual-machines/error-codes",
    ),
];

/// A refusal.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Refusal {
    pub(super) status: u16,
    pub(super) code: String,
    pub(super) message: String,
    pub(super) details: Vec<(String, String)>,
    pub(super) retry_after: Option<String>,
}

impl Refusal {
    pub(super) fn new(status: u16, code: &str, message: impl Into<String>) -> Refusal {
        Refusal {
            status,
            code: code.to_owned(),
            message: message.into(),
            details: Vec::new(),
            retry_after: None,
        }
    }

    pub(super) fn not_found(kind: &str, name: &str) -> Refusal {
        let message = format!(
            "The Resource '{kind}/{name}' under resource group 'vms' was not found. For more details please go to https://aka.ms/ARMResourceNotFoundFix"
        );
        Refusal::new(404, "ResourceNotFound", message)
    }

    /// 429 as Compute says it: the code tells nothing, the detail does.
    pub(super) fn throttled_by_compute(bucket: &str) -> Refusal {
        let mut refusal = Refusal::new(
            429,
            "OperationNotAllowed",
            "The server rejected the request because too many requests have been received for this subscription.",
        );
        let detail = json!({"operationGroup": bucket, "allowedRequestCount": 1500}).to_string();
        refusal.details.push(("TooManyRequests".to_owned(), detail));
        refusal
    }

    /// 429 as the resource manager says it.
    pub(super) fn throttled_by_arm(kind: &str) -> Refusal {
        let message = format!(
            "Number of {kind} requests for subscription exceeded the limit. Please try again after some time."
        );
        Refusal::new(429, "SubscriptionRequestsThrottled", message)
    }

    /// A quota is full. `what`: as the message names it; silent: it names nothing.
    pub(super) fn quota(what: Option<&str>, limit: u32, used: u32, more: u32) -> Refusal {
        match what {
            Some(what) => Refusal::new(
                409,
                "OperationNotAllowed",
                format!(
                    "Operation could not be completed as it results in exceeding approved {what} Cores quota. Additional details - Deployment Model: Resource Manager, Location: centralus, Current Limit: {limit}, Current Usage: {used}, Additional Required: {more}, (Minimum) New Limit Required: {}.",
                    used + more
                ),
            ),
            None => Refusal::new(
                409,
                "QuotaExceeded",
                "The operation is not possible at present.",
            ),
        }
    }

    /// The world's refusals in Azure's words.
    pub(super) fn of_world(refusal: &CloudRefusal, family: &str) -> Refusal {
        let message = refusal.message.clone();
        match refusal.class {
            Class::Quota => Refusal::quota(Some("Total Regional"), 10, 10, 2),
            Class::Capacity if refusal.scope == Some("group") => {
                Refusal::quota(Some(family), 10, 10, 2)
            }
            Class::Capacity => Refusal::new(409, "SkuNotAvailable", message),
            Class::RateLimited => {
                let mut throttled = Refusal::throttled_by_compute("PutVM");
                let ms = refusal.retry_after_ms.unwrap_or(1000);
                throttled.retry_after = Some(format!("{:.1}", ms as f64 / 1000.0));
                throttled
            }
            Class::Refused => Refusal::new(404, "ImageNotFound", message),
            Class::NotFound => Refusal::new(404, "ResourceNotFound", message),
            Class::Transient => Refusal::new(500, "InternalExecutionError", message),
        }
    }

    pub(super) fn body(&self) -> Value {
        let mut error = json!({"code": self.code, "message": self.message});
        if !self.details.is_empty() {
            let details = self
                .details
                .iter()
                .map(|(code, message)| json!({"code": code, "message": message}));
            error["details"] = details.collect();
        }
        json!({ "error": error })
    }
}
