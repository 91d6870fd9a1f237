//! The admin's tool (`instance-cli.txt`).

use super::{SESSION, ours};

const INSTANCE: &str = "i-00000000000000001";
const HOST: &str = "127.0.0.1:19006";

/// One recorded command: its words, exit code, standard output and error.
fn blocks() -> impl Iterator<Item = (&'static str, i32, &'static str, &'static str)> {
    SESSION.split("$ instance ").skip(1).map(|block| {
        let (words, rest) = block.split_once("\nexit ").expect("an exit code");
        let (code, rest) = rest.split_once("\nstdout:\n").expect("standard output");
        let (stdout, stderr) = rest.split_once("stderr:\n").expect("standard error");
        (
            words,
            code.parse().expect("a number"),
            stdout,
            stderr.trim(),
        )
    })
}

pub(super) fn recorded_commands() -> Vec<String> {
    blocks().map(|(words, ..)| words.to_owned()).collect()
}

/// Ours spells options with two dashes, and has tables for people unless asked for tabs.
pub(super) fn in_our_words(command: &str, instance: &str) -> Vec<String> {
    let words = command.replace(INSTANCE, instance);
    words
        .split(' ')
        .flat_map(|word| match word.strip_prefix('-') {
            Some(option) => vec![format!("--{option}")],
            None if word == "list" => vec!["list".to_owned(), "--tsv".to_owned()],
            None => vec![word.to_owned()],
        })
        .collect()
}

/// What a cell of a list looks like.
fn kind_of(cell: &str) -> &'static str {
    match cell {
        "-" => "nothing",
        "unknown" | "booting" | "idle" | "running" | "shutdown" => "state",
        "run" | "hold" | "drain" => "behavior",
        "small" | "spot" | "big" => "type",
        _ if cell.starts_with("i-") => "instance",
        _ if cell.starts_with("m5.") => "provider type",
        _ if cell.starts_with("127.") => "address",
        _ if cell.starts_with("zzzzz-dz642-") => "container",
        _ if cell
            .split_once('.')
            .is_some_and(|(_, digits)| digits.len() == 6) =>
        {
            "price"
        }
        _ => "something else",
    }
}

#[test]
fn the_admins_tool_says_what_the_go_tool_said() {
    let session = &ours().session;
    assert_eq!(session.len(), blocks().count());
    for ((words, code, stdout, stderr), (_, ran)) in blocks().zip(session) {
        assert_eq!(ran.code, Some(code), "{words}: {ran:?}");
        if stderr.starts_with('<') {
            // "<one line: no instance given>": ours says more, on more lines.
            assert!(!ran.stderr.is_empty(), "{words}");
        } else {
            let expected = stderr
                .replace(INSTANCE, &ours().instance)
                .replace(HOST, &ours().management_address);
            assert_eq!(ran.stderr.trim(), expected, "{words}");
        }
        let mut lines: Vec<&str> = ran.stdout.lines().collect();
        if words == "list -header" {
            assert_eq!(lines.remove(0), stdout.lines().next().expect("a header"));
        }
        assert_eq!(lines.is_empty(), stdout.is_empty(), "{words}: {ran:?}");
        for line in lines {
            let kinds: Vec<&str> = line.split('\t').map(kind_of).collect();
            assert_eq!(
                kinds[..7],
                [
                    "instance",
                    "address",
                    "state",
                    "behavior",
                    "type",
                    "provider type",
                    "price"
                ],
                "{line}"
            );
            assert!(
                kinds.len() == 8 && ["nothing", "container"].contains(&kinds[7]),
                "{line}"
            );
        }
    }
}
