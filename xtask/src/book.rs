//! `book`: builds the book below `docs/` with mdBook, and follows every link in what came out.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};

use crate::{
    command::{cargo, command, execute, output},
    step::step,
    tree::{root, target},
};

/// The version that is installed.
const VERSION: &str = "0.5.4";
const FOLDER: &str = ".tools/mdbook";

/// What to do with the book.
#[derive(clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(_: &Args) -> Result<()> {
    step("book", || build().map(drop))
}

/// Builds it into `target/book`, whose path it tells, and fails on a link that leads nowhere.
pub(crate) fn build() -> Result<PathBuf> {
    let folder = target().join("book");
    if folder.exists() {
        fs::remove_dir_all(&folder).context("remove the last book")?;
    }
    let mut mdbook = command(tool()?);
    mdbook
        .arg("build")
        .arg("docs")
        .arg("--dest-dir")
        .arg(&folder);
    execute(&mut mdbook)?;
    // Our settings of it, which it takes for a file of the book.
    fs::remove_file(folder.join("book.toml"))?;
    let pages = pages(&folder)?;
    let broken = broken(&pages, &folder);
    for line in &broken {
        println!("    {line}");
    }
    if !broken.is_empty() {
        bail!("{} links of the book lead nowhere", broken.len());
    }
    println!(
        "    {} pages, all links lead somewhere: {}",
        pages.len(),
        folder.join("index.html").display()
    );
    Ok(folder)
}

/// mdBook of our version, installed below `.tools` if it is not there: one or two minutes, once.
fn tool() -> Result<PathBuf> {
    let program = root().join(FOLDER).join("bin/mdbook");
    let found = output(command(&program).arg("--version")).unwrap_or_default();
    if found.trim().ends_with(&format!("v{VERSION}")) {
        return Ok(program);
    }
    let mut install = cargo([
        "install",
        "mdbook",
        "--locked",
        "--force",
        "--version",
        VERSION,
    ]);
    // Neither search nor a server, and not optimised much: it reads some 40 pages.
    install.args(["--no-default-features", "--root", FOLDER]);
    install.env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1");
    install.env("CARGO_TARGET_DIR", root().join(FOLDER).join("target"));
    execute(&mut install).context(
        "mdBook builds the book and cannot be installed: see that cargo reaches its registry",
    )?;
    fs::remove_dir_all(root().join(FOLDER).join("target"))?;
    Ok(program)
}

/// A page as built.
struct Page {
    /// What can be linked to in it.
    anchors: BTreeSet<String>,
    /// Where it leads.
    links: Vec<String>,
}

/// All pages, by their paths below the folder.
fn pages(folder: &Path) -> Result<BTreeMap<String, Page>> {
    let mut pages = BTreeMap::new();
    let mut open = vec![folder.to_owned()];
    while let Some(place) = open.pop() {
        for entry in fs::read_dir(place)? {
            let path = entry?.path();
            if path.is_dir() {
                open.push(path);
            } else if path
                .extension()
                .is_some_and(|extension| extension == "html")
            {
                let name = path.strip_prefix(folder)?.display().to_string();
                // Is shown for pages that are not there, wherever they are not.
                if name != "404.html" {
                    pages.insert(name, page(&fs::read_to_string(&path)?));
                }
            }
        }
    }
    Ok(pages)
}

fn page(html: &str) -> Page {
    let values = |attribute: &str| {
        let parts = html.split(attribute).skip(1);
        parts
            .filter_map(|part| part.split_once('"'))
            .map(|(value, _)| value.replace("&amp;", "&"))
            .collect::<Vec<_>>()
    };
    Page {
        anchors: values(" id=\"").into_iter().collect(),
        links: values(" href=\"")
            .into_iter()
            .chain(values(" src=\""))
            .collect(),
    }
}

fn broken(pages: &BTreeMap<String, Page>, folder: &Path) -> Vec<String> {
    let mut broken = vec![];
    for (name, page) in pages {
        for link in &page.links {
            if let Err(why) = follow(pages, folder, name, link) {
                broken.push(format!("{name}: {link} {why}"));
            }
        }
    }
    broken
}

fn follow(
    pages: &BTreeMap<String, Page>,
    folder: &Path,
    from: &str,
    link: &str,
) -> Result<(), &'static str> {
    if link.contains("://") || link.starts_with("mailto:") || link.starts_with("data:") {
        return Ok(());
    }
    let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
    let mut parts: Vec<&str> = from.split('/').collect();
    if !path.is_empty() {
        parts.pop();
        for part in path.split('/') {
            match part {
                "." | "" => {}
                ".." => drop(parts.pop().ok_or("leaves the book")?),
                part => parts.push(part),
            }
        }
    }
    let to = parts.join("/");
    match pages.get(&to) {
        Some(page) if anchor.is_empty() || page.anchors.contains(anchor) => Ok(()),
        Some(_) => Err("has no such heading"),
        // Styles, scripts and pictures.
        None if folder.join(&to).exists() && !to.ends_with(".html") => Ok(()),
        None => Err("is not there"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_to_pages_and_headings_are_followed() {
        let pages = BTreeMap::from([
            ("a.html".to_owned(), page("<h2 id=\"one\">x</h2>")),
            (
                "b/c.html".to_owned(),
                page(
                    "<a href=\"../a.html#one\"><a href=\"../a.html#two\"><a href=\"https://x\"><a href=\"d.html\">",
                ),
            ),
        ]);
        let found = broken(&pages, Path::new("/nonexistent"));
        assert_eq!(
            found,
            [
                "b/c.html: ../a.html#two has no such heading",
                "b/c.html: d.html is not there"
            ]
        );
    }
}
