//! Every source file says what it is for; none silences a lint for good, skips a test or names somebody's machine.

use super::Problem;
use crate::tree::SourceFile;

pub(super) fn check(files: &[SourceFile]) -> Vec<Problem> {
    files.iter().flat_map(check_file).collect()
}

fn check_file(SourceFile { path, text }: &SourceFile) -> Vec<Problem> {
    let mut problems = vec![];
    if path.ends_with(".rs") {
        if !text.starts_with("//! ") {
            problems.push(Problem::at(
                path,
                1,
                "the file does not open with a line `//! ` that says what it is for",
            ));
        }
        problems.extend(forbidden_attributes(path, text));
    }
    problems.extend(machine_paths(path, text));
    problems
}

fn forbidden_attributes(path: &str, text: &str) -> Vec<Problem> {
    let mut problems = vec![];
    for (index, line) in text.lines().enumerate() {
        let line = line.trim_start();
        if line.starts_with("#[allow(") || line.starts_with("#![allow(") {
            problems.push(Problem::at(
                path,
                index + 1,
                "use `#[expect(…, reason = \"…\")]` instead of `allow`",
            ));
        }
        if line.starts_with("#[ignore") {
            problems.push(Problem::at(
                path,
                index + 1,
                "a test nobody runs; pin what happens today instead",
            ));
        }
    }
    problems
}

/// Folders that exist on one person's machine only.
fn machine_paths(path: &str, text: &str) -> Vec<Problem> {
    // Put together here, so that this file does not contain them.
    let needles = [
        "work/main",
        "work/shared",
        "root/.cargo",
        "root/.rustup",
        "tmp/brief",
    ]
    .map(|n| format!("/{n}"));
    let mut problems = vec![];
    for (index, line) in text.lines().enumerate() {
        for needle in needles
            .iter()
            .filter(|needle| line.contains(needle.as_str()))
        {
            problems.push(Problem::at(
                path,
                index + 1,
                format!("a path of one machine: {needle}"),
            ));
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn finds(path: &str, text: &str, expected: &[&str]) {
        let found = check_file(&SourceFile {
            path: path.into(),
            text: text.into(),
        });
        let places: Vec<_> = found.iter().map(|problem| problem.place.as_str()).collect();
        assert_eq!(places, expected, "{found:?}");
    }

    #[test]
    fn a_source_file_without_its_opening_line_is_found() {
        finds("a.rs", "//! What it is for.\nfn a() {}\n", &[]);
        finds("a.rs", "fn a() {}\n", &["a.rs:1"]);
        finds("a.md", "# Title\n", &[]);
    }

    #[test]
    fn silenced_lints_and_skipped_tests_are_found() {
        finds(
            "a.rs",
            "//! A.\n#![allow(dead_code)]\n    #[ignore = \"slow\"]\nfn a() {}\n",
            &["a.rs:2", "a.rs:3"],
        );
        finds(
            "a.rs",
            "//! A.\n#![expect(dead_code, reason = \"r\")]\n",
            &[],
        );
    }

    #[test]
    fn paths_of_one_machine_are_found_in_any_file() {
        finds(
            "a.toml",
            &format!("x = \"/{}main/x\"\n", "work/"),
            &["a.toml:1"],
        );
        finds(
            "a.md",
            "`/var/lock` and `/home/<AdminUsername>/.ssh` are paths of VMs.\n",
            &[],
        );
    }
}
