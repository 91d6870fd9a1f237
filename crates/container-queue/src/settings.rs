//! What the view is told once, at start.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use dispatch_model::{InstanceType, InstanceTypeName};

/// The part of the configuration that concerns the container queue.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `CloudVMs.PollInterval`: the pause between two polls, unless a poll takes longer (facts Q17). Zero means the
    /// default, 10 s.
    pub poll_interval: Duration,
    /// `InstanceTypes`, automatic spot variants included.
    pub types: BTreeMap<InstanceTypeName, Arc<InstanceType>>,
    /// How needs are worked out from requests.
    pub sizing: SizingSettings,
    /// `Containers.MaximumPriceFactor`: how much dearer than the cheapest type that fits another may be (facts S27).
    /// Values below 1 mean 1.
    pub maximum_price_factor: f64,
}

/// What a container needs beyond what it asks for (facts §8.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SizingSettings {
    /// `Containers.ReserveExtraRAM`: memory for the runner and its helpers.
    pub reserve_extra_ram_bytes: u64,
    /// `Containers.LocalKeepBlobBuffersPerVCPU`: buffers of 64 MiB for the keepstore beside the container; 0: none.
    pub keep_blob_buffers_per_vcpu: u32,
}
