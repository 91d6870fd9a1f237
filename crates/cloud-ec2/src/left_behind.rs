//! Volumes that stay when their instance ends, since its image wants them to: each instance leaves some, and each costs
//! money until somebody deletes it.

use aws_sdk_ec2::types::{Instance as Described, InstanceBlockDeviceMapping};

use crate::{account::Account, describe::instance};

impl Account {
    /// Tells, once for each image, which volumes of these instances will be left behind. The dispatcher's own go with their
    /// instance, and it may neither look into images nor delete volumes.
    pub(crate) fn tell_of_volumes_left_behind(&self, alive: &[Described]) {
        for found in alive {
            let mappings = found.block_device_mappings.iter().flatten();
            let volumes: Vec<String> = mappings.filter_map(left_behind).collect();
            let image = found.image_id.as_deref().unwrap_or_default();
            if volumes.is_empty() || !self.memory().is_first_to_leave(image) {
                continue;
            }
            tracing::warn!(
                image,
                instance = %instance(found).id,
                volumes = volumes.join(", "),
                "each instance of this image leaves volumes behind when it ends, which cost money until somebody deletes \
                 them. Remedy: make the image anew with DeleteOnTermination set for all its volumes, and delete the \
                 volumes that are left"
            );
        }
    }
}

/// The volume and what the instance calls it, if it stays.
fn left_behind(mapping: &InstanceBlockDeviceMapping) -> Option<String> {
    let volume = mapping.ebs.as_ref()?;
    let stays = volume.delete_on_termination == Some(false);
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    stays.then(|| {
        let (id, device) = (text(&volume.volume_id), text(&mapping.device_name));
        format!("{id} ({device})")
    })
}
