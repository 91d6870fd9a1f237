//! Says in words for a container's owner why no instance type can run it: what it needs, and the most there is.

use std::{collections::BTreeMap, sync::Arc};

use dispatch_model::{InstanceType, InstanceTypeName, units::bytes_for_people};

use crate::{gpu::Demand, sizing::Want};

/// Why none of the types fits. Only for a container that none fits.
pub(crate) fn explain(
    want: &Want,
    types: &BTreeMap<InstanceTypeName, Arc<InstanceType>>,
) -> String {
    // Demands of kind go first, one after the other: the types that are left after each are those to measure.
    let mut left: Vec<&InstanceType> = types
        .values()
        .map(Arc::as_ref)
        .filter(|instance_type| instance_type.preemptible == want.preemptible)
        .collect();
    if left.is_empty() {
        return cannot_run(if want.preemptible {
            "it asks for a preemptible (spot) instance, and all types here are on-demand"
        } else {
            "it asks for an on-demand instance, and all types here are preemptible (spot)"
        });
    }
    for demand in Demand::ALL {
        let (meeting, others): (Vec<_>, Vec<_>) = left
            .into_iter()
            .partition(|instance_type| demand.is_met(&want.gpu, &instance_type.gpu));
        if meeting.is_empty() {
            return cannot_run(&unmet_gpu_demand(want, demand, &others));
        }
        left = meeting;
    }
    cannot_run(&too_little(want, &left))
}

/// The sentence around a cause that lies in the instance types.
fn cannot_run(cause: &str) -> String {
    format!("no instance type of this cluster can run this container: {cause}")
}

/// The sentence around a cause that lies in the container's own record.
pub(crate) fn cannot_be_run(cause: &str) -> String {
    format!("this container cannot be run: {cause}")
}

/// A container asks for an image that the operator does not allow: it gets the cluster's.
pub(crate) fn image_not_allowed(asked: &str, allowed: &[&str]) -> String {
    /// Longer names are no names.
    const SHOWN_MAX: usize = 80;
    let asked: String = asked.chars().take(SHOWN_MAX).collect();
    let offer = if allowed.is_empty() {
        "it offers none to choose from".to_owned()
    } else {
        format!("it offers {}", allowed.join(", "))
    };
    format!(
        "The container asks for the VM image {asked:?}, which this cluster does not offer ({offer}): it gets the cluster's own."
    )
}

fn unmet_gpu_demand(want: &Want, demand: Demand, others: &[&InstanceType]) -> String {
    let (needs, stack) = (&want.gpu, &want.gpu.stack);
    match demand {
        Demand::Stack if needs.device_count == 0 => {
            "it needs no GPU, and all types here have some".to_owned()
        }
        Demand::Stack => format!("it needs a {stack} GPU, and no type here has one"),
        Demand::Devices => {
            let most = others.iter().max_by_key(|other| other.gpu.device_count);
            format!(
                "it needs {} {stack} GPUs, and the most that a type here has is {}",
                needs.device_count,
                most.map_or(String::new(), |most| format!(
                    "{} ({})",
                    most.gpu.device_count, most.name
                )),
            )
        }
        Demand::Vram => {
            let most = others.iter().max_by_key(|other| other.gpu.vram_bytes);
            format!(
                "it needs {stack} GPUs with {}",
                most.map_or(String::new(), |most| but_has(
                    needs.vram_bytes,
                    "of memory each",
                    most.gpu.vram_bytes,
                    most
                )),
            )
        }
        Demand::Driver => format!(
            "it needs a {stack} GPU with driver {} or newer, and the types here have {}",
            needs.driver_version,
            listed(others.iter().map(|other| other.gpu.driver_version.as_str())),
        ),
        Demand::Hardware => format!(
            "it needs a {stack} GPU of {} {}, and the types here have {}",
            if stack == "cuda" {
                "capability"
            } else {
                "target"
            },
            match needs.hardware_targets.as_slice() {
                [least] if stack == "cuda" => format!("{least} or later"),
                targets => targets.join(" or "),
            },
            listed(
                others
                    .iter()
                    .map(|other| other.gpu.hardware_target.as_str())
            ),
        ),
    }
}

/// What the container needs more of than any type has; or, if each need could be met alone, what the nearest type lacks.
fn too_little(want: &Want, types: &[&InstanceType]) -> String {
    let beyond_all: Vec<String> = Measure::ALL
        .into_iter()
        .filter_map(|measure| {
            let most = types.iter().max_by_key(|each| measure.has(each))?;
            (measure.has(most) < measure.needed(want)).then(|| measure.lack(want, most))
        })
        .collect();
    if !beyond_all.is_empty() {
        return format!("it needs {}", beyond_all.join("; and it needs "));
    }
    let lacks = |each: &InstanceType| {
        Measure::ALL
            .into_iter()
            .filter(|measure| measure.has(each) < measure.needed(want))
            .collect::<Vec<_>>()
    };
    let nearest = types
        .iter()
        .min_by(|a, b| (lacks(a).len().cmp(&lacks(b).len())).then(a.price.total_cmp(&b.price)));
    match nearest {
        Some(nearest) => format!(
            "no single type has enough of everything it needs ({}); the nearest is {}, which has only {}",
            Measure::ALL
                .map(|measure| measure.show(measure.needed(want)))
                .join(", "),
            nearest.name,
            lacks(nearest)
                .into_iter()
                .map(|measure| measure.show(measure.has(nearest)))
                .collect::<Vec<_>>()
                .join(" and "),
        ),
        None => "there is none of its kind".to_owned(),
    }
}

/// What is measured out to containers, GPUs apart.
#[derive(Clone, Copy)]
enum Measure {
    Vcpus,
    Ram,
    Scratch,
}

impl Measure {
    const ALL: [Measure; 3] = [Measure::Vcpus, Measure::Ram, Measure::Scratch];

    fn needed(self, want: &Want) -> u64 {
        match self {
            Measure::Vcpus => u64::from(want.needs.vcpus),
            Measure::Ram => want.needs.ram_bytes,
            Measure::Scratch => want.needs.scratch_bytes,
        }
    }

    fn has(self, instance_type: &InstanceType) -> u64 {
        match self {
            Measure::Vcpus => u64::from(instance_type.vcpus),
            Measure::Ram => instance_type.ram_bytes,
            Measure::Scratch => instance_type.scratch_bytes(),
        }
    }

    fn show(self, amount: u64) -> String {
        match self {
            Measure::Vcpus => format!("{amount} VCPUs"),
            Measure::Ram => format!("{} of RAM", bytes_for_people(amount)),
            Measure::Scratch => format!("{} of scratch", bytes_for_people(amount)),
        }
    }

    fn lack(self, want: &Want, most: &InstanceType) -> String {
        match self {
            Measure::Vcpus => format!(
                "{} VCPUs, and the most that a type here has is {} ({})",
                want.needs.vcpus, most.vcpus, most.name
            ),
            Measure::Ram => but_has(
                want.needs.ram_bytes,
                &of_which(
                    "of RAM",
                    want.needs.ram_bytes,
                    want.ram_asked_bytes,
                    "asked for, the rest is what Arvados needs beside it",
                ),
                most.ram_bytes,
                most,
            ),
            Measure::Scratch => but_has(
                want.needs.scratch_bytes,
                &of_which(
                    "of scratch",
                    want.needs.scratch_bytes,
                    want.tmp_asked_bytes,
                    "for temporary files, the rest for its image and cache",
                ),
                most.scratch_bytes(),
                most,
            ),
        }
    }
}

/// "of RAM (1 GiB asked for, ...)": explains why more is needed than was asked for, if it is.
fn of_which(of_what: &str, needed: u64, asked: u64, explanation: &str) -> String {
    if needed == asked {
        of_what.to_owned()
    } else {
        format!("{of_what} ({} {explanation})", bytes_for_people(asked))
    }
}

fn but_has(needed: u64, of_what: &str, most_bytes: u64, most: &InstanceType) -> String {
    let (mut needs, mut has) = (bytes_for_people(needed), bytes_for_people(most_bytes));
    if needs == has {
        // The difference is too small for people's units.
        (needs, has) = (format!("{needed} bytes"), format!("{most_bytes} bytes"));
    }
    format!(
        "{needs} {of_what}, and the most that a type here has is {has} ({})",
        most.name
    )
}

/// Different texts, each once, in order.
fn listed<'a>(texts: impl Iterator<Item = &'a str>) -> String {
    let texts: std::collections::BTreeSet<&str> = texts.collect();
    let texts: Vec<&str> = texts
        .into_iter()
        .map(|text| {
            if text.is_empty() {
                "(none given)"
            } else {
                text
            }
        })
        .collect();
    texts.join(", ")
}
