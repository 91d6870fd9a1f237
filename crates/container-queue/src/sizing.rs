//! What a container needs of an instance (facts §8.1).

use dispatch_model::{GpuNeeds, Resources, units::MIB};

use crate::{SizingSettings, row::ContainerRequest};

/// Everything that decides which instance types will do.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Want {
    pub(crate) needs: Resources,
    pub(crate) gpu: GpuNeeds,
    pub(crate) preemptible: bool,
    /// The name of the image; `None`: the cluster's.
    pub(crate) image: Option<String>,
    /// What of `needs.ram_bytes` the container asks for by itself, for explanations.
    pub(crate) ram_asked_bytes: u64,
    /// What of `needs.scratch_bytes` its mounts ask for, for explanations.
    pub(crate) tmp_asked_bytes: u64,
}

/// Works out the needs of a container whose `tmp` mounts ask for this much space.
pub(crate) fn want(request: &ContainerRequest, tmp_bytes: u64, settings: SizingSettings) -> Want {
    let asked = &request.constraints;
    let image = image_bytes(&request.container_image);
    let gpu = if asked.gpu.device_count == 0 {
        GpuNeeds::default()
    } else {
        asked.gpu.clone()
    };
    Want {
        needs: Resources {
            vcpus: asked.vcpus,
            ram_bytes: ram_bytes(request, settings),
            scratch_bytes: tmp_bytes
                .max(image)
                .saturating_add(image)
                .saturating_add(asked.keep_cache_disk_bytes),
            gpus: gpu.device_count,
            gpu_vram_bytes: gpu.vram_bytes,
        },
        gpu,
        preemptible: request.parameters.preemptible,
        image: None,
        ram_asked_bytes: asked.ram_bytes,
        tmp_asked_bytes: tmp_bytes,
    }
}

/// The container's own memory, its cache's, the runner's and the keepstore's; and as instances report less memory than
/// their type promises, the sum counts as 95 percent.
fn ram_bytes(request: &ContainerRequest, settings: SizingSettings) -> u64 {
    let asked = &request.constraints;
    let sum = u128::from(asked.ram_bytes)
        + u128::from(asked.keep_cache_ram_bytes)
        + u128::from(settings.reserve_extra_ram_bytes)
        + u128::from(keepstore_bytes(asked.vcpus, settings));
    u64::try_from(sum * 100 / 95).unwrap_or(u64::MAX)
}

/// The keepstore that runs beside the container: 220 MiB, and buffers of 64 MiB with a tenth for their keeping.
fn keepstore_bytes(vcpus: u32, settings: SizingSettings) -> u64 {
    let buffers = u128::from(settings.keep_blob_buffers_per_vcpu);
    if buffers == 0 {
        return 0;
    }
    let bytes =
        220 * u128::from(MIB) + buffers * u128::from(vcpus) * 64 * u128::from(MIB) * 11 / 10;
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

/// How large a Docker image is, guessed from the size of its collection's manifest, which is in the portable data
/// hash `<32 hex digits>+<size>`: each block of 64 MiB takes 42 characters after the first 80. 0 for anything else.
fn image_bytes(portable_data_hash: &str) -> u64 {
    let Some((hash, size)) = portable_data_hash.split_once('+') else {
        return 0;
    };
    let is_hash = hash.len() == 32 && hash.bytes().all(|b| b.is_ascii_hexdigit());
    let is_size = !size.is_empty() && size.bytes().all(|b| b.is_ascii_digit());
    match size.parse::<u64>() {
        Ok(size) if is_hash && is_size && size >= 122 => {
            ((size - 80) / 42).saturating_mul(64 * MIB)
        }
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use dispatch_model::units::GIB;

    use super::*;
    use crate::Constraints;

    const HASH: &str = "d41d8cd98f00b204e9800998ecf8427e";

    fn settings(buffers: u32) -> SizingSettings {
        SizingSettings {
            reserve_extra_ram_bytes: 550 * MIB,
            keep_blob_buffers_per_vcpu: buffers,
        }
    }

    fn request(constraints: Constraints, image: &str) -> ContainerRequest {
        ContainerRequest {
            constraints,
            container_image: image.to_owned(),
            ..ContainerRequest::default()
        }
    }

    #[test]
    fn memory_counts_overheads_and_what_instances_lack() {
        for (ram, cache, vcpus, buffers, expected) in [
            // As recorded: 1 GiB on a cluster without local keepstores.
            (GIB, 0, 1, 0, 1_737_324_867),
            (GIB, 0, 2, 0, 1_737_324_867),
            (0, 0, 0, 0, 550 * MIB * 100 / 95),
            (
                GIB,
                256 * MIB,
                1,
                1,
                (GIB + 256 * MIB + 550 * MIB + 220 * MIB + 73_819_750) * 100 / 95,
            ),
            (
                GIB,
                0,
                4,
                2,
                (GIB + 550 * MIB + 220 * MIB + 590_558_003) * 100 / 95,
            ),
            (u64::MAX, u64::MAX, u32::MAX, u32::MAX, u64::MAX),
        ] {
            let constraints = Constraints {
                vcpus,
                ram_bytes: ram,
                keep_cache_ram_bytes: cache,
                ..Constraints::default()
            };
            let want = want(&request(constraints, ""), 0, settings(buffers));
            assert_eq!(
                want.needs.ram_bytes, expected,
                "{ram} {cache} {vcpus} {buffers}"
            );
        }
    }

    #[test]
    fn the_image_takes_space_twice_unless_there_is_as_much_for_temporary_files() {
        let image = format!("{HASH}+342");
        for (tmp, cache_disk, expected) in [
            (0, 0, 805_306_368),
            (402_653_184, 0, 805_306_368),
            (GIB, 0, GIB + 402_653_184),
            (0, 7, 805_306_375),
            (u64::MAX, u64::MAX, u64::MAX),
        ] {
            let constraints = Constraints {
                keep_cache_disk_bytes: cache_disk,
                ..Constraints::default()
            };
            let want = want(&request(constraints, &image), tmp, settings(0));
            assert_eq!(want.needs.scratch_bytes, expected);
        }
    }

    #[test]
    fn an_image_that_is_no_portable_data_hash_counts_nothing() {
        for (image, expected) in [
            (format!("{HASH}+122"), 64 * MIB),
            (format!("{HASH}+121"), 0),
            (format!("{HASH}+0"), 0),
            (format!("{HASH}+"), 0),
            (format!("{HASH}++342"), 0),
            (format!("{HASH}+-342"), 0),
            (format!("{HASH}+342+A"), 0),
            (format!("{}+342", &HASH[1..]), 0),
            ("zzzzz-4zz18-000000000000000".to_owned(), 0),
            (String::new(), 0),
        ] {
            assert_eq!(image_bytes(&image), expected, "{image}");
        }
    }

    #[test]
    fn who_asks_for_no_devices_needs_no_gpu() {
        let constraints = Constraints {
            gpu: GpuNeeds {
                stack: "cuda".to_owned(),
                vram_bytes: GIB,
                ..GpuNeeds::default()
            },
            ..Constraints::default()
        };
        let want = want(&request(constraints, ""), 0, settings(0));
        assert_eq!(want.gpu, GpuNeeds::default());
        assert_eq!(want.needs.gpu_vram_bytes, 0);
    }
}
