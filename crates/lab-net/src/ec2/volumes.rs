//! Volumes: one from the image for each instance, a second one if the image is such, and those that its creation asks for.
//! One goes with its instance only if that was asked for (the image asks for its first).

use std::{collections::BTreeMap, fmt::Write as _};

use dispatch_lab::World;

use super::{
    account::Account,
    form::Form,
    show::{escaped, matches, tag_items},
};

/// The size of the image's own volume, GiB.
const IMAGE_GIB: u32 = 8;

/// A volume of an instance, as its creation asked for it.
#[derive(Clone, Debug)]
pub(super) struct Disk {
    device: String,
    gib: u32,
    kind: String,
    deleted_with_instance: bool,
    tags: BTreeMap<String, String>,
}

/// A volume that there is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Volume {
    /// Its id.
    pub id: String,
    /// The instance that it was made with.
    pub instance: String,
    /// What the instance calls it.
    pub device: String,
    /// GiB.
    pub gib: u32,
    /// Whether that instance is alive.
    pub in_use: bool,
}

/// The volumes that a creation asks for, the image's own first: of these, one that is left behind if the image is such.
pub(super) fn disks(form: &Form, image_leaves_volume: bool) -> Vec<Disk> {
    let tags = form.tags_for("volume");
    let of_image = |device: &str, deleted_with_instance| Disk {
        device: device.to_owned(),
        gib: IMAGE_GIB,
        kind: "gp2".to_owned(),
        deleted_with_instance,
        tags: tags.clone(),
    };
    let first = of_image("/dev/xvda", true);
    let second = image_leaves_volume.then(|| of_image("/dev/xvdb", false));
    let asked_for = (1..).map_while(|n| {
        let get = |key: &str| form.get(&format!("BlockDeviceMapping.{n}.{key}"));
        Some(Disk {
            device: get("DeviceName")?.to_owned(),
            gib: get("Ebs.VolumeSize").map_or(0, |gib| gib.parse().unwrap_or(0)),
            kind: get("Ebs.VolumeType").unwrap_or("gp2").to_owned(),
            deleted_with_instance: get("Ebs.DeleteOnTermination") == Some("true"),
            tags: tags.clone(),
        })
    });
    [first].into_iter().chain(second).chain(asked_for).collect()
}

/// What an instance shows of its volumes.
pub(super) fn mapping(instance: &str, disks: &[Disk]) -> String {
    let mut items = String::new();
    for (index, disk) in disks.iter().enumerate() {
        // Writing to a String cannot fail.
        let _ = write!(
            items,
            "<item><deviceName>{}</deviceName><ebs><volumeId>{}</volumeId><status>attached</status><deleteOnTermination>{}</deleteOnTermination></ebs></item>",
            escaped(&disk.device),
            id(instance, index),
            disk.deleted_with_instance,
        );
    }
    format!(
        "<rootDeviceName>/dev/xvda</rootDeviceName><blockDeviceMapping>{items}</blockDeviceMapping>"
    )
}

fn id(instance: &str, index: usize) -> String {
    let digits = instance.strip_prefix("i-").unwrap_or(instance);
    format!("vol-{index:x}{digits}")
}

impl Account {
    /// Creations that the world has carried out although nobody was told: what was made is known from now on.
    pub(super) fn find_unanswered(&mut self, world: &World) {
        let open = self.tokens.iter_mut();
        for ((zone, token), used) in open.filter(|(_, used)| used.instance.is_none()) {
            let made = world.instances().by_token(&format!("{zone}/{token}"));
            if let Some(made) = made.filter(|_| !token.is_empty()) {
                used.instance = Some(made.id.clone());
                let known = self.made.entry(made.id.clone());
                known.or_insert_with(|| used.made.clone());
            }
        }
    }

    /// Those that there are.
    pub(super) fn volumes(&mut self, world: &World) -> Vec<Volume> {
        self.find_unanswered(world);
        let all = self.all_disks(world);
        all.into_iter().map(|(volume, _)| volume).collect()
    }

    fn all_disks(&self, world: &World) -> Vec<(Volume, &Disk)> {
        let mut all = Vec::new();
        for (instance, made) in &self.made {
            let in_use = world.instances().alive(instance).is_some();
            let disks = made.disks.iter().enumerate();
            for (index, disk) in disks.filter(|(_, disk)| in_use || !disk.deleted_with_instance) {
                let volume = Volume {
                    id: id(instance, index),
                    instance: instance.clone(),
                    device: disk.device.clone(),
                    gib: disk.gib,
                    in_use,
                };
                all.push((volume, disk));
            }
        }
        all
    }

    pub(super) fn describe_volumes(&self, form: &Form, world: &World) -> String {
        let (ids, filters) = (form.list("VolumeId"), form.filters());
        let mut items = String::new();
        for (volume, disk) in self.all_disks(world) {
            let status = if volume.in_use { "in-use" } else { "available" };
            let value = |name: &str| match name {
                "status" => Some(status),
                "attachment.instance-id" => Some(volume.instance.as_str()),
                _ => disk
                    .tags
                    .get(name.strip_prefix("tag:")?)
                    .map(String::as_str),
            };
            let passes = filters.iter().all(|(name, values)| {
                value(name).is_some_and(|value| values.iter().any(|one| matches(one, value)))
            });
            if !passes || !(ids.is_empty() || ids.contains(&volume.id)) {
                continue;
            }
            let attached = if volume.in_use {
                format!(
                    "<item><volumeId>{}</volumeId><instanceId>{}</instanceId><device>{}</device><status>attached</status><deleteOnTermination>{}</deleteOnTermination></item>",
                    volume.id,
                    volume.instance,
                    escaped(&volume.device),
                    disk.deleted_with_instance,
                )
            } else {
                String::new()
            };
            let zone = self
                .made
                .get(&volume.instance)
                .map_or("", |made| &made.zone);
            let _ = write!(
                items,
                "<item><volumeId>{}</volumeId><size>{}</size><availabilityZone>{}</availabilityZone><status>{status}</status><volumeType>{}</volumeType><attachmentSet>{attached}</attachmentSet><tagSet>{}</tagSet></item>",
                volume.id,
                volume.gib,
                escaped(zone),
                escaped(&disk.kind),
                tag_items(&disk.tags),
            );
        }
        format!("<volumeSet>{items}</volumeSet>")
    }
}
