//! What a VM and a network interface may say: Azure refuses members that it does not know
//! (learn.microsoft.com/rest/api/compute/virtual-machines/create-or-update, …/virtualnetwork/network-interfaces/
//! create-or-update).

use serde_json::Value;

/// Members, with what is below them in braces; `*`: anything below. Lists are as their items.
const VM: &str = "location tags* zones identity* plan* extendedLocation* placement* id name type etag managedBy \
    properties{additionalCapabilities* applicationProfile* availabilitySet* billingProfile{maxPrice} \
    capacityReservation* diagnosticsProfile{bootDiagnostics*} evictionPolicy extensionsTimeBudget \
    hardwareProfile{vmSize vmSizeProperties*} host* hostGroup* licenseType \
    networkProfile{networkApiVersion networkInterfaceConfigurations* networkInterfaces{id properties{primary deleteOption}}} \
    osProfile{computerName adminUsername adminPassword customData allowExtensionOperations requireGuestProvisionSignal \
    secrets* windowsConfiguration* linuxConfiguration{disablePasswordAuthentication provisionVMAgent patchSettings* \
    enableVMAgentPlatformUpdates ssh{publicKeys{path keyData}}}} \
    platformFaultDomain priority proximityPlacementGroup* scheduledEventsPolicy* scheduledEventsProfile* securityProfile* \
    storageProfile{alignRegionalDisksToVMZone dataDisks* diskControllerType \
    imageReference{id publisher offer sku version exactVersion sharedGalleryImageId communityGalleryImageId} \
    osDisk{name createOption caching diskSizeGB deleteOption diffDiskSettings* encryptionSettings* image* osType vhd* \
    writeAcceleratorEnabled managedDisk{id storageAccountType diskEncryptionSet* securityProfile*}}} \
    userData virtualMachineScaleSet* provisioningState vmId timeCreated instanceView*}";

const NIC: &str = "location tags* id name type etag extendedLocation* \
    properties{auxiliaryMode auxiliarySku disableTcpStateTracking dnsSettings* enableAcceleratedNetworking \
    enableIPForwarding migrationPhase networkSecurityGroup* nicType privateLinkService* workloadType provisioningState \
    virtualMachine* resourceGuid macAddress primary \
    ipConfigurations{id name etag type properties{applicationGatewayBackendAddressPools* applicationSecurityGroups* \
    gatewayLoadBalancer* loadBalancerBackendAddressPools* loadBalancerInboundNatRules* primary privateIPAddress \
    privateIPAddressPrefixLength privateIPAddressVersion privateIPAllocationMethod publicIPAddress* subnet* \
    virtualNetworkTaps* provisioningState}}}";

/// `deleteOption` came with this version of the compute API.
const DELETE_OPTION_FROM: &str = "2021-03-01";

/// The first member of a VM that this version of the API does not know.
pub(super) fn unknown_in_vm(body: &Value, api_version: &str) -> Option<String> {
    let old = api_version < DELETE_OPTION_FROM;
    unknown(body, &parse(VM), "", &|name| old && name == "deleteOption")
}

/// The first member of a network interface that the API does not know.
pub(super) fn unknown_in_nic(body: &Value) -> Option<String> {
    unknown(body, &parse(NIC), "", &|_| false)
}

struct Member {
    name: String,
    /// `None`: anything.
    below: Option<Vec<Member>>,
}

fn unknown(
    value: &Value,
    members: &[Member],
    path: &str,
    hidden: &dyn Fn(&str) -> bool,
) -> Option<String> {
    match value {
        Value::Array(items) => items
            .iter()
            .find_map(|item| unknown(item, members, path, hidden)),
        Value::Object(object) => object.iter().find_map(|(name, below)| {
            let here = if path.is_empty() {
                name.clone()
            } else {
                format!("{path}.{name}")
            };
            let known = members
                .iter()
                .find(|member| member.name.eq_ignore_ascii_case(name));
            match known {
                Some(member) if !hidden(&member.name) => {
                    unknown(below, member.below.as_ref()?, &here, hidden)
                }
                _ => Some(here),
            }
        }),
        _ => None,
    }
}

fn parse(text: &str) -> Vec<Member> {
    let mut rest = text;
    members(&mut rest)
}

fn members(rest: &mut &str) -> Vec<Member> {
    let mut found = Vec::new();
    loop {
        *rest = rest.trim_start();
        if rest.is_empty() {
            return found;
        }
        if let Some(after) = rest.strip_prefix('}') {
            *rest = after;
            return found;
        }
        let end = rest
            .find(|c: char| !c.is_ascii_alphanumeric())
            .unwrap_or(rest.len());
        let name = rest[..end].to_owned();
        *rest = &rest[end..];
        let below = if let Some(after) = rest.strip_prefix('{') {
            *rest = after;
            Some(members(rest))
        } else if let Some(after) = rest.strip_prefix('*') {
            *rest = after;
            None
        } else {
            // A plain value: an object in its place has members that nobody knows.
            Some(Vec::new())
        };
        // A malformed table must not hang the lab.
        if name.is_empty() {
            return found;
        }
        found.push(Member { name, below });
    }
}
