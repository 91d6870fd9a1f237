//! Network interfaces (learn.microsoft.com/rest/api/virtualnetwork/network-interfaces), disks, quotas, sizes, operations.

use dispatch_lab::{Now, World};
use serde_json::{Value, json};

use super::{
    account::{Account, AzureRequest, Done},
    refusal::Refusal,
    schema,
    things::{Nic, Operation},
    tokens::tags_of,
    vms::family,
};

const NETWORK: &str = "Microsoft.Network";
const COMPUTE: &str = "Microsoft.Compute";

impl Account {
    /// learn.microsoft.com/rest/api/virtualnetwork/network-interfaces/create-or-update: 201 if new, else 200, with
    /// Azure-AsyncOperation.
    pub(super) fn put_nic(
        &mut self,
        request: &AzureRequest,
        name: &str,
        world: &World,
        now: Now,
    ) -> Result<Done, Refusal> {
        let body = &request.body;
        if let Some(member) = schema::unknown_in_nic(body) {
            let words = format!(
                "Could not find member '{}' on object of type 'NetworkInterface'. Path '{member}'.",
                member.rsplit('.').next().unwrap_or_default()
            );
            return Err(Refusal::new(400, "InvalidRequestFormat", words));
        }
        self.check_location(body)?;
        self.check_tags(&tags_of(&body["tags"]))?;
        let configurations = body["properties"]["ipConfigurations"].as_array();
        let Some(first) = configurations.and_then(|list| list.first()) else {
            return Err(Refusal::new(
                400,
                "NetworkInterfaceMustHaveIpConfiguration",
                format!("Network interface {name} must have one or more IP configurations."),
            ));
        };
        let subnet = first["properties"]["subnet"]["id"]
            .as_str()
            .unwrap_or_default();
        if let Some(missing) = self.missing_of_subnet(subnet) {
            let of = self.id(&format!("networkInterfaces/{name}"), NETWORK, false);
            return Err(Refusal::new(
                400,
                "InvalidResourceReference",
                not_found(missing, &of),
            ));
        }
        let key = name.to_ascii_lowercase();
        let known_alone_ms = self.nics.get(&key).map(|nic| nic.alone_ms);
        let (vm, reserved, going, is_new) = match self.nics.get(&key) {
            Some(nic) => (
                nic.vm.clone(),
                nic.reserved.clone(),
                nic.going.clone(),
                false,
            ),
            None => (None, None, None, true),
        };
        let nic = Nic {
            name: name.to_owned(),
            body: body.clone(),
            tags: tags_of(&body["tags"]),
            vm,
            reserved,
            going,
            alone_ms: known_alone_ms.unwrap_or(Some(now.ms)),
            ready_ms: now.ms + self.settings.nic_ms,
        };
        self.nics.insert(key.clone(), nic);
        let operation = Operation {
            due_ms: now.ms + self.settings.nic_ms,
            fault: None,
        };
        let operation = self.begin("put-nic", operation);
        Ok(Done {
            operation: Some((operation, NETWORK)),
            ..Done::at_once(
                if is_new { 201 } else { 200 },
                self.show_nic(&key, world, now),
            )
        })
    }

    /// learn.microsoft.com/rest/api/virtualnetwork/network-interfaces/get
    pub(super) fn get_nic(&self, name: &str, world: &World, now: Now) -> Result<Value, Refusal> {
        let key = name.to_ascii_lowercase();
        if self.nics.contains_key(&key) {
            Ok(self.show_nic(&key, world, now))
        } else {
            Err(Refusal::not_found(
                "Microsoft.Network/networkInterfaces",
                name,
            ))
        }
    }

    /// learn.microsoft.com/rest/api/virtualnetwork/network-interfaces/delete: 202 and Location, 204 if there is none.
    pub(super) fn delete_nic(&mut self, name: &str, now: Now) -> Result<Done, Refusal> {
        let key = name.to_ascii_lowercase();
        let Some(nic) = self.nics.get(&key) else {
            return Ok(Done::at_once(204, Value::Null));
        };
        if let Some(vm) = &nic.vm {
            return Err(Refusal::new(400, "NicInUse", in_use(name, vm)));
        }
        if let Some((vm, until)) = &nic.reserved
            && now.ms < *until
        {
            return Err(reserved(vm));
        }
        let due_ms = now.ms + self.settings.nic_delete_ms;
        let operation = Operation {
            due_ms,
            fault: None,
        };
        let operation = self.begin("delete-nic", operation);
        if let Some(nic) = self.nics.get_mut(&key) {
            nic.going.get_or_insert((due_ms, operation.clone()));
        }
        self.end_nics(now);
        Ok(Done {
            operation: Some((operation, NETWORK)),
            ..Done::at_once(202, Value::Null)
        })
    }

    /// Carries out deletions of network interfaces that were accepted; one that a VM has taken meanwhile stays
    /// (learn.microsoft.com/azure/azure-resource-manager/management/async-operations: an accepted request may fail).
    pub(super) fn end_nics(&mut self, now: Now) {
        let mut failed = Vec::new();
        let mut ended = Vec::new();
        self.nics.retain(|_, nic| match &nic.going {
            Some((due_ms, operation)) if now.ms >= *due_ms => {
                if let Some(vm) = &nic.vm {
                    failed.push((operation.clone(), in_use(&nic.name, vm)));
                    nic.going = None;
                    return true;
                }
                ended.push(nic.alone_ms);
                false
            }
            _ => true,
        });
        for since_ms in ended {
            self.was_alone(since_ms, now.ms);
        }
        for (operation, words) in failed {
            if let Some(operation) = self.operations.get_mut(&operation) {
                operation.fault = Some(("NicInUse".to_owned(), words));
            }
        }
    }

    /// Whether a VM may have this network interface; its lower-case name.
    pub(super) fn check_nic(&self, id: &str, vm: &str, now: Now) -> Result<String, Refusal> {
        let key = id
            .rsplit('/')
            .next()
            .unwrap_or_default()
            .to_ascii_lowercase();
        let Some(nic) = self.nics.get(&key) else {
            let of = self.id(&format!("virtualMachines/{vm}"), COMPUTE, false);
            return Err(Refusal::new(404, "NotFound", not_found(id, &of)));
        };
        if let Some(other) = nic
            .vm
            .as_ref()
            .filter(|other| !other.eq_ignore_ascii_case(vm))
        {
            let words = format!("Network Interface {id} is used by existing resource {other}.");
            return Err(Refusal::new(400, "NicInUse", words));
        }
        match &nic.reserved {
            Some((other, until)) if now.ms < *until && !other.eq_ignore_ascii_case(vm) => {
                Err(reserved(other))
            }
            _ => Ok(key),
        }
    }

    /// learn.microsoft.com/rest/api/virtualnetwork/network-interfaces/list
    pub(super) fn list_nics(&self, world: &World, now: Now) -> Vec<Value> {
        let mut rows: Vec<Value> = self
            .nics
            .keys()
            .map(|key| self.show_nic(key, world, now))
            .collect();
        if self.settings.odd_rows {
            rows.extend([
                json!({"name": "odd-1-nic", "id": "x"}),
                json!({"name": "odd-2-nic", "id": null, "tags": {"created-at": null}, "properties": {}}),
                json!({"name": "odd-3-nic", "properties": {"ipConfigurations": null}}),
                json!({"name": "odd-4-nic", "properties": {"ipConfigurations": [null, {}, {"properties": {"privateIPAddress": null}}]}}),
                Value::Null,
            ]);
        }
        rows
    }

    fn show_nic(&self, key: &str, world: &World, now: Now) -> Value {
        let Some(nic) = self.nics.get(key) else {
            return Value::Null;
        };
        let mut row = nic.body.clone();
        row["id"] = json!(self.id(&format!("networkInterfaces/{}", nic.name), NETWORK, false));
        row["name"] = json!(nic.name);
        row["type"] = json!("Microsoft.Network/networkInterfaces");
        row["tags"] = json!(nic.tags);
        let ready = now.ms >= nic.ready_ms;
        let properties = &mut row["properties"];
        properties["provisioningState"] = json!(match (&nic.going, ready) {
            (Some(_), _) => "Deleting",
            (None, true) => "Succeeded",
            (None, false) => "Updating",
        });
        if let Some(vm) = nic.vm.as_ref().and_then(|vm| self.vms.get(vm)) {
            let id = self.id(&format!("virtualMachines/{}", vm.name), COMPUTE, false);
            properties["virtualMachine"] = json!({ "id": id });
            // Azure gives the address at once; the lab knows it when the world does.
            let address = vm
                .world
                .as_ref()
                .and_then(|id| world.instances().instances().get(id))
                .map(|instance| instance.described(now).address);
            if let Some(host) = address
                .as_deref()
                .and_then(|address| address.split(':').next())
                .filter(|host| !host.is_empty())
            {
                properties["ipConfigurations"][0]["properties"]["privateIPAddress"] = json!(host);
            }
        }
        row
    }

    /// What is not there of a subnet: its network, or itself.
    fn missing_of_subnet<'a>(&self, id: &'a str) -> Option<&'a str> {
        let parts: Vec<&str> = id.trim_matches('/').split('/').collect();
        let ["subscriptions", _, _, group, _, _, _, network, word, subnet] = parts.as_slice()
        else {
            return Some(id);
        };
        let mut groups = self.settings.resource_groups.iter();
        let is_group = groups.any(|known| known.eq_ignore_ascii_case(group));
        if !is_group || !self.settings.networks.contains(*network) {
            return Some(id.split("/subnets/").next().unwrap_or(id));
        }
        let is_there =
            word.eq_ignore_ascii_case("subnets") && self.settings.subnets.contains(*subnet);
        (!is_there).then_some(id)
    }

    /// learn.microsoft.com/rest/api/compute/disks/list-by-resource-group
    pub(super) fn list_disks(&self) -> Vec<Value> {
        let show = |disk: &super::things::Disk| {
            json!({
                "id": self.id(&format!("disks/{}", disk.name), COMPUTE, false), "name": disk.name,
                "type": "Microsoft.Compute/disks", "location": self.settings.location,
                "properties": {
                    "diskState": if disk.vm.is_some() { "Attached" } else { "Unattached" },
                    "timeCreated": disk.created.to_string(), "provisioningState": "Succeeded",
                    "creationData": {"createOption": "FromImage"},
                },
            })
        };
        let mut rows: Vec<Value> = self.disks.values().map(show).collect();
        if self.settings.odd_rows {
            rows.extend([
                json!({"name": "odd-os"}),
                json!({"name": null, "properties": null}),
                Value::Null,
            ]);
        }
        rows
    }

    /// learn.microsoft.com/rest/api/compute/disks/delete: 202, or 204 if there is none; not while it is attached.
    pub(super) fn delete_disk(&mut self, name: &str, now: Now) -> Result<Done, Refusal> {
        let key = name.to_ascii_lowercase();
        match self.disks.get(&key) {
            None => Ok(Done::at_once(204, Value::Null)),
            Some(disk) if disk.vm.is_some() => {
                let words = format!("Disk {name} is attached to VM {:?}.", disk.vm);
                Err(Refusal::new(409, "OperationNotAllowed", words))
            }
            Some(_) => {
                let disk = self.disks.remove(&key);
                self.was_alone(disk.and_then(|disk| disk.alone_ms), now.ms);
                let operation = Operation {
                    due_ms: 0,
                    fault: None,
                };
                let operation = self.begin("delete-disk", operation);
                Ok(Done {
                    operation: Some((operation, COMPUTE)),
                    ..Done::at_once(202, Value::Null)
                })
            }
        }
    }

    /// learn.microsoft.com/rest/api/compute/usage/list
    pub(super) fn usages(&self, location: &str, world: &World) -> Result<Value, Refusal> {
        if !location.eq_ignore_ascii_case(&self.settings.location) {
            let words = format!("The location '{location}' has no such type.");
            return Err(Refusal::new(404, "NoRegisteredProviderFound", words));
        }
        let cores = |of: &dyn Fn(&super::things::Vm) -> bool| -> u32 {
            let vms = self.vms.values().filter(|vm| of(vm));
            vms.map(|vm| {
                world
                    .settings()
                    .instance_type(&vm.size, vm.spot)
                    .map_or(1, |instance_type| instance_type.vcpus)
            })
            .sum()
        };
        let row = |name: &str, used: u32, limit: u32| json!({"limit": limit, "unit": "Count", "currentValue": used, "name": {"value": name, "localizedValue": name}});
        let mut rows = vec![
            row(
                "cores",
                cores(&|vm| !vm.spot),
                self.settings.cores.unwrap_or(10_000),
            ),
            row(
                "lowPriorityCores",
                cores(&|vm| vm.spot),
                self.settings.spot_cores.unwrap_or(10_000),
            ),
            row(
                "virtualMachines",
                u32::try_from(self.vms.len()).unwrap_or(u32::MAX),
                25_000,
            ),
        ];
        for (name, limit) in &self.settings.family_cores {
            let used = cores(&|vm| !vm.spot && family(&vm.size) == *name);
            rows.push(row(name, used, *limit));
        }
        Ok(json!({ "value": rows }))
    }

    /// learn.microsoft.com/rest/api/compute/resource-skus/list
    pub(super) fn skus(&self, world: &World) -> Value {
        let types = world.settings().instance_types.iter();
        let rows: Vec<Value> = types
            .map(|instance_type| {
                json!({
                    "resourceType": "virtualMachines", "name": instance_type.provider_type, "tier": "Standard",
                    "family": family(&instance_type.provider_type), "locations": [self.settings.location],
                    "capabilities": [{"name": "vCPUs", "value": instance_type.vcpus.to_string()}], "restrictions": [],
                })
            })
            .collect();
        json!({ "value": rows })
    }

    /// learn.microsoft.com/azure/azure-resource-manager/management/async-operations
    pub(super) fn operation(&self, id: &str, now: Now) -> Result<Done, Refusal> {
        let Some(operation) = self.operations.get(id) else {
            return Err(Refusal::new(404, "NotFound", "The operation is not known."));
        };
        let body = match &operation.fault {
            _ if now.ms < operation.due_ms => json!({"name": id, "status": "InProgress"}),
            None => json!({"name": id, "status": "Succeeded"}),
            Some(_) if self.settings.no_reasons => json!({"name": id, "status": "Failed"}),
            Some((code, message)) => {
                json!({"name": id, "status": "Failed", "error": {"code": code, "message": message}})
            }
        };
        Ok(Done::at_once(200, body))
    }
}

/// As Azure says it, with whole ids.
fn not_found(what: &str, referenced_by: &str) -> String {
    format!(
        "Resource {what} referenced by resource {referenced_by} was not found. Please make sure that the referenced resource exists, and that both resources are in the same region."
    )
}

fn in_use(nic: &str, vm: &str) -> String {
    format!(
        "Network Interface {nic} is used by existing resource {vm}. In order to delete the network interface, it must be dissociated from the resource."
    )
}

fn reserved(vm: &str) -> Refusal {
    let words = format!(
        "Nic(s) in request is reserved for another Virtual Machine for 180 seconds. Please provide another nic(s) or retry after 180 seconds. Reserved VM: {vm}"
    );
    Refusal::new(400, "NicReservedForAnotherVm", words)
}
