//! Numbers of facts that code and docs cite ("facts S10", "facts §2.2.1") are defined in `docs/reference/`.

use std::collections::BTreeSet;

use super::Problem;
use crate::tree::SourceFile;

const REFERENCE: &str = "docs/reference/";

pub(super) fn check(files: &[SourceFile]) -> Vec<Problem> {
    let (reference, others): (Vec<_>, Vec<_>) = files
        .iter()
        .partition(|file| file.path.starts_with(REFERENCE));
    let known: BTreeSet<String> = reference
        .iter()
        .flat_map(|file| defined(&file.text))
        .collect();
    let mut problems = vec![];
    for SourceFile { path, text } in others {
        for (index, line) in text.lines().enumerate() {
            for number in cited(line)
                .into_iter()
                .filter(|number| !known.contains(number))
            {
                problems.push(Problem::at(
                    path,
                    index + 1,
                    format!("cites facts {number}, which {REFERENCE} lacks"),
                ));
            }
        }
    }
    problems
}

/// The numbers that this page defines: `**S10.**` in front of a fact, `## 2.2.1 Title` as a heading.
pub(super) fn defined(text: &str) -> Vec<String> {
    let mut numbers = vec![];
    for line in text.lines() {
        if let Some(heading) = line.strip_prefix('#') {
            let first = heading
                .trim_start_matches('#')
                .split_whitespace()
                .next()
                .unwrap_or_default();
            if first.starts_with(|c: char| c.is_ascii_digit()) {
                numbers.push(format!("§{}", first.trim_end_matches('.')));
            }
        }
        numbers.extend(items_of(line));
    }
    numbers
}

/// The numbers of single facts that this page defines, without those of its sections: `**S10.**`, `**§6.2.4.**`.
pub(super) fn items(text: &str) -> Vec<String> {
    text.lines().flat_map(items_of).collect()
}

fn items_of(line: &str) -> impl Iterator<Item = String> {
    line.match_indices("**").filter_map(|(start, _)| {
        let (number, rest) = number(&line[start + 2..])?;
        // A number with dots keeps the one behind it.
        rest.strip_prefix('.')
            .unwrap_or(rest)
            .starts_with("**")
            .then_some(number)
    })
}

/// The numbers listed behind the word "facts": "facts §1.2 S19, S11 and K4".
fn cited(line: &str) -> Vec<String> {
    let mut numbers = vec![];
    for (start, word) in line.match_indices("facts ") {
        let mut rest = &line[start + word.len()..];
        while let Some((found, behind)) = number(rest) {
            numbers.push(found);
            let behind = behind.trim_start_matches([' ', ',', ';', '/', '–', '-']);
            rest = ["and ", "or ", "to "]
                .iter()
                .find_map(|word| behind.strip_prefix(word))
                .unwrap_or(behind);
        }
    }
    numbers
}

/// A number at the start of the text, and what follows it.
fn number(text: &str) -> Option<(String, &str)> {
    let (sign, digits) = match text.strip_prefix('§') {
        Some(digits) => ("§".to_owned(), digits),
        None => {
            let letter = text.chars().next().filter(char::is_ascii_uppercase)?;
            (letter.to_string(), &text[1..])
        }
    };
    let end = digits
        .find(|c: char| !c.is_ascii_digit() && (c != '.' || sign != "§"))
        .unwrap_or(digits.len());
    let (mut number, mut rest) = digits.split_at(end);
    // A full stop behind the number ends a sentence; a letter behind it belongs to it (§2.1.2a).
    while let Some(shorter) = number.strip_suffix('.') {
        number = shorter;
        rest = &digits[number.len()..];
    }
    if number.is_empty() || (sign != "§" && rest.starts_with(|c: char| c.is_alphanumeric())) {
        return None;
    }
    let mut number = format!("{sign}{number}");
    if let Some(letter) = rest.chars().next().filter(char::is_ascii_lowercase) {
        number.push(letter);
        rest = &rest[1..];
    }
    Some((number, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn cites(line: &str, expected: &[&str]) {
        assert_eq!(cited(line), expected, "{line}");
    }

    #[test]
    fn cited_numbers_are_found_behind_the_word_facts() {
        cites("/// Ties go to the older one (facts S10).", &["S10"]);
        cites("// facts §2.2.1.", &["§2.2.1"]);
        cites(
            "/// facts §1.2 S19, S11 and K4; then more.",
            &["§1.2", "S19", "S11", "K4"],
        );
        cites("the facts §2.1.2a say so", &["§2.1.2a"]);
        cites("the facts are these: S3 stores objects", &[]);
        cites("Arvados facts Q1–Q8", &["Q1", "Q8"]);
        cites("facts S3Bucket", &[]);
    }

    #[test]
    fn numbers_are_defined_by_headings_and_bold_items() {
        let page = "# Title\n## 2.1 Calls\n### 2.1.2a Between\n- **Q1.** text\n- **bold** text, **K12.** ★ more\n";
        assert_eq!(defined(page), ["§2.1", "§2.1.2a", "Q1", "K12"]);
        let page = "## 6.2 Plans\n- <a id=\"x\"></a>**§6.2.4.** text\n";
        assert_eq!(
            (defined(page).len(), items(page)),
            (2, vec!["§6.2.4".to_owned()])
        );
    }

    #[test]
    fn a_number_that_the_reference_lacks_is_found() {
        let file = |path: &str, text: &str| SourceFile {
            path: path.into(),
            text: text.into(),
        };
        let found = check(&[
            file("docs/reference/a.md", "**Q1.** x\n"),
            file("a.rs", &format!("// {} Q1, Q99\n", "facts")),
        ]);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].place == "a.rs:1" && found[0].what.contains("Q99"));
    }
}
