//! A kind of instance that the cluster may create.

use crate::{Gpu, InstanceTypeName, Resources};

/// One entry of `InstanceTypes` (facts §3.4), or such an entry with an image of its own: what differs in anything that
/// containers may ask for is another type, so that whoever plans need not know of images.
#[derive(Clone, PartialEq, Debug)]
pub struct InstanceType {
    /// The entry's key; with an image of its own, what [`InstanceType::with_image`] makes of it.
    pub name: InstanceTypeName,
    /// What the cloud calls it.
    pub provider_type: String,
    /// The image of such instances; `None`: the cluster's.
    pub image: Option<VmImage>,
    /// Processors.
    pub vcpus: u32,
    /// Memory.
    pub ram_bytes: u64,
    /// Disk that comes with the type.
    pub included_scratch_bytes: u64,
    /// Disk that is added at creation.
    pub added_scratch_bytes: u64,
    /// Dollars an hour; for spot instances also the highest price to pay.
    pub price: f64,
    /// Whether it is a spot instance: cheaper, and the cloud may take it back.
    pub preemptible: bool,
    /// Its graphics processors.
    pub gpu: Gpu,
}

/// An image beside the cluster's, for the containers that name it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct VmImage {
    /// The operator's name for it.
    pub name: String,
    /// What the cloud calls it.
    pub id: String,
    /// The entry of `InstanceTypes` that is meant with it.
    pub of: InstanceTypeName,
}

impl InstanceType {
    /// This type with that image.
    pub fn with_image(&self, name: &str, id: &str) -> InstanceType {
        let of = self.configured_name().clone();
        InstanceType {
            name: InstanceType::name_with_image(of.as_str(), name),
            image: Some(VmImage {
                name: name.to_owned(),
                id: id.to_owned(),
                of,
            }),
            ..self.clone()
        }
    }

    /// The name of the type that is this entry of `InstanceTypes` with this image.
    pub fn name_with_image(of: &str, image: &str) -> InstanceTypeName {
        format!("{of}@{image}").into()
    }

    /// The key of the entry of `InstanceTypes` that it comes from.
    pub fn configured_name(&self) -> &InstanceTypeName {
        self.image.as_ref().map_or(&self.name, |image| &image.of)
    }

    /// The name of its image; `None`: the cluster's.
    pub fn image_name(&self) -> Option<&str> {
        self.image.as_ref().map(|image| image.name.as_str())
    }

    /// All disk space for containers.
    pub fn scratch_bytes(&self) -> u64 {
        self.included_scratch_bytes
            .saturating_add(self.added_scratch_bytes)
    }

    /// Whether it can take the place of this spot type if the cloud has none: the same to the cloud, with the same
    /// image, at least as large for containers, and not dearer than this many times the spot type (facts K34).
    pub fn stands_in_for(&self, spot: &InstanceType, price_factor: f64) -> bool {
        !self.preemptible
            && self.provider_type == spot.provider_type
            && self.image_name() == spot.image_name()
            && self.vcpus >= spot.vcpus
            && self.ram_bytes >= spot.ram_bytes
            && self.scratch_bytes() >= spot.scratch_bytes()
            && self.gpu == spot.gpu
            && self.price <= spot.price * price_factor
    }

    /// What there is to share out among containers.
    pub fn resources(&self) -> Resources {
        Resources {
            vcpus: self.vcpus,
            ram_bytes: self.ram_bytes,
            scratch_bytes: self.scratch_bytes(),
            gpus: self.gpu.device_count,
            gpu_vram_bytes: self.gpu.vram_bytes,
        }
    }
}
