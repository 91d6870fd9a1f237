//! Virtual machines (learn.microsoft.com/rest/api/compute/virtual-machines).

use std::collections::{BTreeMap, BTreeSet};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use dispatch_lab::{
    Now, When, World,
    cloud::{CloudAnswer, CloudCall, Order, quota_group},
};
use serde_json::{Value, json};

use super::{
    account::{Account, AzureCreation, AzureRequest, Done},
    path::Target,
    refusal::Refusal,
    schema,
    things::{Disk, Operation, State, Vm},
    tokens::tags_of,
};

/// Marks an instance of the world with its VM.
const MARK: &str = "lab-azure-vm";
/// A resource has at most so many tags
/// (learn.microsoft.com/azure/azure-resource-manager/management/tag-resources).
const TAGS_MAX: usize = 50;
const COMPUTE: &str = "Microsoft.Compute";

impl Account {
    /// Brings everything up to date: what is finished, what the world has ended, what has arrived late.
    pub(super) fn advance(&mut self, world: &mut World, now: Now) {
        let arrived: Vec<(String, String)> = world
            .instances()
            .instances()
            .values()
            .filter(|instance| instance.alive())
            .filter_map(|instance| Some((instance.tags.get(MARK)?.clone(), instance.id.clone())))
            .collect();
        for (name, id) in arrived {
            if let Some(mut vm) = self.coming.remove(&name) {
                // Without its network interface, it could not have been made.
                if vm.nics.iter().any(|(nic, _)| !self.nics.contains_key(nic)) {
                    world.cloud(&CloudCall::Destroy(id), now);
                    continue;
                }
                vm.world = Some(id);
                self.settle_in(&name, vm, now);
            }
        }
        let mut gone = Vec::new();
        for (name, vm) in &mut self.vms {
            let instance = vm.world.as_ref().map(|id| {
                let instance = world.instances().instances().get(id);
                let listed = instance.is_some_and(|instance| {
                    instance.listed_until.is_none_or(|until| now.ms < until)
                });
                (world.instances().alive(id).is_some(), listed)
            });
            match (&vm.state, instance) {
                (State::Deleting { due_ms }, _)
                    if now.ms >= *due_ms && instance.is_none_or(|(_, listed)| !listed) =>
                {
                    gone.push(name.clone());
                }
                (State::Deleting { .. }, _) => {}
                // Evicted: with the policy Delete it simply disappears
                // (learn.microsoft.com/azure/virtual-machines/spot-vms#eviction-policy).
                (_, Some((false, _))) => vm.state = State::Deleting { due_ms: now.ms },
                (State::Creating { due_ms }, _) if now.ms >= *due_ms => {
                    vm.state = match &vm.fault {
                        Some((code, message)) if vm.world.is_none() || vm.runs_failed => {
                            State::Failed {
                                code: code.clone(),
                                message: message.clone(),
                            }
                        }
                        _ => State::Succeeded,
                    };
                }
                _ => {}
            }
        }
        for name in gone {
            self.remove(&name, now);
        }
    }

    /// The VM is there, with what belongs to it.
    fn settle_in(&mut self, key: &str, vm: Vm, now: Now) {
        for (nic, _) in &vm.nics {
            if let Some(nic) = self.nics.get_mut(nic) {
                nic.vm = Some(key.to_owned());
                nic.reserved = None;
                let since_ms = nic.alone_ms.take();
                self.was_alone(since_ms, now.ms);
            }
        }
        let disk = Disk {
            name: vm.disk.clone(),
            vm: Some(key.to_owned()),
            alone_ms: None,
            created: vm.created,
        };
        self.disks.insert(vm.disk.to_ascii_lowercase(), disk);
        self.creations.push(AzureCreation {
            vm: key.to_owned(),
            late: self.is_late,
            fails: vm.fault.is_some(),
        });
        self.vms.insert(key.to_owned(), vm);
    }

    /// The VM is gone; `deleteOption` says what goes along
    /// (learn.microsoft.com/azure/virtual-machines/delete).
    fn remove(&mut self, key: &str, now: Now) {
        let Some(vm) = self.vms.remove(key) else {
            return;
        };
        let leaves = self.settings.leaves_leftovers;
        for (nic, goes) in &vm.nics {
            if *goes && !leaves {
                self.nics.remove(nic);
            } else if let Some(nic) = self.nics.get_mut(nic) {
                nic.vm = None;
                nic.alone_ms = Some(now.ms);
            }
        }
        let disk = vm.disk.to_ascii_lowercase();
        if vm.disk_goes && !leaves {
            self.disks.remove(&disk);
        } else if let Some(disk) = self.disks.get_mut(&disk) {
            disk.vm = None;
            disk.alone_ms = Some(now.ms);
        }
    }

    /// learn.microsoft.com/rest/api/compute/virtual-machines/create-or-update: 201 and Azure-AsyncOperation if new, 200 if
    /// it updates.
    pub(super) fn put_vm(
        &mut self,
        request: &AzureRequest,
        name: &str,
        world: &mut World,
        now: Now,
    ) -> Result<Done, Refusal> {
        let key = name.to_ascii_lowercase();
        if let Some(vm) = self.vms.get_mut(&key) {
            if request.header("if-none-match") == "*" {
                return Err(Refusal::new(
                    412,
                    "PreconditionFailed",
                    "The specified precondition 'If-None-Match = *' failed.",
                ));
            }
            if matches!(vm.state, State::Deleting { .. }) {
                let words = format!(
                    "Operation 'put' is not allowed on VM '{name}' since the VM is marked for deletion."
                );
                return Err(Refusal::new(409, "OperationNotAllowed", words));
            }
            // An update; only tags can differ here.
            if let Some(tags) = request.body.get("tags") {
                vm.tags = tags_of(tags);
            }
            let shown = self.get_vm(name, world, now)?;
            return Ok(Done::at_once(200, shown));
        }
        let mut vm = self.read_vm(request, name, now)?;
        let fail_rate = self.settings.fail_rate;
        let fails_next = self.settings.fail_next > 0;
        self.settings.fail_next = self.settings.fail_next.saturating_sub(1);
        if fails_next || (fail_rate > 0.0 && self.draw() < fail_rate) {
            let words = "Allocation failed. We do not have sufficient capacity for the requested VM size in this region.";
            vm.fault = Some(("AllocationFailed".to_owned(), words.to_owned()));
            self.strike("failed");
        }
        let nics: Vec<String> = vm.nics.iter().map(|(nic, _)| nic.clone()).collect();
        let made = self
            .has_room(&vm, world)
            .and_then(|()| self.make(&vm, request, world, now));
        let (id, when) = match made {
            Ok(made) => made,
            Err(refusal) => {
                // What failed keeps its network interface for a while (aka.ms/deletenic).
                let until = now.ms + self.settings.reserved_ms;
                for nic in &nics {
                    if let Some(nic) = self.nics.get_mut(nic) {
                        nic.reserved = Some((key.clone(), until));
                    }
                }
                return Err(refusal);
            }
        };
        let fault = vm.fault.clone();
        let fails = fault.is_some() && !vm.runs_failed;
        let operation = Operation {
            due_ms: now.ms + self.settings.create_ms,
            fault,
        };
        let operation = self.begin("put-vm", operation);
        vm.operation = Some(operation.clone());
        vm.world = id;
        if vm.world.is_none() && !fails {
            // The world carries it out later.
            self.coming.insert(key, vm);
            return Ok(Done {
                when,
                ..Done::at_once(201, json!({}))
            });
        }
        self.settle_in(&key, vm, now);
        let body = self.show_vm(&key, false, now);
        Ok(Done {
            status: 201,
            body,
            operation: Some((operation, COMPUTE)),
            when,
        })
    }

    /// Changes a VM's tags: those that are given take the place of all others
    /// (learn.microsoft.com/rest/api/compute/virtual-machines/update). The lab changes nothing else.
    pub(super) fn patch_vm(
        &mut self,
        request: &AzureRequest,
        name: &str,
        world: &World,
        now: Now,
    ) -> Result<Done, Refusal> {
        self.get_vm(name, world, now)?;
        let tags = tags_of(&request.body["tags"]);
        self.check_tags(&tags)?;
        if let Some(vm) = self.vms.get_mut(&name.to_ascii_lowercase()) {
            vm.tags = tags;
        }
        Ok(Done::at_once(200, self.get_vm(name, world, now)?))
    }

    /// What is put, if Azure would take it.
    fn read_vm(&self, request: &AzureRequest, name: &str, now: Now) -> Result<Vm, Refusal> {
        let body = &request.body;
        let invalid = |words: String| Refusal::new(400, "InvalidParameter", words);
        if let Some(member) = schema::unknown_in_vm(body, request.query("api-version")) {
            let words = format!(
                "Could not find member '{}' on object of type 'VirtualMachine'. Path '{member}'.",
                member.rsplit('.').next().unwrap_or_default()
            );
            return Err(Refusal::new(400, "BadRequest", words));
        }
        self.check_location(body)?;
        self.check_tags(&tags_of(&body["tags"]))?;
        let properties = &body["properties"];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let size = text(&properties["hardwareProfile"]["vmSize"]);
        if size.is_empty() {
            return Err(invalid(
                "The value of parameter vmSize is missing.".to_owned(),
            ));
        }
        // A name of at most 64 characters, and so the host's
        // (learn.microsoft.com/azure/azure-resource-manager/management/resource-name-rules).
        let computer = text(&properties["osProfile"]["computerName"]);
        if name.len() > 64 || computer.is_empty() || computer.len() > 64 {
            return Err(invalid(format!(
                "The name '{computer}' of the computer is invalid."
            )));
        }
        let spot = text(&properties["priority"]).eq_ignore_ascii_case("Spot");
        if !spot
            && (!properties["billingProfile"].is_null() || !properties["evictionPolicy"].is_null())
        {
            // Facts A7.
            return Err(Refusal::new(
                409,
                "OperationNotAllowed",
                "Max price and eviction policy can only be set on Azure Spot VMs.",
            ));
        }
        let storage = &properties["storageProfile"];
        if !storage["osDisk"]["vhd"].is_null() {
            return Err(invalid("Unmanaged disks have been retired.".to_owned()));
        }
        let image = text(&storage["imageReference"]["id"]);
        if !self.has_image(&image) {
            let words = format!("The image '{image}' was not found.");
            return Err(Refusal::new(404, "ImageNotFound", words));
        }
        let disk = Some(text(&storage["osDisk"]["name"])).filter(|name| !name.is_empty());
        let goes = |value: &Value| text(value).eq_ignore_ascii_case("Delete");
        let mut nics = Vec::new();
        for nic in properties["networkProfile"]["networkInterfaces"]
            .as_array()
            .into_iter()
            .flatten()
        {
            let key = self.check_nic(&text(&nic["id"]), name, now)?;
            nics.push((key, goes(&nic["properties"]["deleteOption"])));
        }
        if nics.is_empty() {
            return Err(invalid(
                "A VM needs at least one network interface.".to_owned(),
            ));
        }
        Ok(Vm {
            name: name.to_owned(),
            body: body.clone(),
            tags: tags_of(&body["tags"]),
            fault: self
                .settings
                .failing
                .get(&size)
                .or(self.settings.failing_but_running.get(&size))
                .cloned(),
            runs_failed: self.settings.failing_but_running.contains_key(&size),
            operation: None,
            size,
            spot,
            vcpus: 1,
            state: State::Creating {
                due_ms: now.ms + self.settings.create_ms,
            },
            world: None,
            created_ms: now.ms,
            created: now.wall,
            was_listed: false,
            nics,
            disk: disk.unwrap_or_else(|| format!("{name}_OsDisk_1")),
            disk_goes: goes(&storage["osDisk"]["deleteOption"]),
        })
    }

    pub(super) fn check_location(&self, body: &Value) -> Result<(), Refusal> {
        match body["location"].as_str() {
            None | Some("") => Err(Refusal::new(
                400,
                "LocationRequired",
                "The location property is required for this definition.",
            )),
            Some(location) if !location.eq_ignore_ascii_case(&self.settings.location) => {
                let words = format!("The provided location '{location}' is not available.");
                Err(Refusal::new(
                    400,
                    "LocationNotAvailableForResourceType",
                    words,
                ))
            }
            Some(_) => Ok(()),
        }
    }

    pub(super) fn check_tags(&self, tags: &BTreeMap<String, String>) -> Result<(), Refusal> {
        if tags.len() > TAGS_MAX {
            let words = format!("A resource may have {TAGS_MAX} tags.");
            return Err(Refusal::new(400, "TagCountLimitExceeded", words));
        }
        let odd = |key: &String| {
            key.is_empty() || key.len() > 512 || key.contains(['<', '>', '%', '&', '\\', '?', '/'])
        };
        if let Some(key) = tags.keys().find(|key| odd(key)) {
            let words = format!("The tag name '{key}' has characters that are not allowed.");
            return Err(Refusal::new(400, "InvalidTagNameCharacters", words));
        }
        match tags.iter().find(|(_, value)| value.len() > 256) {
            Some((key, _)) => Err(Refusal::new(
                400,
                "InvalidTagValueLength",
                format!("The value of tag '{key}' is too long."),
            )),
            None => Ok(()),
        }
    }

    fn has_image(&self, id: &str) -> bool {
        let parts: Vec<&str> = id.trim_matches('/').split('/').collect();
        let name = match parts.as_slice() {
            [.., kind, name] if kind.eq_ignore_ascii_case("images") => *name,
            [.., "images", name, "versions", _] => *name,
            _ => return false,
        };
        let known = |group: &&str| {
            self.settings
                .resource_groups
                .iter()
                .any(|known| known.eq_ignore_ascii_case(group))
        };
        parts.get(3).is_some_and(known) && self.settings.images.contains(name)
    }

    /// Quotas and what is sold out.
    fn has_room(&self, vm: &Vm, world: &World) -> Result<(), Refusal> {
        if self.settings.sold_out.contains(&vm.size) {
            let words = format!(
                "The requested VM size for resource 'Following SKUs have failed for Capacity Restrictions: {}' is currently not available in location '{}'. Please try another size or deploy to a different location or different zone.",
                vm.size, self.settings.location
            );
            return Err(Refusal::new(409, "SkuNotAvailable", words));
        }
        let asked = vcpus(&vm.size, vm.spot, world);
        let used = |of: &dyn Fn(&Vm) -> bool| -> u32 {
            self.vms
                .values()
                .filter(|other| of(other))
                .map(|other| vcpus(&other.size, other.spot, world))
                .sum()
        };
        let full = |what: &str, limit: Option<u32>, used: u32| match limit {
            Some(limit) if used + asked > limit => {
                let what = (!self.settings.silent_quota).then_some(what);
                Err(Refusal::quota(what, limit, used, asked))
            }
            _ => Ok(()),
        };
        if vm.spot {
            return full(
                "LowPriorityCores",
                self.settings.spot_cores,
                used(&|other| other.spot),
            );
        }
        let family = family(&vm.size);
        let of_family = used(&|other| !other.spot && self::family(&other.size) == family);
        full(
            &family,
            self.settings.family_cores.get(&family).copied(),
            of_family,
        )?;
        full(
            "Total Regional",
            self.settings.cores,
            used(&|other| !other.spot),
        )
    }

    /// Makes the instance of the world; without one, it comes later, or never.
    fn make(
        &self,
        vm: &Vm,
        request: &AzureRequest,
        world: &mut World,
        now: Now,
    ) -> Result<(Option<String>, When), Refusal> {
        if vm.fault.is_some() && !vm.runs_failed {
            return Ok((None, When::After(0)));
        }
        let properties = &request.body["properties"];
        let mut tags = vm.tags.clone();
        tags.insert(MARK.to_owned(), vm.name.to_ascii_lowercase());
        let key = &properties["osProfile"]["linuxConfiguration"]["ssh"]["publicKeys"][0];
        let data = properties["osProfile"]["customData"]
            .as_str()
            .unwrap_or_default();
        let order = Order {
            provider_type: vm.size.clone(),
            image_id: properties["storageProfile"]["imageReference"]["id"]
                .as_str()
                .unwrap_or_default()
                .to_owned(),
            preemptible: vm.spot,
            max_price: None,
            added_scratch_bytes: 0,
            tags,
            init_script: String::from_utf8(STANDARD.decode(data).unwrap_or_default())
                .unwrap_or_default(),
            public_key: key["keyData"].as_str().map(str::to_owned),
            client_token: None,
        };
        let reply = world.cloud(&CloudCall::Create(order), now);
        match reply.answer {
            CloudAnswer::Created(instance) => Ok((Some(instance.id), reply.when)),
            CloudAnswer::Refused(refusal) => Err(Refusal::of_world(&refusal, &family(&vm.size))),
            _ => Ok((None, reply.when)),
        }
    }

    /// learn.microsoft.com/rest/api/compute/virtual-machines/get
    pub(super) fn get_vm(&self, name: &str, _world: &World, now: Now) -> Result<Value, Refusal> {
        let key = name.to_ascii_lowercase();
        let known = self
            .vms
            .get(&key)
            .filter(|vm| now.ms >= vm.created_ms + self.settings.unknown_ms);
        match known {
            Some(_) => Ok(self.show_vm(&key, false, now)),
            None => Err(Refusal::not_found(
                "Microsoft.Compute/virtualMachines",
                name,
            )),
        }
    }

    /// learn.microsoft.com/rest/api/compute/virtual-machines/instance-view, with the states of
    /// learn.microsoft.com/azure/virtual-machines/states-billing
    pub(super) fn instance_view(
        &self,
        name: &str,
        world: &World,
        now: Now,
    ) -> Result<Value, Refusal> {
        self.get_vm(name, world, now)?;
        let vm = &self.vms[&name.to_ascii_lowercase()];
        let provisioning = match &vm.state {
            State::Failed { .. } if self.settings.no_reasons => json!(
                {"code": "ProvisioningState/failed", "level": "Error", "displayStatus": "Provisioning failed"}
            ),
            State::Failed { code, message } => json!(
                {"code": format!("ProvisioningState/failed/{code}"), "level": "Error", "displayStatus": "Provisioning failed", "message": message}
            ),
            state => {
                json!({"code": format!("ProvisioningState/{}", state.word().to_lowercase()), "level": "Info"})
            }
        };
        // What failed before it had a machine has no power state.
        let has_power = !matches!(vm.state, State::Failed { .. }) || vm.runs_failed;
        let own = has_power.then(|| "running".to_owned());
        let power = self.settings.power_state.clone().unwrap_or(own);
        let power = power.map(|state| {
            json!({"code": format!("PowerState/{state}"), "level": "Info", "displayStatus": format!("VM {state}")})
        });
        let statuses: Vec<Value> = [provisioning].into_iter().chain(power).collect();
        Ok(json!({"computerName": vm.name, "statuses": statuses}))
    }

    /// learn.microsoft.com/rest/api/compute/virtual-machines/delete: 202, or 204 if there is none. Also while it is being
    /// made.
    pub(super) fn delete_vm(
        &mut self,
        name: &str,
        world: &mut World,
        now: Now,
    ) -> Result<Done, Refusal> {
        let key = name.to_ascii_lowercase();
        let Some(vm) = self.vms.get(&key) else {
            return Ok(Done::at_once(204, Value::Null));
        };
        if let Some(fault) = self.settings.delete_fails.clone() {
            let operation = Operation {
                due_ms: now.ms + self.settings.delete_ms,
                fault: Some(fault),
            };
            return Ok(Done {
                operation: Some((self.begin("delete-vm", operation), COMPUTE)),
                ..Done::at_once(202, Value::Null)
            });
        }
        let mut when = When::After(0);
        if let Some(id) = vm
            .world
            .clone()
            .filter(|id| world.instances().alive(id).is_some())
        {
            let reply = world.cloud(&CloudCall::Destroy(id.clone()), now);
            when = reply.when;
            if let CloudAnswer::Refused(refusal) = &reply.answer {
                return Err(Refusal::of_world(refusal, ""));
            }
            if world.instances().alive(&id).is_some() {
                // It hangs, and nothing was done.
                return Ok(Done {
                    when,
                    ..Done::at_once(202, Value::Null)
                });
            }
        }
        let due_ms = now.ms + self.settings.delete_ms;
        // The operation that makes it is preempted (learn.microsoft.com/azure/virtual-machines/error-codes,
        // OperationPreempted).
        let making = (self.vms.get(&key))
            .filter(|vm| matches!(vm.state, State::Creating { .. }))
            .and_then(|vm| self.operations.get_mut(vm.operation.as_ref()?));
        if let Some(making) = making {
            making.due_ms = now.ms;
            let words = "The operation has been preempted by a more recent operation.";
            making.fault = Some(("OperationPreempted".to_owned(), words.to_owned()));
        }
        if let Some(vm) = self.vms.get_mut(&key)
            && !matches!(vm.state, State::Deleting { .. })
        {
            vm.state = State::Deleting { due_ms };
        }
        let operation = Operation {
            due_ms,
            fault: None,
        };
        Ok(Done {
            status: 202,
            body: Value::Null,
            operation: Some((self.begin("delete-vm", operation), COMPUTE)),
            when,
        })
    }

    /// Every VM of the resource group, whosever it is (facts A11;
    /// learn.microsoft.com/rest/api/compute/virtual-machines/list).
    pub(super) fn list_vms(
        &mut self,
        world: &mut World,
        now: Now,
    ) -> Result<(Vec<Value>, When), Refusal> {
        let reply = world.cloud(&CloudCall::List(BTreeMap::new()), now);
        let listed = match reply.answer {
            CloudAnswer::Listed(listed) => listed,
            CloudAnswer::Refused(refusal) => return Err(Refusal::of_world(&refusal, "")),
            _ => return Ok((Vec::new(), reply.when)),
        };
        let omitted = self.omitted(now);
        let mut rows = Vec::new();
        for (key, vm) in &self.vms {
            if omitted.contains(key) {
                continue;
            }
            let shown = vm.world.is_none()
                || matches!(vm.state, State::Deleting { .. })
                || listed
                    .iter()
                    .any(|instance| Some(&instance.id) == vm.world.as_ref());
            if shown {
                let mut row = self.show_vm(key, self.settings.capitals, now);
                if let Some(instance) = listed
                    .iter()
                    .find(|instance| Some(&instance.id) == vm.world.as_ref())
                {
                    // Reads of tags may be stale.
                    let mut tags = instance.tags.clone();
                    tags.remove(MARK);
                    row["tags"] = json!(tags);
                }
                for (key, tag) in row["tags"].as_object_mut().into_iter().flatten() {
                    if self.settings.null_tags.contains(key) {
                        *tag = Value::Null;
                    }
                }
                if let Some(tags) = row["tags"].as_object_mut() {
                    tags.retain(|key, _| !self.settings.lost_tags.contains(key));
                }
                rows.push(row);
            }
        }
        for row in &rows {
            let name = row["name"].as_str().unwrap_or_default();
            if let Some(vm) = self.vms.get_mut(&name.to_ascii_lowercase()) {
                vm.was_listed = true;
            }
        }
        for instance in &listed {
            if !instance.tags.contains_key(MARK) {
                rows.push(json!({
                    "id": self.id(&format!("virtualMachines/{}", instance.id), COMPUTE, false),
                    "name": instance.id, "location": self.settings.location, "tags": instance.tags,
                    "properties": {"provisioningState": "Succeeded", "hardwareProfile": {"vmSize": instance.provider_type}},
                }));
            }
        }
        if self.settings.odd_rows {
            rows.push(json!({"name": "odd-1", "id": "x", "location": "x"}));
            rows.push(json!({"name": "odd-2", "id": "x", "tags": {"a": null, "b": 7}, "properties": null}));
            rows.push(json!({"name": "odd-3", "id": "x", "tags": null, "properties": {"networkProfile": {"networkInterfaces": [null]}}}));
            rows.push(
                json!({"name": null, "tags": {"a": "b"}, "properties": {"networkProfile": null}}),
            );
            rows.push(Value::Null);
        }
        Ok((rows, reply.when))
    }

    /// The VMs, by lower-case name, that a list omits though they are there: Azure's lists are consistent in the end alone
    /// (facts K15).
    fn omitted(&mut self, now: Now) -> BTreeSet<String> {
        let names = self.settings.omits.iter();
        let mut omitted: BTreeSet<String> = names.map(|name| name.to_ascii_lowercase()).collect();
        let Some((share, until_ms)) = self.settings.flickers else {
            return omitted;
        };
        let shown = self.vms.iter().filter(|(_, vm)| {
            vm.was_listed && vm.state == State::Succeeded && now.ms < vm.created_ms + until_ms
        });
        let shown: Vec<String> = shown.map(|(key, _)| key.clone()).collect();
        for key in shown {
            if self.draw() < share {
                self.strike("omitted");
                omitted.insert(key);
            }
        }
        omitted
    }

    /// Adds, replaces or deletes tags
    /// (learn.microsoft.com/rest/api/resources/tags/update-at-scope).
    pub(super) fn patch_tags(
        &mut self,
        request: &AzureRequest,
        of: &Target,
        world: &mut World,
        now: Now,
    ) -> Result<Done, Refusal> {
        let Target::Vm(name) = of else {
            return Err(Refusal::new(
                400,
                "InvalidRequestContent",
                "The lab knows tags of VMs alone.",
            ));
        };
        let key = name.to_ascii_lowercase();
        let given = tags_of(&request.body["properties"]["tags"]);
        let mut vm = self
            .vms
            .get(&key)
            .filter(|vm| !matches!(vm.state, State::Deleting { .. }))
            .filter(|vm| now.ms >= vm.created_ms + self.settings.unknown_ms)
            .cloned()
            .ok_or_else(|| Refusal::not_found("Microsoft.Compute/virtualMachines", name))?;
        match request.body["operation"].as_str() {
            Some("Merge") => vm.tags.extend(given.clone()),
            Some("Replace") => vm.tags.clone_from(&given),
            Some("Delete") => vm.tags.retain(|key, _| !given.contains_key(key)),
            other => {
                let words =
                    format!("The operation {other:?} is none of Merge, Replace and Delete.");
                return Err(Refusal::new(400, "InvalidRequestContent", words));
            }
        }
        self.check_tags(&vm.tags)?;
        let mut when = When::After(0);
        if let Some(id) = &vm.world {
            let reply = world.cloud(&CloudCall::SetTags(id.clone(), given), now);
            when = reply.when;
            if let CloudAnswer::Refused(refusal) = &reply.answer {
                return Err(Refusal::of_world(refusal, ""));
            }
        }
        let tags = vm.tags.clone();
        self.vms.insert(key, vm);
        Ok(Done {
            when,
            ..Done::at_once(200, json!({"properties": {"tags": tags}}))
        })
    }

    fn show_vm(&self, key: &str, capitals: bool, _now: Now) -> Value {
        let Some(vm) = self.vms.get(key) else {
            return Value::Null;
        };
        let mut row = vm.body.clone();
        row["id"] = json!(self.id(&format!("virtualMachines/{}", vm.name), COMPUTE, capitals));
        row["name"] = json!(vm.name);
        row["type"] = json!("Microsoft.Compute/virtualMachines");
        row["tags"] = json!(vm.tags);
        let properties = &mut row["properties"];
        properties["provisioningState"] = json!(vm.state.word());
        properties["timeCreated"] = json!(vm.created.to_string());
        if let Some(os) = properties["osProfile"].as_object_mut() {
            // Azure does not tell these again.
            os.remove("customData");
            os.remove("adminPassword");
        }
        row
    }

    pub(super) fn id(&self, rest: &str, provider: &str, capitals: bool) -> String {
        let group = if capitals { "VMS" } else { "vms" };
        format!(
            "/subscriptions/{}/resourceGroups/{group}/providers/{provider}/{rest}",
            self.settings.subscription
        )
    }
}

fn vcpus(size: &str, spot: bool, world: &World) -> u32 {
    world
        .settings()
        .instance_type(size, spot)
        .map_or(1, |instance_type| instance_type.vcpus)
}

/// The family of a size as quotas name it: Standard_D4s_v3 is of standardDSv3Family.
pub(super) fn family(size: &str) -> String {
    let Some(name) = size.strip_prefix("Standard_") else {
        return format!("standard{}Family", quota_group(size, false).to_uppercase());
    };
    let (name, version) = name.split_once('_').unwrap_or((name, ""));
    let letters: String = name.chars().filter(|c| !c.is_ascii_digit()).collect();
    format!("standard{}{version}Family", letters.to_uppercase())
}
