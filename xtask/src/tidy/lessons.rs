//! `docs/lessons.md` has a row for each lesson, weakness and scenario of the reference, and each test it names exists.

use std::collections::{BTreeMap, BTreeSet};

use super::{Lessons, Problem, facts::items};
use crate::tree::SourceFile;

const TABLE: &str = "docs/lessons.md";
/// Pages whose numbers need a row.
const REFERENCE: &[&str] = &[
    "docs/reference/lessons.md",
    "docs/reference/weaknesses.md",
    "docs/reference/scenarios.md",
];
/// What the last column may open with instead of tests.
const ELSEWHERE: &[&str] = &["not ours: ", "issue EC2", "issue Azure", "issue production"];
const OPEN: &str = "open";

pub(super) struct Checked {
    pub(super) problems: Vec<Problem>,
    pub(super) summary: String,
}

pub(super) fn check(files: &[SourceFile], strictness: Lessons) -> Checked {
    let text = |path: &str| {
        files
            .iter()
            .find(|file| file.path == path)
            .map_or("", |file| file.text.as_str())
    };
    let asked: Vec<String> = REFERENCE
        .iter()
        .flat_map(|page| items(text(page)))
        .collect();
    let rows = rows(text(TABLE));
    let tests: BTreeSet<&str> = files
        .iter()
        .filter(|file| file.path.ends_with(".rs"))
        .flat_map(|file| tests(&file.text))
        .collect();

    let mut problems = vec![];
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    let mut n_open = 0;
    let mut n_tested = 0;
    for row in &rows {
        if let Some(first) = seen.insert(&row.number, row.line) {
            problems.push(Problem::at(
                TABLE,
                row.line,
                format!("{} has a row in line {first} already", row.number),
            ));
        }
        match judge(row, &tests) {
            Verdict::Tested => n_tested += 1,
            Verdict::Elsewhere => {}
            Verdict::Open => n_open += 1,
            Verdict::Wrong(what) => problems.push(Problem::at(
                TABLE,
                row.line,
                format!("{}: {what}", row.number),
            )),
        }
        if strictness == Lessons::Strict && row.proof.starts_with(OPEN) {
            problems.push(Problem::at(
                TABLE,
                row.line,
                format!("{} is open", row.number),
            ));
        }
    }
    for number in &asked {
        if !seen.contains_key(number.as_str()) {
            problems.push(Problem::new(
                TABLE,
                format!("{number} of the reference has no row"),
            ));
        }
    }
    for row in rows.iter().filter(|row| !asked.contains(&row.number)) {
        problems.push(Problem::at(
            TABLE,
            row.line,
            format!("the reference has no {}", row.number),
        ));
    }
    let summary = format!(
        "{} lessons: {n_tested} tested, {n_open} open, the rest explained",
        rows.len()
    );
    Checked { problems, summary }
}

struct Row {
    line: usize,
    number: String,
    /// The last column: tests in backticks, or where the number belongs, or `open`.
    proof: String,
}

fn rows(table: &str) -> Vec<Row> {
    let mut rows = vec![];
    for (index, line) in table.lines().enumerate() {
        let cells: Vec<&str> = line
            .trim()
            .trim_matches('|')
            .split('|')
            .map(str::trim)
            .collect();
        let [number, _, proof] = cells[..] else {
            continue;
        };
        if is_number(number) {
            rows.push(Row {
                line: index + 1,
                number: number.into(),
                proof: proof.into(),
            });
        }
    }
    rows
}

/// `K12`, or `§6.2.4`.
fn is_number(cell: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_digit());
    match cell.strip_prefix('§') {
        Some(scenario) => scenario.split('.').all(digits),
        None => {
            cell.starts_with(|c: char| c.is_ascii_uppercase()) && cell.get(1..).is_some_and(digits)
        }
    }
}

enum Verdict {
    Tested,
    Elsewhere,
    Open,
    Wrong(String),
}

fn judge(row: &Row, tests: &BTreeSet<&str>) -> Verdict {
    let named: Vec<&str> = row.proof.split('`').skip(1).step_by(2).collect();
    // `worker::adoption::a_test`: the last part is the name, the rest says where to look.
    let short = |name: &&str| name.rsplit("::").next().unwrap_or_default().to_owned();
    let missing: Vec<String> = named
        .iter()
        .map(short)
        .filter(|name| !tests.contains(name.as_str()))
        .collect();
    if row.proof.starts_with(OPEN) {
        Verdict::Open
    } else if ELSEWHERE.iter().any(|reason| row.proof.starts_with(reason)) {
        Verdict::Elsewhere
    } else if named.is_empty() {
        Verdict::Wrong(format!(
            "name its tests in backticks, or say `{OPEN}` or one of {ELSEWHERE:?}"
        ))
    } else if !missing.is_empty() {
        Verdict::Wrong(format!("no such test: {}", missing.join(", ")))
    } else {
        Verdict::Tested
    }
}

/// Names of the test functions in this source, and of the checks in tables of checks (`checks! { [E1] name: …; }`),
/// which a test runs one by one.
fn tests(source: &str) -> Vec<&str> {
    let mut names = vec![];
    let mut marked = false;
    let mut in_table = false;
    for line in source.lines().map(str::trim) {
        if line == "checks! {" {
            in_table = true;
        } else if line == "}" {
            in_table = false;
        } else if in_table {
            let after_numbers = line
                .strip_prefix('[')
                .and_then(|line| line.split_once("] "));
            names.extend(after_numbers.and_then(|(_, rest)| rest.split(':').next()));
        } else if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
            marked = true;
        } else if let Some((_, rest)) = line.split_once("fn ").filter(|_| marked) {
            names.extend(rest.split(['(', '<']).next());
            marked = false;
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: &str = "//! A.\n#[test]\n#[should_panic]\nfn a_test() {}\nfn no_test() {}\n\
                          #[tokio::test(start_paused = true)]\nasync fn a_slow_test() {}\n\
                          checks! {\n    [E1] a_check: lab (x), moto Y;\n}\n";

    #[track_caller]
    fn finds(table: &str, strictness: Lessons, expected: &[&str]) {
        let file = |path: &str, text: &str| SourceFile {
            path: path.into(),
            text: text.into(),
        };
        let files = [
            file(
                "docs/reference/lessons.md",
                "## 1.1 Queue\n- **Q1.** one\n- **Q2.** two\n",
            ),
            file(
                "docs/reference/scenarios.md",
                "## 6.2 Plans\n- **§6.2.1.** one\n",
            ),
            file(TABLE, table),
            file("a.rs", SOURCE),
        ];
        let found: Vec<_> = check(&files, strictness)
            .problems
            .into_iter()
            .map(|problem| problem.what)
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn a_full_table_with_real_tests_is_fine() {
        finds(
            "| Q1 | asks | `a::a_test`, `a_slow_test` |\n| Q2 | asks | issue EC2 |\n| §6.2.1 | asks | `a_test` |\n",
            Lessons::Strict,
            &[],
        );
    }

    #[test]
    fn missing_rows_and_tests_that_do_not_exist_are_found() {
        finds(
            "| Q1 | asks | `no_test` |\n| Q3 | asks | perhaps |\n",
            Lessons::Lenient,
            &[
                "Q1: no such test: no_test",
                "Q3: name its tests in backticks, or say `open` or one of \
                 [\"not ours: \", \"issue EC2\", \"issue Azure\", \"issue production\"]",
                "Q2 of the reference has no row",
                "§6.2.1 of the reference has no row",
                "the reference has no Q3",
            ],
        );
    }

    #[test]
    fn an_open_row_fails_only_when_strict() {
        let table =
            "| Q1 | asks | `a_test` |\n| Q2 | asks | open |\n| §6.2.1 | asks | `a_test` |\n";
        finds(table, Lessons::Lenient, &[]);
        finds(table, Lessons::Strict, &["Q2 is open"]);
    }
}
