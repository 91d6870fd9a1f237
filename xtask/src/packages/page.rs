//! Commands as the book has them, so that what is tested is what an operator types.

use std::fs;

use anyhow::{Context, Result};

use crate::tree::root;

/// The one command of a page that begins so, with the lines that it goes on in.
pub(super) fn command(page: &str, beginning: &str) -> Result<String> {
    let text = fs::read_to_string(root().join(page)).with_context(|| format!("read {page}"))?;
    find(&text, beginning).with_context(|| format!("{page} has no command `{beginning}…`"))
}

fn find(text: &str, beginning: &str) -> Option<String> {
    let mut lines = text.lines();
    let first = lines.find(|line| line.trim_start().starts_with(beginning))?;
    let mut command = first.trim().to_owned();
    while let Some(start) = command.strip_suffix('\\') {
        command = format!("{} {}", start.trim_end(), lines.next()?.trim());
    }
    Some(command)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_found_with_the_lines_it_goes_on_in() {
        let page = "Text.\n\n```text\nls\nrun a \\\n    b \\\n    c\nrun d\n```\n";
        assert_eq!(find(page, "run ").as_deref(), Some("run a b c"));
        assert_eq!(find(page, "sleep"), None);
    }
}
