//! TOML into nodes.

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{Content, Entry, Node};
use crate::Problem;

/// Every syntax error is told, keys that are there twice among them.
pub(super) fn parse(text: &str, file: &str) -> Result<Node, Vec<Problem>> {
    let lines = Lines::of(text);
    let (table, errors) = DeTable::parse_recoverable(text);
    if errors.is_empty() {
        return Ok(Node {
            line: 1,
            content: map(table.into_inner(), &lines),
        });
    }
    let problem = |error: &toml::de::Error| {
        let words = error
            .message()
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ");
        let (message, remedy) = if words.contains("duplicate key") {
            let span = error.span().unwrap_or(0..0);
            let key = text
                .get(span)
                .unwrap_or("")
                .lines()
                .next()
                .unwrap_or("")
                .trim();
            let first = lines.first_with(text, key, error.span().map_or(0, |span| span.start));
            let first = first.map_or(String::new(), |line| format!(" (also in line {line})"));
            (
                format!("the key {key} is there twice{first}"),
                "keep one of the two",
            )
        } else {
            (
                format!("is not valid TOML: {words}"),
                "correct the TOML syntax there",
            )
        };
        let mut problem = Problem::of_file(file, message, remedy);
        problem.line = error.span().map(|span| lines.at(span.start));
        problem
    };
    Err(errors.iter().map(problem).collect())
}

fn node(value: Spanned<DeValue<'_>>, lines: &Lines) -> Node {
    let line = lines.at(value.span().start);
    let content = match value.into_inner() {
        DeValue::String(text) => Content::Text(text.into_owned()),
        DeValue::Boolean(value) => Content::Bool(value, value.to_string()),
        DeValue::Integer(integer) => {
            let digits = integer.as_str();
            let number = i64::from_str_radix(digits, integer.radix())
                .map(serde_json::Number::from)
                .or_else(|_| {
                    u64::from_str_radix(digits, integer.radix()).map(serde_json::Number::from)
                });
            match number {
                Ok(number) => Content::Number(number, integer.to_string()),
                Err(_) => Content::Text(integer.to_string()),
            }
        }
        DeValue::Float(float) => match float
            .as_str()
            .parse()
            .ok()
            .and_then(serde_json::Number::from_f64)
        {
            Some(number) => Content::Number(number, float.to_string()),
            None => Content::Text(float.to_string()),
        },
        DeValue::Datetime(datetime) => Content::Text(datetime.to_string()),
        DeValue::Array(items) => {
            Content::List(items.into_iter().map(|item| node(item, lines)).collect())
        }
        DeValue::Table(table) => map(table, lines),
    };
    Node { line, content }
}

fn map(table: DeTable<'_>, lines: &Lines) -> Content {
    let entry = |(key, value): (Spanned<std::borrow::Cow<'_, str>>, Spanned<DeValue<'_>>)| Entry {
        key_line: lines.at(key.span().start),
        key: key.into_inner().into_owned(),
        value: node(value, lines),
    };
    let mut entries: Vec<Entry> = table.into_iter().map(entry).collect();
    entries.sort_by_key(|entry| entry.key_line);
    Content::Map(entries)
}

/// Where the lines begin.
struct Lines(Vec<usize>);

impl Lines {
    fn of(text: &str) -> Lines {
        Lines(
            std::iter::once(0)
                .chain(text.match_indices('\n').map(|(at, _)| at + 1))
                .collect(),
        )
    }

    fn at(&self, offset: usize) -> u32 {
        u32::try_from(self.0.partition_point(|start| *start <= offset)).unwrap_or(u32::MAX)
    }

    /// The last line before `before` that assigns to this key or opens a table of this name.
    fn first_with(&self, text: &str, key: &str, before: usize) -> Option<u32> {
        let assigns = |line: &str| {
            let line = line.trim_start();
            let opens = line
                .strip_prefix('[')
                .and_then(|rest| rest.trim_end().strip_suffix(']'));
            opens.is_some_and(|name| name.trim() == key || name.ends_with(&format!(".{key}")))
                || line
                    .strip_prefix(key)
                    .is_some_and(|rest| rest.trim_start().starts_with('='))
        };
        let end = self
            .0
            .partition_point(|start| *start <= before)
            .saturating_sub(1);
        let earlier = text
            .lines()
            .take(end)
            .enumerate()
            .filter(|(_, line)| assigns(line))
            .last()?;
        u32::try_from(earlier.0 + 1).ok()
    }
}
