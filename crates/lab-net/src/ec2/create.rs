//! RunInstances: what is checked in which order, what makes it idempotent, what can be lacking.

use dispatch_lab::{
    Now, When, World,
    cloud::{CloudAnswer, CloudCall, Order, quota_group},
};

use super::{
    account::{Account, Made, Refusal, Used},
    form::Form,
    settings::Subnet,
    show,
    volumes::disks,
};

/// A call that is carried out later than it was sent.
pub(super) struct Late {
    pub(super) due_ms: u64,
    pub(super) form: Form,
}

impl Account {
    pub(super) fn carry_out_late(&mut self, world: &mut World, now: Now) {
        let (due, later) = std::mem::take(&mut self.late)
            .into_iter()
            .partition(|late| late.due_ms <= now.ms);
        self.late = later;
        for late in due {
            // Whatever it brings, nobody hears of it.
            let _ = self.carry_out(&late.form, world, now);
        }
    }

    pub(super) fn run_instances(
        &mut self,
        form: &Form,
        world: &mut World,
        now: Now,
    ) -> Result<(String, When), Refusal> {
        let subnet = self.subnet(form)?;
        let token = form.get("ClientToken").unwrap_or_default().to_owned();
        let used = (subnet.zone.clone(), token.clone());
        if let Some(before) = self.tokens.get(&used).filter(|_| !token.is_empty()) {
            if before.parameters != form.parameters() {
                return Err((400, "IdempotentParameterMismatch", "Arguments on this idempotent request are inconsistent with arguments used in previous request(s).".into()));
            }
            if let Some(id) = before.instance.clone() {
                if world.instances().alive(&id).is_none() {
                    return Err((
                        400,
                        "IdempotentInstanceTerminated",
                        "The instance of this client token has been terminated.".into(),
                    ));
                }
                return Ok((self.one(&id, world, now), When::After(2)));
            }
        }
        let would_be = Made {
            subnet: form.get("NetworkInterface.1.SubnetId").map(str::to_owned),
            zone: subnet.zone.clone(),
            key_name: form.get("KeyName").map(str::to_owned),
            at_ms: now.ms,
            disks: disks(form, self.settings.image_leaves_volume),
            died: None,
        };
        self.tokens.insert(
            used.clone(),
            Used {
                parameters: form.parameters(),
                instance: None,
                made: would_be.clone(),
            },
        );
        self.check(form, &subnet, world)?;
        let limited = self.settings.limited_rate;
        if limited > 0.0 && self.draw() < limited {
            let words =
                "You have requested more vCPU capacity than your current vCPU limit allows.";
            return Err((400, "VcpuLimitExceeded", words.to_owned()));
        }
        let order = self.order(form, &used);
        let spot = order.preemptible;
        let provider_type = order.provider_type.clone();
        let reply = world.cloud(&CloudCall::Create(order), now);
        let made = match reply.answer {
            CloudAnswer::Created(instance) => instance,
            CloudAnswer::Refused(refusal) => return Err(show::refusal(&refusal)),
            // The world carries it out later, or never.
            _ => return Ok((String::new(), reply.when)),
        };
        let died = self.settings.dying.get(&provider_type).cloned();
        if died.is_some() {
            world.cloud(&CloudCall::Destroy(made.id.clone()), now);
        }
        if let Some(known) = self
            .settings
            .subnets
            .iter_mut()
            .find(|known| known.id == subnet.id)
        {
            known.free = known.free.saturating_sub(1);
        }
        self.made.insert(made.id.clone(), Made { died, ..would_be });
        if let Some(token) = self.tokens.get_mut(&used) {
            token.instance = Some(made.id.clone());
        }
        let row = show::instance(&made, self.made.get(&made.id), spot);
        Ok((show::reservation_of(&row), reply.when))
    }

    /// The subnet that is named, or the default one.
    fn subnet(&self, form: &Form) -> Result<Subnet, Refusal> {
        let named = form
            .get("NetworkInterface.1.SubnetId")
            .or(form.get("SubnetId"));
        let found = match named {
            Some(id) => self.settings.subnets.iter().find(|subnet| subnet.id == id),
            None => self.settings.subnets.first(),
        };
        found.cloned().ok_or_else(|| {
            (
                400,
                "InvalidSubnetID.NotFound",
                format!("The subnet ID '{}' does not exist", named.unwrap_or("")),
            )
        })
    }

    fn check(&self, form: &Form, subnet: &Subnet, world: &World) -> Result<(), Refusal> {
        for name in ["ImageId", "InstanceType", "MinCount", "MaxCount"] {
            if form.get(name).is_none() {
                return Err((
                    400,
                    "MissingParameter",
                    format!("The request must contain the parameter {name}"),
                ));
            }
        }
        if let Some(name) = form.get("KeyName")
            && !self.key_pairs.contains_key(name)
        {
            return Err((
                400,
                "InvalidKeyPair.NotFound",
                format!("The key pair '{name}' does not exist"),
            ));
        }
        if subnet.free == 0 {
            let words = format!(
                "There are not enough free addresses in subnet '{}' to satisfy the requested number of instances.",
                subnet.id
            );
            return Err((400, "InsufficientFreeAddressesInSubnet", words));
        }
        let provider_type = form.get("InstanceType").unwrap_or_default();
        if self
            .settings
            .sold_out
            .contains(&(provider_type.to_owned(), subnet.zone.clone()))
        {
            let words = format!(
                "We currently do not have sufficient {provider_type} capacity in the Availability Zone you requested ({}).",
                subnet.zone
            );
            return Err((500, "InsufficientInstanceCapacity", words));
        }
        let spot = is_spot(form);
        let group = quota_group(provider_type, spot);
        if let Some(limit) = self.settings.vcpu_limits.get(&group) {
            let alive = world
                .instances()
                .instances()
                .values()
                .filter(|i| i.alive() && !i.bystander);
            let of_group = alive.filter(|i| {
                quota_group(&i.instance_type.provider_type, i.instance_type.preemptible) == group
            });
            let used: u32 = of_group.map(|i| i.instance_type.vcpus).sum();
            let asked = world
                .settings()
                .instance_type(provider_type, spot)
                .map_or(0, |t| t.vcpus);
            if used + asked > *limit {
                let words = format!(
                    "You have requested more vCPU capacity than your current vCPU limit of {limit} allows for the instance bucket that the specified instance type belongs to."
                );
                return Err((400, "VcpuLimitExceeded", words));
            }
        }
        Ok(())
    }

    fn order(&self, form: &Form, used: &(String, String)) -> Order {
        let gib: u64 = form
            .get("BlockDeviceMapping.1.Ebs.VolumeSize")
            .and_then(|gib| gib.parse().ok())
            .unwrap_or(0);
        let mut tags = form.tags_for("instance");
        if self.settings.reserved_tags {
            tags.insert("aws:lab".into(), "reserved".into());
        }
        Order {
            provider_type: form.get("InstanceType").unwrap_or_default().to_owned(),
            image_id: form.get("ImageId").unwrap_or_default().to_owned(),
            preemptible: is_spot(form),
            max_price: None,
            added_scratch_bytes: gib << 30,
            tags,
            init_script: show::from_base64(form.get("UserData").unwrap_or_default()),
            public_key: None,
            client_token: Some(&used.1)
                .filter(|token| !token.is_empty())
                .map(|token| format!("{}/{token}", used.0)),
        }
    }
}

fn is_spot(form: &Form) -> bool {
    form.get("InstanceMarketOptions.MarketType") == Some("spot")
}
