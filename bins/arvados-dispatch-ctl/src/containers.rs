//! Containers: listed, shown, killed.

use anyhow::Result;
use dispatch_management_api::wire::{Container, ContainerResources, TypeRecord};
use reqwest::StatusCode;
use serde_json::Value;

use crate::{
    act::{Order, act, host},
    cli::{ContainerCommand, ListArgs, ShowContainers},
    client::Client,
    exit::Exit,
    list,
    out::Out,
    table::{aligned, or_dash, printable, tab_separated},
};

const TSV_COLUMNS: [&str; 10] = [
    "container",
    "state",
    "priority",
    "vcpus",
    "ram",
    "scratch",
    "gpus",
    "instance-types",
    "first-seen",
    "status",
];

pub(crate) async fn obey(client: &Client, command: &ContainerCommand, out: &mut Out) -> Exit {
    match command {
        ContainerCommand::List(args) => list(client, *args, out).await,
        ContainerCommand::Show(which) => show(client, which, out).await,
        ContainerCommand::Kill(kill) => {
            let order = Order {
                path: "containers/kill",
                parameter: "container_uuid",
                reason: kill.reason.as_deref(),
            };
            act(client, &order, &kill.ids, out).await
        }
    }
}

async fn list(client: &Client, args: ListArgs, out: &mut Out) -> Exit {
    let Some(listing) = list::everything(client, "containers", out).await else {
        return Exit::Failed;
    };
    let rows = &listing.rows;
    if args.json {
        out.result(&list::json(rows));
        return listing.exit;
    }
    let (containers, exit) = list::decode::<Container>(rows, "container", listing.exit, out);
    let text = if args.tsv {
        let rows: Vec<_> = containers.iter().map(tsv_row).collect();
        tab_separated(args.header.then_some(&TSV_COLUMNS), &rows)
    } else if rows.is_empty() {
        list::nothing("containers", listing.incomplete)
    } else if containers.is_empty() {
        // There are some, and none that can be read.
        String::new()
    } else {
        for_people(&containers)
    };
    out.result(&text);
    exit
}

fn tsv_row(container: &Container) -> Vec<String> {
    let needs = &container.instance_resources;
    vec![
        field(container, "uuid"),
        field(container, "state"),
        field(container, "priority"),
        needs.vcpus.to_string(),
        needs.ram_bytes.to_string(),
        needs.scratch_bytes.to_string(),
        needs.gpus.to_string(),
        type_names(&container.instance_types).join(","),
        container.first_seen_at.clone(),
        container.scheduling_status.clone(),
    ]
}

fn for_people(containers: &[Container]) -> String {
    let header = ["CONTAINER", "STATE", "NEEDS", "TYPE", "STATUS"];
    let rows: Vec<_> = containers.iter().map(row_for_people).collect();
    let noun = if containers.len() == 1 {
        "container"
    } else {
        "containers"
    };
    format!("{}\n{} {noun}\n", aligned(&header, &rows), containers.len())
}

fn row_for_people(container: &Container) -> Vec<String> {
    let names = type_names(&container.instance_types);
    let types = match &names[..] {
        [] => "-".to_owned(),
        [only] => only.clone(),
        [first, others @ ..] => format!("{first} (or {} more)", others.len()),
    };
    let cells = [
        field(container, "uuid"),
        field(container, "state"),
        needs(&container.instance_resources),
        types,
        container.scheduling_status.clone(),
    ];
    cells.iter().map(|cell| printable(cell)).collect()
}

async fn show(client: &Client, which: &ShowContainers, out: &mut Out) -> Exit {
    let mut exit = Exit::Done;
    let mut found = vec![];
    for id in &which.ids {
        match find(client, id).await {
            Ok(row) => found.push(row),
            Err(errors) => {
                exit = Exit::Failed;
                for error in errors {
                    out.err(&format!("{id}: {error}"));
                }
            }
        }
    }
    if found.is_empty() {
        return exit;
    }
    if which.json {
        out.result(&list::json(&found));
        return exit;
    }
    let (containers, exit) = list::decode::<Container>(&found, "container", exit, out);
    let texts: Vec<_> = containers.iter().map(in_full).collect();
    out.result(&texts.join("\n"));
    exit
}

/// The container as the first dispatcher that knows it shows it, or what each said.
async fn find(client: &Client, id: &str) -> Result<Value, Vec<String>> {
    let mut errors = vec![];
    for endpoint in client.endpoints() {
        let answer = client
            .get(endpoint, "container", &[("container_uuid", id)])
            .await;
        let unknown = matches!(&answer, Ok(answer) if answer.status == StatusCode::NOT_FOUND);
        match answer.and_then(|answer| answer.json()) {
            Ok(row) => return Ok(row),
            Err(error) => {
                let mut said = format!("{error:#}");
                if unknown {
                    said = client.unknown(endpoint, said).await;
                }
                errors.push(format!("{said} ({})", host(endpoint)));
            }
        }
    }
    Err(errors)
}

fn in_full(container: &Container) -> String {
    let types = type_names(&container.instance_types).join(", ");
    let record = |key| or_dash(&field(container, key));
    let held_by = container
        .held_by
        .iter()
        .map(|words| ("held by", words.clone()));
    let before = [
        ("container", record("uuid")),
        ("state", record("state")),
        ("status", or_dash(&container.scheduling_status)),
    ];
    let after = [
        ("priority", record("priority")),
        ("created", record("created_at")),
        ("first seen", container.first_seen_at.clone()),
        ("locked by", record("locked_by_uuid")),
        ("image", record("container_image")),
        ("needs", needs(&container.instance_resources)),
        ("types", or_dash(&types)),
    ];
    let lines = before.into_iter().chain(held_by).chain(after);
    lines
        .map(|(name, value)| format!("{:12}{}\n", format!("{name}:"), printable(&value)))
        .collect()
}

/// "2 VCPUs, 1.6 GiB RAM, 1.0 GiB scratch, 1 GPU".
fn needs(needs: &ContainerResources) -> String {
    let count = |n: u32, noun: &str| match n {
        1 => format!("1 {noun}"),
        n => format!("{n} {noun}s"),
    };
    let mut text = format!(
        "{}, {} RAM, {} scratch",
        count(needs.vcpus, "VCPU"),
        gib(needs.ram_bytes),
        gib(needs.scratch_bytes)
    );
    if needs.gpus > 0 {
        text.push_str(&format!(", {}", count(needs.gpus, "GPU")));
        if needs.gpu_vram_bytes > 0 {
            text.push_str(&format!(" of {}", gib(needs.gpu_vram_bytes)));
        }
    }
    text
}

fn gib(bytes: u64) -> String {
    let tenths = u128::from(bytes) * 10 / (1 << 30);
    format!("{}.{} GiB", tenths / 10, tenths % 10)
}

/// Names as configured; a dispatcher that leaves them out gives the provider's.
fn type_names(types: &[TypeRecord]) -> Vec<String> {
    types
        .iter()
        .map(|it| {
            if it.name.is_empty() {
                &it.provider_type
            } else {
                &it.name
            }
        })
        .cloned()
        .collect()
}

/// A field of the container record as text; "" if it is absent or null.
fn field(container: &Container, key: &str) -> String {
    match container.container.get(key) {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn needs_read_as_people_say_them() {
        let mut it = ContainerResources {
            vcpus: 1,
            ram_bytes: 1_737_324_867,
            scratch_bytes: 1_000_000_000,
            gpus: 0,
            gpu_vram_bytes: 0,
        };
        assert_eq!(needs(&it), "1 VCPU, 1.6 GiB RAM, 0.9 GiB scratch");
        (it.vcpus, it.gpus, it.gpu_vram_bytes) = (8, 2, 16 << 30);
        assert_eq!(
            needs(&it),
            "8 VCPUs, 1.6 GiB RAM, 0.9 GiB scratch, 2 GPUs of 16.0 GiB"
        );
    }
}
