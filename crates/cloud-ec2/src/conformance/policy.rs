//! The documentation: the IAM policy allows what is called and nothing else, and every code and parameter is explained.

use std::{collections::BTreeSet, path::Path};

use dispatch_model::InstanceId;
use serde_json::Value;

use super::stage::Setup;
use crate::{account::Action, atlas};

fn document() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/ec2.md");
    std::fs::read_to_string(path).expect("docs/ec2.md")
}

/// The actions of the policy in the documentation.
fn allowed() -> BTreeSet<String> {
    let document = document();
    let json = document.split("```json").nth(1).expect("a policy");
    let json = json.split("```").next().expect("its end");
    let policy: Value = serde_json::from_str(json).expect("JSON");
    let statements = policy["Statement"].as_array().expect("statements");
    let actions = statements
        .iter()
        .flat_map(|statement| statement["Action"].as_array().expect("actions"));
    actions
        .map(|action| action.as_str().expect("text").to_owned())
        .collect()
}

#[test]
fn the_policy_allows_every_action_of_the_driver_and_passing_the_role() {
    let mut expected: BTreeSet<String> = Action::ALL
        .iter()
        .map(|action| format!("ec2:{}", action.name()))
        .collect();
    expected.insert("iam:PassRole".to_owned());
    assert_eq!(allowed(), expected);
}

/// The actions of EC2 in the policy: the suites check that they call exactly these.
pub(super) fn allowed_actions() -> BTreeSet<String> {
    let mut actions = allowed();
    actions.remove("iam:PassRole");
    actions
}

/// Every action is in fact called in the course of an instance's life, and no other.
#[tokio::test]
async fn a_whole_life_calls_exactly_the_actions_of_the_policy() {
    let stage = Setup::default().start().await;
    let made = stage.create("m5.spot", "s").await.expect("an instance");
    stage.list().await.expect("a list");
    stage.prices(&[(&made, 0)]).await;
    let tags = [("a".to_owned(), "b".to_owned())].into();
    stage.account.set_tags(&made.id, &tags).await.expect("tags");
    stage
        .account
        .destroy(&InstanceId::new(made.id.as_str()))
        .await
        .expect("an end");
    let called: BTreeSet<String> = stage
        .ec2
        .calls()
        .keys()
        .map(|name| format!("ec2:{name}"))
        .collect();
    assert_eq!(called, allowed_actions());
}

#[test]
fn every_code_with_a_remedy_is_documented_as_the_table_has_it() {
    let document = document();
    for (code, meaning, remedy) in atlas::rows() {
        let row = format!("| `{code}` | {meaning} | {remedy} |");
        assert!(
            document.contains(&row),
            "docs/ec2.md lacks this row:\n{row}"
        );
    }
}
