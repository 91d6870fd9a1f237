//! Which types are chosen, and what is said when none is.

use dispatch_model::{
    Gpu, GpuNeeds, Resources,
    units::{GIB, MIB},
};
use expect_test::{Expect, expect};

use super::*;

/// Types from lines of "name price vcpus ram-GiB scratch-GiB [spot] [gpu:<stack>/<driver>/<target>/<count>/<GiB>]".
fn types(text: &str) -> BTreeMap<InstanceTypeName, Arc<InstanceType>> {
    text.lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let number = |i: usize| words[i].parse::<f64>().expect("a number");
            let name = InstanceTypeName::from(words[0]);
            let gpu = words.iter().find_map(|word| word.strip_prefix("gpu:"));
            let instance_type = InstanceType {
                name: name.clone(),
                provider_type: words[0].to_owned(),
                price: number(1),
                image: None,
                vcpus: number(2) as u32,
                ram_bytes: (number(3) * GIB as f64) as u64,
                included_scratch_bytes: (number(4) * GIB as f64) as u64,
                added_scratch_bytes: 0,
                preemptible: words.contains(&"spot"),
                gpu: gpu.map(parse_gpu).unwrap_or_default(),
            };
            (name, Arc::new(instance_type))
        })
        .collect()
}

fn parse_gpu(text: &str) -> Gpu {
    let parts: Vec<&str> = text.split('/').collect();
    Gpu {
        stack: parts[0].to_owned(),
        driver_version: parts[1].to_owned(),
        hardware_target: parts[2].to_owned(),
        device_count: parts[3].parse().expect("a count"),
        vram_bytes: parts[4].parse::<u64>().expect("GiB") * GIB,
    }
}

fn want(vcpus: u32, ram_gib: u64, scratch_gib: u64) -> Want {
    Want {
        needs: Resources {
            vcpus,
            ram_bytes: ram_gib * GIB,
            scratch_bytes: scratch_gib * GIB,
            gpus: 0,
            gpu_vram_bytes: 0,
        },
        gpu: GpuNeeds::default(),
        preemptible: false,
        image: None,
        ram_asked_bytes: ram_gib * GIB - 550 * MIB,
        tmp_asked_bytes: scratch_gib * GIB,
    }
}

fn with_gpu(mut want: Want, driver: &str, target: &str, count: u32, vram_gib: u64) -> Want {
    want.gpu = GpuNeeds {
        stack: "cuda".to_owned(),
        driver_version: driver.to_owned(),
        hardware_targets: vec![target.to_owned()],
        device_count: count,
        vram_bytes: vram_gib * GIB,
    };
    want
}

fn spot(want: Want) -> Want {
    Want {
        preemptible: true,
        ..want
    }
}

#[track_caller]
fn check(types_text: &str, want: &Want, factor: f64, expected: Expect) {
    let chosen = match choose(want, &types(types_text), factor) {
        Ok(names) => names
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(" "),
        Err(Impossible::NoTypes) => "no types".to_owned(),
        Err(Impossible::Unfit(reason)) => reason,
    };
    expected.assert_eq(&chosen);
}

const SIZES: &str = "
    small1  1.10  1  1   100
    small2  1.25  2  8   100
    big1    1.40  4  16  100
    big2    1.65  8  32  100
    dear    2.00  8  64  100
    spot1   0.40  2  8   100 spot
    gpu1    1.20  4  16  100 gpu:cuda/12.2/8.6/1/16
    gpu2    9.00  8  64  100 gpu:cuda/11.10/7.5/4/24
";

#[test]
fn types_within_the_price_factor_are_chosen_cheapest_first() {
    check(
        SIZES,
        &want(1, 1, 1),
        1.5,
        expect!["small1 small2 big1 big2"],
    );
    check(SIZES, &want(2, 2, 1), 1.5, expect!["small2 big1 big2"]);
    check(SIZES, &want(2, 2, 1), 1.0, expect!["small2"]);
    // Below 1 means 1.
    check(SIZES, &want(2, 2, 1), 0.1, expect!["small2"]);
    check(SIZES, &want(8, 33, 1), 1.5, expect!["dear"]);
}

#[test]
fn five_of_eight_types_are_within_a_factor_of_one_and_a_half() {
    check(
        "best 2.2 4 4 2
         second 2.2 4 4 1
         third 2.3 4 4 2
         fourth 3.0 4 4 2
         fifth 3.3 4 4 2
         dear 3.31 4 4 2
         tiny 0.1 1 1 1
         dearer 9 4 4 2",
        &want(4, 4, 1),
        1.5,
        expect!["best second third fourth fifth"],
    );
}

#[test]
fn price_ties_go_to_the_larger_then_to_the_earlier_name() {
    check(
        "e 1 2 8 10
         d 1 2 8 10
         c 1 2 8 20
         b 1 4 8 10
         a 1 2 9 10",
        &want(1, 1, 1),
        1.0,
        expect!["a b c d e"],
    );
}

#[test]
fn free_types_leave_no_room_for_others() {
    check(
        "a 0 2 8 10\n b 0.1 2 8 10",
        &want(1, 1, 1),
        1.5,
        expect!["a"],
    );
}

#[test]
fn spot_containers_run_on_spot_types_only_and_others_never() {
    check(SIZES, &spot(want(1, 1, 1)), 9.0, expect!["spot1"]);
    check(
        "s 0.1 2 8 10 spot\n o 1 2 8 10",
        &want(1, 1, 1),
        99.0,
        expect!["o"],
    );
}

#[test]
fn gpu_containers_get_gpu_types_that_others_never_get() {
    check(
        SIZES,
        &with_gpu(want(1, 1, 1), "12.0", "8.0", 1, 8),
        1.5,
        expect!["gpu1"],
    );
    check(
        SIZES,
        &with_gpu(want(1, 1, 1), "11.4", "7.0", 2, 8),
        1.5,
        expect!["gpu2"],
    );
    check(
        "g 1 2 8 10 gpu:cuda/12.2/8.6/1/16",
        &want(1, 1, 1),
        1.5,
        expect![
            "no instance type of this cluster can run this container: it needs no GPU, and all types here have some"
        ],
    );
}

#[test]
fn no_types_at_all_is_the_configurations_fault() {
    check("", &want(1, 1, 1), 1.5, expect!["no types"]);
}

#[test]
fn what_is_beyond_every_type_is_named_with_the_most_there_is() {
    check(
        SIZES,
        &want(96, 1, 1),
        1.5,
        expect![
            "no instance type of this cluster can run this container: it needs 96 VCPUs, and the most that a type here has is 8 (dear)"
        ],
    );
    check(
        SIZES,
        &want(1, 100, 1),
        1.5,
        expect![
            "no instance type of this cluster can run this container: it needs 100 GiB of RAM (99.5 GiB asked for, the rest is what Arvados needs beside it), and the most that a type here has is 64 GiB (dear)"
        ],
    );
    check(
        SIZES,
        &want(9, 1, 200),
        1.5,
        expect![
            "no instance type of this cluster can run this container: it needs 9 VCPUs, and the most that a type here has is 8 (dear); and it needs 200 GiB of scratch, and the most that a type here has is 100 GiB (small2)"
        ],
    );
    check(
        SIZES,
        &spot(want(4, 1, 1)),
        1.5,
        expect![
            "no instance type of this cluster can run this container: it needs 4 VCPUs, and the most that a type here has is 2 (spot1)"
        ],
    );
}

#[test]
fn a_need_just_above_what_there_is_is_shown_to_the_byte() {
    let mut want = want(1, 64, 1);
    want.needs.ram_bytes += 1;
    check(
        SIZES,
        &want,
        1.5,
        expect![
            "no instance type of this cluster can run this container: it needs 68719476737 bytes of RAM (63.5 GiB asked for, the rest is what Arvados needs beside it), and the most that a type here has is 68719476736 bytes (dear)"
        ],
    );
}

#[test]
fn needs_that_no_one_type_meets_together_are_shown_beside_the_nearest() {
    check(
        "cpus 1 64 8 10\n ram 2 2 512 10",
        &want(32, 100, 1),
        1.5,
        expect![
            "no instance type of this cluster can run this container: no single type has enough of everything it needs (32 VCPUs, 100 GiB of RAM, 1 GiB of scratch); the nearest is cpus, which has only 8 GiB of RAM"
        ],
    );
}

#[test]
fn the_missing_market_is_named() {
    check(
        "o 1 2 8 10",
        &spot(want(1, 1, 1)),
        1.5,
        expect![
            "no instance type of this cluster can run this container: it asks for a preemptible (spot) instance, and all types here are on-demand"
        ],
    );
    check(
        "s 1 2 8 10 spot",
        &want(1, 1, 1),
        1.5,
        expect![
            "no instance type of this cluster can run this container: it asks for an on-demand instance, and all types here are preemptible (spot)"
        ],
    );
}

#[test]
fn the_unmet_demand_on_gpus_is_named() {
    check(
        "o 1 2 8 10",
        &with_gpu(want(1, 1, 1), "12.0", "8.0", 1, 8),
        1.5,
        expect![
            "no instance type of this cluster can run this container: it needs a cuda GPU, and no type here has one"
        ],
    );
    check(
        SIZES,
        &with_gpu(want(1, 1, 1), "12.0", "8.0", 8, 8),
        1.5,
        expect![
            "no instance type of this cluster can run this container: it needs 8 cuda GPUs, and the most that a type here has is 4 (gpu2)"
        ],
    );
    check(
        SIZES,
        &with_gpu(want(1, 1, 1), "12.0", "8.0", 1, 80),
        1.5,
        expect![
            "no instance type of this cluster can run this container: it needs cuda GPUs with 80 GiB of memory each, and the most that a type here has is 24 GiB (gpu2)"
        ],
    );
    check(
        SIZES,
        &with_gpu(want(1, 1, 1), "13.0", "8.0", 1, 8),
        1.5,
        expect![
            "no instance type of this cluster can run this container: it needs a cuda GPU with driver 13.0 or newer, and the types here have 11.10, 12.2"
        ],
    );
    check(
        SIZES,
        &with_gpu(want(1, 1, 1), "12.0", "9.0", 1, 8),
        1.5,
        expect![
            "no instance type of this cluster can run this container: it needs a cuda GPU of capability 9.0 or later, and the types here have 8.6"
        ],
    );
    check(
        SIZES,
        &with_gpu(want(1, 1, 1), "soon", "9.0", 1, 8),
        1.5,
        expect![[
            r#"this container cannot be run: it asks for the GPU driver version "soon", which is not a version number"#
        ]],
    );
    // Then what is measured counts among the types with the right GPUs.
    check(
        SIZES,
        &with_gpu(want(16, 1, 1), "12.0", "8.0", 1, 8),
        1.5,
        expect![
            "no instance type of this cluster can run this container: it needs 16 VCPUs, and the most that a type here has is 4 (gpu1)"
        ],
    );
}
