//! Texts for dependencies whose packages have none: the standard text of their licence.

use std::fs;

use anyhow::{Context, Result, bail};

use crate::tree::root;

/// Under MIT alone the copyright line must go along; these repositories have it where their packages do not.
const HOLDERS: [(&str, &str); 2] = [
    (
        "https://github.com/azure/azure-sdk-for-rust",
        "Copyright (c) Microsoft Corporation.",
    ),
    (
        "https://github.com/Nugine/simd",
        "Copyright (c) Nugine and the contributors of https://github.com/Nugine/simd",
    ),
];

const MIT: &str = "\
Permission is hereby granted, free of charge, to any person obtaining a copy of
this software and associated documentation files (the \"Software\"), to deal in
the Software without restriction, including without limitation the rights to
use, copy, modify, merge, publish, distribute, sublicense, and/or sell copies of
the Software, and to permit persons to whom the Software is furnished to do so,
subject to the following conditions:

The above copyright notice and this permission notice shall be included in all
copies or substantial portions of the Software.

THE SOFTWARE IS PROVIDED \"AS IS\", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR
IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY, FITNESS
FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR
COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER
IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM, OUT OF OR IN
CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.
";

/// The text of a licence, or of one of several that may be chosen: `MIT OR Apache-2.0`.
pub(super) fn text(name: &str, licence: &str, repository: &str) -> Result<String> {
    let choices: Vec<&str> = licence.split(" OR ").flat_map(|l| l.split('/')).collect();
    if choices.contains(&"Apache-2.0") {
        // Ours is the same, to the letter.
        return fs::read_to_string(root().join("LICENSE")).context("read LICENSE");
    }
    let holder = HOLDERS
        .iter()
        .find(|(known, _)| known.eq_ignore_ascii_case(repository));
    match holder {
        Some((_, line)) if choices.contains(&"MIT") => Ok(format!("{line}\n\n{MIT}")),
        _ => bail!(
            "the package of {name} ({licence}) has no text of its licence, which must go along: name whose it is, as \
             {repository} does, in {}",
            file!()
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_choice_is_made_a_holder_is_named_and_what_is_not_known_is_an_error() {
        let one = |licence, repository| text("a 1", licence, repository);
        for licence in ["Apache-2.0", "MIT OR Apache-2.0", "MIT/Apache-2.0"] {
            let found = one(licence, "").expect("ours");
            assert!(found.contains("Apache License"), "{licence}");
        }
        let found = one("MIT", "https://github.com/Azure/azure-sdk-for-rust").expect("known");
        assert!(found.starts_with("Copyright (c) Microsoft") && found.contains("NONINFRINGEMENT"));
        for (licence, repository) in [
            ("MIT", "https://example.org/a"),
            ("BSD-3-Clause", "https://github.com/Nugine/simd"),
            ("MIT AND Apache-2.0", "https://example.org/a"),
        ] {
            let error = one(licence, repository).expect_err("not known").to_string();
            assert!(error.contains("a 1") && error.contains(licence), "{error}");
        }
    }
}
