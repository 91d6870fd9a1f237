//! The licences of Rust's own library, which is in every program: from the toolchain.

use std::{fs, path::Path};

use anyhow::{Context, Result, ensure};

use crate::command::{command, output};

/// Below the toolchain's folder.
const FILE: &str = "share/doc/rust/COPYRIGHT-library.html";

/// Its name, and what the toolchain says of its licences.
pub(super) fn text() -> Result<(String, String)> {
    let version = output(command("rustc").arg("--version"))?;
    let folder = output(command("rustc").args(["--print", "sysroot"]))?;
    let path = Path::new(folder.trim()).join(FILE);
    let page = fs::read_to_string(&path).with_context(|| {
        format!(
            "read {}, the licences of Rust's library, which is in every program: build with a toolchain of rustup",
            path.display()
        )
    })?;
    let text = plain(&page);
    ensure!(
        text.contains("Apache") && text.contains("MIT"),
        "{} names no licence",
        path.display()
    );
    let version = version.split_whitespace().nth(1).unwrap_or_default();
    Ok((format!("std {version}"), text))
}

/// The words of a page.
fn plain(page: &str) -> String {
    let body = page.split_once("<body").map_or(page, |(_, body)| body);
    let mut words = String::new();
    for part in body.split('<').skip(1) {
        words.push_str(part.split_once('>').map_or("", |(_, text)| text));
    }
    let words = words
        .replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&quot;", "\"")
        .replace("&#39;", "'")
        .replace("&amp;", "&");
    let mut out = String::new();
    let mut blank = true;
    for line in words.lines().map(str::trim_end) {
        // Between two tags there is often nothing but an end of line.
        if !(blank && line.trim().is_empty()) {
            out.push_str(line);
            out.push('\n');
        }
        blank = line.trim().is_empty();
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_read_without_its_tags() {
        let page = "<html><head><title>x</title></head><body class=\"y\"><h1>A &amp; B</h1>\n\n\n<p>c &lt;d@e&gt;</p>\n</body>";
        assert_eq!(plain(page), "A & B\n\nc <d@e>\n");
    }
}
