//! The documentation: the IAM policy allows what is called and nothing else, and every code and parameter is explained.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use dispatch_lab_net::actions_of_policy;
use dispatch_model::InstanceId;
use serde_json::Value;

use super::stage::Setup;
use crate::{account::Action, atlas};

pub(super) fn document() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/ec2.md");
    std::fs::read_to_string(path).expect("docs/ec2.md")
}

/// The JSON blocks of the documentation: the policy, and the statements for encrypted volumes.
fn blocks() -> [Value; 2] {
    let document = document();
    let mut blocks = document.split("```json").skip(1).map(|block| {
        let (json, _) = block.split_once("```").expect("its end");
        serde_json::from_str(json).expect("JSON")
    });
    let mut next = || blocks.next().expect("a block");
    [next(), next()]
}

/// The statements of the policy in the documentation.
fn statements() -> Vec<Value> {
    let [policy, _] = blocks();
    policy["Statement"].as_array().expect("statements").clone()
}

/// The values of `StringLike` for this key, for a dispatcher whose set is this.
fn patterns(statement: &Value, key: &str, set: &str) -> Vec<String> {
    let values = statement["Condition"]["StringLike"][key].as_array();
    let values = values.into_iter().flatten().filter_map(Value::as_str);
    values
        .map(|value| value.replace("YOUR-SET-ID", set))
        .collect()
}

/// As IAM's `StringLike` takes them, as far as the documentation uses it.
fn is_like(value: &str, patterns: &[String]) -> bool {
    patterns
        .iter()
        .any(|pattern| match pattern.strip_suffix('*') {
            Some(start) => value.starts_with(start),
            None => value == pattern,
        })
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
    let mut n_conditions = 0;
    for statement in &statements() {
        let text = |pointer: &str| statement.pointer(pointer).and_then(Value::as_str);
        let condition = statement["Condition"].to_string();
        for action in actions(statement) {
            match action {
                "ec2:TerminateInstances" => assert!(condition.contains("aws:ResourceTag/")),
                "iam:PassRole" => assert_eq!(
                    text("/Condition/StringEquals/iam:PassedToService"),
                    Some("ec2.amazonaws.com")
                ),
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
        let conditions = statement["Condition"]["StringLike"].as_object();
        for key in conditions.into_iter().flat_map(|all| all.keys()) {
            let (_, tag) = key.split_once("Tag/").expect("a tag");
            assert!(made["instance"].contains(tag), "{tag}: {made:?}");
            let patterns = patterns(statement, key, "conformance");
            let of_instance = &stage.list_tags().await[tag];
            for set in [of_instance, "cloudtest", "conformance-x-1"] {
                assert!(is_like(set, &patterns), "{set}: {patterns:?}");
            }
            // Another cluster's, in the same account.
            assert!(!is_like("another", &patterns), "{patterns:?}");
            n_conditions += 1;
        }
    }
    assert_eq!(
        n_conditions, 2,
        "what is made, and what is ended and tagged"
    );
}

/// EC2 uses the key in the dispatcher's name; the dispatcher never calls KMS, so these actions are in no suite's calls.
#[test]
fn the_statements_for_encrypted_volumes_are_for_ec2_alone() {
    let [_, encrypted] = blocks();
    let mut all = BTreeSet::new();
    for statement in encrypted.as_array().expect("statements") {
        let service = &statement["Condition"]["StringLike"]["kms:ViaService"];
        assert_eq!(service, "ec2.*.amazonaws.com", "{statement}");
        for action in actions(statement) {
            let is_grant = action == "kms:CreateGrant";
            let bounded = &statement["Condition"]["Bool"]["kms:GrantIsForAWSResource"];
            assert_eq!(is_grant, bounded == "true", "{statement}");
            all.insert(action.to_owned());
        }
    }
    let expected = [
        "kms:CreateGrant",
        "kms:Decrypt",
        "kms:DescribeKey",
        "kms:GenerateDataKeyWithoutPlaintext",
        "kms:ReEncryptFrom",
        "kms:ReEncryptTo",
    ];
    assert_eq!(all, expected.map(str::to_owned).into());
    assert!(allowed().is_disjoint(&all));
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

/// The same as EC2 names them: every stage grants these and no others.
pub(super) fn granted() -> BTreeSet<String> {
    actions_of_policy(&document())
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
