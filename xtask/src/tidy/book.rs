//! Every page of `docs/` is in the book's contents, `docs/SUMMARY.md`, once.

use std::collections::BTreeMap;

use super::Problem;
use crate::tree::SourceFile;

const CONTENTS: &str = "docs/SUMMARY.md";

pub(super) fn check(files: &[SourceFile]) -> Vec<Problem> {
    let pages: Vec<&str> = files
        .iter()
        .filter_map(|file| file.path.strip_prefix("docs/"))
        .filter(|path| path.ends_with(".md") && *path != "SUMMARY.md")
        .collect();
    match files.iter().find(|file| file.path == CONTENTS) {
        Some(contents) => compare(&pages, &contents.text),
        None => vec![Problem::new(CONTENTS, "is missing")],
    }
}

fn compare(pages: &[&str], contents: &str) -> Vec<Problem> {
    let mut listed: BTreeMap<&str, usize> = BTreeMap::new();
    for part in contents.split("](").skip(1) {
        if let Some((path, _)) = part.split_once(')') {
            *listed.entry(path.trim_start_matches("./")).or_default() += 1;
        }
    }
    let mut problems = vec![];
    for page in pages {
        match listed.get(page) {
            Some(1) => {}
            Some(_) => problems.push(Problem::new(CONTENTS, format!("lists {page} twice"))),
            None => problems.push(Problem::new(CONTENTS, format!("does not list {page}"))),
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_that_the_contents_do_not_list_is_found() {
        let contents = "# Contents\n- [A](a.md)\n  - [B](b/c.md)\n- [A again](a.md)\n";
        let found = compare(&["a.md", "b/c.md", "d.md"], contents);
        let words: Vec<&str> = found.iter().map(|problem| &*problem.what).collect();
        assert_eq!(words, ["lists a.md twice", "does not list d.md"]);
    }
}
