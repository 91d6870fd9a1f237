//! TOML into nodes.

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{Content, Entry, Node};
use crate::{Problem, path::KeyPath};

/// Every syntax error is told. Keys that are there twice are handed on twice, as YAML hands them on, unless something
/// else is wrong: then they are told here, among the rest.
pub(super) fn parse(text: &str, file: &str) -> Result<Node, Vec<Problem>> {
    let lines = Lines::of(text);
    let mut marked = Marked::new(text);
    marked.mark();
    let (table, errors) = DeTable::parse_recoverable(&marked.text);
    let place = Place {
        lines: Lines::of(&marked.text),
        renamed: &marked.renamed,
    };
    let document = Node {
        line: 1,
        content: map(table.into_inner(), &place),
    };
    if errors.is_empty() {
        return Ok(document);
    }
    let mut problems: Vec<Problem> = DeTable::parse_recoverable(text)
        .1
        .iter()
        .filter(|error| !is_of_repetition(error))
        .map(|error| {
            let words: Vec<_> = error.message().split_whitespace().collect();
            let message = format!("is not valid TOML: {}", words.join(" "));
            let mut problem = Problem::of_file(file, message, "correct the TOML syntax there");
            problem.line = error.span().map(|span| lines.at(span.start));
            problem
        })
        .collect();
    tell_repetitions(&document, &KeyPath::default(), file, &mut problems);
    if problems.is_empty() {
        let message = "is not valid TOML: some keys are there twice";
        problems.push(Problem::of_file(file, message, "keep one of each"));
    }
    problems.sort_by_key(|problem| problem.line.unwrap_or(u32::MAX));
    Err(problems)
}

fn is_of_repetition(error: &toml::de::Error) -> bool {
    error.message().contains("duplicate key")
}

fn tell_repetitions(node: &Node, path: &KeyPath, file: &str, problems: &mut Vec<Problem>) {
    let Content::Map(entries) = &node.content else {
        return;
    };
    for (i, entry) in entries.iter().enumerate() {
        let child = path.child(&entry.key);
        if let Some(first) = entries[..i].iter().find(|first| first.key == entry.key) {
            let (a, b) = (first.key_line, entry.key_line);
            let message = format!("is there twice, in line {a} and in line {b}");
            let mut problem = Problem::of_file(file, message, "keep one of the two");
            problem.key = child.to_string().into();
            problem.line = Some(a);
            problems.push(problem);
        }
        tell_repetitions(&entry.value, &child, file, problems);
    }
}

/// Begins the names that stand for keys that are there again; no key of anybody's begins so.
const MARK: char = '\u{1}';

/// A text in which keys that are there again have names of their own, so that the parser keeps them in their places.
struct Marked {
    text: String,
    /// What they were called.
    renamed: Vec<String>,
}

impl Marked {
    fn new(text: &str) -> Marked {
        Marked {
            text: text.to_owned(),
            renamed: Vec::new(),
        }
    }

    /// Renames until none is there twice. What repeats within a repetition shows only in the next round; nesting
    /// is bounded by the parser, and whoever nests repetitions deeper than this is told less well.
    fn mark(&mut self) {
        const ROUNDS: usize = 8;
        for _ in 0..ROUNDS {
            let (_, errors) = DeTable::parse_recoverable(&self.text);
            let mut spans: Vec<_> = errors
                .iter()
                .filter(|error| is_of_repetition(error))
                .filter_map(toml::de::Error::span)
                .filter(|span| self.text.get(span.clone()).is_some_and(is_one_key))
                .collect();
            // From the end, so that the places before stay where they are.
            spans.sort_by_key(|span| std::cmp::Reverse(span.start));
            spans.dedup();
            if spans.is_empty() {
                return;
            }
            for span in spans {
                let name = name_of(&self.text[span.clone()]);
                let mark = format!("\"\\u{:04x}{}\"", u32::from(MARK), self.renamed.len());
                self.text.replace_range(span, &mark);
                self.renamed.push(name);
            }
        }
    }
}

/// Whether this is one key as it may be written, in quotes or not.
fn is_one_key(raw: &str) -> bool {
    !raw.contains('\n')
        && DeTable::parse(&format!("{raw} = 0"))
            .is_ok_and(|table| table.get_ref().values().all(|it| it.get_ref().is_integer()))
}

fn name_of(raw: &str) -> String {
    let written = format!("{raw} = 0");
    DeTable::parse(&written)
        .ok()
        .and_then(|table| Some(table.get_ref().keys().next()?.get_ref().to_string()))
        .unwrap_or_else(|| raw.to_owned())
}

/// What is needed to say where something stands and what it was called.
struct Place<'a> {
    lines: Lines,
    renamed: &'a [String],
}

impl Place<'_> {
    fn name(&self, key: &str) -> String {
        let original = key
            .strip_prefix(MARK)
            .and_then(|number| self.renamed.get(number.parse::<usize>().ok()?));
        original.cloned().unwrap_or_else(|| key.to_owned())
    }
}

fn node(value: Spanned<DeValue<'_>>, place: &Place<'_>) -> Node {
    let line = place.lines.at(value.span().start);
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
            Content::List(items.into_iter().map(|item| node(item, place)).collect())
        }
        DeValue::Table(table) => map(table, place),
    };
    Node { line, content }
}

fn map(table: DeTable<'_>, place: &Place<'_>) -> Content {
    let mut entries: Vec<(usize, Entry)> = table
        .into_iter()
        .map(|(key, value)| {
            let start = key.span().start;
            let entry = Entry {
                key_line: place.lines.at(start),
                key: place.name(key.get_ref()),
                value: node(value, place),
            };
            (start, entry)
        })
        .collect();
    entries.sort_by_key(|(start, _)| *start);
    Content::Map(entries.into_iter().map(|(_, entry)| entry).collect())
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
}
