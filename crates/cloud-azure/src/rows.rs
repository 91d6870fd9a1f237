//! What lists and views say of VMs, network interfaces and disks. Every level may be null or missing (facts A1, K27):
//! one odd row affects that row alone.
//!
//! VMs are read by hand, since a row that is not shown is taken for a VM that is gone: the model of azure_mgmt_compute
//! refuses a whole VM for one null among its network interfaces. A disk that it refuses is left alone, which is right.

use std::collections::BTreeMap;

use azure_mgmt_compute::package_2024_07_01::models::{self, DiskState, InstanceViewStatus};
use dispatch_cloud::Tags;
use serde_json::Value;

use crate::{
    atlas::Fault,
    garbage::{Disk, Nic},
    lro, places,
};

/// A VM.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct VmRow {
    pub(crate) name: String,
    pub(crate) tags: Tags,
    pub(crate) size: String,
    pub(crate) spot: bool,
    pub(crate) state: VmState,
    /// The lower-case name of its first network interface.
    pub(crate) nic: Option<String>,
}

/// How a VM is, as far as it matters.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum VmState {
    /// Made.
    Well,
    /// Being made or changed.
    Coming,
    Deleting,
    Failed,
}

/// One row of a list of VMs; `None` if it cannot even be named.
pub(crate) fn vm(row: &Value) -> Option<VmRow> {
    let name = name(row)?;
    let properties = &row["properties"];
    let state = match lro::state(row) {
        Some(state) if state.eq_ignore_ascii_case("Deleting") => VmState::Deleting,
        Some(state) if state.eq_ignore_ascii_case("Failed") => VmState::Failed,
        Some(state) if state.eq_ignore_ascii_case("Succeeded") => VmState::Well,
        _ => VmState::Coming,
    };
    let interfaces = properties["networkProfile"]["networkInterfaces"].as_array();
    let nic = interfaces
        .into_iter()
        .flatten()
        .find_map(|interface| interface["id"].as_str());
    Some(VmRow {
        name,
        tags: tags(row),
        size: text(&properties["hardwareProfile"]["vmSize"]),
        spot: properties["priority"]
            .as_str()
            .is_some_and(|priority| priority.eq_ignore_ascii_case("Spot")),
        state,
        nic: nic.map(|id| places::name_in(id).to_ascii_lowercase()),
    })
}

/// What is odd about a row of a list of VMs, one line each (facts A1, K27).
pub(crate) fn oddities_of_vm(row: &Value) -> Vec<String> {
    let Some(vm) = vm(row) else {
        return vec!["a row of the list of VMs has no name".to_owned()];
    };
    let name = &vm.name;
    let mut found = Vec::new();
    if vm.nic.is_none() {
        found.push(format!("VM {name} has no network interface"));
    }
    let tags = row["tags"].as_object().into_iter().flatten();
    for (key, _) in tags.filter(|(_, value)| !value.is_string()) {
        found.push(format!("tag {key:?} of VM {name} is no text"));
    }
    found
}

/// One row of a list of network interfaces, and its address; "" while it has none.
pub(crate) fn nic(row: &Value) -> Option<(Nic, String)> {
    let properties = &row["properties"];
    let configurations = properties["ipConfigurations"].as_array();
    let address = configurations
        .into_iter()
        .flatten()
        .find_map(|configuration| {
            configuration["properties"]["privateIPAddress"]
                .as_str()
                .filter(|address| !address.is_empty())
        });
    let nic = Nic {
        name: name(row)?,
        tags: tags(row),
        attached: !properties["virtualMachine"].is_null(),
    };
    Some((nic, address.unwrap_or_default().to_owned()))
}

/// One row of a list of disks; `None` if it is odd.
pub(crate) fn disk(row: &Value) -> Option<Disk> {
    let disk: models::Disk = serde_json::from_value(row.clone()).ok()?;
    let properties = disk.properties;
    let state = properties
        .as_ref()
        .and_then(|properties| properties.disk_state.clone());
    let is_free = match state {
        Some(DiskState::Unattached) => true,
        Some(DiskState::UnknownValue(state)) => state.eq_ignore_ascii_case("Unattached"),
        _ => false,
    };
    let created = properties.and_then(|properties| properties.time_created);
    Some(Disk {
        name: name(row)?,
        tags: tags(row),
        unattached: is_free && disk.managed_by.is_none(),
        created: created.and_then(|created| {
            jiff::Timestamp::from_nanosecond(created.unix_timestamp_nanos()).ok()
        }),
    })
}

/// Why a VM failed, as its instance view says, and whether it runs nevertheless: an update of a VM that runs well may
/// fail, too, and that VM must not go. `None`: the view does not say whether it runs. One that never had a machine has no
/// power state, and neither has, at times, one that runs
/// (learn.microsoft.com/azure/virtual-machines/states-billing).
pub(crate) fn failure_in_view(view: &Value) -> (Option<Fault>, Option<bool>) {
    let statuses = statuses(view);
    let state = power_state(view).map(|state| state.to_ascii_lowercase());
    let runs = match state.as_deref() {
        Some("starting" | "running" | "stopping") => Some(true),
        Some("stopped" | "deallocating" | "deallocated") => Some(false),
        _ => None,
    };
    let failed = statuses.iter().find_map(|status| {
        let code = status.code.as_deref()?;
        let lower = code.to_ascii_lowercase();
        let reason = lower
            .strip_prefix("provisioningstate/failed")?
            .trim_start_matches('/');
        let at = code.len() - reason.len();
        let message = status.message.as_deref().unwrap_or_default();
        Some(Fault::new(&code[at..], message))
    });
    (failed, runs)
}

/// "running", "stopped", "deallocated", …, as an instance view says.
pub(crate) fn power_state(view: &Value) -> Option<String> {
    statuses(view).into_iter().find_map(|status| {
        let code = status.code?;
        let (kind, state) = code.split_once('/')?;
        kind.eq_ignore_ascii_case("PowerState")
            .then(|| state.to_owned())
    })
}

/// One odd status affects itself alone.
fn statuses(view: &Value) -> Vec<InstanceViewStatus> {
    let statuses = view["statuses"].as_array().into_iter().flatten();
    statuses
        .filter_map(|status| serde_json::from_value(status.clone()).ok())
        .collect()
}

fn name(row: &Value) -> Option<String> {
    let name = row["name"].as_str()?;
    (!name.is_empty()).then(|| name.to_owned())
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn tags(row: &Value) -> Tags {
    let pairs = row["tags"].as_object().into_iter().flatten();
    pairs
        .map(|(key, value)| {
            let value = match value {
                Value::String(text) => text.clone(),
                Value::Null => String::new(),
                other => other.to_string(),
            };
            (key.clone(), value)
        })
        .collect::<BTreeMap<String, String>>()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a1_k27_every_level_may_be_null_or_missing() {
        for row in [
            json!(null),
            json!({}),
            json!({"name": null}),
            json!({"name": 3}),
            json!({"name": ""}),
            json!([]),
        ] {
            assert_eq!(vm(&row), None, "{row}");
            assert_eq!(nic(&row), None, "{row}");
            assert_eq!(disk(&row), None, "{row}");
        }
        let bare = vm(&json!({"name": "a"})).expect("a VM");
        assert_eq!((bare.nic, bare.size.as_str()), (None, ""));
        for interfaces in [
            json!(null),
            json!([]),
            json!([null]),
            json!([{}]),
            json!([{"id": null}]),
            json!(7),
        ] {
            let row = json!({"name": "a", "tags": {"x": null, "y": 7, "z": "w"}, "properties": {"networkProfile": {"networkInterfaces": interfaces}}});
            let read = vm(&row).expect("a VM");
            assert_eq!(read.nic, None, "{row}");
            assert_eq!(read.tags["x"], "");
            assert_eq!(read.tags["y"], "7");
            assert_eq!(read.tags["z"], "w");
        }
        for configurations in [
            json!(null),
            json!([]),
            json!([null]),
            json!([{"properties": null}]),
            json!([{"properties": {"privateIPAddress": null}}]),
            json!([{"properties": {"privateIPAddress": ""}}]),
        ] {
            let row = json!({"name": "a", "properties": {"ipConfigurations": configurations}});
            let (read, address) = nic(&row).expect("an interface");
            assert_eq!(address, "", "{row}");
            assert!(!read.attached);
        }
        let whole = json!({"name": "a", "properties": {"virtualMachine": {"id": "x"}, "ipConfigurations": [{}, {"properties": {"privateIPAddress": "10.0.0.4"}}]}});
        let (read, address) = nic(&whole).expect("an interface");
        assert!(read.attached);
        assert_eq!(address, "10.0.0.4");
    }

    #[test]
    fn states_and_spot_are_read_in_any_case() {
        let row = |state: &str, priority: &str| {
            vm(&json!({"name": "a", "properties": {"provisioningState": state, "priority": priority,
                "networkProfile": {"networkInterfaces": [{"id": "/X/networkInterfaces/A-NIC"}]}}}))
            .expect("a VM")
        };
        assert_eq!(row("deleting", "").state, VmState::Deleting);
        assert_eq!(row("Failed", "spot").state, VmState::Failed);
        assert_eq!(row("Creating", "Regular").state, VmState::Coming);
        assert_eq!(row("succeeded", "Regular").state, VmState::Well);
        assert!(row("", "SPOT").spot && !row("", "Regular").spot);
        assert_eq!(row("", "").nic.as_deref(), Some("a-nic"));
    }

    #[test]
    fn an_instance_view_tells_why_a_vm_failed_and_whether_it_runs() {
        let view = |codes: &[&str]| {
            let statuses: Vec<Value> = codes
                .iter()
                .map(|code| json!({"code": code, "message": "because"}))
                .collect();
            let (fault, runs) = failure_in_view(&json!({ "statuses": statuses }));
            let fault = fault.map(|fault| (fault.code().to_owned(), fault.message().to_owned()));
            (fault, runs)
        };
        let because = |code: &str, runs| (Some((code.to_owned(), "because".to_owned())), runs);
        assert_eq!(
            view(&["ProvisioningState/failed/AllocationFailed"]),
            because("AllocationFailed", None)
        );
        for (power, runs) in [
            ("PowerState/starting", Some(true)),
            ("PowerState/running", Some(true)),
            ("powerstate/Running", Some(true)),
            ("PowerState/stopping", Some(true)),
            ("PowerState/stopped", Some(false)),
            ("PowerState/deallocating", Some(false)),
            ("PowerState/deallocated", Some(false)),
            ("PowerState/unknown", None),
            ("PowerState/hibernated", None),
            ("PowerState/", None),
            ("PowerState", None),
        ] {
            assert_eq!(
                view(&["ProvisioningState/failed/VMExtensionError", power]),
                because("VMExtensionError", runs),
                "{power}"
            );
        }
        assert_eq!(view(&["ProvisioningState/failed"]), because("", None));
        assert_eq!(view(&["ProvisioningState/succeeded"]), (None, None));
        let stopped = json!({"statuses": [null, {"code": 7}, {"code": "PowerState/deallocated"}]});
        assert_eq!(power_state(&stopped).as_deref(), Some("deallocated"));
        for nothing in [json!({"statuses": null}), json!({"statuses": [null, {}]})] {
            assert_eq!(failure_in_view(&nothing), (None, None));
        }
    }

    #[test]
    fn disks_in_use_and_undated_ones_are_told_apart() {
        let row = |state: &str, managed_by: Value| {
            disk(&json!({"name": "d", "location": "l", "managedBy": managed_by, "properties": {"diskState": state, "creationData": {"createOption": "FromImage"}, "timeCreated": "2026-11-22T10:00:00.1234567+00:00"}})).expect("a disk")
        };
        assert!(row("unattached", Value::Null).unattached);
        assert!(!row("Unattached", json!("vm")).unattached);
        assert!(!row("Reserved", Value::Null).unattached);
        assert!(row("Attached", Value::Null).created.is_some());
        // Without a date its age is not known; with an odd one, it is left alone.
        let undated = json!({"name": "d", "location": "l", "properties": {"creationData": {"createOption": "FromImage"}}});
        assert_eq!(disk(&undated).expect("a disk").created, None);
        let odd = json!({"name": "d", "location": "l", "properties": {"creationData": {"createOption": "FromImage"}, "timeCreated": "x"}});
        assert_eq!(disk(&odd), None);
    }

    #[test]
    fn the_model_would_lose_vms_that_are_read_here() {
        let row = json!({"name": "a", "location": "l", "tags": {"x": "y"},
            "properties": {"networkProfile": {"networkInterfaces": [null]}}});
        assert_eq!(vm(&row).expect("a VM").tags["x"], "y");
        assert!(serde_json::from_value::<models::VirtualMachine>(row).is_err());
    }
}
