//! The documentation: the role definition allows what is called and nothing else, and every code and parameter is
//! explained.

use std::{collections::BTreeSet, path::Path};

use serde_json::Value;

use super::stage::{FAMILY, Look, OTHER, SMALL, SPOT, Setup};
use crate::atlas;

fn document() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/azure.md");
    std::fs::read_to_string(path).expect("docs/azure.md")
}

/// The actions of the role definition in the documentation.
pub(super) fn allowed() -> BTreeSet<String> {
    let document = document();
    let json = document.split("```json").nth(1).expect("a role");
    let json = json.split("```").next().expect("its end");
    let role: Value = serde_json::from_str(json).expect("JSON");
    assert_eq!(role["NotActions"], Value::Array(Vec::new()));
    let actions = role["Actions"].as_array().expect("actions");
    actions
        .iter()
        .map(|action| action.as_str().expect("text").to_owned())
        .collect()
}

/// A whole life of everything: VMs from images and galleries, failures, quotas, garbage.
pub(super) async fn a_whole_life_needs_exactly_the_actions_of_the_role() {
    let mut called = BTreeSet::new();
    for gallery in [false, true] {
        let mut setup = Setup::default().azure(|settings| {
            settings.silent_quota = true;
            settings.spot_cores = Some(1);
            settings.nic_ms = 5;
            settings.failing.insert(
                OTHER.to_owned(),
                ("AllocationFailed".to_owned(), String::new()),
            );
            settings.family_cores.insert(FAMILY.to_owned(), 1000);
        });
        if gallery {
            setup = setup
                .parameter("SharedImageGalleryName", "gallery".into())
                .parameter("SharedImageGalleryImageVersion", "1.0.0".into());
        }
        let mut stage = setup.start().await;
        let made = stage.create(SMALL, "well").await.expect("a VM");
        stage.create(SPOT, "quota").await.expect_err("a quota");
        stage.create(OTHER, "failing").await.expect("accepted");
        stage.restart();
        stage.until_ended().await.expect("an end");
        let tags = [("a".to_owned(), "b".to_owned())].into();
        stage.account.set_tags(&made.id, &tags).await.expect("tags");
        // Its operation is followed to the end in the background.
        stage.create(SMALL, "followed").await.expect("a VM");
        let mut look = Look::begin("it is followed");
        while stage.calls("GET operation") == 0 {
            look.again().await.expect("followed");
        }
        let old = "2020-01-01T00:00:00Z";
        stage.azure.leave_nic(
            "compute-conformance-a-nic",
            [
                ("ArvadosInstanceSetID".to_owned(), "conformance".to_owned()),
                ("created-at".to_owned(), old.to_owned()),
            ]
            .into(),
        );
        stage
            .azure
            .leave_disk("compute-conformance-a-os", old.parse().expect("a time"));
        stage.account.collect().await.expect("a round");
        stage.clean_up().await.expect("the end");
        called.extend(stage.azure.actions());
    }
    assert_eq!(called, allowed());
}

/// Row by row: what is in one and not in the other would mislead.
#[test]
fn the_table_of_errors_is_the_drivers_own() {
    let document = document();
    let table = document.split("| code | meaning, reach | remedy |\n| --- | --- | --- |\n");
    let table = table.last().and_then(|rest| rest.split("\n\n").next());
    let rows: Vec<String> = atlas::rows()
        .map(|(code, says, meaning, remedy)| {
            let says = says
                .map(|words| format!(" with \"{words}\""))
                .unwrap_or_default();
            format!("| `{code}`{says} | {meaning} | {remedy} |")
        })
        .collect();
    let unique: BTreeSet<&String> = rows.iter().collect();
    assert_eq!(unique.len(), rows.len(), "two rows look the same");
    let rows = rows.join("\n");
    assert!(
        table == Some(&rows),
        "docs/azure.md should have this table:\n{rows}\nEND"
    );
}

#[test]
fn every_parameter_is_documented() {
    let document = document();
    for key in [
        "SubscriptionID",
        "ClientID",
        "ClientSecret",
        "TenantID",
        "CloudEnvironment",
        "Location",
        "ResourceGroup",
        "NetworkResourceGroup",
        "Network",
        "Subnet",
        "ImageResourceGroup",
        "SharedImageGalleryName",
        "SharedImageGalleryImageVersion",
        "StorageAccount",
        "BlobContainer",
        "DeleteDanglingResourcesAfter",
        "AdminUsername",
        "AZURE_AUTHORITY_HOST",
        "AZURE_RESOURCE_MANAGER_ENDPOINT",
        "AZURE_POD_IDENTITY_AUTHORITY_HOST",
    ] {
        assert!(document.contains(&format!("| `{key}` |")), "{key}");
    }
}
