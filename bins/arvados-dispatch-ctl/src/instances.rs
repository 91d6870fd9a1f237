//! Instances: listed, held, drained, released, destroyed.

use std::collections::BTreeMap;

use dispatch_management_api::wire::Instance;

use crate::{
    act::{Order, act},
    cli::{InstanceCommand, ListArgs},
    client::Client,
    exit::Exit,
    list,
    out::Out,
    table::{aligned, or_dash, printable, tab_separated},
};

/// Columns of the tab-separated form, as the Go tool names them.
const TSV_COLUMNS: [&str; 8] = [
    "instance",
    "address",
    "state",
    "idle-behavior",
    "config-type",
    "provider-type",
    "price",
    "running-containers",
];

pub(crate) async fn obey(client: &Client, command: &InstanceCommand, out: &mut Out) -> Exit {
    let order = |path| Order {
        path,
        parameter: "instance_id",
        reason: None,
    };
    match command {
        InstanceCommand::List(args) => list(client, *args, out).await,
        InstanceCommand::Hold(which) => {
            act(client, &order("instances/hold"), &which.ids, out).await
        }
        InstanceCommand::Drain(which) => {
            act(client, &order("instances/drain"), &which.ids, out).await
        }
        InstanceCommand::Run(which) => act(client, &order("instances/run"), &which.ids, out).await,
        InstanceCommand::Kill(kill) => {
            let order = Order {
                reason: kill.reason.as_deref(),
                ..order("instances/kill")
            };
            act(client, &order, &kill.which.ids, out).await
        }
    }
}

async fn list(client: &Client, args: ListArgs, out: &mut Out) -> Exit {
    let Some(listing) = list::everything(client, "instances", out).await else {
        return Exit::Failed;
    };
    let rows = &listing.rows;
    if args.json {
        out.result(&list::json(rows));
        return listing.exit;
    }
    let (instances, exit) = list::decode::<Instance>(rows, "instance", listing.exit, out);
    let text = if args.tsv {
        let rows: Vec<_> = instances.iter().map(tsv_row).collect();
        tab_separated(args.header.then_some(&TSV_COLUMNS), &rows)
    } else if rows.is_empty() {
        list::nothing("instances", listing.incomplete)
    } else if instances.is_empty() {
        // There are some, and none that can be read.
        String::new()
    } else {
        for_people(&instances)
    };
    out.result(&text);
    exit
}

fn tsv_row(instance: &Instance) -> Vec<String> {
    vec![
        instance.instance.clone(),
        instance.address.clone(),
        instance.worker_state.to_string(),
        instance.idle_behavior.to_string(),
        instance.arvados_instance_type.clone(),
        instance.provider_instance_type.clone(),
        format!("{:.6}", instance.price),
        containers(instance).join(","),
    ]
}

fn for_people(instances: &[Instance]) -> String {
    let header = [
        "INSTANCE",
        "ADDRESS",
        "STATE",
        "IDLE",
        "TYPE",
        "PRICE/H",
        "LAST BUSY",
        "CONTAINERS",
        "REMARK",
    ];
    let rows: Vec<_> = instances.iter().map(row_for_people).collect();
    format!("{}\n{}\n", aligned(&header, &rows), summary(instances))
}

fn row_for_people(instance: &Instance) -> Vec<String> {
    let id = match instance.instance.as_str() {
        "" => "(being created)",
        id => id,
    };
    // Seconds are enough for people.
    let last_busy = instance.last_busy.split('.').next().unwrap_or_default();
    let kind = match &instance.image {
        Some(image) => format!("{}@{image}", instance.arvados_instance_type),
        None => instance.arvados_instance_type.clone(),
    };
    let cells = [
        id,
        &or_dash(&instance.address),
        &instance.worker_state.to_string(),
        &instance.idle_behavior.to_string(),
        &kind,
        &format!("{:.4}", instance.price),
        &or_dash(last_busy.trim_end_matches('Z')),
        &or_dash(&containers(instance).join(" ")),
        instance.remark.as_deref().unwrap_or_default(),
    ];
    cells.into_iter().map(printable).collect()
}

/// "4 instances, 0.4000 an hour: 2 idle, 2 running".
fn summary(instances: &[Instance]) -> String {
    let mut states: BTreeMap<String, usize> = BTreeMap::new();
    for instance in instances {
        *states.entry(instance.worker_state.to_string()).or_default() += 1;
    }
    let states: Vec<_> = states
        .iter()
        .map(|(state, n)| format!("{n} {state}"))
        .collect();
    let price: f64 = instances.iter().map(|instance| instance.price).sum();
    let noun = if instances.len() == 1 {
        "instance"
    } else {
        "instances"
    };
    format!(
        "{} {noun}, {price:.4} an hour: {}",
        instances.len(),
        states.join(", ")
    )
}

fn containers(instance: &Instance) -> &[String] {
    instance
        .running_container_uuids
        .as_deref()
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_beside_the_clusters_is_shown_with_the_type() {
        let mut row = serde_json::json!({
            "instance": "i-1", "address": "10.0.0.1", "price": 0.1, "arvados_instance_type": "small",
            "provider_instance_type": "m5.small", "last_container_uuid": "", "last_busy": "2026-11-22T11:31:36Z",
            "running_container_uuids": [], "worker_state": "idle", "idle_behavior": "run",
        });
        let mut shown = || {
            let instance: Instance = serde_json::from_value(row.clone()).expect("a row");
            row["image"] = "rocky9".into();
            (
                row_for_people(&instance)[4].clone(),
                tsv_row(&instance)[4].clone(),
            )
        };
        assert_eq!(shown(), ("small".to_owned(), "small".to_owned()));
        // Scripts find the type under its own name, as the Go tool writes it.
        assert_eq!(shown(), ("small@rocky9".to_owned(), "small".to_owned()));
    }
}
