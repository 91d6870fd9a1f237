//! What is left on an instance, and what still fits there.

use dispatch_model::{InstanceType, Resources};

/// What an instance has left to share out.
#[derive(Clone, Debug)]
pub(super) struct Room {
    /// Processors that no container has been given. Containers that ask for none share one of these.
    vcpus: u32,
    /// A container that asks for no processor is here, so that one processor is spoken for (facts S34).
    shares_a_vcpu: bool,
    ram_bytes: u64,
    scratch_bytes: u64,
    gpus: u32,
    gpu_vram_bytes: u64,
    /// Nothing more may come: what is here is not known, or it is kept for somebody.
    closed: bool,
}

impl Room {
    /// All that an instance of this type has.
    pub(super) fn empty(instance_type: &InstanceType) -> Room {
        let all = instance_type.resources();
        Room {
            vcpus: all.vcpus,
            shares_a_vcpu: false,
            ram_bytes: all.ram_bytes,
            scratch_bytes: all.scratch_bytes,
            gpus: all.gpus,
            gpu_vram_bytes: all.gpu_vram_bytes,
            closed: false,
        }
    }

    /// Whether a container with these needs may be added. Memory of GPUs is compared for each device, never pooled
    /// (facts K6); with no processor left, nothing fits (facts S34).
    pub(super) fn fits(&self, needs: &Resources) -> bool {
        !self.closed
            && self.vcpus >= self.vcpus_wanted(needs)
            && self.ram_bytes >= needs.ram_bytes
            && self.scratch_bytes >= needs.scratch_bytes
            && self.gpus >= needs.gpus
            && !self.lacks_gpu_vram(needs)
    }

    fn vcpus_wanted(&self, needs: &Resources) -> u32 {
        match needs.vcpus {
            0 => 1,
            vcpus => vcpus.saturating_add(u32::from(self.shares_a_vcpu)),
        }
    }

    fn lacks_gpu_vram(&self, needs: &Resources) -> bool {
        needs.gpus > 0 && needs.gpu_vram_bytes > self.gpu_vram_bytes
    }

    /// How much is missing for a container with these needs.
    pub(super) fn missing(&self, needs: &Resources) -> Missing {
        Missing {
            vcpus: self.vcpus_wanted(needs).saturating_sub(self.vcpus),
            gpus: needs.gpus.saturating_sub(self.gpus),
            gpu_vram: self.lacks_gpu_vram(needs),
            ram_bytes: needs.ram_bytes.saturating_sub(self.ram_bytes),
            scratch_bytes: needs.scratch_bytes.saturating_sub(self.scratch_bytes),
        }
    }

    /// Gives a container what it needs, and if there is not as much, all there is.
    pub(super) fn take(&mut self, needs: &Resources) {
        self.vcpus = self.vcpus.saturating_sub(needs.vcpus);
        self.shares_a_vcpu |= needs.vcpus == 0;
        self.ram_bytes = self.ram_bytes.saturating_sub(needs.ram_bytes);
        self.scratch_bytes = self.scratch_bytes.saturating_sub(needs.scratch_bytes);
        self.gpus = self.gpus.saturating_sub(needs.gpus);
    }

    /// Lets nothing more in.
    pub(super) fn close(&mut self) {
        self.closed = true;
    }

    /// Whether nothing more is let in.
    pub(super) fn is_closed(&self) -> bool {
        self.closed
    }

    /// Corrects the number of free GPUs to what the worker says.
    pub(super) fn limit_gpus(&mut self, free: u32) {
        self.gpus = self.gpus.min(free);
    }
}

/// What a container lacks on an instance; the fields' order says what weighs most.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub(super) struct Missing {
    gpu_vram: bool,
    gpus: u32,
    vcpus: u32,
    ram_bytes: u64,
    scratch_bytes: u64,
}

#[cfg(test)]
mod tests {
    use dispatch_model::{Gpu, units::GIB};

    use super::*;

    fn room(vcpus: u32, gpus: u32) -> Room {
        Room::empty(&InstanceType {
            name: "t".into(),
            provider_type: "t".into(),
            image: None,
            vcpus,
            ram_bytes: 8 * GIB,
            included_scratch_bytes: 8 * GIB,
            added_scratch_bytes: 0,
            price: 1.0,
            preemptible: false,
            gpu: Gpu {
                device_count: gpus,
                vram_bytes: 4 * GIB,
                ..Gpu::default()
            },
        })
    }

    fn cpu(vcpus: u32) -> Resources {
        Resources {
            vcpus,
            ..Resources::default()
        }
    }

    #[test]
    fn containers_without_vcpus_share_one_that_nobody_else_gets() {
        let mut room = room(2, 0);
        room.take(&cpu(0));
        room.take(&cpu(0));
        assert!(room.fits(&cpu(0)), "they all share one");
        assert!(room.fits(&cpu(1)));
        assert!(!room.fits(&cpu(2)), "the shared one is spoken for");
        room.take(&cpu(1));
        assert!(room.fits(&cpu(0)));
        assert!(!room.fits(&cpu(1)));
    }

    #[test]
    fn nothing_fits_without_a_vcpu_left() {
        let mut room = room(2, 0);
        room.take(&cpu(2));
        assert!(!room.fits(&cpu(0)));
    }

    #[test]
    fn gpu_memory_is_compared_for_each_device_and_not_pooled() {
        let gpu = |gpus, gpu_vram_bytes| Resources {
            gpus,
            gpu_vram_bytes,
            ..Resources::default()
        };
        let mut room = room(4, 2);
        assert!(room.fits(&gpu(2, 4 * GIB)));
        assert!(!room.fits(&gpu(1, 5 * GIB)));
        room.take(&gpu(1, 4 * GIB));
        assert!(
            room.fits(&gpu(1, 4 * GIB)),
            "the second device has all its memory"
        );
        room.take(&gpu(1, GIB));
        assert!(!room.fits(&gpu(1, GIB)));
        assert!(room.fits(&gpu(0, 9 * GIB)), "no device, no memory needed");
    }
}
