//! What containers need and instances have.

/// An amount of each resource that is shared out among the containers of an instance.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Resources {
    /// Processors.
    pub vcpus: u32,
    /// Memory.
    pub ram_bytes: u64,
    /// Disk.
    pub scratch_bytes: u64,
    /// GPU devices.
    pub gpus: u32,
    /// Memory of each GPU device: compared, never summed up (facts K6).
    pub gpu_vram_bytes: u64,
}
