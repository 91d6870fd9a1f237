//! A configuration file as a tree in which every value knows its place, whichever syntax it was written in.

mod toml;
mod yaml;

use crate::{Problem, source::Format};

/// A value and where it stands.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Node {
    /// The line, counted from 1; 0 if unknown.
    pub(crate) line: u32,
    pub(crate) content: Content,
}

#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Content {
    Null,
    /// A truth value, and how it was written: `on` may have been meant as a text.
    Bool(bool, String),
    /// A number, and how it was written: `1.10` may have been meant as a text.
    Number(serde_json::Number, String),
    Text(String),
    List(Vec<Node>),
    /// In the order of the file; a key may be there twice.
    Map(Vec<Entry>),
}

#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) key_line: u32,
    pub(crate) value: Node,
}

impl Node {
    /// What kind of value it is, for messages.
    pub(crate) fn kind(&self) -> &'static str {
        match self.content {
            Content::Null => "nothing",
            Content::Bool(..) => "true or false",
            Content::Number(..) => "a number",
            Content::Text(_) => "a text",
            Content::List(_) => "a list",
            Content::Map(_) => "a section",
        }
    }
}

/// Reads a text. What could not be read is told by problems; keys that are there twice are left for the merge to tell,
/// where the syntax allows that.
pub(crate) fn parse(text: &str, format: Format, file: &str) -> Result<Node, Vec<Problem>> {
    match format {
        Format::Yaml => yaml::parse(text, file).map_err(|problem| vec![*problem]),
        Format::Toml => toml::parse(text, file),
    }
}

#[cfg(test)]
mod tests;
