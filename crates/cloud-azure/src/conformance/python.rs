//! The lab's Azure API, judged by clients that nobody here wrote: Microsoft's own Python packages make, list, tag and
//! delete a VM with its network interface on it, and meet its refusals.

use std::{path::Path, process::Command};

use dispatch_cloud_conformance::Report;

use super::stage::{PATIENCE, Setup};

const SCRIPT: &str = r#"
import json, sys, urllib.error, urllib.parse, urllib.request
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.core.pipeline.policies import SansIOHTTPPolicy
from azure.mgmt.compute import ComputeManagementClient
from azure.mgmt.network import NetworkManagementClient

url, subscription, size = sys.argv[1:4]
form = urllib.parse.urlencode({"grant_type": "client_credentials", "client_id": "lab-client",
    "client_secret": "lab-client-secret", "scope": "https://management.azure.com/.default"}).encode()
token = json.load(urllib.request.urlopen(url + "/lab-tenant/oauth2/v2.0/token", form))["access_token"]

class Bearer(SansIOHTTPPolicy):
    # The packages' own policy wants TLS.
    def on_request(self, request):
        request.http_request.headers["Authorization"] = "Bearer " + token

class Never:
    def get_token(self, *scopes, **more):
        raise AssertionError("not asked")

common = dict(base_url=url, credential_scopes=["x"], authentication_policy=Bearer(), retry_total=0, polling_interval=0.05)
compute = ComputeManagementClient(Never(), subscription, **common)
network = NetworkManagementClient(Never(), subscription, **common)

def code(call, *args, **more):
    try:
        result = call(*args, **more)
        if hasattr(result, "result"):
            result.result()
    except HttpResponseError as error:
        return error.error.code if error.error else str(error.status_code)
    return "none"

def passed(name):
    print("passed " + name)

group = f"/subscriptions/{subscription}/resourceGroups"
subnet = f"{group}/net/providers/Microsoft.Network/virtualNetworks/vnet/subnets/subnet"
def nic(name):
    return network.network_interfaces.begin_create_or_update("vms", name, {
        "location": "centralus", "tags": {"a": "b"},
        "properties": {"ipConfigurations": [{"name": "ip1", "properties": {"subnet": {"id": subnet}}}]},
    }).result()

def vm(name, nic_id, **more):
    body = {
        "location": "centralus", "tags": {"Name": "a <b> & c"},
        "properties": {
            "hardwareProfile": {"vmSize": more.pop("size", size)},
            "storageProfile": {
                "imageReference": {"id": f"{group}/images/providers/Microsoft.Compute/images/lab-image"},
                "osDisk": {"createOption": "FromImage", "name": name + "-os", "deleteOption": "Delete"},
            },
            "osProfile": {"computerName": name, "adminUsername": "crunch",
                          "linuxConfiguration": {"disablePasswordAuthentication": True}},
            "networkProfile": {"networkInterfaces": [
                {"id": nic_id, "properties": {"primary": True, "deleteOption": "Delete"}}]},
        },
    }
    body["properties"].update(more.pop("properties", {}))
    return compute.virtual_machines.begin_create_or_update("vms", name, body, **more)

made_nic = nic("python-nic")
assert made_nic.name == "python-nic" and made_nic.tags == {"a": "b"}, made_nic
passed("a_network_interface_is_made_with_its_tags")
made = vm("python", made_nic.id).result()
assert made.provisioning_state == "Succeeded" and made.hardware_profile.vm_size == size, made
assert made.network_profile.network_interfaces[0].delete_option == "Delete", made
passed("a_vm_is_made_and_its_operation_followed")

names = [row.name for row in compute.virtual_machines.list("vms")]
assert names == ["python"], names
passed("vms_are_listed")
more = [nic(f"more-{n}-nic") for n in range(5)]
listed = [row.name for row in network.network_interfaces.list("vms")]
assert len(listed) == 6, listed
passed("a_list_of_many_pages_is_whole")
attached = network.network_interfaces.get("vms", "python-nic")
assert attached.virtual_machine.id.endswith("/python"), attached
assert attached.ip_configurations[0].private_ip_address.startswith("127."), attached
passed("a_network_interface_knows_its_vm_and_its_address")
view = compute.virtual_machines.instance_view("vms", "python")
assert "PowerState/running" in [status.code for status in view.statuses], view
passed("an_instance_view_tells_the_power_state")
disks = [(disk.name, disk.disk_state) for disk in compute.disks.list_by_resource_group("vms")]
assert disks == [("python-os", "Attached")], disks
passed("disks_are_listed")
cores = {row.name.value: row.current_value for row in compute.usage.list("centralus")}
assert cores["cores"] == 2, cores
passed("usages_are_told")
families = {sku.name: sku.family for sku in compute.resource_skus.list(filter="location eq 'centralus'")}
assert families[size] == "standardDSv3Family", families
passed("sizes_are_told_with_their_families")

tagged = compute.virtual_machines.begin_update("vms", "python", {"tags": {"x": "y"}}).result()
assert tagged.tags == {"x": "y"}, tagged.tags
assert compute.virtual_machines.get("vms", "python").tags == {"x": "y"}
passed("a_vm_is_tagged")

# What it refuses.
assert code(vm, "python", made_nic.id, etag="x", match_condition=None) == "none", "an update"
assert code(compute.virtual_machines.get, "vms", "nobody") == "ResourceNotFound"
assert code(vm, "second", made_nic.id) == "NicInUse"
assert code(vm, "odd", more[0].id, properties={"evictionPolicy": "Delete"}) == "OperationNotAllowed"
passed("refusals_have_azures_codes")
body = {"location": "centralus", "properties": {"networkProfile": {"networkInterfaces": [
    {"id": more[0].id, "properties": {"deleteOption": "Delete"}}]}}}
old = urllib.request.Request(
    f"{url}{group}/vms/providers/Microsoft.Compute/virtualMachines/old?api-version=2020-12-01", json.dumps(body).encode(),
    {"Authorization": "Bearer " + token, "Content-Type": "application/json"}, method="PUT")
try:
    urllib.request.urlopen(old)
    raise AssertionError("deleteOption in an old version")
except urllib.error.HTTPError as error:
    assert "Could not find member 'deleteOption'" in error.read().decode(), error
passed("delete_option_is_refused_before_its_version")

# A refused create keeps its network interface for a while.
assert code(vm, "third", more[1].id, size="Standard_Sold_out") == "SkuNotAvailable"
assert code(network.network_interfaces.begin_delete, "vms", "more-1-nic") == "NicReservedForAnotherVm"
assert code(vm, "fourth", more[1].id) == "NicReservedForAnotherVm"
passed("a_refused_create_keeps_its_network_interface")
# One that is accepted and fails says why.
assert code(vm, "fifth", more[2].id, size="Standard_Failing") == "AllocationFailed"
assert compute.virtual_machines.get("vms", "fifth").provisioning_state == "Failed"
passed("a_create_that_fails_later_says_why")

for name in ("python", "fifth"):
    compute.virtual_machines.begin_delete("vms", name).result()
try:
    network.network_interfaces.get("vms", "python-nic")
    raise AssertionError("the interface is still there")
except ResourceNotFoundError:
    pass
assert list(compute.virtual_machines.list("vms")) == []
passed("a_deleted_vm_takes_its_network_interface_along")
compute.virtual_machines.begin_delete("vms", "python").result()
passed("deleting_again_succeeds")
network.network_interfaces.begin_delete("vms", "more-0-nic").result()
print("fine")
"#;

/// What the script says has passed, in its order.
const CHECKS: [&str; 16] = [
    "a_network_interface_is_made_with_its_tags",
    "a_vm_is_made_and_its_operation_followed",
    "vms_are_listed",
    "a_list_of_many_pages_is_whole",
    "a_network_interface_knows_its_vm_and_its_address",
    "an_instance_view_tells_the_power_state",
    "disks_are_listed",
    "usages_are_told",
    "sizes_are_told_with_their_families",
    "a_vm_is_tagged",
    "refusals_have_azures_codes",
    "delete_option_is_refused_before_its_version",
    "a_refused_create_keeps_its_network_interface",
    "a_create_that_fails_later_says_why",
    "a_deleted_vm_takes_its_network_interface_along",
    "deleting_again_succeeds",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn microsofts_own_clients_find_the_labs_api_to_be_azure() {
    let setup = Setup::default().azure(|settings| {
        settings.page = 2;
        settings.delete_ms = 0;
        settings.retry_after = None;
        settings.sold_out.insert("Standard_Sold_out".to_owned());
        settings.failing.insert(
            "Standard_Failing".to_owned(),
            ("AllocationFailed".to_owned(), "none left".to_owned()),
        );
    });
    let mut stage = setup.start().await;
    stage.is_others = true;
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.tools/azure/bin/python");
    let (url, subscription) = (
        stage.azure.url().to_owned(),
        stage.azure.settings().subscription,
    );
    let run = move || {
        Command::new(own)
            .args(["-c", SCRIPT, &url, &subscription, super::stage::SMALL])
            .output()
    };
    let output = tokio::time::timeout(PATIENCE * 4, tokio::task::spawn_blocking(run))
        .await
        .expect("an end in time")
        .expect("a thread")
        .expect("Microsoft's packages: run cargo xtask setup");
    let (said, complained) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines.last(), Some(&"fine"), "{said}{complained}");
    let report = Report {
        passed: CHECKS.to_vec(),
        ..Report::default()
    };
    let told: Vec<String> = CHECKS.iter().map(|name| format!("passed {name}")).collect();
    assert_eq!(lines[..lines.len() - 1], told);
    report.tell("azure", "the lab, by Microsoft's clients");
}
