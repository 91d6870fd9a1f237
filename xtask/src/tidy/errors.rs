//! The page of errors has every error of the product that has a type, every one that its programs end with, and no other:
//! `docs/errors.md`. What the lock says has no types: it is held against its section by its words.

use std::collections::BTreeMap;

use super::Problem;
use crate::tree::SourceFile;

const PAGE: &str = "docs/errors.md";
/// What begins an error's text.
const BEGINNINGS: [&str; 3] = ["#[error(", "bail!(", "anyhow!("];
/// Whose words are told as they come: the session's, the keeper's.
const LOCK: [&str; 2] = ["crates/lock/src/", "crates/dispatcher/src/command.rs"];
const LOCK_SECTION: &str = "## The lock";
/// Where every sentence is told to operators, but these.
const LOCK_TELLS: [&str; 4] = ["keeper.rs", "connect.rs", "session.rs", "term.rs"];
const ALL_IS_WELL: [&str; 3] = [
    "tries to take the dispatchers' lock",
    "holds the dispatchers' lock",
    "the lock was given back",
];
/// Said by a library, and met by nearly everybody.
const THE_LIBRARYS: [&str; 1] = ["server does not support TLS"];
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
    let of_the_lock: Vec<&SourceFile> = files
        .iter()
        .filter(|file| is_product(&file.path))
        .filter(|file| LOCK.iter().any(|place| file.path.starts_with(place)))
        .collect();
    let lock: String = of_the_lock.iter().map(|file| joined(&file.text)).collect();
    let mut problems = compare(&messages, &lock, &page.text);
    for file in of_the_lock {
        let name = file.path.strip_prefix(LOCK[0]).unwrap_or_default();
        if LOCK_TELLS.contains(&name) {
            problems.extend(untold(&file.path, &file.text, &page.text));
        }
    }
    problems
}

/// Sentences of the lock that have no row.
fn untold(path: &str, text: &str, page: &str) -> Vec<Problem> {
    let section = page.split("\n## ").find(|section| {
        let title = LOCK_SECTION.trim_start_matches("## ");
        section.lines().next() == Some(title)
    });
    let section = section.unwrap_or_default().replace('`', "");
    let missing = sentences(text).into_iter().filter(|sentence| {
        !ALL_IS_WELL.contains(&&**sentence) && !section.lines().any(|row| says(row, sentence))
    });
    missing
        .map(|sentence| {
            let words = format!("{sentence:?} has no row in {PAGE}, {LOCK_SECTION:?}");
            Problem::new(path, words)
        })
        .collect()
}

/// The literals that are sentences of ours: a few words, and no SQL.
fn sentences(text: &str) -> Vec<String> {
    const WORDS_MIN: usize = 4;
    let code = text.split("#[cfg(test)]").next().unwrap_or_default();
    let lines = code
        .split_inclusive('\n')
        .filter(|line| !line.trim_start().starts_with("//"));
    let code: String = lines.collect();
    let mut rest = &*code;
    let mut found = vec![];
    while let Some((_, after)) = rest.split_once('"') {
        let sentence = shown(&literal(after));
        let words = sentence.split(' ').filter(|word| {
            word.len() > 1
                && word
                    .chars()
                    .all(|c| c.is_ascii_lowercase() || "'’,;.".contains(c))
        });
        if words.count() >= WORDS_MIN && !sentence.contains("SELECT") {
            found.push(sentence);
        }
        rest = after_literal(after);
    }
    found
}

/// What follows a string literal.
fn after_literal(rest: &str) -> &str {
    let mut escaped = false;
    let end = rest.find(|c| {
        let is_end = c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        is_end
    });
    end.map_or("", |end| &rest[end + 1..])
}

/// With string literals in one line each, as they are shown.
fn joined(text: &str) -> String {
    let mut lines = text.split("\\\n");
    let mut out = lines.next().unwrap_or_default().to_owned();
    for line in lines {
        out.push_str(line.trim_start());
    }
    out
}

fn is_product(path: &str) -> bool {
    path.ends_with(".rs")
        && (path.starts_with("crates/") || path.starts_with("bins/"))
        && path.contains("/src/")
        && !path.contains("/tests")
        && !path.contains("/arvados-dispatch-lab/")
        && !NOT_THE_PRODUCT
            .iter()
            .any(|folder| path.starts_with(folder))
}

fn compare(messages: &BTreeMap<String, &str>, lock: &str, page: &str) -> Vec<Problem> {
    let mut rows: BTreeMap<String, usize> = BTreeMap::new();
    let mut problems = vec![];
    let mut section = "";
    for (index, line) in page.lines().enumerate() {
        if line.starts_with("## ") {
            section = line;
        }
        let first = line.strip_prefix("| ").and_then(|l| l.split(" | ").next());
        // Only what is in backticks is an error's own text.
        let Some(first) = first.filter(|first| first.starts_with('`')) else {
            continue;
        };
        let row = first.replace('`', "").trim().to_owned();
        if section != LOCK_SECTION {
            rows.insert(row, index + 1);
        } else if !THE_LIBRARYS.contains(&&*row) && !says(lock, &row) {
            problems.push(Problem::at(
                PAGE,
                index + 1,
                format!("nothing in {} says `{row}`", LOCK.join(" and ")),
            ));
        }
    }
    let missing = messages
        .iter()
        .filter(|(message, _)| !rows.contains_key(*message));
    problems.extend(missing.map(|(message, path)| {
        Problem::new(*path, format!("the error `{message}` has no row in {PAGE}"))
    }));
    let stale = rows.iter().filter(|(row, _)| !messages.contains_key(*row));
    problems.extend(
        stale.map(|(row, line)| Problem::at(PAGE, *line, format!("no error says `{row}`"))),
    );
    problems
}

/// Whether all parts of a row are somewhere.
fn says(sources: &str, row: &str) -> bool {
    row.split('…')
        .all(|part| sources.contains(part.trim_matches([' ', ':', '.'])))
}

/// What the errors of a file say, with `…` for what differs from time to time, without backticks.
fn messages_of(text: &str) -> Vec<String> {
    let mut found = vec![];
    let starts = BEGINNINGS.iter().flat_map(|beginning| {
        let found = text.match_indices(beginning);
        found.map(|(start, beginning)| start + beginning.len())
    });
    for start in starts {
        let rest = text[start..].trim_start();
        let Some(rest) = rest.strip_prefix('"') else {
            // It says what its source says.
            continue;
        };
        let message = shown(&literal(rest));
        // One that is only an outlet for others' words says nothing of its own.
        if message.contains(char::is_alphabetic) {
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
        let found = compare(&messages, "", page);
        assert_eq!(found.len(), 1, "{found:?}");
        let page = format!("{page}| `it is \"so\" long` | y |\n| `gone` | z |\n");
        let found = compare(&messages, "", &page);
        assert_eq!(found, [Problem::at(PAGE, 5, "no error says `gone`")]);
    }

    #[test]
    fn what_a_program_ends_with_is_an_error_as_well() {
        let source = "bail!(\n    \"{} has no token: \\\n     set one\",\n    file\n);\nanyhow!(\"no answer\")\nbail!(\"{}: {error}\");\n\
                      bail!(message)";
        assert_eq!(
            messages_of(source),
            ["… has no token: set one", "no answer"]
        );
    }

    #[test]
    fn a_sentence_of_the_lock_without_a_row_is_found() {
        let source = "//! \"No sentence this is one\n\"SELECT a lock of some kind\";\nerr(\"its name has \\\"no\\\" address in {place}\");\n\
                      say(\"holds the dispatchers' lock\", \"a b\");\n#[cfg(test)]\n\"this is only said by tests\"";
        let page = "# Errors\n\n## The lock\n\n| `… its name has \"no\" address in …` | x | y |\n\n## Other\n";
        assert_eq!(untold("a.rs", source, page), []);
        let page = page.replace("address", "abode");
        let found = untold("a.rs", source, &page);
        assert_eq!(found.len(), 1, "{found:?}");
    }

    #[test]
    fn a_row_of_the_lock_that_the_lock_never_says_is_found() {
        let lock =
            joined("write!(f, \"waits for {who}: \\\n    held by {holder}\"); \"it is gone\"");
        let page = "## The lock\n| `waits for …: held by …` | x |\n| `it is here` | y |\n| `server does not support TLS` | z |\n";
        let found = compare(&BTreeMap::new(), &lock, page);
        let says = format!("nothing in {} says `it is here`", LOCK.join(" and "));
        assert_eq!(found, [Problem::at(PAGE, 3, says)]);
    }
}
