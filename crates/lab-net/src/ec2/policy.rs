//! The policy that a document says is needed, so that suites run with it and with no more.

use std::collections::BTreeSet;

use serde_json::Value;

/// The actions of EC2 that the first JSON block of this document allows, such as "RunInstances".
///
/// # Panics
///
/// If there is no such block, or it is not a policy.
pub fn actions_of_policy(document: &str) -> BTreeSet<String> {
    let (_, rest) = document.split_once("```json").expect("a policy");
    let (json, _) = rest.split_once("```").expect("its end");
    let policy: Value = serde_json::from_str(json).expect("JSON");
    let statements = policy["Statement"].as_array().expect("statements");
    statements
        .iter()
        .flat_map(|statement| statement["Action"].as_array().expect("actions"))
        .filter_map(|action| action.as_str()?.strip_prefix("ec2:"))
        .map(str::to_owned)
        .collect()
}
