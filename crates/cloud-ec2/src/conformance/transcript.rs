//! What the Go dispatcher was recorded to send (tests/transcripts/ec2-calls.jsonl) is sent by us too, in the same
//! situation and with the same meaning. Differences on purpose are named here.

use std::{collections::BTreeMap, path::Path};

use dispatch_cloud::Tags;
use dispatch_lab_net::Subnet;
use dispatch_model::InstanceSecret;
use serde_json::{Value, json};

use super::stage::{Setup, order};

type Form = BTreeMap<String, String>;

/// Calls that we do not make: the zone of spot instances is in DescribeInstances already (facts K28).
const NOT_MADE: &[&str] = &["DescribeInstanceStatus"];

fn recorded() -> Vec<Form> {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/transcripts/ec2-calls.jsonl");
    let text = std::fs::read_to_string(path).expect("the transcript");
    let rows = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    rows.map(|row| serde_json::from_value(row["form"].clone()).expect("a form"))
        .collect()
}

/// What is compared: numbered tags and filters by their names, since their order means nothing; what is unique to one
/// run by its presence alone.
fn meaning(form: &Form) -> BTreeMap<String, String> {
    let mut meaning = BTreeMap::new();
    for (key, value) in form {
        let unique = matches!(
            key.as_str(),
            "ClientToken"
                | "StartTime"
                | "UserData"
                | "PublicKeyMaterial"
                | "KeyName"
                | "ResourceId.1"
                | "InstanceId.1"
        ) || (key.starts_with("Filter.1.Value")
            && form["Action"] == "DescribeKeyPairs");
        let (key, value) = match key.strip_suffix(".Key") {
            Some(start) => (
                format!("{} {value}", tag_owner(start, form)),
                form[&format!("{start}.Value")].clone(),
            ),
            None if form.contains_key(&format!("{}.Key", key.trim_end_matches(".Value"))) => {
                continue;
            }
            None => (key.clone(), value.clone()),
        };
        let hides = unique || key.contains("InstanceSecret") || key.contains("InstanceSetID");
        meaning.insert(key, if hides { "(some)".to_owned() } else { value });
    }
    meaning
}

/// To which kind of resource a tag belongs.
fn tag_owner(start: &str, form: &Form) -> String {
    let specification = start
        .split_once(".Tag.")
        .map_or(start, |(specification, _)| specification);
    let kind = form.get(&format!("{specification}.ResourceType"));
    kind.map_or("tag".to_owned(), |kind| format!("tag of {kind}"))
}

#[tokio::test]
async fn every_parameter_that_go_sends_is_sent_by_us() {
    let setup = Setup::default()
        .parameter("SubnetID", json!("subnet-1"))
        .parameter("SecurityGroupIDs", json!({"sg-1": {}}))
        .parameter("IAMInstanceProfile", json!("profile1"))
        .parameter("EBSVolumeType", json!("gp3"))
        .ec2(|settings| settings.subnets = vec![Subnet::new("subnet-1", "lab-1a")]);
    let stage = setup.start().await;
    let ours: Tags = [(
        "ArvadosInstanceSetID".to_owned(),
        "4858c03088f4135a038ef1dc9aa72f94".to_owned(),
    )]
    .into();
    stage.account.list(&ours).await.expect("a list");
    let mut spot = order("m5.spot", "first");
    spot.image_id = "ami-0123456789abcdef0".to_owned();
    spot.tags
        .insert("ArvadosInstanceType".to_owned(), "spot".to_owned());
    spot.tags.extend(ours.clone());
    let made = stage.account.create(&spot).await.expect("an instance");
    let mut small = order("m5.small", "second");
    small.image_id.clone_from(&spot.image_id);
    small.secret = InstanceSecret::new("second");
    small
        .tags
        .insert("ArvadosInstanceType".to_owned(), "small".to_owned());
    small.instance_type.added_scratch_bytes = 50_000_000_000;
    stage.account.create(&small).await.expect("an instance");
    stage.account.list(&ours).await.expect("a list");
    stage.prices(&[(&made, 0)]).await;
    // The dispatcher asks for the one tag that changes; Go sends all (facts K28).
    let tags: Tags = [("ArvadosIdleBehavior".to_owned(), "hold".to_owned())].into();
    stage.account.set_tags(&made.id, &tags).await.expect("tags");
    stage.account.destroy(&made.id).await.expect("an end");

    let mut sent = stage.ec2.forms();
    for theirs in recorded() {
        let action = &theirs["Action"];
        if NOT_MADE.contains(&action.as_str()) {
            continue;
        }
        let kind = |form: &Form| (form["Action"].clone(), form.get("InstanceType").cloned());
        let position = sent.iter().position(|form| kind(form) == kind(&theirs));
        let ours =
            meaning(&sent.remove(position.unwrap_or_else(|| panic!("{action} is not called"))));
        for (key, value) in meaning(&theirs) {
            if action == "CreateTags" && key.starts_with("tag ") && !key.ends_with("IdleBehavior") {
                continue;
            }
            assert_eq!(ours.get(&key), Some(&value), "{action}: {key} in {ours:#?}");
        }
    }
}
