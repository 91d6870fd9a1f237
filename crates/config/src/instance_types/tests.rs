//! Tests of instance types.

use std::fmt::Write as _;

use expect_test::{Expect, expect};

use super::*;
use crate::{Format, document, merge::merge, report::Report};

const HOST: HostFacts = HostFacts {
    cpus: 4,
    ram_bytes: 8 << 30,
    tmp_bytes: 100 << 30,
};

/// The types that come of this file, and what is told of it.
#[track_caller]
fn check(text: &str, expected: Expect) {
    let node = document::parse(text, Format::Yaml, "f").unwrap();
    let mut report = Report::new("f", "zzzzz");
    let merged = merge(&node, &mut report);
    let types = read(&mut Reader::new(&merged, &mut report), &HOST);
    let mut out = String::new();
    for t in types.values() {
        write!(
            out,
            "{} ({}): {} cpu, {} B, ",
            t.name, t.provider_type, t.vcpus, t.ram_bytes
        )
        .unwrap();
        write!(
            out,
            "{}+{} B, ${}",
            t.included_scratch_bytes, t.added_scratch_bytes, t.price
        )
        .unwrap();
        if t.preemptible {
            out += ", spot";
        }
        if t.gpu.device_count > 0 {
            let gpu = &t.gpu;
            write!(
                out,
                ", {} {} {} {} {} B",
                gpu.device_count,
                gpu.stack,
                gpu.driver_version,
                gpu.hardware_target,
                gpu.vram_bytes
            )
            .unwrap();
        }
        out += "\n";
    }
    for problem in report.into_problems() {
        writeln!(out, "{problem}").unwrap();
    }
    expected.assert_eq(&out);
}

#[test]
fn types_are_read_with_their_defaults() {
    check(
        "InstanceTypes:\n  SAMPLE: {VCPUs: 1}\n  m5.large: {ProviderType: m5.large, VCPUs: 2, RAM: 7782000K, IncludedScratch: 32GB, AddedScratch: 1 GiB, Price: 0.1}\n  \
         gpu:\n    VCPUs: 8\n    RAM: \"4096\"\n    Price: 1\n    Preemptible: true\n    GPU: {Stack: cuda, DriverVersion: 11.10, HardwareTarget: 9.0, DeviceCount: 2, VRAM: 40GB}\n",
        expect![[r#"
            gpu (gpu): 8 cpu, 4096 B, 0+0 B, $1, spot, 2 cuda 11.10 9.0 40000000000 B
            m5.large (m5.large): 2 cpu, 7782000000 B, 32000000000+1073741824 B, $0.1
        "#]],
    );
}

#[test]
fn computed_and_outdated_keys_are_ignored_with_a_warning() {
    check(
        "InstanceTypes:\n  a: {VCPUs: 1, RAM: 1GB, Price: 1, Name: b, Scratch: 5GB, vcpus: 3, CUDA: {DeviceCount: 1}}\n",
        expect![[r#"
            a (a): 1 cpu, 1000000000 B, 0+0 B, $1
            f:2: warning: Clusters.zzzzz.InstanceTypes.a.Name: is ignored: it follows from other keys; remove it; Scratch is IncludedScratch plus AddedScratch
            f:2: warning: Clusters.zzzzz.InstanceTypes.a.Scratch: is ignored: it follows from other keys; remove it; Scratch is IncludedScratch plus AddedScratch
            f:2: warning: Clusters.zzzzz.InstanceTypes.a.vcpus: is ignored: its upper and lower case is wrong; write VCPUs
            f:2: warning: Clusters.zzzzz.InstanceTypes.a.CUDA: is not a key of Arvados and has no effect on the dispatcher; write a section GPU with Stack: cuda instead
        "#]],
    );
}

#[test]
fn a_list_of_types_is_an_error() {
    check(
        "InstanceTypes:\n- {Name: a, VCPUs: 1}\n",
        expect![[r#"
        f:1: error: Clusters.zzzzz.InstanceTypes = [a list of 1]: is a list where a section is needed; write each type under its name, as in `InstanceTypes: {small: {VCPUs: 2, RAM: 4GiB}}`
        f:1: warning: Clusters.zzzzz.InstanceTypes: is empty, so no container can run; add at least one, as in `InstanceTypes: {small: {VCPUs: 2, RAM: 4GiB, Price: 0.1}}`
    "#]],
    );
}

#[test]
fn spot_variants_are_added_and_never_overwrite() {
    check(
        "Containers: {PreemptiblePriceFactor: 0.5}\nInstanceTypes:\n  a: {VCPUs: 1, RAM: 1GB, Price: 1}\n  b: {VCPUs: 1, RAM: 1GB, Price: 1, Preemptible: true}\n  \
         c: {VCPUs: 1, RAM: 1GB, Price: 1}\n  c.preemptible: {VCPUs: 1, RAM: 1GB, Price: 0.8, ProviderType: c, Preemptible: true}\n  \
         d: {VCPUs: 1, RAM: 1GB, Price: 1}\n  d.preemptible: {VCPUs: 1, RAM: 1GB, Price: 0.5, ProviderType: d, Preemptible: true}\n",
        expect![[r#"
            a (a): 1 cpu, 1000000000 B, 0+0 B, $1
            a.preemptible (a): 1 cpu, 1000000000 B, 0+0 B, $0.5, spot
            b (b): 1 cpu, 1000000000 B, 0+0 B, $1, spot
            c (c): 1 cpu, 1000000000 B, 0+0 B, $1
            c.preemptible (c): 1 cpu, 1000000000 B, 0+0 B, $0.8, spot
            d (d): 1 cpu, 1000000000 B, 0+0 B, $1
            d.preemptible (d): 1 cpu, 1000000000 B, 0+0 B, $0.5, spot
            f:6: warning: Clusters.zzzzz.InstanceTypes."c.preemptible": differs from the spot variant that PreemptiblePriceFactor would make under this name; rename it if both are wanted; this one is used
        "#]],
    );
}

#[test]
fn the_loopback_driver_offers_this_host() {
    check(
        "Containers: {CloudVMs: {Enable: true, Driver: loopback}}\n",
        expect![[r#"
        localhost (localhost): 4 cpu, 8589934592 B, 107374182400+0 B, $1
    "#]],
    );
    check(
        "Containers: {CloudVMs: {Driver: loopback}}\n",
        expect![[r#"
        f: warning: Clusters.zzzzz.InstanceTypes: is empty, so no container can run; add at least one, as in `InstanceTypes: {small: {VCPUs: 2, RAM: 4GiB, Price: 0.1}}`
    "#]],
    );
    check(
        "Containers: {CloudVMs: {Enable: true, Driver: loopback}}\nInstanceTypes:\n  a: {VCPUs: 1, RAM: 1GB, Price: 1}\n  b: {VCPUs: 1, RAM: 1GB, Price: 1}\n",
        expect![[r#"
            a (a): 1 cpu, 1000000000 B, 0+0 B, $1
            b (b): 1 cpu, 1000000000 B, 0+0 B, $1
            f:2: error: Clusters.zzzzz.InstanceTypes: has 2 entries, but the loopback driver offers one host; keep one, or none for a type of this host's size
        "#]],
    );
}

#[test]
fn types_that_cannot_run_anything_are_errors() {
    check(
        "InstanceTypes:\n  a: {}\n  b: ~\n  c: {VCPUs: 0, RAM: 1GB, Price: -1}\n  d: {VCPUs: -1, RAM: 1G B, Price: free}\n  e: 5\n  \
         g: {VCPUs: 1, RAM: 1GB, Price: 1, GPU: {DeviceCount: 1}}\n  h: {VCPUs: 1, RAM: 1GB, Price: 1, GPU: {DeviceCount: 1, Stack: rocm, DriverVersion: \"6.x\", VRAM: 1GB}}\n  \
         i: {VCPUs: 1, RAM: 1GB, Price: 1, GPU: {Stack: cuda}}\n",
        expect![[r#"
            a (a): 0 cpu, 0 B, 0+0 B, $0
            b (b): 0 cpu, 0 B, 0+0 B, $0
            c (c): 0 cpu, 1000000000 B, 0+0 B, $-1
            d (d): 0 cpu, 0 B, 0+0 B, $0
            g (g): 1 cpu, 1000000000 B, 0+0 B, $1, 1    0 B
            h (h): 1 cpu, 1000000000 B, 0+0 B, $1, 1 rocm 6.x  1000000000 B
            i (i): 1 cpu, 1000000000 B, 0+0 B, $1
            f:2: error: Clusters.zzzzz.InstanceTypes.a.VCPUs: is missing; write how much the type has, as in VCPUs: 4
            f:2: error: Clusters.zzzzz.InstanceTypes.a.RAM: is missing; write how much the type has, as in RAM: 8GiB
            f:2: warning: Clusters.zzzzz.InstanceTypes.a.Price: is zero, so every dearer type counts as infinitely dear beside this one; write dollars an hour
            f:3: error: Clusters.zzzzz.InstanceTypes.b.VCPUs: is missing; write how much the type has, as in VCPUs: 4
            f:3: error: Clusters.zzzzz.InstanceTypes.b.RAM: is missing; write how much the type has, as in RAM: 8GiB
            f:3: warning: Clusters.zzzzz.InstanceTypes.b.Price: is zero, so every dearer type counts as infinitely dear beside this one; write dollars an hour
            f:4: error: Clusters.zzzzz.InstanceTypes.c.VCPUs = 0: must not be zero; write how much the type has, as in VCPUs: 4
            f:4: error: Clusters.zzzzz.InstanceTypes.c.Price = -1: is negative; write dollars an hour
            f:5: error: Clusters.zzzzz.InstanceTypes.d.VCPUs = -1: is negative; write 0 or a positive number
            f:5: error: Clusters.zzzzz.InstanceTypes.d.RAM = "1G B": has the unknown unit "G B"; write a number of bytes, or a number with one of the units KB, KiB, MB, MiB, GB, GiB, …, as in 1.5GiB
            f:5: error: Clusters.zzzzz.InstanceTypes.d.Price = "free": is a text where a number is needed; write a number, without quotes
            f:6: error: Clusters.zzzzz.InstanceTypes.e = 5: is a number where a section is needed; write the keys below it, indented
            f:7: error: Clusters.zzzzz.InstanceTypes.g.GPU.Stack = "": is not a GPU stack; write cuda or rocm
            f:7: error: Clusters.zzzzz.InstanceTypes.g.GPU.DriverVersion = "": is not a version; write the driver's version, as in "12.4"
            f:7: warning: Clusters.zzzzz.InstanceTypes.g.GPU.VRAM: is missing, so no container that needs GPU memory fits; write the memory of each device, as in 40GiB
            f:8: error: Clusters.zzzzz.InstanceTypes.h.GPU.DriverVersion = "6.x": is not a version; write the driver's version, as in "12.4"
            f:8: error: Clusters.zzzzz.InstanceTypes.h.GPU.HardwareTarget: is missing; write the devices' target, as in gfx90a
            f:9: warning: Clusters.zzzzz.InstanceTypes.i.GPU.DeviceCount: is zero, so the type counts as one without GPU; write how many devices it has
        "#]],
    );
}
