//! Graphics processors: what an instance type has, and what a container needs (facts §3.4, §8.2, K6, K7).

use serde::{Deserialize, Serialize};

/// The GPUs of an instance type. `device_count` 0 means none, whatever the other fields say.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
pub struct Gpu {
    /// "", "cuda" or "rocm".
    pub stack: String,
    /// The driver on the instance, "X.Y".
    pub driver_version: String,
    /// cuda: the capability "X.Y"; rocm: "gfxNNNN".
    pub hardware_target: String,
    /// How many devices there are.
    pub device_count: u32,
    /// Memory of each device.
    pub vram_bytes: u64,
}

/// The GPUs that a container asks for. `device_count` 0 means none.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
pub struct GpuNeeds {
    /// "", "cuda" or "rocm".
    pub stack: String,
    /// The oldest driver that will do, "X.Y"; "" if any will.
    pub driver_version: String,
    /// Which hardware the program was built for.
    pub hardware_targets: Vec<String>,
    /// How many devices.
    pub device_count: u32,
    /// Memory that each device must have.
    pub vram_bytes: u64,
}
