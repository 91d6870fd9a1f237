//! Commands on instances (`ssh-commands.jsonl`).

use std::collections::{BTreeMap, BTreeSet};

use dispatch_lab_net::Heard;
use serde_json::{Value, json};

use super::{RUNNER_BYTES, ours, recorded, without_luck};

const COMMANDS: &str = include_str!("../../../transcripts/ssh-commands.jsonl");

/// What our own two scripts begin with (docs/reference/scripts.md).
const DEPLOY: &str = ": arvados-dispatch deploy v1\n";
const WATCH: &str = ": arvados-dispatch watch v1\n";

/// One command as a machine saw it.
struct Command {
    address: String,
    user: String,
    line: String,
    stdin: Vec<u8>,
}

fn commands() -> impl Iterator<Item = Command> {
    ours()
        .heard
        .iter()
        .cloned()
        .filter_map(|heard| match heard {
            Heard::Command {
                address,
                user,
                line,
                stdin,
            } => Some(Command {
                address,
                user,
                line,
                stdin,
            }),
            Heard::Api(_) | Heard::Cloud(_) => None,
        })
}

/// The recorded lines by their kind.
fn recorded_lines() -> BTreeMap<String, String> {
    recorded(COMMANDS)
        .map(|row| {
            let text = |name: &str| row[name].as_str().expect("a text").to_owned();
            (text("kind"), without_luck(&text("command")))
        })
        .collect()
}

#[test]
fn each_command_is_one_that_was_recorded() {
    let recorded = recorded_lines();
    let mut heard = BTreeSet::new();
    for Command {
        user, line, stdin, ..
    } in commands()
    {
        assert_eq!(user, "crunch");
        let plain = without_luck(&line);
        let kind = recorded.iter().find(|(_, recorded)| **recorded == plain);
        let kind = match kind {
            Some((kind, _)) => kind.as_str(),
            // Ours writes to a temporary name, checks the hash, and renames (facts K25); and it waits on the machine
            // for the end of runners, which the Go dispatcher does not (facts P5).
            None if line.contains(DEPLOY) && stdin.len() == RUNNER_BYTES => "deploy",
            None if line.contains(WATCH) => "exit watch",
            None => panic!("never recorded: {line}"),
        };
        let takes_input = kind == "deploy" || kind == "detach";
        assert_eq!(stdin.is_empty(), !takes_input, "{line}");
        heard.insert(kind.to_owned());
    }
    heard.remove("exit watch");
    assert_eq!(
        heard,
        recorded.into_keys().collect(),
        "all kinds were heard"
    );
}

#[test]
fn a_machine_is_told_things_in_the_recorded_order() {
    let recorded = recorded_lines();
    let mut firsts: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for command in commands() {
        let plain = without_luck(&command.line);
        let kind = recorded.iter().find(|(_, recorded)| **recorded == plain);
        let kind = kind.map_or("deploy", |(kind, _)| kind.as_str());
        let told = firsts.entry(command.address).or_default();
        let is_watch = command.line.contains(WATCH);
        if !is_watch && !told.iter().any(|known| known == kind) {
            told.push(kind.to_owned());
        }
    }
    assert!(firsts.len() >= 3);
    for (address, told) in firsts {
        assert!(told.len() >= 6, "{address}: {told:?}");
        assert_eq!(
            told[..6],
            ["secret", "boot probe", "md5sum", "deploy", "list", "detach"],
            "{address}"
        );
    }
}

#[test]
fn runners_are_told_what_was_recorded() {
    let recorded: BTreeMap<String, Value> = recorded(COMMANDS)
        .filter(|row| row["kind"] == "detach")
        .map(|row| {
            let document = row["stdin"].as_str().expect("a document");
            let document: Value = serde_json::from_str(document).expect("JSON");
            (provider_type(&document), document)
        })
        .collect();
    let mut seen = BTreeSet::new();
    for command in commands().filter(|command| command.line.contains(" --detach ")) {
        let mut document: Value = serde_json::from_slice(&command.stdin).expect("JSON");
        let kind = provider_type(&document);
        let mut expected = recorded[&kind].clone();
        // What must differ, and what it is here.
        let host = command
            .address
            .split(':')
            .next()
            .expect("a host")
            .to_owned();
        expected["Env"]["ARVADOS_API_HOST"] = json!(ours().api_host);
        expected["Env"]["ARVADOS_API_TOKEN"] = json!(ours().root_token);
        expected["Env"]["GatewayAddress"] = json!(format!("{host}:0"));
        // It depends on token and container; the lab has checked it (facts R8).
        let secret = document["Env"]["GatewayAuthSecret"].take();
        let theirs = expected["Env"]["GatewayAuthSecret"].take();
        assert_eq!(secret.as_str().map(str::len), theirs.as_str().map(str::len));
        // True for spot instances of EC2 alone, and these are the lab's.
        expected["EC2SpotCheck"] = json!(false);
        assert_eq!(document, expected);
        seen.insert(kind);
    }
    assert_eq!(seen, recorded.into_keys().collect());
}

/// The instance type travels as a text in JSON.
fn provider_type(document: &Value) -> String {
    let text = document["Env"]["InstanceType"].as_str().expect("a text");
    let kind: Value = serde_json::from_str(text).expect("JSON");
    kind["ProviderType"].as_str().expect("a name").to_owned()
}
