//! The licences of everything that is linked into the programs, from the sources that cargo has on this machine.

mod library;
mod standard;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::{
    command::{cargo, output},
    setup::OpenSsl,
};

/// The programs that are packed.
const PROGRAMS: [&str; 3] = [
    "arvados-dispatch-cloud",
    "arvados-dispatch-ctl",
    "arvados-dispatch-lab",
];

/// Whose build compiles the C sources that come with it into the program.
const OPEN_SSL_SOURCE: &str = "openssl-src";

/// How far below a package its files of licences may be: C libraries come in folders of their own.
const DEPTH: usize = 2;

/// One dependency.
struct Dependency {
    name: String,
    licence: String,
    /// The texts of its licences, in order.
    texts: Vec<String>,
}

/// One text that names every dependency and has every licence once. Fails if one has none.
pub(super) fn gather(open_ssl: OpenSsl) -> Result<String> {
    let metadata = output(&mut cargo([
        "metadata",
        "--format-version",
        "1",
        "--all-features",
        "--filter-platform",
        "x86_64-unknown-linux-gnu",
    ]))?;
    let metadata: Value = serde_json::from_str(&metadata).context("read cargo's metadata")?;
    let linked = linked(&metadata);
    let mut dependencies = vec![];
    for package in list(&metadata["packages"]) {
        let compiled_along =
            open_ssl == OpenSsl::Vendored && text(&package["name"]) == OPEN_SSL_SOURCE;
        // Our own have no source.
        if (linked.contains(text(&package["id"])) || compiled_along) && !package["source"].is_null()
        {
            dependencies.push(dependency(package)?);
        }
    }
    if dependencies.is_empty() {
        bail!("cargo's metadata names no dependency of the programs");
    }
    let (name, text) = library::text()?;
    dependencies.push(Dependency {
        name,
        licence: "MIT OR Apache-2.0, and others for parts of it".into(),
        texts: vec![text],
    });
    dependencies.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(render(&dependencies))
}

/// Ids of the packages that are built into the programs, as they are or as macros.
fn linked(metadata: &Value) -> BTreeSet<&str> {
    let nodes: BTreeMap<&str, &Value> = list(&metadata["resolve"]["nodes"])
        .iter()
        .map(|node| (text(&node["id"]), node))
        .collect();
    let mut open: Vec<&str> = list(&metadata["packages"])
        .iter()
        .filter(|package| PROGRAMS.contains(&text(&package["name"])))
        .map(|package| text(&package["id"]))
        .collect();
    let mut seen = BTreeSet::new();
    while let Some(id) = open.pop() {
        if !seen.insert(id) {
            continue;
        }
        let Some(node) = nodes.get(id) else { continue };
        let normal = |edge: &&Value| {
            list(&edge["dep_kinds"])
                .iter()
                .any(|kind| kind["kind"].is_null())
        };
        open.extend(
            list(&node["deps"])
                .iter()
                .filter(normal)
                .map(|edge| text(&edge["pkg"])),
        );
    }
    seen
}

fn dependency(package: &Value) -> Result<Dependency> {
    let name = format!("{} {}", text(&package["name"]), text(&package["version"]));
    let manifest = PathBuf::from(text(&package["manifest_path"]));
    let folder = manifest.parent().context("a manifest is in a folder")?;
    let mut paths = vec![];
    find(folder, DEPTH, &mut paths)
        .with_context(|| format!("look for the licences of {name} (cargo fetch brings them)"))?;
    paths.sort();
    let mut texts: Vec<String> = paths
        .iter()
        .map(|path| fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
        .collect::<Result<_, _>>()?;
    texts.retain(|text| !text.trim().is_empty());
    let licence = package["license"].as_str().unwrap_or("see its text");
    if texts.is_empty() {
        let repository = text(&package["repository"]);
        texts.push(standard::text(&name, licence, repository)?);
    }
    Ok(Dependency {
        name,
        licence: licence.to_owned(),
        texts,
    })
}

/// Files that are licences by their names.
fn find(folder: &Path, depth: usize, found: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().to_uppercase();
        let kind = entry.file_type()?;
        if kind.is_dir() && depth > 0 && name != "TESTS" && name != "SRC" {
            find(&entry.path(), depth - 1, found)?;
        }
        let stem = name.split(['-', '.', '_']).next().unwrap_or_default();
        let is_licence = matches!(
            stem,
            "LICENSE" | "LICENCE" | "LICENSES" | "COPYING" | "COPYRIGHT" | "NOTICE" | "UNLICENSE"
        );
        if kind.is_file() && is_licence && !name.ends_with(".RS") {
            found.push(entry.path());
        }
    }
    Ok(())
}

fn render(dependencies: &[Dependency]) -> String {
    let mut numbers: BTreeMap<&str, usize> = BTreeMap::new();
    let mut texts: Vec<&str> = vec![];
    let mut out = String::from(
        "What is linked into the programs of this package or a sister package, with its licence; the texts follow, \
         each once, by number.\n\n",
    );
    for dependency in dependencies {
        let mut named = vec![];
        for text in &dependency.texts {
            let number = *numbers.entry(text.trim()).or_insert_with(|| {
                texts.push(text.trim());
                texts.len()
            });
            named.push(number.to_string());
        }
        // Writing to a String cannot fail.
        let _ = writeln!(
            out,
            "{}: {} [{}]",
            dependency.name,
            dependency.licence,
            named.join(", ")
        );
    }
    for (index, text) in texts.iter().enumerate() {
        let _ = write!(out, "\n{}\n[{}]\n\n{text}\n", "-".repeat(78), index + 1);
    }
    out
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_two_have_is_written_once() {
        let dependency = |name: &str, text: &[&str]| Dependency {
            name: name.into(),
            licence: "MIT".into(),
            texts: text.iter().map(|text| (*text).to_owned()).collect(),
        };
        let out = render(&[
            dependency("a 1", &["Permission is granted\n"]),
            dependency("b 2", &["Permission is granted", "and more"]),
        ]);
        assert!(out.contains("a 1: MIT [1]\nb 2: MIT [1, 2]\n"), "{out}");
        assert_eq!(out.matches("Permission is granted").count(), 1);
    }

    #[test]
    fn the_c_libraries_and_the_runtime_are_among_them_and_test_helpers_are_not() {
        let out = gather(OpenSsl::System).expect("the sources of dependencies");
        for name in [
            "\nlibssh2-sys ",
            "\naws-lc-sys ",
            "\ntokio ",
            "\nserde ",
            "\nstd ",
        ] {
            assert!(out.contains(name), "{name}");
        }
        let list = out.split("-----").next().expect("a list");
        assert!(!list.contains("[]"), "one has no text");
        for holder in ["Copyright (c) Microsoft", "Nugine"] {
            assert!(out.contains(holder), "{holder}");
        }
        assert!(!out.contains("\nopenssl-src "));
        let vendored = gather(OpenSsl::Vendored).expect("the sources of dependencies");
        assert!(vendored.contains("\nopenssl-src "));
        assert!(!out.contains("\nproptest "));
        assert!(out.contains("The libssh2 Project") || out.contains("libssh2"));
    }
}
