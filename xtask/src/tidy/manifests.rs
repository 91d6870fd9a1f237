//! Every package takes its lints and the versions of its dependencies from the workspace.

use super::Problem;
use crate::tree::SourceFile;

pub(super) fn check(files: &[SourceFile]) -> Vec<Problem> {
    let manifests = files
        .iter()
        .filter(|file| file.path.ends_with("/Cargo.toml"));
    manifests
        .flat_map(|file| check_manifest(&file.path, &file.text))
        .collect()
}

fn check_manifest(path: &str, text: &str) -> Vec<Problem> {
    let mut problems = vec![];
    let mut section = "";
    let mut lints = false;
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if let Some(header) = line.strip_prefix('[') {
            section = header.trim_end_matches(']');
            // `[dependencies.name]` holds one dependency.
            if let Some((_, name)) = section.split_once("dependencies.") {
                problems.push(Problem::at(
                    path,
                    index + 1,
                    format!("write `{name}.workspace = true`"),
                ));
            }
            continue;
        }
        lints |= section == "lints" && line.replace(' ', "") == "workspace=true";
        let Some((key, value)) = line.split_once('=') else {
            continue;
        };
        let inherited =
            key.trim().ends_with(".workspace") || value.replace(' ', "").contains("workspace=true");
        if section.ends_with("dependencies") && !inherited && !line.starts_with('#') {
            let key = key.trim();
            problems.push(Problem::at(
                path,
                index + 1,
                format!("`{key}` has a version of its own; name it in the root"),
            ));
        }
    }
    if !lints {
        problems.push(Problem::new(path, "no `[lints] workspace = true`"));
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn finds(text: &str, expected: &[&str]) {
        let found: Vec<_> = check_manifest("x/Cargo.toml", text)
            .into_iter()
            .map(|problem| problem.what)
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn a_manifest_that_inherits_everything_is_fine() {
        finds(
            "[lints]\nworkspace = true\n[dependencies]\na.workspace = true\nb = { workspace = true }\n",
            &[],
        );
    }

    #[test]
    fn versions_of_ones_own_and_missing_lints_are_found() {
        finds(
            "[dependencies]\na = \"1\"\n[dev-dependencies.b]\nversion = \"2\"\n",
            &[
                "`a` has a version of its own; name it in the root",
                "write `b.workspace = true`",
                "no `[lints] workspace = true`",
            ],
        );
    }
}
