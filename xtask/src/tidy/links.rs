//! Links in Markdown lead somewhere: to a file of the tree, and to a heading or anchor in it.

use std::collections::{BTreeMap, BTreeSet};

use super::Problem;
use crate::tree::{SourceFile, root};

pub(super) fn check(files: &[SourceFile]) -> Vec<Problem> {
    let pages: BTreeMap<&str, &str> = files
        .iter()
        .filter(|file| file.path.ends_with(".md"))
        .map(|file| (&*file.path, &*file.text))
        .collect();
    let mut problems = vec![];
    for (path, text) in &pages {
        for (line, target) in links(text) {
            if let Err(what) = resolve(&pages, path, &target) {
                problems.push(Problem::at(path, line, format!("`{target}` {what}")));
            }
        }
    }
    problems
}

fn resolve(pages: &BTreeMap<&str, &str>, from: &str, target: &str) -> Result<(), &'static str> {
    if target.contains("://") || target.starts_with("mailto:") {
        return Ok(());
    }
    let (file, anchor) = target
        .split_once('#')
        .map_or((target, None), |(file, anchor)| (file, Some(anchor)));
    let file = if file.is_empty() {
        Some(from.into())
    } else {
        join(from, file)
    };
    let Some(file) = file else {
        return Err("leads out of the tree");
    };
    let Some(anchor) = anchor else {
        return if root().join(&file).exists() {
            Ok(())
        } else {
            Err("does not exist")
        };
    };
    match pages.get(file.as_str()) {
        None => Err("is not a page of the tree"),
        Some(text) if anchors(text).contains(anchor) => Ok(()),
        Some(_) => Err("has no such heading"),
    }
}

/// `../x.md` as seen from the page `docs/reference/a.md` is `docs/x.md`.
fn join(from: &str, relative: &str) -> Option<String> {
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in relative.split('/') {
        match part {
            "." | "" => {}
            ".." => {
                parts.pop()?;
            }
            name => parts.push(name),
        }
    }
    Some(parts.join("/"))
}

/// Targets of inline links, with their line numbers; code is no link.
fn links(text: &str) -> Vec<(usize, String)> {
    let mut found = vec![];
    for (line, prose) in prose(text) {
        for (start, _) in prose.match_indices("](") {
            let rest = &prose[start + 2..];
            if let Some(end) = rest.find(')') {
                found.push((
                    line,
                    rest[..end].split(' ').next().unwrap_or_default().into(),
                ));
            }
        }
    }
    found
}

/// The lines that are not in a fenced block, with inline code blanked out.
fn prose(text: &str) -> Vec<(usize, String)> {
    let mut fenced = false;
    let mut lines = vec![];
    for (index, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if !fenced {
            // Between every second pair of backticks there is code.
            let parts = line.split('`').enumerate();
            lines.push((
                index + 1,
                parts
                    .filter(|(nth, _)| nth % 2 == 0)
                    .map(|(_, part)| part)
                    .collect(),
            ));
        }
    }
    lines
}

/// What a link can point to in this page.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut anchors = BTreeSet::new();
    let mut fenced = false;
    for line in text.lines() {
        fenced ^= line.trim_start().starts_with("```");
        if !fenced && line.starts_with('#') {
            anchors.insert(slug(line.trim_start_matches('#').trim()));
        }
        for part in line.split("<a id=\"").skip(1) {
            anchors.extend(part.split('"').next().map(str::to_owned));
        }
    }
    anchors
}

/// A heading's anchor, as the common Markdown sites make it.
fn slug(heading: &str) -> String {
    let kept = heading.to_lowercase().replace(' ', "-");
    kept.chars()
        .filter(|c| c.is_alphanumeric() || matches!(c, '-' | '_'))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn verdict(target: &str, expected: Result<(), &str>) {
        let pages = BTreeMap::from([
            ("docs/a.md", "# One\n## 2.1.1 Calls made\n"),
            ("docs/reference/b.md", "<a id=\"q1\"></a>**Q1.** text\n"),
        ]);
        assert_eq!(
            resolve(&pages, "docs/reference/b.md", target),
            expected,
            "{target}"
        );
    }

    #[test]
    fn links_to_pages_headings_and_anchors_resolve() {
        verdict("https://doc.arvados.org", Ok(()));
        verdict("#q1", Ok(()));
        verdict("../a.md#211-calls-made", Ok(()));
        verdict("../../Cargo.toml", Ok(()));
        verdict("../a.md#two", Err("has no such heading"));
        verdict("../nowhere.md", Err("does not exist"));
        verdict("../../../secret", Err("leads out of the tree"));
    }

    #[test]
    fn links_are_found_in_prose_and_not_in_code() {
        let text = "See [a](x.md) and [b](y.md \"title\").\n`[c](no.md)`\n```\n[d](no.md)\n```\n[e](z.md)\n";
        let found: Vec<_> = links(text);
        assert_eq!(
            found,
            [(1, "x.md".into()), (1, "y.md".into()), (6, "z.md".into())]
        );
    }
}
