//! A kind of instance that the cluster may create.

use crate::{Gpu, InstanceTypeName, Resources};

/// One entry of `InstanceTypes` (facts §3.4).
#[derive(Clone, PartialEq, Debug)]
pub struct InstanceType {
    /// The entry's key.
    pub name: InstanceTypeName,
    /// What the cloud calls it.
    pub provider_type: String,
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

impl InstanceType {
    /// All disk space for containers.
    pub fn scratch_bytes(&self) -> u64 {
        self.included_scratch_bytes
            .saturating_add(self.added_scratch_bytes)
    }

    /// Whether it can take the place of this spot type if the cloud has none: the same to the cloud, at least as large
    /// for containers, and not dearer than this many times the spot type (facts K34).
    pub fn stands_in_for(&self, spot: &InstanceType, price_factor: f64) -> bool {
        !self.preemptible
            && self.provider_type == spot.provider_type
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
