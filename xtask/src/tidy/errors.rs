//! The page of errors has every error of the product, and no other: `docs/errors.md`.

use std::collections::BTreeMap;

use super::Problem;
use crate::tree::SourceFile;

const PAGE: &str = "docs/errors.md";
/// Crates whose errors no operator sees.
const NOT_THE_PRODUCT: [&str; 3] = [
    "crates/lab/",
    "crates/lab-net/",
    "crates/cloud-conformance/",
];

pub(super) fn check(files: &[SourceFile]) -> Vec<Problem> {
    let Some(page) = files.iter().find(|file| file.path == PAGE) else {
        return vec![Problem::new(PAGE, "is missing")];
    };
    let mut messages = BTreeMap::new();
    for file in files.iter().filter(|file| is_product(&file.path)) {
        for message in messages_of(&file.text) {
            messages.insert(message, &*file.path);
        }
    }
    compare(&messages, &page.text)
}

fn is_product(path: &str) -> bool {
    path.ends_with(".rs")
        && (path.starts_with("crates/") || path.starts_with("bins/"))
        && path.contains("/src/")
        && !path.contains("/tests")
        && !NOT_THE_PRODUCT
            .iter()
            .any(|folder| path.starts_with(folder))
}

fn compare(messages: &BTreeMap<String, &str>, page: &str) -> Vec<Problem> {
    let rows: BTreeMap<String, usize> = page
        .lines()
        .enumerate()
        .filter_map(|(index, line)| {
            let first = line.strip_prefix("| ")?.split(" | ").next()?;
            // Only what is in backticks is an error's own text.
            first
                .starts_with('`')
                .then(|| (first.replace('`', "").trim().to_owned(), index + 1))
        })
        .collect();
    let missing = messages
        .iter()
        .filter(|(message, _)| !rows.contains_key(*message));
    let mut problems: Vec<Problem> = missing
        .map(|(message, path)| {
            Problem::new(*path, format!("the error `{message}` has no row in {PAGE}"))
        })
        .collect();
    let stale = rows.iter().filter(|(row, _)| !messages.contains_key(*row));
    problems.extend(
        stale.map(|(row, line)| Problem::at(PAGE, *line, format!("no error says `{row}`"))),
    );
    problems
}

/// What the errors of a file say, with `…` for what differs from time to time, without backticks.
fn messages_of(text: &str) -> Vec<String> {
    let mut found = vec![];
    for (start, _) in text.match_indices("#[error(") {
        let rest = text[start + 8..].trim_start();
        let Some(rest) = rest.strip_prefix('"') else {
            // It says what its source says.
            continue;
        };
        let message = shown(&literal(rest));
        // One that is only an outlet for others' words says nothing of its own.
        if message != "…" {
            found.push(message);
        }
    }
    found
}

/// The text of a string literal after its first quotation mark.
fn literal(rest: &str) -> String {
    let mut text = String::new();
    let mut characters = rest.chars();
    while let Some(c) = characters.next() {
        match c {
            '"' => break,
            '\\' => match characters.next() {
                Some('\n') => {
                    let left = characters.as_str().trim_start();
                    characters = left.chars();
                }
                Some('n') => text.push('\n'),
                Some(other) => text.push(other),
                None => {}
            },
            c => text.push(c),
        }
    }
    text
}

/// With placeholders as people see them.
fn shown(literal: &str) -> String {
    let mut out = String::new();
    let mut depth = 0;
    for c in literal.chars() {
        match c {
            '{' => {
                depth += 1;
                out.push('…');
            }
            '}' => depth -= 1,
            '`' => {}
            c if depth == 0 => out.push(c),
            _ => {}
        }
    }
    out.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: &str = "#[error(\"cannot read `{key}` from {}: {reason}\", path.display())]\n A,\n#[error(\n    \"it \
                          is \\\"so\\\" \\\n        long\"\n)]\n B,\n#[error(transparent)]\n C,\n#[error(\"{message}\")]\n";

    #[test]
    fn messages_are_read_as_they_are_shown() {
        assert_eq!(
            messages_of(SOURCE),
            ["cannot read … from …: …", "it is \"so\" long"]
        );
    }

    #[test]
    fn an_error_without_a_row_and_a_row_without_an_error_are_found() {
        let messages = messages_of(SOURCE)
            .into_iter()
            .map(|message| (message, "a.rs"))
            .collect();
        let page = "| error | remedy |\n|---|---|\n| `` cannot read `…` from …: … `` | look |\n";
        let found = compare(&messages, page);
        assert_eq!(found.len(), 1, "{found:?}");
        let page = format!("{page}| `it is \"so\" long` | y |\n| `gone` | z |\n");
        let found = compare(&messages, &page);
        assert_eq!(found, [Problem::at(PAGE, 5, "no error says `gone`")]);
    }
}
