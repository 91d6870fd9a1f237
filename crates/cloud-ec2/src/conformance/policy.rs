//! The documentation: the IAM policy allows what is called and nothing else, and every code and parameter is explained.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use dispatch_model::InstanceId;
use serde_json::Value;

use super::stage::Setup;
use crate::{account::Action, atlas};

fn document() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/ec2.md");
    std::fs::read_to_string(path).expect("docs/ec2.md")
}

/// The statements of the policy in the documentation.
fn statements() -> Vec<Value> {
    let document = document();
    let json = document.split("```json").nth(1).expect("a policy");
    let json = json.split("```").next().expect("its end");
    let policy: Value = serde_json::from_str(json).expect("JSON");
    policy["Statement"].as_array().expect("statements").clone()
}

/// The actions of a statement.
fn actions(statement: &Value) -> Vec<&str> {
    let actions = statement["Action"].as_array().expect("actions");
    actions
        .iter()
        .map(|action| action.as_str().expect("text"))
        .collect()
}

/// The actions of the policy in the documentation.
fn allowed() -> BTreeSet<String> {
    let statements = statements();
    let all = statements.iter().flat_map(actions);
    all.map(str::to_owned).collect()
}

/// The tags of the calls of this action, by kind of resource.
fn tags_of(forms: &[BTreeMap<String, String>]) -> BTreeMap<String, BTreeSet<String>> {
    let mut tags: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for form in forms {
        for (key, value) in form {
            let Some((part, _)) = key
                .strip_prefix("TagSpecification.")
                .and_then(|key| key.split_once(".Tag."))
                .filter(|_| key.ends_with(".Key"))
            else {
                continue;
            };
            let kind = &form[&format!("TagSpecification.{part}.ResourceType")];
            tags.entry(kind.clone()).or_default().insert(value.clone());
        }
    }
    tags
}

/// What ends or changes instances is allowed for ours alone, and what is made carries the tag that the policy wants.
#[tokio::test]
async fn the_conditions_of_the_policy_are_met_by_what_is_made() {
    let stage = Setup::default().start().await;
    stage.create("m5.spot", "s").await.expect("an instance");
    let made = tags_of(&stage.forms("RunInstances"));
    let import = &stage.forms("ImportKeyPair")[0];
    let statements = statements();
    for statement in &statements {
        let text = |pointer: &str| statement.pointer(pointer).and_then(Value::as_str);
        let condition = statement["Condition"].to_string();
        for action in actions(statement) {
            match action {
                "ec2:TerminateInstances" => assert!(condition.contains("aws:ResourceTag/")),
                "ec2:CreateTags" => assert!(
                    condition.contains("aws:ResourceTag/")
                        || condition.contains("ec2:CreateAction")
                ),
                "ec2:RunInstances" => assert!(
                    condition.contains("aws:RequestTag/")
                        || text("/NotResource").is_some_and(|arn| arn.ends_with(":instance/*"))
                ),
                "ec2:ImportKeyPair" => {
                    let pattern = text("/Resource").expect("a resource");
                    let (_, name) = pattern.split_once("key-pair/").expect("a key pair");
                    let start = name.strip_suffix('*').expect("a pattern");
                    assert!(
                        import["KeyName"].starts_with(start),
                        "{}",
                        import["KeyName"]
                    );
                }
                _ => {}
            }
        }
        if let Some(null) = statement
            .pointer("/Condition/Null")
            .and_then(Value::as_object)
        {
            for key in null.keys() {
                let (_, tag) = key.split_once("Tag/").expect("a tag");
                assert!(made["instance"].contains(tag), "{tag}: {made:?}");
            }
        }
    }
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
fn every_code_is_documented_as_the_table_has_it() {
    let rows = atlas::rows().into_iter();
    let rows: String = rows
        .map(|(met, meaning, remedy)| format!("| {met} | {meaning} | {remedy} |\n"))
        .collect();
    let table = format!("| code | meaning and reach | remedy |\n|---|---|---|\n{rows}\n");
    assert!(
        document().contains(&table),
        "docs/ec2.md has not this table:\n{table}"
    );
    assert!(!rows.contains("|  |"), "each has a remedy");
}
