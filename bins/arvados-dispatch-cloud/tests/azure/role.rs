//! What the documentation's role allows, held against what was called.

use std::collections::BTreeSet;

use dispatch_lab_net::AzureApi;

/// Nothing was called that the role definition in docs/azure.md does not allow.
pub(crate) fn nothing_was_called_beyond_the_role(azure: &AzureApi) {
    let called = azure.actions();
    let more: Vec<_> = called.difference(&allowed()).cloned().collect();
    assert_eq!(more, Vec::<String>::new(), "beyond the role");
}

/// The actions of the role definition in the documentation.
fn allowed() -> BTreeSet<String> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/azure.md");
    let document = std::fs::read_to_string(path).expect("docs/azure.md");
    let json = document.split("```json").nth(1).expect("a role");
    let json = json.split("```").next().expect("its end");
    let role: serde_json::Value = serde_json::from_str(json).expect("JSON");
    let actions = role["Actions"].as_array().expect("actions").iter();
    actions
        .map(|action| action.as_str().expect("text").to_owned())
        .collect()
}
